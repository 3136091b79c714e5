//! The experts of one node on its GPUs: an initial placement, its improvement, and if these do not reach
//! the target, other replica counts and transferred replicas. Each is a candidate; a portfolio keeps the
//! best.

use super::candidate::{Candidate, Portfolio};
use super::hot::{Choice, HotChoices};
use super::improve::{Improver, peak_of};
use super::lattice::Lattice;
use super::mixes::Mixes;
use super::moves::transfer_replica::{self, Transfer};
use super::replica_counts::{ReplicaCounts, each_choice, few_choices};
use super::task::Task;
use crate::cost::packing_bounds::crowded;
use crate::greedy::distinct::DistinctGreedy;
use crate::kernel::probe::{Probe, Silent, Step};
use crate::minimax::budget::{
    MOST_SLOTS_FOR_MIXES, SLOTS_OF_MANY_TRANSFERS, SMALLEST_GAIN, WORK_OF_PLACING,
};
use crate::problem::share::SHARE_UNIT;
use crate::sorted_replicas::by_expert::ByExpert;

/// Searches node after node in the same buffers.
#[derive(Debug, Default)]
pub(super) struct NodeSearch<P = Silent> {
    pub(super) counts: ReplicaCounts,
    portfolio: Portfolio,
    greedy: DistinctGreedy,
    improver: Improver,
    /// Choices of replica counts that were looked at: a bound of the peak, and the rest.
    choices: Vec<(u64, usize)>,
    lattice: Lattice,
    hot: HotChoices,
    mixes: Mixes,
    transfers: Vec<Transfer>,
    transfer_counts: Vec<u32>,
    /// Work of the improver when the best was found, or the candidates of another kind began.
    gained: u64,
    pub(super) probe: P,
}

/// What a search has found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome<'a> {
    pub(super) best: &'a Candidate,
    /// Index of the expert at each position.
    pub(super) expert: &'a [u32],
    /// Whether greedy packing that may put an expert twice on a GPU has the same initial placement.
    pub(super) as_lpt: bool,
}

impl<P: Probe> NodeSearch<P> {
    /// The best candidate for the experts whose `counts` were started.
    pub(super) fn run(&mut self, task: Task<'_>) -> Outcome<'_> {
        (self.improver.work, self.gained) = (0, 0);
        self.counts.choose_adams();
        let as_lpt = self.place(task);
        std::mem::swap(&mut self.portfolio.best, &mut self.portfolio.trial);
        let has_choice = task.slots > task.gpus && task.gpus > 1;
        if has_choice && self.above_target(task) {
            self.improver.sweep_and_swap(&mut self.portfolio.best, task, &mut self.probe);
        }
        if has_choice && self.above_target(task) {
            self.lattice.start(&self.counts.adams.load, task.gpus);
            self.try_other_counts(task);
            self.try_hot_counts(task);
            self.try_transfers(task);
        }
        Outcome { best: &self.portfolio.best, expert: &self.counts.adams.expert, as_lpt }
    }

    fn above_target(&self, task: Task<'_>) -> bool {
        self.portfolio.best.peak > task.target
    }

    /// Whether the best is above the target, and candidates of this kind made it better not long ago.
    fn goes_on(&self, task: Task<'_>) -> bool {
        let patience = task.budget.patience_per_slot * task.slots as u64;
        self.above_target(task) && self.improver.work - self.gained <= patience
    }

    /// Keeps the better of the trial and the best, and tells whether it is the trial.
    fn keep_better(&mut self, task: Task<'_>) -> bool {
        self.improver.work += WORK_OF_PLACING * task.slots as u64;
        let before = self.portfolio.best.peak;
        let better = self.portfolio.keep_better();
        let peak = self.portfolio.best.peak;
        if before - peak > (before - task.bound) / SMALLEST_GAIN {
            self.gained = self.improver.work;
        }
        better
    }

    /// Makes the initial placement of the chosen counts the trial.
    fn place(&mut self, task: Task<'_>) -> bool {
        let Candidate { replicas, layout, peak } = &mut self.portfolio.trial;
        replicas.collect(&self.counts.adams.load, &self.counts.counts);
        let as_lpt = self.greedy.place(replicas, task.gpus, layout);
        *peak = layout.peak();
        self.probe.step(Step::Packed, || peak_of(layout));
        as_lpt
    }

    /// Places the chosen counts, improves that, and keeps the better of this and the best; not if no
    /// placement of them is better.
    fn try_counts(&mut self, task: Task<'_>) {
        if self.lattice.bound(&self.counts.counts) >= self.portfolio.best.peak {
            return;
        }
        self.place(task);
        self.improver.sweep_and_swap(&mut self.portfolio.trial, task, &mut self.probe);
        self.keep_better(task);
    }

    fn try_other_counts(&mut self, task: Task<'_>) {
        if task.budget.packed == 0 || !self.above_target(task) {
            return;
        }
        let experts = self.counts.adams.load.len();
        if few_choices(experts, task.slots, task.budget.all_choices) {
            self.try_all_counts(task);
        } else {
            self.try_mixes(task);
            if self.above_target(task) {
                self.try_family(task);
            }
        }
    }

    /// Tries the mixes of most promise.
    fn try_mixes(&mut self, task: Task<'_>) {
        self.gained = self.improver.work;
        if task.budget.mixes == 0 || task.slots / task.gpus > MOST_SLOTS_FOR_MIXES {
            return;
        }
        // Mixes come nearer than the target for a few more swaps, unless another node is above it.
        let mut task = task;
        if task.target <= task.budget.gap.above(task.bound) {
            task.target = task.bound.midpoint(task.target);
        }
        let load = &self.counts.adams.load;
        for choice in self.mixes.list(load, task.slots, task.gpus, task.budget.mixes) {
            // Of a type a GPU has no more than its load: all is below 2^41, and the product below 2^61.
            if choice.judged * SHARE_UNIT >= self.portfolio.best.peak || !self.goes_on(task) {
                break;
            }
            self.counts.counts = choice.counts;
            self.try_counts(task);
        }
    }

    /// Tries the counts of the family whose bounds are lowest.
    fn try_family(&mut self, task: Task<'_>) {
        self.gained = self.improver.work;
        self.choices.clear();
        // With a small rest, heavy replicas crowd the GPUs; with a large one they are too heavy
        // themselves. The best rest is between: halving by thirds.
        let (mut low, mut high) = (1, self.counts.redundant());
        while high > low && self.choices.len() < task.budget.choices {
            let third = (high - low) / 3;
            let (a, b) = (low + third, high - third);
            if self.bound_of(a, task.gpus) <= self.bound_of(b, task.gpus) {
                high = if b < high { b } else { high - 1 };
            } else {
                low = if a > low { a } else { low + 1 };
            }
        }
        self.choices.sort_unstable();
        for i in 0..task.budget.packed.min(self.choices.len()) {
            let (bound, rest) = self.choices[i];
            if bound >= self.portfolio.best.peak || !self.goes_on(task) {
                break;
            }
            self.counts.choose(rest, task.gpus);
            self.try_counts(task);
        }
    }

    /// What some GPU carries at least with the counts of the family with this rest.
    fn bound_of(&mut self, rest: usize, gpus: usize) -> u64 {
        if let Some(known) = self.choices.iter().find(|choice| choice.1 == rest) {
            return known.0;
        }
        if !self.counts.choose(rest, gpus) {
            return u64::MAX;
        }
        let replicas = &mut self.portfolio.trial.replicas;
        replicas.collect(&self.counts.adams.load, &self.counts.counts);
        let bound = crowded_bound(replicas, gpus);
        self.choices.push((bound, rest));
        bound
    }

    /// Tries all possible counts, those with the lowest bounds first.
    fn try_all_counts(&mut self, task: Task<'_>) {
        let load = &self.counts.adams.load;
        let mut all = Vec::new();
        let replicas = &mut self.portfolio.trial.replicas;
        let redundant = task.slots - load.len();
        each_choice(&mut vec![1; load.len()], 0, redundant, task.gpus, &mut |counts| {
            replicas.collect(load, counts);
            all.push((crowded_bound(replicas, task.gpus).max(task.bound), counts.to_vec()));
        });
        all.sort_unstable();
        for (bound, counts) in all {
            if bound >= self.portfolio.best.peak || !self.above_target(task) {
                break;
            }
            self.counts.counts = counts;
            self.try_counts(task);
        }
    }

    /// Tries the counts of hot experts that are judged best.
    fn try_hot_counts(&mut self, task: Task<'_>) {
        self.gained = self.improver.work;
        let budget = task.budget;
        if budget.hot_packed == 0 || !self.above_target(task) {
            return;
        }
        let peak = self.portfolio.best.peak;
        let hot = self.hot.list(&mut self.counts, task, budget.hot_choices, peak);
        for i in 0..budget.hot_packed.min(self.hot.choices.len()) {
            let Choice { judgement, rest, to_lightest, counts } = self.hot.choices[i];
            if judgement >= self.portfolio.best.peak || !self.goes_on(task) {
                break;
            }
            self.counts.choose_rest(hot, rest, to_lightest, task.gpus);
            self.counts.counts[..hot].copy_from_slice(&counts[..hot]);
            self.try_counts(task);
        }
    }

    /// Tries transfers of replicas, each with swaps, as long as one of them lowers the peak.
    fn try_transfers(&mut self, task: Task<'_>) {
        self.gained = self.improver.work;
        let budget = task.budget.transfers;
        let mut left = budget.max(budget * SLOTS_OF_MANY_TRANSFERS / task.slots);
        while left > 0 && self.goes_on(task) {
            let best = &self.portfolio.best;
            let (load, from) = (&self.counts.adams.load, best.layout.busiest());
            transfer_replica::list(best, load, from, left, &mut self.transfers);
            let better = (0..self.transfers.len()).any(|i| {
                left -= 1;
                self.try_transfer(self.transfers[i], task)
            });
            if !better {
                break;
            }
        }
    }

    /// Tries one transfer, and tells whether it lowers the peak.
    fn try_transfer(&mut self, transfer: Transfer, task: Task<'_>) -> bool {
        let Portfolio { best, trial } = &mut self.portfolio;
        let load = &self.counts.adams.load;
        let counts = &mut self.transfer_counts;
        transfer_replica::count(transfer, load.len(), &best.replicas, counts);
        if self.lattice.bound(counts) >= best.peak {
            return false;
        }
        transfer_replica::apply(transfer, load, counts, best, trial);
        self.probe.step(Step::Trial, || peak_of(&trial.layout));
        self.improver.swap(trial, task, &mut self.probe);
        let better = self.keep_better(task);
        if better {
            self.probe.step(Step::TransferReplica, || peak_of(&self.portfolio.best.layout));
        }
        better
    }
}

/// What some GPU carries at least, however these replicas are packed.
fn crowded_bound(replicas: &ByExpert, gpus: usize) -> u64 {
    crowded(replicas.sorted.len(), gpus, |index| replicas.sorted[index].load)
}
