//! Lists that can be checked by hand.

use super::{Slot, Transfer, transfers};
use crate::over_time::previous::Previous;
use crate::{Cluster, Error, Sizes, Topology};

const NO: i64 = -1;

fn topology(num_experts: u64, num_replicas: u64, num_nodes: u64, num_gpus: u64) -> Topology {
    let num_groups = 1;
    Topology::new(Sizes { num_experts, num_replicas, num_groups, num_nodes, num_gpus }).unwrap()
}

fn cluster(num_slots: usize, num_gpus: usize) -> Cluster {
    Cluster::equal(num_gpus, num_slots / num_gpus, 1)
}

/// The transfers of one layer, given as the slots of each GPU, one expert for each number up to the
/// largest, and so many nodes.
fn list<const S: usize, const T: usize>(
    before: &[[i64; S]],
    after: &[[i64; T]],
    nodes: u64,
) -> Vec<String> {
    let (old, new) = (before.as_flattened(), after.as_flattened());
    let experts = new.iter().max().unwrap() + 1;
    let topology = topology(experts as u64, new.len() as u64, nodes, after.len() as u64);
    let list = transfers(
        Previous { phy2log: old, cluster: &cluster(old.len(), before.len()) },
        new,
        &topology,
    )
    .unwrap();
    list.iter().map(text).collect()
}

/// `step 0: 3 from 0.1 to 2.0 over 5, buffered`, a slot being GPU.position.
fn text(transfer: &Transfer) -> String {
    let slot = |Slot { gpu, position }| format!("{gpu}.{position}");
    let Transfer { layer, step, expert, source, destination, overwrites, buffered } = *transfer;
    assert_eq!(layer, 0);
    let source = source.map_or("storage".to_owned(), slot);
    let over = overwrites.map_or(String::new(), |expert| format!(" over {expert}"));
    let buffered = if buffered { ", buffered" } else { "" };
    format!("step {step}: {expert} from {source} to {}{over}{buffered}", slot(destination))
}

#[test]
fn nothing_changes() {
    assert!(list(&[[0, 1], [2, NO]], &[[0, 1], [2, NO]], 1).is_empty());
}

#[test]
fn slots_that_are_left_empty_need_no_transfer() {
    assert!(list(&[[0, 1], [2, 0]], &[[0, 1], [2, NO]], 1).is_empty());
}

#[test]
fn a_spare_copy_is_overwritten_at_once() {
    let found = list(&[[0, 1], [2, 0]], &[[0, 1], [2, 1]], 1);
    assert_eq!(found, ["step 0: 1 from 0.1 to 1.1 over 0"]);
}

#[test]
fn a_swap_with_a_spare_copy_takes_two_steps_and_no_buffer() {
    let found = list(&[[0, 2], [1, 3], [0, 4]], &[[1, 2], [0, 3], [0, 4]], 1);
    assert_eq!(found, ["step 0: 1 from 1.0 to 0.0 over 0", "step 1: 0 from 2.0 to 1.0 over 1"]);
}

#[test]
fn the_second_copy_waits_where_it_closes_no_cycle() {
    // 0 and 1 change places, and 2 comes to the other copy of 0.
    let found = list(&[[0], [1], [0], [2], [3]], &[[1], [0], [2], [3], [3]], 1);
    let expected = [
        "step 0: 1 from 1.0 to 0.0 over 0",
        "step 1: 0 from 2.0 to 1.0 over 1",
        "step 2: 2 from 3.0 to 2.0 over 0",
        "step 3: 3 from 4.0 to 3.0 over 2",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_copy_that_others_wait_for_does_not_wait() {
    // 1 has other copies: it may come late. 2 has none: its old slot waits for it.
    let found = list(&[[0], [0], [2], [1], [4], [4], [3]], &[[2], [1], [0], [1], [0], [4], [3]], 1);
    let expected = [
        "step 0: 2 from 2.0 to 0.0 over 0",
        "step 0: 0 from 1.0 to 4.0 over 4",
        "step 1: 1 from 3.0 to 1.0 over 0",
        "step 1: 0 from 4.0 to 2.0 over 2",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_copy_waits_whose_new_expert_may_come_late() {
    // 1 comes to 0.0 as well. 2 has to come before its slot is free for 3.
    let found = list(&[[3], [0], [0], [1], [2], [3]], &[[1], [1], [2], [0], [3], [3]], 1);
    let expected = [
        "step 0: 1 from 3.0 to 0.0 over 3",
        "step 0: 2 from 4.0 to 2.0 over 0",
        "step 1: 0 from 1.0 to 3.0 over 1",
        "step 1: 3 from 5.0 to 4.0 over 2",
        "step 2: 1 from 0.0 to 1.0 over 0",
    ];
    assert_eq!(found, expected);
    // 2 is loaded: nothing waits for it.
    let found = list(&[[0], [0], [1], [3], [3]], &[[1], [2], [0], [0], [3]], 1);
    let expected = [
        "step 0: 1 from 2.0 to 0.0 over 0",
        "step 0: 0 from 1.0 to 3.0 over 3",
        "step 1: 2 from storage to 1.0 over 0",
        "step 1: 0 from 3.0 to 2.0 over 1",
    ];
    assert_eq!(found, expected);
    // Ties: the lowest slot.
    let found = list(&[[0], [0], [3], [3]], &[[1], [2], [0], [3]], 1);
    let expected = [
        "step 0: 2 from storage to 1.0 over 0",
        "step 0: 0 from 0.0 to 2.0 over 3",
        "step 1: 1 from storage to 0.0 over 0",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_swap_of_last_copies_is_buffered() {
    let found = list(&[[0, 2], [1, 3]], &[[1, 2], [0, 3]], 1);
    let expected = [
        "step 0: 1 from 1.0 to 0.0 over 0, buffered",
        "step 0: 0 from 0.0 to 1.0 over 1, buffered",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_cycle_of_three_last_copies_is_one_step_after_direct_ones() {
    let found = list(&[[0, 3], [1, 3], [2, 4]], &[[1, 3], [2, 4], [0, 4]], 1);
    let expected = [
        "step 0: 4 from 2.1 to 1.1 over 3",
        "step 1: 1 from 1.0 to 0.0 over 0, buffered",
        "step 1: 2 from 2.0 to 1.0 over 1, buffered",
        "step 1: 0 from 0.0 to 2.0 over 2, buffered",
    ];
    assert_eq!(found, expected);
}

#[test]
fn cycles_share_a_step_if_no_gpu_needs_two_buffers() {
    let found = list(&[[0, 4], [1, 5], [2, 6], [3, 7]], &[[1, 6], [0, 5], [3, 4], [2, 7]], 1);
    let expected = [
        "step 0: 1 from 1.0 to 0.0 over 0, buffered",
        "step 0: 0 from 0.0 to 1.0 over 1, buffered",
        "step 0: 3 from 3.0 to 2.0 over 2, buffered",
        "step 0: 2 from 2.0 to 3.0 over 3, buffered",
        "step 1: 6 from 2.1 to 0.1 over 4, buffered",
        "step 1: 4 from 0.1 to 2.1 over 6, buffered",
    ];
    assert_eq!(found, expected);
}

#[test]
fn gpus_that_all_swap_with_each_other_take_turns() {
    let found = list(&[[0, 1], [2, 3], [4, 5]], &[[2, 5], [0, 4], [3, 1]], 1);
    let expected = [
        "step 0: 2 from 1.0 to 0.0 over 0, buffered",
        "step 0: 0 from 0.0 to 1.0 over 2, buffered",
        "step 1: 5 from 2.1 to 0.1 over 1, buffered",
        "step 1: 1 from 0.1 to 2.1 over 5, buffered",
        "step 2: 4 from 2.0 to 1.1 over 3, buffered",
        "step 2: 3 from 1.1 to 2.0 over 4, buffered",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_chain_is_written_from_its_end() {
    let found = list(&[[0], [1], [2], [NO]], &[[2], [0], [1], [2]], 1);
    let expected = [
        "step 0: 2 from 2.0 to 3.0",
        "step 1: 1 from 1.0 to 2.0 over 2",
        "step 2: 0 from 0.0 to 1.0 over 1",
        "step 3: 2 from 3.0 to 0.0 over 0",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_gpu_with_fewer_slots_copies_within_itself() {
    let found = list(&[[0, 1, 2], [3, 1, 0]], &[[0, 2], [3, 1]], 1);
    assert_eq!(found, ["step 0: 2 from 0.2 to 0.1 over 1"]);
    // The spare copy of 0 is in a slot that goes: it stays until the end.
    let found = list(&[[0, 1, 2], [3, 4, 0]], &[[4, 1, 2], [0, 3, NO]], 1);
    let expected = [
        "step 0: 4 from 1.1 to 0.0 over 0",
        "step 1: 3 from 1.0 to 1.1 over 4",
        "step 2: 0 from 1.2 to 1.0",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_gpu_with_more_slots_fills_them_first() {
    let found = list(&[[0, 1], [2, 3]], &[[0, 1, 2], [4, 3, 0]], 1);
    let expected = [
        "step 0: 2 from 1.0 to 0.2",
        "step 0: 0 from 0.0 to 1.2",
        "step 1: 4 from storage to 1.0 over 2",
    ];
    assert_eq!(found, expected);
}

#[test]
fn added_gpus_are_filled_and_removed_ones_are_sources_to_the_end() {
    let found = list(&[[0, 1]], &[[0, 1], [1, 0]], 1);
    assert_eq!(found, ["step 0: 1 from 0.1 to 1.0", "step 0: 0 from 0.0 to 1.1"]);
    let found = list(&[[0, 2], [1, NO], [3, 2]], &[[0, 1], [3, 2]], 1);
    let expected = [
        "step 0: 1 from 1.0 to 0.1 over 2",
        "step 0: 2 from 2.1 to 1.1",
        "step 1: 3 from 2.0 to 1.0 over 1",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_expert_that_nobody_holds_is_loaded() {
    let found = list(&[[0, NO], [1, 0]], &[[0, 2], [1, 2]], 1);
    let expected = ["step 0: 2 from storage to 0.1", "step 0: 2 from storage to 1.1 over 0"];
    assert_eq!(found, expected);
}

#[test]
fn a_second_copy_on_a_gpu_leaves_the_map_with_the_new_one() {
    // 0 goes from position 0 to 1. Position 0 is then empty, and 1 comes from its only other copy.
    let found = list(&[[0, NO], [1, 2]], &[[1, 0], [1, 2]], 1);
    assert_eq!(found, ["step 0: 0 from 0.0 to 0.1", "step 1: 1 from 1.0 to 0.0"]);
    let found = list(&[[0, 0], [1, 2]], &[[0, 1], [1, 2]], 1);
    assert_eq!(found, ["step 0: 1 from 1.0 to 0.1 over 0"]);
}

#[test]
fn sources_are_near_and_take_turns() {
    // Two nodes of two GPUs: 0 is on both nodes, 1 and 2 on the second only.
    let found = list(
        &[[0, NO, NO], [3, NO, NO], [0, 1, 2], [1, 2, NO]],
        &[[0, 1, 2], [3, 0, 1], [0, 1, 2], [1, 2, 0]],
        2,
    );
    let expected = [
        "step 0: 1 from 2.1 to 0.1",
        "step 0: 2 from 3.1 to 0.2",
        "step 0: 0 from 0.0 to 1.1",
        "step 0: 1 from 2.1 to 1.2",
        "step 0: 0 from 2.0 to 3.2",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_gpu_reads_its_own_copy_if_it_has_one() {
    let found = list(&[[0, 1], [0, NO]], &[[0, 1], [NO, 0]], 1);
    assert_eq!(found, ["step 0: 0 from 1.0 to 1.1"]);
}

#[test]
fn layers_count_together_when_sources_take_turns() {
    let (old, new) = ([0, 0, NO, 1, 1, 1].repeat(3), [0, 0, 0, 1, 1, 1].repeat(3));
    let topology = topology(2, 6, 1, 6);
    let list = transfers(Previous { phy2log: &old, cluster: topology.cluster() }, &new, &topology)
        .unwrap();
    let found: Vec<_> = list.iter().map(|t| (t.layer, t.source.unwrap().gpu)).collect();
    assert_eq!(found, [(0, 0), (1, 1), (2, 0)]);
    assert_eq!(list[0].destination.index(1), 2);
}

#[test]
fn placements_that_do_not_fit_are_refused() {
    let topology = topology(3, 4, 1, 2);
    let refused = |old: &[i64], slots, gpus, new: &[i64]| -> Error {
        let previous = Previous { phy2log: old, cluster: &cluster(slots, gpus) };
        transfers(previous, new, &topology).unwrap_err()
    };
    let (good, fit) = (
        [0, 1, 2, 0],
        "; give the new placement as it was planned, with the \
                                      topology that it was planned for",
    );
    for (error, text) in [
        (
            refused(&good, 6, 2, &good),
            "the previous placement has 4 entries; expected whole layers of 6 slots".to_owned(),
        ),
        (
            refused(&[0, 1, 3, 0], 4, 2, &good),
            "layer 0, slot 2: unknown expert 3; expected 0 to 2, or -1 for an empty slot"
                .to_owned(),
        ),
        (
            refused(&good, 4, 2, &[0, 1, 2, -2]),
            format!(
                "layer 0, slot 3: unknown expert -2; expected 0 to 2, or -1 for an empty slot{fit}"
            ),
        ),
        (
            refused(&good, 4, 2, &[0, 1, 0, NO]),
            format!(
                "layer 0, expert 2: the new placement has no slot for expert 2; expected at least \
                 one slot for each expert{fit}"
            ),
        ),
        (
            refused(&good, 2, 2, &good),
            format!("the new placement has 4 entries; expected 8: 2 layers of 4 slots{fit}"),
        ),
        (
            refused(&good, 4, 2, &[]),
            format!("the new placement has 0 entries; expected 4: 1 layers of 4 slots{fit}"),
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
    let most = vec![NO; 1 << 20];
    let previous = Previous { phy2log: &most, cluster: &cluster(most.len(), 2) };
    assert_eq!(transfers(previous, &good, &topology).unwrap().len(), 4);
    let many = vec![NO; (1 << 20) + 2];
    let error = refused(&many, many.len(), 2, &good).to_string();
    assert_eq!(error, "num_replicas=1048578 is too large; expected at most 1048576");
}
