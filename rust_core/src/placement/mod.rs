//! A placement: which expert is in which slot, what follows from that alone, and what it costs.

pub(crate) mod bound;
pub(crate) mod certificate;
pub(crate) mod split;
pub(crate) mod tables;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};
use crate::limits::MAX_SLOTS;
use crate::problem::topology::Topology;

/// What an empty slot holds.
pub(crate) const EMPTY: i64 = -1;

/// Where the replicas of every expert of every layer are.
///
/// Tables are row after row, in the engines' width. The cluster says which slots a GPU has. Every
/// placement is one that [`verify_structure`](crate::verify_structure) accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub(crate) topology: Topology,
    pub(crate) layers: usize,
    pub(crate) phy2log: Vec<i64>,
    pub(crate) rank: Vec<i64>,
    pub(crate) logcnt: Vec<i64>,
}

impl Placement {
    /// Zeros of the right size.
    pub(crate) fn zeroed(topology: Topology, layers: usize) -> Result<Self, Error> {
        let slots = topology.num_replicas();
        if layers as u128 * slots as u128 > u128::from(MAX_SLOTS) {
            let problem =
                format!("{layers} layers x {slots} slots are more than {MAX_SLOTS} slots in all");
            return Err(Error::text(ErrorKind::Topology, problem).hint([FEWER_LAYERS.into()]));
        }
        let zeros = |per_layer: usize| {
            let mut table = Vec::new();
            let entries = layers * per_layer;
            table.try_reserve_exact(entries).map_err(|_| out_of_memory(layers, slots))?;
            table.resize(entries, 0);
            Ok(table)
        };
        Ok(Self {
            layers,
            phy2log: zeros(slots)?,
            rank: zeros(slots)?,
            logcnt: zeros(topology.num_experts())?,
            topology,
        })
    }

    /// The sizes planned for.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Logical expert in each slot, `[layers, P]`; -1 is an empty slot.
    #[must_use]
    pub fn phy2log(&self) -> &[i64] {
        &self.phy2log
    }

    /// Which replica of its expert each slot holds, 0 .. replicas - 1, `[layers, P]`; -1 for an empty
    /// slot.
    #[must_use]
    pub fn rank(&self) -> &[i64] {
        &self.rank
    }

    /// Replicas of each expert, `[layers, L]`.
    #[must_use]
    pub fn logcnt(&self) -> &[i64] {
        &self.logcnt
    }

    /// Slots of each expert by rank, `[layers, L, width]`, padded with -1. The width is the largest
    /// count of the plan.
    ///
    /// # Errors
    /// There is no memory for the table.
    pub fn log2phy(&self) -> Result<(Vec<i64>, usize), Error> {
        let width = self.logcnt.iter().copied().max().unwrap_or(1) as usize;
        Ok((self.log2phy_of_width(width)?, width))
    }

    /// The same, of the width P - L + 1 that no plan of this topology exceeds: for static shapes.
    ///
    /// # Errors
    /// There is no memory for the table.
    pub fn log2phy_static(&self) -> Result<(Vec<i64>, usize), Error> {
        let width = self.topology.num_replicas() - self.topology.num_experts() + 1;
        Ok((self.log2phy_of_width(width)?, width))
    }

    fn log2phy_of_width(&self, width: usize) -> Result<Vec<i64>, Error> {
        let (slots, experts) = (self.topology.num_replicas(), self.topology.num_experts());
        let mut log2phy: Vec<i64> = Vec::new();
        let entries = (self.layers * experts).checked_mul(width).filter(|&n| n as u64 <= MAX_SLOTS);
        entries
            .and_then(|entries| log2phy.try_reserve_exact(entries).ok().map(|()| entries))
            .map(|entries| log2phy.resize(entries, -1))
            .ok_or_else(|| out_of_memory(self.layers, slots))?;
        for layer in 0..self.layers {
            let rows = &mut log2phy[layer * experts * width..][..experts * width];
            for slot in 0..slots {
                let at = layer * slots + slot;
                if self.phy2log[at] != EMPTY {
                    rows[self.phy2log[at] as usize * width + self.rank[at] as usize] = slot as i64;
                }
            }
        }
        Ok(log2phy)
    }

    /// Slots per layer that hold an expert which their GPU holds already, `[layers]`.
    #[must_use]
    pub fn duplicates(&self) -> Vec<usize> {
        let cluster = self.topology.cluster();
        let mut last_seen = vec![usize::MAX; self.topology.num_experts()];
        let mut duplicates = vec![0; self.layers];
        let layers = self.phy2log.chunks_exact(self.topology.num_replicas());
        for (layer, (phy2log, duplicates)) in layers.zip(&mut duplicates).enumerate() {
            for gpu in 0..cluster.num_gpus() {
                let now = layer * cluster.num_gpus() + gpu;
                let held = phy2log[cluster.slots_of(gpu)].iter();
                for &expert in held.filter(|&&expert| expert != EMPTY) {
                    let seen = &mut last_seen[expert as usize];
                    *duplicates += usize::from(*seen == now);
                    *seen = now;
                }
            }
        }
        duplicates
    }

    /// A short hash of what an engine runs: the first 16 hex digits of SHA-256 over a version tag,
    /// then layers, P, G, groups, nodes and `phy2log` as little-endian u32, an empty slot being
    /// `u32::MAX`. If GPUs are not equal, node, slots, speed and state (0 live, 1 draining, 2 dead) of
    /// each follow. Ranks of a cluster compare it. Rank, policy and loads are left out.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new_with_prefix(b"eplb plan 1\n");
        let sizes = [
            self.layers,
            self.topology.num_replicas(),
            self.topology.num_gpus(),
            self.topology.num_groups(),
            self.topology.num_nodes(),
        ];
        for size in sizes {
            hash.update((size as u32).to_le_bytes());
        }
        for &expert in &self.phy2log {
            hash.update((expert as u32).to_le_bytes());
        }
        let cluster = self.topology.cluster();
        if cluster.uniform_slots().is_none() {
            for gpu in cluster.gpus() {
                for number in [gpu.node, gpu.slots, gpu.speed, gpu.state as u32] {
                    hash.update(number.to_le_bytes());
                }
            }
        }
        let hash: [u8; 32] = hash.finalize().into();
        hash[..8].iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
    }
}

const FEWER_LAYERS: &str = "plan fewer layers at a time";

fn out_of_memory(layers: usize, slots: usize) -> Error {
    let problem = format!("not enough memory for a plan of {layers} layers x {slots} slots");
    Error::text(ErrorKind::Topology, problem).hint([FEWER_LAYERS.into()])
}
