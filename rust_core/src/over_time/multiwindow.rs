//! The policy `multiwindow`: plans for the windows to come, as far as a history tells.

use crate::error::Error;
use crate::layer_planner::{Layer, LayerPlanner};
use crate::over_time::cold;
use crate::over_time::fleet::Fleet;
use crate::over_time::objective::{Objective, mean_and_deviation};
use crate::over_time::screen::Screen;
use crate::over_time::search::{Limits, improve};
use crate::over_time::state::State;
use crate::problem::history::layer::{HistoryOptions, LayerHistory};
use crate::problem::options::Policy;
use crate::problem::topology::Topology;

/// The planner of the policy. Layers without a history are planned for their loads as the only window.
#[derive(Debug)]
pub(crate) struct MultiWindow {
    fleet: Fleet,
}

impl MultiWindow {
    /// # Errors
    /// A GPU has more slots than there are experts for it.
    pub(crate) fn new(topology: &Topology) -> Result<Self, Error> {
        topology.check_distinct(Policy::MultiWindow.name(), Some(Policy::DeepSeek.name()))?;
        Ok(Self { fleet: Fleet::new(topology) })
    }
}

impl LayerPlanner for MultiWindow {
    fn plan(&mut self, layers: &mut [Layer<'_>]) {
        for layer in layers {
            let single;
            let history = if let Some(history) = layer.history {
                history
            } else {
                single = of_one_window(layer.loads);
                &single
            };
            let (slots, _) = plan_layer(history, &self.fleet);
            self.fleet.write(&slots, layer.tables.phy2log);
            layer.tables.rank_by_slot();
        }
    }
}

fn of_one_window(loads: &[u64]) -> LayerHistory {
    let mut history = LayerHistory::default();
    history.observe(loads, HistoryOptions::default());
    history
}

/// This many times the slots, in copies, end the search of a new plan at the latest.
const ROUNDS: u64 = 4;

/// What a move of a new plan must be worth, as `move_price`. Its copies are free, but not its time: at a
/// tenth of the usual price a plan takes half the time that it takes at no price, and is as good.
const PRICE: u32 = 1_000;

/// Experts in all slots for a history, and the objective that they reach. A layer that has seen no
/// load is planned for equal loads.
pub(crate) fn plan_layer(history: &LayerHistory, fleet: &Fleet) -> (Vec<u16>, u64) {
    match history.rows().len() {
        0 => plan_rows::<4>(&LayerHistory::of_equal_loads(fleet.experts()), fleet),
        1..=4 => plan_rows::<4>(history, fleet),
        5..=8 => plan_rows::<8>(history, fleet),
        9..=16 => plan_rows::<16>(history, fleet),
        _ => plan_rows::<32>(history, fleet),
    }
}

fn plan_rows<const N: usize>(history: &LayerHistory, fleet: &Fleet) -> (Vec<u16>, u64) {
    let weights = history.planning_weights();
    let objective = Objective::<N>::new(history, &weights, fleet.mean_gpus());
    let expected = mean_and_deviation(history, &weights);
    let expected: Vec<u64> = (0..fleet.experts() as u16).map(expected).collect();
    let expected = |expert: u16| expected[expert as usize];
    let (slots, zone_of_expert) = cold::place(fleet, &objective, expected);
    let limits = Limits { copies: ROUNDS * slots.len() as u64, price: PRICE };
    let mut state = State::new(fleet, &objective, slots, zone_of_expert);
    let mut finder = Screen::new(&state);
    improve(&mut state, &mut finder, limits);
    let total = state.total();
    (state.slots, total)
}
