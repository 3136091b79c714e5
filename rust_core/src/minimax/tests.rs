//! No step of the search raises a peak, and the best that it saw is what it returns.

use super::node::{Limits, NodePlanner, Task};
use crate::policy::Effort;
use crate::problems::{ROW_KINDS, Stream, canonical, loads};
use crate::trace::Step;
use crate::trace::tests::{Recorder, assert_never_rises, compare, sequences};

/// Times that each of these steps was taken.
const COUNTED: [Step; 4] = [Step::Rematch, Step::Swap, Step::PairSwap, Step::Retarget];

#[test]
fn no_step_raises_a_peak_and_the_best_is_kept() {
    let mut stream = Stream(23);
    let mut counts = [0; COUNTED.len()];
    let mut lower = 0;
    for kind in 0..1200 {
        let gpus = 2 + stream.below(12) as usize;
        let per_gpu = 2 + stream.below(6) as usize;
        let slots = gpus * per_gpu;
        let experts = (per_gpu + stream.below((slots - per_gpu) as u64 + 1) as usize).min(slots);
        let loads = canonical(&loads(&mut stream, kind % ROW_KINDS, 1, experts), experts);
        for effort in Effort::ALL {
            let mut planner = NodePlanner::<Recorder>::default();
            let bound = planner.start(loads.row(0), slots, gpus);
            let limits = Limits::of(effort, per_gpu);
            planner.place(Task { gpus, slots, bound, target: bound, limits });
            let steps = &planner.trace.0;
            lower += assert_never_rises(steps).1;
            let mut best = None;
            for sequence in sequences(steps) {
                let last = sequence[sequence.len() - 1];
                let better = best.is_none_or(|best| compare(last.1, best).is_lt());
                // A trial ends with the word that it was better, or was not.
                if sequence[0].0 == Step::Trial {
                    assert_eq!(better, last.0 == Step::Retarget);
                }
                if better {
                    best = Some(last.1);
                }
            }
            assert_eq!(best.unwrap().load, planner.best.peak);
            assert_eq!(planner.best.layout.peak(), planner.best.peak);
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
