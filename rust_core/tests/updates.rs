//! Updates of placements that are not whole.

use eplb_core::{
    CanonicalLoads, Cluster, HistoryOptions, LoadHistory, Migration, MigrationOptions, MoveLimit,
    Previous, Sizes, Topology, replan,
};

const NOTHING: MigrationOptions = MigrationOptions {
    move_price: 0,
    max_moves: MoveLimit::Number(0),
    max_moves_after_shift: MoveLimit::Number(0),
    max_copies: None,
    fill: true,
};

/// Four experts in so many slots of two GPUs.
fn topology(num_replicas: u64) -> Topology {
    let (num_groups, num_nodes, num_gpus) = (1, 1, 2);
    Topology::new(Sizes { num_experts: 4, num_replicas, num_groups, num_nodes, num_gpus }).unwrap()
}

/// Layer 0 has these loads, layer 1 has none.
fn history(loads: [u64; 4]) -> LoadHistory {
    let mut history = LoadHistory::new(2, 4, HistoryOptions::default()).unwrap();
    let window = CanonicalLoads::new(&[loads, [0; 4]].concat(), 2, 4).unwrap();
    history.observe(&window, 1).unwrap();
    history
}

/// The update of a placement of both layers, by two rows.
fn update(old: &[i64], slots: u64, options: MigrationOptions) -> Migration {
    let held = [old, old].concat();
    let cluster = Cluster::uniform(2, old.len() as u64 / 2, 1).unwrap();
    let previous = Previous { phy2log: &held, cluster: &cluster };
    replan(&history([90, 10, 10, 10]), &topology(slots), Some(previous), options, 1).unwrap()
}

fn rows(made: &Migration) -> (Vec<i64>, Vec<i64>) {
    let (first, second) = made.placement.phy2log().split_at(made.placement.phy2log().len() / 2);
    (first.to_vec(), second.to_vec())
}

#[test]
fn empty_slots_are_filled_whatever_the_limits_are() {
    let made = update(&[0, 1, -1, 2, 3, -1], 6, NOTHING);
    // The heavy expert on the other GPU too. The next one, 1, is where there is room, so 2 comes there.
    // Without loads all are equal.
    assert_eq!(rows(&made), (vec![0, 1, 2, 2, 3, 0], vec![0, 1, 2, 2, 3, 0]));
    assert_eq!([made.layers[0].copies, made.layers[1].copies], [2, 2]);
    let without = update(&[0, 1, -1, 2, 3, -1], 6, MigrationOptions { fill: false, ..NOTHING });
    assert_eq!(rows(&without).0, [0, 1, -1, 2, 3, -1]);
    assert!(without.layers.iter().all(|layer| layer.kept));
}

#[test]
fn second_replicas_stay_where_nothing_moves() {
    let made = update(&[0, 0, 1, 2, 3, 3], 6, NOTHING);
    assert_eq!(rows(&made).0, [0, 0, 1, 2, 3, 3]);
    assert!(made.layers.iter().all(|layer| layer.kept));
    // A slot that is empty beside one is filled.
    let made = update(&[0, 0, 1, 2, 3, -1], 6, NOTHING);
    assert_eq!(rows(&made).0, [0, 0, 1, 2, 3, 0]);
    assert_eq!(made.layers[0].copies, 1);
}

#[test]
fn a_layer_without_load_keeps_its_placement() {
    let free = MigrationOptions {
        max_moves: MoveLimit::Share(1_000_000),
        max_moves_after_shift: MoveLimit::Share(1_000_000),
        ..NOTHING
    };
    // Expert 0, the heavy one, is alone on a GPU's worth of slots only in the layer that has loads.
    let made = update(&[1, 2, 3, 0, 2, 3], 6, free);
    assert!(made.layers[1].kept && !made.layers[0].kept, "{:?}", made.layers);
    // Also where an expert is unplaced: it gets a slot, and nothing else moves.
    let made = update(&[1, 2, 3, 1, 2, 3], 6, free);
    assert_eq!(made.layers[1].copies, 1);
    assert!(made.layers[0].copies > 1);
    // Whatever could be better if all loads were equal: 2 or 3 on both GPUs.
    let empty = MigrationOptions { fill: false, ..free };
    assert!(update(&[0, 1, 2, 3, -1, -1], 6, empty).layers[1].kept);
    assert_eq!(update(&[1, 2, 3, 1, -1, -1], 6, empty).layers[1].copies, 1);
}

/// The heavy expert gets a second replica, whichever slot is empty beside it.
#[test]
fn a_busy_gpu_with_an_empty_slot_gets_help() {
    let one = MigrationOptions { max_moves: MoveLimit::Number(1), fill: false, ..NOTHING };
    for held in [[-1, 0, 1], [0, -1, 1], [0, 1, -1], [-1, 1, 0], [1, -1, 0], [1, 0, -1]] {
        let made = update(&[&held[..], &[2, 3, -1]].concat(), 6, one);
        assert_eq!(rows(&made).0, [&held[..], &[2, 3, 0]].concat());
    }
}

#[test]
fn a_plan_has_the_objective_of_the_update_that_keeps_it() {
    let (history, topology) = (history([90, 10, 10, 10]), topology(6));
    let plan = replan(&history, &topology, None, NOTHING, 1).unwrap();
    let held = plan.placement.phy2log();
    let previous = Previous { phy2log: held, cluster: topology.cluster() };
    let kept = replan(&history, &topology, Some(previous), NOTHING, 1).unwrap();
    for (planned, kept) in plan.layers.iter().zip(&kept.layers) {
        assert!(planned.objective[0] > 0 && kept.kept);
        assert_eq!(planned.objective, kept.objective);
    }
}

/// Three GPUs become two. Every expert has a replica left, so nothing has to move; but as after a shift,
/// more may.
#[test]
fn gpus_that_lose_replicas_may_take_what_comes_after_a_shift() {
    let held = [0, 1, 2, 3, 0, 1, 3, 1, 2].repeat(2);
    let cluster = Cluster::uniform(3, 3, 1).unwrap();
    let previous = Previous { phy2log: &held, cluster: &cluster };
    let options = MigrationOptions { max_moves_after_shift: MoveLimit::Number(9), ..NOTHING };
    let history = history([90, 10, 10, 80]);
    let made = |options, topology: &Topology, previous| {
        replan(&history, topology, Some(previous), options, 1).unwrap().layers[0].copies
    };
    assert!(made(options, &topology(6), previous) > 0);
    assert_eq!(made(NOTHING, &topology(6), previous), 0);
    // On as many GPUs the usual limit holds.
    let (left, cluster) = ([&held[..6], &held[9..15]].concat(), Cluster::uniform(2, 3, 1).unwrap());
    let previous = Previous { phy2log: &left, cluster: &cluster };
    assert_eq!(made(options, &topology(6), previous), 0);
}

/// A group that was on both nodes leaves one of them, and more may move then.
#[test]
fn groups_that_are_shared_out_anew_may_take_what_comes_after_a_shift() {
    let sizes = Sizes { num_experts: 4, num_replicas: 8, num_groups: 2, num_nodes: 2, num_gpus: 4 };
    let topology = Topology::new(sizes).unwrap();
    let cluster = Cluster::uniform(4, 2, 2).unwrap();
    // Expert 0 is on node 1 too.
    let held = [0, 1, 0, 1, 2, 3, 2, 0].repeat(2);
    let previous = Previous { phy2log: &held, cluster: &cluster };
    let made = |most| {
        let options = MigrationOptions {
            max_moves_after_shift: MoveLimit::Number(most),
            fill: false,
            ..NOTHING
        };
        replan(&history([9, 9, 50, 7]), &topology, Some(previous), options, 1).unwrap()
    };
    assert_eq!(made(0).placement.phy2log()[..8], [0, 1, 0, 1, 2, 3, 2, -1]);
    assert!(made(8).layers[0].objective[1] <= made(0).layers[0].objective[1]);
    assert!(made(8).layers[0].copies > 0);
}
