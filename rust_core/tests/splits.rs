//! Unequal splits: least, proven, close to equal shares.

mod problems;

use eplb_core::sampling::SplitMix64;
use eplb_core::{
    CanonicalLoads, Cluster, Error, Gpu, GpuState, Placement, Policy, Split, Topology, certify,
    split, verify_split,
};

/// Any cluster in which experts fit, and any placement on it: duplicates, empty slots, GPUs that are not
/// in use.
fn placement(stream: &mut SplitMix64, experts: u64, layers: usize, fastest: u64) -> Placement {
    let mut gpus: Vec<Gpu> = Vec::new();
    let used = |gpus: &[Gpu]| {
        let live = gpus.iter().filter(|gpu| gpu.state == GpuState::Live);
        live.map(|gpu| u64::from(gpu.slots)).sum::<u64>()
    };
    let spare = stream.below(experts + 3);
    while used(&gpus) < experts + spare {
        let state = match stream.below(10) {
            0 => GpuState::Dead,
            1 => GpuState::Draining,
            _ => GpuState::Live,
        };
        let (slots, speed) = (1 + stream.below(4) as u32, stream.up_to(fastest) as u32);
        gpus.push(Gpu { node: 0, slots, speed, state });
    }
    let cluster = Cluster::new(gpus).unwrap();
    let usable: Vec<usize> = (0..cluster.num_gpus())
        .filter(|&gpu| cluster.is_used(gpu))
        .flat_map(|gpu| cluster.slots_of(gpu))
        .collect();
    let mut phy2log = vec![-1; layers * cluster.num_slots()];
    for row in phy2log.chunks_exact_mut(cluster.num_slots()) {
        let mut order = usable.clone();
        for last in (1..order.len()).rev() {
            order.swap(last, stream.below(last as u64 + 1) as usize);
        }
        for (index, &slot) in order.iter().enumerate() {
            let any = stream.below(experts + 1) as i64 - 1;
            row[slot] = if index < experts as usize { index as i64 } else { any };
        }
    }
    let topology = Topology::of_cluster(experts, 1, cluster).unwrap();
    Placement::from_phy2log(&phy2log, topology).unwrap()
}

fn loads(stream: &mut SplitMix64, layers: usize, experts: u64) -> CanonicalLoads {
    let first = stream.below(problems::ROW_KINDS);
    let values = problems::loads(stream, first, layers, experts as usize);
    CanonicalLoads::new(&values, layers, experts as usize).unwrap()
}

fn made(placement: &Placement, loads: &CanonicalLoads) -> Split {
    let split = split(placement, loads, 1).unwrap();
    verify_split(placement, &split, loads).unwrap();
    split
}

/// The naive twin: the largest load of a set of experts, divided by the speeds of the GPUs that hold one
/// of them, over all sets, as numerator and denominator.
fn least_time(placement: &Placement, loads: &CanonicalLoads, layer: usize) -> (u128, u128) {
    let topology = placement.topology();
    let cluster = topology.cluster();
    let row = &placement.phy2log()[layer * cluster.num_slots()..][..cluster.num_slots()];
    let mut least = (0, 1);
    for set in 1_u32..1 << topology.num_experts() {
        let in_set = |expert: i64| expert >= 0 && set >> expert & 1 == 1;
        let load = loads.row(layer).iter().enumerate().filter(|&(expert, _)| in_set(expert as i64));
        let load: u128 = load.map(|(_, &load)| u128::from(load)).sum();
        let holds = |&gpu: &usize| row[cluster.slots_of(gpu)].iter().any(|&expert| in_set(expert));
        let holding = (0..cluster.num_gpus()).filter(holds);
        let speed: u128 = holding.map(|gpu| u128::from(cluster.gpus()[gpu].speed)).sum();
        if load * least.1 > least.0 * speed {
            least = (load, speed);
        }
    }
    least
}

#[test]
fn the_naive_twin_finds_the_same_time() {
    let mut stream = SplitMix64(1);
    let mut better = 0;
    for _ in 0..1500 {
        let experts = stream.up_to(8);
        let fastest = [1, 3, 65_536][stream.below(3) as usize];
        let placement = placement(&mut stream, experts, 2, fastest);
        let loads = loads(&mut stream, 2, experts);
        let split = made(&placement, &loads);
        for (layer, row) in split.layers.iter().enumerate() {
            let (load, speed) = least_time(&placement, &loads, layer);
            let (top, bottom) = (row.attained.numerator(), row.attained.denominator());
            assert_eq!(load * bottom, top * speed, "{load}/{speed} {row:?}");
            assert_eq!(row.lower_bound, row.attained);
            assert!(row.mean <= row.lower_bound);
            assert!(row.attained <= row.attained_by_equal_shares);
            better += u32::from(row.attained < row.attained_by_equal_shares);
        }
    }
    assert!(better > 500, "{better}");
}

/// Shares of each slot as numerators over one denominator that all share counts divide.
fn shares(placement: &Placement, split: &Split, layer: usize) -> Vec<(i64, i64)> {
    let topology = placement.topology();
    let (slots, experts) = (topology.num_replicas(), topology.num_experts());
    let row = &placement.phy2log()[layer * slots..][..slots];
    let denominators = &split.denominators[layer * experts..][..experts];
    let share = |(&expert, &numerator): (&i64, &i64)| match usize::try_from(expert) {
        Ok(expert) => (numerator, denominators[expert]),
        Err(_) => (0, 1),
    };
    row.iter().zip(&split.numerators[layer * slots..]).map(share).collect()
}

#[test]
fn large_clusters_are_split_exactly() {
    let mut stream = SplitMix64(2);
    for _ in 0..60 {
        let experts = stream.up_to(150);
        let fastest = [1, 130, 65_536][stream.below(3) as usize];
        let placement = placement(&mut stream, experts, 3, fastest);
        let loads = loads(&mut stream, 3, experts);
        for row in made(&placement, &loads).layers {
            assert_eq!(row.lower_bound, row.attained);
        }
    }
}

/// With speeds that sum to more than 2^22, numerators would pass 64 bits.
#[test]
fn many_gpus_of_any_speed_are_split_to_a_part_of_a_load() {
    let mut stream = SplitMix64(3);
    let mut above = 0;
    for seed in 0..6 {
        let speed = |stream: &mut SplitMix64| 65_536 - stream.below(6000) as u32;
        let gpus = (0..400)
            .map(|_| Gpu { node: 0, slots: 3, speed: speed(&mut stream), state: GpuState::Live })
            .collect();
        let topology = Topology::of_cluster(600, 1, Cluster::new(gpus).unwrap()).unwrap();
        // Every GPU shares its experts with up to six others.
        let second = (0..600).map(|slot| (7 * slot + seed) % 600);
        let phy2log: Vec<i64> = (0..600).chain(second).collect();
        let placement = Placement::from_phy2log(&phy2log, topology).unwrap();
        // Loads that can be balanced, so that all GPUs are busy.
        let values: Vec<u64> = (0..600).map(|_| 1_000_000 + stream.below(1000)).collect();
        let loads = CanonicalLoads::new(&values, 1, 600).unwrap();
        let row = made(&placement, &loads).layers.remove(0);
        above += u32::from(row.attained > row.lower_bound);
        let (is, bound) = (row.attained_in_units(), row.lower_bound_in_units());
        assert!((is / bound).to_bits() - 1.0_f64.to_bits() < 1 << 20, "{is} {bound}");
    }
    assert!(above > 0);
}

#[test]
fn experts_that_need_not_move_keep_equal_shares() {
    // GPU 0 has too much, and shares expert 1 with GPU 1, and that one expert 2 with GPU 2.
    let topology = Topology::of_cluster(6, 1, Cluster::uniform(4, 3, 1).unwrap()).unwrap();
    let phy2log = [0, 1, -1, 1, 2, -1, 2, 3, 4, 4, 5, 3];
    let placement = Placement::from_phy2log(&phy2log, topology).unwrap();
    let loads = CanonicalLoads::new(&[6_u64, 4, 2, 4, 4, 0], 1, 6).unwrap();
    let split = made(&placement, &loads);
    let [one, half, none] = [(1, 1), (1, 2), (0, 1)];
    let expected = [one, (0, 1), none, (1, 1), half, none, half, half, half, half, one, half];
    assert_eq!(shares(&placement, &split, 0), expected);
    let row = &split.layers[0];
    assert_eq!((row.busy_gpus.as_slice(), row.lower_bound_in_units()), (&[0][..], 6.0));
    assert_eq!(row.gpu_load_in_units().collect::<Vec<_>>(), [6.0, 5.0, 5.0, 4.0]);
    // 20 on four GPUs.
    assert_eq!(row.balancedness().to_bits(), (5.0_f64 / 6.0).to_bits());
    assert_eq!(row.balancedness_of_equal_shares().to_bits(), (5.0_f64 / 8.0).to_bits());
}

#[test]
fn replicas_on_one_gpu_share_equally() {
    // Expert 0 has three replicas on GPU 0 and one on GPU 1, which is busy with expert 1.
    let topology = Topology::of_cluster(2, 1, Cluster::uniform(2, 3, 1).unwrap()).unwrap();
    let placement = Placement::from_phy2log(&[0, 0, 0, 0, 1, 1], topology).unwrap();
    let loads = CanonicalLoads::new(&[9_u64, 1], 1, 2).unwrap();
    let split = made(&placement, &loads);
    // 10 on two GPUs: 5 on each, of expert 0 five ninths and four ninths.
    assert_eq!((split.numerators, split.denominators), (vec![5, 5, 5, 12, 1, 1], vec![27, 2]));
}

#[test]
fn one_replica_each_leaves_nothing_to_split() {
    let mut stream = SplitMix64(4);
    let topology = Topology::of_cluster(40, 1, Cluster::uniform(5, 8, 1).unwrap()).unwrap();
    let phy2log: Vec<i64> = (0..40).rev().collect();
    let placement = Placement::from_phy2log(&phy2log, topology).unwrap();
    let loads = loads(&mut stream, 1, 40);
    let split = made(&placement, &loads);
    assert!(split.numerators.iter().chain(&split.denominators).all(|&number| number == 1));
    let row = &split.layers[0];
    assert_eq!(row.attained, row.attained_by_equal_shares);
}

#[test]
fn shares_do_not_depend_on_the_numbers_of_experts_nor_on_the_scale_of_loads() {
    let mut stream = SplitMix64(5);
    for _ in 0..300 {
        let experts = stream.up_to(20);
        let placement = placement(&mut stream, experts, 1, 7);
        let values: Vec<u64> = (0..experts).map(|_| stream.below(5000)).collect();
        let split_of = |placement: &Placement, values: &[u64]| {
            let split = made(placement, &CanonicalLoads::new(values, 1, experts as usize).unwrap());
            let shares = shares(placement, &split, 0);
            (shares, split.layers[0].busy_gpus.clone())
        };
        let expected = split_of(&placement, &values);
        for scale in [2, 3, 12_345] {
            let scaled: Vec<u64> = values.iter().map(|value| value * scale).collect();
            assert_eq!(split_of(&placement, &scaled), expected);
        }
        // Expert e is called experts - 1 - e.
        let renamed = |&expert: &i64| if expert < 0 { -1 } else { experts as i64 - 1 - expert };
        let phy2log: Vec<i64> = placement.phy2log().iter().map(renamed).collect();
        let renamed = Placement::from_phy2log(&phy2log, placement.topology().clone()).unwrap();
        let turned: Vec<u64> = values.iter().rev().copied().collect();
        assert_eq!(split_of(&renamed, &turned), expected);
    }
}

#[test]
fn threads_change_nothing() {
    let mut stream = SplitMix64(6);
    let placement = placement(&mut stream, 60, 13, 5);
    let loads = loads(&mut stream, 13, 60);
    let one = made(&placement, &loads);
    for threads in [2, 3, 50] {
        assert_eq!(split(&placement, &loads, threads).unwrap(), one);
    }
}

/// Up to 16 replicas the figures of equal shares are those of the certificate.
#[test]
fn equal_shares_are_those_of_the_certificate() {
    let mut stream = SplitMix64(7);
    for kind in 0..problems::ROW_KINDS {
        let sizes = problems::global(24, 36, 6);
        let values = problems::loads(&mut stream, kind, 3, 24);
        let loads = CanonicalLoads::new(&values, 3, 24).unwrap();
        let placement = problems::plan(&loads, &sizes, Policy::DeepSeek);
        let certificate = certify(&placement, &loads).unwrap();
        for (row, certified) in made(&placement, &loads).layers.iter().zip(&certificate.layers) {
            let [equal, certified] = [row.balancedness_of_equal_shares(), certified.balancedness()];
            assert_eq!(equal.to_bits(), certified.to_bits());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut stream = SplitMix64(8);
    let placement = placement(&mut stream, 5, 2, 1);
    let refused = |loads: &CanonicalLoads, threads| {
        split(&placement, loads, threads).unwrap_err().to_string()
    };
    let error = refused(&loads(&mut stream, 2, 6), 1);
    assert_eq!(
        error,
        "the loads have 2 layers x 6 experts, but the plan has 2 x 5; expected loads of the same model"
    );
    let error = refused(&loads(&mut stream, 2, 5), 0);
    assert_eq!(error, "threads=0 is too small; expected at least 1");
}

/// One false statement each, and what the verifier says of it.
#[test]
fn false_splits_are_refused() {
    let cluster = Cluster::new(vec![
        Gpu { node: 0, slots: 3, speed: 2, state: GpuState::Live },
        Gpu { node: 0, slots: 2, speed: 1, state: GpuState::Dead },
        Gpu { node: 0, slots: 2, speed: 1, state: GpuState::Live },
        Gpu { node: 0, slots: 3, speed: 3, state: GpuState::Live },
    ])
    .unwrap();
    let topology = Topology::of_cluster(6, 1, cluster).unwrap();
    let phy2log = [0, 1, 5, -1, -1, 0, 2, 3, 4, 5];
    let placement = Placement::from_phy2log(&phy2log, topology).unwrap();
    let loads = CanonicalLoads::new(&[80_u64, 10, 20, 5, 5, 0], 1, 6).unwrap();
    let split = made(&placement, &loads);
    let says = |change: &dyn Fn(&mut Split)| {
        let mut false_one = split.clone();
        change(&mut false_one);
        assert_ne!(false_one, split);
        verify_split(&placement, &false_one, &loads).unwrap_err().to_string()
    };
    let swapped = |split: &mut Split, slots: [usize; 2]| split.numerators.swap(slots[0], slots[1]);
    let row = &split.layers[0];
    assert_eq!((row.busy_gpus.as_slice(), row.unit), (&[0, 2][..], 6));
    for (change, text) in [
        (&|s: &mut Split| s.numerators[3] = 1 as _, "layer 0, slot 3: the numerator 1 of an empty"),
        (&|s| s.numerators[0] = -1, "layer 0, slot 0: the numerator -1 is negative"),
        (&|s| s.numerators[0] += 1, "layer 0, expert 0: the numerators sum to"),
        (&|s| s.denominators[1] = 0, "layer 0, expert 1: the numerators sum to 1 of 0"),
        (&|s| s.numerators[9] = 2, "layer 0, slot 9: expert 5 has no load, but its shares are not"),
        (&move |s| swapped(s, [0, 5]), "layer 0: the split says that GPU 0 carries"),
        (&|s| s.layers[0].gpu_load[0] -= 1, "layer 0: the split says that GPU 0 carries"),
        (&|s| s.layers[0].unit *= 2, "layer 0: the split says that GPU 0 carries"),
        (&|s| s.layers[0].unit = 0, "layer 0: loads of 4 GPUs in units of 1/0"),
        (&|s| s.layers[0].unit = u64::MAX, "layer 0: loads of 4 GPUs in units of 1/1844674"),
        (&|s| s.layers[0].gpu_load.truncate(3), "layer 0: loads of 3 GPUs in units of"),
        (&|s| s.layers[0].exponent += 1, "layer 0: the split is for other loads"),
        (&|s| s.layers[0].attained = s.layers[0].mean, "layer 0: the split says that it attains"),
        (
            &|s| s.layers[0].attained = s.layers[0].attained_by_equal_shares,
            "layer 0: no GPU takes as long as",
        ),
        (&|s| s.layers[0].mean = s.layers[0].attained, "layer 0: the mean is"),
        (&|s| s.layers[0].lower_bound = s.layers[0].mean, "layer 0: the split says that the bound"),
        (&|s| s.layers[0].busy_gpus = vec![0], "layer 0: the split says that the bound is"),
        (&|s| s.layers[0].busy_gpus = vec![], "layer 0: the split says that the bound is"),
        (&|s| s.layers[0].busy_gpus = vec![0, 0], "layer 0: GPU 0 is busy twice"),
        (&|s| s.layers[0].busy_gpus = vec![4], "layer 0: GPU 4 is busy twice, or is not there"),
        (
            &|s| s.layers[0].attained_by_equal_shares = s.layers[0].attained,
            "layer 0: GPU 2 takes longer by equal shares",
        ),
        (&|s| s.numerators.truncate(9), "the split has 9 numerators, not 10"),
        (&|s| s.denominators.push(1), "the split has 7 denominators, not 6"),
        (&|s| s.layers.clear(), "the split has 0 layers, not 1"),
        (&|s| s.loads_sha256 = [0; 32].into(), "the split is for other loads"),
    ] as [(&dyn Fn(&mut Split), &str); 25]
    {
        let error = says(change);
        assert!(error.starts_with(text), "{error}, not {text}");
    }
}

/// Shares that are true, but not the best: those of another split, with all that follows from them.
#[test]
fn splits_that_are_not_the_best_are_refused() {
    let topology = Topology::of_cluster(3, 1, Cluster::uniform(2, 2, 1).unwrap()).unwrap();
    let placement = Placement::from_phy2log(&[0, 1, 0, 2], topology).unwrap();
    let loads = CanonicalLoads::new(&[4_u64, 3, 1], 1, 3).unwrap();
    let best = made(&placement, &loads);
    let mut equal = best.clone();
    let row = &mut equal.layers[0];
    (equal.numerators, equal.denominators) = (vec![1, 1, 1, 1], vec![2, 1, 1]);
    let of_a_load = row.unit << (row.exponent as u32);
    row.gpu_load = vec![5 * of_a_load, 3 * of_a_load];
    row.attained = row.attained_by_equal_shares;
    let error: Error = verify_split(&placement, &equal, &loads).unwrap_err();
    assert!(error.to_string().contains("is above the bound"), "{error}");
    assert_eq!(best.numerators, [1, 1, 3, 1]);
}

/// The answer of every machine and build: which of the best splits it is, is part of it.
#[test]
fn splits_are_these() {
    let mut stream = SplitMix64(9);
    let mut found = Vec::new();
    for fastest in [1, 130, 65_536] {
        let placement = placement(&mut stream, 100, 4, fastest);
        let values: Vec<u64> = (0..400).map(|_| stream.below(1 << 20) >> stream.below(8)).collect();
        let split = made(&placement, &CanonicalLoads::new(&values, 4, 100).unwrap());
        let numbers = split.numerators.iter().chain(&split.denominators);
        let mix = |hash: u64, &number: &i64| (hash ^ number as u64).wrapping_mul(0x0100_0000_01b3);
        found.push(numbers.fold(0xcbf2_9ce4_8422_2325, mix));
    }
    let expected = [0xf691_be2c_e555_6899_u64, 0x7162_3ec3_a189_9035, 0x3c3d_60f1_bb0c_66a9];
    assert_eq!(found, expected, "{found:#x?}");
}
