//! The GPUs of a zone: those that its experts may be on. If groups are kept on nodes every node is a
//! zone, otherwise all GPUs are one.

use std::ops::Range;

use crate::problem::cluster::Cluster;
use crate::problem::topology::Topology;

/// Slots and speed of each of some GPUs.
#[derive(Debug, Clone, Copy)]
pub(super) struct EqualGpus {
    pub(super) slots: usize,
    pub(super) speed: u64,
}

/// GPUs in use, which may differ in slots and speed.
#[derive(Debug)]
pub(super) struct Gpus {
    /// First slot of each GPU, and one past the last slot of all.
    first: Vec<u32>,
    pub(super) speed: Vec<u64>,
    /// Time that a load takes, in 2^-32.
    pace: Vec<u64>,
    /// First slot of each GPU among those of the cluster.
    first_of_cluster: Vec<u32>,
    /// How many replicas of any m experts there is room for, if no GPU gets two of one, from m = 0 to all
    /// experts of the zone.
    pub(super) room: Vec<u64>,
}

impl Gpus {
    /// The zones of a topology, in order.
    pub(super) fn zones(topology: &Topology) -> Vec<Self> {
        let cluster = topology.cluster();
        let used: Vec<usize> =
            (0..cluster.num_gpus()).filter(|&gpu| cluster.is_used(gpu)).collect();
        let experts = topology.num_experts() / topology.nodes();
        if topology.nodes() == 1 {
            return vec![Self::new(cluster, &used, experts)];
        }
        let node = |gpu: &usize| cluster.gpus()[*gpu].node;
        used.chunk_by(|a, b| node(a) == node(b))
            .map(|gpus| Self::new(cluster, gpus, experts))
            .collect()
    }

    fn new(cluster: &Cluster, gpus: &[usize], experts: usize) -> Self {
        let mut first = vec![0];
        // GPUs with so many slots; then with at least so many.
        let mut of_slots = vec![0_u64; experts + 2];
        let mut end = 0;
        for &gpu in gpus {
            let slots = cluster.slots_of(gpu).len();
            end += slots as u32;
            first.push(end);
            of_slots[slots.min(experts)] += 1;
        }
        for m in (1..=experts).rev() {
            of_slots[m] += of_slots[m + 1];
        }
        // The m-th expert has room on every GPU with at least m slots.
        let mut room = vec![0_u64];
        for m in 1..=experts {
            room.push(room[m - 1] + of_slots[m]);
        }
        let speed = |&gpu: &usize| u64::from(cluster.gpus()[gpu].speed);
        Self {
            first,
            speed: gpus.iter().map(speed).collect(),
            pace: gpus.iter().map(|gpu| (1 << 32) / speed(gpu)).collect(),
            first_of_cluster: gpus.iter().map(|&gpu| cluster.slots_of(gpu).start as u32).collect(),
            room,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.speed.len()
    }

    pub(super) fn num_slots(&self) -> usize {
        self.first[self.len()] as usize
    }

    /// Whether these are the same slots and speeds as those of another zone.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (&self.first, &self.speed) == (&other.first, &other.speed)
    }

    /// What each GPU has, if they are equal.
    pub(super) fn equal(&self) -> Option<EqualGpus> {
        let of = |gpu: usize| (self.slots(gpu).len(), self.speed[gpu]);
        let (slots, speed) = of(0);
        (1..self.len()).all(|gpu| of(gpu) == (slots, speed)).then_some(EqualGpus { slots, speed })
    }

    /// The slots of a GPU, among those of the zone.
    #[inline]
    pub(super) fn slots(&self, gpu: usize) -> Range<usize> {
        self.first[gpu] as usize..self.first[gpu + 1] as usize
    }

    /// The same among those of the cluster.
    pub(super) fn slots_of_cluster(&self, gpu: usize) -> Range<usize> {
        let first = self.first_of_cluster[gpu] as usize;
        first..first + self.slots(gpu).len()
    }

    /// The time that a load takes, rounded up.
    #[inline]
    pub(super) fn time(&self, gpu: usize, load: u64) -> u64 {
        load.div_ceil(self.speed[gpu])
    }

    /// The largest load that takes at most `time`.
    #[inline]
    pub(super) fn most(&self, gpu: usize, time: u64) -> u64 {
        time.saturating_mul(self.speed[gpu])
    }

    /// The time that a load takes, as precise as choosing where to look needs it: faster than a division.
    /// Loads are below 2^60.
    #[inline]
    pub(super) fn rough_time(&self, gpu: usize, load: u64) -> u64 {
        (load >> 28) * self.pace[gpu]
    }

    /// Whether a load takes longer on one GPU than another one on another, exactly.
    #[inline]
    pub(super) fn is_longer(&self, (gpu, load): (usize, u64), (other, than): (usize, u64)) -> bool {
        let (mine, theirs) = (u128::from(self.speed[gpu]), u128::from(self.speed[other]));
        u128::from(load) * theirs > u128::from(than) * mine
    }
}
