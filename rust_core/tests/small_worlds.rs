//! Every load of {0, 1, 2, 3}^L for small L, with all sizes that go together: what is claimed of
//! Adams' method, bounds and plans, against brute force.

mod brute;
mod problems;
mod twin;

use brute::{best_copies, best_placement, each_sequence};
use eplb_core::{
    CanonicalLoads, Certificate, Effort, Options, Policy, Sizes, Topology, packing_load,
    plan_certified,
};
use problems::{PUBLISHED, canonical, topology, world};

/// All sizes that go together, of worlds so small that every placement can be tried.
fn all_sizes(experts: u64, most_slots: u64) -> Vec<Sizes> {
    let mut all = Vec::new();
    for replicas in experts..=most_slots {
        for gpus in 1..=replicas {
            for groups in 1..=experts {
                for nodes in 1..=gpus {
                    let sizes = world([experts, replicas, groups, nodes, gpus]);
                    // Other fallbacks are the same global plan.
                    let fallback = !groups.is_multiple_of(nodes);
                    if Topology::new(sizes).is_ok() && (!fallback || (groups, nodes) == (1, 2)) {
                        all.push(sizes);
                    }
                }
            }
        }
    }
    all
}

fn each_world(check: &mut dyn FnMut(&Sizes, &CanonicalLoads)) {
    for (experts, most_slots) in [(1, 6), (2, 6), (3, 6), (4, 6), (5, 5)] {
        for sizes in all_sizes(experts, most_slots) {
            each_sequence(experts as usize, 4, &|_| true, &mut Vec::new(), &mut |row| {
                let row: Vec<u64> = row.iter().map(|&x| x as u64).collect();
                check(&sizes, &canonical(&row, row.len()));
            });
        }
    }
}

/// The largest load over the optimum, as a fraction.
#[derive(Debug, Clone, Copy)]
struct Ratio(u128, u128);

impl Ratio {
    fn above(self, other: Self) -> bool {
        self.0 * other.1 > other.0 * self.1
    }
}

/// Adams' method is optimal, every bound is at most the optimum, no plan is below it, and those of
/// `minimax` are no further above it than is recorded here.
#[test]
fn everything_against_brute_force() {
    let (mut worlds, mut reached) = (0, 0);
    let mut worst = Effort::ALL.map(|_| Ratio(1, 1));
    each_world(&mut |sizes, loads| {
        let row = loads.row(0);
        let topology = topology(sizes);
        let best = best_placement(row, sizes);
        for policy in PUBLISHED {
            let (plan, certificate) = plan_certified(loads, topology, policy, 1).unwrap();
            assert_bounds(&certificate, best);
            reached += usize::from(u128::from(certificate.lower_bound[0]) == best);
            if policy == Policy::DeepSeek && topology.nodes() == 1 {
                let copies = plan.logcnt().iter().zip(row);
                let heaviest = copies.map(|(&r, &w)| packing_load(w, r as u64)).max().unwrap();
                assert_eq!(u128::from(heaviest), best_copies(row, topology.num_replicas()));
            }
        }
        for (effort, worst) in Effort::ALL.into_iter().zip(&mut worst) {
            let planned = plan_certified(loads, topology, Options::minimax(effort), 1);
            let Ok((_, certificate)) = planned else { continue };
            assert_bounds(&certificate, best);
            let ratio = Ratio(certificate.max_load[0].into(), best);
            // What is flagged is beaten by duplicates, which the optimum may have too.
            if !certificate.beaten_by_duplicates[0] && ratio.above(*worst) {
                *worst = ratio;
            }
        }
        worlds += 1;
    });
    println!("{worlds} worlds; bounds reached {reached} times; minimax at worst {worst:?}");
    assert!(worlds > 19_000 && reached > 37_000, "{worlds} worlds, {reached} bounds reached");
    let recorded = [Ratio(4, 3), Ratio(22, 21), Ratio(22, 21)];
    for ((effort, worst), recorded) in Effort::ALL.iter().zip(worst).zip(recorded) {
        assert!(!worst.above(recorded), "{effort}: {worst:?}, more than {recorded:?}");
    }
}

fn assert_bounds(certificate: &Certificate, best: u128) {
    let (bound, max) = (certificate.lower_bound[0], certificate.max_load[0]);
    assert!(u128::from(bound) <= best && best <= max.into(), "{bound} {best} {max}");
    // Without groups there are more placements: their best is no higher.
    assert!(certificate.bound_without_groups[0] <= bound);
}
