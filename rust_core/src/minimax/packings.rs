//! Groups to nodes: the ways to put equally many groups on each node whose heaviest node is lightest.

use std::cmp::Reverse;

use crate::greedy::Greedy;
use crate::replicas::Item;

/// A way to put groups on nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packing {
    /// Load of the heaviest node.
    pub(super) peak: u64,
    /// Node of each group.
    pub(super) node: Vec<u32>,
}

/// With more groups the packing of LPT is the only one: a search goes as deep as there are groups,
/// and would hardly find another in its steps.
const MOST_SEARCHED: usize = 1000;

/// Lists up to `wanted` packings, lightest peak first; of equal ones the first found. Groups go
/// heaviest first, each to every node with room, lightest first. So the first packing found is
/// that of LPT; after `steps` placements the search ends with what it has.
pub(super) fn list(groups: &[u64], nodes: usize, wanted: usize, steps: u64) -> Vec<Packing> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_unstable_by_key(|&group| (Reverse(groups[group]), group));
    if order.len() > MOST_SEARCHED {
        return vec![lpt(groups, &order, nodes)];
    }
    let mut search = PackingSearch {
        groups,
        order,
        node: vec![0; groups.len()],
        nodes: vec![(0, 0); nodes],
        wanted,
        steps,
        found: Vec::new(),
    };
    search.place(0, 0);
    search.found
}

/// Each group in its `order` to the lightest node with room.
fn lpt(groups: &[u64], order: &[usize], nodes: usize) -> Packing {
    let item = |&group: &usize| {
        let (load, group) = (groups[group], group as u32);
        Item { load, slot: group, expert: group, rank: 0 }
    };
    let items: Vec<Item> = order.iter().map(item).collect();
    let (mut node, mut load) = (vec![0; groups.len()], vec![0; nodes]);
    let per_node = groups.len() / nodes;
    Greedy::default().pack([&items], nodes, |_, place, item| {
        node[item.expert as usize] = (place / per_node) as u32;
        load[place / per_node] += item.load;
    });
    Packing { peak: load.into_iter().max().unwrap_or(0), node }
}

/// Depth-first search, branch and bound.
struct PackingSearch<'a> {
    groups: &'a [u64],
    /// Groups, heaviest first.
    order: Vec<usize>,
    /// Node of each group placed.
    node: Vec<u32>,
    /// Load of each node and the number of its groups.
    nodes: Vec<(u64, usize)>,
    wanted: usize,
    steps: u64,
    found: Vec<Packing>,
}

impl PackingSearch<'_> {
    /// Places the groups from `next` on; the heaviest node so far carries `peak`.
    fn place(&mut self, next: usize, peak: u64) {
        let Some(&group) = self.order.get(next) else {
            let at = self.found.partition_point(|packing| packing.peak <= peak);
            self.found.insert(at, Packing { peak, node: self.node.clone() });
            self.found.truncate(self.wanted);
            return;
        };
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_unstable_by_key(|&node| (self.nodes[node], node));
        // Empty nodes are alike.
        order.dedup_by(|b, a| self.nodes[*a].1 == 0 && self.nodes[*b].1 == 0);
        for node in order {
            let (load, filled) = self.nodes[node];
            let peak = peak.max(load + self.groups[group]);
            let worst = self.found.get(self.wanted - 1).map_or(u64::MAX, |packing| packing.peak);
            if filled == self.groups.len() / self.nodes.len() || peak >= worst {
                continue;
            }
            if self.steps == 0 && !self.found.is_empty() {
                return;
            }
            self.steps = self.steps.saturating_sub(1);
            self.nodes[node] = (load + self.groups[group], filled + 1);
            self.node[group] = node as u32;
            self.place(next + 1, peak);
            self.nodes[node] = (load, filled);
        }
    }
}
