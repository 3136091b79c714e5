//! No step of the search raises a peak, and the best candidate is what it returns.

mod hot;
mod lattice;
mod mixes;
mod moves;
mod replica_counts;

use super::budget::Budget;
use super::search::NodeSearch;
use super::task::Task;
use crate::cost::bounds::of_node;
use crate::kernel::probe::Step;
use crate::kernel::probe::tests::{Recorder, assert_never_rises, compare, sequences};
use crate::problem::options::{Effort, Options};
use crate::problems::{ROW_KINDS, SplitMix64, canonical, global, loads, topology};

/// Times that each of these steps was taken.
const COUNTED: [Step; 4] =
    [Step::ReassignColumn, Step::Swap, Step::SwapPairs, Step::TransferReplica];

#[test]
fn no_step_raises_a_peak_and_the_best_is_kept() {
    let mut stream = SplitMix64(23);
    let mut counts = [0; COUNTED.len()];
    let mut lower = 0;
    for kind in 0..1200 {
        let gpus = 2 + stream.below(12) as usize;
        let per_gpu = 2 + stream.below(6) as usize;
        let slots = gpus * per_gpu;
        let experts = (per_gpu + stream.below((slots - per_gpu) as u64 + 1) as usize).min(slots);
        let loads = canonical(&loads(&mut stream, kind % ROW_KINDS, 1, experts), experts);
        for effort in Effort::ALL {
            let mut search = NodeSearch::<Recorder>::default();
            let topology = topology(&global(experts as u64, slots as u64, gpus as u64));
            let budget = &Budget::list(Options::minimax(effort), &topology).unwrap()[0];
            search.counts.start(loads.row(0), slots, gpus);
            let bound = of_node(&search.counts.adams, slots, gpus);
            let outcome = search.run(Task { gpus, slots, bound, target: bound, budget });
            let (peak, told) = (outcome.best.peak, outcome.best.layout.peak());
            let steps = &search.probe.0;
            lower += assert_never_rises(steps).1;
            let mut best = None;
            for sequence in sequences(steps) {
                let last = sequence[sequence.len() - 1];
                let better = best.is_none_or(|best| compare(last.1, best).is_lt());
                // A trial ends with the word that it was better, or was not.
                if sequence[0].0 == Step::Trial {
                    assert_eq!(better, last.0 == Step::TransferReplica);
                }
                if better {
                    best = Some(last.1);
                }
            }
            assert_eq!(best.unwrap().load, peak);
            assert_eq!(told, peak);
            for (step, _) in steps {
                for (count, counted) in counts.iter_mut().zip(COUNTED) {
                    *count += usize::from(*step == counted);
                }
            }
        }
    }
    assert!(counts.iter().all(|&count| count > 100), "{COUNTED:?}: {counts:?}");
    assert!(lower > 5000, "{lower} steps lowered a peak");
}
