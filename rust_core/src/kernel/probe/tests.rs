//! The peak never rises, at any step of any policy: told step by step, of generated problems.

use std::cmp::Ordering;

use super::{Peak, Probe, Silent, Step};
use crate::placement::tables::LayerTables;
use crate::problems::{SplitMix64, canonical, loads, sizes, topology};
use crate::published::{PublishedLayers, Rule};
use crate::replicate::Replication;

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(crate) struct Recorder(pub(crate) Vec<(Step, Peak)>);

impl Probe for Recorder {
    fn step(&mut self, step: Step, peak: impl FnOnce() -> Peak) {
        self.0.push((step, peak()));
    }
}

pub(crate) fn compare(a: Peak, b: Peak) -> Ordering {
    let product = |x: Peak, y: Peak| u128::from(x.load) * u128::from(y.replicas);
    product(a, b).cmp(&product(b, a))
}

/// What comes from one beginning to the next.
pub(crate) fn sequences(steps: &[(Step, Peak)]) -> impl Iterator<Item = &[(Step, Peak)]> {
    let begins = |step: Step| matches!(step, Step::Single | Step::Packed | Step::Trial);
    steps.chunk_by(move |_, next| !begins(next.0))
}

/// Fails if a step raised the peak; returns how many steps there were, and how many lowered it.
pub(crate) fn assert_never_rises(steps: &[(Step, Peak)]) -> (usize, usize) {
    let (mut all, mut lower) = (0, 0);
    for pair in sequences(steps).flat_map(|sequence| sequence.windows(2)) {
        let order = compare(pair[1].1, pair[0].1);
        assert!(order.is_le(), "{:?} raised the peak", pair[1].0);
        all += 1;
        lower += usize::from(order.is_lt());
    }
    (all, lower)
}

fn packs(step: Step, load: u64) -> (Step, Peak) {
    (step, Peak::of_bins(load))
}

#[test]
fn where_nobody_listens_no_peak_is_computed_and_nothing_kept() {
    Silent.step(Step::Swap, || panic!("a peak was computed"));
    assert_eq!(size_of::<Silent>(), 0);
}

#[test]
#[should_panic(expected = "a peak was computed")]
fn control_where_somebody_listens_it_is() {
    Recorder::default().step(Step::Swap, || panic!("a peak was computed"));
}

#[test]
#[should_panic(expected = "Swap raised the peak")]
fn control_a_step_that_raises_the_peak_is_seen() {
    assert_never_rises(&[packs(Step::Packed, 5), packs(Step::Swap, 5), packs(Step::Swap, 6)]);
}

#[test]
#[should_panic(expected = "Replica raised the peak")]
fn control_peaks_are_compared_as_fractions() {
    let replicas = |step, load, replicas| (step, Peak { load, replicas });
    assert_never_rises(&[replicas(Step::Single, 7, 2), replicas(Step::Replica, 11, 3)]);
}

#[test]
fn control_a_new_beginning_may_be_higher() {
    let steps = [packs(Step::Packed, 5), packs(Step::Swap, 4), packs(Step::Packed, 9)];
    assert_eq!(assert_never_rises(&steps), (1, 1));
}

/// The largest load per replica with one replica of each expert and one more for each of `appended`.
fn peak_of(loads: &[u64], appended: &[usize]) -> Peak {
    let mut counts = vec![1; loads.len()];
    for &expert in appended {
        counts[expert] += 1;
    }
    let shares = loads.iter().zip(counts).map(|(&load, replicas)| Peak { load, replicas });
    shares.max_by(|&a, &b| compare(a, b)).unwrap()
}

#[test]
fn copies_never_raise_the_peak_of_replication() {
    let mut stream = SplitMix64(21);
    let (mut all, mut lower) = (0, 0);
    for kind in 0..1500 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let loads = canonical(&loads(&mut stream, kind, 1, experts), experts);
        let redundant = (sizes.num_replicas - sizes.num_experts) as usize;
        for rule in [Rule::DeepSeek, Rule::Adaptive] {
            let mut replication = Replication::default();
            let mut recorder = Recorder::default();
            replication.start(loads.row(0));
            match rule {
                Rule::DeepSeek => replication.append_adams(redundant, &mut recorder),
                Rule::Adaptive => replication.append_adaptive(redundant, &mut recorder),
            }
            assert_eq!(recorder.0.len(), 1 + redundant);
            let expert = |&position: &u32| replication.expert[position as usize] as usize;
            let appended: Vec<usize> = replication.appended.iter().map(expert).collect();
            for (replicas, (step, told)) in recorder.0.iter().enumerate() {
                let expected = peak_of(loads.row(0), &appended[..replicas]);
                assert!(compare(*told, expected).is_eq(), "{told:?} instead of {expected:?}");
                assert_eq!(*step, if replicas == 0 { Step::Single } else { Step::Replica });
            }
            let counted = assert_never_rises(&recorder.0);
            (all, lower) = (all + counted.0, lower + counted.1);
        }
    }
    assert!(all > 20_000 && lower > 2000, "{all} steps, {lower} of them lowered the peak");
}

#[test]
fn swaps_never_raise_the_peak_of_bins() {
    let mut stream = SplitMix64(22);
    let (mut swaps, mut lower, mut packings) = (0, 0, 0);
    for kind in 0..1500 {
        let sizes = sizes(&mut stream);
        let (experts, slots) = (sizes.num_experts as usize, sizes.num_replicas as usize);
        let loads = canonical(&loads(&mut stream, kind, 1, experts), experts);
        let mut published = PublishedLayers::<Recorder>::default();
        let (mut phy2log, mut rank, mut logcnt) =
            (vec![0; slots], vec![0; slots], vec![0; experts]);
        let tables = LayerTables { phy2log: &mut phy2log, rank: &mut rank, logcnt: &mut logcnt };
        let topology = topology(&sizes);
        published.plan([loads.row(0)], &topology, Rule::Adaptive, [tables]);
        assert_never_rises(&published.probe.0);
        for sequence in sequences(&published.probe.0).filter(|s| s[0].0 == Step::Packed) {
            let counted = assert_never_rises(sequence);
            assert!(counted.0 <= 3, "two swaps, and one more where packs are uneven");
            (swaps, lower, packings) = (swaps + counted.0, lower + counted.1, packings + 1);
        }
        // Nodes are planned one after another; the last packing told is that of the last one.
        if let Some(last) = sequences(&published.probe.0).filter(|s| s[0].0 == Step::Packed).last()
        {
            let told = last[last.len() - 1].1.load;
            let gpus = topology.num_gpus() / topology.nodes();
            let last_node = &phy2log[slots - slots / topology.nodes()..];
            let share =
                |&e: &i64| crate::packing_load(loads.row(0)[e as usize], logcnt[e as usize] as u64);
            let carried = |gpu: &[i64]| gpu.iter().map(share).sum::<u64>();
            let peak = last_node.chunks(last_node.len() / gpus).map(carried).max();
            if gpus < last_node.len() {
                assert_eq!(peak, Some(told));
            }
        }
    }
    assert!(packings > 1500 && swaps > 500 && lower > 300, "{packings} {swaps} {lower}");
}

/// The reason why `adaptive` is judged by its GPUs, not by its replicas.
#[test]
fn not_true_a_tail_step_lowers_the_peak_like_adams() {
    let last_peak = |rule| {
        let mut replication = Replication::default();
        let mut recorder = Recorder::default();
        replication.start(&[1, 3]);
        match rule {
            Rule::DeepSeek => replication.append_adams(2, &mut recorder),
            Rule::Adaptive => replication.append_adaptive(2, &mut recorder),
        }
        recorder.0[2].1
    };
    let (adams, tail) = (last_peak(Rule::DeepSeek), last_peak(Rule::Adaptive));
    assert_eq!((adams.load, adams.replicas), (1, 1));
    assert_eq!((tail.load, tail.replicas), (3, 2));
}
