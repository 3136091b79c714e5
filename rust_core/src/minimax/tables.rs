//! Planned layers as tables: candidates of a layer, of which the best goes into the plan.

use super::search::Outcome;
use crate::placement::tables::LayerTables;
use crate::problem::topology::Topology;

/// The tables of a layer, in buffers that are reused.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) phy2log: Vec<i64>,
    pub(super) rank: Vec<i64>,
    pub(super) logcnt: Vec<i64>,
}

impl Tables {
    /// Room for a layer of this topology.
    pub(super) fn of(&mut self, topology: &Topology) -> LayerTables<'_> {
        self.phy2log.resize(topology.num_replicas(), 0);
        self.rank.resize(topology.num_replicas(), 0);
        self.logcnt.resize(topology.num_experts(), 0);
        let Self { phy2log, rank, logcnt } = self;
        LayerTables { phy2log, rank, logcnt }
    }

    pub(super) fn copy_to(&self, tables: &mut LayerTables<'_>) {
        tables.phy2log.copy_from_slice(&self.phy2log);
        tables.rank.copy_from_slice(&self.rank);
        tables.logcnt.copy_from_slice(&self.logcnt);
    }
}

/// The best candidate so far.
#[derive(Debug)]
pub(super) struct Best<'a> {
    /// Load of its busiest GPU; the largest number before there is a candidate.
    pub(super) peak: u64,
    tables: LayerTables<'a>,
}

impl<'a> Best<'a> {
    /// There is no candidate yet; the best will be in `tables`.
    pub(super) fn new(tables: LayerTables<'a>) -> Self {
        Self { peak: u64::MAX, tables }
    }

    /// Keeps a candidate with this peak if it is better; of equal ones the first stays. Only then it is
    /// written.
    #[inline]
    pub(super) fn offer(&mut self, peak: u64, write: impl FnOnce(&mut LayerTables<'_>)) {
        if peak < self.peak {
            self.peak = peak;
            write(&mut self.tables);
        }
    }
}

/// Writes the plan of a node from its first slot on; `expert` gives the expert of the layer for an expert
/// of the node.
pub(super) fn write_node(
    outcome: &Outcome<'_>,
    expert: impl Fn(u32) -> u32,
    first_slot: usize,
    tables: &mut LayerTables<'_>,
) {
    let (replicas, layout) = (&outcome.best.replicas, &outcome.best.layout);
    let slots = first_slot..first_slot + layout.slots.len();
    let phy2log = &mut tables.phy2log[slots.clone()];
    let rank = &mut tables.rank[slots];
    for ((&index, phy2log), rank) in layout.slots.iter().zip(phy2log).zip(rank) {
        let replica = replicas.sorted[index as usize];
        let position = replicas.position[index as usize];
        let expert = expert(outcome.expert[position as usize]);
        *phy2log = expert as i64;
        *rank = i64::from(index - replica.first);
        tables.logcnt[expert as usize] = replica.count().into();
    }
}
