//! Planning over time: the history of loads, and plans from it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eplb_core as core;
use numpy::PyReadonlyArray2;
use pyo3::prelude::*;

use crate::cluster::Cluster;
use crate::errors::to_python;
use crate::{Loads, Placement, Table, Topology, table};

/// What is remembered of past windows.
#[pyclass(frozen, module = "eplb._core")]
pub(crate) struct LoadHistory(Mutex<Arc<core::LoadHistory>>);

/// Rows of shares, weights, last distances to the nearest row, usual distance, shifted.
type LayerState = (Vec<Vec<u32>>, Vec<u64>, Vec<u32>, u32, bool);
/// Rows, decay, experts, layers, newest canonical loads, exponents.
type State = (u32, u32, usize, Vec<LayerState>, Vec<Vec<u64>>, Vec<i32>);

impl LoadHistory {
    fn get(&self) -> MutexGuard<'_, Arc<core::LoadHistory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The history as it is now: windows that come later leave it alone.
    pub(crate) fn snapshot(&self) -> Arc<core::LoadHistory> {
        Arc::clone(&self.get())
    }

    fn with(py: Python<'_>, history: Result<core::LoadHistory, core::Error>) -> PyResult<Self> {
        let history = history.map_err(|error| to_python(py, &error))?;
        Ok(Self(Mutex::new(Arc::new(history))))
    }
}

#[pymethods]
impl LoadHistory {
    #[new]
    fn new(py: Python<'_>, layers: usize, experts: usize, rows: u32, decay: u32) -> PyResult<Self> {
        let options = core::HistoryOptions { rows, decay };
        Self::with(py, core::LoadHistory::new(layers, experts, options))
    }

    fn observe(&self, py: Python<'_>, loads: &Loads, threads: usize) -> PyResult<()> {
        py.detach(|| Arc::make_mut(&mut self.get()).observe(&loads.0, threads))
            .map_err(|error| to_python(py, &error))
    }

    #[getter]
    fn layers(&self) -> usize {
        self.get().layers()
    }

    #[getter]
    fn experts(&self) -> usize {
        self.get().experts()
    }

    #[getter]
    fn rows(&self) -> Vec<usize> {
        self.get().rows()
    }

    #[getter]
    fn shifted(&self) -> Vec<bool> {
        self.get().shifted()
    }

    fn newest(&self) -> Loads {
        Loads(self.get().newest())
    }

    fn digest(&self, py: Python<'_>) -> String {
        py.detach(|| self.get().digest())
    }

    fn copy(&self) -> Self {
        Self(Mutex::new(self.snapshot()))
    }

    fn state(&self) -> State {
        let core::HistoryState { options, experts, layers, newest, exponents } = self.get().state();
        let layer = |layer: core::LayerState| {
            (layer.rows, layer.weights, layer.nearest, layer.usual, layer.shifted)
        };
        let layers = layers.into_iter().map(layer).collect();
        (options.rows, options.decay, experts, layers, newest, exponents)
    }

    #[staticmethod]
    fn from_state(py: Python<'_>, state: State) -> PyResult<Self> {
        let (rows, decay, experts, layers, newest, exponents) = state;
        let layer = |(rows, weights, nearest, usual, shifted): LayerState| core::LayerState {
            rows,
            weights,
            nearest,
            usual,
            shifted,
        };
        let layers = layers.into_iter().map(layer).collect();
        let options = core::HistoryOptions { rows, decay };
        let state = core::HistoryState { options, experts, layers, newest, exponents };
        Self::with(py, core::LoadHistory::from_state(state))
    }
}

/// A placement for the windows to come: `phy2log`, and for each layer copies, the objective before
/// and after, whether it shifted, whether it is kept.
#[pyclass(frozen, module = "eplb._core")]
pub(crate) struct Migration(core::Migration);

#[pymethods]
impl Migration {
    /// A copy, int64 `[layers, P]`.
    fn phy2log<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, i64>> {
        table(py, self.0.placement.phy2log().to_vec(), self.0.layers.len())
    }

    #[getter]
    fn placement(&self) -> Placement {
        Placement(self.0.placement.clone())
    }

    #[getter]
    fn copies(&self) -> Vec<u64> {
        self.0.layers.iter().map(|layer| layer.copies).collect()
    }

    #[getter]
    fn objective(&self) -> Vec<(u64, u64)> {
        self.0.layers.iter().map(|layer| layer.objective.into()).collect()
    }

    #[getter]
    fn shifted(&self) -> Vec<bool> {
        self.0.layers.iter().map(|layer| layer.shifted).collect()
    }

    #[getter]
    fn kept(&self) -> Vec<bool> {
        self.0.layers.iter().map(|layer| layer.kept).collect()
    }
}

/// An int is a number of copies, a float a share of the slots.
#[derive(FromPyObject)]
pub(crate) enum MoveLimit {
    Number(u64),
    Millionths((u32,)),
}

impl From<MoveLimit> for core::MoveLimit {
    fn from(limit: MoveLimit) -> Self {
        match limit {
            MoveLimit::Number(number) => Self::Number(number),
            MoveLimit::Millionths((share,)) => Self::Share(share),
        }
    }
}

/// Plans from a history, with the placement in force (`[layers, slots]`, and its GPUs) or without.
/// `move_price` is in millionths; limits are numbers of copies, or `(share,)` in millionths.
#[pyfunction]
#[pyo3(signature = (history, topology, previous=None, move_price=10_000,
    max_moves=None, max_moves_after_shift=None, max_copies=None, threads=1, fill=false))]
#[expect(clippy::too_many_arguments, reason = "the options of Python's replan")]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
pub(crate) fn replan(
    py: Python<'_>,
    history: &LoadHistory,
    topology: &Topology,
    previous: Option<(PyReadonlyArray2<'_, i64>, PyRef<'_, Cluster>)>,
    move_price: u32,
    max_moves: Option<MoveLimit>,
    max_moves_after_shift: Option<MoveLimit>,
    max_copies: Option<u64>,
    threads: usize,
    fill: bool,
) -> PyResult<Migration> {
    let mut options = core::MigrationOptions { move_price, max_copies, fill, ..Default::default() };
    if let Some(limit) = max_moves {
        options.max_moves = limit.into();
    }
    if let Some(limit) = max_moves_after_shift {
        options.max_moves_after_shift = limit.into();
    }
    let previous = match &previous {
        Some((array, cluster)) => Some((array.as_slice()?.to_vec(), cluster.0.clone())),
        None => None,
    };
    let migration = py.detach(|| {
        let history = history.snapshot();
        let previous =
            previous.as_ref().map(|(phy2log, cluster)| core::Previous { phy2log, cluster });
        core::replan(&history, &topology.0, previous, options, threads)
    });
    migration.map(Migration).map_err(|error| to_python(py, &error))
}
