//! How many copies each expert gets.
//!
//! Adams' method minimises the heaviest copy. Where GPUs have few slots and loads are skewed that
//! is the wrong aim: heavy copies leave no room beside them, and there are not enough light ones
//! to go with them. So there is a family of choices: the first copies go as Adams' method has
//! them, and the `rest` by Adams' method to those experts that have one copy then, whose copies
//! become light.

use crate::replicate::Replication;

/// Copies of the experts of a node, by position in the order of descending load.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// All spares by Adams' method.
    pub(super) adams: Replication,
    /// Those of the light experts in a choice of the family.
    light: Replication,
    /// Copies of each expert; one where this has ended.
    pub(super) counts: Vec<u32>,
}

impl Copies {
    /// Adams' choice for these canonical loads: at most one copy on each of so many GPUs.
    pub(super) fn start(&mut self, loads: &[u64], slots: usize, gpus: usize) {
        self.adams.start(loads);
        self.adams.append_distinct(slots - loads.len(), gpus);
        self.light.load.clear();
        self.counts.clear();
        add(&self.adams.appended, &mut self.counts);
    }

    /// Spares, of which a choice of the family has some as its rest.
    pub(super) fn spares(&self) -> usize {
        self.adams.appended.len()
    }

    /// The choice of the family with this rest, and whether there is one: whether as many copies go
    /// to light experts. Time O(spares * levels).
    pub(super) fn choose(&mut self, rest: usize, gpus: usize) -> bool {
        if self.light.load.is_empty() {
            self.light.load.clone_from(&self.adams.load);
            self.light.expert.clone_from(&self.adams.expert);
        }
        self.counts.clear();
        add(&self.adams.appended[..self.spares() - rest], &mut self.counts);
        let light = self.adams.load.len() - self.counts.len();
        if light * (gpus - 1) < rest {
            return false;
        }
        self.light.restart(self.counts.len());
        self.light.append_distinct(rest, gpus);
        add(&self.light.appended, &mut self.counts);
        true
    }
}

/// Whether there are at most `limit` ways to give `slots` copies to `experts`, each at least one.
pub(super) fn few_choices(experts: usize, slots: usize, limit: u64) -> bool {
    let (spares, gaps) = (slots - experts, experts - 1);
    let mut ways = 1_u64;
    for i in 0..spares.min(gaps) {
        ways = ways * (spares + gaps - i) as u64 / (i as u64 + 1);
        if ways > limit {
            return false;
        }
    }
    true
}

/// Calls `found` with every way to share out `spares` among the experts from the position `next`
/// on, where `counts` are ones, if none gets more than `most` copies. It goes as deep as there are
/// experts with spares.
pub(super) fn each_choice(
    counts: &mut [u32],
    next: usize,
    spares: usize,
    most: usize,
    found: &mut dyn FnMut(&[u32]),
) {
    if spares == 0 {
        return found(counts);
    }
    for position in next..counts.len() {
        for given in 1..=spares.min(most - 1) {
            counts[position] = 1 + given as u32;
            each_choice(counts, position + 1, spares - given, most, found);
        }
        counts[position] = 1;
    }
}

/// Counts one copy more for each of these positions.
fn add(appended: &[u32], counts: &mut Vec<u32>) {
    for &position in appended {
        let position = position as usize;
        if position >= counts.len() {
            counts.resize(position + 1, 1);
        }
        counts[position] += 1;
    }
}
