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
}
