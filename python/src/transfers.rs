//! The weight copies between two placements.

use eplb_core as core;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::cluster::Cluster;
use crate::errors::to_python;
use crate::{Table, Topology};

const COLUMNS: usize = 9;

/// An int64 array `[transfers, columns]`: layer, step, expert, source GPU, source slot, destination
/// GPU, destination slot, overwritten expert, whether buffered; -1 is none.
///
/// `before` is `[layers, slots before]`, and `after` is `[layers, slots]`. A destination slot is an
/// index in a row of `after`. A source slot is one where every GPU has as many slots as in the
/// placement in which it has more: an index in a row of either, if GPUs have equally many slots in
/// both.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
pub(crate) fn transfers<'py>(
    py: Python<'py>,
    before: PyReadonlyArray2<'_, i64>,
    before_cluster: &Cluster,
    after: PyReadonlyArray2<'_, i64>,
    topology: &Topology,
) -> PyResult<Table<'py, i64>> {
    let (before, after) = (before.as_slice()?.to_vec(), after.as_slice()?.to_vec());
    let (old, new) = (&before_cluster.0, topology.0.cluster());
    let list = py.detach(|| {
        let previous = core::Previous { phy2log: &before, cluster: old };
        core::transfers(previous, &after, &topology.0)
    });
    let list = list.map_err(|error| to_python(py, &error))?;
    let slots = |cluster: &core::Cluster, gpu: usize| {
        cluster.gpus().get(gpu).map_or(0, |gpu| gpu.slots as usize)
    };
    let mut first = vec![0];
    for gpu in 0..old.num_gpus().max(new.num_gpus()) {
        first.push(first[gpu] + slots(old, gpu).max(slots(new, gpu)));
    }
    let source = |slot: core::Slot| first[slot.gpu] + slot.position;
    let destination = |slot: core::Slot| new.slots_of(slot.gpu).start + slot.position;
    let values = list.iter().flat_map(|transfer| row(transfer, source, destination)).collect();
    PyArray1::from_vec(py, values).reshape([list.len(), COLUMNS])
}

fn row(
    transfer: &core::Transfer,
    index_of_source: impl Fn(core::Slot) -> usize,
    index_of_destination: impl Fn(core::Slot) -> usize,
) -> [i64; COLUMNS] {
    let core::Transfer { layer, step, expert, source, destination, overwrites, buffered } =
        *transfer;
    let or_none = |index: Option<usize>| index.map_or(-1, |index| index as i64);
    [
        layer as i64,
        step as i64,
        expert as i64,
        or_none(source.map(|slot| slot.gpu)),
        or_none(source.map(index_of_source)),
        destination.gpu as i64,
        index_of_destination(destination) as i64,
        or_none(overwrites),
        i64::from(buffered),
    ]
}
