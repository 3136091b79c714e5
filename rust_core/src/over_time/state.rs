//! One layer's placement while it is improved, and the exact gain of every move.

use crate::over_time::fleet::Fleet;
use crate::over_time::objective::{Cells, LOAD_BITS, Objective, less, plus, power, share};
use crate::over_time::slot::EMPTY;

/// A change of one or two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// Two slots on different GPUs exchange their experts; one of them may be empty.
    Swap(u32, u32),
    /// A slot gets another expert, which its GPU does not hold; the expert that it held keeps a
    /// replica elsewhere.
    Reassign(u32, u16),
}

/// What a move must gain to be made, by the weight copies that it takes: none, one or two.
pub(crate) type LeastGains = [u64; 3];

/// Experts in slots, with the loads that follow.
#[derive(Debug, Clone)]
pub(crate) struct State<'a, const N: usize> {
    pub(crate) fleet: &'a Fleet,
    /// The expert of each slot, or [`EMPTY`].
    pub(crate) slots: Vec<u16>,
    /// The zone of each expert.
    pub(crate) zone_of_expert: Vec<u32>,
    pub(crate) replicas: Vec<u32>,
    /// A bit for each GPU that holds the expert, `[experts][words]`.
    holders: Vec<u64>,
    words: usize,
    /// The load of each expert if it had one replica, and of each of its replicas.
    whole: Vec<Cells<N>>,
    pub(crate) share: Vec<Cells<N>>,
    pub(crate) load: Vec<Cells<N>>,
    pub(crate) potential: Vec<u64>,
}

impl<'a, const N: usize> State<'a, N> {
    /// The loads of a placement in which no GPU holds an expert twice. All loads are halved until
    /// there is headroom: every GPU load below 2^18 (four times the mean), and the sum of potentials
    /// below 2^47, while one load of 2^20 has almost 2^48. So a move that raises no sum of potentials
    /// leaves all loads below 2^20.
    pub(crate) fn new(
        fleet: &'a Fleet,
        objective: &Objective<N>,
        slots: Vec<u16>,
        zone_of_expert: Vec<u32>,
    ) -> Self {
        let experts = fleet.experts();
        let words = fleet.gpus().div_ceil(64);
        let mut replicas = vec![0; experts];
        let mut holders = vec![0; experts * words];
        for gpu in 0..fleet.gpus() {
            let (word, bit) = (gpu / 64, 1 << (gpu % 64));
            for &expert in slots[fleet.slots(gpu)].iter().filter(|&&expert| expert != EMPTY) {
                replicas[expert as usize] += 1;
                holders[expert as usize * words + word] |= bit;
            }
        }
        let mut state = Self {
            fleet,
            slots,
            zone_of_expert,
            replicas,
            holders,
            words,
            whole: Vec::new(),
            share: Vec::new(),
            load: Vec::new(),
            potential: Vec::new(),
        };
        let mut shift = objective.shift_of_shares(&state.replicas);
        while !state.set_loads(objective.shifted(shift)) {
            shift += 1;
        }
        state
    }

    /// Loads with these wholes; whether there is headroom.
    pub(super) fn set_loads(&mut self, whole: Vec<Cells<N>>) -> bool {
        self.share =
            whole.iter().zip(&self.replicas).map(|(whole, &count)| share(whole, count)).collect();
        self.whole = whole;
        let load = |gpu| {
            let shares = self.slots[self.fleet.slots(gpu)].iter().map(|&held| self.share_of(held));
            shares.fold([0; N], |load, share| plus(&load, share))
        };
        self.load = (0..self.fleet.gpus()).map(load).collect();
        if self.load.iter().flatten().fold(0, |union, &load| union | load) >= 1 << 18 {
            return false;
        }
        let potential = |(gpu, load)| self.fleet.potential(gpu, load);
        self.potential = self.load.iter().enumerate().map(potential).collect();
        self.total() < 1 << 47
    }

    #[cfg(test)]
    pub(super) fn whole(&self) -> &[Cells<N>] {
        &self.whole
    }

    /// The sum of all potentials.
    pub(crate) fn total(&self) -> u64 {
        self.potential.iter().sum()
    }

    /// Whether the GPU holds the expert.
    #[inline]
    pub(crate) fn holds(&self, gpu: usize, expert: u16) -> bool {
        expert != EMPTY && self.holders_of(expert)[gpu / 64] >> (gpu % 64) & 1 == 1
    }

    #[inline]
    fn holders_of(&self, expert: u16) -> &[u64] {
        let words = if expert == EMPTY { 0 } else { self.words };
        &self.holders[(expert as usize * words).min(self.holders.len())..][..words]
    }

    /// The GPUs that hold the expert.
    pub(crate) fn gpus_of(&self, expert: u16) -> impl Iterator<Item = usize> + '_ {
        self.holders_of(expert).iter().enumerate().flat_map(|(word, &bits)| Bits(bits, word * 64))
    }

    /// The load of each of an expert's replicas, zeros for [`EMPTY`].
    #[inline]
    pub(crate) fn share_of(&self, expert: u16) -> &Cells<N> {
        self.share.get(expert as usize).unwrap_or(&[0; N])
    }

    /// The weight copies that a move takes: one for each slot that gets an expert.
    pub(crate) fn copies(&self, step: Move) -> u64 {
        match step {
            Move::Swap(a, b) => {
                [a, b].into_iter().filter(|&slot| self.slots[slot as usize] != EMPTY).count() as u64
            }
            Move::Reassign(..) => 1,
        }
    }

    /// Whether the slot can lose its expert.
    #[inline]
    pub(crate) fn can_give(&self, slot: usize) -> bool {
        let expert = self.slots[slot];
        expert == EMPTY || self.replicas[expert as usize] > 1
    }

    /// By how much a move lowers the sum of potentials; `None` if it does not, or if some load would
    /// be 2^20 or more, so that it does not either.
    pub(crate) fn gain(&self, step: Move) -> Option<u64> {
        match step {
            Move::Swap(a, b) => self.gain_of_swap(a as usize, b as usize),
            Move::Reassign(slot, expert) => self.gain_of_reassign(slot as usize, expert),
        }
    }

    fn gain_of_swap(&self, a: usize, b: usize) -> Option<u64> {
        let (gpu_a, gpu_b) = (self.fleet.gpu_of(a), self.fleet.gpu_of(b));
        let loads = (&self.load[gpu_a][..], &self.load[gpu_b][..]);
        let (share_a, share_b) = (self.share_of(self.slots[a]), self.share_of(self.slots[b]));
        let shares = (&share_a[..], &share_b[..]);
        let (after, bits) = if self.fleet.is_even() {
            let (after_a, after_b, bits) = exchanged(loads, shares, |load| load, |load| load);
            (after_a.wrapping_add(after_b), bits)
        } else {
            let felt = |gpu| move |load| self.fleet.felt(gpu, &[load])[0];
            let (after_a, after_b, bits) = exchanged(loads, shares, felt(gpu_a), felt(gpu_b));
            let weighted = |gpu, potential| self.fleet.weighted(gpu, potential);
            (weighted(gpu_a, after_a) + weighted(gpu_b, after_b), bits)
        };
        let before = self.potential[gpu_a] + self.potential[gpu_b];
        (bits >> LOAD_BITS == 0 && before > after).then(|| before - after)
    }

    fn gain_of_reassign(&self, slot: usize, expert: u16) -> Option<u64> {
        let (mut before, mut after, mut bits) = (0_u64, 0_u64, 0);
        self.reassigned(slot, expert, |gpu, load| {
            before += self.potential[gpu];
            let (potential, felt) = self.fleet.potential_and_bits(gpu, load);
            after += potential;
            bits |= felt;
        });
        (bits >> LOAD_BITS == 0 && before > after).then(|| before - after)
    }

    /// Shows the new load of every GPU whose load changes if the slot gets the expert.
    pub(crate) fn reassigned(
        &self,
        slot: usize,
        expert: u16,
        mut show: impl FnMut(usize, &Cells<N>),
    ) {
        let at = self.fleet.gpu_of(slot);
        let old = self.slots[slot];
        // What each other GPU that holds the old expert gets, and what those that hold the new one
        // get (less than 0: it wraps, and wraps back in the load).
        let lost = self.share_of(old);
        let more = if old == EMPTY { [0; N] } else { less(&self.share_after(old, -1), lost) };
        let new_share = self.share_after(expert, 1);
        let relief = less(&new_share, self.share_of(expert));
        show(at, &plus(&less(&self.load[at], lost), &new_share));
        for gpu in self.gpus_of(old).filter(|&gpu| gpu != at) {
            let load = plus(&self.load[gpu], &more);
            if self.holds(gpu, expert) {
                show(gpu, &plus(&load, &relief));
            } else {
                show(gpu, &load);
            }
        }
        for gpu in self.gpus_of(expert).filter(|&gpu| !self.holds(gpu, old)) {
            show(gpu, &plus(&self.load[gpu], &relief));
        }
    }

    /// The load of each replica of an expert if it had one more or less.
    fn share_after(&self, expert: u16, change: i32) -> Cells<N> {
        let expert = expert as usize;
        share(&self.whole[expert], self.replicas[expert].saturating_add_signed(change))
    }

    /// Makes a move, which must be possible, and shows the GPUs whose load changed.
    pub(crate) fn apply(&mut self, step: Move) -> Vec<usize> {
        match step {
            Move::Swap(a, b) => self.swap(a as usize, b as usize),
            Move::Reassign(slot, expert) => self.reassign(slot as usize, expert),
        }
    }

    fn swap(&mut self, a: usize, b: usize) -> Vec<usize> {
        let (gpu_a, gpu_b) = (self.fleet.gpu_of(a), self.fleet.gpu_of(b));
        let (old_a, old_b) = (self.slots[a], self.slots[b]);
        let change = less(self.share_of(old_a), self.share_of(old_b));
        self.load[gpu_a] = less(&self.load[gpu_a], &change);
        self.load[gpu_b] = plus(&self.load[gpu_b], &change);
        for (expert, from, to) in [(old_a, gpu_a, gpu_b), (old_b, gpu_b, gpu_a)] {
            if expert != EMPTY {
                self.flip(expert, from);
                self.flip(expert, to);
            }
        }
        self.slots.swap(a, b);
        self.refresh(vec![gpu_a, gpu_b])
    }

    fn reassign(&mut self, slot: usize, expert: u16) -> Vec<usize> {
        let mut loads = Vec::new();
        self.reassigned(slot, expert, |gpu, load| loads.push((gpu, *load)));
        let gpu = self.fleet.gpu_of(slot);
        let old = self.slots[slot];
        if old != EMPTY {
            self.share[old as usize] = self.share_after(old, -1);
            self.replicas[old as usize] -= 1;
            self.flip(old, gpu);
        }
        self.share[expert as usize] = self.share_after(expert, 1);
        self.replicas[expert as usize] += 1;
        self.flip(expert, gpu);
        self.slots[slot] = expert;
        for &(gpu, load) in &loads {
            self.load[gpu] = load;
        }
        self.refresh(loads.into_iter().map(|(gpu, _)| gpu).collect())
    }

    /// Whether the GPU holds the expert is now the contrary.
    fn flip(&mut self, expert: u16, gpu: usize) {
        self.holders[expert as usize * self.words + gpu / 64] ^= 1 << (gpu % 64);
    }

    fn refresh(&mut self, gpus: Vec<usize>) -> Vec<usize> {
        for &gpu in &gpus {
            self.potential[gpu] = self.fleet.potential(gpu, &self.load[gpu]);
        }
        gpus
    }
}

/// The potentials of two GPUs that exchange a replica, and the bits of what they feel then. Takes their
/// loads, the shares that they lose, and what each feels of a load. See [`potential`] for why this is
/// on its own.
///
/// [`potential`]: crate::over_time::objective::potential
#[inline(never)]
fn exchanged(
    (load_a, load_b): (&[u32], &[u32]),
    (share_a, share_b): (&[u32], &[u32]),
    felt_a: impl Fn(u32) -> u32,
    felt_b: impl Fn(u32) -> u32,
) -> (u64, u64, u32) {
    let (mut after_a, mut after_b, mut bits) = (0_u64, 0_u64, 0);
    let shares = share_a.iter().zip(share_b);
    for ((&load_a, &load_b), (&share_a, &share_b)) in load_a.iter().zip(load_b).zip(shares) {
        // A difference below 0 wraps, and wraps back in the loads, which hold the shares.
        let less = share_a.wrapping_sub(share_b);
        let new_a = felt_a(load_a.wrapping_sub(less));
        let new_b = felt_b(load_b.wrapping_add(less));
        bits |= new_a | new_b;
        after_a = after_a.wrapping_add(power(new_a));
        after_b = after_b.wrapping_add(power(new_b));
    }
    (after_a, after_b, bits)
}

/// The positions of the ones of a word, counted from an offset.
struct Bits(u64, usize);

impl Iterator for Bits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(self.1 + bit)
    }
}
