//! The policy `minimax`: the least largest GPU load that a search finds, with no two replicas of an
//! expert on one GPU.
//!
//! [`layer`] has the order of work: bound, candidates, best. [`search`] makes the candidates of a node:
//! replica counts by Adams' method ([`replica_counts`]), an initial placement by greedy packing, and its
//! improvement ([`improve`]) by moves; if these do not reach the target, other counts, and transferred
//! replicas. With several nodes, [`nodes`] puts groups on nodes first. [`budget`] says how long.
//!
//! All that is for equal GPUs. If those in use are equal, [`in_use`] plans them alone; else [`unequal`]
//! takes the same steps by other means.

mod budget;
mod candidate;
mod hot;
mod improve;
mod in_use;
mod lattice;
mod layer;
mod mixes;
mod moves;
mod nodes;
mod replica_counts;
mod search;
mod tables;
mod task;
#[cfg(test)]
mod tests;
mod unequal;

use crate::error::Error;
use crate::layer_planner::{Layer, LayerPlanner};
use crate::problem::options::{Options, Policy};
use crate::problem::topology::Topology;

use budget::Budget;
use in_use::InUseSearch;
use layer::LayerSearch;
use unequal::UnequalSearch;

/// The policy `minimax`.
#[derive(Debug)]
pub(crate) struct Minimax {
    /// Those of the effort that is asked for and of all shorter ones, longest first.
    budgets: Vec<Budget>,
    topology: Topology,
    search: Search,
}

/// How layers are planned.
#[derive(Debug)]
enum Search {
    /// For equal GPUs.
    Equal(Box<LayerSearch>),
    /// For equal GPUs beside others that are not in use.
    InUse(Box<InUseSearch>, Topology),
    Unequal(Box<UnequalSearch>),
}

impl Minimax {
    /// # Errors
    /// Some GPU would have to hold an expert twice; the target gap is negative or not finite.
    pub(crate) fn new(options: Options, topology: &Topology) -> Result<Self, Error> {
        let budgets = Budget::list(options, topology.in_use().unwrap_or(topology))?;
        topology.check_distinct(Policy::Minimax.name(), Some(Policy::DeepSeek.name()))?;
        let search = if topology.has_equal_gpus() {
            Search::Equal(Box::new(LayerSearch::new(options, topology)?))
        } else if let Some(in_use) = topology.in_use() {
            let search = InUseSearch::new(options, topology, in_use)?;
            Search::InUse(Box::new(search), in_use.clone())
        } else {
            Search::Unequal(Box::new(UnequalSearch::new(topology, &budgets)?))
        };
        Ok(Self { budgets, topology: topology.clone(), search })
    }
}

impl LayerPlanner for Minimax {
    fn plan(&mut self, layers: &mut [Layer<'_>]) {
        let Self { budgets, topology, search } = self;
        for layer in layers {
            match search {
                Search::Equal(search) => search.plan(layer, topology, budgets),
                Search::InUse(search, in_use) => search.plan(layer, topology, in_use, budgets),
                Search::Unequal(search) => search.plan(layer, topology, budgets),
            }
        }
    }
}
