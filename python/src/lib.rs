//! `eplb._core`: converts between Python and eplb-core, nothing else.
//!
//! Loads are copied out of numpy's memory while the GIL is held, so no other thread can change
//! them meanwhile; planning, certifying and verifying release it.
#![forbid(unsafe_code)]

mod cluster;
mod errors;
mod history;
mod memory;
mod sampling;
mod split;
mod transfers;

use eplb_core as core;
use numpy::{
    Element, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use cluster::Cluster;
use errors::to_python;
use history::LoadHistory;

type Table<'py, T> = Bound<'py, PyArray2<T>>;

/// A numpy array `[rows, columns]` that takes over `values`.
fn table<T: Element>(py: Python<'_>, values: Vec<T>, rows: usize) -> PyResult<Table<'_, T>> {
    let columns = values.len() / rows;
    PyArray1::from_vec(py, values).reshape([rows, columns])
}

/// Canonical loads, `[layers, experts]`.
#[pyclass(frozen, module = "eplb._core")]
struct Loads(core::CanonicalLoads);

impl Loads {
    fn read<T: core::Load>(
        py: Python<'_>,
        loads: &[T],
        shape: [usize; 2],
        threads: usize,
    ) -> PyResult<Self> {
        let loads = core::CanonicalLoads::new_on_threads(loads, shape[0], shape[1], threads);
        loads.map(Self).map_err(|error| to_python(py, &error))
    }
}

#[pymethods]
impl Loads {
    /// Takes a C-contiguous native array of int64, uint64, float32 or float64, or of uint16 that
    /// holds the bits of `"float16"` or `"bfloat16"`.
    #[new]
    #[pyo3(signature = (array, bits_of=None, threads=1))]
    fn new(
        array: &Bound<'_, PyUntypedArray>,
        bits_of: Option<&str>,
        threads: usize,
    ) -> PyResult<Self> {
        let py = array.py();
        macro_rules! try_types {
            ($($t:ty),*) => {$(
                if let Ok(array) = array.cast::<PyArray2<$t>>() {
                    let shape = [array.shape()[0], array.shape()[1]];
                    return Self::read(py, array.readonly().as_slice()?, shape, threads);
                }
            )*};
        }
        if let Some(bits_of) = bits_of {
            let bits = array.cast::<PyArray2<u16>>()?;
            let shape = [bits.shape()[0], bits.shape()[1]];
            let bits = bits.readonly();
            let bits = bits.as_slice()?;
            if bits_of == "bfloat16" {
                let loads: Vec<core::Bf16> = bits.iter().map(|&bits| core::Bf16(bits)).collect();
                return Self::read(py, &loads, shape, threads);
            }
            let loads: Vec<core::F16> = bits.iter().map(|&bits| core::F16(bits)).collect();
            return Self::read(py, &loads, shape, threads);
        }
        try_types!(i64, f64, f32, u64);
        Err(PyTypeError::new_err("an array of int64, uint64, float32 or float64 is needed"))
    }

    /// The canonical loads, uint64 `[layers, experts]`.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, u64>> {
        let values = (0..self.0.layers()).flat_map(|layer| self.0.row(layer)).copied().collect();
        table(py, values, self.0.layers())
    }

    #[getter]
    fn exponents(&self) -> Vec<i32> {
        self.0.exponents().to_vec()
    }

    #[getter]
    fn layers(&self) -> usize {
        self.0.layers()
    }

    #[getter]
    fn experts(&self) -> usize {
        self.0.experts()
    }
}

/// Sizes that go together.
#[pyclass(frozen, eq, module = "eplb._core")]
#[derive(PartialEq)]
struct Topology(core::Topology);

#[pymethods]
impl Topology {
    #[new]
    fn new(
        py: Python<'_>,
        num_experts: u64,
        num_replicas: u64,
        num_groups: u64,
        num_nodes: u64,
        num_gpus: u64,
    ) -> PyResult<Self> {
        let sizes = core::Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus };
        core::Topology::new(sizes).map(Self).map_err(|error| to_python(py, &error))
    }

    /// Experts and groups for a cluster.
    #[staticmethod]
    fn of_cluster(
        py: Python<'_>,
        num_experts: u64,
        num_groups: u64,
        cluster: &Cluster,
    ) -> PyResult<Self> {
        let topology = core::Topology::of_cluster(num_experts, num_groups, cluster.0.clone());
        topology.map(Self).map_err(|error| to_python(py, &error))
    }

    #[getter]
    fn cluster(&self) -> Cluster {
        Cluster(self.0.cluster().clone())
    }

    #[getter]
    fn num_experts(&self) -> usize {
        self.0.num_experts()
    }

    #[getter]
    fn num_replicas(&self) -> usize {
        self.0.num_replicas()
    }

    #[getter]
    fn num_groups(&self) -> usize {
        self.0.num_groups()
    }

    #[getter]
    fn num_nodes(&self) -> usize {
        self.0.num_nodes()
    }

    #[getter]
    fn num_gpus(&self) -> usize {
        self.0.num_gpus()
    }

    #[getter]
    fn has_equal_gpus(&self) -> bool {
        self.0.has_equal_gpus()
    }

    #[getter]
    fn is_global(&self) -> bool {
        self.0.is_global()
    }
}

/// Where the replicas are.
#[pyclass(frozen, eq, module = "eplb._core")]
#[derive(PartialEq)]
struct Placement(core::Placement);

#[pymethods]
impl Placement {
    /// Takes tables that make a plan.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
    fn new(
        py: Python<'_>,
        topology: &Topology,
        phy2log: PyReadonlyArray2<'_, i64>,
        rank: PyReadonlyArray2<'_, i64>,
        logcnt: PyReadonlyArray2<'_, i64>,
    ) -> PyResult<Self> {
        let plan = core::Placement::from_tables(
            topology.0.clone(),
            phy2log.shape()[0],
            phy2log.as_slice()?.to_vec(),
            rank.as_slice()?.to_vec(),
            logcnt.as_slice()?.to_vec(),
        );
        plan.map(Self).map_err(|error| to_python(py, &error))
    }

    /// Ranks the copies of a placement `[layers, P]` by slot.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
    fn from_phy2log(
        py: Python<'_>,
        topology: &Topology,
        phy2log: PyReadonlyArray2<'_, i64>,
    ) -> PyResult<Self> {
        let plan = core::Placement::from_phy2log(phy2log.as_slice()?, topology.0.clone());
        plan.map(Self).map_err(|error| to_python(py, &error))
    }

    #[getter]
    fn topology(&self) -> Topology {
        Topology(self.0.topology().clone())
    }

    #[getter]
    fn layers(&self) -> usize {
        self.0.layers()
    }

    /// A copy, int64 `[layers, P]`: what is done to it leaves the placement alone.
    fn phy2log<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, i64>> {
        table(py, self.0.phy2log().to_vec(), self.0.layers())
    }

    /// A copy, int64 `[layers, P]`.
    fn rank<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, i64>> {
        table(py, self.0.rank().to_vec(), self.0.layers())
    }

    /// A copy, int64 `[layers, L]`.
    fn logcnt<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, i64>> {
        table(py, self.0.logcnt().to_vec(), self.0.layers())
    }

    /// Slots of each expert by rank, int64 `[layers, L, X]`, padded with -1.
    fn log2phy<'py>(
        &self,
        py: Python<'py>,
        static_width: bool,
    ) -> PyResult<Bound<'py, PyArray3<i64>>> {
        let log2phy = if static_width { self.0.log2phy_static() } else { self.0.log2phy() };
        let (log2phy, width) = log2phy.map_err(|error| to_python(py, &error))?;
        let experts = self.0.topology().num_experts();
        PyArray1::from_vec(py, log2phy).reshape([self.0.layers(), experts, width])
    }

    fn duplicates(&self) -> Vec<usize> {
        self.0.duplicates()
    }

    fn digest(&self, py: Python<'_>) -> String {
        py.detach(|| self.0.digest())
    }
}

/// GPU loads and lower bounds of a placement under some loads.
#[pyclass(frozen, eq, module = "eplb._core")]
#[derive(PartialEq)]
struct Certificate(core::Certificate);

#[pymethods]
impl Certificate {
    /// Takes columns as they are, a value per layer; `verify` tells whether they are true.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
    #[expect(clippy::too_many_arguments, reason = "the columns of a certificate")]
    fn new(
        gpu_load: PyReadonlyArray2<'_, u64>,
        max_load: PyReadonlyArray1<'_, u64>,
        lower_bound: PyReadonlyArray1<'_, u64>,
        bound: Vec<String>,
        bound_without_groups: PyReadonlyArray1<'_, u64>,
        beaten_by_duplicates: Vec<bool>,
        exponents: Vec<i32>,
        loads_sha256: [u8; 32],
        total_speed: u64,
    ) -> PyResult<Self> {
        let [layers, gpus] = [gpu_load.shape()[0], gpu_load.shape()[1]];
        let columns = [max_load.len(), lower_bound.len(), bound.len(), bound_without_groups.len()];
        if columns != [layers; 4] || [beaten_by_duplicates.len(), exponents.len()] != [layers; 2] {
            return Err(PyTypeError::new_err(format!("every column needs {layers} values")));
        }
        let (gpu_load, max_load) = (gpu_load.as_slice()?, max_load.as_slice()?);
        let (lower_bound, without_groups) =
            (lower_bound.as_slice()?, bound_without_groups.as_slice()?);
        let row = |layer: usize| {
            let unknown = |()| PyTypeError::new_err(format!("unknown bound {:?}", bound[layer]));
            Ok(core::LayerCertificate {
                gpu_load: gpu_load[layer * gpus..][..gpus].to_vec(),
                max_load: max_load[layer],
                total_speed,
                lower_bound: lower_bound[layer],
                bound: bound[layer].parse().map_err(unknown)?,
                bound_without_groups: without_groups[layer],
                beaten_by_duplicates: beaten_by_duplicates[layer],
                exponent: exponents[layer],
            })
        };
        let layers = (0..layers).map(row).collect::<PyResult<_>>()?;
        Ok(Self(core::Certificate { layers, loads_sha256: loads_sha256.into() }))
    }

    fn gpu_load<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, u64>> {
        let loads = self.column(|layer| layer.gpu_load.clone()).concat();
        table(py, loads, self.0.layers.len())
    }

    #[getter]
    fn max_load(&self) -> Vec<u64> {
        self.column(|layer| layer.max_load)
    }

    #[getter]
    fn lower_bound(&self) -> Vec<u64> {
        self.column(|layer| layer.lower_bound)
    }

    #[getter]
    fn bound(&self) -> Vec<&'static str> {
        self.column(|layer| layer.bound.name())
    }

    #[getter]
    fn bound_without_groups(&self) -> Vec<u64> {
        self.column(|layer| layer.bound_without_groups)
    }

    #[getter]
    fn beaten_by_duplicates(&self) -> Vec<bool> {
        self.column(|layer| layer.beaten_by_duplicates)
    }

    #[getter]
    fn exponents(&self) -> Vec<i32> {
        self.column(|layer| layer.exponent)
    }

    #[getter]
    fn loads_sha256(&self) -> [u8; 32] {
        self.0.loads_sha256.get()
    }

    fn gpu_load_in_units<'py>(&self, py: Python<'py>) -> PyResult<Table<'py, f64>> {
        let loads = self.0.layers.iter().flat_map(core::LayerCertificate::gpu_load_in_units);
        table(py, loads.collect(), self.0.layers.len())
    }

    fn lower_bound_in_units<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.column(core::LayerCertificate::lower_bound_in_units))
    }

    fn bound_without_groups_in_units<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.column(core::LayerCertificate::bound_without_groups_in_units))
    }

    fn balancedness<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.column(core::LayerCertificate::balancedness))
    }

    fn gap<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_vec(py, self.column(core::LayerCertificate::gap))
    }
}

impl Certificate {
    /// A figure of every layer.
    fn column<T>(&self, figure: impl Fn(&core::LayerCertificate) -> T) -> Vec<T> {
        self.0.layers.iter().map(figure).collect()
    }
}

/// The names of the policies.
#[pyfunction]
fn policies() -> Vec<&'static str> {
    core::Policy::names().to_vec()
}

/// The names of the policies that have a plan for these sizes.
#[pyfunction]
fn policies_for(topology: &Topology) -> Vec<&'static str> {
    core::policies_for(&topology.0).into_iter().map(core::Policy::name).collect()
}

/// The names of the policies of which effort and target gap are options.
#[pyfunction]
fn policies_with_effort() -> Vec<&'static str> {
    core::Policy::ALL.into_iter().filter(|p| p.has_effort()).map(core::Policy::name).collect()
}

/// The names of the policies that plan from a history of several windows.
#[pyfunction]
fn policies_of_histories() -> Vec<&'static str> {
    core::Policy::ALL.into_iter().filter(|p| p.plans_histories()).map(core::Policy::name).collect()
}

/// The names of the kinds of lower bounds, and what holds each up.
#[pyfunction]
fn bounds() -> Vec<(&'static str, &'static str)> {
    core::Bound::ALL.into_iter().map(|bound| (bound.name(), bound.reason())).collect()
}

/// The names of the efforts of minimax.
#[pyfunction]
fn efforts() -> Vec<&'static str> {
    core::Effort::names().to_vec()
}

/// What is planned for.
#[derive(FromPyObject)]
enum Windows<'py> {
    One(PyRef<'py, Loads>),
    Many(PyRef<'py, LoadHistory>),
}

/// A placement, and its certificate if planning found the bounds anyway.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over arguments")]
fn plan(
    py: Python<'_>,
    loads: Windows<'_>,
    topology: &Topology,
    policy: &str,
    effort: &str,
    target_gap: Option<f64>,
    threads: usize,
) -> PyResult<(Placement, Option<Certificate>)> {
    let problem = || {
        let mut options = core::Options::minimax(effort.parse()?);
        options.policy = policy.parse()?;
        options.target_gap = target_gap;
        match &loads {
            Windows::One(loads) => core::Problem::new(&loads.0, &topology.0, options),
            Windows::Many(history) => {
                core::Problem::of_history(&history.snapshot(), &topology.0, options)
            }
        }
    };
    let problem = problem().map_err(|error| to_python(py, &error))?;
    let planned = py.detach(|| {
        let plan = core::plan(&problem, threads)?;
        let certificate = plan.knows_bounds().then(|| plan.certificate().clone());
        Ok((Placement(plan.into_placement()), certificate.map(Certificate)))
    });
    planned.map_err(|error: core::Error| to_python(py, &error))
}

#[pyfunction]
fn certify(py: Python<'_>, placement: &Placement, loads: &Loads) -> PyResult<Certificate> {
    let certificate = py.detach(|| core::certify(&placement.0, &loads.0));
    certificate.map(Certificate).map_err(|error| to_python(py, &error))
}

/// Why a verification ended early.
enum Ended {
    Refused(core::Error),
    Interrupted(PyErr),
}

impl From<core::Error> for Ended {
    fn from(error: core::Error) -> Self {
        Self::Refused(error)
    }
}

/// Checks everything; without a certificate, the structure and the shape of the loads. What a signal
/// handler raises, such as that of Ctrl-C, ends it between two layers.
#[pyfunction]
fn verify(
    py: Python<'_>,
    placement: &Placement,
    certificate: Option<&Certificate>,
    loads: &Loads,
) -> PyResult<()> {
    let certificate = certificate.map(|certificate| &certificate.0);
    let signals = || Python::attach(|py| py.check_signals().map_err(Ended::Interrupted));
    py.detach(|| core::verify_watched(&placement.0, certificate, &loads.0, signals)).map_err(
        |ended| match ended {
            Ended::Refused(error) => to_python(py, &error),
            Ended::Interrupted(error) => error,
        },
    )
}

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::history::{LoadHistory, Migration, replan};

    #[pymodule_export]
    use super::{
        Certificate, Cluster, Loads, Placement, Topology, bounds, certify, efforts, plan, policies,
        policies_for, policies_of_histories, policies_with_effort, verify,
    };

    #[pymodule_export]
    use crate::sampling::{drifts, families, family, models, sample};

    #[pymodule_export]
    use crate::split::{Split, split, verify_split};

    #[pymodule_export]
    use crate::transfers::transfers;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    #[expect(clippy::unnecessary_wraps, reason = "pyo3 wants a result")]
    fn init(_module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        crate::memory::keep_freed();
        Ok(())
    }
}
