//! The slots of the old and of the new placement as one row of cells.

use std::ops::Range;

use crate::over_time::slot::EMPTY;
use crate::over_time::transfers::transfer::Slot;
use crate::problem::cluster::{Cluster, GpuState};

/// How far weights travel. The nearest is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Distance {
    SameGpu,
    SameNode,
    OtherNode,
}

/// A GPU has a cell for each position that it has in either placement. Cells are in the order of
/// GPUs and positions.
#[derive(Debug)]
pub(super) struct Layout {
    /// Slots of each GPU in the old placement, none if it is dead now, and in the new one.
    old_slots: Vec<Range<usize>>,
    new_slots: Vec<Range<usize>>,
    /// The first cell of each GPU.
    first: Vec<u32>,
    gpu_of: Vec<u32>,
    /// None for a GPU that the new placement does not have.
    node_of: Vec<Option<u32>>,
}

impl Layout {
    pub(super) fn new(old: &Cluster, new: &Cluster) -> Self {
        let is_dead =
            |gpu: usize| new.gpus().get(gpu).is_some_and(|gpu| gpu.state == GpuState::Dead);
        let old_slots = (0..old.num_gpus())
            .map(|gpu| if is_dead(gpu) { 0..0 } else { old.slots_of(gpu) })
            .collect();
        let mut layout = Self {
            old_slots,
            new_slots: (0..new.num_gpus()).map(|gpu| new.slots_of(gpu)).collect(),
            first: Vec::new(),
            gpu_of: Vec::new(),
            node_of: Vec::new(),
        };
        for gpu in 0..old.num_gpus().max(new.num_gpus()) {
            let slots = [&layout.old_slots, &layout.new_slots];
            let most = slots.map(|slots| slots.get(gpu).map_or(0, Range::len)).into_iter().max();
            layout.first.push(layout.gpu_of.len() as u32);
            layout.gpu_of.resize(layout.gpu_of.len() + most.unwrap_or(0), gpu as u32);
            layout.node_of.push(new.gpus().get(gpu).map(|gpu| gpu.node));
        }
        layout
    }

    pub(super) fn gpus(&self) -> usize {
        self.first.len()
    }

    pub(super) fn cells(&self) -> usize {
        self.gpu_of.len()
    }

    #[inline]
    pub(super) fn gpu_of(&self, cell: u32) -> usize {
        self.gpu_of[cell as usize] as usize
    }

    pub(super) fn slot_of(&self, cell: u32) -> Slot {
        let gpu = self.gpu_of(cell);
        Slot { gpu, position: (cell - self.first[gpu]) as usize }
    }

    pub(super) fn distance(&self, gpu: usize, other: usize) -> Distance {
        match (self.node_of[gpu], self.node_of[other]) {
            _ if gpu == other => Distance::SameGpu,
            (Some(node), Some(other)) if node == other => Distance::SameNode,
            _ => Distance::OtherNode,
        }
    }

    /// A row of the old placement, by cells.
    pub(super) fn old_cells(&self, row: &[u16]) -> Vec<u16> {
        self.spread(row, self.old_slots.iter().cloned())
    }

    /// A row of the new placement, by cells.
    pub(super) fn new_cells(&self, row: &[u16]) -> Vec<u16> {
        self.spread(row, self.new_slots.iter().cloned())
    }

    fn spread(&self, row: &[u16], slots: impl Iterator<Item = Range<usize>>) -> Vec<u16> {
        let mut cells = vec![EMPTY; self.cells()];
        for (slots, &first) in slots.zip(&self.first) {
            cells[first as usize..][..slots.len()].copy_from_slice(&row[slots]);
        }
        cells
    }
}
