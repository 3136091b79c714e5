//! Every load of {0, 1, 2, 3}^L for small L, with all sizes that go together: what is claimed of
//! Adams' method, bounds and plans, against brute force.

mod brute;
mod problems;
mod reference;

use brute::{best_copies, best_placement, each_sequence};
use eplb_core::{
    CanonicalLoads, Certificate, Effort, Options, Policy, Sizes, Topology, packing_load,
};
use problems::{PUBLISHED, canonical, certified, sizes_of, topology};

/// All sizes that go together, of instances so small that every placement can be tried.
fn all_sizes(experts: u64, most_slots: u64) -> Vec<Sizes> {
    let mut all = Vec::new();
    for replicas in experts..=most_slots {
        for gpus in 1..=replicas {
            for groups in 1..=experts {
                for nodes in 1..=gpus {
                    let sizes = sizes_of([experts, replicas, groups, nodes, gpus]);
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

fn each_instance(check: &mut dyn FnMut(&Sizes, &CanonicalLoads)) {
    for (experts, most_slots) in [(1, 6), (2, 6), (3, 6), (4, 6), (5, 5)] {
        for sizes in all_sizes(experts, most_slots) {
            each_sequence(experts as usize, 4, &|_| true, &mut Vec::new(), &mut |row| {
                let row: Vec<u64> = row.iter().map(|&x| x as u64).collect();
                check(&sizes, &canonical(&row, row.len()));
            });
        }
    }
}

/// What is above the optimum by no more thousandths of it than these is counted.
const WITHIN: [u128; 5] = [0, 1, 10, 20, 50];

/// How far plans are above the optimum.
#[derive(Debug, Default)]
struct Ratios {
    layers: usize,
    within: [usize; WITHIN.len()],
    /// The largest load and the optimum where their ratio is largest.
    worst: (u128, u128),
    /// Layers that are left out: a plan with duplicates is better, and the optimum may be one.
    flagged: usize,
}

impl Ratios {
    fn add(&mut self, max: u128, best: u128) {
        self.layers += 1;
        for (count, thousandths) in self.within.iter_mut().zip(WITHIN) {
            *count += usize::from(1000 * max <= (1000 + thousandths) * best);
        }
        if self.worst.1 == 0 || max * self.worst.1 > self.worst.0 * best {
            self.worst = (max, best);
        }
    }

    /// The simplest fraction that is within a millionth of the worst ratio.
    fn worst(&self) -> String {
        let (max, best) = self.worst;
        let near = |d: u128| (max * d + best / 2) / best;
        let good = |d: &u128| (near(*d) * best).abs_diff(max * d) * 1_000_000 <= best * d;
        let d = (1..=1_000_000).find(good).unwrap();
        format!("{}/{d}", near(d))
    }
}

/// Adams' method is optimal, every bound is at most the optimum, no plan is below it, and those of
/// `minimax` are no farther above it than they were: a better plan passes.
#[test]
fn everything_against_brute_force() {
    let (mut instances, mut reached) = (0, 0);
    let mut ratios = Effort::ALL.map(|_| Ratios::default());
    each_instance(&mut |sizes, loads| {
        let row = loads.row(0);
        let topology = topology(sizes);
        let best = best_placement(row, sizes);
        for policy in PUBLISHED {
            let (plan, certificate) = certified(loads, &topology, policy, 1).unwrap();
            assert_bounds(&certificate, best);
            reached += usize::from(u128::from(certificate.layers[0].lower_bound) == best);
            if policy == Policy::DeepSeek && topology.nodes() == 1 {
                let copies = plan.logcnt().iter().zip(row);
                let heaviest = copies.map(|(&r, &w)| packing_load(w, r as u64)).max().unwrap();
                assert_eq!(u128::from(heaviest), best_copies(row, topology.num_replicas()));
            }
        }
        for (effort, ratios) in Effort::ALL.into_iter().zip(&mut ratios) {
            let planned = certified(loads, &topology, Options::minimax(effort), 1);
            let Ok((_, certificate)) = planned else { continue };
            assert_bounds(&certificate, best);
            if certificate.layers[0].beaten_by_duplicates {
                ratios.flagged += 1;
            } else {
                ratios.add(certificate.layers[0].max_load.into(), best);
            }
        }
        instances += 1;
    });
    println!("{instances} instances; bounds reached {reached} times");
    assert!(
        instances > 19_000 && reached > 37_000,
        "{instances} instances, {reached} bounds reached"
    );
    let table = table(&ratios);
    println!("{table}");
    // By effort: the layers that were optimal, of all, and the worst ratio.
    let reached =
        [(15_864, 16_409, (4, 3)), (16_785, 16_789, (22, 21)), (16_785, 16_789, (22, 21))];
    for (ratios, (optimal, layers, (high, low))) in ratios.iter().zip(reached) {
        let short_by = layers - optimal;
        assert!(ratios.layers >= layers, "more layers are beaten by duplicates");
        assert!(ratios.layers - ratios.within[0] <= short_by, "fewer layers are optimal");
        assert!(ratios.worst.0 * low <= ratios.worst.1 * high, "the worst ratio rose");
    }
}

/// A line for each effort.
fn table(all: &[Ratios]) -> String {
    let head = "effort,layers,exact,0.1%,1%,2%,5%,worst,flagged\n";
    let lines = Effort::ALL.iter().zip(all).map(|(effort, ratios)| {
        let within = ratios.within.map(|count| count.to_string()).join(",");
        format!("{effort},{},{within},{},{}\n", ratios.layers, ratios.worst(), ratios.flagged)
    });
    format!("{head}{}", lines.collect::<String>())
}

fn assert_bounds(certificate: &Certificate, best: u128) {
    let (bound, max) = (certificate.layers[0].lower_bound, certificate.layers[0].max_load);
    assert!(u128::from(bound) <= best && best <= max.into(), "{bound} {best} {max}");
    // Without groups there are more placements: their best is no higher.
    assert!(certificate.layers[0].bound_without_groups <= bound);
}

/// A plan that is further from the optimum is another line of the table.
#[test]
fn control_ratios_are_told_apart() {
    let mut ratios = Ratios::default();
    for max in [100, 101, 102, 105, 106, 100] {
        ratios.add(max, 100);
    }
    ratios.add(0, 0);
    assert_eq!(table(&[ratios]).lines().nth(1), Some("fast,7,3,3,4,5,6,53/50,0"));
}
