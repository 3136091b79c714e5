//! Multinomial counts: the assignments of a layer, shared among its experts by their weights.

use super::distributions::binomial;
use super::splitmix::word;

/// Shares `trials` among the entries of `counts` by these weights, each at most `most`; `trials` is
/// at most `most * counts.len()`.
///
/// The experts are the leaves of a binary tree. The halves of a node share its count by a binomial
/// number, whose key is the word with the node's number; the root is number 1.
pub(super) fn share(counts: &mut [u64], weights: &[u64], trials: u64, most: u64, key: u64) {
    let leaves = weights.len().next_power_of_two();
    let mut tree = vec![Node::default(); 2 * leaves];
    for (node, &weight) in tree[leaves..].iter_mut().zip(weights) {
        *node = Node { weight, room: most, count: 0 };
    }
    for i in (1..leaves).rev() {
        let [left, right] = [tree[2 * i], tree[2 * i + 1]];
        tree[i].weight = left.weight + right.weight;
        tree[i].room = left.room + right.room;
    }
    tree[1].count = trials;
    for i in 1..leaves {
        let [node, left, right] = [tree[i], tree[2 * i], tree[2 * i + 1]];
        let drawn = binomial(node.count, left.weight, node.weight, word(key, i as u64));
        let count = drawn.max(node.count.saturating_sub(right.room)).min(left.room);
        tree[2 * i].count = count;
        tree[2 * i + 1].count = node.count - count;
    }
    for (count, node) in counts.iter_mut().zip(&tree[leaves..]) {
        *count = node.count;
    }
}

/// Sums over the leaves below.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    weight: u64,
    /// The most assignments it can take.
    room: u64,
    count: u64,
}
