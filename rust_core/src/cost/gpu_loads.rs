//! The load of each GPU of a placed layer: what certificates and comparisons of plans count.

use crate::placement::EMPTY;
use crate::problem::cluster::Cluster;
use crate::problem::share::packing_load;

/// Adds up loads of layers, in a buffer that is reused.
#[derive(Debug, Default)]
pub(crate) struct GpuLoads {
    /// Load of a replica of each expert.
    replica: Vec<u64>,
}

impl GpuLoads {
    /// The load of each GPU of a layer of canonical loads `[L]`, in packing loads. Time O(P + L).
    pub(crate) fn of_layer(
        &mut self,
        loads: &[u64],
        phy2log: &[i64],
        logcnt: &[i64],
        cluster: &Cluster,
    ) -> impl ExactSizeIterator<Item = u64> {
        let loads = loads.iter().zip(logcnt);
        self.replica.clear();
        self.replica.extend(loads.map(|(&load, &count)| packing_load(load, count as u64)));
        (0..cluster.num_gpus()).map(|gpu| {
            let held = phy2log[cluster.slots_of(gpu)].iter().filter(|&&expert| expert != EMPTY);
            held.map(|&expert| self.replica[expert as usize]).sum()
        })
    }
}
