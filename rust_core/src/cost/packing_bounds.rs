//! What the heaviest bin carries at least, if bins hold equally many items: groups on nodes, or experts
//! without redundant slots on GPUs.

use std::cmp::Reverse;

use crate::cost::group_packing::{Bins, least_peak};
use crate::problem::share::SHARE_UNIT;
use crate::problem::topology::Topology;

/// Up to so many ways to put groups on nodes, or experts without redundant slots on GPUs, are searched
/// for the best.
pub const MAX_PACKINGS: u64 = 100_000;

/// What the groups cost: 0 if they constrain nothing.
pub(super) fn node(loads: &[u64], topology: &Topology) -> u64 {
    let nodes = topology.nodes();
    if nodes == 1 {
        return 0;
    }
    let group_size = loads.len() / topology.groups();
    let mut groups: Vec<u64> =
        loads.chunks_exact(group_size).map(|group| group.iter().sum()).collect();
    groups.sort_unstable_by_key(|&load| Reverse(load));
    let mut speeds = topology.cluster().node_speeds();
    if speeds.iter().all(|&speed| speed == speeds[0]) {
        let peak = least_heaviest(&groups, nodes);
        return (peak * SHARE_UNIT).div_ceil(speeds[0]);
    }
    speeds.sort_unstable_by_key(|&speed| Reverse(speed));
    let time = |load: u64, speed: u64| (load * SHARE_UNIT).div_ceil(speed);
    if groups.len() == nodes {
        // Heaviest to fastest.
        return groups
            .iter()
            .zip(&speeds)
            .map(|(&load, &speed)| time(load, speed))
            .max()
            .unwrap_or(0);
    }
    let bound = time(least_heaviest(&groups, nodes), speeds[0]);
    if few_packings(groups.len(), nodes, Alike::No) {
        // Bins are alike if they are equally fast.
        let kind = |speed| speeds.iter().position(|other| other == speed).unwrap_or(0);
        let kinds: Vec<usize> = speeds.iter().map(kind).collect();
        least_peak(&groups, Bins::Unequal { speeds: &speeds, kinds: &kinds }, bound)
    } else {
        bound
    }
}

/// What the heaviest of these bins carries at least, over all ways to put equally many items (given
/// heaviest first) in each: exactly, or if that takes too long a search, a bound of it.
pub(super) fn least_heaviest(items: &[u64], bins: usize) -> u64 {
    match items.len() / bins {
        1 => items[0],
        // Heaviest with lightest: of two pairs, any other pairing has a pair at least as heavy as
        // the heavier of these.
        2 => items.iter().zip(items.iter().rev()).map(|(a, b)| a + b).max().unwrap_or(0),
        // In one bin there is one packing, whose load is the mean.
        _ if bins > 1 && few_packings(items.len(), bins, Alike::Yes) => {
            least_peak(items, Bins::Equal(bins), crowded_or_mean(items, bins))
        }
        _ => crowded_or_mean(items, bins),
    }
}

/// Whether bins are alike, so that the same items in other bins are the same packing.
#[derive(Debug, Clone, Copy)]
enum Alike {
    Yes,
    No,
}

/// Whether `items` fill `bins` in at most [`MAX_PACKINGS`] ways.
fn few_packings(items: usize, bins: usize, alike: Alike) -> bool {
    let mut packings = 1_u64;
    for left in (0..bins).map(|bin| items - bin * (items / bins)) {
        let (others, wanted) = match alike {
            // Bin after bin: of the items left one is the first, and some of the others join it.
            Alike::Yes => (left - 1, items / bins - 1),
            Alike::No => (left, items / bins),
        };
        for i in 0..wanted.min(others - wanted) {
            packings = packings * (others - i) as u64 / (i as u64 + 1);
            if packings > MAX_PACKINGS {
                return false;
            }
        }
    }
    true
}

fn crowded_or_mean(items: &[u64], bins: usize) -> u64 {
    let mean = items.iter().sum::<u64>().div_ceil(bins as u64);
    mean.max(crowded(items.len(), bins, |i| items[i]))
}

/// What the heaviest of these bins carries at least, with equally many `items` in each, whose loads
/// descend: of the j*b+1 heaviest some bin of b holds j+1, and at least the lightest beside them.
pub(crate) fn crowded(items: usize, bins: usize, load: impl Fn(usize) -> u64) -> u64 {
    let per_bin = items / bins;
    let (mut bound, mut light) = (0, 0);
    for j in (0..per_bin).rev() {
        let heavy = (j * bins - j..=j * bins).map(&load).sum::<u64>();
        bound = bound.max(heavy + light);
        light += load(items - (per_bin - j));
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::{Alike, crowded_or_mean, few_packings, least_heaviest};
    use crate::problems::SplitMix64;

    #[test]
    fn packings_are_counted() {
        // 9 groups on 3 nodes: 280 ways; 16 on 2: 6,435; 18 on 2: 24,310; 20 on 2: 92,378.
        for (groups, nodes) in [(9, 3), (16, 2), (18, 2), (20, 2), (12, 3), (6, 1), (12, 6)] {
            assert!(few_packings(groups, nodes, Alike::Yes), "{groups} groups on {nodes} nodes");
        }
        // 22 on 2: 352,716; 15 on 3: 126,126; 16 on 4: 2,627,625.
        for (groups, nodes) in [(22, 2), (15, 3), (16, 4), (64, 8), (16384, 2), (16384, 4096)] {
            assert!(!few_packings(groups, nodes, Alike::Yes), "{groups} groups on {nodes} nodes");
        }
    }

    #[test]
    fn the_search_finds_what_enumeration_finds() {
        let mut stream = SplitMix64(1);
        for _ in 0..200 {
            let mut groups: Vec<u64> = (0..9).map(|_| stream.below(50)).collect();
            groups.sort_unstable_by(|a, b| b.cmp(a));
            let best = enumerate(&groups, &mut [(0, 0); 3]);
            assert_eq!(least_heaviest(&groups, 3), best, "{groups:?}");
            assert!(crowded_or_mean(&groups, 3) <= best, "{groups:?}");
            assert_eq!(least_heaviest(&groups[..6], 3), enumerate(&groups[..6], &mut [(0, 1); 3]));
        }
    }

    /// The least peak over every way to fill nodes of three.
    fn enumerate(groups: &[u64], nodes: &mut [(u64, usize); 3]) -> u64 {
        let Some((&group, rest)) = groups.split_first() else {
            return nodes.iter().map(|node| node.0).max().unwrap_or(0);
        };
        let mut best = u64::MAX;
        for node in 0..3 {
            if nodes[node].1 < 3 {
                let before = nodes[node];
                nodes[node] = (before.0 + group, before.1 + 1);
                best = best.min(enumerate(rest, nodes));
                nodes[node] = before;
            }
        }
        best
    }
}
