//! What is to be planned: the loads, the cluster with the sizes, the options.

pub(crate) mod cluster;
pub(crate) mod loads;
pub(crate) mod loads_sha256;
pub(crate) mod number;
pub(crate) mod options;
pub(crate) mod ratio;
pub(crate) mod share;
pub(crate) mod topology;

use crate::error::Error;
use loads::CanonicalLoads;
use options::{Gap, Options};
use topology::Topology;

/// A problem: loads, the sizes to plan them for, and how to plan.
#[derive(Debug, Clone)]
pub struct Problem {
    pub(crate) loads: CanonicalLoads,
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
        Ok(Self { loads: loads.clone(), topology: topology.clone(), options })
    }

    /// The canonical loads.
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
