//! How many replicas each expert gets.
//!
//! Adams' method minimises the heaviest replica. If GPUs have few slots and loads are skewed, that is
//! the wrong aim: heavy replicas leave no room beside them, and there are too few light ones to go with
//! them. So there is a family of choices: the first redundant slots go as Adams' method has them; the
//! rest go, by Adams' method again, to those experts that have one replica then, whose replicas become
//! light.

use crate::replicate::Replication;

/// Replicas of the experts of a node, by position in the order of descending load.
#[derive(Debug, Default)]
pub(super) struct ReplicaCounts {
    /// All redundant slots by Adams' method.
    pub(super) adams: Replication,
    /// Those of the light experts in a choice of the family.
    light: Replication,
    /// Replicas of each expert; one for each expert after its end.
    pub(super) counts: Vec<u32>,
}

impl ReplicaCounts {
    /// Begins with these canonical loads; an expert gets at most one replica per GPU.
    pub(super) fn start(&mut self, loads: &[u64], slots: usize, gpus: usize) {
        self.adams.start(loads);
        self.adams.append_distinct(slots - loads.len(), gpus);
        self.light.load.clear();
    }

    /// The same for GPUs with different numbers of slots, and so much room for any m experts.
    pub(super) fn start_within(&mut self, loads: &[u64], room: &[u64]) {
        self.adams.start(loads);
        self.adams.append_within(room);
        self.light.load.clear();
    }

    /// Chooses the counts by Adams' method.
    pub(super) fn choose_adams(&mut self) {
        self.counts.clear();
        add(&self.adams.appended, &mut self.counts);
    }

    /// Redundant slots, of which a choice of the family has some as its rest.
    pub(super) fn redundant(&self) -> usize {
        self.adams.appended.len()
    }

    /// Chooses the counts of the family with this rest; tells whether there are such counts, that is,
    /// whether light experts have room for the rest. Time O(redundant slots * levels).
    pub(super) fn choose(&mut self, rest: usize, gpus: usize) -> bool {
        self.start_light();
        self.counts.clear();
        add(&self.adams.appended[..self.redundant() - rest], &mut self.counts);
        let light = self.adams.load.len() - self.counts.len();
        if light * (gpus - 1) < rest {
            return false;
        }
        self.light.restart(self.counts.len());
        self.light.append_distinct(rest, gpus);
        add(&self.light.appended, &mut self.counts);
        true
    }

    fn start_light(&mut self) {
        if self.light.load.is_empty() {
            self.light.load.clone_from(&self.adams.load);
            self.light.expert.clone_from(&self.adams.expert);
        }
    }

    /// Chooses one replica of each of the first `hot` experts, whose counts others choose, and shares out
    /// this rest among those after them: one for each of the lightest, or by Adams' method. Tells whether
    /// these have room for it.
    pub(super) fn choose_rest(
        &mut self,
        hot: usize,
        rest: usize,
        to_lightest: bool,
        gpus: usize,
    ) -> bool {
        self.counts.clear();
        self.counts.resize(hot, 1);
        let experts = self.adams.load.len();
        if to_lightest && rest <= experts - hot {
            self.counts.resize(experts - rest, 1);
            self.counts.resize(experts, 2);
            return true;
        }
        if to_lightest || (experts - hot) * (gpus - 1) < rest {
            return false;
        }
        self.start_light();
        self.light.restart(hot);
        self.light.append_distinct(rest, gpus);
        add(&self.light.appended, &mut self.counts);
        true
    }

    /// Chooses the counts by Adams' method but for this rest, which goes to the lightest experts, one for
    /// each; tells whether these have one replica before.
    pub(super) fn choose_lightest(&mut self, rest: usize) -> bool {
        self.counts.clear();
        add(&self.adams.appended[..self.redundant() - rest], &mut self.counts);
        let experts = self.adams.load.len();
        if self.counts.len() + rest > experts {
            return false;
        }
        self.counts.resize(experts - rest, 1);
        self.counts.resize(experts, 2);
        true
    }

    /// Whether Adams' method gives an expert a replica on each of these GPUs.
    pub(super) fn everywhere(&self, gpus: usize) -> bool {
        self.adams.levels.last().is_some_and(|level| level.count == gpus)
    }
}

/// Whether there are at most `limit` ways to share out `slots` among experts, at least one for each.
pub(super) fn few_choices(experts: usize, slots: usize, limit: u64) -> bool {
    let (redundant, gaps) = (slots - experts, experts - 1);
    let mut ways = 1_u64;
    for i in 0..redundant.min(gaps) {
        ways = ways * (redundant + gaps - i) as u64 / (i as u64 + 1);
        if ways > limit {
            return false;
        }
    }
    true
}

/// Calls `each` with every way to share out `redundant` slots among the experts from the position
/// `next` on, whose `counts` are one, if no expert gets more than `most` replicas. It goes as deep as
/// there are experts with redundant replicas.
pub(super) fn each_choice(
    counts: &mut [u32],
    next: usize,
    redundant: usize,
    most: usize,
    each: &mut dyn FnMut(&[u32]),
) {
    if redundant == 0 {
        return each(counts);
    }
    for position in next..counts.len() {
        for given in 1..=redundant.min(most - 1) {
            counts[position] = 1 + given as u32;
            each_choice(counts, position + 1, redundant - given, most, each);
        }
        counts[position] = 1;
    }
}

/// Counts one more replica for each of these positions.
fn add(appended: &[u32], counts: &mut Vec<u32>) {
    for &position in appended {
        let position = position as usize;
        if position >= counts.len() {
            counts.resize(position + 1, 1);
        }
        counts[position] += 1;
    }
}
