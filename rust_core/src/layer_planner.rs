//! What every policy does: plan layers, one after another.

use crate::placement::bound::LayerBound;
use crate::placement::tables::LayerTables;
use crate::problem::history::layer::LayerHistory;

/// A layer to be planned.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    /// Its canonical loads, `[L]`.
    pub(crate) loads: &'a [u64],
    /// What is remembered of its windows, if it is planned from a history; `loads` is the newest one.
    pub(crate) history: Option<&'a LayerHistory>,
    /// Where the plan goes.
    pub(crate) tables: LayerTables<'a>,
    /// Where what planning finds out goes.
    pub(crate) findings: &'a mut Findings,
}

/// What planning finds out about a layer, beside the plan.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Findings {
    /// The lower bound, if planning needs it.
    pub(crate) bound: Option<LayerBound>,
    /// Whether a published policy reaches a lower largest GPU load, but only by duplicates.
    pub(crate) beaten_by_duplicates: bool,
}

/// A policy with its options and the sizes of the problem, which have been checked.
///
/// A planner may keep buffers from layer to layer, but nothing that changes an answer.
pub(crate) trait LayerPlanner: Send {
    /// Plans every layer.
    fn plan(&mut self, layers: &mut [Layer<'_>]);
}
