//! The slots that a layer is planned for: which GPU each is on, and between which GPUs experts may
//! move.

use std::ops::Range;

use crate::error::Error;
use crate::over_time::error;
use crate::problem::topology::Topology;

/// GPUs with their slots, in zones. Experts never move between zones: if expert groups are kept on
/// nodes, every node is a zone, otherwise all GPUs are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fleet {
    experts: usize,
    groups: usize,
    slots: Vec<Range<usize>>,
    gpu_of: Vec<u32>,
    zones: Vec<Range<usize>>,
    zone_of: Vec<u32>,
}

impl Fleet {
    /// The slots of a topology, whose GPUs are in the order of their nodes.
    pub(crate) fn new(topology: &Topology) -> Self {
        let cluster = topology.cluster();
        let nodes: Vec<u32> = cluster.gpus().iter().map(|gpu| gpu.node).collect();
        let zone = |node: usize| {
            let first = nodes.partition_point(|&other| (other as usize) < node);
            first..nodes.partition_point(|&other| other as usize <= node)
        };
        // A plan that ignores groups and nodes has one zone, however many nodes the cluster has.
        let whole = |_| 0..cluster.num_gpus();
        let zones: Vec<_> = match topology.nodes() {
            1 => (0..1).map(whole).collect(),
            nodes => (0..nodes).map(zone).collect(),
        };
        let slots = (0..cluster.num_gpus()).map(|gpu| cluster.slots_of(gpu)).collect();
        // One zone has one group: experts then go anywhere.
        let groups = if zones.len() == 1 { 1 } else { topology.groups() };
        Self::from_ranges(topology.num_experts(), groups, slots, zones)
    }

    /// Consecutive ranges of slots, one for each GPU, and of GPUs, one for each zone.
    pub(crate) fn from_ranges(
        experts: usize,
        groups: usize,
        slots: Vec<Range<usize>>,
        zones: Vec<Range<usize>>,
    ) -> Self {
        let spread = |ranges: &[Range<usize>]| {
            (0..).zip(ranges).flat_map(|(index, range)| range.clone().map(move |_| index)).collect()
        };
        let (gpu_of, zone_of) = (spread(&slots), spread(&zones));
        Self { experts, groups, slots, gpu_of, zones, zone_of }
    }

    /// Whether no GPU has more slots than there are experts for it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let experts = self.experts / self.num_zones();
        match (0..self.num_zones()).find(|&zone| self.most_slots(zone) > experts) {
            Some(zone) => Err(error::too_few_experts(self.most_slots(zone), experts)),
            None => Ok(()),
        }
    }

    pub(crate) fn experts(&self) -> usize {
        self.experts
    }

    /// Experts of each group, which stay in one zone.
    pub(crate) fn group_size(&self) -> usize {
        self.experts / self.groups
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    pub(crate) fn gpus(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn num_slots(&self) -> usize {
        self.gpu_of.len()
    }

    /// The slots of a GPU.
    pub(crate) fn slots(&self, gpu: usize) -> Range<usize> {
        self.slots[gpu].clone()
    }

    /// The most slots of a GPU of this zone.
    pub(crate) fn most_slots(&self, zone: usize) -> usize {
        self.zones[zone].clone().map(|gpu| self.slots[gpu].len()).max().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn gpu_of(&self, slot: usize) -> usize {
        self.gpu_of[slot] as usize
    }

    pub(crate) fn num_zones(&self) -> usize {
        self.zones.len()
    }

    /// The GPUs of a zone.
    pub(crate) fn zone(&self, zone: usize) -> Range<usize> {
        self.zones[zone].clone()
    }

    /// The slots of all GPUs of a zone.
    pub(crate) fn zone_slots(&self, zone: usize) -> Range<usize> {
        let gpus = self.zone(zone);
        self.slots[gpus.start].start..self.slots[gpus.end - 1].end
    }

    pub(crate) fn zone_of(&self, gpu: usize) -> usize {
        self.zone_of[gpu] as usize
    }
}
