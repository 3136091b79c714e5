//! Replica counts for layers with a few hot experts, that is, ones whose load is near that of a whole GPU
//! or above it.
//!
//! Adams' method looks at the heaviest replica alone. A hot expert may need fewer replicas, so that
//! enough light ones are left to put beside them, or more, so that its share fits beside that of another
//! hot expert. So all plausible counts of the hot experts are listed; Adams' method gives the slots that
//! are left to the others. A *skeleton* judges each choice: the hot replicas on GPUs, and beside them the
//! least that fills the other slots.

use std::cmp::Reverse;

use crate::minimax::replica_counts::ReplicaCounts;
use crate::minimax::task::Task;
use crate::problem::share::{SHARE_UNIT, packing_load};
use crate::sorted_replicas::by_expert::ByExpert;

/// No more experts than these are hot: the choices are a product over them.
pub(super) const MOST_HOT: usize = 5;

/// An expert is hot from this part of the mean load of a GPU on.
const PART_OF_MEAN: u64 = 4;

/// Counts differ by one for every so many replicas: of many, one more changes little.
const REPLICAS_PER_STEP: usize = 16;

/// Replicas of the hot experts.
type Counts = [u32; MOST_HOT];

/// A choice: what the skeleton says, redundant slots of the experts that are not hot, and the counts. The
/// derived order takes the one with the lowest judgement first, then the one with the fewest such slots,
/// then the one with the fewest replicas of the hottest expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    pub(super) judgement: u64,
    pub(super) rest: usize,
    /// Whether these slots go to the lightest experts, one for each, and not as Adams' method has them.
    pub(super) to_lightest: bool,
    pub(super) counts: Counts,
}

/// Lists choices, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct HotChoices {
    pub(super) choices: Vec<Choice>,
    replicas: ByExpert,
    /// Sums of the lightest replicas of experts that are not hot.
    lightest: Vec<u64>,
}

impl HotChoices {
    /// Lists at most `limit` choices whose hot replicas are below `peak`, the best first, or nothing if no
    /// expert is hot. Returns the number of hot experts.
    pub(super) fn list(
        &mut self,
        counts: &mut ReplicaCounts,
        task: Task<'_>,
        limit: usize,
        peak: u64,
    ) -> usize {
        self.choices.clear();
        let (hot, others) = hot_experts(&counts.adams.load, task);
        if hot == 0 {
            return 0;
        }
        let mut load = [0; MOST_HOT];
        load[..hot].copy_from_slice(&counts.adams.load[..hot]);
        let load = &load[..hot];
        // As many counts above the least for each, so that their product keeps to the limit. Where there are
        // others, no few experts decide, and one more for each finds as much.
        let limit = if others { 1 << hot } else { limit };
        let extra = (1..task.gpus).take_while(|extra| (extra + 1).pow(hot as u32) <= limit);
        let ranges = Ranges { load, peak, gpus: task.gpus, extra: extra.last().unwrap_or(1) };
        ranges.each(0, counts.redundant(), &mut [0; MOST_HOT], &mut self.choices);
        self.judge(0, counts, load, task);
        if self.choices.first().is_some_and(|choice| choice.judgement > task.target) {
            // Light replicas are too heavy.
            let first = self.choices.len();
            self.choices.extend_from_within(..);
            self.choices[first..].iter_mut().for_each(|choice| choice.to_lightest = true);
            self.judge(first, counts, load, task);
        }
        hot
    }

    /// Judges the choices from `first` on, and sorts all.
    fn judge(&mut self, first: usize, counts: &mut ReplicaCounts, load: &[u64], task: Task<'_>) {
        let hot = load.len();
        let choices = &mut self.choices[first..];
        choices.sort_unstable_by_key(|choice| (choice.rest, choice.counts));
        let mut prepared = None;
        for choice in choices {
            if prepared != Some(choice.rest) {
                prepared = Some(choice.rest);
                let there_are = counts.choose_rest(hot, choice.rest, choice.to_lightest, task.gpus);
                self.lightest.clear();
                if there_are {
                    self.replicas.collect(&counts.adams.load[hot..], &counts.counts[hot..]);
                    sums_of_lightest(&self.replicas, &mut self.lightest);
                }
            }
            choice.judgement = match self.lightest[..] {
                [] => u64::MAX,
                _ => Skeleton::new(load, choice.counts, task).judge(&self.lightest),
            };
        }
        self.choices.sort_unstable();
    }
}

/// How many of the experts with these descending loads are looked at as hot ones, and whether there are
/// others.
fn hot_experts(load: &[u64], task: Task<'_>) -> (usize, bool) {
    // Canonical loads sum to about 2^40.
    let total = load.iter().sum::<u64>();
    let parts = u128::from(PART_OF_MEAN * task.gpus as u64);
    let is_hot = |&&w: &&u64| total > 0 && u128::from(w) * parts >= total.into();
    // A GPU has room for one replica of each, and there is an expert that is not hot.
    let most = MOST_HOT.min(load.len() - 1).min(task.slots / task.gpus);
    let hot = load[..most].iter().take_while(is_hot).count();
    (hot, load.get(hot).is_some_and(|w| is_hot(&w)))
}

/// The counts that hot experts may have.
struct Ranges<'a> {
    load: &'a [u64],
    peak: u64,
    gpus: usize,
    extra: usize,
}

impl Ranges<'_> {
    /// Lists all choices for the hot experts from `expert` on, if so many redundant slots are left.
    fn each(&self, expert: usize, left: usize, counts: &mut Counts, choices: &mut Vec<Choice>) {
        let Some(&w) = self.load.get(expert) else {
            choices.push(Choice { judgement: 0, rest: left, to_lightest: false, counts: *counts });
            return;
        };
        let most = self.gpus.min(left + 1);
        // Canonical loads are so large that no peak is one.
        let least = (w * SHARE_UNIT).div_ceil(self.peak - 1).max(1) as usize;
        let step = (least / REPLICAS_PER_STEP).max(1);
        for count in (least..=most).step_by(step).take(self.extra + 1) {
            counts[expert] = count as u32;
            self.each(expert + 1, left - (count - 1), counts, choices);
        }
    }
}

/// Alike GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Alike {
    /// What the hot replicas on each of them carry together.
    pub(super) load: u64,
    /// How many each holds.
    pub(super) held: usize,
    pub(super) gpus: usize,
}

/// Hot replicas on GPUs: experts by the share of a replica, heaviest first, all replicas of an expert to
/// the lightest GPUs, as the greedy placement has them.
#[derive(Debug)]
pub(super) struct Skeleton {
    /// By descending load.
    pub(super) alike: [Alike; MOST_HOT + 1],
    pub(super) kinds: usize,
    per_gpu: usize,
}

impl Skeleton {
    pub(super) fn new(load: &[u64], counts: Counts, task: Task<'_>) -> Self {
        let mut shares = [(0, 0); MOST_HOT];
        for ((share, &w), count) in shares.iter_mut().zip(load).zip(counts) {
            *share = (packing_load(w, count.into()), count as usize);
        }
        shares[..load.len()].sort_unstable_by(|a, b| b.cmp(a));
        let mut alike = [Alike::default(); MOST_HOT + 1];
        alike[0].gpus = task.gpus;
        let per_gpu = task.slots / task.gpus;
        let mut skeleton = Self { alike, kinds: 1, per_gpu };
        for &(share, count) in &shares[..load.len()] {
            skeleton.put(share, count);
        }
        skeleton
    }

    /// Puts a replica of this load on each of `count` GPUs.
    fn put(&mut self, share: u64, mut count: usize) {
        for kind in (0..self.kinds).rev() {
            let Alike { load, held, gpus } = self.alike[kind];
            if count == 0 {
                break;
            }
            let taken = gpus.min(count);
            count -= taken;
            if taken < gpus {
                self.alike[self.kinds] = Alike { load, held, gpus: gpus - taken };
                self.kinds += 1;
            }
            self.alike[kind] = Alike { load: load + share, held: held + 1, gpus: taken };
        }
        self.alike[..self.kinds].sort_by_key(|alike| Reverse(alike.load));
    }

    /// What some GPU carries at least, with this skeleton: GPUs with the most hot load have to fill their
    /// other slots, if only with the lightest replicas. All GPUs together carry the mean, whatever the
    /// choice, and are left out. `lightest` has the sums of the lightest replicas, from none on.
    fn judge(&self, lightest: &[u64]) -> u64 {
        let (mut load, mut slots, mut gpus, mut most) = (0, 0, 0, 0);
        for alike in &self.alike[..self.kinds - 1] {
            gpus += alike.gpus;
            slots += alike.gpus * (self.per_gpu - alike.held);
            load += alike.load * alike.gpus as u64;
            most = most.max((load + lightest[slots]).div_ceil(gpus as u64));
        }
        // The heaviest replica of the others is somewhere too.
        let heaviest = lightest[lightest.len() - 1] - lightest[lightest.len() - 2];
        let kinds = self.alike[..self.kinds].iter().filter(|alike| alike.held < self.per_gpu);
        let beside = kinds.map(|alike| alike.load + lightest[self.per_gpu - alike.held - 1]);
        most.max(heaviest + beside.min().unwrap_or(0))
    }
}

/// Sums of no replica, of the lightest one, of the two lightest ones, and so on.
fn sums_of_lightest(replicas: &ByExpert, sums: &mut Vec<u64>) {
    let mut sum = 0;
    sums.push(0);
    sums.extend(replicas.sorted.iter().rev().map(|replica| {
        sum += replica.load;
        sum
    }));
}
