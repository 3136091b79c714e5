//! The replicas to place, heaviest first.
//!
//! There are two orders, which differ only where loads are equal. The published policies compare
//! slots then ([`by_slot`]), so that replicas of two experts may alternate. `minimax` compares experts
//! ([`by_expert`]), so that the replicas of an expert follow one another and can be placed at once.
//! Both merge two lists: the replicas of replicated experts, which are sorted here, and the experts
//! with one replica, which are in order already.

pub(crate) mod by_expert;
pub(crate) mod by_slot;

use std::cmp::Reverse;

use crate::problem::share::packing_load;

/// An expert with its replicas.
#[derive(Debug, Clone, Copy)]
struct Replicated {
    /// Load of a replica.
    load: u64,
    /// Position of the expert in the order of descending load.
    position: u32,
    /// Number of replicas.
    count: u32,
}

impl Replicated {
    fn new(load: u64, position: u32, count: u32) -> Self {
        Self { load: packing_load(load, count.into()), position, count }
    }
}

/// Heaviest replica first; ties: the lower position.
fn sort(experts: &mut [Replicated]) {
    experts.sort_unstable_by_key(|expert| (Reverse(expert.load), expert.position));
}
