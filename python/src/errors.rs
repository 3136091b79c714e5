//! The one place where errors of the core become Python exceptions.

use eplb_core::{Error, ErrorKind, Part, Place};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// The exception of `eplb.errors` for an error of the core. They are defined in Python, so that
/// they pickle.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|error| error, PyErr::from_value)
}

fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let errors = py.import("eplb.errors")?;
    let class = errors.getattr(match error.kind() {
        ErrorKind::Load => "LoadError",
        ErrorKind::Topology => "TopologyError",
        ErrorKind::Verification => "VerificationError",
        _ => "EplbError",
    })?;
    let parameter = errors.getattr("Parameter")?;
    let parts = |parts: &[Part]| -> PyResult<Bound<'py, PyTuple>> {
        let parts = parts.iter().map(|part| match part {
            Part::Text(text) => Ok(text.into_pyobject(py)?.into_any()),
            Part::Parameter { name, value } => parameter.call1((*name, value.as_deref())),
        });
        PyTuple::new(py, parts.collect::<PyResult<Vec<_>>>()?)
    };
    let Place { layer, slot, expert } = error.place();
    let about = PyDict::new(py);
    about.set_item("hint", parts(error.advice())?)?;
    about.set_item("layer", layer)?;
    about.set_item("slot", slot)?;
    about.set_item("expert", expert)?;
    class.call(parts(&error.message())?, Some(&about))
}
