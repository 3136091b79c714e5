//! The parts against naive ones, and the invariants of a search.

use std::ops::Range;

use super::complete::complete;
use super::exhaustive::Exhaustive;
use super::fleet::Fleet;
use super::groups;
use super::objective::{Objective, mean_and_deviation, potential, potential_of_any, power, slope};
use super::previous::Previous;
use super::screen::Screen;
use super::search::{Limits, MoveFinder, Step, improve};
use super::slot::EMPTY;
use super::state::{Move, State};
use super::{cold, repair};
use crate::error::Place;
use crate::problem::cluster::Cluster;
use crate::problem::history::layer::{HistoryOptions, LayerHistory, MAX_WEIGHT, ONE, shares};
use crate::problems::{ROW_KINDS, SplitMix64, row};

/// Canonical loads of a row of any kind.
fn window(stream: &mut SplitMix64, experts: usize) -> Vec<u64> {
    let kind = stream.below(ROW_KINDS);
    let loads = row(stream, kind, experts);
    let loads = crate::CanonicalLoads::new(&loads, 1, experts).expect("good loads");
    loads.row(0).to_vec()
}

/// A history with at least one row.
fn history(stream: &mut SplitMix64, experts: usize) -> LayerHistory {
    let rows = 3 + stream.below(6) as u32;
    let options = HistoryOptions { rows, ..HistoryOptions::default() };
    let mut history = LayerHistory::of_equal_loads(experts);
    for _ in 0..stream.below(12) {
        history.observe(&window(stream, experts), options);
    }
    history
}

fn gpus(num_gpus: usize, slots_per_gpu: usize) -> Cluster {
    Cluster::equal(num_gpus, slots_per_gpu, 1)
}

#[allow(clippy::single_range_in_vec_init, reason = "one zone is one range")]
fn one_zone(experts: usize, slots: Vec<Range<usize>>) -> Fleet {
    let zones = vec![0..slots.len()];
    Fleet::from_ranges(experts, 1, slots, zones)
}

/// Equal or unequal GPUs in one zone, with room for every expert once.
fn fleet(stream: &mut SplitMix64) -> Fleet {
    let most = if stream.below(8) == 0 { 80 } else { 6 };
    let gpus = stream.up_to(most) as usize;
    let experts = 2 + stream.below(22) as usize;
    let most = experts.div_ceil(gpus);
    let mut slots = Vec::new();
    let mut end = 0;
    for _ in 0..gpus {
        let count = (most + stream.below(3) as usize).min(experts);
        slots.push(end..end + count);
        end += count;
    }
    let fleet = one_zone(experts, slots);
    if stream.below(3) > 0 {
        return fleet;
    }
    let speeds: Vec<u64> = (0..gpus).map(|_| 1 + stream.below(5)).collect();
    fleet.with_speeds(&speeds)
}

fn start<'a>(fleet: &'a Fleet, history: &LayerHistory) -> State<'a, 8> {
    let weights = history.planning_weights();
    let objective = Objective::<8>::new(history, &weights, fleet.mean_gpus());
    let expected = mean_and_deviation(history, &weights);
    let (slots, zones) = cold::place(fleet, &objective, &expected);
    assert_valid(fleet, &slots);
    assert!(!slots.contains(&EMPTY), "a slot is empty: {slots:?}");
    State::new(fleet, &objective, slots, zones)
}

/// Every expert has a slot, and no GPU holds one twice.
fn assert_valid(fleet: &Fleet, slots: &[u16]) {
    for expert in 0..fleet.experts() as u16 {
        assert!(slots.contains(&expert), "expert {expert} has no slot");
    }
    for gpu in 0..fleet.gpus() {
        let mut held: Vec<u16> =
            slots[fleet.slots(gpu)].iter().copied().filter(|&expert| expert != EMPTY).collect();
        held.sort_unstable();
        assert!(held.windows(2).all(|pair| pair[0] != pair[1]), "GPU {gpu} holds an expert twice");
    }
}

/// Slots that get an expert which their GPU did not hold.
fn arrivals(old: &[u16], new: &[u16], fleet: &Fleet) -> usize {
    let arrived = |&slot: &usize| {
        let held = &old[fleet.slots(fleet.gpu_of(slot))];
        new[slot] != EMPTY && !held.contains(&new[slot])
    };
    (0..fleet.num_slots()).filter(arrived).count()
}

fn assert_same<const N: usize>(state: &State<'_, N>, fresh: &State<'_, N>) {
    assert_eq!(state.load, fresh.load);
    assert_eq!(state.potential, fresh.potential);
    assert_eq!(state.replicas, fresh.replicas);
    assert_eq!(state.share, fresh.share);
    for gpu in 0..state.fleet.gpus() {
        for expert in 0..state.fleet.experts() as u16 {
            let held = state.slots[state.fleet.slots(gpu)].contains(&expert);
            assert_eq!(state.holds(gpu, expert), held);
        }
    }
}

#[test]
fn shares_are_exact_quotients() {
    let mut stream = SplitMix64(1);
    for _ in 0..2000 {
        let experts = 1 + stream.below(40) as usize;
        let loads = window(&mut stream, experts);
        let total: u64 = loads.iter().sum();
        let exact = |&load: &u64| ((u128::from(load) << 30) / u128::from(total)) as u32;
        let expected = (total > 0).then(|| loads.iter().map(exact).collect::<Vec<_>>());
        assert_eq!(shares(&loads), expected);
    }
    for total in [1, 2, 3, (1 << 41) - 1, 1 << 39] {
        assert_eq!(shares(&[0, total]), Some(vec![0, 1 << 30]));
    }
}

#[test]
fn powers_rise_and_fit() {
    let mut last = 0;
    for x in 0..1 << 20 {
        let rounded = power(x);
        let exact = ((u128::from(x).pow(4) >> 20) + 1).pow(2) >> 72;
        assert!(rounded >= last && u128::from(rounded) <= exact);
        last = rounded;
    }
    assert!((1 << 47..1 << 48).contains(&last));
    assert_eq!((power(1 << 16), power(1 << 18)), (1 << 16, 1 << 32));
    assert_eq!((slope(1 << 16), slope(1 << 17)), (1 << 16, 1 << 23));
    assert_eq!(potential(&[(1 << 20) - 1; 32]), 32 * last);
    assert_eq!(potential_of_any(&[(1 << 20) - 1, 1 << 20]), 2 * last + (1 << 26));
    assert_eq!(potential_of_any(&[1 << 20]), last + (1 << 26));
    assert!(potential_of_any(&[u32::MAX; 32]) > potential_of_any(&[u32::MAX - 1; 32]));
}

#[test]
fn weights_of_a_history_without_decay_end_at_the_largest() {
    let options = HistoryOptions { rows: 3, decay: 65536 };
    let mut layer = LayerHistory::default();
    for step in 0..40_000_u64 {
        layer.observe(&[1 << 39, 1 << 39], options);
        assert!(layer.rows().len() <= 3, "window {step}");
    }
    let weights = layer.state().weights;
    assert_eq!(weights, [MAX_WEIGHT, ONE, ONE]);
    let weights = layer.planning_weights();
    Objective::<4>::new(&layer, &weights, 1 << 20);
}

/// With the most GPUs, and the largest weight: whatever a GPU gets, its load is below 2^32.
#[test]
fn all_loads_of_a_row_fit_together() {
    let options = HistoryOptions::default();
    let mut layer = LayerHistory::default();
    layer.observe(&[3 << 37, 1 << 37, 1 << 37, 1 << 37], options);
    let largest = Objective::<4>::new(&layer, &[MAX_WEIGHT], 1 << 20);
    let together = |replicas| {
        let shift = largest.shift_of_shares(&[replicas; 4]);
        let all: u64 = largest.shifted(shift).iter().map(|cells| u64::from(cells[0])).sum();
        (shift, all)
    };
    let (shift, all) = together(1 << 18);
    assert!(shift > 0 && (1 << 31..1 << 32).contains(&all), "{all} after {shift}");
    assert_eq!(together(1 << 20), (shift, all));
    let (shift, all) = together(1);
    assert!((1 << 18..1 << 20).contains(&all), "{all} after {shift}");
    let few = Objective::<4>::new(&layer, &[MAX_WEIGHT], 1 << 14);
    assert_eq!(few.shift_of_shares(&[1 << 13; 4]), 0);
}

#[test]
fn loads_are_halved_until_every_replica_has_less_than_four_times_the_mean() {
    // One expert has all the load of 4 GPUs, in two windows.
    let mut layer = LayerHistory::default();
    for _ in 0..2 {
        layer.observe(&[7, 0], HistoryOptions::default());
    }
    let objective = Objective::<4>::new(&layer, &[ONE; 2], 4);
    let shift = |replicas| objective.shift_of_shares(&[replicas, 1]);
    assert_eq!([0, 1, 2, 3].map(shift), [1, 1, 0, 0]);
}

#[test]
fn loads_that_are_too_large_have_no_headroom_and_no_gain() {
    let fleet = one_zone(4, vec![0..2, 2..4]);
    let objective = Objective::<4>::new(&LayerHistory::of_equal_loads(4), &[ONE], 2);
    let state = |slots: [u16; 4], loads: [u32; 4]| {
        let mut state = State::new(&fleet, &objective, slots.to_vec(), vec![0; 4]);
        let has_headroom = state.set_loads(loads.map(|load| [load, 0, 0, 0]).to_vec());
        (state, has_headroom)
    };
    let large = 1 << 18;
    assert!(state([0, 1, 2, 3], [large - 1, 0, large - 1, 0]).1);
    assert!(!state([0, 1, 2, 3], [large, 0, large, 0]).1);
    // A GPU would get a load of 2^20, of which the power does not fit.
    let (apart, _) = state([0, 1, 2, 3], [1 << 19, 1, 1 << 19, 1]);
    assert_eq!([Move::Swap(1, 2), Move::Swap(0, 3)].map(|step| apart.gain(step)), [None; 2]);
    let (shared, _) = state([0, 1, 0, 2], [1 << 20, 1, 0, 0]);
    assert_eq!(shared.gain(Move::Reassign(0, 3)), None);
}

#[test]
fn every_step_gains_what_it_says_and_leaves_a_valid_placement() {
    let mut stream = SplitMix64(2);
    // Of GPUs that are equally fast, and of others: swaps and reassignments.
    let mut steps_seen = [[0; 2]; 2];
    for _ in 0..150 {
        let fleet = fleet(&mut stream);
        let history = history(&mut stream, fleet.experts());
        let mut state = start(&fleet, &history);
        // Away from the good placement: the experts change names.
        let turn = 1 + stream.below(fleet.experts() as u64 - 1) as u16;
        let experts = fleet.experts() as u16;
        let slots: Vec<u16> = (state.slots.iter())
            .map(|&expert| if expert == EMPTY { EMPTY } else { (expert + turn) % experts })
            .collect();
        let weights = history.planning_weights();
        let objective = Objective::<8>::new(&history, &weights, fleet.gpus());
        state = State::new(&fleet, &objective, slots, vec![0; experts.into()]);
        let mut replay = state.clone();
        let mut screen = Screen::new(&state);
        let limits = Limits { copies: 1 + stream.below(60), price: stream.below(2000) as u32 };
        let steps = improve(&mut state, &mut screen, limits);
        assert!(steps.iter().map(|step| step.copies).sum::<u64>() <= limits.copies);
        for Step { action, copies, gain, before } in steps {
            assert_eq!((replay.total(), replay.copies(action)), (before, copies));
            assert_eq!(replay.gain(action), Some(gain));
            let kind = usize::from(matches!(action, Move::Reassign(..)));
            steps_seen[usize::from(fleet.is_even())][kind] += 1;
            replay.apply(action);
            assert_eq!(replay.total(), before - gain);
            assert_valid(&fleet, &replay.slots);
            assert!(replay.load.iter().flatten().all(|&load| load < 1 << 20));
        }
        assert_eq!(replay.slots, state.slots);
        // What was updated move by move is what is made anew from the slots.
        let mut anew = state.clone();
        assert!(anew.set_loads(state.whole().to_vec()) || anew.total() < 1 << 47);
        assert_same(&state, &anew);
        let mut made_anew = Screen::new(&state);
        for gpu in 0..fleet.gpus() {
            let best = MoveFinder::best_move(&mut made_anew, &state, gpu, [1; 3]);
            assert_eq!(MoveFinder::best_move(&mut screen, &state, gpu, [1; 3]), best);
        }
    }
    assert!(steps_seen.iter().flatten().all(|&seen| seen > 30), "{steps_seen:?}");
}

/// A GPU with the load 1 has the slope 1, and all others in proportion: of speeds, the least over the
/// largest.
#[test]
fn slopes_count_by_the_speeds() {
    let even = one_zone(4, vec![0..2, 2..4]);
    let uneven = one_zone(4, vec![0..2, 2..4]).with_speeds(&[3, 12]);
    for fleet in [&even, &uneven] {
        assert_eq!(fleet.slopes(0, &[1 << 16]), [fleet.slope(1 << 16)]);
    }
    assert_eq!((even.slope(1 << 16), uneven.slope(1 << 16)), (1 << 16, 1 << 14));
    assert_eq!(uneven.slopes(1, &[1 << 18]), [1 << 14]);
}

/// As much time on every GPU, and not more load on none.
#[test]
fn the_sum_of_potentials_is_least_where_times_are_equal() {
    let speeds = [7_u64, 10, 13, 20];
    let fleet = one_zone(4, vec![0..1, 1..2, 2..3, 3..4]).with_speeds(&speeds);
    let total = |loads: [u64; 4]| -> u64 {
        (0..4).map(|gpu| fleet.potential(gpu, &[loads[gpu] as u32])).sum()
    };
    let even = speeds.map(|speed| speed * 10_000);
    for from in 0..4 {
        for to in (0..4).filter(|&to| to != from) {
            for moved in [500, 3000, 20_000] {
                let mut other = even;
                other[from] -= moved;
                other[to] += moved;
                assert!(total(even) < total(other), "{moved} from {from} to {to}");
            }
        }
    }
}

#[test]
fn estimates_find_almost_what_the_exact_search_finds() {
    let mut stream = SplitMix64(3);
    let mut ratios = 0;
    for _ in 0..60 {
        let fleet = one_zone(24, (0..6).map(|gpu| gpu * 6..gpu * 6 + 6).collect());
        let history = history(&mut stream, 24);
        let start = start(&fleet, &history);
        let limits = Limits { copies: 100, price: 0 };
        let (mut fast, mut exact) = (start.clone(), start);
        let mut screen = Screen::new(&fast);
        improve(&mut fast, &mut screen, limits);
        improve(&mut exact, &mut Exhaustive, limits);
        ratios += fast.total() * 1000 / exact.total();
    }
    // Eighth powers: 3 % is about 0.4 % of the busiest GPU.
    assert!(ratios < 60 * 1030, "{ratios}");
}

#[test]
fn lost_experts_get_a_slot_each() {
    let mut stream = SplitMix64(4);
    for round in 0..200 {
        let fleet = fleet(&mut stream);
        let history = history(&mut stream, fleet.experts());
        let mut slots = start(&fleet, &history).slots;
        let lost = stream.below(fleet.gpus() as u64) as usize;
        for slot in fleet.slots(lost) {
            slots[slot] = EMPTY;
        }
        let weights = history.planning_weights();
        let objective = Objective::<8>::new(&history, &weights, fleet.mean_gpus());
        let expected = mean_and_deviation(&history, &weights);
        let zones = vec![0; fleet.experts()];
        let state = State::new(&fleet, &objective, slots.clone(), zones.clone());
        let unplaced = state.replicas.iter().filter(|&&count| count == 0).count();
        // All slots of the lost GPU, or none, or some of them.
        let empty: Vec<usize> = match round % 3 {
            0 => fleet.slots(lost).collect(),
            1 => Vec::new(),
            _ => fleet.slots(lost).step_by(2).collect(),
        };
        let fill = round % 2 == 0;
        let (mut after, room) = repair::make_room(&state, &expected, &empty, fill);
        assert_eq!(room.len(), if fill { unplaced.max(empty.len()) } else { unplaced });
        complete(&fleet, &objective, &expected, &zones, &mut after, &room);
        assert_valid(&fleet, &after);
        assert!(room.iter().all(|&slot| after[slot] != EMPTY));
        assert!(arrivals(&slots, &after, &fleet) >= unplaced);
    }
}

/// The expected load of each expert.
fn of(expected: &[u64]) -> impl Fn(u16) -> u64 {
    |expert| expected[expert as usize]
}

#[test]
fn replicas_that_are_worth_least_are_given_up() {
    let fleet = one_zone(5, vec![0..3, 3..6]);
    let history = LayerHistory::of_equal_loads(5);
    let objective = Objective::<4>::new(&history, &[ONE], 2);
    let room = |slots: [u16; 6], expected: [u64; 5], empty: &[usize], fill| {
        let state = State::new(&fleet, &objective, slots.to_vec(), vec![0; 5]);
        repair::make_room(&state, of(&expected), empty, fill)
    };
    // The lighter of 0 and 2, in the first slot of GPUs with equal load.
    let slots = [0, 1, 2, 0, 2, 3];
    assert_eq!(room(slots, [9, 1, 8, 1, 1], &[], true), (vec![0, 1, EMPTY, 0, 2, 3], vec![2]));
    assert_eq!(room(slots, [8, 1, 9, 1, 1], &[], true), (vec![EMPTY, 1, 2, 0, 2, 3], vec![0]));
    // On the GPU with more load.
    let slots = [0, 2, EMPTY, 0, 1, 2];
    assert_eq!(
        room(slots, [9, 1, 8, 1, 1], &[2], true),
        (vec![0, 2, EMPTY, 0, 1, EMPTY], vec![2, 5])
    );
    // Nobody gives up the last one, not even an expert without load.
    let slots = [0, 1, 2, 0, 1, 2];
    assert_eq!(
        room(slots, [0, 9, 9, 1, 1], &[], false),
        (vec![EMPTY, EMPTY, 2, 0, 1, 2], vec![0, 1])
    );
    // First what is empty, then what is empty but for a second replica.
    let slots = [0, 1, EMPTY, EMPTY, 2, 3];
    assert_eq!(room(slots, [1; 5], &[3], false), (slots.to_vec(), vec![3]));
    assert_eq!(room(slots, [1; 5], &[2, 3], false), (slots.to_vec(), vec![2]));
    assert_eq!(room(slots, [1; 5], &[2, 3], true), (slots.to_vec(), vec![2, 3]));
    assert_eq!(room([0, 1, EMPTY, 2, 1, EMPTY], [1; 5], &[5], true).1, [2, 5]);
}

/// Slots `room` of these, completed for these loads.
fn completed<const E: usize>(
    fleet: &Fleet,
    loads: [u64; E],
    slots: &[u16],
    room: &[usize],
) -> Vec<u16> {
    let mut history = LayerHistory::default();
    history.observe(&loads.map(|load| load << 30), HistoryOptions::default());
    let weights = history.planning_weights();
    let objective = Objective::<8>::new(&history, &weights, fleet.gpus());
    let expected = mean_and_deviation(&history, &weights);
    let mut slots = slots.to_vec();
    complete(fleet, &objective, &expected, &vec![0; fleet.experts()], &mut slots, room);
    slots
}

#[test]
fn empty_slots_get_what_the_placement_lacks() {
    // Expert 3 has no replica. Expert 0 is the heaviest, and goes where it is not yet.
    let fleet = one_zone(4, vec![0..2, 2..4, 4..6]);
    let slots = [0, EMPTY, 1, EMPTY, EMPTY, 2];
    assert_eq!(completed(&fleet, [400, 30, 2, 1], &slots, &[1, 3, 4]), [0, 3, 1, 0, 0, 2]);
    // Only where there is room: there the expert with the heaviest replicas is 1, for 0 is everywhere.
    let fleet = one_zone(3, vec![0..2, 2..4, 4..6]);
    let slots = [0, EMPTY, 0, EMPTY, 0, 2];
    assert_eq!(completed(&fleet, [40, 3, 1], &slots, &[3]), [0, EMPTY, 0, 1, 0, 2]);
}

#[test]
fn what_has_come_makes_room_for_an_expert_that_all_gpus_with_room_hold() {
    // Expert 1 comes to GPU 0 first, and gives its slot there to 0, which is on GPU 1 already.
    let fleet = one_zone(3, vec![0..2, 2..4]);
    assert_eq!(completed(&fleet, [10, 8, 1], &[2, EMPTY, 0, EMPTY], &[1, 3]), [2, 0, 0, 1]);
}

#[test]
fn what_was_there_makes_no_room() {
    // Expert 0 should have a second replica, but its GPU alone has room: for the heavier of 1 and 2.
    let fleet = one_zone(3, vec![0..2, 2..4]);
    assert_eq!(completed(&fleet, [10, 1, 2], &[0, EMPTY, 1, 2], &[1]), [0, 2, 1, 2]);
    assert_eq!(completed(&fleet, [10, 2, 2], &[0, EMPTY, 1, 2], &[1]), [0, 1, 1, 2]);
    // The load of 1 is 3, but of each of its replicas 1.5.
    let fleet = one_zone(4, vec![0..3, 3..6, 6..9]);
    let slots = [1, EMPTY, EMPTY, 0, 3, EMPTY, 1, 0, 2];
    assert_eq!(completed(&fleet, [30, 3, 2, 9], &slots, &[5])[5], 2);
}

#[test]
fn slots_that_moves_left_empty_get_back_what_their_gpu_held() {
    let fleet = one_zone(6, vec![0..3, 3..6]);
    let back = |slots: [u16; 6], start: [u16; 6]| {
        let mut slots = slots;
        repair::bring_back(&mut slots, &start, &fleet);
        slots
    };
    assert_eq!(back([0, EMPTY, 2, 3, 4, 1], [0, 1, 2, 3, 4, EMPTY]), [0, 1, 2, 3, 4, 1]);
    // Another one, if the slot's own has another slot of the GPU.
    assert_eq!(back([0, EMPTY, 1, 3, 4, 2], [0, 1, 2, 3, 4, EMPTY]), [0, 2, 1, 3, 4, 2]);
    assert_eq!(back([0, 1, 2, 3, 4, EMPTY], [0, 1, 2, 3, 4, EMPTY]), [0, 1, 2, 3, 4, EMPTY]);
    // What it held twice, last.
    assert_eq!(back([0, EMPTY, 1, 3, EMPTY, EMPTY], [0, 0, 1, 3, 3, 4]), [0, 0, 1, 3, 4, 3]);
    assert_eq!(back([EMPTY, 0, EMPTY, 3, 4, 5], [1, 0, 1, 3, 4, 5]), [1, 0, 1, 3, 4, 5]);
}

#[test]
fn experts_that_stay_keep_their_slots() {
    let fleet = one_zone(9, vec![0..4, 4..8]);
    let old = [0, 1, 2, EMPTY, 4, 5, 6, 7];
    let cluster = gpus(2, 4);
    let previous = Previous { phy2log: &[0, 1, 2, -1, 4, 5, 6, 7], cluster: &cluster };
    let mut new = [2, 3, 0, EMPTY, 7, 6, 8, 5];
    previous.align(0, &fleet, &mut new);
    assert_eq!(new, [0, 3, 2, EMPTY, 8, 5, 6, 7]);
    assert_eq!(arrivals(&old, &new, &fleet), 2);
    let mut fuller = [3, 2, 1, 0, 4, 5, 6, 7];
    previous.align(0, &fleet, &mut fuller);
    assert_eq!(fuller, [0, 1, 2, 3, 4, 5, 6, 7]);
    // Second replicas too.
    let mut doubled = [3, 1, 0, 1, 4, 5, 6, 7];
    let previous = Previous { phy2log: &[1, 0, 1, 2, 4, 5, 6, 7], cluster: &cluster };
    previous.align(0, &fleet, &mut doubled);
    assert_eq!(doubled, [1, 0, 1, 3, 4, 5, 6, 7]);
    // On GPUs with fewer slots too: what comes from a slot that is lost goes where there is room.
    let smaller = one_zone(9, vec![0..3, 3..6]);
    let mut new = [1, 3, 0, 7, 4, 8];
    let cluster = gpus(2, 4);
    let previous = Previous { phy2log: &[0, 1, 2, 3, 4, 5, 6, 7], cluster: &cluster };
    previous.align(0, &smaller, &mut new);
    assert_eq!(new, [0, 1, 3, 4, 7, 8]);
}

/// An expert in a slot that its GPU loses is there: to keep it, or to bring it back, is no copy.
#[test]
fn what_a_gpu_holds_in_a_slot_that_it_loses_is_no_copy() {
    let fleet = one_zone(4, vec![0..2, 2..4]);
    let cluster = gpus(2, 3);
    let previous = Previous { phy2log: &[0, 1, 3, 3, 2, 0], cluster: &cluster };
    let held = previous.slots(0, &fleet).expect("experts are known");
    assert_eq!(held, [0, 1, 3, 2]);
    assert_eq!(previous.copies(0, &fleet, &held), 0);
    assert_eq!(previous.copies(0, &fleet, &[0, 3, 3, 0]), 0);
    assert_eq!(previous.copies(0, &fleet, &[2, 1, 1, EMPTY]), 2);
    let cluster = gpus(1, 2);
    let smaller = Previous { phy2log: &[0, 1], cluster: &cluster };
    assert_eq!(smaller.copies(0, &fleet, &[1, 2, 0, 1]), 3);
    // GPUs with one slot, one of them empty.
    let fleet = one_zone(4, vec![0..1, 1..2, 2..3]);
    let previous = Previous { phy2log: &[0, 1, -1], cluster: &gpus(3, 1) };
    assert_eq!(previous.copies(0, &fleet, &[0, 1, EMPTY]), 0);
    assert_eq!(previous.copies(0, &fleet, &[2, 3, 0]), 3);
}

#[test]
fn a_gpu_with_fewer_slots_keeps_experts_that_have_no_other_replica() {
    let fleet = one_zone(5, vec![0..2, 2..4]);
    let slots = |phy2log: &[i64]| {
        let previous = Previous { phy2log, cluster: &gpus(2, 3) };
        previous.slots(0, &fleet).expect("experts are known")
    };
    // In the last slot that is empty or has an expert with another replica, if there is one.
    assert_eq!(slots(&[0, 1, 2, 0, 1, -1]), [0, 2, 0, 1]);
    assert_eq!(slots(&[-1, 1, 2, 0, 3, 4]), [2, 1, 0, 3]);
    assert_eq!(slots(&[0, 0, 1, 2, 3, 1]), [0, 1, 2, 3]);
    // An expert with a replica elsewhere goes, also where there is an empty slot.
    assert_eq!(slots(&[0, -1, 2, 2, 3, 4]), [0, EMPTY, 2, 3]);
    // One replica of expert 0 stays, also if it is the one that could go.
    assert_eq!(slots(&[0, 1, 2, 0, 3, 4]), [2, 1, 0, 3]);
}

#[test]
fn second_replicas_of_other_zones_are_no_replicas() {
    // Two groups of two experts on two nodes of one GPU.
    let fleet = Fleet::from_ranges(4, 2, vec![0..3, 3..6], vec![0..1, 1..2]);
    let cluster = gpus(2, 3);
    let previous = Previous { phy2log: &[0, 2, 2, 2, 3, 3], cluster: &cluster };
    let zones = [0, 0, 1, 1];
    let mut slots = [0, 1, EMPTY, 2, 3, EMPTY];
    assert_eq!(previous.empty_slots(0, &fleet, &slots, &zones), [2]);
    previous.restore_duplicates(0, &fleet, &mut slots, &zones);
    assert_eq!(slots, [0, 1, EMPTY, 2, 3, 3]);
}

#[test]
fn the_expert_that_loses_least_gives_up_a_replica() {
    // Expert 0 has 30 / 3 after it, expert 1 has 12 / 1.
    let fleet = one_zone(4, vec![0..4, 4..8]);
    let mut history = LayerHistory::default();
    history.observe(&[30, 12, 1, 1], HistoryOptions::default());
    let objective = Objective::<4>::new(&history, &history.planning_weights(), 2);
    let held = vec![0, 0, 1, 2, 0, 0, 1, 2];
    let state = State::new(&fleet, &objective, held, vec![0; 4]);
    let (slots, room) = repair::make_room(&state, of(&[30, 12, 1, 1]), &[], false);
    assert_eq!(slots.iter().filter(|&&expert| expert == 2).count(), 1);
    assert_eq!(room.len(), 1);
    let (slots, room) = repair::make_room(&state, of(&[30, 12, 100, 1]), &[], false);
    assert_eq!(slots.iter().filter(|&&expert| expert == 0).count(), 3);
    assert_eq!(slots[room[0]], EMPTY);
}

#[test]
fn sizes_of_a_previous_placement_are_checked() {
    let layers = |entries: usize, num_gpus, slots| {
        Previous { phy2log: &vec![0; entries], cluster: &gpus(num_gpus, slots) }.layers().ok()
    };
    assert_eq!([layers(6, 2, 3), layers(12, 3, 2), layers(6, 6, 1)], [Some(1), Some(2), Some(1)]);
    for (entries, num_gpus, slots) in [(0, 2, 3), (7, 2, 3), (6, 4, 2)] {
        assert_eq!(layers(entries, num_gpus, slots), None);
    }
}

#[test]
fn groups_stay_on_the_nodes_that_hold_them() {
    // 4 groups of 2 experts on 2 nodes of one GPU each.
    let fleet = Fleet::from_ranges(8, 4, vec![0..4, 4..8], vec![0..1, 1..2]);
    let zones = |slots: [u16; 8]| groups::of_placement(&slots, &fleet);
    let first = Some(vec![1, 1, 0, 0, 0, 0, 1, 1]);
    assert_eq!(zones([2, 3, 4, 5, 6, 7, 0, 1]), first);
    // A group that is nowhere goes where there is room: node 1, and then both where there is most.
    assert_eq!(zones([2, 3, 4, 5, EMPTY, EMPTY, 0, 1]), first);
    assert_eq!(zones([2, EMPTY, EMPTY, EMPTY, 0, 1, 6, 7]), first);
    assert_eq!(zones([EMPTY; 8]), Some(vec![0, 0, 1, 1, 0, 0, 1, 1]));
    // Groups on two nodes, and a node with three groups.
    assert_eq!(zones([2, 3, 4, 5, EMPTY, EMPTY, EMPTY, 4]), None);
    assert_eq!(zones([2, 3, 4, 5, 3, 7, 0, 1]), None);
    assert_eq!(zones([0, 2, 4, 5, 6, 7, EMPTY, EMPTY]), None);
}

#[test]
fn groups_that_are_shared_out_anew_stay_if_they_can() {
    let fleet = Fleet::from_ranges(8, 4, vec![0..4, 4..8], vec![0..1, 1..2]);
    let mut history = LayerHistory::default();
    history.observe(&[4, 3, 1, 1, 1, 1, 3, 2], HistoryOptions::default());
    let objective = Objective::<4>::new(&history, &history.planning_weights(), 2);
    // By load: groups 0 and 1 or 2, and the others.
    let anew = groups::by_load(&fleet, &objective);
    assert_eq!(anew, [0, 0, 1, 1, 0, 0, 1, 1]);
    let near = |slots: [u16; 8]| groups::near_placement(&slots, &fleet, &objective);
    assert_eq!(near([0, 1, 2, 3, 4, 5, 6, 7]), anew);
    assert_eq!(near([2, 3, 6, 7, 0, 1, 3, 5]), [1, 1, 0, 0, 1, 1, 0, 0]);
}

#[test]
fn unknown_experts_are_refused_where_they_are() {
    let fleet = one_zone(5, vec![0..2, 2..4]);
    for expert in [5, 65_535, -2, i64::MAX, i64::MIN] {
        // Also on a GPU that is there no more.
        let phy2log = [0, 1, 2, 3, 4, -1, 0, 1, 2, 3, 4, expert];
        let previous = Previous { phy2log: &phy2log, cluster: &gpus(3, 2) };
        assert!(previous.slots(0, &fleet).is_ok());
        let error = previous.slots(1, &fleet).expect_err("there are experts 0 to 4");
        assert_eq!(error.place(), Place::slot(1, 5));
        assert!(error.to_string().contains(&format!("unknown expert {expert};")), "{error}");
    }
}
