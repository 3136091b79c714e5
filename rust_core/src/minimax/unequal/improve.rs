//! Improves a layout by swaps between the GPU that takes longest and others.

use super::gpus::Gpus;
use super::layout::Layout;
use super::limits::FEWEST_SWAPS;
use super::swap::{Aim, Swaps};
use crate::minimax::budget::{
    Budget, GPUS_PER_SHARE_OF_SWAPS, MOST_SLOTS_FOR_PAIRS, SMALLEST_STEP,
};

/// What a search of a zone is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal<'a> {
    /// No plan takes less time.
    pub(super) bound: u64,
    /// The search ends at this time.
    pub(super) target: u64,
    pub(super) budget: &'a Budget,
}

impl Goal<'_> {
    /// A target within the gap of the bound, unless that of the goal is higher.
    pub(super) fn with_own_target(self) -> Self {
        Self { target: self.budget.gap.above(self.bound).max(self.target), ..self }
    }
}

/// Swaps until the layout reaches the target, or nothing helps, or the budget is spent; returns the peak.
pub(super) fn improve(swaps: &mut Swaps, gpus: &Gpus, layout: &mut Layout, goal: Goal<'_>) -> u64 {
    let Goal { bound, target, budget } = goal;
    let pairs = (0..gpus.len()).all(|gpu| gpus.slots(gpu).len() <= MOST_SLOTS_FOR_PAIRS);
    let mut work = 0;
    // The target; or if swaps cannot reach it, something between the target and the peak.
    let mut aim = target;
    for _ in 0..budget.swaps.max(FEWEST_SWAPS) * (1 + gpus.len() / GPUS_PER_SHARE_OF_SWAPS) {
        let from = layout.busiest(gpus);
        let peak = gpus.time(from, layout.load[from]);
        if peak <= target || work > budget.work_per_slot * gpus.num_slots() as u64 {
            break;
        }
        if peak <= aim {
            aim = target.midpoint(peak);
        }
        work += gpus.len() as u64;
        let to_aim = Aim { from, time: aim };
        let mut found = swaps.find(gpus, layout, to_aim, &mut work);
        if found.is_none() && pairs {
            found = swaps.find_pairs(gpus, layout, to_aim, budget.pair_partners, &mut work);
        }
        if let Some(swap) = found {
            for (a, b) in swap.pairs.into_iter().flatten() {
                layout.exchange(gpus, (from, a), (swap.to, b));
            }
        } else if peak - aim <= (peak - bound) / SMALLEST_STEP {
            break;
        } else {
            aim = aim.midpoint(peak);
        }
    }
    layout.peak(gpus)
}
