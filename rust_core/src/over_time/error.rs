//! What can be wrong with a history, a previous placement, or the options of an update.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Place, named, parameter};
use crate::problem::loads::CanonicalLoads;

/// A whole number out of its range.
pub(crate) fn range(name: &'static str, value: u32, range: Range<u32>) -> Error {
    let Range { start, end } = range;
    Error::new(ErrorKind::Option, [parameter(name, value), " is out of range".into()])
        .expected(format!("{start} to {}", end - 1))
}

/// A window that does not belong to the history.
pub(crate) fn load_shape(loads: &CanonicalLoads, layers: usize, experts: usize) -> Error {
    let problem = format!("a window has {} layers x {} experts", loads.layers(), loads.experts());
    Error::text(ErrorKind::Load, problem)
        .expected(format!("{layers} x {experts}, as the windows before"))
        .hint(["begin a new history for another model".into()])
}

/// A history that is for other sizes than those to plan for.
pub(crate) fn history_shape(layers: usize, experts: usize, expected: usize) -> Error {
    let problem = format!("the history has {layers} layers x {experts} experts");
    Error::text(ErrorKind::Load, problem)
        .expected(format!("at least 1 layer x {expected} experts, as the topology has"))
}

/// A state of a history that is not valid.
pub(crate) fn state(problem: String, expected: String) -> Error {
    Error::text(ErrorKind::Load, problem).expected(expected)
}

/// A GPU with more slots than experts.
pub(crate) fn too_few_experts(slots: usize, experts: usize) -> Error {
    let problem = format!("a GPU has {slots} slots for {experts} experts");
    Error::text(ErrorKind::Topology, problem)
        .expected("at most one slot for each expert: no GPU gets an expert twice")
        .hint(["give fewer ".into(), named("num_replicas")])
}

/// A previous placement that does not fit.
pub(crate) fn previous(place: Place, problem: String, expected: String) -> Error {
    Error::text(ErrorKind::Verification, problem).at(place).expected(expected)
}

/// A new placement that does not fit.
pub(crate) fn next(place: Place, problem: String, expected: String) -> Error {
    Error::text(ErrorKind::Verification, problem).at(place).expected(expected).hint([
        "give the new placement as it was planned, with the topology that it was planned for"
            .into(),
    ])
}

/// An expert that a new placement leaves out.
pub(crate) fn no_slot(layer: usize, expert: usize) -> Error {
    let problem = format!("the new placement has no slot for expert {expert}");
    next(Place::expert(layer, expert), problem, "at least one slot for each expert".to_owned())
}
