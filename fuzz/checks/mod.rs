//! What the fuzz targets check, of any bytes whatever: each `check` returns or panics.

#![allow(dead_code, reason = "each target takes what it needs")]

pub(crate) mod certificate;
pub(crate) mod loads;
pub(crate) mod plan;
pub(crate) mod tables;

#[path = "../../rust_core/tests/twin/mod.rs"]
mod twin;

use eplb_core::{Certificate, Sizes};

/// Changes a byte of the hash of the loads that a certificate is of.
fn set_byte_of_hash(certificate: &mut Certificate, at: usize, byte: u8) {
    let mut hash = certificate.loads_sha256.get();
    hash[at] = byte;
    certificate.loads_sha256 = hash.into();
}

/// Reads numbers from bytes, and zeros when these are used up.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// The next `N` bytes.
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let (now, later) = self.0.split_at(N.min(self.0.len()));
        array[..now.len()].copy_from_slice(now);
        self.0 = later;
        array
    }

    /// One of `0..end`, from one byte.
    fn below(&mut self, end: u8) -> u64 {
        u64::from(self.array::<1>()[0] % end)
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// Any number, often one where something begins or ends.
    fn edge(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => self.below(40),
            2 => u64::MAX,
            3 => i64::MAX as u64,
            4 => i32::MAX as u64 + self.below(2),
            5 => 1 << self.below(64),
            6 => self.below(40) * self.below(40),
            _ => self.number(),
        }
    }

    /// Sizes that go together, of up to a few hundred slots.
    fn small_sizes(&mut self) -> Sizes {
        let nodes = 1 + self.below(4);
        let groups = nodes * (1 + self.below(4));
        let experts = groups * (1 + self.below(8));
        let gpus = nodes * (1 + self.below(40) / nodes);
        let slots_per_gpu = experts.div_ceil(gpus) + self.below(12);
        // Groups that do not divide by the nodes, where no other size has to divide then.
        let fallback = self.below(4) == 0;
        Sizes {
            num_experts: experts,
            num_replicas: slots_per_gpu * gpus,
            num_groups: if fallback { 3 } else { groups },
            num_nodes: if fallback { 7 } else { nodes },
            num_gpus: gpus,
        }
    }
}
