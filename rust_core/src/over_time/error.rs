//! What can be wrong with a history for these sizes, or with a previous placement.

use crate::error::{Error, ErrorKind, Place};

/// A history that is for other sizes than those to plan for.
pub(crate) fn history_shape(experts: usize, expected: usize) -> Error {
    let problem = format!("the history has {experts} experts");
    Error::text(ErrorKind::Load, problem).expected(format!("{expected}, as the topology has"))
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
