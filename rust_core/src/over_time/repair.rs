//! Room for experts without a replica, before anything is improved, and experts for slots that moves
//! left empty.

use crate::over_time::fleet::Fleet;
use crate::over_time::slot::EMPTY;
use crate::over_time::state::State;

/// The slots to be filled, in order, and all slots with these empty. They are the empty ones if `fill` is
/// asked for, and at least as many in each zone as it has experts without a replica. If there are too
/// few, those that are empty but for a second replica come next. Then experts give up replicas: each
/// time the one whose others get the smallest `expected` load, on the GPU with the largest potential.
/// Ties: the lower expert, the lower slot.
///
/// `empty` is in order, and has no slots of second replicas. Time O(slots + experts) for each replica
/// that is given up.
pub(crate) fn make_room<const N: usize>(
    state: &State<'_, N>,
    expected: impl Fn(u16) -> u64,
    empty: &[usize],
    fill: bool,
) -> (Vec<u16>, Vec<usize>) {
    let fleet = state.fleet;
    let (mut slots, mut replicas) = (state.slots.clone(), state.replicas.clone());
    let mut room = Vec::new();
    for zone in 0..fleet.num_zones() {
        let is_here = |&expert: &usize| state.zone_of_expert[expert] as usize == zone;
        let experts: Vec<usize> = (0..fleet.experts()).filter(is_here).collect();
        let unplaced = experts.iter().filter(|&&expert| replicas[expert] == 0).count();
        let (mut here, doubles): (Vec<usize>, Vec<usize>) = fleet
            .zone_slots(zone)
            .filter(|&slot| slots[slot] == EMPTY)
            .partition(|slot| empty.binary_search(slot).is_ok());
        let wanted = if fill { unplaced.max(here.len()) } else { unplaced };
        here.extend(doubles);
        here.truncate(wanted);
        if here.len() >= wanted {
            room.extend(here);
            continue;
        }
        let can_give = experts.iter().filter(|&&expert| replicas[expert] > 1);
        let mut givers: Vec<(usize, u64)> =
            can_give.map(|&expert| (expert, expected(expert as u16))).collect();
        while here.len() < wanted {
            givers.retain(|&(expert, _)| replicas[expert] > 1);
            let less = |&&(a, load_a): &&(usize, u64), &&(b, load_b): &&(usize, u64)| {
                let after =
                    |load, expert: usize| u128::from(load) * u128::from(replicas[expert] - 1);
                after(load_a, b).cmp(&after(load_b, a))
            };
            let Some(&(expert, _)) = givers.iter().min_by(less) else { break };
            let held = fleet.zone_slots(zone).rev().filter(|&slot| slots[slot] == expert as u16);
            let Some(slot) = held.max_by_key(|&slot| state.potential[fleet.gpu_of(slot)]) else {
                break;
            };
            slots[slot] = EMPTY;
            replicas[expert] -= 1;
            here.push(slot);
        }
        room.extend(here);
    }
    room.sort_unstable();
    (slots, room)
}

/// Gives each empty slot an expert that its GPU held at the `start`, oftener than now: one that it lacks,
/// or else a second replica. The slot's own comes first, then the first in order of slots. This costs
/// nothing, and there is one for every slot that was not empty at the start.
pub(crate) fn bring_back(slots: &mut [u16], start: &[u16], fleet: &Fleet) {
    for slot in 0..slots.len() {
        if slots[slot] != EMPTY {
            continue;
        }
        let gpu = fleet.slots(fleet.gpu_of(slot));
        let (held, here) = (&start[gpu.clone()], &slots[gpu]);
        let count = |row: &[u16], expert| row.iter().filter(|&&held| held == expert).count();
        let oftener = |expert| expert != EMPTY && count(held, expert) > count(here, expert);
        let back = || {
            let own = std::iter::once(start[slot]);
            own.chain(held.iter().copied()).filter(|&expert| oftener(expert))
        };
        let lacks = back().find(|expert| !here.contains(expert));
        slots[slot] = lacks.or_else(|| back().next()).unwrap_or(EMPTY);
    }
}
