//! Plans from outside: the tables of a file, the placement of an engine. The verifier lets them in.

use crate::error::Error;
use crate::placement::plan::Plan;
use crate::problem::topology::Topology;
use crate::verify::verify_structure;

impl Plan {
    /// The plan with these tables, as from a file.
    ///
    /// # Errors
    /// [`Error::Verification`] with the first thing that makes them no plan.
    pub fn from_tables(
        topology: Topology,
        layers: usize,
        phy2log: Vec<i64>,
        rank: Vec<i64>,
        logcnt: Vec<i64>,
    ) -> Result<Self, Error> {
        let plan = Self { topology, layers, phy2log, rank, logcnt };
        verify_structure(&plan)?;
        Ok(plan)
    }

    /// The plan of a placement `[layers, P]` that exists already: the copies of an expert are
    /// ranked by slot.
    ///
    /// # Errors
    /// [`Error::TableSize`] if `phy2log` is empty or no whole number of layers,
    /// [`Error::NoSuchExpert`], [`Error::MissingExpert`], [`Error::TooManySlots`], and
    /// [`Error::Verification`] where the groups of a hierarchical plan are not whole on their nodes.
    pub fn from_phy2log(phy2log: &[i64], topology: Topology) -> Result<Self, Error> {
        let (slots, experts) = (topology.num_replicas(), topology.num_experts());
        let layers = phy2log.len() / slots;
        if layers == 0 || layers * slots != phy2log.len() {
            return Err(Error::TableSize {
                name: "phy2log",
                found: phy2log.len(),
                expected: layers.max(1) * slots,
                per_layer_name: "num_replicas",
            });
        }
        let mut plan = Self::zeroed(topology, layers)?;
        plan.phy2log.copy_from_slice(phy2log);
        for layer in 0..layers {
            let logcnt = &mut plan.logcnt[layer * experts..][..experts];
            for slot in 0..slots {
                let expert = phy2log[layer * slots + slot];
                let count = usize::try_from(expert)
                    .ok()
                    .and_then(|expert| logcnt.get_mut(expert))
                    .ok_or(Error::NoSuchExpert { layer, slot, expert, experts })?;
                plan.rank[layer * slots + slot] = *count;
                *count += 1;
            }
            if let Some(expert) = logcnt.iter().position(|&count| count == 0) {
                return Err(Error::MissingExpert { layer, expert });
            }
        }
        verify_structure(&plan)?;
        Ok(plan)
    }
}
