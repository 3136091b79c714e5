//! Synthetic loads as numpy arrays.

use eplb_core::sampling::{Drift, Family, MODELS, Model, Sample};
use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods};
use pyo3::prelude::*;

use crate::errors::to_python;
use crate::table;

/// Name, layers, experts, top-k, spread, fewest and most outliers, description and source of each
/// model.
type Row = (&'static str, u64, u64, u64, f64, (u64, u64), &'static str, &'static str);

#[pyfunction]
pub(crate) fn models() -> Vec<Row> {
    let row = |model: &Model| {
        let Model { name, layers, experts, top_k, spread, description, source, .. } = *model;
        (name, layers, experts, top_k, spread, model.outliers.into(), description, source)
    };
    MODELS.iter().map(row).collect()
}

/// The names of the families.
#[pyfunction]
pub(crate) fn families() -> Vec<&'static str> {
    Family::names().to_vec()
}

/// Loads of a model, int64 `[windows, layers, experts]`; the model's own value for what is None.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the options of a sample")]
pub(crate) fn sample<'py>(
    py: Python<'py>,
    model: &str,
    seed: u64,
    layers: Option<u64>,
    experts: Option<u64>,
    top_k: Option<u64>,
    tokens: u64,
    spread: Option<f64>,
    outliers: Option<u64>,
    windows: u64,
    domains: u64,
    drift: Option<&str>,
) -> PyResult<Bound<'py, PyArray3<i64>>> {
    let drawn = py.detach(|| {
        let model = Model::named(model)?;
        let usual = experts.map_or(model.sample(), |experts| model.sample_with_experts(experts));
        let sample = Sample {
            seed,
            layers: layers.unwrap_or(usual.layers),
            top_k: top_k.unwrap_or(usual.top_k),
            tokens,
            spread: spread.unwrap_or(usual.spread),
            outliers: outliers.map_or(usual.outliers, |count| [count, count]),
            windows,
            domains,
            drift: drift.map(str::parse).transpose()?,
            ..usual
        };
        Ok((sample, signed(sample.loads()?)))
    });
    let (sample, loads) = drawn.map_err(|error| to_python(py, &error))?;
    let shape = [sample.windows, sample.layers, sample.experts].map(|size| size as usize);
    PyArray1::from_vec(py, loads).reshape(shape)
}

/// The names of the drifts.
#[pyfunction]
pub(crate) fn drifts() -> Vec<&'static str> {
    Drift::names().to_vec()
}

/// Loads of a family, int64 `[layers, experts]`.
#[pyfunction]
pub(crate) fn family<'py>(
    py: Python<'py>,
    name: &str,
    layers: u64,
    experts: u64,
    seed: u64,
) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let drawn = py.detach(|| name.parse::<Family>()?.loads(layers, experts, seed).map(signed));
    table(py, drawn.map_err(|error| to_python(py, &error))?, layers as usize)
}

/// Counts are below 2^32: as engines' tensors, which are int64.
fn signed(loads: Vec<u64>) -> Vec<i64> {
    loads.into_iter().map(|load| load as i64).collect()
}
