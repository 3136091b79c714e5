//! How many replicas each expert gets, and in which order they are given.
//!
//! Experts are sorted by load once. Both rules, w/r and w/(2r-1), prefer the larger load among
//! experts with equally many replicas, so at any time the experts of one count are a range of the sorted
//! order, a *level*, and a step need only compare the first expert, the *head*, of each level.

use std::cmp::Ordering;

use crate::kernel::descending::Descending;
use crate::kernel::probe::{Peak, Probe, Step};

/// A load over a divisor, compared exactly by cross-multiplication. Loads are at most 2^40 and
/// divisors at most 2^21, so the products fit 64 bits.
#[derive(Debug, Clone, Copy)]
struct Quotient {
    load: u64,
    divisor: u64,
}

impl Quotient {
    #[inline]
    fn cmp(self, other: Self) -> Ordering {
        (self.load * other.divisor).cmp(&(other.load * self.divisor))
    }
}

/// The experts with equally many replicas: the positions `start..end` of the sorted order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    /// Replicas of each of these experts.
    pub(crate) count: usize,
    /// Position of the head.
    pub(crate) start: usize,
    /// One past the last position.
    pub(crate) end: usize,
}

/// The replicas of one set of experts, in buffers that are reused from set to set.
///
/// Experts go by their *position* in the order of descending load (equal loads: lower index first).
#[derive(Debug, Default)]
pub(crate) struct Replication {
    sort: Descending,
    /// Index of the expert at each position.
    pub(crate) expert: Vec<u32>,
    /// Load of the expert at each position.
    pub(crate) load: Vec<u64>,
    /// The levels that hold an expert, by ascending count: so by descending positions.
    pub(crate) levels: Vec<Level>,
    /// Position of the expert that got each appended replica.
    pub(crate) appended: Vec<u32>,
}

impl Replication {
    /// One replica of each expert of these canonical loads. Time O(n log n).
    pub(crate) fn start(&mut self, loads: &[u64]) {
        self.sort.sort(loads, &mut self.expert, &mut self.load);
        self.levels.clear();
        self.levels.push(Level { count: 1, start: 0, end: loads.len() });
        self.appended.clear();
    }

    /// Forgets all appended replicas, and the experts before the position `first`.
    pub(crate) fn restart(&mut self, first: usize) {
        self.levels.clear();
        self.levels.push(Level { count: 1, start: first, end: self.load.len() });
        self.appended.clear();
    }

    /// Appends `replicas` by Adams' method (for redundant slots: D'Hondt's): each to the expert with the
    /// largest load per replica. The largest load per replica at the end is the least possible.
    ///
    /// Time O(replicas * levels); there are at most sqrt(2 * slots) levels, and a handful on real loads.
    pub(crate) fn append_adams(&mut self, replicas: usize, probe: &mut impl Probe) {
        probe.step(Step::Single, || self.peak());
        for _ in 0..replicas {
            self.give_head(self.best_head(self.levels.len(), |r| r));
            probe.step(Step::Replica, || self.peak());
        }
    }

    /// The same, but at most `most` replicas of an expert, which is the number of GPUs. Experts without
    /// load share evenly what the others leave. There is room for the replicas.
    pub(crate) fn append_distinct(&mut self, replicas: usize, most: usize) {
        for _ in 0..replicas {
            // Levels of more replicas come later.
            let full = self.levels.last().is_some_and(|level| level.count == most);
            let best = self.best_head(self.levels.len() - usize::from(full), |r| r);
            if full && self.levels.len() == 1 {
                return;
            }
            let loaded = self.load[self.levels[best].start] > 0;
            self.give_head(if loaded { best } else { 0 });
        }
    }

    /// The same for GPUs with different numbers of slots: `room[m]` is how many replicas of any m experts
    /// they have room for at most, if no GPU gets two of one. Fills all slots.
    ///
    /// A set of experts that fills its room stays full. Of all such sets only whole levels count: the
    /// room that is left is a concave function of m within a level.
    pub(crate) fn append_within(&mut self, room: &[u64]) {
        let experts = self.load.len();
        for _ in experts as u64..room[experts] {
            let (mut taken, mut open) = (0, self.levels.len());
            for (i, level) in self.levels.iter().enumerate().rev() {
                taken += (level.count * (level.end - level.start)) as u64;
                if taken >= room[level.end] {
                    open = i;
                }
            }
            let best = self.best_head(open, |r| r);
            let loaded = self.load[self.levels[best].start] > 0;
            self.give_head(if loaded { best } else { 0 });
        }
    }

    /// Appends `replicas` as `adaptive` does: the last tenth of them, at least one, to the experts with
    /// the largest w/(2r-1) (for redundant slots: Sainte-Laguë's method).
    ///
    /// The published `adaptive` compares, at each of these last steps, the two largest loads per replica
    /// that Adams' candidate D and Sainte-Laguë's candidate S would leave. In exact arithmetic S always wins:
    /// `w_D/r_D >= w_S/r_S` and `w_S/(2r_S-1) >= w_D/(2r_D-1)` give `r_D >= r_S`, if they are equal,
    /// D and S are one expert; else `w_S/(r_S+1) < w_D/(r_D+1)`, and what is beside it is the same for
    /// both.
    pub(crate) fn append_adaptive(&mut self, replicas: usize, probe: &mut impl Probe) {
        let tail = replicas.div_ceil(10);
        self.append_adams(replicas - tail, probe);
        for _ in 0..tail {
            self.give_head(self.best_head(self.levels.len(), |r| 2 * r - 1));
            probe.step(Step::Replica, || self.peak());
        }
    }

    /// The largest load per replica.
    fn peak(&self) -> Peak {
        let Level { count, start, .. } = self.levels[self.best_head(self.levels.len(), |r| r)];
        Peak { load: self.load[start], replicas: count as u64 }
    }

    fn quotient(&self, position: usize, divisor: usize) -> Quotient {
        Quotient { load: self.load[position], divisor: divisor as u64 }
    }

    /// Of the first `levels`, the one whose head has the largest load / divisor(count); ties: lower
    /// expert.
    #[inline]
    fn best_head(&self, levels: usize, divisor: impl Fn(usize) -> usize) -> usize {
        let mut best = 0;
        let mut start = self.levels[0].start;
        let mut best_quotient = self.quotient(start, divisor(self.levels[0].count));
        for (i, level) in self.levels[..levels].iter().enumerate().skip(1) {
            let quotient = self.quotient(level.start, divisor(level.count));
            let order = quotient
                .cmp(best_quotient)
                .then_with(|| self.expert[start].cmp(&self.expert[level.start]));
            if order.is_gt() {
                (best, start, best_quotient) = (i, level.start, quotient);
            }
        }
        best
    }

    /// One more replica for the head of a level, which moves up to the next count.
    fn give_head(&mut self, i: usize) {
        let Level { count, start, end } = self.levels[i];
        self.appended.push(start as u32);
        match self.levels.get_mut(i + 1) {
            Some(next) if next.count == count + 1 => next.end += 1,
            _ => self.levels.insert(i + 1, Level { count: count + 1, start, end: start + 1 }),
        }
        if start + 1 == end {
            self.levels.remove(i);
        } else {
            self.levels[i].start += 1;
        }
    }
}
