//! A placement for a history alone: what there is before it does not matter.

use crate::over_time::complete::complete;
use crate::over_time::fleet::Fleet;
use crate::over_time::groups;
use crate::over_time::objective::Objective;
use crate::over_time::slot::EMPTY;

/// Experts in all slots, no expert twice on a GPU, and the zone of each expert: groups go to zones, and
/// then all slots are filled as [`complete`] does it.
///
/// Takes fleets in which no GPU has more slots than its zone has experts.
/// Time O(slots * GPUs * rows).
pub(crate) fn place<const N: usize>(
    fleet: &Fleet,
    objective: &Objective<N>,
    expected: impl Fn(u16) -> u64,
) -> (Vec<u16>, Vec<u32>) {
    let zone_of_expert = groups::by_load(fleet, objective);
    let mut slots = vec![EMPTY; fleet.num_slots()];
    let all: Vec<usize> = (0..slots.len()).collect();
    complete(fleet, objective, expected, &zone_of_expert, &mut slots, &all);
    (slots, zone_of_expert)
}
