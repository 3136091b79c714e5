//! What can be wrong with a history or a previous placement.

use std::fmt::Display;
use std::ops::Range;

use crate::error::Error;
use crate::over_time::load_history::LoadHistory;
use crate::problem::loads::CanonicalLoads;

pub(crate) fn load_shape(loads: &CanonicalLoads, layers: usize, experts: usize) -> Error {
    Error::LoadMismatch {
        layers: loads.layers(),
        experts: loads.experts(),
        plan_layers: layers,
        plan_experts: experts,
    }
}

pub(crate) fn history_shape(history: &LoadHistory, experts: usize) -> Error {
    claim(
        None,
        None,
        format!(
            "the history has {} layers and {} experts; expected at least 1 layer and {experts} experts",
            history.layers(),
            history.experts()
        ),
    )
}

pub(crate) fn too_few_experts(slots: usize, experts: usize) -> Error {
    claim(
        None,
        None,
        format!(
            "a GPU has {slots} slots for {experts} experts; expected at most as many, for no GPU gets an \
         expert twice"
        ),
    )
}

pub(crate) fn range<T: Display>(name: &'static str, value: T, range: Range<u32>) -> Error {
    let Range { start, end } = range;
    claim(None, None, format!("{name}={value}; expected {start} to {}", end - 1))
}

pub(crate) fn state(layer: Option<usize>, problem: String) -> Error {
    claim(layer, None, problem)
}

pub(crate) fn previous(layer: Option<usize>, slot: Option<usize>, problem: String) -> Error {
    claim(layer, slot, problem)
}

fn claim(layer: Option<usize>, slot: Option<usize>, claim: String) -> Error {
    Error::Verification { layer, slot, expert: None, claim }
}
