//! The zones of groups: every expert of a group is in one zone, and zones have equally many groups.

use std::cmp::Reverse;

use crate::over_time::fleet::Fleet;
use crate::over_time::objective::{Objective, plus, potential_of_any};
use crate::over_time::slot::EMPTY;

/// The zone of each expert for a history alone: the heaviest group first, to the zone with room whose
/// potential grows least.
pub(crate) fn by_load<const N: usize>(fleet: &Fleet, objective: &Objective<N>) -> Vec<u32> {
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

/// The zone of each expert by a placement: where its group is, or where there is most room if it is
/// nowhere. None if a group is in several zones, or a zone has more groups than others.
pub(crate) fn of_placement(slots: &[u16], fleet: &Fleet) -> Option<Vec<u32>> {
    let (size, zones) = (fleet.group_size(), fleet.num_zones());
    if zones == 1 {
        return Some(vec![0; fleet.experts()]);
    }
    let mut zone_of_group = vec![None; fleet.groups()];
    let mut room = vec![fleet.groups() / zones; zones];
    for (slot, &expert) in slots.iter().enumerate().filter(|&(_, &expert)| expert != EMPTY) {
        let zone = fleet.zone_of(fleet.gpu_of(slot));
        match &mut zone_of_group[expert as usize / size] {
            Some(known) if *known == zone => {}
            unknown @ None if room[zone] > 0 => {
                *unknown = Some(zone);
                room[zone] -= 1;
            }
            _ => return None,
        }
    }
    for zone_of_group in zone_of_group.iter_mut().filter(|zone| zone.is_none()) {
        let zone = (0..zones).rev().max_by_key(|&zone| room[zone])?;
        *zone_of_group = Some(zone);
        room[zone] -= 1;
    }
    let zone_of = |expert: usize| zone_of_group[expert / size].map(|zone| zone as u32);
    (0..fleet.experts()).map(zone_of).collect()
}

/// The zones of [`by_load`], so named that experts stay in theirs: of equally fast zones, the one whose
/// experts have most replicas in a zone now gets its name first. Ties: the lower zone now, the lower
/// new one.
pub(crate) fn near_placement<const N: usize>(
    slots: &[u16],
    fleet: &Fleet,
    objective: &Objective<N>,
) -> Vec<u32> {
    let mut zone_of_expert = by_load(fleet, objective);
    if !fleet.zones_are_equal() {
        return zone_of_expert;
    }
    let zones = fleet.num_zones();
    let mut replicas = vec![vec![0_usize; zones]; zones];
    for (slot, &expert) in slots.iter().enumerate().filter(|&(_, &expert)| expert != EMPTY) {
        let now = fleet.zone_of(fleet.gpu_of(slot));
        replicas[now][zone_of_expert[expert as usize] as usize] += 1;
    }
    let mut names = vec![None; zones];
    for _ in 0..zones {
        let unnamed = (0..zones).filter(|&new| names[new].is_none());
        let free = |now: &usize| !names.contains(&Some(*now as u32));
        let pairs = unnamed.flat_map(|new| (0..zones).filter(free).map(move |now| (now, new)));
        let most = pairs.max_by_key(|&(now, new)| (replicas[now][new], Reverse((now, new))));
        if let Some((now, new)) = most {
            names[new] = Some(now as u32);
        }
    }
    for zone in &mut zone_of_expert {
        *zone = names[*zone as usize].unwrap_or(*zone);
    }
    zone_of_expert
}
