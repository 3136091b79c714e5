//! The GPUs that a plan is for.

use eplb_core as core;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::errors::to_python;

/// States by name.
const STATES: [(&str, core::GpuState); 3] = [
    ("live", core::GpuState::Live),
    ("draining", core::GpuState::Draining),
    ("dead", core::GpuState::Dead),
];

/// All GPUs, in order.
#[pyclass(frozen, eq, hash, module = "eplb._core")]
#[derive(PartialEq, Hash)]
pub(crate) struct Cluster(pub(crate) core::Cluster);

#[pymethods]
impl Cluster {
    /// Takes a value of each for every GPU.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
    fn new(
        py: Python<'_>,
        nodes: Vec<u32>,
        slots: Vec<u32>,
        speeds: Vec<u32>,
        states: Vec<String>,
    ) -> PyResult<Self> {
        let gpus = nodes.len();
        if [slots.len(), speeds.len(), states.len()] != [gpus; 3] {
            return Err(PyTypeError::new_err(format!("every column needs {gpus} values")));
        }
        let gpu = |gpu: usize| {
            let state = STATES.iter().find(|(name, _)| *name == states[gpu]);
            let unknown = || PyTypeError::new_err(format!("unknown state {:?}", states[gpu]));
            let state = state.ok_or_else(unknown)?.1;
            Ok(core::Gpu { node: nodes[gpu], slots: slots[gpu], speed: speeds[gpu], state })
        };
        let gpus = (0..gpus).map(gpu).collect::<PyResult<_>>()?;
        Self::with(py, core::Cluster::new(gpus))
    }

    /// Equal live GPUs.
    #[staticmethod]
    fn uniform(
        py: Python<'_>,
        num_gpus: u64,
        slots_per_gpu: u64,
        num_nodes: u64,
    ) -> PyResult<Self> {
        Self::with(py, core::Cluster::uniform(num_gpus, slots_per_gpu, num_nodes))
    }

    #[getter]
    fn nodes(&self) -> Vec<u32> {
        self.column(|gpu| gpu.node)
    }

    #[getter]
    fn slots(&self) -> Vec<u32> {
        self.column(|gpu| gpu.slots)
    }

    #[getter]
    fn speeds(&self) -> Vec<u32> {
        self.column(|gpu| gpu.speed)
    }

    #[getter]
    fn states(&self) -> Vec<&'static str> {
        let name = |state| STATES.iter().find(|known| known.1 == state).map_or("unknown", |s| s.0);
        self.column(|gpu| name(gpu.state))
    }

    /// Whether each GPU can hold experts.
    #[getter]
    fn used(&self) -> Vec<bool> {
        (0..self.0.num_gpus()).map(|gpu| self.0.is_used(gpu)).collect()
    }

    #[getter]
    fn num_nodes(&self) -> usize {
        self.0.num_nodes()
    }

    /// The speeds of the GPUs that can hold experts, together.
    #[getter]
    fn total_speed(&self) -> u64 {
        self.0.total_speed()
    }

    /// Slots of each GPU, if all are equal and live.
    #[getter]
    fn uniform_slots(&self) -> Option<usize> {
        self.0.uniform_slots()
    }
}

impl Cluster {
    fn with(py: Python<'_>, cluster: Result<core::Cluster, core::Error>) -> PyResult<Self> {
        cluster.map(Self).map_err(|error| to_python(py, &error))
    }

    fn column<T>(&self, value: impl Fn(core::Gpu) -> T) -> Vec<T> {
        self.0.gpus().iter().map(|&gpu| value(gpu)).collect()
    }
}
