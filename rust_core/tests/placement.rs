//! What follows from a placement alone: tables for the engines, duplicates, ranks by slot.

mod problems;

use eplb_core::{Place, Placement, Policy, certify, verify};
use problems::{SplitMix64, canonical, global, loads, plan, sizes, topology};

#[test]
fn tables_that_follow_from_a_plan() {
    let mut stream = SplitMix64(9);
    for kind in 0..300 {
        let sizes = sizes(&mut stream);
        let experts = sizes.num_experts as usize;
        let loads = canonical(&loads(&mut stream, kind, 2, experts), experts);
        let plan = plan(&loads, &sizes, Policy::Adaptive);
        let slots = plan.phy2log().len() / 2;
        let narrow = plan.log2phy().unwrap();
        let wide = plan.log2phy_static().unwrap();
        assert_eq!(narrow.1 as i64, *plan.logcnt().iter().max().unwrap());
        assert_eq!(wide.1, slots - experts + 1);
        for (table, width) in [narrow, wide] {
            let mut expected = vec![-1; 2 * experts * width];
            for (at, (&expert, &rank)) in plan.phy2log().iter().zip(plan.rank()).enumerate() {
                let row = at / slots * experts + expert as usize;
                expected[row * width + rank as usize] = (at % slots) as i64;
            }
            assert_eq!(table, expected);
        }
        let doubled = |gpu: &[i64]| {
            let seen_before = |&slot: &usize| gpu[..slot].contains(&gpu[slot]);
            (0..gpu.len()).filter(seen_before).count()
        };
        let of_layer =
            |layer: &[i64]| layer.chunks(slots / sizes.num_gpus as usize).map(doubled).sum();
        let duplicates: Vec<usize> = plan.phy2log().chunks(slots).map(of_layer).collect();
        assert_eq!(plan.duplicates(), duplicates);
        // The same placement, its copies ranked by slot.
        let again = Placement::from_phy2log(plan.phy2log(), plan.topology().clone()).unwrap();
        assert_eq!((again.phy2log(), again.logcnt()), (plan.phy2log(), plan.logcnt()));
        assert_eq!((again.layers(), again.digest()), (2, plan.digest()));
        for (at, &rank) in again.rank().iter().enumerate() {
            let before = &plan.phy2log()[at / slots * slots..at];
            let earlier = before.iter().filter(|&&expert| expert == plan.phy2log()[at]).count();
            assert_eq!(rank as usize, earlier);
        }
    }
}

#[test]
fn an_empty_slot_holds_nothing() {
    let topology = topology(&global(3, 6, 2));
    let phy2log = [0, -1, 0, -1, 1, 2];
    let placement = Placement::from_phy2log(&phy2log, topology.clone()).unwrap();
    assert_eq!(placement.rank(), [0, -1, 1, -1, 0, 0]);
    assert_eq!(placement.logcnt(), [2, 1, 1]);
    assert_eq!(placement.duplicates(), [1]);
    assert_eq!(placement.log2phy().unwrap(), (vec![0, 2, 4, -1, 5, -1], 2));
    let full = Placement::from_phy2log(&[0, 0, 0, 1, 1, 2], topology.clone()).unwrap();
    assert_ne!(placement.digest(), full.digest());
    let loads = canonical(&[4, 2, 1], 3);
    let certificate = certify(&placement, &loads).unwrap();
    assert_eq!(certificate.layers[0].gpu_load_in_units().collect::<Vec<_>>(), [4.0, 3.0]);
    verify(&placement, &certificate, &loads).unwrap();
    let tables = |rank: Vec<i64>| {
        let tables = (phy2log.to_vec(), placement.logcnt().to_vec());
        Placement::from_tables(topology.clone(), 1, tables.0, rank, tables.1)
    };
    assert_eq!(tables(placement.rank().to_vec()).unwrap(), placement);
    assert_eq!(
        tables(vec![0, 0, 1, -1, 0, 0]).unwrap_err().to_string(),
        "layer 0, slot 1: rank 0 of an empty slot is not -1"
    );
}

#[test]
fn a_log2phy_that_no_memory_holds_is_refused() {
    let experts = 1 << 14;
    let sizes = global(experts, 2 * experts, 2);
    let plan =
        plan(&canonical(&vec![1; experts as usize], experts as usize), &sizes, Policy::DeepSeek);
    assert_eq!(plan.log2phy().unwrap().1, 2);
    assert_eq!(
        plan.log2phy_static().unwrap_err().to_string(),
        "not enough memory for a plan of 1 layers x 32768 slots; plan fewer layers at a time"
    );
}

#[test]
fn a_placement_of_no_such_expert_or_without_one_names_the_place() {
    let topology = topology(&global(3, 4, 2));
    for (phy2log, place, text) in [
        ([0, 1, 2, 0, 0, 1, 3, 2], Place::slot(1, 2), "layer 1, slot 2: "),
        ([0, 1, 2, 0, 0, -2, 2, 1], Place::slot(1, 1), "layer 1, slot 1: "),
        ([0, 1, 2, 0, 0, 2, 0, 2], Place::expert(1, 1), "layer 1, expert 1: "),
    ] {
        let error = Placement::from_phy2log(&phy2log, topology.clone()).unwrap_err();
        assert_eq!(error.place(), place);
        assert!(error.to_string().starts_with(text), "{error}");
    }
}
