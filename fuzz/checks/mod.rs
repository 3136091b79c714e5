//! What the fuzz targets check, of any bytes whatever: each `check` returns or panics.

#![allow(dead_code, reason = "each target takes what it needs")]

pub(crate) mod certificate;
pub(crate) mod loads;
pub(crate) mod over_time;
pub(crate) mod plan;
pub(crate) mod tables;

#[path = "../../rust_core/tests/reference/mod.rs"]
mod reference;

use eplb_core::{
    Bound, CanonicalLoads, Certificate, Error, Options, Placement, Problem, Sizes, Topology, verify,
};

/// A placement and its certificate, on one thread: another may still hold memory when leaks are
/// looked for.
fn certified(
    loads: &CanonicalLoads,
    topology: &Topology,
    options: impl Into<Options>,
    threads: usize,
) -> Result<(Placement, Certificate), Error> {
    let plan = eplb_core::plan(&Problem::new(loads, topology, options)?, threads)?;
    Ok((plan.placement().clone(), plan.certificate().clone()))
}

/// The verifier accepts a changed certificate if it is still true, and no other.
fn assert_verdict(
    plan: &Placement,
    honest: &Certificate,
    changed: &Certificate,
    loads: &CanonicalLoads,
) {
    // Whether duplicates beat a layer is the planner's word, false only if no plan can do better.
    let mut rest = changed.clone();
    let mut possible = true;
    for (layer, honest) in rest.layers.iter_mut().zip(&honest.layers) {
        possible &= !layer.beaten_by_duplicates || honest.max_load > honest.lower_bound;
        layer.beaten_by_duplicates = honest.beaten_by_duplicates;
    }
    assert_eq!(verify(plan, changed, loads).is_ok(), possible && rest == *honest);
}

/// Changes something in a certificate.
fn change(bytes: &mut Bytes<'_>, certificate: &mut Certificate) {
    let kind = bytes.below(9);
    let at = bytes.number() as usize;
    let value = bytes.edge();
    if kind == 5 {
        return set_byte_of_hash(certificate, at % 32, value as u8);
    }
    let layers = certificate.layers.len().max(1);
    let Some(layer) = certificate.layers.get_mut(at % layers) else { return };
    let entry = match kind {
        0 => {
            let gpus = layer.gpu_load.len().max(1);
            match layer.gpu_load.get_mut(at / layers % gpus) {
                Some(load) => load,
                None => return layer.gpu_load.push(value),
            }
        }
        1 => &mut layer.max_load,
        2 => &mut layer.lower_bound,
        3 => &mut layer.bound_without_groups,
        4 => return layer.gpu_load.resize(value as usize % 64, 0),
        6 => return layer.bound = Bound::ALL[value as usize % Bound::ALL.len()],
        7 => return layer.exponent = value as i32,
        _ if value < 1 << 32 => return layer.beaten_by_duplicates ^= true,
        _ => return drop(certificate.layers.pop()),
    };
    *entry = if value & 1 == 0 { entry.wrapping_add(value >> 1) } else { value >> 1 };
}

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
