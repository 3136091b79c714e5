//! Improves a layout: reassigned columns, then swaps between the busiest GPU and others.

use super::budget::{GPUS_PER_SHARE_OF_SWAPS, SMALLEST_STEP};
use super::candidate::Candidate;
use super::moves::reassign_column::ReassignColumn;
use super::moves::swap;
use super::moves::swap_pairs::SwapPairs;
use super::task::Task;
use crate::kernel::probe::{Peak, Probe, Step};
use crate::layout::Layout;
use crate::sorted_replicas::by_expert::ByExpert;

/// Improves candidates, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct Improver {
    columns: ReassignColumn,
    pairs: SwapPairs,
    /// Replicas and pairs compared so far.
    pub(super) work: u64,
}

impl Improver {
    /// Sweeps and swaps until the candidate reaches the target, or nothing helps, or the budget is
    /// spent.
    pub(super) fn sweep_and_swap(
        &mut self,
        candidate: &mut Candidate,
        task: Task<'_>,
        probe: &mut impl Probe,
    ) {
        let Candidate { replicas, layout, .. } = candidate;
        for _ in 0..task.budget.sweeps {
            let mut changed =
                |layout: &Layout| probe.step(Step::ReassignColumn, || peak_of(layout));
            let moved = self.columns.sweep(replicas, layout, &mut changed);
            if !moved || layout.peak() <= task.target {
                break;
            }
        }
        self.swap(candidate, task, probe);
    }

    /// The same without sweeps.
    pub(super) fn swap(
        &mut self,
        candidate: &mut Candidate,
        task: Task<'_>,
        probe: &mut impl Probe,
    ) {
        let Task { target, bound, budget, .. } = task;
        let Candidate { replicas, layout, peak } = candidate;
        self.pairs.start(layout.load.len());
        let mut work = 0;
        // Loads of GPUs are multiples of it, so aims are too.
        let unit = replicas.common_divisor(target - bound + 1);
        let target = bound.next_multiple_of(unit).max(target - target % unit);
        // The target; or if swaps cannot reach it, something between the target and the peak.
        let mut aim = target;
        for _ in 0..budget.swaps * (1 + task.gpus / GPUS_PER_SHARE_OF_SWAPS) {
            let from = layout.busiest();
            let load = layout.load[from];
            if load <= target || work > budget.work_per_slot * task.slots as u64 {
                break;
            }
            if load <= aim {
                aim = target.midpoint(load);
                aim -= aim % unit;
            }
            if let Some((a, b)) = swap::find(replicas, layout, from, aim, &mut work) {
                self.exchange(replicas, layout, a, b);
                probe.step(Step::Swap, || peak_of(layout));
            } else if let Some(pairs) =
                self.pairs.find(replicas, layout, from, aim, budget.pair_partners, &mut work)
            {
                for (a, b) in pairs {
                    self.exchange(replicas, layout, a, b);
                }
                probe.step(Step::SwapPairs, || peak_of(layout));
            } else if load - aim <= unit.max((load - bound) / SMALLEST_STEP) {
                break;
            } else {
                let between = aim.midpoint(load);
                aim = (between - between % unit).max(aim + unit);
            }
        }
        *peak = layout.peak();
        self.work += work;
    }

    fn exchange(&mut self, replicas: &ByExpert, layout: &mut Layout, a: u32, b: u32) {
        self.pairs.forget(layout.home[a as usize] as usize);
        self.pairs.forget(layout.home[b as usize] as usize);
        layout.exchange(replicas, a, b);
    }
}

pub(super) fn peak_of(layout: &Layout) -> Peak {
    Peak::of_bins(layout.peak())
}
