//! Items in bins that hold equally many: the ways whose heaviest bin is lightest, by branch and bound.
//!
//! The items are groups of experts and the bins nodes, or experts without redundant slots and GPUs. If
//! bins differ in speed, the peak is a time: the largest packing load by speed, rounded up.

use std::cmp::Reverse;

use crate::greedy::Greedy;
use crate::problem::share::SHARE_UNIT;
use crate::sorted_replicas::by_slot::Item;

/// A way to put items in bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packing {
    /// Load of the heaviest bin, or the longest time.
    pub(crate) peak: u64,
    /// Bin of each item.
    pub(crate) bin: Vec<u32>,
}

/// With more items the packing of LPT is the only one: a search goes as deep as there are items, and
/// would hardly find another packing in its steps.
const MOST_SEARCHED: usize = 1000;

/// What items are put in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bins<'a> {
    /// So many that are alike.
    Equal(usize),
    /// One of each of these speeds; those of one kind are alike, and equally fast.
    Unequal { speeds: &'a [u64], kinds: &'a [usize] },
}

impl Bins<'_> {
    fn len(self) -> usize {
        match self {
            Self::Equal(bins) => bins,
            Self::Unequal { speeds, .. } => speeds.len(),
        }
    }

    /// What a load is for a bin.
    #[inline]
    fn peak(self, bin: usize, load: u64) -> u64 {
        match self {
            Self::Equal(_) => load,
            Self::Unequal { speeds, .. } => (load * SHARE_UNIT).div_ceil(speeds[bin]),
        }
    }
}

/// The least peak that the heaviest bin can have. Items come heaviest first. No packing is below
/// `bound`, so the search ends at it. Time: the number of packings, if loads are against it.
pub(crate) fn least_peak(items: &[u64], bins: Bins<'_>, bound: u64) -> u64 {
    let limits = Limits { wanted: 1, steps: u64::MAX, enough: bound, alike: Alike::EqualBins };
    let packings = Search::run(items, bins, limits);
    packings.first().map_or(0, |packing| packing.peak)
}

/// Up to `wanted` packings, lightest peak first; of equal ones the first found. Items go heaviest
/// first, each to every bin with room, lightest first. So the first packing found is that of LPT;
/// after `steps` placements the search ends with what it has.
pub(crate) fn best_packings(
    items: &[u64],
    bins: Bins<'_>,
    wanted: usize,
    steps: u64,
) -> Vec<Packing> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_unstable_by_key(|&item| (Reverse(items[item]), item));
    if order.len() > MOST_SEARCHED {
        return vec![match bins {
            Bins::Equal(bins) => lpt(items, &order, bins),
            Bins::Unequal { .. } => soonest(items, &order, bins),
        }];
    }
    let sorted: Vec<u64> = order.iter().map(|&item| items[item]).collect();
    let limits = Limits { wanted, steps, enough: 0, alike: Alike::EmptyBins };
    let mut packings = Search::run(&sorted, bins, limits);
    for packing in &mut packings {
        let sorted = std::mem::replace(&mut packing.bin, vec![0; items.len()]);
        for (&item, bin) in order.iter().zip(sorted) {
            packing.bin[item] = bin;
        }
    }
    packings
}

/// Each item in its `order` to the bin with room that has done soonest with it. Time O(items * bins).
fn soonest(items: &[u64], order: &[usize], bins: Bins<'_>) -> Packing {
    let (mut bin, mut load) = (vec![0; items.len()], vec![0; bins.len()]);
    let mut room = vec![items.len() / bins.len(); bins.len()];
    for &item in order {
        let time = |&bin: &usize| bins.peak(bin, load[bin] + items[item]);
        let best = (0..load.len()).filter(|&bin| room[bin] > 0).min_by_key(time).unwrap_or(0);
        bin[item] = best as u32;
        load[best] += items[item];
        room[best] -= 1;
    }
    let peak = load.iter().enumerate().map(|(bin, &load)| bins.peak(bin, load)).max();
    Packing { peak: peak.unwrap_or(0), bin }
}

/// Each item in its `order` to the lightest bin with room.
fn lpt(items: &[u64], order: &[usize], bins: usize) -> Packing {
    let item = |&index: &usize| {
        let (load, index) = (items[index], index as u32);
        Item { load, slot: index, expert: index, rank: 0 }
    };
    let sorted: Vec<Item> = order.iter().map(item).collect();
    let (mut bin, mut load) = (vec![0; items.len()], vec![0; bins]);
    let per_bin = items.len() / bins;
    Greedy::default().pack([&sorted], bins, |_, place, item| {
        bin[item.expert as usize] = (place / per_bin) as u32;
        load[place / per_bin] += item.load;
    });
    Packing { peak: load.into_iter().max().unwrap_or(0), bin }
}

/// Of which bins only one is tried, as the others lead to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alike {
    /// Empty ones: every packing is found once.
    EmptyBins,
    /// Those of equal load and number of items: every peak is found.
    EqualBins,
}

/// What a search is asked for, and when it ends.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Packings to keep.
    wanted: usize,
    /// Placements of an item, after which it ends with what it has, but with one packing at least.
    steps: u64,
    /// It ends if all wanted packings have at most this peak.
    enough: u64,
    alike: Alike,
}

/// A bin while it is filled: its load and the number of its items.
type Bin = (u64, usize);

/// Depth-first search, branch and bound.
struct Search<'a> {
    /// Loads, heaviest first.
    items: &'a [u64],
    limits: Limits,
    kind: Bins<'a>,
    bins: Vec<Bin>,
    /// Bin of each item placed.
    bin: Vec<u32>,
    kept: Vec<Packing>,
}

impl<'a> Search<'a> {
    fn run(items: &'a [u64], kind: Bins<'a>, limits: Limits) -> Vec<Packing> {
        let (bins, bin) = (vec![(0, 0); kind.len()], vec![0; items.len()]);
        let mut search = Self { items, limits, kind, bins, bin, kept: Vec::new() };
        search.place(0, 0);
        search.kept
    }

    /// The peak that a packing has to stay below.
    fn limit(&self) -> u64 {
        self.kept.get(self.limits.wanted - 1).map_or(u64::MAX, |packing| packing.peak)
    }

    /// Places the items from `next` on; the heaviest bin so far carries `peak`.
    fn place(&mut self, next: usize, peak: u64) {
        let Some(&item) = self.items.get(next) else {
            return self.keep(peak);
        };
        for bin in self.candidates() {
            let (load, filled) = self.bins[bin];
            let peak = peak.max(self.kind.peak(bin, load + item));
            if filled == self.items.len() / self.bins.len() || peak >= self.limit() {
                continue;
            }
            if self.limits.steps == 0 && !self.kept.is_empty() {
                return;
            }
            self.limits.steps = self.limits.steps.saturating_sub(1);
            self.bins[bin] = (load + item, filled + 1);
            self.bin[next] = bin as u32;
            self.place(next + 1, peak);
            self.bins[bin] = (load, filled);
            if self.limit() <= self.limits.enough {
                return;
            }
        }
    }

    fn keep(&mut self, peak: u64) {
        let at = self.kept.partition_point(|packing| packing.peak <= peak);
        self.kept.insert(at, Packing { peak, bin: self.bin.clone() });
        self.kept.truncate(self.limits.wanted);
    }

    /// The bins to try, lightest first, one of those that are alike.
    fn candidates(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.bins.len()).collect();
        let alike = |one: usize, other: usize| {
            let (a, b) = (self.bins[one], self.bins[other]);
            match self.limits.alike {
                Alike::EmptyBins => a.1 == 0 && b.1 == 0,
                Alike::EqualBins => a == b,
            }
        };
        match self.kind {
            Bins::Equal(_) => {
                order.sort_unstable_by_key(|&bin| (self.bins[bin], bin));
                order.dedup_by(|b, a| alike(*a, *b));
            }
            Bins::Unequal { speeds, kinds } => {
                let time = |bin: usize| self.kind.peak(bin, self.bins[bin].0);
                order.sort_unstable_by_key(|&bin| {
                    (time(bin), self.bins[bin], Reverse(speeds[bin]), kinds[bin], bin)
                });
                order.dedup_by(|b, a| kinds[*a] == kinds[*b] && alike(*a, *b));
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::{Bins, best_packings, least_peak};
    use crate::problems::SplitMix64;

    /// The peaks of all ways to put the groups from `next` on on nodes. A node with as many as it holds
    /// is full, and a group goes to at most one of the empty nodes.
    fn all_packings(groups: &[u64], next: usize, nodes: &mut Vec<Vec<u64>>, peaks: &mut Vec<u64>) {
        if next == groups.len() {
            peaks.push(nodes.iter().map(|node| node.iter().sum()).max().unwrap());
            return;
        }
        let per_node = groups.len() / nodes.len();
        for node in 0..nodes.len() {
            if nodes[node].len() < per_node {
                nodes[node].push(groups[next]);
                all_packings(groups, next + 1, nodes, peaks);
                nodes[node].pop();
                if nodes[node].is_empty() {
                    break;
                }
            }
        }
    }

    #[test]
    fn packings_of_groups_are_the_lightest_there_are() {
        let mut stream = SplitMix64(71);
        for (nodes, per_node) in [(1, 3), (2, 1), (2, 3), (2, 4), (3, 2), (3, 3), (4, 2)] {
            for _ in 0..40 {
                let most = 1 + stream.below(40);
                let groups: Vec<u64> = (0..nodes * per_node).map(|_| stream.below(most)).collect();
                let mut peaks = Vec::new();
                all_packings(&groups, 0, &mut vec![Vec::new(); nodes], &mut peaks);
                peaks.sort_unstable();
                for wanted in [1, 2, 5, 100_000] {
                    let found = best_packings(&groups, Bins::Equal(nodes), wanted, 1_000_000);
                    let found_peaks: Vec<u64> = found.iter().map(|packing| packing.peak).collect();
                    assert_eq!(found_peaks, peaks[..wanted.min(peaks.len())], "{groups:?}");
                    for packing in &found {
                        let mut load = vec![(0, 0); nodes];
                        for (&group, &node) in groups.iter().zip(&packing.bin) {
                            load[node as usize].0 += group;
                            load[node as usize].1 += 1;
                        }
                        assert!(load.iter().all(|&(_, filled)| filled == per_node));
                        assert_eq!(load.iter().map(|node| node.0).max(), Some(packing.peak));
                    }
                    let mut ways: Vec<_> = found.into_iter().map(|packing| packing.bin).collect();
                    let count = ways.len();
                    ways.sort_unstable();
                    ways.dedup();
                    assert_eq!(ways.len(), count, "{groups:?}");
                }
            }
        }
    }

    /// The least time over all ways to put the groups from `next` on on nodes of these speeds.
    fn least_time(groups: &[u64], next: usize, speeds: &[u64], nodes: &mut Vec<Vec<u64>>) -> u64 {
        if next == groups.len() {
            let load = |node: &Vec<u64>| node.iter().sum::<u64>() * 720_720;
            return nodes.iter().zip(speeds).map(|(n, &s)| load(n).div_ceil(s)).max().unwrap();
        }
        let mut least = u64::MAX;
        for node in 0..nodes.len() {
            if nodes[node].len() < groups.len() / nodes.len() {
                nodes[node].push(groups[next]);
                least = least.min(least_time(groups, next + 1, speeds, nodes));
                nodes[node].pop();
            }
        }
        least
    }

    #[test]
    fn packings_on_nodes_of_several_speeds_are_the_quickest_there_are() {
        let mut stream = SplitMix64(73);
        for (nodes, per_node) in [(2, 1), (2, 2), (2, 3), (3, 2), (3, 1), (4, 2)] {
            for round in 0..30 {
                let mut groups: Vec<u64> =
                    (0..nodes * per_node).map(|_| stream.below(40)).collect();
                groups.sort_unstable_by(|a, b| b.cmp(a));
                let speeds: Vec<u64> = (0..nodes).map(|_| 1 + stream.below(2 + round)).collect();
                let least = least_time(&groups, 0, &speeds, &mut vec![Vec::new(); nodes]);
                let kind = |speed| speeds.iter().position(|other| other == speed).unwrap();
                let kinds: Vec<usize> = speeds.iter().map(kind).collect();
                let bins = Bins::Unequal { speeds: &speeds, kinds: &kinds };
                assert_eq!(least_peak(&groups, bins, 0), least, "{groups:?} {speeds:?}");
                let found = best_packings(&groups, bins, 3, 1_000_000);
                assert_eq!(found[0].peak, least, "{groups:?} {speeds:?}");
                assert!(found.is_sorted_by_key(|packing| packing.peak));
            }
        }
        // Too many to search: each where it is done soonest.
        let bins = Bins::Unequal { speeds: &[1, 3], kinds: &[0, 1] };
        let groups: Vec<u64> = (0..1002).map(|i| 1 + i % 7).collect();
        let found = best_packings(&groups, bins, 5, 100_000);
        let on_first = found[0].bin.iter().filter(|&&bin| bin == 0).count();
        assert_eq!((found.len(), on_first), (1, 501));
    }

    #[test]
    fn more_than_a_thousand_groups_are_packed_once() {
        for (groups, ways) in [(1000, 2), (1002, 1)] {
            let found = best_packings(&vec![1; groups], Bins::Equal(2), 2, 100_000);
            assert_eq!(found.len(), ways);
            assert!(found.iter().all(|packing| packing.peak == groups as u64 / 2));
        }
    }

    #[test]
    fn packings_found_in_few_steps_are_those_of_every_build() {
        let mut stream = SplitMix64(83);
        let mut peaks = [0; 4];
        for _ in 0..200 {
            let groups: Vec<u64> = (0..12).map(|_| stream.below(1000)).collect();
            for (peak, steps) in peaks.iter_mut().zip([0, 30, 100, 1_000_000]) {
                *peak += best_packings(&groups, Bins::Equal(3), 1, steps)[0].peak;
            }
        }
        assert_eq!(peaks, [412_476, 407_977, 404_706, 402_360]);
    }
}
