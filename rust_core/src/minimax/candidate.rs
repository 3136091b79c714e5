//! A candidate: replicas and where they are. A portfolio keeps the best one.

use crate::layout::Layout;
use crate::sorted_replicas::by_expert::ByExpert;

/// The replicas of a node's experts on its GPUs.
#[derive(Debug, Default, Clone)]
pub(super) struct Candidate {
    pub(super) replicas: ByExpert,
    pub(super) layout: Layout,
    /// Load of the busiest GPU.
    pub(super) peak: u64,
}

/// The best candidate of one search, and the one that is tried.
#[derive(Debug, Default)]
pub(super) struct Portfolio {
    pub(super) best: Candidate,
    pub(super) trial: Candidate,
}

impl Portfolio {
    /// Keeps the trial if it is better, and tells whether it is; of equal ones the first stays.
    pub(super) fn keep_better(&mut self) -> bool {
        let better = self.trial.peak < self.best.peak;
        if better {
            std::mem::swap(&mut self.best, &mut self.trial);
        }
        better
    }
}
