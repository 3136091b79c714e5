//! The verifier accepts every plan that is made, and refuses each with one entry changed.

mod problems;
mod reference;

use eplb_core::{
    Bound, CanonicalLoads, Certificate, Error, ErrorKind, LayerCertificate, Placement, Policy,
    certify, verify, verify_structure, verify_watched,
};
use problems::{
    ROW_KINDS, SplitMix64, canonical, global, loads, plan, policies, sizes, sizes_of, topology,
};

#[test]
fn every_plan_is_accepted() {
    let mut stream = SplitMix64(1);
    for kind in 0..1500 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let loads = canonical(&loads(&mut stream, kind, 2, experts), experts);
        for policy in policies(&sizes) {
            let plan = plan(&loads, &sizes, policy);
            let certificate = certify(&plan, &loads).unwrap();
            assert_eq!(verify(&plan, &certificate, &loads), Ok(()), "{sizes:?}");
            assert_eq!(verify_structure(&plan), Ok(()));
        }
    }
}

/// Small plans of two layers: global, one GPU, one slot per GPU, hierarchical, and global because groups cannot be divided.
fn small_plans() -> Vec<(Placement, Certificate, CanonicalLoads)> {
    let mut plans = Vec::new();
    let mut stream = SplitMix64(2);
    for sizes in [
        [1, 4, 1, 1, 2],
        [3, 6, 1, 1, 2],
        [4, 8, 1, 1, 8],
        [4, 6, 3, 2, 3],
        [4, 8, 2, 2, 4],
        [8, 12, 4, 2, 4],
        [6, 6, 6, 2, 2],
    ] {
        let (sizes, experts) = (sizes_of(sizes), sizes[0] as usize);
        for kind in 0..ROW_KINDS {
            let loads = canonical(&loads(&mut stream, kind, 2, experts), experts);
            let policies = policies(&sizes);
            let policy = policies[kind as usize % policies.len()];
            let plan = plan(&loads, &sizes, policy);
            let certificate = certify(&plan, &loads).unwrap();
            plans.push((plan, certificate, loads));
        }
    }
    plans
}

/// Fails unless every other value in place of each entry of one table makes it no plan.
fn assert_each_entry_counts(table: &[i64], rebuild: impl Fn(Vec<i64>) -> Result<Placement, Error>) {
    for at in 0..table.len() {
        let values = (-1..=table.len() as i64).chain([i64::MIN, i64::MAX]);
        for value in values.filter(|&value| value != table[at]) {
            let mut changed = table.to_vec();
            changed[at] = value;
            let error = rebuild(changed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Verification, "{error}");
            assert!(error.place().layer.is_some(), "{error}");
        }
    }
}

#[test]
fn a_plan_with_one_entry_changed_is_refused() {
    for (plan, _, _) in small_plans() {
        let (phy2log, rank, logcnt) = (plan.phy2log(), plan.rank(), plan.logcnt());
        let rebuild = |phy2log: &[i64], rank: &[i64], logcnt: &[i64]| {
            let (phy2log, rank, logcnt) = (phy2log.to_vec(), rank.to_vec(), logcnt.to_vec());
            Placement::from_tables(plan.topology().clone(), plan.layers(), phy2log, rank, logcnt)
        };
        assert_eq!(rebuild(phy2log, rank, logcnt).as_ref(), Ok(&plan));
        assert_each_entry_counts(phy2log, |changed| rebuild(&changed, rank, logcnt));
        assert_each_entry_counts(rank, |changed| rebuild(phy2log, &changed, logcnt));
        assert_each_entry_counts(logcnt, |changed| rebuild(phy2log, rank, &changed));
        for short in [&phy2log[1..], &phy2log[..phy2log.len() / 2], &[]] {
            assert!(rebuild(short, rank, logcnt).is_err());
        }
        assert!(rebuild(phy2log, &rank[1..], logcnt).is_err());
        assert!(rebuild(phy2log, rank, &[logcnt, &[1]].concat()).is_err());
    }
}

#[test]
fn tables_of_another_number_of_layers_are_refused() {
    for (plan, _, _) in small_plans() {
        let rebuild = |layers| {
            let tables = [plan.phy2log(), plan.rank(), plan.logcnt()].map(<[i64]>::to_vec);
            let [phy2log, rank, logcnt] = tables;
            Placement::from_tables(plan.topology().clone(), layers, phy2log, rank, logcnt)
        };
        assert!(rebuild(2).is_ok());
        for layers in [0, 1, 3, 4, usize::MAX, usize::MAX / 2 + 2] {
            let error = rebuild(layers).unwrap_err();
            assert!(error.to_string().contains("entries, not"), "{error}");
        }
        let empty = Placement::from_tables(plan.topology().clone(), 0, vec![], vec![], vec![]);
        assert!(empty.is_err());
    }
}

/// Two slots change places: still a plan, but not the one certified, unless their GPUs carry the
/// same as before.
#[test]
fn a_plan_with_two_slots_exchanged_is_another_plan() {
    let (mut refused, mut accepted) = (0, 0);
    for (plan, certificate, loads) in small_plans() {
        let slots = plan.topology().num_replicas();
        for (a, b) in (0..slots).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let (mut phy2log, mut rank) = (plan.phy2log().to_vec(), plan.rank().to_vec());
            phy2log.swap(a, b);
            rank.swap(a, b);
            let logcnt = plan.logcnt().to_vec();
            let exchanged =
                Placement::from_tables(plan.topology().clone(), 2, phy2log, rank, logcnt);
            let Ok(exchanged) = exchanged else {
                assert!(plan.topology().nodes() > 1, "only nodes can forbid an exchange");
                continue;
            };
            let costs = certify(&exchanged, &loads).unwrap();
            let verdict = verify(&exchanged, &certificate, &loads);
            assert_eq!(verdict.is_ok(), costs == certificate);
            if let Err(error) = verdict {
                assert!(error.to_string().contains("the certificate says that"), "{error}");
                refused += 1;
            } else {
                accepted += 1;
            }
        }
    }
    assert!(refused > 100 && accepted > 100, "{refused} refused, {accepted} accepted");
}

/// Every certificate that differs from this one in one entry, or in a number of layers or GPUs.
fn changed_certificates(honest: &Certificate) -> Vec<Certificate> {
    let mut all = Vec::new();
    let mut change = |change: &dyn Fn(&mut Certificate)| {
        let mut changed = honest.clone();
        change(&mut changed);
        all.push(changed);
    };
    let entries: [fn(&mut LayerCertificate) -> &mut u64; 3] = [
        |layer| &mut layer.max_load,
        |layer| &mut layer.lower_bound,
        |layer| &mut layer.bound_without_groups,
    ];
    for (i, row) in honest.layers.iter().enumerate() {
        for entry in entries {
            for other in other_values(*entry(&mut row.clone())) {
                change(&|changed| *entry(&mut changed.layers[i]) = other);
            }
        }
        for (gpu, &load) in row.gpu_load.iter().enumerate() {
            for other in other_values(load) {
                change(&|changed| changed.layers[i].gpu_load[gpu] = other);
            }
        }
        change(&|changed| changed.layers[i].gpu_load.truncate(row.gpu_load.len() - 1));
        change(&|changed| changed.layers[i].gpu_load.insert(0, 7));
        change(&|changed| changed.layers[i].gpu_load.push(0));
        change(&|changed| changed.layers[i].gpu_load.clear());
        for bound in Bound::ALL {
            change(&|changed| changed.layers[i].bound = bound);
        }
        for exponent in [i32::MIN, i32::MAX, 0, row.exponent + 1, row.exponent - 1] {
            change(&|changed| changed.layers[i].exponent = exponent);
        }
        // Whether duplicates beat a layer is the planner's word, refused if they cannot.
        if row.max_load == row.lower_bound {
            change(&|changed| changed.layers[i].beaten_by_duplicates = true);
        }
        change(&|changed| drop(changed.layers.remove(i)));
        change(&|changed| changed.layers.insert(i, row.clone()));
    }
    change(&|changed| changed.layers.clear());
    for bit in 0..256 {
        change(&|changed| {
            let mut hash = changed.loads_sha256.get();
            hash[bit / 8] ^= 1 << (bit % 8);
            changed.loads_sha256 = hash.into();
        });
    }
    all.retain(|changed| changed != honest);
    all
}

fn other_values(value: u64) -> [u64; 5] {
    [0, 1, u64::MAX, value + 1, value.wrapping_sub(1)]
}

#[test]
fn a_certificate_with_one_entry_changed_is_refused() {
    for (plan, honest, loads) in small_plans() {
        assert_eq!(verify(&plan, &honest, &loads), Ok(()));
        for changed in changed_certificates(&honest) {
            let error = verify(&plan, &changed, &loads).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Verification, "{error}");
        }
    }
}

#[test]
fn other_loads_are_for_evaluate() {
    for (plan, certificate, loads) in small_plans() {
        let mut other: Vec<u64> = [loads.row(0), loads.row(1)].concat();
        other[0] += 1 << 40;
        let other = canonical(&other, loads.experts());
        if other.sha256() == loads.sha256() {
            continue;
        }
        let error = verify(&plan, &certificate, &other).unwrap_err().to_string();
        assert!(error.contains("use evaluate"), "{error}");
        let less = canonical(loads.row(0), loads.experts());
        let error = verify(&plan, &certificate, &less).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Load);
    }
}

/// The ways to put so many groups on nodes are too many to count in 128 bits.
#[test]
fn plans_of_many_groups_are_accepted() {
    for groups in [30, 34, 36, 60, 200] {
        let sizes = sizes_of([groups, groups, groups, 2, 2]);
        let loads = canonical(&(0..groups).map(|i| i * i).collect::<Vec<_>>(), groups as usize);
        let plan = plan(&loads, &sizes, Policy::DeepSeek);
        let certificate = certify(&plan, &loads).unwrap();
        assert_eq!(verify(&plan, &certificate, &loads), Ok(()), "{groups} groups");
    }
}

/// Four experts, each a group of its own, on two nodes of one GPU with three slots.
fn two_nodes(phy2log: &[i64]) -> Result<Placement, Error> {
    Placement::from_phy2log(phy2log, topology(&sizes_of([4, 6, 4, 2, 2])))
}

fn refusal(phy2log: &[i64]) -> String {
    two_nodes(phy2log).unwrap_err().to_string()
}

#[test]
fn groups_stay_on_their_nodes() {
    assert!(two_nodes(&[0, 2, 2, 3, 1, 3]).is_ok());
    assert_eq!(
        refusal(&[0, 1, 2, 3, 2, 3]),
        "layer 0, slot 4, expert 2: is on node 1, but group 2 is on node 0"
    );
    assert_eq!(
        refusal(&[0, 1, 0, 2, 2, 3, 0, 1, 2, 3, 3, 3]),
        "layer 1: node 0 holds 3 groups instead of 2"
    );
}

#[test]
fn placements_are_checked_entry_by_entry() {
    assert_eq!(refusal(&[]), "phy2log has 0 entries; expected 6, a whole number of layers");
    assert_eq!(refusal(&[0; 15]), "phy2log has 15 entries; expected 12, a whole number of layers");
    for expert in [-2, 4, i64::MIN, i64::MAX] {
        assert_eq!(
            refusal(&[0, 1, 1, 2, expert, 3]),
            format!(
                "layer 0, slot 4: unknown expert {expert}; expected 0 to 3, or -1 for an empty \
                 slot"
            )
        );
    }
    assert_eq!(
        refusal(&[0, 1, 1, 2, 2, 3, 0, 0, 0, 2, 2, 3]),
        "layer 1, expert 1: the expert has no slot; expected at least one slot for each expert"
    );
}

#[test]
fn tables_are_refused_with_place_and_reason() {
    let topology = two_nodes(&[0, 1, 1, 2, 2, 3]).unwrap().topology().clone();
    let refusal = |phy2log: [i64; 6], rank: [i64; 6], logcnt: [i64; 4]| {
        let tables = (phy2log.to_vec(), rank.to_vec(), logcnt.to_vec());
        let plan = Placement::from_tables(topology.clone(), 1, tables.0, tables.1, tables.2);
        plan.unwrap_err().to_string()
    };
    let (phy2log, rank, logcnt) = ([0, 1, 1, 2, 2, 3], [0, 1, 0, 0, 1, 0], [1, 2, 2, 1]);
    assert_eq!(
        refusal([0, 1, 1, 4, 2, 3], rank, logcnt),
        "layer 0, slot 3: holds expert 4, but there are 4 experts"
    );
    assert_eq!(
        refusal([0, 1, 1, 2, 2, 2], rank, logcnt),
        "layer 0, expert 2: logcnt says 2 replicas, but 3 slots hold it"
    );
    assert_eq!(refusal([0, 0, 0, 2, 2, 3], rank, [3, 0, 2, 1]), "layer 0, expert 1: has no slot");
    assert_eq!(
        refusal(phy2log, [0, 1, 1, 0, 1, 0], logcnt),
        "layer 0, slot 2, expert 1: rank 1 belongs to another replica"
    );
    for strange in [-1, 2, i64::MIN, i64::MAX] {
        assert_eq!(
            refusal(phy2log, [0, 1, 0, 0, strange, 0], logcnt),
            format!("layer 0, slot 4, expert 2: rank {strange} is not one of 0..2")
        );
    }
}

#[test]
fn false_certificates_are_refused_with_what_is_true() {
    let loads = canonical(&[1 << 37, 1 << 37, 1 << 38], 3);
    let sizes = global(3, 4, 2);
    let plan = plan(&loads, &sizes, Policy::DeepSeek);
    let honest = certify(&plan, &loads).unwrap();
    let refusal = |change: &dyn Fn(&mut Certificate)| {
        let mut changed = honest.clone();
        change(&mut changed);
        verify(&plan, &changed, &loads).unwrap_err().to_string()
    };
    let load = 720_720_u64 << 38;
    assert_eq!(
        refusal(&|changed| changed.layers[0].gpu_load[1] += 1),
        format!(
            "layer 0: the certificate says that GPU 1 carries {}, but it carries {load}",
            load + 1
        )
    );
    assert_eq!(
        refusal(&|changed| changed.layers[0].max_load -= 1),
        format!(
            "layer 0: the certificate says that the busiest GPU carries {}, but it carries {load}",
            load - 1
        )
    );
    assert_eq!(
        refusal(&|changed| changed.layers[0].lower_bound -= 1),
        format!(
            "layer 0: the certificate says that the lower bound is {} (mean), but it is {load} (mean)",
            load - 1
        )
    );
    assert_eq!(
        refusal(&|changed| changed.layers[0].exponent += 1),
        "layer 0: the certificate is for other loads: 2^-1 times these; \
         to see what the plan costs under these loads, use evaluate"
    );
    assert_eq!(
        refusal(&|changed| changed.layers[0].gpu_load.push(0)),
        "layer 0: the certificate is for 3 GPUs, but the plan is for 2"
    );
    assert_eq!(
        refusal(&|changed| changed.layers.clear()),
        "the certificate has 0 layers, but the plan has 1"
    );
}

/// What ends a verification: what is false, or the word of its watch after so many calls.
#[derive(Debug, PartialEq)]
enum Ended {
    Refused,
    Stopped,
}

impl From<Error> for Ended {
    fn from(_: Error) -> Self {
        Self::Refused
    }
}

/// Verifies a plan whose last layer's bound is false; the calls of the watch, which ends it at one.
fn watched(sizes: [u64; 5], layers: usize, stop_at: usize) -> (usize, Ended) {
    let loads = canonical(&vec![7; layers * sizes[0] as usize], sizes[0] as usize);
    let plan = plan(&loads, &sizes_of(sizes), Policy::DeepSeek);
    let mut certificate = certify(&plan, &loads).unwrap();
    certificate.layers[layers - 1].lower_bound -= 1;
    let mut calls = 0;
    let watch = || {
        calls += 1;
        if calls == stop_at { Err(Ended::Stopped) } else { Ok(()) }
    };
    let ended = verify_watched(&plan, Some(&certificate), &loads, watch).unwrap_err();
    (calls, ended)
}

#[test]
fn a_watch_is_asked_between_layers_and_may_end_it() {
    for (sizes, layers, calls) in [
        // Once each for structure and certificate, and again after 65,536 slots and experts,
        ([4096, 8192, 1, 1, 64], 5, 2),
        ([4096, 8192, 1, 1, 64], 6, 4),
        ([4096, 8192, 1, 1, 64], 12, 6),
        ([4096, 65536, 1, 1, 64], 7, 14),
        // or 64 layers.
        ([8, 8, 1, 1, 2], 64, 2),
        ([8, 8, 1, 1, 2], 65, 4),
    ] {
        assert_eq!(watched(sizes, layers, 0), (calls, Ended::Refused), "{sizes:?}");
        for stop_at in 1..=calls {
            assert_eq!(watched(sizes, layers, stop_at), (stop_at, Ended::Stopped), "{sizes:?}");
        }
    }
}

#[test]
fn without_a_certificate_structure_and_shape_are_checked() {
    for (plan, certificate, loads) in small_plans() {
        let unwatched = || Ok::<(), Error>(());
        assert_eq!(verify_watched(&plan, None, &loads, unwatched), Ok(()));
        let less = canonical(loads.row(0), loads.experts());
        for certificate in [None, Some(&certificate)] {
            let error = verify_watched(&plan, certificate, &less, unwatched).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Load);
        }
    }
}
