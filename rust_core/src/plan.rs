//! A placement: which expert sits in each slot, and what follows from that alone.

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::topology::{MAX_SLOTS, Topology};
use crate::verify::verify_structure;

/// Where the copies of every expert of every layer are.
///
/// Tables are row after row, in the engines' width. Slot p lives on GPU p / (P / G). Every plan is
/// one that [`verify_structure`](crate::verify_structure) accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(crate) topology: Topology,
    pub(crate) layers: usize,
    pub(crate) phy2log: Vec<i64>,
    pub(crate) rank: Vec<i64>,
    pub(crate) logcnt: Vec<i64>,
}

impl Plan {
    /// Zeros of the right size.
    pub(crate) fn zeroed(topology: Topology, layers: usize) -> Result<Self, Error> {
        let replicas = topology.num_replicas();
        if layers as u128 * replicas as u128 > u128::from(MAX_SLOTS) {
            return Err(Error::TooManySlots { layers, replicas });
        }
        let zeros = |per_layer: usize| {
            let mut table = Vec::new();
            table
                .try_reserve_exact(layers * per_layer)
                .map_err(|_| Error::OutOfMemory { layers, replicas })?;
            table.resize(layers * per_layer, 0);
            Ok(table)
        };
        Ok(Self {
            topology,
            layers,
            phy2log: zeros(replicas)?,
            rank: zeros(replicas)?,
            logcnt: zeros(topology.num_experts())?,
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

    /// Logical expert in each slot, `[layers, P]`.
    #[must_use]
    pub fn phy2log(&self) -> &[i64] {
        &self.phy2log
    }

    /// Which copy of its expert each slot holds, 0 .. copies - 1, `[layers, P]`.
    #[must_use]
    pub fn rank(&self) -> &[i64] {
        &self.rank
    }

    /// Copies of each expert, `[layers, L]`.
    #[must_use]
    pub fn logcnt(&self) -> &[i64] {
        &self.logcnt
    }

    /// The plan with these tables, as from a file.
    ///
    /// # Errors
    /// [`Error::Verification`] with the first thing that makes them no plan.
    pub fn from_tables(
        topology: Topology,
        layers: usize,
        phy2log: Vec<i64>,
        rank: Vec<i64>,
        logcnt: Vec<i64>,
    ) -> Result<Self, Error> {
        let plan = Self {
            topology,
            layers,
            phy2log,
            rank,
            logcnt,
        };
        verify_structure(&plan)?;
        Ok(plan)
    }

    /// The plan of a placement `[layers, P]` that exists already: the copies of an expert are
    /// ranked by slot.
    ///
    /// # Errors
    /// [`Error::TableSize`] if `phy2log` is empty or no whole number of layers,
    /// [`Error::NoSuchExpert`], [`Error::MissingExpert`], [`Error::TooManySlots`], and
    /// [`Error::Verification`] where the groups of a hierarchical plan are not whole on their nodes.
    pub fn from_phy2log(phy2log: &[i64], topology: Topology) -> Result<Self, Error> {
        let (slots, experts) = (topology.num_replicas(), topology.num_experts());
        let layers = phy2log.len() / slots;
        if layers == 0 || layers * slots != phy2log.len() {
            return Err(Error::TableSize {
                name: "phy2log",
                found: phy2log.len(),
                expected: layers.max(1) * slots,
                per_layer_name: "num_replicas",
            });
        }
        let mut plan = Self::zeroed(topology, layers)?;
        plan.phy2log.copy_from_slice(phy2log);
        for layer in 0..layers {
            let logcnt = &mut plan.logcnt[layer * experts..][..experts];
            for slot in 0..slots {
                let expert = phy2log[layer * slots + slot];
                let count = usize::try_from(expert)
                    .ok()
                    .and_then(|expert| logcnt.get_mut(expert))
                    .ok_or(Error::NoSuchExpert {
                        layer,
                        slot,
                        expert,
                        experts,
                    })?;
                plan.rank[layer * slots + slot] = *count;
                *count += 1;
            }
            if let Some(expert) = logcnt.iter().position(|&count| count == 0) {
                return Err(Error::MissingExpert { layer, expert });
            }
        }
        verify_structure(&plan)?;
        Ok(plan)
    }

    /// Slots of each expert by rank, `[layers, L, width]`, padded with -1. The width is the largest
    /// count of the plan.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn log2phy(&self) -> Result<(Vec<i64>, usize), Error> {
        let width = self.logcnt.iter().copied().max().unwrap_or(1) as usize;
        Ok((self.log2phy_of_width(width)?, width))
    }

    /// The same, of the width P - L + 1 that no plan of this topology exceeds: for static shapes.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn log2phy_static(&self) -> Result<(Vec<i64>, usize), Error> {
        let width = self.topology.num_replicas() - self.topology.num_experts() + 1;
        Ok((self.log2phy_of_width(width)?, width))
    }

    fn log2phy_of_width(&self, width: usize) -> Result<Vec<i64>, Error> {
        let (slots, experts) = (self.topology.num_replicas(), self.topology.num_experts());
        let mut log2phy: Vec<i64> = Vec::new();
        let entries = (self.layers * experts)
            .checked_mul(width)
            .filter(|&n| n as u64 <= MAX_SLOTS);
        entries
            .and_then(|entries| log2phy.try_reserve_exact(entries).ok().map(|()| entries))
            .map(|entries| log2phy.resize(entries, -1))
            .ok_or(Error::OutOfMemory {
                layers: self.layers,
                replicas: slots,
            })?;
        for layer in 0..self.layers {
            let rows = &mut log2phy[layer * experts * width..][..experts * width];
            for slot in 0..slots {
                let at = layer * slots + slot;
                rows[self.phy2log[at] as usize * width + self.rank[at] as usize] = slot as i64;
            }
        }
        Ok(log2phy)
    }

    /// Slots per layer that hold an expert which its GPU holds already, `[layers]`.
    #[must_use]
    pub fn duplicates(&self) -> Vec<usize> {
        let mut last_seen = vec![usize::MAX; self.topology.num_experts()];
        let gpus = self.topology.num_gpus();
        let gpu_slots = self.phy2log.chunks_exact(self.topology.slots_per_gpu());
        let mut duplicates = vec![0; self.layers];
        for (gpu, experts) in gpu_slots.enumerate() {
            for &expert in experts {
                let seen = &mut last_seen[expert as usize];
                duplicates[gpu / gpus] += usize::from(*seen == gpu);
                *seen = gpu;
            }
        }
        duplicates
    }

    /// A short hash of what an engine runs: the first 16 hex digits of SHA-256 over a version tag,
    /// then layers, P, G, groups, nodes and `phy2log` as little-endian u32. Ranks of a cluster
    /// compare it. Rank, policy and loads are left out.
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
        let hash: [u8; 32] = hash.finalize().into();
        hash[..8]
            .iter()
            .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
    }
}
