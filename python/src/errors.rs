//! The one place where errors of the core become Python exceptions.

use eplb_core::{Error, ErrorKind};
use pyo3::prelude::*;

/// The exception of `eplb.errors` for an error of the core. They are defined in Python, so that
/// they pickle.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error.kind() {
        ErrorKind::Load => "LoadError",
        ErrorKind::Topology => "TopologyError",
        ErrorKind::Option => "EplbError",
        ErrorKind::Verification => "VerificationError",
    };
    let (layer, slot, expert) = error.place();
    let exception = py
        .import("eplb.errors")
        .and_then(|errors| errors.getattr(class))
        .and_then(|class| class.call1((error.to_string(), layer, slot, expert)));
    match exception {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}
