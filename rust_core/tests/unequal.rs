//! `minimax` on GPUs that are not equal.

#![allow(unused)]
mod problems;

use eplb_core::{
    CanonicalLoads, Certificate, Cluster, Effort, Gpu, GpuState, LayerCertificate, Options,
    Placement, Policy, Topology, certify, verify,
};
use problems::{ROW_KINDS, SplitMix64, canonical, certified};

fn live(slots: u32, speed: u32) -> Gpu {
    Gpu { node: 0, slots, speed, state: GpuState::Live }
}

/// A cluster of any kind: some nodes, GPUs that are slow, dead, draining or without slots.
fn any_cluster(stream: &mut SplitMix64, experts: u64, gpus: u64) -> Cluster {
    let speeds = [1, 4, 100][stream.below(3) as usize];
    let (states, sizes) = (stream.below(2), 1 + stream.below(experts.min(8)));
    let mut node = 0;
    let mut gpu = || {
        node += u32::from(stream.below(4) == 0);
        let state = match stream.below(8) * states {
            1 => GpuState::Dead,
            2 => GpuState::Draining,
            _ => GpuState::Live,
        };
        let slots = (sizes + stream.below(3)).saturating_sub(1).min(experts) as u32;
        Gpu { node, slots, speed: 1 + stream.below(speeds) as u32, state }
    };
    Cluster::new((0..gpus).map(|_| gpu()).collect()).unwrap()
}

/// Checks a plan from its definition.
fn check(placement: &Placement, certificate: &Certificate, loads: &CanonicalLoads) {
    verify(placement, certificate, loads).unwrap();
    for (layer, again) in certificate.layers.iter().zip(certify(placement, loads).unwrap().layers) {
        // Only planning looks for plans with duplicates.
        let beaten_by_duplicates = layer.beaten_by_duplicates;
        assert_eq!(layer, &LayerCertificate { beaten_by_duplicates, ..again });
    }
    assert!(placement.duplicates().iter().all(|&duplicates| duplicates == 0));
    let cluster = placement.topology().cluster();
    for row in placement.phy2log().chunks_exact(cluster.num_slots().max(1)) {
        for gpu in 0..cluster.num_gpus() {
            let held = &row[cluster.slots_of(gpu)];
            assert!(held.iter().all(|&expert| (expert >= 0) == cluster.is_used(gpu)), "{row:?}");
        }
    }
}

#[test]
fn explore() {
    let mut stream = SplitMix64(5);
    let (mut made, mut refused) = (0, 0);
    let mut worse = 0;
    let mut kinds = [0; 5];
    let mut gaps = [0.0; 4];
    for round in 0..3000 {
        let experts = 1 + stream.below(24);
        let gpus = 1 + stream.below(9);
        let cluster = any_cluster(&mut stream, experts, gpus);
        let groups = [1, 2, 3, 4][stream.below(4) as usize];
        let rows = problems::loads(&mut stream, round, 2, experts as usize);
        let Ok(topology) = Topology::of_cluster(experts, groups, cluster.clone()) else {
            refused += 1;
            continue;
        };
        let loads = canonical(&rows, experts as usize);
        let Ok(multi) = certified(&loads, &topology, Policy::MultiWindow, 1) else {
            assert!(certified(&loads, &topology, Policy::Minimax, 1).is_err());
            continue;
        };
        made += 1;
        let plans = Effort::ALL.map(|effort| {
            let (placement, certificate) =
                certified(&loads, &topology, Options::minimax(effort), 1).unwrap();
            check(&placement, &certificate, &loads);
            certificate
        });
        for layer in 0..2 {
            let [fast, default, best] = plans.each_ref().map(|c| c.layers[layer].max_load as f64);
            if best > default || best > fast {
                eprintln!(
                    "BEST {best} {default} {fast} {} {} {:?} {:?} {groups} {:?}",
                    topology.nodes(),
                    topology.groups(),
                    plans[2].layers[layer].lower_bound,
                    cluster
                        .gpus()
                        .iter()
                        .map(|g| (g.node, g.slots, g.speed, g.state))
                        .collect::<Vec<_>>(),
                    loads.row(layer)
                );
            }
            let multi = multi.1.layers[layer].max_load as f64;
            let b = plans[0].layers[layer].lower_bound as f64;
            kinds[plans[0].layers[layer].bound as usize] += 1;
            for (g, v) in gaps.iter_mut().zip([fast, default, best, multi]) {
                if b > 0.0 {
                    *g += v / best.min(multi) - 1.0;
                }
            }
            if default > multi * 1.005 {
                worse += 1;
                if default > 1.03 * multi {
                    eprintln!(
                        "default {:.4} best {:.4} x multi, experts {experts} groups {groups} {:?} {:?}",
                        default / multi,
                        best / multi,
                        cluster
                            .gpus()
                            .iter()
                            .map(|g| (g.node, g.slots, g.speed, g.state))
                            .collect::<Vec<_>>(),
                        loads.row(layer)
                    );
                }
            }
        }
    }
    eprintln!("{made} made {refused} refused {worse} worse {kinds:?} {gaps:?}");
}
#[test]
fn debug_one() {
    let topology = Topology::of_cluster(
        14,
        1,
        Cluster::new(vec![live(6, 1), live(7, 4), live(7, 4)]).unwrap(),
    )
    .unwrap();
    let row = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4u64];
    let loads = canonical(&row, 14);
    for policy in [
        Options::minimax(Effort::Default),
        Options::minimax(Effort::Best),
        Policy::MultiWindow.into(),
    ] {
        let (p, c) = certified(&loads, &topology, policy, 1).unwrap();
        eprintln!("{:?} {:?} {:.3}", p.phy2log(), p.logcnt(), c.layers[0].gap());
    }
}
