//! In which step each changed cell of a layer is written, and which writes need a buffer.
//!
//! An expert is *safe* if it has a copy in a cell that does not change, or in a cell that it has
//! arrived in. The copies of a safe expert can be overwritten at any time. Of any other expert one
//! copy must wait until the expert has arrived somewhere. So it is enough to find, step after step,
//! which experts have become safe.
//!
//! What can never be written that way are cycles. Say that n experts never become safe. Each keeps
//! one cell that waits. An expert can only arrive in cells that wait, because it would be safe
//! otherwise. There are n such cells, and each of the n experts needs at least one: so each has
//! exactly one, and these cells form cycles. An expert in a cycle has one place to go to, so the
//! expert whose copy is there is given, and so on: it is known from the beginning which cells can
//! form a cycle ([`Pending::cycles`]). If one expert of a cycle has a second copy, that copy can
//! wait instead, and the cycle is never closed. If none has, all its cells must be written at once:
//! the first step that overwrites the last copy of an expert must bring it to its one other place,
//! which overwrites the next last copy. All of them need a buffer then, so no list has fewer
//! buffers.

use std::cmp::Reverse;

use crate::over_time::slot::EMPTY;
use crate::over_time::transfers::change::Change;
use crate::over_time::transfers::layout::Layout;

const NONE: u32 = u32::MAX;

/// A cell gets the expert that it is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Write {
    pub(super) step: u32,
    pub(super) cell: u32,
    pub(super) buffered: bool,
}

/// The writes of a layer, in the order of steps and cells. Time O(cells + experts), O(n log n) for
/// n writes, and O(buffered writes * buffered steps).
pub(super) fn schedule(change: &Change, layout: &Layout) -> Vec<Write> {
    let pending = Pending::new(change);
    if pending.cells.is_empty() {
        return Vec::new();
    }
    let cycles = pending.cycles();
    let (mut writes, steps) = direct_writes(&pending, &pending.waiting(&cycles));
    let mut written = vec![false; layout.cells()];
    for write in &writes {
        written[write.cell as usize] = true;
    }
    let stuck = cycles.into_iter().filter(|cycle| !written[cycle[0] as usize]);
    writes.extend(buffered_writes(stuck.collect(), steps, layout));
    debug_assert_eq!(writes.len(), pending.cells.len(), "every changed cell is written once");
    writes.sort_unstable();
    writes
}

/// The cells that change, and what that means for each expert.
struct Pending<'a> {
    change: &'a Change,
    /// In order.
    cells: Vec<u32>,
    /// Whether the expert has a copy in a cell that does not change.
    settled: Vec<bool>,
    /// How many cells that change hold the expert.
    copies: Vec<u32>,
    /// How many cells the expert is to come into, and the last of them.
    arrivals: Vec<u32>,
    arrival: Vec<u32>,
}

impl<'a> Pending<'a> {
    fn new(change: &'a Change) -> Self {
        let experts = change.experts;
        let mut pending = Self {
            change,
            cells: Vec::new(),
            settled: vec![false; experts],
            copies: vec![0; experts],
            arrivals: vec![0; experts],
            arrival: vec![NONE; experts],
        };
        for (cell, (&held, &wanted)) in change.held.iter().zip(&change.wanted).enumerate() {
            if !change.is_pending(cell) {
                if held != EMPTY {
                    pending.settled[held as usize] = true;
                }
                continue;
            }
            pending.cells.push(cell as u32);
            if held != EMPTY {
                pending.copies[held as usize] += 1;
            }
            pending.arrivals[wanted as usize] += 1;
            pending.arrival[wanted as usize] = cell as u32;
        }
        pending
    }

    fn wanted(&self, cell: u32) -> usize {
        self.change.wanted[cell as usize] as usize
    }

    /// The expert that the cell holds, if every copy of it is to be overwritten.
    fn endangered(&self, cell: u32) -> Option<usize> {
        let held = self.change.held[cell as usize];
        (held != EMPTY && !self.settled[held as usize]).then_some(held as usize)
    }

    /// Whether one of the expert's copies has to wait until it has arrived somewhere.
    fn has_to_wait(&self, expert: usize) -> bool {
        self.copies[expert] > 0 && !self.settled[expert]
    }

    /// The expert that must be safe before this one can arrive, if its only destination holds a
    /// copy that may have to wait.
    fn needs(&self, expert: usize) -> Option<usize> {
        if !self.has_to_wait(expert) || self.arrivals[expert] != 1 {
            return None;
        }
        self.endangered(self.arrival[expert])
    }

    /// The cycles of experts that need each other, each as the cells that they arrive in. No cell
    /// is in two of them.
    fn cycles(&self) -> Vec<Vec<u32>> {
        let mut cycles = Vec::new();
        let mut walk_of = vec![usize::MAX; self.settled.len()];
        for walk in 0..walk_of.len() {
            let mut at = Some(walk);
            while let Some(expert) = at
                && walk_of[expert] == usize::MAX
            {
                walk_of[expert] = walk;
                at = self.needs(expert);
            }
            if let Some(start) = at
                && walk_of[start] == walk
            {
                cycles.push(self.cycle(start));
            }
        }
        cycles
    }

    fn cycle(&self, start: usize) -> Vec<u32> {
        let mut cells = vec![self.arrival[start]];
        let mut at = self.needs(start);
        while let Some(expert) = at
            && expert != start
        {
            cells.push(self.arrival[expert]);
            at = self.needs(expert);
        }
        cells
    }

    /// The cell of each endangered expert that waits until the expert is safe: one that is in no
    /// cycle, then one whose new expert has the most ways to arrive, then the lowest.
    fn waiting(&self, cycles: &[Vec<u32>]) -> Vec<u32> {
        let mut in_cycle = vec![false; self.change.held.len()];
        for &cell in cycles.iter().flatten() {
            in_cycle[cell as usize] = true;
        }
        let ways = |expert: usize| {
            if self.has_to_wait(expert) { self.arrivals[expert] } else { u32::MAX }
        };
        let cost = |cell: u32| (in_cycle[cell as usize], Reverse(ways(self.wanted(cell))));
        let mut waiting = vec![NONE; self.settled.len()];
        for &cell in &self.cells {
            let Some(expert) = self.endangered(cell) else { continue };
            if waiting[expert] == NONE || cost(cell) < cost(waiting[expert]) {
                waiting[expert] = cell;
            }
        }
        waiting
    }
}

/// The writes that need no buffer, each in the first step that allows it, and the number of steps.
fn direct_writes(pending: &Pending<'_>, waiting: &[u32]) -> (Vec<Write>, u32) {
    let free = |&cell: &u32| pending.endangered(cell).is_none_or(|held| waiting[held] != cell);
    let mut ready: Vec<u32> = pending.cells.iter().copied().filter(free).collect();
    let mut safe = pending.settled.clone();
    let mut writes = Vec::with_capacity(pending.cells.len());
    let mut step = 0;
    while !ready.is_empty() {
        let mut next = Vec::new();
        for cell in ready {
            writes.push(Write { step, cell, buffered: false });
            let arrived = pending.wanted(cell);
            if !safe[arrived] {
                safe[arrived] = true;
                next.extend(Some(waiting[arrived]).filter(|&cell| cell != NONE));
            }
        }
        ready = next;
        step += 1;
    }
    (writes, step)
}

/// The writes of cycles, short ones first: each in the first step in which no other cycle needs a
/// buffer on the same GPUs.
fn buffered_writes(mut cycles: Vec<Vec<u32>>, steps: u32, layout: &Layout) -> Vec<Write> {
    cycles.sort_by_cached_key(|cycle| (cycle.len(), cycle.iter().min().copied()));
    let mut buffers = vec![Buffer::default(); layout.gpus()];
    let mut writes = Vec::new();
    for cycle in cycles {
        let gpus = || cycle.iter().map(|&cell| layout.gpu_of(cell));
        let mut step = gpus().map(|gpu| buffers[gpu].first_free).max().unwrap_or(0);
        while gpus().any(|gpu| buffers[gpu].is_taken(step)) {
            step += 1;
        }
        gpus().for_each(|gpu| buffers[gpu].take(step));
        let step = steps + step as u32;
        writes.extend(cycle.iter().map(|&cell| Write { step, cell, buffered: true }));
    }
    writes
}

/// In which steps after the direct ones a GPU's buffer is taken.
#[derive(Debug, Clone, Default)]
struct Buffer {
    taken: Vec<bool>,
    first_free: usize,
}

impl Buffer {
    fn is_taken(&self, step: usize) -> bool {
        self.taken.get(step).is_some_and(|&taken| taken)
    }

    fn take(&mut self, step: usize) {
        if self.taken.len() <= step {
            self.taken.resize(step + 1, false);
        }
        self.taken[step] = true;
        while self.is_taken(self.first_free) {
            self.first_free += 1;
        }
    }
}
