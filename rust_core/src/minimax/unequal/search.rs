//! The experts of a zone on its GPUs: an initial placement, its improvement, and if these do not reach the
//! target, other replica counts and transferred replicas. The best layout is kept.

use super::exhaustive;
use super::gpus::Gpus;
use super::improve::{Goal, improve};
use super::layout::Layout;
use super::limits::{
    FEWEST_TRANSFERS, MOST_SLOTS_SEARCHED, MOST_TO_PLACE_AGAIN, MOST_TRANSFERS_LISTED,
    SLOTS_OF_MANY_TRANSFERS, STEPS_OF_SEARCH,
};
use super::place::Placer;
use super::swap::Swaps;
use super::transfer::{self, Transfer};
use crate::minimax::replica_counts::{ReplicaCounts, each_choice, few_choices};

/// To which experts a family of replica counts gives the last redundant slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RestTo {
    /// By Adams' method to those with one replica: replicas to go with heavy ones.
    Light,
    /// One to each of the lightest: replicas for the slots of slow GPUs.
    Lightest,
}

/// Searches zone after zone in the same buffers.
#[derive(Debug, Default)]
pub(super) struct ZoneSearch {
    pub(super) counts: ReplicaCounts,
    placer: Placer,
    swaps: Swaps,
    pub(super) best: Layout,
    peak: u64,
    trial: Layout,
    /// Choices of replica counts that were looked at: the peak of the initial placement, the family, and the
    /// rest.
    choices: Vec<(u64, RestTo, usize)>,
    transfers: Vec<Transfer>,
    /// The largest counts, in order.
    sorted: Vec<u32>,
}

impl ZoneSearch {
    /// Begins with experts of these canonical loads.
    pub(super) fn start(&mut self, loads: &[u64], gpus: &Gpus) {
        self.counts.start_within(loads, &gpus.room);
    }

    /// The least peak that is found for the experts of [`Self::start`]; the layout is `best`.
    pub(super) fn run(&mut self, gpus: &Gpus, goal: Goal<'_>) -> u64 {
        self.counts.choose_adams();
        self.peak = self.place(gpus);
        std::mem::swap(&mut self.best, &mut self.trial);
        if self.peak > goal.target && gpus.len() > 1 {
            self.peak = improve(&mut self.swaps, gpus, &mut self.best, goal);
            self.try_other_counts(gpus, goal);
            self.try_transfers(gpus, goal);
        }
        self.peak
    }

    /// Makes the initial placement of the chosen counts the trial.
    fn place(&mut self, gpus: &Gpus) -> u64 {
        self.trial.clear(gpus, &self.counts.adams.load, &self.counts.counts);
        self.placer.place(gpus, &mut self.trial);
        self.trial.peak(gpus)
    }

    /// Improves the trial and keeps it if it is better: if its peak is lower, or as high on fewer GPUs.
    /// Tells whether it is.
    fn improve_trial(&mut self, gpus: &Gpus, goal: Goal<'_>) -> bool {
        let peak = improve(&mut self.swaps, gpus, &mut self.trial, goal);
        let better = peak < self.peak
            || peak == self.peak && self.trial.at_peak(gpus, peak) < self.best.at_peak(gpus, peak);
        if better {
            self.peak = peak;
            std::mem::swap(&mut self.best, &mut self.trial);
        }
        better
    }

    fn try_other_counts(&mut self, gpus: &Gpus, goal: Goal<'_>) {
        let large = gpus.num_slots() * gpus.len() > MOST_TO_PLACE_AGAIN;
        if large || goal.budget.packed == 0 || self.peak <= goal.target {
            return;
        }
        let experts = self.counts.adams.load.len();
        if few_choices(experts, gpus.num_slots(), goal.budget.all_choices) {
            self.try_all_counts(gpus, goal);
        } else {
            self.try_families(gpus, goal);
        }
    }

    /// Tries the counts of both families whose initial placements are best.
    fn try_families(&mut self, gpus: &Gpus, goal: Goal<'_>) {
        self.choices.clear();
        for rest_to in [RestTo::Light, RestTo::Lightest] {
            let known = self.choices.len();
            // As for equal GPUs: the best rest is between, halving by thirds.
            let (mut low, mut high) = (1, self.counts.redundant());
            while high > low && self.choices.len() - known < goal.budget.choices {
                let third = (high - low) / 3;
                let (a, b) = (low + third, high - third);
                if self.peak_of(a, rest_to, gpus) <= self.peak_of(b, rest_to, gpus) {
                    high = if b < high { b } else { high - 1 };
                } else {
                    low = if a > low { a } else { low + 1 };
                }
            }
        }
        self.choices.sort_unstable();
        for i in 0..goal.budget.packed.min(self.choices.len()) {
            let (placed, rest_to, rest) = self.choices[i];
            if self.peak <= goal.target || placed == u64::MAX {
                break;
            }
            self.choose(rest, rest_to, gpus);
            self.place(gpus);
            self.improve_trial(gpus, goal);
        }
    }

    /// The peak of the initial placement with the counts of a family with this rest.
    fn peak_of(&mut self, rest: usize, rest_to: RestTo, gpus: &Gpus) -> u64 {
        let is = |choice: &&(u64, RestTo, usize)| (choice.1, choice.2) == (rest_to, rest);
        if let Some(known) = self.choices.iter().find(is) {
            return known.0;
        }
        let peak = if self.choose(rest, rest_to, gpus) { self.place(gpus) } else { u64::MAX };
        self.choices.push((peak, rest_to, rest));
        peak
    }

    /// Chooses the counts of a family with this rest; tells whether there is room for them.
    fn choose(&mut self, rest: usize, rest_to: RestTo, gpus: &Gpus) -> bool {
        let any = match rest_to {
            RestTo::Light => self.counts.choose(rest, gpus.len()),
            RestTo::Lightest => self.counts.choose_lightest(rest),
        };
        any && self.fits(gpus)
    }

    /// Whether there is room for the chosen counts.
    fn fits(&mut self, gpus: &Gpus) -> bool {
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.counts.counts);
        self.sorted.sort_unstable_by(|a, b| b.cmp(a));
        let taken = self.sorted.iter().scan(0, |taken, &count| {
            *taken += u64::from(count);
            Some(*taken)
        });
        taken.zip(&gpus.room[1..]).all(|(taken, &room)| taken <= room)
    }

    /// Tries all possible counts, those with the best initial placements first.
    fn try_all_counts(&mut self, gpus: &Gpus, goal: Goal<'_>) {
        let experts = self.counts.adams.load.len();
        let redundant = gpus.num_slots() - experts;
        let mut all = Vec::new();
        each_choice(&mut vec![1; experts], 0, redundant, gpus.len(), &mut |counts| {
            all.push((0, counts.to_vec()));
        });
        for (peak, counts) in &mut all {
            self.counts.counts.clone_from(counts);
            *peak = if self.fits(gpus) { self.place(gpus) } else { u64::MAX };
        }
        all.retain(|choice| choice.0 < u64::MAX);
        all.sort_unstable();
        for (_, counts) in &all {
            if self.peak <= goal.target {
                return;
            }
            self.counts.counts.clone_from(counts);
            self.place(gpus);
            self.improve_trial(gpus, goal);
        }
        if gpus.num_slots() > MOST_SLOTS_SEARCHED {
            return;
        }
        let mut steps = goal.budget.work_per_slot * STEPS_OF_SEARCH;
        for (_, counts) in &all {
            if self.peak <= goal.target {
                return;
            }
            self.trial.clear(gpus, &self.counts.adams.load, counts);
            if let Some(peak) = exhaustive::place(gpus, &mut self.trial, self.peak, &mut steps) {
                self.peak = peak;
                std::mem::swap(&mut self.best, &mut self.trial);
            }
        }
    }

    /// Tries transfers of replicas, each with swaps, as long as one of them lowers the peak.
    fn try_transfers(&mut self, gpus: &Gpus, goal: Goal<'_>) {
        let budget = goal.budget.transfers;
        let many = budget * SLOTS_OF_MANY_TRANSFERS / gpus.num_slots();
        let mut left = many.max(budget).max(FEWEST_TRANSFERS);
        while left > 0 && self.peak > goal.target {
            let from = self.best.busiest(gpus);
            if gpus.slots(from).len() * gpus.num_slots() > MOST_TRANSFERS_LISTED {
                break;
            }
            let loads = &self.counts.adams.load;
            transfer::list(gpus, &self.best, loads, from, left, &mut self.transfers);
            let better = (0..self.transfers.len()).any(|i| {
                left -= 1;
                let Transfer { gpu, donor, receiver, .. } = self.transfers[i];
                self.trial.clone_from(&self.best);
                let loads = &self.counts.adams.load;
                self.trial.reassign(gpus, loads, gpu as usize, donor, receiver);
                self.improve_trial(gpus, goal)
            });
            if !better {
                break;
            }
        }
    }
}
