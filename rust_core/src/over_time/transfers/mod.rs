//! The weight copies that lead from one placement to another, in steps that an engine can take
//! while it serves.
//!
//! A layer's changed slots are first put in order ([`schedule`](mod@schedule)): which slot is
//! written in which step, and which writes need a buffer. Then each write gets a source, from the
//! slots that hold the expert in that step ([`sources`]). Both see the slots of the old and of the
//! new placement as one row of cells ([`layout`]).

mod change;
mod layout;
mod schedule;
mod sources;
#[cfg(test)]
mod tests;
mod transfer;

pub use transfer::{Slot, Transfer};

use crate::error::{Error, Place, too_large};
use crate::limits::MAX_REPLICAS;
use crate::over_time::error;
use crate::over_time::previous::Previous;
use crate::over_time::transfers::change::Change;
use crate::over_time::transfers::layout::Layout;
use crate::over_time::transfers::schedule::schedule;
use crate::over_time::transfers::sources::Senders;
use crate::problem::topology::Topology;

/// The weight copies that turn the placement `before` into the placement `after`, in the order of
/// layers and steps. GPUs and slots keep their numbers: GPU g of `before` is GPU g of `after`, and
/// so is its slot at each position. There is one transfer for each slot of `after` with an expert
/// that the slot did not hold before.
///
/// # Steps
/// The transfers of a step are independent: they can run in any order, or at once. An engine takes
/// the destinations of the direct (not buffered) transfers out of its map, copies, and then
/// switches to the next map. In the next map every destination holds its new expert. If another
/// slot of that GPU held the same expert, and is not to hold it in `after`, the slot leaves the
/// map, so that the GPU does not have the expert twice. Everything else stays until the last step
/// of the layer. Then the map is `after`: the slots and GPUs that `after` does not have are dropped
/// here, not earlier. A layer without transfers goes to `after` at once.
///
/// Every map serves every expert that `before` served. No GPU has an expert more often than in
/// `before` or in `after`, whichever is more. While a step runs, no transfer reads a slot that
/// another one overwrites, and each expert that is overwritten directly has another copy that the
/// step does not touch.
///
/// # Buffers
/// No order of these transfers needs fewer buffers. A buffer is needed only by slots that
/// hold the last copies of their experts, and pass them on in a cycle. Such a cycle is written in
/// one step, after all direct steps of the layer, short cycles first. Several cycles are in one
/// step if no GPU needs two buffers for them. So a GPU needs two buffers in a step only if one
/// cycle goes through it twice.
///
/// Each direct transfer is in the first step that allows it. One choice is not exact: if all copies
/// of an expert are to be overwritten, one of them must wait. It is one that does not close a
/// cycle, and next one whose new expert has the most other ways to arrive. So the number of steps
/// is small, but not always the smallest.
///
/// # Sources
/// A source is on the same GPU if possible, otherwise on the same node, otherwise anywhere. Among
/// equals it is on the GPU that has sent least so far in the list, then on the lowest GPU, then in
/// the lowest slot. Copies within a GPU do not count as sent. A GPU that is removed is on no node
/// of `topology`. What a GPU held that is dead in `topology` is lost: it is no source.
///
/// Time of a layer: O(slots), O(replicas) for each transfer if its expert has that many replicas,
/// O(n log n) to sort n transfers, and O(buffered steps) for each buffered one. Memory
/// O(slots + transfers).
///
/// # Errors
/// A placement does not have whole layers, or more than [`MAX_REPLICAS`] slots; `after` has another
/// number of layers than `before`; an expert is unknown; `after` has no slot for an expert.
pub fn transfers(
    before: Previous<'_>,
    after: &[i64],
    topology: &Topology,
) -> Result<Vec<Transfer>, Error> {
    let layers = before.layers()?;
    check_size(before.cluster.num_slots(), after, layers, topology)?;
    let layout = Layout::new(before.cluster, topology.cluster());
    let mut senders = Senders::new(&layout);
    let mut list = Vec::new();
    let rows = before.phy2log.chunks_exact(before.cluster.num_slots());
    for (layer, (old, new)) in rows.zip(after.chunks_exact(topology.num_replicas())).enumerate() {
        let change = Change::read(layer, old, new, &layout, topology.num_experts())?;
        senders.append(layer, &change, &schedule(&change, &layout), &mut list);
    }
    Ok(list)
}

fn check_size(
    old_slots: usize,
    after: &[i64],
    layers: usize,
    topology: &Topology,
) -> Result<(), Error> {
    if old_slots as u64 > MAX_REPLICAS {
        return Err(too_large("num_replicas", old_slots as u64, MAX_REPLICAS));
    }
    let slots = topology.num_replicas();
    if after.len().is_multiple_of(slots) && after.len() / slots == layers {
        return Ok(());
    }
    let problem = format!("the new placement has {} entries", after.len());
    let expected = format!("{}: {layers} layers of {slots} slots", layers.saturating_mul(slots));
    Err(error::next(Place::default(), problem, expected))
}
