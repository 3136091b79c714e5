//! Placements that exist already: the tables of a file, the map of an engine. The verifier checks
//! them.

use crate::error::{Error, ErrorKind, Place, named};
use crate::placement::{EMPTY, Placement};
use crate::problem::topology::Topology;
use crate::verify::structure::verify_structure;

impl Placement {
    /// The placement with these tables, for example from a file.
    ///
    /// # Errors
    /// The tables are inconsistent; the error names the first place.
    pub fn from_tables(
        topology: Topology,
        layers: usize,
        phy2log: Vec<i64>,
        rank: Vec<i64>,
        logcnt: Vec<i64>,
    ) -> Result<Self, Error> {
        let placement = Self { topology, layers, phy2log, rank, logcnt };
        verify_structure(&placement)?;
        Ok(placement)
    }

    /// The placement of an engine's map `phy2log`, `[layers, P]`; -1 is an empty slot. The replicas
    /// of an expert are ranked by slot.
    ///
    /// # Errors
    /// `phy2log` is empty or not a whole number of layers; a slot holds an unknown expert; an
    /// expert has no slot; there are too many slots; the groups of a hierarchical plan are not
    /// whole on their nodes.
    pub fn from_phy2log(phy2log: &[i64], topology: Topology) -> Result<Self, Error> {
        let (slots, experts) = (topology.num_replicas(), topology.num_experts());
        let layers = phy2log.len() / slots;
        if layers == 0 || layers * slots != phy2log.len() {
            return Err(not_whole(phy2log.len(), layers.max(1) * slots));
        }
        let mut placement = Self::zeroed(topology, layers)?;
        placement.phy2log.copy_from_slice(phy2log);
        for (layer, mut tables) in placement.layers_mut().enumerate() {
            let known = EMPTY..experts as i64;
            let mut held = tables.phy2log.iter().enumerate();
            if let Some((slot, &expert)) = held.find(|&(_, expert)| !known.contains(expert)) {
                return Err(unknown_expert(layer, slot, expert, experts));
            }
            tables.rank_by_slot();
            if let Some(expert) = tables.logcnt.iter().position(|&count| count == 0) {
                let place = Place::expert(layer, expert);
                return Err(Error::falsehood(place, "the expert has no slot")
                    .expected("at least one slot for each expert"));
            }
        }
        verify_structure(&placement)?;
        Ok(placement)
    }
}

fn not_whole(found: usize, needed: usize) -> Error {
    let entries = format!(" has {found} entries");
    Error::new(ErrorKind::Verification, [named("phy2log"), entries.into()])
        .expected(format!("{needed}, a whole number of layers"))
}

fn unknown_expert(layer: usize, slot: usize, expert: i64, experts: usize) -> Error {
    Error::falsehood(Place::slot(layer, slot), format!("unknown expert {expert}"))
        .expected(format!("0 to {}, or -1 for an empty slot", experts - 1))
}
