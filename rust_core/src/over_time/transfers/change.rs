//! What changes in a layer.

use crate::error::{Error, Place};
use crate::over_time::error;
use crate::over_time::slot::EMPTY;
use crate::over_time::transfers::layout::Layout;

/// What each cell of a layer holds and is to hold, [`EMPTY`] being nothing.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) held: Vec<u16>,
    pub(super) wanted: Vec<u16>,
    pub(super) experts: usize,
}

impl Change {
    /// Reads a layer of both placements.
    ///
    /// # Errors
    /// An expert is unknown, or the new placement has no slot for one.
    pub(super) fn read(
        layer: usize,
        old: &[i64],
        new: &[i64],
        layout: &Layout,
        experts: usize,
    ) -> Result<Self, Error> {
        let held = layout.old_cells(&known(old, experts, layer, error::previous)?);
        let wanted = layout.new_cells(&known(new, experts, layer, error::next)?);
        let mut placed = vec![false; experts];
        for &expert in wanted.iter().filter(|&&expert| expert != EMPTY) {
            placed[expert as usize] = true;
        }
        match placed.iter().position(|&placed| !placed) {
            Some(expert) => Err(error::no_slot(layer, expert)),
            None => Ok(Self { held, wanted, experts }),
        }
    }

    /// Whether an expert has to come into the cell.
    pub(super) fn is_pending(&self, cell: usize) -> bool {
        self.wanted[cell] != EMPTY && self.wanted[cell] != self.held[cell]
    }
}

/// A row of a placement as narrow numbers.
fn known(
    row: &[i64],
    experts: usize,
    layer: usize,
    refuse: fn(Place, String, String) -> Error,
) -> Result<Vec<u16>, Error> {
    let narrow = |(slot, &expert): (usize, &i64)| match usize::try_from(expert) {
        Ok(expert) if expert < experts => Ok(expert as u16),
        Err(_) if expert == -1 => Ok(EMPTY),
        _ => {
            let expected = format!("0 to {}, or -1 for an empty slot", experts - 1);
            Err(refuse(Place::slot(layer, slot), format!("unknown expert {expert}"), expected))
        }
    };
    row.iter().enumerate().map(narrow).collect()
}
