//! Estimates of the gain of every move around a busy GPU, in 16-bit numbers, so that only the moves
//! that look best are evaluated exactly.
//!
//! The estimate is of second order. With the slopes D of the potential on a GPU in each row and the
//! load x that a move takes from it (as the GPU feels it: D . x), its potential falls by
//! `D.x - 3.5 * (D.x)^2 / (D . load)`: the curvature of an eighth power, weighted by the slope.
//! Loops over GPUs, experts or slots are written so that compilers make vector instructions of them.

use crate::over_time::objective::Cells;
use crate::over_time::slot::EMPTY;
use crate::over_time::state::{LeastGains, Move, State};

/// The most swaps of a scan that are evaluated exactly.
const MAX_SWAPS: usize = 320;
/// The most reassignments of a scan that are evaluated exactly.
const MAX_REASSIGNMENTS: usize = 32;
/// A move is not evaluated if its estimate is below this part of what it must gain.
const PART_OF_GAIN: u64 = 2;
/// GPUs that are screened together: numbers of 16 bits that fill a vector.
const LANES: usize = 8;
type Lanes = [i16; LANES];

/// What a layer's state looks like in small numbers.
#[derive(Debug)]
pub(crate) struct Screen<const N: usize> {
    /// The experts of the slots as they were when their numbers here were made.
    slots: Vec<u16>,
    /// Shares of replicas, `[experts]`: the mean GPU has 4096 times the scale of the row.
    shares: Vec<[i16; N]>,
    /// Slopes of the potential in the loads, `[gpus]`: the largest of all is from 1024 to 2047.
    slopes: Vec<[i16; N]>,
    slope_shift: u32,
    /// [`part_of`] the replicas of each expert.
    parts: Vec<i16>,
    largest_load: Vec<u32>,
    /// Slopes times loads, `[gpus]`, and `7 * 2^39` divided by that.
    pull: Vec<u64>,
    curvature: Vec<u64>,
    /// What each GPU feels of its slots: slopes times shares, `[slots]`, and the sum of these over
    /// the slots of each expert.
    felt: Vec<i32>,
    felt_sum: Vec<u64>,
    around: Around,
    swaps: Vec<u64>,
    reassignments: Vec<u64>,
}

/// What a scan knows of the moves around one GPU; all loads as the felt ones of [`Screen`], shifted
/// right so that the pull of that GPU is below 2^15. GPUs of the zone are lanes, up to whole blocks.
#[derive(Debug, Default)]
struct Around {
    shift: u32,
    /// The curvature of each GPU of the zone, 3.5 / pull, in 2^-19, 16383 at most, `[lanes]`.
    curvature: Vec<i16>,
    /// What each GPU feels of its slots, `[slots]`.
    at_home: Vec<i16>,
    /// What the busy GPU would feel of a replica of each expert, `[experts]`.
    at_busy: Vec<i16>,
    /// What each GPU of the zone would feel of the busy GPU's slots, `[busy slots][lanes]`.
    elsewhere: Vec<i16>,
    /// The slots of the zone, `[blocks of lanes][position in the GPU]`, and the largest load that is felt
    /// at home.
    others: Vec<Others>,
    most_at_home: i16,
    /// What an estimate must be, by the weight copies of the move; 1 at least.
    least: [i32; 3],
    /// Of one more replica on the busy GPU: what that GPU would feel, and what it takes from the others
    /// minus that, `[experts]`.
    added: Vec<i16>,
    worth: Vec<i16>,
    /// The same for one more replica elsewhere of what the busy GPU holds, `[busy slots][lanes]`, and the
    /// largest worth on each GPU.
    added_elsewhere: Vec<i16>,
    worth_elsewhere: Vec<i16>,
    most_worth: Vec<i16>,
}

/// A slot of each GPU of a block: what the busy GPU would feel of it, and what is felt at home. A slot
/// that cannot be exchanged weighs nothing there and too much at home.
#[derive(Debug, Clone, Copy)]
struct Others {
    swap_in: Lanes,
    at_home: Lanes,
}

/// Every swap of a busy GPU with another one, estimated as 0.
fn all_swaps<const N: usize>(state: &State<'_, N>, busy: usize, swaps: &mut Vec<u64>) {
    let zone = state.fleet.zone(state.fleet.zone_of(busy));
    for gpu in zone.filter(|&gpu| gpu != busy) {
        for other in state.fleet.slots(gpu) {
            let theirs = state.slots[other];
            if state.holds(busy, theirs) {
                continue;
            }
            for (position, slot) in state.fleet.slots(busy).enumerate() {
                let mine = state.slots[slot];
                if !state.holds(gpu, mine) && (mine, theirs) != (EMPTY, EMPTY) {
                    swaps.push(candidate(0, position, other));
                }
            }
        }
    }
}

/// On its own, this is an instruction for eight products. In a loop, compilers widen what stays the same
/// before it, and then need several times as many.
#[inline(never)]
fn dot<const N: usize>(a: &[i16; N], b: &[i16; N]) -> i32 {
    let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
    products.fold(0, i32::wrapping_add)
}

fn to_i16(x: i64) -> i16 {
    x.clamp(-32768, 32767) as i16
}

/// The nearest number of 16 bits: an instruction for eight of them.
#[inline]
fn to_near_i16(x: i32) -> i16 {
    x.clamp(-32768, 32767) as i16
}

/// `x / divisor`, in 32 bits if they are enough, which many processors divide faster.
#[inline]
fn quotient(x: u64, divisor: u32) -> u64 {
    match u32::try_from(x) {
        Ok(x) => u64::from(x / divisor),
        Err(_) => x / u64::from(divisor),
    }
}

fn quantised<const N: usize>(share: &Cells<N>) -> [i16; N] {
    share.map(|x| (x >> 4).min(32767) as i16)
}

/// 1 / (replicas + 1) in 2^-15.
fn part_of(replicas: u32) -> i16 {
    (32768 / (replicas + 1)).min(32767) as i16
}

/// What a felt load of `x` becomes if one more replica takes its part.
#[inline]
fn shared(x: i16, part: i16) -> i16 {
    x.wrapping_sub(((i32::from(x) * i32::from(part)) >> 15) as i16)
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

fn estimate_of(candidate: u64) -> i32 {
    (candidate >> 40) as i32
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
            let felt = state.fleet.felt(gpu, &state.load[gpu]);
            self.largest_load[gpu] = felt.into_iter().max().unwrap_or(0);
        }
        let largest = self.largest_load.iter().copied().max().unwrap_or(0);
        let steepest = state.fleet.slope(largest);
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
        let slopes = state.fleet.slopes(gpu, load).map(|slope| (slope >> self.slope_shift) as i16);
        let pull = load.iter().zip(&slopes).map(|(&x, &slope)| u64::from(x >> 4) * slope as u64);
        self.pull[gpu] = pull.sum();
        self.curvature[gpu] = (7 << 39) / self.pull[gpu].max(1);
        self.slopes[gpu] = slopes;
        let slots = state.fleet.slots(gpu);
        let here = self.slots[slots.clone()].iter_mut().zip(&mut self.felt[slots.clone()]);
        for ((held, felt), &expert) in here.zip(&state.slots[slots]) {
            if let Some(sum) = self.felt_sum.get_mut(*held as usize) {
                *sum -= *felt as u64;
            }
            *held = expert;
            *felt = self.shares.get(expert as usize).map_or(0, |share| dot(&slopes, share));
            if let Some(sum) = self.felt_sum.get_mut(expert as usize) {
                *sum += *felt as u64;
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
        self.around.least = least.map(|gain| self.least_estimate(gain));
        self.swaps.clear();
        self.reassignments.clear();
        self.screen_swaps(state, busy);
        self.screen_reassignments_here(state, busy);
        self.screen_reassignments_elsewhere(state, busy);
        keep_best(&mut self.swaps, MAX_SWAPS);
        keep_best(&mut self.reassignments, MAX_REASSIGNMENTS);
        let first = state.fleet.slots(busy).start as u32;
        let swap = |(position, slot): (u32, u32)| Move::Swap(first + position, slot);
        let reassign = |(slot, expert): (u32, u32)| Move::Reassign(slot, expert as u16);
        let swaps = self.swaps.iter().map(|&candidate| swap(indices(candidate)));
        let reassignments =
            self.reassignments.iter().map(|&candidate| reassign(indices(candidate)));
        best(state, swaps.chain(reassignments), least)
    }

    /// What an estimate must be if the move must gain so much.
    fn least_estimate(&self, gain: u64) -> i32 {
        // A gain is 8 * slope * load / 2^16; slopes and loads are in units of 2^slope_shift and 2^4.
        let up = self.around.shift + self.slope_shift;
        let least = match up.checked_sub(9) {
            Some(shift) => (gain / PART_OF_GAIN) >> shift,
            None => (gain / PART_OF_GAIN).saturating_mul(1 << (9 - up)),
        };
        i32::try_from(least).unwrap_or(i32::MAX).max(1)
    }

    /// The small numbers around a GPU.
    fn look_around(&mut self, state: &State<'_, N>, busy: usize) {
        let Self { around, .. } = self;
        let shift = (u64::BITS - self.pull[busy].leading_zeros()).saturating_sub(15);
        let zone = state.fleet.zone(state.fleet.zone_of(busy));
        let lanes = zone.len().next_multiple_of(LANES);
        around.shift = shift;
        around.curvature.clear();
        around.curvature.extend(
            zone.clone().map(|gpu| ((self.curvature[gpu] << shift) >> 21).min(16383) as i16),
        );
        around.curvature.resize(lanes, 0);
        let slopes = &self.slopes[busy];
        let small = |x: i32| to_near_i16(x >> shift);
        around.at_home.clear();
        around.at_home.extend(self.felt.iter().map(|&x| small(x)));
        around.at_busy.clear();
        around.at_busy.extend(self.shares.iter().map(|share| small(dot(slopes, share))));
        around.elsewhere.clear();
        for (position, slot) in state.fleet.slots(busy).enumerate() {
            let share = match state.slots[slot] {
                EMPTY => [0; N],
                expert => self.shares[expert as usize],
            };
            let slopes = &self.slopes[zone.clone()];
            around.elsewhere.extend(slopes.iter().map(|slopes| small(dot(slopes, &share))));
            around.elsewhere.resize((position + 1) * lanes, 0);
        }
        let most_slots = state.fleet.most_slots(state.fleet.zone_of(busy));
        let none = Others { swap_in: [0; LANES], at_home: [i16::MIN; LANES] };
        around.others.clear();
        around.others.resize(lanes / LANES * most_slots, none);
        around.most_at_home = 0;
        for (lane, gpu) in zone.clone().enumerate().filter(|&(_, gpu)| gpu != busy) {
            let others = &mut around.others[lane / LANES * most_slots..];
            let slots = state.fleet.slots(gpu);
            let numbers = around.at_home[slots.clone()].iter().zip(&state.slots[slots]);
            for (others, (&felt, &expert)) in others.iter_mut().zip(numbers) {
                others.at_home[lane % LANES] = felt;
                around.most_at_home = around.most_at_home.max(felt);
                if let Some(&felt) = around.at_busy.get(expert as usize) {
                    others.swap_in[lane % LANES] = felt;
                }
            }
        }
        for &expert in &state.slots[state.fleet.slots(busy)] {
            for gpu in state.gpus_of(expert).filter(|&gpu| gpu != busy) {
                let held = &state.slots[state.fleet.slots(gpu)];
                if let Some(position) = held.iter().position(|&held| held == expert) {
                    let lane = gpu - zone.start;
                    let others = &mut around.others[lane / LANES * most_slots + position];
                    others.at_home[lane % LANES] = i16::MIN;
                }
            }
        }
    }

    /// For each slot of the busy GPU and each other GPU the slot there that looks best; all of them if
    /// they are few.
    fn screen_swaps(&mut self, state: &State<'_, N>, busy: usize) {
        let Self { around, swaps, .. } = self;
        let zone = state.fleet.zone(state.fleet.zone_of(busy));
        let slots = state.fleet.zone_slots(state.fleet.zone_of(busy));
        if state.fleet.slots(busy).len() * slots.len() <= MAX_SWAPS {
            all_swaps(state, busy, swaps);
            return;
        }
        // A swap with an empty slot takes one copy only.
        let copies = if state.slots[slots].contains(&EMPTY) { 1 } else { 2 };
        let least = around.least[copies];
        let curvature_here = around.curvature[busy - zone.start];
        for (position, slot) in state.fleet.slots(busy).enumerate() {
            let expert = state.slots[slot];
            let here = around.at_home[slot];
            // Whether all estimates have 16 bits: almost always.
            let narrow = here.checked_add(around.most_at_home).is_some();
            for (block, curvature) in around.curvature.as_chunks().0.iter().enumerate() {
                let (others, there) = around.block(block, position);
                let curvatures = (&[curvature_here; LANES], curvature);
                let Best { estimate, position: there } = if narrow {
                    best_swaps(here, others, there, curvatures)
                } else {
                    best_wide_swaps(here, others, there, curvatures)
                };
                if estimate.iter().all(|&estimate| estimate < least) {
                    continue; // most blocks: quickly
                }
                let first = zone.start + block * LANES;
                for (gpu, (estimate, other)) in (first..).zip(estimate.into_iter().zip(there)) {
                    if estimate < least || state.holds(gpu, expert) {
                        continue;
                    }
                    let other = state.fleet.slots(gpu).start + other as usize;
                    let copies = state.copies(Move::Swap(slot as u32, other as u32));
                    if estimate >= around.least[copies as usize] {
                        swaps.push(candidate(estimate, position, other));
                    }
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
        let others = self.felt_sum[expert as usize] - self.felt[slot] as u64;
        let each = quotient(others, state.replicas[expert as usize] - 1);
        // Rounded down, also below 0.
        i32::from(to_i16((felt - each as i64) >> self.around.shift))
    }

    /// What one more replica of an expert takes from the others.
    fn relief(&self, expert: usize) -> i16 {
        let felt = (self.felt_sum[expert] >> self.around.shift) as i64;
        // Below 2^60: a sum of felt loads is below 2^45.
        to_i16(felt.wrapping_mul(i64::from(self.parts[expert])) >> 15)
    }

    /// For each slot of the busy GPU that can lose its expert, the best new one in each half of all
    /// experts.
    fn screen_reassignments_here(&mut self, state: &State<'_, N>, busy: usize) {
        let zone = state.fleet.zone_of(busy);
        if !state.fleet.slots(busy).any(|slot| state.can_give(slot)) {
            return;
        }
        self.weigh_experts(state, busy);
        let curvature = self.around.curvature[busy - state.fleet.zone(zone).start];
        let half = state.fleet.experts() / 2;
        for slot in state.fleet.slots(busy).filter(|&slot| state.can_give(slot)) {
            let given = self.given(state, slot);
            let here = self.around.at_home[slot];
            let Around { worth, added, .. } = &self.around;
            for experts in [0..half, half..worth.len()] {
                let mut best = (self.around.least[1] - 1, None);
                let numbers = worth[experts.clone()].iter().zip(&added[experts.clone()]);
                for (expert, (&worth, &added)) in experts.zip(numbers) {
                    // Most cannot be better, whatever is bent.
                    let straight = given.wrapping_add(i32::from(worth));
                    if straight > best.0 {
                        let estimate = straight - bend(here.saturating_sub(added), curvature);
                        if estimate > best.0 {
                            best = (estimate, Some(expert));
                        }
                    }
                }
                if let (estimate, Some(expert)) = best {
                    self.reassignments.push(candidate(estimate, slot, expert));
                }
            }
        }
    }

    /// What one more replica of each expert would be worth on the busy GPU: too little to be possible
    /// for those that cannot come.
    fn weigh_experts(&mut self, state: &State<'_, N>, busy: usize) {
        let zone = state.fleet.zone_of(busy);
        let mut worth = std::mem::take(&mut self.around.worth);
        let Around { at_busy, added, .. } = &mut self.around;
        added.clear();
        added.extend(at_busy.iter().zip(&self.parts).map(|(&felt, &part)| shared(felt, part)));
        worth.clear();
        worth.extend((0..state.fleet.experts()).map(|expert| self.relief(expert)));
        for (worth, &added) in worth.iter_mut().zip(&self.around.added) {
            *worth = worth.saturating_sub(added);
        }
        if state.fleet.num_zones() > 1 {
            for (worth, &other) in worth.iter_mut().zip(&state.zone_of_expert) {
                if other as usize != zone {
                    *worth = i16::MIN;
                }
            }
        }
        for &expert in &state.slots[state.fleet.slots(busy)] {
            if expert != EMPTY {
                worth[expert as usize] = i16::MIN;
            }
        }
        self.around.worth = worth;
    }

    /// For each other slot that can lose its expert, the best expert of the busy GPU to have a
    /// replica there.
    fn screen_reassignments_elsewhere(&mut self, state: &State<'_, N>, busy: usize) {
        self.weigh_gpus(state, busy);
        let zone = state.fleet.zone(state.fleet.zone_of(busy));
        let first = state.fleet.slots(busy).start;
        let mut found = std::mem::take(&mut self.reassignments);
        // What an estimate must be to be among the best few.
        let mut least = self.around.least[1];
        for (lane, gpu) in zone.clone().enumerate().filter(|&(_, gpu)| gpu != busy) {
            let curvature = self.around.curvature[lane];
            let most = i32::from(self.around.most_worth[lane]);
            let slots = state.fleet.slots(gpu);
            for (slot, &home) in slots.clone().zip(&self.around.at_home[slots]) {
                // At most all that is felt at home is given.
                if i32::from(home) + most < least || !state.can_give(slot) {
                    continue;
                }
                let given = self.given(state, slot);
                if given + most < least {
                    continue;
                }
                let taken = self.around.best_taken(given, home, curvature, lane, least);
                if let Some((estimate, position)) = taken {
                    let expert = state.slots[first + position];
                    found.push(candidate(estimate, slot, expert as usize));
                    if found.len() == 2 * MAX_REASSIGNMENTS {
                        keep_best(&mut found, MAX_REASSIGNMENTS);
                        least = found.iter().map(|&kept| estimate_of(kept)).min().unwrap_or(least);
                    }
                }
            }
        }
        self.reassignments = found;
    }

    /// What one more replica of each expert of the busy GPU would be worth on each GPU of the zone: too
    /// little to be possible where there is one.
    fn weigh_gpus(&mut self, state: &State<'_, N>, busy: usize) {
        let zone = state.fleet.zone(state.fleet.zone_of(busy));
        let lanes = self.around.curvature.len();
        let mut worth = std::mem::take(&mut self.around.worth_elsewhere);
        let mut added = std::mem::take(&mut self.around.added_elsewhere);
        let mut most = std::mem::take(&mut self.around.most_worth);
        worth.clear();
        added.clear();
        most.clear();
        most.resize(lanes, i16::MIN);
        for (position, slot) in state.fleet.slots(busy).enumerate() {
            let expert = state.slots[slot];
            if expert == EMPTY {
                worth.resize(worth.len() + lanes, i16::MIN);
                added.resize(added.len() + lanes, 0);
                continue;
            }
            let relief = self.relief(expert as usize);
            let part = self.parts[expert as usize];
            for felt in self.around.elsewhere[position * lanes..][..lanes].as_chunks().0 {
                let numbers = one_more(felt, part, relief);
                added.extend(numbers.added);
                worth.extend(numbers.worth);
            }
            let worth = &mut worth[position * lanes..];
            for gpu in state.gpus_of(expert) {
                worth[gpu - zone.start] = i16::MIN;
            }
            for (most, &worth) in most.iter_mut().zip(&*worth) {
                *most = (*most).max(worth);
            }
        }
        self.around.worth_elsewhere = worth;
        self.around.added_elsewhere = added;
        self.around.most_worth = most;
    }
}

impl Around {
    /// The slots of a block of GPUs, and what these would feel of a slot of the busy GPU.
    fn block(&self, block: usize, position: usize) -> (&[Others], &Lanes) {
        let blocks = self.curvature.len() / LANES;
        let slots = self.others.len() / blocks;
        let there = &self.elsewhere.as_chunks().0[position * blocks + block];
        (&self.others[block * slots..][..slots], there)
    }

    /// The largest estimate of a slot that loses its expert, over the experts of the busy GPU that it
    /// could get, and the first position there that has it, if that is enough.
    fn best_taken(
        &self,
        given: i32,
        home: i16,
        curvature: i16,
        lane: usize,
        least: i32,
    ) -> Option<(i32, usize)> {
        let lanes = self.curvature.len();
        let mut best = (least - 1, None);
        let mut at = lane;
        while let Some(&worth) = self.worth_elsewhere.get(at) {
            let straight = given.wrapping_add(i32::from(worth));
            if straight > best.0 {
                let bent = bend(home.saturating_sub(self.added_elsewhere[at]), curvature);
                if straight - bent > best.0 {
                    best = (straight - bent, Some(at));
                }
            }
            at += lanes;
        }
        best.1.map(|at| (best.0, at / lanes))
    }
}

/// What GPUs would feel of one more replica of an expert, and its worth there.
struct OneMore {
    added: Lanes,
    worth: Lanes,
}

/// See [`dot`] for why this is on its own.
#[inline(never)]
fn one_more(felt: &Lanes, part: i16, relief: i16) -> OneMore {
    let added = felt.map(|felt| shared(felt, part));
    OneMore { added, worth: added.map(|added| relief.wrapping_sub(added)) }
}

/// The best swap of a slot of the busy GPU with each GPU of a block: its estimate, 0 if none looks good,
/// and the position there.
struct Best {
    estimate: [i32; LANES],
    position: Lanes,
}

/// See [`dot`] for why this is on its own. Takes slots for which no estimate is beyond 16 bits.
#[inline(never)]
fn best_swaps(
    here: i16,
    others: &[Others],
    there: &Lanes,
    (curvature_here, curvature): (&Lanes, &Lanes),
) -> Best {
    let (mut best, mut position) = ([0; LANES], [0; LANES]);
    for (index, others) in (0..).zip(others) {
        let mut estimate = [0_i16; LANES];
        for lane in 0..LANES {
            let less = here.saturating_sub(others.swap_in[lane]);
            let more = there[lane].saturating_sub(others.at_home[lane]);
            let bent = bend_of_swap(less, more, curvature_here[lane], curvature[lane]);
            // What saturates is below 0 anyway.
            estimate[lane] = less.saturating_sub(more).saturating_sub(to_near_i16(bent));
        }
        for lane in 0..LANES {
            position[lane] = if estimate[lane] > best[lane] { index } else { position[lane] };
            best[lane] = best[lane].max(estimate[lane]);
        }
    }
    Best { estimate: best.map(i32::from), position }
}

/// The same for any slot.
fn best_wide_swaps(
    here: i16,
    others: &[Others],
    there: &Lanes,
    (curvature_here, curvature): (&Lanes, &Lanes),
) -> Best {
    let mut best = Best { estimate: [0; LANES], position: [0; LANES] };
    for (index, others) in (0..).zip(others) {
        for lane in 0..LANES {
            let less = here.saturating_sub(others.swap_in[lane]);
            let more = there[lane].saturating_sub(others.at_home[lane]);
            let bent = bend_of_swap(less, more, curvature_here[lane], curvature[lane]);
            let estimate = i32::from(less) - i32::from(more) - bent;
            if estimate > best.estimate[lane] {
                best.estimate[lane] = estimate;
                best.position[lane] = index;
            }
        }
    }
    best
}

/// The second order of the estimate: 3.5 * x^2 / pull.
#[inline]
fn bend(x: i16, curvature: i16) -> i32 {
    let square = ((i32::from(x) * i32::from(x)) >> 16) as i16;
    (i32::from(square) * i32::from(curvature)) >> 3
}

/// The second order of a swap: one GPU loses `less`, as it feels it, the other gets `more`.
#[inline]
fn bend_of_swap(less: i16, more: i16, curvature: i16, other_curvature: i16) -> i32 {
    let square = |x: i16| i32::from(((i32::from(x) * i32::from(x)) >> 16) as i16);
    (square(less) * i32::from(curvature) + square(more) * i32::from(other_curvature)) >> 3
}

/// The move with the largest exact gain per copy, and its gain, if that is enough. Ties: swaps first,
/// then lower indices.
pub(crate) fn best<const N: usize>(
    state: &State<'_, N>,
    moves: impl Iterator<Item = Move>,
    least: LeastGains,
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

#[cfg(test)]
mod tests {
    use super::quotient;

    #[test]
    fn quotients_are_exact_beyond_32_bits() {
        for x in [0, 7, u64::from(u32::MAX), 1 << 32, (1 << 45) - 1] {
            assert_eq!([1, 2, 3].map(|divisor| quotient(x, divisor)), [x, x / 2, x / 3]);
        }
    }
}
