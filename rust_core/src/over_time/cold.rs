//! A placement for a history alone: what there is before it does not matter.

use std::cmp::Reverse;

use crate::over_time::complete::complete;
use crate::over_time::fleet::Fleet;
use crate::over_time::objective::{Objective, plus, potential_of_any};
use crate::over_time::slot::EMPTY;

/// Experts in all slots, no expert twice on a GPU, and the zone of each expert: groups go to zones, and
/// then all slots are filled as [`complete`] does it.
///
/// Takes fleets in which no GPU has more slots than its zone has experts.
/// Time O(slots * GPUs * rows).
pub(crate) fn place<const N: usize>(
    fleet: &Fleet,
    objective: &Objective<N>,
    expected: &[u64],
) -> (Vec<u16>, Vec<u32>) {
    let zone_of_expert = zones_of_experts(fleet, objective);
    let mut slots = vec![EMPTY; fleet.num_slots()];
    let all: Vec<usize> = (0..slots.len()).collect();
    complete(fleet, objective, expected, &zone_of_expert, &mut slots, &all);
    (slots, zone_of_expert)
}

/// A zone for each group: the heaviest first, to the zone with room whose potential grows least.
fn zones_of_experts<const N: usize>(fleet: &Fleet, objective: &Objective<N>) -> Vec<u32> {
    let (size, zones) = (fleet.group_size(), fleet.num_zones());
    if zones == 1 {
        return vec![0; fleet.experts()];
    }
    // A sum over a group is at most all loads: as for one replica of an expert with everything.
    let sums = objective.sums(size);
    let shift = sums.shift_of_shares(&vec![1; fleet.groups()]);
    let sums = sums.shifted(shift);
    let mut order: Vec<usize> = (0..fleet.groups()).collect();
    order.sort_by_key(|&group| Reverse(potential_of_any(&sums[group])));
    let mut zone_of_group = vec![0; fleet.groups()];
    let mut load = vec![[0; N]; zones];
    let mut room = vec![fleet.groups() / zones; zones];
    for group in order {
        let growth = |&zone: &usize| {
            let after = plus(&load[zone], &sums[group]);
            fleet.potential_of_zone(zone, &after) - fleet.potential_of_zone(zone, &load[zone])
        };
        let zone = (0..zones).filter(|&zone| room[zone] > 0).min_by_key(growth).unwrap_or(0);
        zone_of_group[group] = zone as u32;
        room[zone] -= 1;
        load[zone] = plus(&load[zone], &sums[group]);
    }
    (0..fleet.experts()).map(|expert| zone_of_group[expert / size]).collect()
}
