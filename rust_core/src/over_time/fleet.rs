//! The slots that a layer is planned for: which GPU each is on, and between which GPUs experts may
//! move.

use std::ops::Range;

use crate::over_time::objective::{Cells, bits, potential, potential_of_any, slope, write_slopes};
use crate::over_time::slot::logical;
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
    /// If GPUs differ in speed.
    speeds: Option<Speeds>,
    /// The same for zones.
    zone_speeds: Option<Speeds>,
    /// As many GPUs of the smallest speed as do what all do, rounded up.
    mean_gpus: usize,
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
        let slowest = cluster.used_gpus().map(|gpu| u64::from(gpu.speed)).min().unwrap_or(1);
        // What is not in use counts as slow: it carries nothing.
        let speed = |gpu: usize| {
            if cluster.is_used(gpu) { u64::from(cluster.gpus()[gpu].speed) } else { slowest }
        };
        let of_zone =
            |gpus: &Range<usize>| gpus.clone().filter(|&gpu| cluster.is_used(gpu)).map(speed).sum();
        let zones: Vec<u64> = fleet.zones.iter().map(of_zone).collect();
        let speeds = Speeds::new(&(0..cluster.num_gpus()).map(speed).collect::<Vec<_>>());
        let mean_gpus = cluster.total_speed().div_ceil(slowest) as usize;
        Self { slot_of_cluster, speeds, zone_speeds: Speeds::new(&zones), mean_gpus, ..fleet }
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
        let mean_gpus = slots.len();
        Self {
            experts,
            groups,
            slots,
            gpu_of,
            zones,
            zone_of,
            slot_of_cluster,
            speeds: None,
            zone_speeds: None,
            mean_gpus,
        }
    }

    /// The same GPUs, with these speeds.
    #[cfg(test)]
    pub(crate) fn with_speeds(self, speeds: &[u64]) -> Self {
        let least = speeds.iter().copied().min().unwrap_or(1);
        let mean_gpus = speeds.iter().sum::<u64>().div_ceil(least) as usize;
        Self { speeds: Speeds::new(speeds), mean_gpus, ..self }
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

    /// How many GPUs of the smallest speed share all loads.
    pub(crate) fn mean_gpus(&self) -> usize {
        self.mean_gpus
    }

    /// Whether all GPUs are equally fast.
    #[inline]
    pub(crate) fn is_even(&self) -> bool {
        self.speeds.is_none()
    }

    /// What a load is for a GPU: as much as it would be for the slowest one in the same time.
    #[inline]
    pub(crate) fn felt<const N: usize>(&self, gpu: usize, load: &Cells<N>) -> Cells<N> {
        self.speeds.as_ref().map_or(*load, |speeds| speeds.felt(gpu, load))
    }

    /// The potential of what GPUs feel counts by their speed: so the sum is least where all times are
    /// equal.
    #[inline]
    pub(crate) fn weighted(&self, gpu: usize, potential: u64) -> u64 {
        self.speeds.as_ref().map_or(potential, |speeds| speeds.weighted(gpu, potential))
    }

    /// The potential of a GPU with this load.
    #[inline]
    pub(crate) fn potential<const N: usize>(&self, gpu: usize, load: &Cells<N>) -> u64 {
        self.potential_and_bits(gpu, load).0
    }

    /// The potential of a GPU with this load, and the bits of what it feels.
    #[inline]
    pub(crate) fn potential_and_bits<const N: usize>(
        &self,
        gpu: usize,
        load: &Cells<N>,
    ) -> (u64, u32) {
        match &self.speeds {
            None => (potential(load), bits(load)),
            Some(speeds) => {
                let felt = speeds.felt(gpu, load);
                (speeds.weighted(gpu, potential(&felt)), bits(&felt))
            }
        }
    }

    /// The potential for loads of any size.
    #[inline]
    pub(crate) fn potential_of_any<const N: usize>(&self, gpu: usize, load: &Cells<N>) -> u64 {
        match &self.speeds {
            None => potential_of_any(load),
            Some(speeds) => speeds.weighted(gpu, potential_of_any(&speeds.felt(gpu, load))),
        }
    }

    /// The same for a zone, as if it was one GPU.
    pub(crate) fn potential_of_zone<const N: usize>(&self, zone: usize, load: &Cells<N>) -> u64 {
        match &self.zone_speeds {
            None => potential_of_any(load),
            Some(speeds) => speeds.weighted(zone, potential_of_any(&speeds.felt(zone, load))),
        }
    }

    /// The slopes of the potential of a GPU with this load.
    #[inline]
    pub(crate) fn slopes<const N: usize>(&self, gpu: usize, load: &Cells<N>) -> [u64; N] {
        let mut slopes = [0; N];
        match &self.speeds {
            None => write_slopes(load, &mut slopes),
            Some(speeds) => {
                write_slopes(&speeds.felt(gpu, load), &mut slopes);
                slopes = slopes.map(|slope| (slope * speeds.slope_part) >> 16);
            }
        }
        slopes
    }

    /// The slope of the potential of any GPU that feels this.
    #[inline]
    pub(crate) fn slope(&self, felt: u32) -> u64 {
        match &self.speeds {
            None => slope(felt),
            Some(speeds) => (slope(felt) * speeds.slope_part) >> 16,
        }
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

    /// Whether zones are equally fast.
    pub(crate) fn zones_are_equal(&self) -> bool {
        self.zone_speeds.is_none()
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

/// Speeds that differ, in 2^-16.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Speeds {
    /// The least speed over each.
    haste: Vec<u32>,
    /// Each speed over the largest.
    weight: Vec<u32>,
    /// The least over the largest. A slope is that of what is felt, times haste and weight: this.
    slope_part: u64,
}

impl Speeds {
    fn new(speeds: &[u64]) -> Option<Self> {
        let (least, most) = (*speeds.iter().min()?, *speeds.iter().max()?);
        let part = |a: u64, b: u64| (a << 16) / b;
        (least < most).then(|| Self {
            haste: speeds.iter().map(|&speed| part(least, speed) as u32).collect(),
            weight: speeds.iter().map(|&speed| part(speed, most) as u32).collect(),
            slope_part: part(least, most),
        })
    }

    #[inline]
    fn felt<const N: usize>(&self, at: usize, load: &Cells<N>) -> Cells<N> {
        load.map(|x| ((u64::from(x) * u64::from(self.haste[at])) >> 16) as u32)
    }

    #[inline]
    fn weighted(&self, at: usize, potential: u64) -> u64 {
        ((u128::from(potential) * u128::from(self.weight[at])) >> 16) as u64
    }
}
