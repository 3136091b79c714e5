//! What is to be planned: the loads or the history, the cluster with the sizes, the options.

pub(crate) mod cluster;
pub(crate) mod history;
pub(crate) mod loads;
pub(crate) mod loads_sha256;
pub(crate) mod number;
pub(crate) mod options;
pub(crate) mod ratio;
pub(crate) mod share;
pub(crate) mod topology;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, parameter};
use history::LoadHistory;
use loads::CanonicalLoads;
use options::{Gap, Options, Policy};
use topology::Topology;

/// A problem: loads or a history of them, the sizes to plan for, and how to plan.
#[derive(Debug, Clone)]
pub struct Problem {
    pub(crate) loads: CanonicalLoads,
    pub(crate) history: Option<Arc<LoadHistory>>,
    pub(crate) topology: Topology,
    pub(crate) options: Options,
}

impl Problem {
    /// The problem of planning `loads` for the sizes of `topology`. A
    /// [`Policy`](crate::Policy) alone has the default options.
    ///
    /// # Errors
    /// The loads have another number of experts than the topology; the target gap is negative or not
    /// finite.
    pub fn new(
        loads: &CanonicalLoads,
        topology: &Topology,
        options: impl Into<Options>,
    ) -> Result<Self, Error> {
        loads.check_shape(loads.layers(), topology.num_experts())?;
        let options = options.into();
        options.target_gap.map(Gap::new).transpose()?;
        Ok(Self { loads: loads.clone(), history: None, topology: topology.clone(), options })
    }

    /// The problem of planning for the windows that follow a history, by a policy that plans from
    /// histories: [`Policy::MultiWindow`]. The loads of the problem, for which plans are certified, are
    /// those of the newest window.
    ///
    /// # Errors
    /// The history has another number of experts than the topology; the policy plans from loads only.
    pub fn of_history(
        history: &Arc<LoadHistory>,
        topology: &Topology,
        options: impl Into<Options>,
    ) -> Result<Self, Error> {
        let problem = Self::new(&history.newest(), topology, options)?;
        let policy = problem.options.policy;
        if !policy.plans_histories() {
            let wrong =
                [parameter("policy", policy), " plans from loads, not from a history".into()];
            return Err(Error::new(ErrorKind::Option, wrong)
                .expected(Policy::MultiWindow.name())
                .hint(["give the loads of one window for another policy".into()]));
        }
        Ok(Self { history: Some(Arc::clone(history)), ..problem })
    }

    /// The canonical loads; of the newest window, if there is a history.
    #[must_use]
    pub fn loads(&self) -> &CanonicalLoads {
        &self.loads
    }

    /// The sizes.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The policy and its options.
    #[must_use]
    pub fn options(&self) -> Options {
        self.options
    }
}
