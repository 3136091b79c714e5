//! Unequal splits: the shares of replicas, and their proof.

use eplb_core as core;
use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::errors::to_python;
use crate::{Loads, Placement, Table, table};

/// A numerator and a denominator.
type Fraction = (u128, u128);

/// What a layer of a split claims: unit, busy GPUs, exponent, and as fractions of canonical loads what
/// is attained, the lower bound, what equal shares attain, and the mean.
type Claims = (u64, Vec<usize>, i32, [Fraction; 4]);

/// The share of each slot in its expert's load.
#[pyclass(frozen, eq, module = "eplb._core")]
#[derive(PartialEq)]
pub(crate) struct Split(core::Split);

#[pymethods]
impl Split {
    /// Takes what the other methods give, as it is; `verify_split` tells whether it is true.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
    fn new(
        numerators: PyReadonlyArray2<'_, i64>,
        denominators: PyReadonlyArray2<'_, i64>,
        gpu_load: PyReadonlyArray2<'_, u64>,
        claims: Vec<Claims>,
        loads_sha256: [u8; 32],
    ) -> PyResult<Self> {
        let layers = claims.len();
        let tables = [numerators.shape()[0], denominators.shape()[0], gpu_load.shape()[0]];
        if layers == 0 || tables != [layers; 3] {
            return Err(PyTypeError::new_err(format!("every table needs {layers} layers")));
        }
        let gpus = gpu_load.shape()[1];
        let gpu_load = gpu_load.as_slice()?;
        let row = |(layer, claims): (usize, Claims)| {
            let (unit, busy_gpus, exponent, fractions) = claims;
            let fraction = |(numerator, denominator)| {
                core::Fraction::new(numerator, denominator).ok_or_else(|| {
                    PyValueError::new_err(format!("{numerator}/{denominator} is out of range"))
                })
            };
            let [attained, lower_bound, equal, mean] = fractions;
            Ok(core::LayerSplit {
                unit,
                gpu_load: gpu_load[layer * gpus..][..gpus].to_vec(),
                attained: fraction(attained)?,
                lower_bound: fraction(lower_bound)?,
                busy_gpus,
                attained_by_equal_shares: fraction(equal)?,
                mean: fraction(mean)?,
                exponent,
            })
        };
        Ok(Self(core::Split {
            layers: claims.into_iter().enumerate().map(row).collect::<PyResult<_>>()?,
            numerators: numerators.as_slice()?.to_vec(),
            denominators: denominators.as_slice()?.to_vec(),
            loads_sha256: loads_sha256.into(),
        }))
    }

    /// A copy, int64 `[layers, P]`.
    fn numerators<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, i64>> {
        table(py, self.0.numerators.clone(), self.0.layers.len())
    }

    /// A copy, int64 `[layers, L]`.
    fn denominators<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, i64>> {
        table(py, self.0.denominators.clone(), self.0.layers.len())
    }

    /// Load of each GPU in parts of a canonical load, uint64 `[layers, G]`.
    fn gpu_load<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, u64>> {
        let loads = self.0.layers.iter().flat_map(|layer| &layer.gpu_load).copied().collect();
        table(py, loads, self.0.layers.len())
    }

    #[getter]
    fn claims(&self) -> Vec<Claims> {
        let claims = |layer: &core::LayerSplit| {
            let fractions =
                [layer.attained, layer.lower_bound, layer.attained_by_equal_shares, layer.mean];
            let fractions =
                fractions.map(|fraction| (fraction.numerator(), fraction.denominator()));
            (layer.unit, layer.busy_gpus.clone(), layer.exponent, fractions)
        };
        self.0.layers.iter().map(claims).collect()
    }

    #[getter]
    fn loads_sha256(&self) -> [u8; 32] {
        self.0.loads_sha256.get()
    }

    /// The share of each slot of a placement, float64 `[layers, P]`, correctly rounded.
    fn shares<'py>(&self, py: Python<'py>, placement: &Placement) -> PyResult<Table<'py, f64>> {
        let shares = self.0.shares(&placement.0).map_err(|error| to_python(py, &error))?;
        table(py, shares, self.0.layers.len())
    }

    fn gpu_load_in_units<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, f64>> {
        let loads = self.0.layers.iter().flat_map(core::LayerSplit::gpu_load_in_units);
        table(py, loads.collect(), self.0.layers.len())
    }

    fn attained_in_units<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.column(py, core::LayerSplit::attained_in_units)
    }

    fn lower_bound_in_units<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.column(py, core::LayerSplit::lower_bound_in_units)
    }

    fn balancedness<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.column(py, core::LayerSplit::balancedness)
    }

    fn balancedness_of_equal_shares<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.column(py, core::LayerSplit::balancedness_of_equal_shares)
    }
}

impl Split {
    /// A figure of every layer.
    fn column<'py>(
        &self,
        py: Python<'py>,
        figure: impl Fn(&core::LayerSplit) -> f64,
    ) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.0.layers.iter().map(figure).collect())
    }
}

/// The shares with which the busiest GPU carries least.
#[pyfunction]
pub(crate) fn split(
    py: Python<'_>,
    placement: &Placement,
    loads: &Loads,
    threads: usize,
) -> PyResult<Split> {
    let split = py.detach(|| core::split(&placement.0, &loads.0, threads));
    split.map(Split).map_err(|error| to_python(py, &error))
}

#[pyfunction]
pub(crate) fn verify_split(
    py: Python<'_>,
    placement: &Placement,
    split: &Split,
    loads: &Loads,
) -> PyResult<()> {
    py.detach(|| core::verify_split(&placement.0, &split.0, &loads.0))
        .map_err(|error| to_python(py, &error))
}
