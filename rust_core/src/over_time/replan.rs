//! Plans for the windows to come: from nothing, or from the placement in force with few moves.

use crate::error::{Error, Place, no_threads};
use crate::kernel::threads::share_out;
use crate::over_time::complete::complete;
use crate::over_time::error;
use crate::over_time::fleet::Fleet;
use crate::over_time::groups;
use crate::over_time::multiwindow;
use crate::over_time::objective::{Objective, mean_and_deviation};
use crate::over_time::previous::Previous;
use crate::over_time::repair;
use crate::over_time::screen::Screen;
use crate::over_time::search::{Limits, Step, improve};
use crate::over_time::slot::EMPTY;
use crate::over_time::state::{Move, State};
use crate::placement::Placement;
use crate::problem::history::LoadHistory;
use crate::problem::history::layer::LayerHistory;
use crate::problem::options::Policy;
use crate::problem::topology::Topology;

/// How many weight copies a layer may take in an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveLimit {
    /// A share of the slots, in millionths, rounded up.
    Share(u32),
    /// A number.
    Number(u64),
}

impl MoveLimit {
    fn copies(self, slots: usize) -> u64 {
        match self {
            Self::Share(share) => (slots as u64 * u64::from(share)).div_ceil(1_000_000),
            Self::Number(number) => number,
        }
    }
}

/// What an update may cost. A swap takes two weight copies, a reassigned slot one. Experts without a
/// replica get one whatever the limits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationOptions {
    /// What moving every slot once must gain, in millionths of the norm of the loads (the eighth root
    /// of the objective). The default is 10,000, that is 0.01.
    pub move_price: u32,
    /// The most copies of a layer: 0.2 of the slots by default.
    pub max_moves: MoveLimit,
    /// The same for a layer whose traffic has shifted, in which experts had no replica, whose GPUs have
    /// lost replicas, or of which slots were filled: 0.6 of the slots by default.
    pub max_moves_after_shift: MoveLimit,
    /// The most copies of all layers, spent where they gain most. By default there is no such limit.
    pub max_copies: Option<u64>,
    /// Whether empty slots get an expert, whatever the limits are: engines need one in every slot. By
    /// default they do.
    pub fill: bool,
}

impl Default for MigrationOptions {
    fn default() -> Self {
        Self {
            move_price: 10_000,
            max_moves: MoveLimit::Share(200_000),
            max_moves_after_shift: MoveLimit::Share(600_000),
            max_copies: None,
            fill: true,
        }
    }
}

/// What an update does to a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerMigration {
    /// Slots that get an expert which their GPU did not hold; all of them if there was no previous
    /// placement.
    pub copies: u64,
    /// The objective on the history, after experts without a replica got one and empty slots were filled,
    /// and at the end. Both are in one unit, which is another one for another layer.
    pub objective: [u64; 2],
    /// Whether the newest window was a shift of the traffic.
    pub shifted: bool,
    /// Whether nothing moves.
    pub kept: bool,
}

/// A placement for the windows to come, and what leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The new placement. An expert that stays on a GPU stays in its slot.
    pub placement: Placement,
    /// What happens to each layer, `[layers]`.
    pub layers: Vec<LayerMigration>,
}

/// Places the experts of every layer for the windows to come: no GPU gets an expert twice. With a
/// previous placement, few replicas move, and each move is worth its price.
///
/// Where groups are kept on nodes, they stay on theirs. If some group is on several nodes, or a node has
/// more groups than others (as after a node came back), groups are shared out anew.
///
/// A layer that has seen no load is planned for equal loads, and keeps its previous placement. A
/// previous second replica on a GPU stays only if nothing better comes into its slot, and counts for
/// nothing until then.
///
/// Layers are planned on up to `threads` threads, which change no answer. Time of a layer
/// O(slots * GPUs * rows) without a previous placement, and O(slots * rows) for each move with one.
///
/// # Errors
/// The history has another number of experts than the topology; a GPU has more slots than there are
/// experts for it; the previous placement has other layers, or an unknown expert; there are too many
/// slots, or not enough memory; `threads` is 0.
pub fn replan(
    history: &LoadHistory,
    topology: &Topology,
    previous: Option<Previous<'_>>,
    options: MigrationOptions,
    threads: usize,
) -> Result<Migration, Error> {
    let layers = history.layers();
    if threads == 0 {
        return Err(no_threads());
    }
    if history.experts() != topology.num_experts() {
        return Err(error::history_shape(history.experts(), topology.num_experts()));
    }
    topology.check_distinct(Policy::MultiWindow.name(), None)?;
    let fleet = Fleet::new(topology);
    if let Some(previous) = previous {
        let found = previous.layers()?;
        if found != layers {
            let problem = format!("the previous placement has {found} layers");
            let expected = format!("{layers}, as the history has");
            return Err(error::previous(Place::default(), problem, expected));
        }
    }
    let mut planned: Vec<Result<Planned, Error>> = Vec::new();
    planned.resize_with(layers, || Ok(Planned::default()));
    share_out(threads, planned.iter_mut().enumerate(), |(layer, planned)| {
        *planned = plan_layer(history.layer(layer), &fleet, previous, layer, options);
    });
    let mut planned = planned.into_iter().collect::<Result<Vec<_>, _>>()?;
    if let Some(most) = options.max_copies {
        spend(&mut planned, most);
    }
    let mut placement = Placement::zeroed(topology.clone(), layers)?;
    let mut results = Vec::with_capacity(layers);
    for ((layer, planned), mut tables) in
        planned.into_iter().enumerate().zip(placement.layers_mut())
    {
        let (slots, result) = planned.finish(&fleet, previous, layer, options.fill);
        fleet.write(&slots, tables.phy2log);
        tables.rank_by_slot();
        results.push(LayerMigration { shifted: history.layer(layer).shifted(), ..result });
    }
    Ok(Migration { placement, layers: results })
}

/// A layer before it is known how many of its moves are made.
#[derive(Debug, Default)]
struct Planned {
    /// Every expert has a replica.
    start: Vec<u16>,
    objective: u64,
    steps: Vec<Step>,
    /// Not known of a layer without a previous placement.
    zone_of_expert: Vec<u32>,
}

impl Planned {
    /// The slots at the end, and what happened on the way.
    fn finish(
        self,
        fleet: &Fleet,
        previous: Option<Previous<'_>>,
        layer: usize,
        fill: bool,
    ) -> (Vec<u16>, LayerMigration) {
        let Self { start, objective, steps, zone_of_expert } = self;
        let mut slots = start.clone();
        for step in &steps {
            match step.action {
                Move::Swap(a, b) => slots.swap(a as usize, b as usize),
                Move::Reassign(slot, expert) => slots[slot as usize] = expert,
            }
        }
        let end = steps.last().map_or(objective, |step| step.before - step.gain);
        if let Some(previous) = previous {
            previous.align(layer, fleet, &mut slots);
            if slots.contains(&EMPTY) {
                let mut before = start;
                if fill {
                    previous.restore_duplicates(layer, fleet, &mut before, &zone_of_expert);
                    repair::bring_back(&mut slots, &before, fleet);
                    previous.align(layer, fleet, &mut slots); // for what came back
                } else {
                    previous.restore_duplicates(layer, fleet, &mut slots, &zone_of_expert);
                }
            }
        }
        let copies = match previous {
            None => slots.iter().filter(|&&expert| expert != EMPTY).count() as u64,
            Some(previous) => previous.copies(layer, fleet, &slots),
        };
        let objective = [objective, end];
        (slots, LayerMigration { copies, objective, shifted: false, kept: copies == 0 })
    }
}

/// Plans a layer with as many rows as fit its history.
fn plan_layer(
    history: &LayerHistory,
    fleet: &Fleet,
    previous: Option<Previous<'_>>,
    layer: usize,
    options: MigrationOptions,
) -> Result<Planned, Error> {
    let Some(previous) = previous else {
        let (start, objective) = multiwindow::plan_layer(history, fleet);
        return Ok(Planned { start, objective, ..Planned::default() });
    };
    let equal;
    let (history, options) = if history.rows().is_empty() {
        equal = LayerHistory::of_equal_loads(fleet.experts());
        let nothing = MoveLimit::Number(0);
        (&equal, MigrationOptions { max_moves: nothing, max_moves_after_shift: nothing, ..options })
    } else {
        (history, options)
    };
    match history.rows().len() {
        0..=4 => update_rows::<4>(history, fleet, previous, layer, options),
        5..=8 => update_rows::<8>(history, fleet, previous, layer, options),
        9..=16 => update_rows::<16>(history, fleet, previous, layer, options),
        _ => update_rows::<32>(history, fleet, previous, layer, options),
    }
}

fn update_rows<const N: usize>(
    history: &LayerHistory,
    fleet: &Fleet,
    previous: Previous<'_>,
    layer: usize,
    options: MigrationOptions,
) -> Result<Planned, Error> {
    let weights = history.planning_weights();
    let objective = Objective::<N>::new(history, &weights, fleet.mean_gpus());
    let mut held = previous.slots(layer, fleet)?;
    let zone_of_expert = groups::of_placement(&held, fleet)
        .unwrap_or_else(|| groups::near_placement(&held, fleet, &objective));
    let strays = leave_other_zones(&mut held, fleet, &zone_of_expert);
    let mut state = State::new(fleet, &objective, held, zone_of_expert);
    let empty = previous.empty_slots(layer, fleet, &state.slots, &state.zone_of_expert);
    let lacks = state.replicas.contains(&0) || (options.fill && !empty.is_empty());
    if lacks {
        let expected = mean_and_deviation(history, &weights);
        let (mut slots, room) = repair::make_room(&state, &expected, &empty, options.fill);
        let zone_of_expert = state.zone_of_expert;
        complete(fleet, &objective, &expected, &zone_of_expert, &mut slots, &room);
        // Anew, for the headroom.
        state = State::new(fleet, &objective, slots, zone_of_expert);
    }
    let changed = lacks || strays || previous.loses_replicas(layer, fleet);
    let limit = if history.shifted() || changed {
        options.max_moves_after_shift
    } else {
        options.max_moves
    };
    let limits = Limits { copies: limit.copies(fleet.num_slots()), price: options.move_price };
    let (start, total) = (state.slots.clone(), state.total());
    let steps = if limits.copies == 0 {
        Vec::new()
    } else {
        let mut finder = Screen::new(&state);
        improve(&mut state, &mut finder, limits)
    };
    Ok(Planned { start, objective: total, steps, zone_of_expert: state.zone_of_expert })
}

/// Empties slots whose experts belong to another zone now, and tells whether there are any.
fn leave_other_zones(slots: &mut [u16], fleet: &Fleet, zone_of_expert: &[u32]) -> bool {
    let mut any = false;
    for (slot, expert) in slots.iter_mut().enumerate().filter(|(_, expert)| **expert != EMPTY) {
        if zone_of_expert[*expert as usize] as usize != fleet.zone_of(fleet.gpu_of(slot)) {
            *expert = EMPTY;
            any = true;
        }
    }
    any
}

/// Shortens the lists of steps, which must be made in order, to so many copies in all: of the next
/// steps of all layers, the one with the largest relative gain per copy is made first. A layer whose
/// next step takes more copies than are left is done. Ties: the lower layer.
fn spend(planned: &mut [Planned], most: u64) {
    let mut left = most;
    let mut taken = vec![0; planned.len()];
    loop {
        // gain / (objective * copies), compared across.
        let mut best: Option<(usize, Step)> = None;
        for (layer, planned) in planned.iter().enumerate() {
            let Some(&step) = planned.steps.get(taken[layer]) else { continue };
            if step.copies > left {
                continue;
            }
            let worth = |step: Step, other: Step| {
                u128::from(step.gain) * u128::from(other.before) * u128::from(other.copies)
            };
            if best.is_none_or(|(_, best)| worth(step, best) > worth(best, step)) {
                best = Some((layer, step));
            }
        }
        let Some((layer, step)) = best else { break };
        taken[layer] += 1;
        left -= step.copies;
    }
    for (planned, taken) in planned.iter_mut().zip(taken) {
        planned.steps.truncate(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::{Planned, spend};
    use crate::over_time::search::Step;
    use crate::over_time::state::Move;

    fn planned(steps: &[(u64, u64, u64)]) -> Planned {
        let step =
            |&(copies, gain, before)| Step { action: Move::Swap(0, 1), copies, gain, before };
        Planned { steps: steps.iter().map(step).collect(), ..Planned::default() }
    }

    fn taken(layers: &[&[(u64, u64, u64)]], most: u64) -> Vec<usize> {
        let mut layers: Vec<Planned> = layers.iter().map(|steps| planned(steps)).collect();
        spend(&mut layers, most);
        layers.iter().map(|layer| layer.steps.len()).collect()
    }

    #[test]
    fn copies_are_spent_where_they_gain_most() {
        let same: &[_] = &[(1, 10, 100), (1, 5, 90)];
        // Ties: the lower layer.
        assert_eq!(taken(&[same, same], 1), [1, 0]);
        assert_eq!(taken(&[same, same], 3), [2, 1]);
        assert_eq!(taken(&[same, same], 9), [2, 2]);
        assert_eq!(taken(&[same, same], 0), [0, 0]);
        // Relative to the objective, per copy.
        assert_eq!(taken(&[same, &[(1, 6, 50)]], 1), [0, 1]);
        assert_eq!(taken(&[same, &[(2, 19, 100)]], 2), [2, 0]);
        assert_eq!(taken(&[same, &[(2, 21, 100)]], 2), [0, 1]);
        // A layer whose next step takes more than is left is done, others go on.
        assert_eq!(taken(&[&[(2, 90, 100), (1, 9, 10)], same], 1), [0, 1]);
    }
}
