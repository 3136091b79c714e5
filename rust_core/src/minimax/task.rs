//! What searches are asked for: a layer, and each of its nodes.

use super::budget::Budget;
use crate::placement::bound::LayerBound;
use crate::problem::topology::Topology;

/// A layer with its bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerProblem<'a> {
    /// Canonical loads, `[L]`.
    pub(super) loads: &'a [u64],
    pub(super) topology: &'a Topology,
    pub(super) bound: LayerBound,
}

impl<'a> LayerProblem<'a> {
    /// The loads of each group.
    pub(super) fn groups(self) -> impl Iterator<Item = &'a [u64]> {
        self.loads.chunks_exact(self.loads.len() / self.topology.groups())
    }
}

/// The sizes of a node, its bounds, and what the search may spend.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) gpus: usize,
    pub(super) slots: usize,
    /// No plan has a lower peak.
    pub(super) bound: u64,
    /// The search ends at this peak.
    pub(super) target: u64,
    pub(super) budget: &'a Budget,
}
