//! Estimates of the gain of every move around a busy GPU, in 16-bit numbers, so that only the moves
//! that look best are evaluated exactly.
//!
//! The estimate is of second order. With the slopes D of the potential on a GPU in each row and the
//! load x that a move takes from it (as the GPU feels it: D . x), its potential falls by
//! `D.x - 3.5 * (D.x)^2 / (D . load)`: the curvature of an eighth power, weighted by the slope.
//! Loops over GPUs, experts or slots are written so that compilers make vector instructions of them.

use crate::over_time::objective::{Cells, slope};
use crate::over_time::search::LeastGains;
use crate::over_time::state::{EMPTY, Move, State};
use crate::over_time::swap_bound::SwapBound;

/// The most swaps of a scan that are evaluated exactly.
const MAX_SWAPS: usize = 320;
/// The most reassignments of a scan that are evaluated exactly.
const MAX_REASSIGNMENTS: usize = 32;
/// Slots of the busy GPU that are judged together as receivers of a replica elsewhere.
const LANES: usize = 16;
/// A load that no estimate survives.
const BLOCKED: i32 = 1 << 20;
/// Positions in a GPU and experts are below 2^14: an estimate, above, and the position fit 31 bits.
const INDEX_BITS: u32 = 14;
const LAST_INDEX: i32 = (1 << INDEX_BITS) - 1;

/// What a layer's state looks like in small numbers.
#[derive(Debug)]
pub(crate) struct Screen<const N: usize> {
    /// The experts of the slots as they were when their numbers here were made.
    slots: Vec<u16>,
    /// Shares of replicas, where the mean GPU has 4096 times the scale of the row, `[experts]`.
    shares: Vec<[i16; N]>,
    /// Slopes of the potential in the loads, where the largest of all is from 1024 to 2047, `[gpus]`.
    slopes: Vec<[i16; N]>,
    slope_shift: u32,
    /// [`part_of`] the replicas of each expert.
    parts: Vec<i32>,
    largest_load: Vec<u32>,
    /// Slopes times loads, `[gpus]`, and `7 * 2^39` divided by that.
    pull: Vec<u64>,
    curvature: Vec<u64>,
    /// What each GPU feels of its slots: slopes times shares, `[slots]`, and the sum of these over
    /// the slots of each expert.
    felt: Vec<i32>,
    felt_sum: Vec<u64>,
    bound: SwapBound<N>,
    around: Around,
    swaps: Vec<u64>,
    reassignments: Vec<u64>,
}

/// What a scan knows of the moves around one GPU; all loads as the felt ones of [`Screen`], shifted
/// right so that the pull of that GPU is below 2^15.
#[derive(Debug, Default)]
struct Around {
    shift: u32,
    /// The curvature of each GPU of the zone, 3.5 / pull, in 2^-19, 16383 at most.
    curvature: Vec<i16>,
    /// What the busy GPU would feel of a replica of each expert, `[experts]`.
    at_busy: Vec<i16>,
    /// What each GPU of the zone would feel of the busy GPU's slots, `[busy slots][gpus]`.
    elsewhere: Vec<i16>,
    /// `at_busy`, and what is felt at home, of slots of the zone, `[position in the GPU][gpus]`.
    swap_in: Vec<i16>,
    at_home: Vec<i16>,
    /// Of one more replica of each expert: what it takes from the others, what the busy GPU would feel.
    relief: Vec<i16>,
    added: Vec<i16>,
    best: Vec<i32>,
}

fn dot<const N: usize>(a: &[i16; N], b: &[i16; N]) -> i32 {
    let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
    products.fold(0, i32::wrapping_add)
}

fn to_i16(x: i64) -> i16 {
    x.clamp(-32768, 32767) as i16
}

fn quantised<const N: usize>(share: &Cells<N>) -> [i16; N] {
    share.map(|x| (x >> 4).min(32767) as i16)
}

/// 1 / (replicas + 1) in 2^-15.
fn part_of(replicas: u32) -> i32 {
    (32768 / (replicas + 1)) as i32
}

/// What a felt load of `x` becomes if one more replica takes its part.
#[inline]
fn shared(x: i16, part: i32) -> i32 {
    i32::from(x) - ((i32::from(x) * part) >> 15)
}

/// A candidate that sorts by its estimate, then by its indices, lower ones first.
fn candidate(estimate: i32, first: usize, second: usize) -> u64 {
    let indices = (first as u64) << 20 | second as u64;
    (estimate as u64) << 40 | (((1 << 40) - 1) ^ indices)
}

fn indices(candidate: u64) -> (u32, u32) {
    let indices = ((1 << 40) - 1) ^ (candidate & ((1 << 40) - 1));
    ((indices >> 20) as u32, (indices & 0xf_ffff) as u32)
}

/// The best few, in no order.
fn keep_best(candidates: &mut Vec<u64>, most: usize) {
    if candidates.len() > most {
        candidates.select_nth_unstable_by(most, |a, b| b.cmp(a));
        candidates.truncate(most);
    }
}

impl<const N: usize> Screen<N> {
    pub(crate) fn new(state: &State<'_, N>) -> Self {
        let (experts, gpus) = (state.fleet.experts(), state.fleet.gpus());
        let mut screen = Self {
            slots: vec![EMPTY; state.slots.len()],
            shares: state.share.iter().map(quantised).collect(),
            slopes: vec![[0; N]; gpus],
            slope_shift: u32::MAX,
            parts: state.replicas.iter().map(|&count| part_of(count)).collect(),
            largest_load: vec![0; gpus],
            pull: vec![0; gpus],
            curvature: vec![0; gpus],
            felt: vec![0; state.slots.len()],
            felt_sum: vec![0; experts],
            bound: SwapBound::default(),
            around: Around::default(),
            swaps: Vec::new(),
            reassignments: Vec::new(),
        };
        screen.update(state, 0..gpus, &[]);
        screen
    }

    /// Follows a move that changed the loads of these GPUs and the shares of these experts.
    pub(crate) fn update(
        &mut self,
        state: &State<'_, N>,
        gpus: impl Iterator<Item = usize> + Clone,
        experts: &[u16],
    ) {
        for &expert in experts {
            self.shares[expert as usize] = quantised(&state.share[expert as usize]);
            self.parts[expert as usize] = part_of(state.replicas[expert as usize]);
        }
        for gpu in gpus.clone() {
            self.largest_load[gpu] = state.load[gpu].iter().copied().max().unwrap_or(0);
        }
        let largest = self.largest_load.iter().copied().max().unwrap_or(0);
        self.bound.update(state, largest, gpus.clone(), experts);
        let steepest = slope(largest);
        let shift = (u64::BITS - steepest.leading_zeros()).saturating_sub(11);
        if shift == self.slope_shift {
            gpus.for_each(|gpu| self.feel(state, gpu));
        } else {
            self.slope_shift = shift;
            (0..state.fleet.gpus()).for_each(|gpu| self.feel(state, gpu));
        }
    }

    /// Slopes of a GPU, and what it feels of its slots.
    fn feel(&mut self, state: &State<'_, N>, gpu: usize) {
        let load = &state.load[gpu];
        let slopes = load.map(|x| (slope(x) >> self.slope_shift) as i16);
        let pull = load.iter().zip(&slopes).map(|(&x, &slope)| u64::from(x >> 4) * slope as u64);
        self.pull[gpu] = pull.sum();
        self.curvature[gpu] = (7 << 39) / self.pull[gpu].max(1);
        self.slopes[gpu] = slopes;
        for slot in state.fleet.slots(gpu) {
            if self.slots[slot] != EMPTY {
                self.felt_sum[self.slots[slot] as usize] -= self.felt[slot] as u64;
            }
            let expert = state.slots[slot];
            self.slots[slot] = expert;
            self.felt[slot] = 0;
            if expert != EMPTY {
                self.felt[slot] = dot(&slopes, &self.shares[expert as usize]);
                self.felt_sum[expert as usize] += self.felt[slot] as u64;
            }
        }
    }

    /// The move around this GPU with the largest exact gain per copy, of those that look best, and its
    /// gain, if that is enough. Ties: swaps first, then lower indices.
    pub(crate) fn best_move(
        &mut self,
        state: &State<'_, N>,
        busy: usize,
        least: LeastGains,
    ) -> Option<(Move, u64)> {
        self.look_around(state, busy);
        self.swaps.clear();
        self.reassignments.clear();
        self.screen_swaps(state, busy);
        self.screen_reassignments_here(state, busy);
        self.screen_reassignments_elsewhere(state, busy);
        keep_best(&mut self.swaps, MAX_SWAPS);
        keep_best(&mut self.reassignments, MAX_REASSIGNMENTS);
        // What looks best comes first: then few others can be better.
        if let Some(best) = (0..self.swaps.len()).max_by_key(|&index| self.swaps[index]) {
            self.swaps.swap(0, best);
        }
        let first = state.fleet.slots(busy).start as u32;
        let swap = |(position, slot): (u32, u32)| Move::Swap(first + position, slot);
        let reassign = |(slot, expert): (u32, u32)| Move::Reassign(slot, expert as u16);
        let swaps = self.swaps.iter().map(|&candidate| swap(indices(candidate)));
        let reassignments =
            self.reassignments.iter().map(|&candidate| reassign(indices(candidate)));
        let at_most = |step: Move| match step {
            Move::Swap(a, b) => self.bound.gain_at_most(state, a as usize, b as usize),
            Move::Reassign(..) => u64::MAX,
        };
        best(state, swaps.chain(reassignments), least, at_most)
    }

    #[cfg(test)]
    pub(super) fn gain_at_most(&self, state: &State<'_, N>, a: usize, b: usize) -> u64 {
        self.bound.gain_at_most(state, a, b)
    }

    /// The small numbers around a GPU.
    fn look_around(&mut self, state: &State<'_, N>, busy: usize) {
        let Self { around, .. } = self;
        let shift = (u64::BITS - self.pull[busy].leading_zeros()).saturating_sub(15);
        let zone = state.fleet.zone(state.fleet.zone_of(busy));
        around.shift = shift;
        around.curvature.clear();
        around.curvature.extend(
            zone.clone().map(|gpu| ((self.curvature[gpu] << shift) >> 21).min(16383) as i16),
        );
        let slopes = &self.slopes[busy];
        let small = |x: i32| to_i16(i64::from(x >> shift));
        around.at_busy.clear();
        around.at_busy.extend(self.shares.iter().map(|share| small(dot(slopes, share))));
        around.elsewhere.clear();
        for slot in state.fleet.slots(busy) {
            let share = match state.slots[slot] {
                EMPTY => [0; N],
                expert => self.shares[expert as usize],
            };
            let slopes = &self.slopes[zone.clone()];
            around.elsewhere.extend(slopes.iter().map(|slopes| small(dot(slopes, &share))));
        }
        // A slot that cannot be exchanged weighs nothing there and too much at home.
        let lanes = zone.len() * state.fleet.most_slots(state.fleet.zone_of(busy));
        around.swap_in.clear();
        around.swap_in.resize(lanes, 0);
        around.at_home.clear();
        around.at_home.resize(lanes, i16::MIN);
        for (lane, gpu) in zone.clone().enumerate().filter(|&(_, gpu)| gpu != busy) {
            for (position, slot) in state.fleet.slots(gpu).enumerate() {
                let at = position * zone.len() + lane;
                around.at_home[at] = small(self.felt[slot]);
                if let Some(&felt) = around.at_busy.get(state.slots[slot] as usize) {
                    around.swap_in[at] = felt;
                }
            }
        }
        for &expert in &state.slots[state.fleet.slots(busy)] {
            for gpu in state.gpus_of(expert).filter(|&gpu| gpu != busy && zone.contains(&gpu)) {
                let held = &state.slots[state.fleet.slots(gpu)];
                if let Some(position) = held.iter().position(|&held| held == expert) {
                    around.at_home[position * zone.len() + gpu - zone.start] = i16::MIN;
                }
            }
        }
    }

    /// For each slot of the busy GPU and each other GPU the slot there that looks best.
    fn screen_swaps(&mut self, state: &State<'_, N>, busy: usize) {
        let Self { around, swaps, felt, .. } = self;
        let zone = state.fleet.zone(state.fleet.zone_of(busy));
        let lanes = zone.len();
        let curvature_here = around.curvature[busy - zone.start];
        for (position, slot) in state.fleet.slots(busy).enumerate() {
            let here = to_i16(i64::from(felt[slot] >> around.shift));
            let there = &around.elsewhere[position * lanes..][..lanes];
            around.best.clear();
            around.best.resize(lanes, 0);
            let columns =
                around.swap_in.chunks_exact(lanes).zip(around.at_home.chunks_exact(lanes));
            for (index, (swap_in, at_home)) in columns.enumerate() {
                let index = LAST_INDEX - index as i32;
                let numbers = swap_in.iter().zip(at_home).zip(there).zip(&around.curvature);
                for ((((&swap_in, &at_home), &there), &curvature), best) in
                    numbers.zip(&mut around.best)
                {
                    let estimate = swap_estimate(
                        here.saturating_sub(swap_in),
                        there.saturating_sub(at_home),
                        curvature_here,
                        curvature,
                    );
                    *best = (*best).max(estimate.max(0) << INDEX_BITS | index);
                }
            }
            for (gpu, &best) in zone.clone().zip(&around.best) {
                let (estimate, index) = (best >> INDEX_BITS, LAST_INDEX - (best & LAST_INDEX));
                if estimate > 0 && !state.holds(gpu, state.slots[slot]) {
                    let other = state.fleet.slots(gpu).start + index as usize;
                    swaps.push(candidate(estimate, position, other));
                }
            }
        }
    }

    /// What the others feel if a slot loses its expert: less than nothing for those that share its load.
    fn given(&self, state: &State<'_, N>, slot: usize) -> i32 {
        let expert = state.slots[slot];
        if expert == EMPTY {
            return 0;
        }
        let felt = i64::from(self.felt[slot]);
        let others = self.felt_sum[expert as usize] as i64 - felt;
        let replicas = i64::from(state.replicas[expert as usize]);
        // Rounded down, also below 0.
        i32::from(to_i16((felt - others / (replicas - 1)) >> self.around.shift))
    }

    /// What one more replica of an expert takes from the others.
    fn relief(&self, expert: usize) -> i16 {
        let felt = (self.felt_sum[expert] >> self.around.shift) as i64;
        to_i16((felt * i64::from(self.parts[expert])) >> 15)
    }

    /// For each slot of the busy GPU that can lose its expert, the best new one in each half of all
    /// experts.
    fn screen_reassignments_here(&mut self, state: &State<'_, N>, busy: usize) {
        let zone = state.fleet.zone_of(busy);
        let mut relief = std::mem::take(&mut self.around.relief);
        relief.clear();
        relief.extend((0..state.fleet.experts()).map(|expert| self.relief(expert)));
        if state.fleet.num_zones() > 1 {
            for (relief, &other) in relief.iter_mut().zip(&state.zone_of_expert) {
                if other as usize != zone {
                    *relief = i16::MIN;
                }
            }
        }
        for &expert in &state.slots[state.fleet.slots(busy)] {
            if expert != EMPTY {
                relief[expert as usize] = i16::MIN;
            }
        }
        self.around.relief = relief;
        let Around { at_busy, added, .. } = &mut self.around;
        added.clear();
        let felt = at_busy.iter().zip(&self.parts);
        added.extend(felt.map(|(&felt, &part)| shared(felt, part) as i16));
        let curvature = self.around.curvature[busy - state.fleet.zone(zone).start];
        let half = state.fleet.experts() / 2;
        for slot in state.fleet.slots(busy).filter(|&slot| state.can_give(slot)) {
            let given = self.given(state, slot);
            let here = to_i16(i64::from(self.felt[slot] >> self.around.shift));
            let Around { relief, added, .. } = &self.around;
            for experts in [0..half, half..relief.len()] {
                let first = experts.start;
                let mut best = 0;
                let numbers = relief[experts.clone()].iter().zip(&added[experts]);
                for (index, (&relief, &added)) in (0..).zip(numbers) {
                    let bent = bend(here.saturating_sub(added), curvature);
                    let estimate = given + i32::from(relief) - i32::from(added) - bent;
                    best = best.max(estimate.max(0) << INDEX_BITS | (LAST_INDEX - index));
                }
                let (estimate, index) = (best >> INDEX_BITS, LAST_INDEX - (best & LAST_INDEX));
                if estimate > 0 {
                    let expert = first + index as usize;
                    self.reassignments.push(candidate(estimate, slot, expert));
                }
            }
        }
    }

    /// For each other slot that can lose its expert, the best expert of the busy GPU to have a
    /// replica there.
    fn screen_reassignments_elsewhere(&mut self, state: &State<'_, N>, busy: usize) {
        let zone = state.fleet.zone(state.fleet.zone_of(busy));
        let busy_slots = state.fleet.slots(busy);
        let chunks = busy_slots.len().div_ceil(LANES);
        let Around { elsewhere, .. } = &self.around;
        let mut relief = vec![[0; LANES]; chunks];
        let mut added = vec![[BLOCKED; LANES]; chunks * zone.len()];
        for (position, slot) in busy_slots.clone().enumerate() {
            let expert = state.slots[slot];
            if expert == EMPTY {
                continue;
            }
            let (chunk, lane) = (position / LANES, position % LANES);
            relief[chunk][lane] = i32::from(self.relief(expert as usize));
            let part = self.parts[expert as usize];
            let felt = &elsewhere[position * zone.len()..][..zone.len()];
            for (added, &felt) in added[chunk * zone.len()..].iter_mut().zip(felt) {
                added[lane] = shared(felt, part);
            }
            for gpu in state.gpus_of(expert).filter(|gpu| zone.contains(gpu)) {
                added[chunk * zone.len() + gpu - zone.start][lane] = BLOCKED;
            }
        }
        for (index, gpu) in zone.clone().enumerate().filter(|&(_, gpu)| gpu != busy) {
            let curvature = self.around.curvature[index];
            for slot in state.fleet.slots(gpu).filter(|&slot| state.can_give(slot)) {
                let given = self.given(state, slot);
                let home = i32::from(to_i16(i64::from(self.felt[slot] >> self.around.shift)));
                let mut best = (0, 0);
                for (chunk, relief) in relief.iter().enumerate() {
                    let added = &added[chunk * zone.len() + index];
                    let (estimate, lane) = best_lane(given, home, curvature, relief, added);
                    if estimate > best.0 {
                        best = (estimate, chunk * LANES + lane);
                    }
                }
                if best.0 > 0 {
                    let expert = state.slots[busy_slots.start + best.1];
                    self.reassignments.push(candidate(best.0, slot, expert as usize));
                }
            }
        }
    }
}

/// The largest estimate of a slot that loses its expert, over the experts that it could get, and the
/// first lane that has it. 0 stands for all that are not positive.
#[inline]
fn best_lane(
    given: i32,
    home: i32,
    curvature: i16,
    relief: &[i32; LANES],
    added: &[i32; LANES],
) -> (i32, usize) {
    let mut best = 0;
    for lane in 0..LANES {
        let change = (home - added[lane]).clamp(-32768, 32767) as i16;
        let estimate = given + relief[lane] - added[lane] - bend(change, curvature);
        best = best.max(estimate.max(0) << 4 | (LANES - 1 - lane) as i32);
    }
    (best >> 4, LANES - 1 - (best & 15) as usize)
}

/// The second order of the estimate: 3.5 * x^2 / pull.
#[inline]
fn bend(x: i16, curvature: i16) -> i32 {
    let square = ((i32::from(x) * i32::from(x)) >> 16) as i16;
    (i32::from(square) * i32::from(curvature)) >> 3
}

/// What a swap gains: one GPU loses `less`, as it feels it, the other gets `more`.
#[inline]
fn swap_estimate(less: i16, more: i16, curvature: i16, other_curvature: i16) -> i32 {
    let square = |x: i16| i32::from(((i32::from(x) * i32::from(x)) >> 16) as i16);
    let bent = square(less) * i32::from(curvature) + square(more) * i32::from(other_curvature);
    i32::from(less) - i32::from(more) - (bent >> 3)
}

/// The move with the largest exact gain per copy, and its gain, if that is enough. Ties: swaps first,
/// then lower indices. A move is evaluated if its gain, `at_most` this, could be the largest.
pub(crate) fn best<const N: usize>(
    state: &State<'_, N>,
    moves: impl Iterator<Item = Move>,
    least: LeastGains,
    at_most: impl Fn(Move) -> u64,
) -> Option<(Move, u64)> {
    let order = |step: Move| match step {
        Move::Swap(a, b) => (false, a, b),
        Move::Reassign(slot, expert) => (true, slot, u32::from(expert)),
    };
    // What a gain must be now, by the copies of the move.
    let mut needed = least;
    let mut best: Option<(Move, u64, u64)> = None;
    for step in moves {
        let copies = state.copies(step);
        let needs = needed[copies as usize];
        if at_most(step) < needs {
            continue;
        }
        let Some(gain) = state.gain(step).filter(|&gain| gain >= needs) else { continue };
        let better = best.is_none_or(|(other, other_gain, other_copies)| {
            gain * other_copies > other_gain * copies || order(step) < order(other)
        });
        if better {
            best = Some((step, gain, copies));
            let as_good = |others: u64| (gain * others).div_ceil(copies);
            needed = [0, 1, 2].map(|others| least[others].max(as_good(others as u64)));
        }
    }
    best.map(|(step, gain, _)| (step, gain))
}
