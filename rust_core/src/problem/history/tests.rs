//! What is remembered, and histories from plain numbers.

use super::layer::{HistoryOptions, LayerHistory, LayerState, MAX_WEIGHT};
use super::{HistoryState, LoadHistory};
use crate::CanonicalLoads;

const OPTIONS: HistoryOptions = HistoryOptions { rows: 3, decay: 60_000 };
const EXPERTS: usize = 14;

/// Windows that have nothing in common: as many rows and distances as there can be. The second layer has
/// seen nothing.
fn seen() -> LoadHistory {
    let mut history = LoadHistory::new(2, EXPERTS, OPTIONS).unwrap();
    for heavy in 0..EXPERTS - 1 {
        let mut loads = [0_u64; 2 * EXPERTS];
        loads[heavy] = 9;
        history.observe(&CanonicalLoads::new(&loads, 2, EXPERTS).unwrap(), 1).unwrap();
    }
    history
}

/// Every number is as large as it can be.
fn state() -> HistoryState {
    let mut state = seen().state();
    state.layers[0].weights[0] = MAX_WEIGHT;
    state.layers[0].usual = 1 << 31;
    state.newest[0].fill(0);
    state.newest[0][0] = (1 << 41) - 1;
    state
}

#[test]
fn a_history_comes_back_from_its_state() {
    let history = seen();
    assert_eq!(LoadHistory::from_state(history.state()), Ok(history));
    let state = state();
    let LayerState { rows, nearest, .. } = &state.layers[0];
    assert_eq!((rows.len(), nearest.len(), nearest[0]), (3, 12, 1 << 31));
    assert_eq!(rows[2].iter().sum::<u32>(), 1 << 30);
    let history = LoadHistory::from_state(state.clone()).unwrap();
    assert_eq!((history.options(), history.rows()), (OPTIONS, vec![3, 0]));
    assert_eq!(history.state(), state);
}

#[test]
fn an_empty_window_teaches_nothing() {
    let mut history = seen();
    let empty = CanonicalLoads::new(&[0_u64; 2 * EXPERTS], 2, EXPERTS).unwrap();
    history.observe(&empty, 1).unwrap();
    assert_eq!(history, seen());
}

#[test]
fn a_false_state_is_refused() {
    type Change = fn(&mut HistoryState);
    let changes: [(Change, &str); 16] = [
        (
            |state| state.layers[0].rows.push(vec![0; EXPERTS]),
            "layer 0: 4 rows with 3 weights; expected at most 3 rows, each with a weight",
        ),
        (
            |state| {
                state.layers[0].rows.push(vec![0; EXPERTS]);
                state.layers[0].weights.push(0);
            },
            "layer 0: 4 rows with 4 weights; expected at most 3 rows, each with a weight",
        ),
        (|state| state.layers[1].weights.push(0), "layer 1: 0 rows with 1 weights;"),
        (
            |state| state.layers[0].rows[2][0] += 1,
            "layer 0: row 2 has 14 shares of 1073741825 in all; expected 14 shares of at most 2^30",
        ),
        (|state| state.layers[0].rows[1].push(0), "layer 0: row 1 has 15 shares"),
        (
            |state| state.layers[0].weights[0] += 1,
            "layer 0: a weight of 2147483649; expected at most 2147483648",
        ),
        (
            |state| state.layers[0].nearest.push(1),
            "layer 0: 13 distances to the nearest row; expected at most 12 of at most 2^31 each",
        ),
        (|state| state.layers[0].nearest[0] += 1, "layer 0: 12 distances to the nearest row;"),
        (|state| state.layers[1].usual = (1 << 31) + 1, "layer 1: 0 distances to the nearest row;"),
        (
            |state| state.newest[0][1] += 1,
            "layer 0: a newest window of 14 loads; expected 14 canonical loads that sum to less than",
        ),
        (|state| state.newest[0][1] = u64::MAX, "layer 0: a newest window of 14 loads;"),
        (|state| state.newest[1].push(0), "layer 1: a newest window of 15 loads;"),
        (
            |state| state.newest.truncate(1),
            "2 layers; expected as many as windows, 1, and exponents, 2",
        ),
        (|state| state.exponents.push(0), "as many as windows, 2, and exponents, 3"),
        (|state| state.experts = 0, "a history of 2 layers x 0 experts; expected at least 1 x 1"),
        (|state| state.options.rows = 2, "rows=2 is out of range; expected 3 to 32"),
    ];
    for (change, message) in changes {
        let mut state = state();
        change(&mut state);
        let found = LoadHistory::from_state(state).unwrap_err().to_string();
        assert!(found.contains(message), "{found}");
    }
    let new = |layers, experts, options| LoadHistory::new(layers, experts, options).is_ok();
    assert!(new(1, 1, OPTIONS) && !new(0, 1, OPTIONS) && !new(1, 0, OPTIONS));
}

#[test]
fn threads_change_no_history() {
    let (layers, experts) = (4, 1024);
    let options = HistoryOptions { rows: 32, ..HistoryOptions::default() };
    let loads: Vec<u64> = (0..4 * 1024).map(|index| index * index % 1009).collect();
    let window = CanonicalLoads::new(&loads, layers, experts).unwrap();
    let seen = |threads| {
        let mut history = LoadHistory::new(layers, experts, options).unwrap();
        history.observe(&window, threads).unwrap();
        history
    };
    assert_eq!(seen(2), seen(1));
    assert_eq!(seen(1).newest().row(3), window.row(3));
}

#[test]
fn a_shift_is_more_than_three_times_the_usual_distance_away() {
    let mut layer = LayerHistory::default();
    let mut shifted = |load| {
        layer.observe(&[load, 1024 - load], HistoryOptions::default());
        layer.shifted()
    };
    // All are 1 apart, then one is 3 away, and one 4.
    assert_eq!(
        [500, 501, 502, 503, 506, 510].map(&mut shifted),
        [false, false, false, false, false, true]
    );
}
