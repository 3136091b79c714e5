//! The experts of one node on its GPUs: copies, a first layout, and its improvement.

use super::copies::{Copies, each_choice, few_choices};
use super::deal::Deal;
use super::layout::Layout;
use super::pair_swap::PairSwap;
use super::rematch::Rematch;
use super::replicas::Replicas;
use super::retarget::{self, Retarget};
use super::swap;
use crate::kernel::probe::{Peak, Silent, Step, Trace};
use crate::problem::options::Effort;

/// What an effort buys, in operations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Sweeps of re-matching for each layout.
    sweeps: usize,
    /// Exchanges for each layout, and as many again for every 32 GPUs.
    exchanges: usize,
    /// Copies or pairs compared while a layout is improved, for each slot.
    work_per_slot: u64,
    /// Lightest GPUs that pairs are exchanged with.
    pair_partners: usize,
    /// Choices of copies whose crowding is looked at.
    choices: usize,
    /// Choices of copies that are packed.
    packed: usize,
    /// Where there are no more choices than this, all are looked at.
    all_choices: u64,
    /// Retargets that are tried.
    retargets: usize,
}

impl Limits {
    pub(super) fn of(effort: Effort, slots_per_gpu: usize) -> Self {
        // A sweep costs as much as a hundred exchanges, which is what few slots take.
        let few = slots_per_gpu < 8;
        match effort {
            Effort::Fast => Self {
                sweeps: usize::from(few),
                exchanges: if few { 0 } else { 32 },
                work_per_slot: 12,
                pair_partners: 4,
                choices: 0,
                packed: 0,
                all_choices: 0,
                retargets: 0,
            },
            Effort::Default => Self {
                sweeps: usize::from(few),
                exchanges: 64,
                work_per_slot: 100,
                pair_partners: 16,
                choices: 7,
                packed: 4,
                all_choices: 512,
                retargets: 4,
            },
            Effort::Best => Self {
                sweeps: 4,
                exchanges: 10_000,
                work_per_slot: 1000,
                pair_partners: usize::MAX,
                choices: 32,
                packed: 16,
                all_choices: 16_384,
                retargets: 64,
            },
        }
    }
}

/// Copies and where they are.
#[derive(Debug, Default, Clone)]
pub(super) struct Placed {
    pub(super) replicas: Replicas,
    pub(super) layout: Layout,
    /// The largest load of a GPU.
    pub(super) peak: u64,
}

/// Plans node after node in the same buffers.
#[derive(Debug, Default)]
pub(super) struct NodePlanner<T = Silent> {
    pub(super) copies: Copies,
    /// The best found.
    pub(super) best: Placed,
    /// Whether greedy packing would have found the same first layout.
    pub(super) greedy: bool,
    trial: Placed,
    deal: Deal,
    rematch: Rematch,
    pair_swap: PairSwap,
    /// Crowding of the choices looked at, and the choice.
    choices: Vec<(u64, usize)>,
    retargets: Vec<Retarget>,
    counts: Vec<u32>,
    pub(super) trace: T,
}

/// The sizes of a node and what is asked of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    pub(super) gpus: usize,
    pub(super) slots: usize,
    /// No plan has a lower peak.
    pub(super) bound: u64,
    /// The search ends at this peak.
    pub(super) target: u64,
    pub(super) limits: Limits,
}

impl<T: Trace> NodePlanner<T> {
    /// Copies by Adams' method; returns the load of the heaviest copy, a lower bound of the peak.
    pub(super) fn start(&mut self, loads: &[u64], slots: usize, gpus: usize) -> u64 {
        self.copies.start(loads, slots, gpus);
        self.best.replicas.collect(&self.copies.adams.load, &self.copies.counts);
        self.best.replicas.sorted[0].load
    }

    /// Places what has been started, in `best`.
    pub(super) fn place(&mut self, task: Task) {
        let limits = task.limits;
        self.greedy = self.deal.deal(&self.best.replicas, task.gpus, &mut self.best.layout);
        self.best.peak = self.best.layout.peak();
        self.trace.step(Step::Deal, || peak_of(&self.best.layout));
        if self.best.peak <= task.target || task.slots == task.gpus || task.gpus == 1 {
            return;
        }
        self.improve(task, true);
        if self.best.peak > task.target && limits.packed > 0 {
            let experts = self.copies.adams.load.len();
            if few_choices(experts, task.slots, limits.all_choices) {
                self.try_all_choices(task);
            } else {
                self.try_choices(task);
            }
        }
        if self.best.peak > task.target && limits.retargets > 0 {
            self.try_retargets(task);
        }
    }

    /// Sweeps and exchanges until `best` reaches the target, or nothing helps, or the work is done.
    fn improve(&mut self, task: Task, sweep: bool) {
        let Task { target, bound, limits, .. } = task;
        let Placed { replicas, layout, peak } = &mut self.best;
        for _ in 0..if sweep { limits.sweeps } else { 0 } {
            let trace = &mut self.trace;
            let mut changed = |layout: &Layout| trace.step(Step::Rematch, || peak_of(layout));
            if !self.rematch.sweep(replicas, layout, &mut changed) || layout.peak() <= target {
                break;
            }
        }
        let mut work = 0;
        // What exchanges aim at: the target, or where that cannot be reached something between.
        let mut aim = target;
        for _ in 0..limits.exchanges * (1 + task.gpus / 32) {
            let from = layout.busiest();
            let load = layout.load[from];
            if load <= target || work > limits.work_per_slot * task.slots as u64 {
                break;
            }
            if load <= aim {
                aim = target.midpoint(load);
            }
            if let Some((a, b)) = swap::find(replicas, layout, from, aim, &mut work) {
                layout.exchange(replicas, a, b);
                self.trace.step(Step::Swap, || peak_of(layout));
            } else if let Some(pairs) =
                self.pair_swap.find(replicas, layout, from, aim, limits.pair_partners, &mut work)
            {
                for (a, b) in pairs {
                    layout.exchange(replicas, a, b);
                }
                self.trace.step(Step::PairSwap, || peak_of(layout));
            } else if load - aim <= (load - bound) / 8 {
                break;
            } else {
                aim = aim.midpoint(load);
            }
        }
        *peak = layout.peak();
    }

    /// Packs the choices of copies that crowd GPUs least.
    fn try_choices(&mut self, task: Task) {
        self.choices.clear();
        // With a small rest the heavy copies crowd GPUs, with a large one they are too heavy
        // themselves: between the two, by thirds.
        let (mut low, mut high) = (1, self.copies.spares());
        while high > low && self.choices.len() < task.limits.choices {
            let third = (high - low) / 3;
            let (a, b) = (low + third, high - third);
            if self.crowding(a, task.gpus) <= self.crowding(b, task.gpus) {
                high = if b < high { b } else { high - 1 };
            } else {
                low = if a > low { a } else { low + 1 };
            }
        }
        self.choices.sort_unstable();
        for i in 0..task.limits.packed.min(self.choices.len()) {
            let (crowding, rest) = self.choices[i];
            if crowding >= self.best.peak || self.best.peak <= task.target {
                break;
            }
            self.copies.choose(rest, task.gpus);
            self.try_counts(task);
        }
    }

    /// Packs all choices of copies there are, those first that crowd GPUs least.
    fn try_all_choices(&mut self, task: Task) {
        let load = &self.copies.adams.load;
        let mut all = Vec::new();
        let replicas = &mut self.trial.replicas;
        let spares = task.slots - load.len();
        each_choice(&mut vec![1; load.len()], 0, spares, task.gpus, &mut |counts| {
            replicas.collect(load, counts);
            all.push((replicas.crowded_bound(task.gpus).max(task.bound), counts.to_vec()));
        });
        all.sort_unstable();
        for (crowding, counts) in all {
            if crowding >= self.best.peak || self.best.peak <= task.target {
                break;
            }
            self.copies.counts.clone_from(&counts);
            self.try_counts(task);
        }
    }

    /// Packs the copies that have been chosen, and keeps the better of this and the best.
    fn try_counts(&mut self, task: Task) {
        std::mem::swap(&mut self.best, &mut self.trial);
        self.best.replicas.collect(&self.copies.adams.load, &self.copies.counts);
        self.deal.deal(&self.best.replicas, task.gpus, &mut self.best.layout);
        self.trace.step(Step::Deal, || peak_of(&self.best.layout));
        self.improve(task, true);
        if self.trial.peak <= self.best.peak {
            std::mem::swap(&mut self.best, &mut self.trial);
        }
    }

    /// What some GPU carries at least with a choice of copies.
    fn crowding(&mut self, rest: usize, gpus: usize) -> u64 {
        if let Some(known) = self.choices.iter().find(|choice| choice.1 == rest) {
            return known.0;
        }
        if !self.copies.choose(rest, gpus) {
            return u64::MAX;
        }
        self.trial.replicas.collect(&self.copies.adams.load, &self.copies.counts);
        let crowding = self.trial.replicas.crowded_bound(gpus);
        self.choices.push((crowding, rest));
        crowding
    }

    /// Retargets, each improved; those that lower the peak stay.
    fn try_retargets(&mut self, task: Task) {
        // Small problems have few choices of copies in their family, and cost little.
        let mut left = task.limits.retargets.max(task.limits.retargets * 128 / task.slots);
        while left > 0 && self.best.peak > task.target {
            let from = self.best.layout.busiest();
            let load = &self.copies.adams.load;
            let Placed { replicas, layout, .. } = &self.best;
            retarget::list(replicas, layout, load, from, left, &mut self.retargets);
            let peak = self.best.peak;
            for i in 0..self.retargets.len() {
                if left == 0 {
                    break;
                }
                left -= 1;
                std::mem::swap(&mut self.best, &mut self.trial);
                retarget::apply(
                    self.retargets[i],
                    &self.copies.adams.load,
                    &self.trial,
                    &mut self.best,
                    &mut self.counts,
                );
                self.trace.step(Step::Trial, || peak_of(&self.best.layout));
                self.improve(task, false);
                if self.best.peak < peak {
                    self.trace.step(Step::Retarget, || peak_of(&self.best.layout));
                    break;
                }
                std::mem::swap(&mut self.best, &mut self.trial);
            }
            if self.best.peak == peak {
                break;
            }
        }
    }
}

fn peak_of(layout: &Layout) -> Peak {
    Peak::of_packs(layout.peak())
}
