//! Brute force, for instances small enough to try everything.

#![allow(dead_code, reason = "each test takes what it needs")]

use eplb_core::Sizes;

use crate::reference::{self, packing_load};

/// Calls `found` with every sequence of `length` numbers below `end` whose beginnings all `may`.
pub(crate) fn each_sequence(
    length: usize,
    end: usize,
    may: &dyn Fn(&[usize]) -> bool,
    sequence: &mut Vec<usize>,
    found: &mut dyn FnMut(&[usize]),
) {
    if sequence.len() == length {
        return found(sequence);
    }
    for number in 0..end {
        sequence.push(number);
        if may(sequence) {
            each_sequence(length, end, may, sequence, found);
        }
        sequence.pop();
    }
}

/// The least over all sequences that qualify.
pub(crate) fn least(
    length: usize,
    end: usize,
    may: &dyn Fn(&[usize]) -> bool,
    cost: &dyn Fn(&[usize]) -> Option<u128>,
) -> u128 {
    let mut least = u128::MAX;
    each_sequence(length, end, may, &mut Vec::new(), &mut |sequence| {
        least = least.min(cost(sequence).unwrap_or(u128::MAX));
    });
    least
}

/// Adams' bound: the least largest copy over all ways to share out the redundant slots.
pub(crate) fn best_copies(row: &[u64], slots: usize) -> u128 {
    let redundant = slots - row.len();
    let ascending = |receivers: &[usize]| receivers.is_sorted();
    least(redundant, row.len(), &ascending, &|receivers| {
        let copies = |expert: usize| 1 + receivers.iter().filter(|&&e| e == expert).count();
        (row.iter().enumerate())
            .map(|(expert, &w)| packing_load(w.into(), copies(expert) as u128))
            .max()
    })
}

/// The least heaviest node over all ways to put equally many groups on each.
pub(crate) fn best_nodes(groups: &[u64], nodes: usize) -> u128 {
    let room = |homes: &[usize]| {
        let held = homes.iter().filter(|home| Some(*home) == homes.last()).count();
        held <= groups.len() / nodes
    };
    least(groups.len(), nodes, &room, &|homes| {
        let load = |node: usize| {
            let members = homes.iter().zip(groups).filter(|(home, _)| **home == node);
            members.map(|(_, &load)| u128::from(load)).sum()
        };
        (0..nodes).map(load).max()
    })
}

/// The least largest GPU load over every placement there is.
pub(crate) fn best_placement(row: &[u64], sizes: &Sizes) -> u128 {
    let (groups, nodes) = reference::hierarchy(sizes);
    let slots = sizes.num_replicas as usize;
    let (gpu_slots, node_slots) = (slots / sizes.num_gpus as usize, slots / nodes);
    let group_size = row.len() / groups;
    // Whole groups on nodes; on a GPU in ascending order, as slots of a GPU are alike.
    let may = |phy2log: &[usize]| {
        let (&last, before) = phy2log.split_last().unwrap();
        let node = before.len() / node_slots;
        let ascending = before.len() % gpu_slots == 0 || before.last() <= Some(&last);
        let strange = |(slot, &expert): (usize, &usize)| {
            expert / group_size == last / group_size && slot / node_slots != node
        };
        ascending && !before.iter().enumerate().any(strange)
    };
    least(slots, row.len(), &may, &|phy2log| {
        let mut copies = vec![0_u128; row.len()];
        for &expert in phy2log {
            copies[expert] += 1;
        }
        let carried = |gpu: &[usize]| -> u128 {
            let share = |&expert: &usize| packing_load(row[expert].into(), copies[expert]);
            gpu.iter().map(share).sum()
        };
        let groups_of = |node: &[usize]| {
            let mut groups: Vec<usize> = node.iter().map(|expert| expert / group_size).collect();
            groups.sort_unstable();
            groups.dedup();
            groups.len()
        };
        let complete = !copies.contains(&0)
            && phy2log.chunks(node_slots).all(|node| groups_of(node) == groups / nodes);
        phy2log.chunks(gpu_slots).map(carried).max().filter(|_| complete)
    })
}
