//! The GPUs that a plan is for: on which node each is, how many slots it has, how fast it is, and
//! whether it is in use.

use std::ops::Range;

use crate::error::{Error, ErrorKind, too_large, too_small};
use crate::limits::MAX_REPLICAS;
use crate::problem::ratio::greatest_common_divisor_64;

/// Whether a GPU takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum GpuState {
    /// It holds replicas.
    #[default]
    Live,
    /// It must hold nothing after the next update, but may be the source of a transfer.
    Draining,
    /// It is lost, with all that it held.
    Dead,
}

/// One GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gpu {
    /// Its node, from 0.
    pub node: u32,
    /// Physical experts that it has room for.
    pub slots: u32,
    /// How fast it is, beside the others: the load of a GPU counts divided by its speed. Only ratios
    /// count.
    pub speed: u32,
    /// Whether it takes part.
    pub state: GpuState,
}

impl Gpu {
    /// Whether it is live and has slots.
    fn is_used(self) -> bool {
        self.state == GpuState::Live && self.slots > 0
    }
}

/// The largest speed of a GPU.
pub const MAX_SPEED: u32 = 65_536;

/// All GPUs of a plan, in order; the slots of a GPU follow those of the GPU before it, also if it is not
/// in use. Speeds have no common divisor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cluster {
    gpus: Vec<Gpu>,
    /// First slot of each GPU, and one past the last slot of all.
    first_slot: Vec<u32>,
    nodes: usize,
}

impl Cluster {
    /// These GPUs.
    ///
    /// # Errors
    /// There is no GPU; a speed is not 1 to [`MAX_SPEED`]; a GPU is on an earlier node than the one
    /// before it; there are more than [`MAX_REPLICAS`] GPUs, nodes or slots.
    pub fn new(mut gpus: Vec<Gpu>) -> Result<Self, Error> {
        if gpus.is_empty() {
            return Err(too_small("num_gpus"));
        }
        if let Some(gpu) = gpus.iter().position(|gpu| !(1..=MAX_SPEED).contains(&gpu.speed)) {
            let problem = format!("the speed of GPU {gpu} is {}", gpus[gpu].speed);
            let expected = format!("1 to {MAX_SPEED}");
            return Err(Error::text(ErrorKind::Topology, problem).expected(expected));
        }
        if let Some(gpu) = gpus.windows(2).position(|pair| pair[1].node < pair[0].node) {
            let (gpu, node, last) = (gpu + 1, gpus[gpu + 1].node, gpus[gpu].node);
            let problem = format!("GPU {gpu} is on node {node}, after GPUs of node {last}");
            let expected = "the GPUs of each node together, in the order of nodes";
            return Err(Error::text(ErrorKind::Topology, problem).expected(expected));
        }
        let speeds = gpus.iter().map(|gpu| u64::from(gpu.speed));
        let common = speeds.fold(0, greatest_common_divisor_64) as u32;
        for gpu in &mut gpus {
            gpu.speed /= common;
        }
        let slots = gpus.iter().map(|gpu| u64::from(gpu.slots)).sum();
        let nodes = gpus.iter().map(|gpu| u64::from(gpu.node) + 1).max().unwrap_or(0);
        let sizes =
            [("num_gpus", gpus.len() as u64), ("num_nodes", nodes), ("num_replicas", slots)];
        for (name, size) in sizes {
            if size > MAX_REPLICAS {
                return Err(too_large(name, size, MAX_REPLICAS));
            }
        }
        Ok(Self::of(gpus))
    }

    fn of(gpus: Vec<Gpu>) -> Self {
        let mut first_slot = Vec::with_capacity(gpus.len() + 1);
        let mut slots = 0;
        first_slot.push(0);
        for gpu in &gpus {
            slots += gpu.slots;
            first_slot.push(slots);
        }
        let nodes = gpus.iter().map(|gpu| gpu.node as usize + 1).max().unwrap_or(0);
        Self { gpus, first_slot, nodes }
    }

    /// Equal live GPUs, in order on `num_nodes` nodes; if GPUs cannot be divided evenly over the
    /// nodes, the first nodes have one more.
    ///
    /// # Errors
    /// A number is 0 or above [`MAX_REPLICAS`].
    pub fn uniform(num_gpus: u64, slots_per_gpu: u64, num_nodes: u64) -> Result<Self, Error> {
        let sizes = [
            ("num_gpus", num_gpus),
            ("num_nodes", num_nodes),
            ("num_replicas", num_gpus.saturating_mul(slots_per_gpu)),
        ];
        for (name, size) in sizes {
            if size == 0 || size > MAX_REPLICAS {
                let error = too_large(name, size, MAX_REPLICAS);
                return Err(if size == 0 { too_small(name) } else { error });
            }
        }
        Ok(Self::equal(num_gpus as usize, slots_per_gpu as usize, num_nodes as usize))
    }

    /// The same for numbers that have been checked.
    pub(crate) fn equal(num_gpus: usize, slots_per_gpu: usize, num_nodes: usize) -> Self {
        let gpu = |index: usize| Gpu {
            node: (index * num_nodes.min(num_gpus) / num_gpus) as u32,
            slots: slots_per_gpu as u32,
            speed: 1,
            state: GpuState::Live,
        };
        Self::of((0..num_gpus).map(gpu).collect())
    }

    /// The GPUs in order.
    #[must_use]
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }

    /// Number of GPUs, G.
    #[must_use]
    pub fn num_gpus(&self) -> usize {
        self.gpus.len()
    }

    /// Number of nodes.
    #[must_use]
    pub fn num_nodes(&self) -> usize {
        self.nodes
    }

    /// Number of slots of all GPUs, P.
    #[must_use]
    pub fn num_slots(&self) -> usize {
        self.first_slot[self.gpus.len()] as usize
    }

    /// The slots of a GPU.
    ///
    /// # Panics
    /// If there is no such GPU.
    #[inline]
    #[must_use]
    pub fn slots_of(&self, gpu: usize) -> Range<usize> {
        self.first_slot[gpu] as usize..self.first_slot[gpu + 1] as usize
    }

    /// The GPU of a slot. Time O(log G).
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn gpu_of(&self, slot: usize) -> usize {
        assert!(slot < self.num_slots(), "slot {slot} of {}", self.num_slots());
        self.first_slot.partition_point(|&first| first as usize <= slot) - 1
    }

    /// Whether the GPU is live and has slots: it can hold experts.
    ///
    /// # Panics
    /// If there is no such GPU.
    #[must_use]
    pub fn is_used(&self, gpu: usize) -> bool {
        self.gpus[gpu].is_used()
    }

    /// The GPUs that can hold experts.
    pub fn used_gpus(&self) -> impl Iterator<Item = Gpu> + '_ {
        self.gpus.iter().copied().filter(|gpu| gpu.is_used())
    }

    /// Slots of the GPUs that can hold experts.
    #[must_use]
    pub fn used_slots(&self) -> usize {
        self.used_gpus().map(|gpu| gpu.slots as usize).sum()
    }

    /// The nodes with GPUs that can hold experts, in order.
    #[must_use]
    pub fn used_nodes(&self) -> Vec<u32> {
        let mut nodes: Vec<u32> = self.used_gpus().map(|gpu| gpu.node).collect();
        nodes.dedup();
        nodes
    }

    /// The speeds of the GPUs of each of these nodes that can hold experts, together.
    #[must_use]
    pub fn node_speeds(&self) -> Vec<u64> {
        let used: Vec<Gpu> = self.used_gpus().collect();
        let speed = |gpus: &[Gpu]| gpus.iter().map(|gpu| u64::from(gpu.speed)).sum();
        used.chunk_by(|a, b| a.node == b.node).map(speed).collect()
    }

    /// The speeds of the GPUs that can hold experts, together.
    #[must_use]
    pub fn total_speed(&self) -> u64 {
        self.used_gpus().map(|gpu| u64::from(gpu.speed)).sum()
    }

    /// Slots of each GPU, if all GPUs are in use, equally fast, and have equally many slots, and if
    /// the nodes follow one another with equally many GPUs each, or the first of them with one more.
    #[must_use]
    pub fn uniform_slots(&self) -> Option<usize> {
        let slots = self.gpus.first()?.slots as usize;
        let is_equal = || *self == Self::equal(self.num_gpus(), slots, self.nodes);
        (slots > 0 && is_equal()).then_some(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cluster, Gpu, GpuState};

    #[test]
    fn slots_belong_to_their_gpus() {
        let gpu = |node, slots| Gpu { node, slots, speed: 1, state: GpuState::Live };
        let cluster = Cluster::new(vec![gpu(0, 2), gpu(0, 0), gpu(1, 3)]).unwrap();
        assert_eq!((cluster.num_gpus(), cluster.num_nodes(), cluster.num_slots()), (3, 2, 5));
        let slots: Vec<_> = (0..3).map(|gpu| cluster.slots_of(gpu)).collect();
        assert_eq!(slots, [0..2, 2..2, 2..5]);
        let gpus: Vec<_> = (0..5).map(|slot| cluster.gpu_of(slot)).collect();
        assert_eq!(gpus, [0, 0, 2, 2, 2]);
        assert_eq!(cluster.uniform_slots(), None);
    }

    #[test]
    fn a_uniform_cluster_has_equal_gpus() {
        let uniform = Cluster::uniform(6, 4, 3).unwrap();
        assert_eq!(uniform.uniform_slots(), Some(4));
        let nodes =
            |cluster: &Cluster| cluster.gpus().iter().map(|gpu| gpu.node).collect::<Vec<_>>();
        assert_eq!(nodes(&uniform), [0, 0, 1, 1, 2, 2]);
        assert_eq!(nodes(&Cluster::uniform(5, 1, 2).unwrap()), [0, 0, 0, 1, 1]);
        for change in [
            (|gpu: &mut Gpu| gpu.slots = 5) as fn(&mut Gpu),
            |gpu| gpu.speed = 2,
            |gpu| gpu.state = GpuState::Dead,
        ] {
            let mut gpus = uniform.gpus().to_vec();
            change(&mut gpus[0]);
            assert_eq!(Cluster::new(gpus).unwrap().uniform_slots(), None);
        }
    }

    #[test]
    fn gpus_that_hold_nothing_count_for_nothing() {
        let gpu = |node, slots, speed, state| Gpu { node, slots, speed, state };
        let cluster = Cluster::new(vec![
            gpu(0, 2, 6, GpuState::Live),
            gpu(0, 3, 9, GpuState::Draining),
            gpu(1, 4, 3, GpuState::Dead),
            gpu(2, 0, 3, GpuState::Live),
            gpu(3, 5, 3, GpuState::Live),
        ])
        .unwrap();
        assert_eq!((cluster.num_slots(), cluster.used_slots()), (14, 7));
        assert_eq!((cluster.used_nodes(), cluster.total_speed()), (vec![0, 3], 3));
        let used: Vec<_> = (0..5).map(|gpu| cluster.is_used(gpu)).collect();
        assert_eq!(used, [true, false, false, false, true]);
        let doubled = Cluster::new(vec![gpu(0, 3, 2, GpuState::Live); 4]).unwrap();
        assert_eq!(doubled.uniform_slots(), Some(3));
    }

    #[test]
    fn impossible_clusters_are_refused() {
        let gpu = |node, slots, speed| Gpu { node, slots, speed, state: GpuState::Live };
        for (gpus, text) in [
            (vec![], "num_gpus=0 is too small"),
            (vec![gpu(0, 1, 1), gpu(0, 1, 0)], "the speed of GPU 1 is 0; expected 1 to 65536"),
            (vec![gpu(0, 1, 65_537)], "the speed of GPU 0 is 65537"),
            (vec![gpu(1, 1, 1), gpu(0, 1, 1)], "GPU 1 is on node 0, after GPUs of node 1"),
            (vec![gpu(0, u32::MAX, 1); 2], "num_replicas=8589934590 is too large"),
            (vec![gpu(u32::MAX, 1, 1)], "num_nodes=4294967296 is too large"),
        ] {
            let error = Cluster::new(gpus).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
        for sizes in [[0, 1, 1], [1, 0, 1], [1, 1, 0], [u64::MAX, u64::MAX, 1], [1, 1, 1 << 21]] {
            assert!(Cluster::uniform(sizes[0], sizes[1], sizes[2]).is_err(), "{sizes:?}");
        }
    }
}
