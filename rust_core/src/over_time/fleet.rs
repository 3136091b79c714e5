//! The slots that a layer is planned for: which GPU each is on, and between which GPUs experts may
//! move.

use std::ops::Range;

use crate::error::Error;
use crate::over_time::error;
use crate::over_time::multiwindow::logical;
use crate::placement;
use crate::problem::topology::Topology;

/// GPUs with their slots, in zones. Experts never move between zones: if expert groups are kept on
/// nodes, every node is a zone, otherwise all GPUs are one.
///
/// Only slots of GPUs in use are counted here; the others have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fleet {
    experts: usize,
    groups: usize,
    slots: Vec<Range<usize>>,
    gpu_of: Vec<u32>,
    zones: Vec<Range<usize>>,
    zone_of: Vec<u32>,
    /// The slot of each one here among all slots of the cluster.
    slot_of_cluster: Vec<u32>,
}

impl Fleet {
    /// The slots of a topology, whose GPUs are in the order of their nodes.
    pub(crate) fn new(topology: &Topology) -> Self {
        let cluster = topology.cluster();
        let mut slots = Vec::with_capacity(cluster.num_gpus());
        let mut slot_of_cluster = Vec::with_capacity(cluster.used_slots());
        for gpu in 0..cluster.num_gpus() {
            let first = slot_of_cluster.len();
            if cluster.is_used(gpu) {
                slot_of_cluster.extend(cluster.slots_of(gpu).map(|slot| slot as u32));
            }
            slots.push(first..slot_of_cluster.len());
        }
        // A plan that ignores groups and nodes has one zone, however many nodes the cluster has. A
        // node without GPUs in use belongs to the zone before it.
        let nodes = cluster.used_nodes();
        let starts = nodes.iter().skip(1).filter(|_| topology.nodes() > 1);
        let first_gpu = |&node: &u32| cluster.gpus().partition_point(|gpu| gpu.node < node);
        let mut starts: Vec<usize> = std::iter::once(0).chain(starts.map(first_gpu)).collect();
        starts.push(cluster.num_gpus());
        let zones: Vec<_> = starts.windows(2).map(|pair| pair[0]..pair[1]).collect();
        // One zone has one group: experts then go anywhere.
        let groups = if zones.len() == 1 { 1 } else { topology.groups() };
        let fleet = Self::from_ranges(topology.num_experts(), groups, slots, zones);
        Self { slot_of_cluster, ..fleet }
    }

    /// Writes the experts of these slots as a row of `phy2log`.
    pub(crate) fn write(&self, experts: &[u16], phy2log: &mut [i64]) {
        if self.slot_of_cluster.len() < phy2log.len() {
            phy2log.fill(placement::EMPTY);
        }
        for (&slot, &expert) in self.slot_of_cluster.iter().zip(experts) {
            phy2log[slot as usize] = logical(expert);
        }
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
        let (gpu_of, zone_of): (Vec<u32>, Vec<u32>) = (spread(&slots), spread(&zones));
        let slot_of_cluster = (0..gpu_of.len() as u32).collect();
        Self { experts, groups, slots, gpu_of, zones, zone_of, slot_of_cluster }
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
