//! From where each write of a layer gets its weights.

use crate::over_time::slot::EMPTY;
use crate::over_time::transfers::change::Change;
use crate::over_time::transfers::layout::{Distance, Layout};
use crate::over_time::transfers::schedule::Write;
use crate::over_time::transfers::transfer::Transfer;

/// How many copies each GPU has sent to other GPUs, over all layers.
#[derive(Debug)]
pub(super) struct Senders<'a> {
    layout: &'a Layout,
    sent: Vec<u64>,
}

impl<'a> Senders<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, sent: vec![0; layout.gpus()] }
    }

    /// Appends the transfers of a layer. Time O(replicas) for each write.
    pub(super) fn append(
        &mut self,
        layer: usize,
        change: &Change,
        writes: &[Write],
        list: &mut Vec<Transfer>,
    ) {
        if writes.is_empty() {
            return;
        }
        let mut map = Map::new(change, self.layout);
        for step in writes.chunk_by(|write, next| write.step == next.step) {
            map.leave(step);
            for write in step {
                list.push(self.transfer(layer, *write, &map));
            }
            map.switch(step);
        }
    }

    fn transfer(&mut self, layer: usize, write: Write, map: &Map<'_>) -> Transfer {
        let expert = map.change.wanted[write.cell as usize] as usize;
        let overwritten = map.held[write.cell as usize];
        Transfer {
            layer,
            step: write.step as usize,
            expert,
            source: self.source(write.cell, expert, map).map(|cell| self.layout.slot_of(cell)),
            destination: self.layout.slot_of(write.cell),
            overwrites: (overwritten != EMPTY).then_some(overwritten as usize),
            buffered: write.buffered,
        }
    }

    /// The best cell to read the expert from, which is counted as sent.
    fn source(&mut self, destination: u32, expert: usize, map: &Map<'_>) -> Option<u32> {
        let layout = self.layout;
        let to = layout.gpu_of(destination);
        let readable = map.holders[expert].iter().filter(|&&cell| !map.left[cell as usize]);
        let best = readable.min_by_key(|&&cell| {
            let gpu = layout.gpu_of(cell);
            (layout.distance(gpu, to), self.sent[gpu], cell)
        });
        let from = layout.gpu_of(*best?);
        self.sent[from] += u64::from(layout.distance(from, to) != Distance::SameGpu);
        best.copied()
    }
}

/// Which cells hold which experts, as far as they are served.
struct Map<'a> {
    change: &'a Change,
    layout: &'a Layout,
    held: Vec<u16>,
    /// The cells of each expert.
    holders: Vec<Vec<u32>>,
    /// Cells that are being overwritten.
    left: Vec<bool>,
}

impl<'a> Map<'a> {
    fn new(change: &'a Change, layout: &'a Layout) -> Self {
        let mut holders = vec![Vec::new(); change.experts];
        for (cell, &held) in (0..).zip(&change.held) {
            if held != EMPTY {
                holders[held as usize].push(cell);
            }
        }
        let left = vec![false; layout.cells()];
        Self { change, layout, held: change.held.clone(), holders, left }
    }

    /// Begins a step: no reader comes to the cells that it overwrites.
    fn leave(&mut self, step: &[Write]) {
        for write in step.iter().filter(|write| !write.buffered) {
            self.left[write.cell as usize] = true;
        }
    }

    /// Ends a step.
    fn switch(&mut self, step: &[Write]) {
        for write in step {
            self.left[write.cell as usize] = false;
            self.clear(write.cell);
        }
        for write in step {
            self.arrive(write.cell);
        }
    }

    /// The expert comes into its cell, and leaves cells of the same GPU that are not to hold it.
    fn arrive(&mut self, cell: u32) {
        let Self { change, layout, held, holders, .. } = self;
        let (expert, gpu) = (change.wanted[cell as usize], layout.gpu_of(cell));
        held[cell as usize] = expert;
        let holders = &mut holders[expert as usize];
        holders.retain(|&other| {
            let stays = layout.gpu_of(other) != gpu || change.wanted[other as usize] == expert;
            if !stays {
                held[other as usize] = EMPTY;
            }
            stays
        });
        holders.push(cell);
    }

    fn clear(&mut self, cell: u32) {
        let held = std::mem::replace(&mut self.held[cell as usize], EMPTY);
        if held != EMPTY {
            self.holders[held as usize].retain(|&other| other != cell);
        }
    }
}
