//! A layer on a cluster whose GPUs in use are equal, beside dead and draining ones and others without
//! slots: these GPUs are planned alone, and the plan is spread over the slots of the cluster.

use super::budget::Budget;
use super::layer::LayerSearch;
use super::tables::Tables;
use crate::cost::bounds::LowerBounds;
use crate::error::Error;
use crate::layer_planner::Layer;
use crate::placement::EMPTY;
use crate::problem::options::Options;
use crate::problem::topology::Topology;

/// Plans layer after layer in the same buffers.
#[derive(Debug)]
pub(super) struct InUseSearch {
    /// The slot of the cluster of each slot in use.
    slots: Vec<usize>,
    /// The speed of all GPUs in use.
    speed: u32,
    search: LayerSearch,
    bounds: LowerBounds,
    tables: Tables,
}

impl InUseSearch {
    /// # Errors
    /// The target gap is negative or not finite.
    pub(super) fn new(
        options: Options,
        topology: &Topology,
        in_use: &Topology,
    ) -> Result<Self, Error> {
        let cluster = topology.cluster();
        let used = (0..cluster.num_gpus()).filter(|&gpu| cluster.is_used(gpu));
        Ok(Self {
            slots: used.flat_map(|gpu| cluster.slots_of(gpu)).collect(),
            speed: cluster.used_gpus().next().map_or(1, |gpu| gpu.speed),
            search: LayerSearch::new(options, in_use)?,
            bounds: LowerBounds::default(),
            tables: Tables::default(),
        })
    }

    /// Plans a layer of `topology`, whose GPUs in use are those of `in_use`.
    pub(super) fn plan(
        &mut self,
        layer: &mut Layer<'_>,
        topology: &Topology,
        in_use: &Topology,
        budgets: &[Budget],
    ) {
        let mut alone = Layer {
            loads: layer.loads,
            history: None,
            tables: self.tables.of(in_use),
            findings: &mut *layer.findings,
        };
        self.search.plan(&mut alone, in_use, budgets);
        if self.speed > 1 {
            // The bound is a time.
            layer.findings.bound = Some(self.bounds.best(layer.loads, topology));
        }
        layer.tables.phy2log.fill(EMPTY);
        layer.tables.rank.fill(EMPTY);
        for (from, &to) in self.slots.iter().enumerate() {
            layer.tables.phy2log[to] = self.tables.phy2log[from];
            layer.tables.rank[to] = self.tables.rank[from];
        }
        layer.tables.logcnt.copy_from_slice(&self.tables.logcnt);
    }
}
