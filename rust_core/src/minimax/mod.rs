//! The policy `minimax`: the least largest GPU load that a search finds, with no two replicas of an
//! expert on one GPU.
//!
//! [`layer`] has the order of work: bound, candidates, best. [`search`] makes the candidates of a node:
//! replica counts by Adams' method ([`replica_counts`]), an initial placement by greedy packing, and its
//! improvement ([`improve`]) by moves; if these do not reach the target, other counts, and transferred
//! replicas. With several nodes, [`nodes`] puts groups on nodes first. [`budget`] says how long.

mod budget;
mod candidate;
mod improve;
mod layer;
mod moves;
mod nodes;
mod replica_counts;
mod search;
mod tables;
mod task;
#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::layer_planner::{Layer, LayerPlanner};
use crate::problem::options::{Options, Policy};
use crate::problem::topology::Topology;

use budget::Budget;
use layer::LayerSearch;

/// The policy `minimax`.
#[derive(Debug)]
pub(crate) struct Minimax {
    /// Those of the effort that is asked for and of all shorter ones, longest first.
    budgets: Vec<Budget>,
    topology: Topology,
    search: LayerSearch,
}

impl Minimax {
    /// # Errors
    /// Some GPU would have to hold an expert twice; the target gap is negative or not finite.
    pub(crate) fn new(options: Options, topology: &Topology) -> Result<Self, Error> {
        let budgets = Budget::list(options, topology)?;
        topology.check_distinct(Policy::Minimax.name())?;
        Ok(Self { budgets, topology: topology.clone(), search: LayerSearch::default() })
    }
}

impl LayerPlanner for Minimax {
    fn plan(&mut self, layers: &mut [Layer<'_>]) {
        for layer in layers {
            self.search.plan(layer, &self.topology, &self.budgets);
        }
    }
}
