//! The weight copies between two placements.

use eplb_core as core;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_python;
use crate::{Table, Topology};

const COLUMNS: usize = 9;

/// An int64 array `[transfers, columns]`: layer, step, expert, source GPU, source slot, destination
/// GPU, destination slot, overwritten expert, whether buffered; -1 is none.
///
/// `before` is `[layers, old slots]`, and `after` is `[layers, slots]`. A destination slot is an
/// index in a row of `after`. A source slot is `gpu * wider + position`, where `wider` is the
/// larger number of slots per GPU: an index in a row of either array, if their GPUs have equally
/// many slots.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
pub(crate) fn transfers<'py>(
    py: Python<'py>,
    before: PyReadonlyArray2<'_, i64>,
    before_gpus: usize,
    after: PyReadonlyArray2<'_, i64>,
    topology: &Topology,
) -> PyResult<Table<'py, i64>> {
    let num_slots = before.shape()[1];
    let cluster = equal_gpus(py, num_slots, before_gpus)?;
    let (before, after) = (before.as_slice()?.to_vec(), after.as_slice()?.to_vec());
    let list = py.detach(|| {
        let previous = core::Previous { phy2log: &before, cluster: &cluster };
        core::transfers(previous, &after, &topology.0)
    });
    let list = list.map_err(|error| to_python(py, &error))?;
    let per_gpu = topology.0.slots_per_gpu();
    let wider = per_gpu.max(num_slots / before_gpus);
    let values = list.iter().flat_map(|transfer| row(transfer, wider, per_gpu)).collect();
    PyArray1::from_vec(py, values).reshape([list.len(), COLUMNS])
}

/// The GPUs of a placement with so many slots, of which each has equally many.
pub(crate) fn equal_gpus(
    py: Python<'_>,
    num_slots: usize,
    num_gpus: usize,
) -> PyResult<core::Cluster> {
    if num_gpus > 0 && !num_slots.is_multiple_of(num_gpus) {
        let problem = format!("{num_slots} slots are not equally many on {num_gpus} GPUs");
        return Err(PyValueError::new_err(problem));
    }
    let per_gpu = num_slots.checked_div(num_gpus).unwrap_or(0);
    let cluster = core::Cluster::uniform(num_gpus as u64, per_gpu as u64, 1);
    cluster.map_err(|error| to_python(py, &error))
}

fn row(transfer: &core::Transfer, wider: usize, per_gpu: usize) -> [i64; COLUMNS] {
    let core::Transfer { layer, step, expert, source, destination, overwrites, buffered } =
        *transfer;
    let or_none = |index: Option<usize>| index.map_or(-1, |index| index as i64);
    [
        layer as i64,
        step as i64,
        expert as i64,
        or_none(source.map(|slot| slot.gpu)),
        or_none(source.map(|slot| slot.index(wider))),
        destination.gpu as i64,
        destination.index(per_gpu) as i64,
        or_none(overwrites),
        i64::from(buffered),
    ]
}
