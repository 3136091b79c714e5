//! A weight copy, and the slots that it is between.

/// A slot of a GPU. A GPU that gets more or fewer slots keeps the positions of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The GPU.
    pub gpu: usize,
    /// The slot among those of its GPU, from 0.
    pub position: usize,
}

impl Slot {
    /// The index of the slot in a layer, if every GPU has this number of slots.
    #[must_use]
    pub fn index(self, slots_per_gpu: usize) -> usize {
        self.gpu * slots_per_gpu + self.position
    }
}

/// One weight copy: an expert comes into a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// The MoE layer.
    pub layer: usize,
    /// The step of the layer, from 0.
    pub step: usize,
    /// The logical expert whose weights are copied.
    pub expert: usize,
    /// A slot that holds the expert before the step. None if no slot holds it: the weights must
    /// then be loaded from storage.
    pub source: Option<Slot>,
    /// The slot that the expert comes into.
    pub destination: Slot,
    /// The expert that the map before the step has in the destination. None if the slot is empty.
    pub overwrites: Option<usize>,
    /// Whether the weights arrive in a buffer on the destination's GPU, and are copied into the
    /// slot only when the map is switched.
    pub buffered: bool,
}
