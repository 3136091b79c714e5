//! The tables of one layer while it is planned.

use crate::placement::{EMPTY, Placement};

/// A layer of a placement that is being written: `[P]` slots, `[P]` ranks, `[L]` counts.
#[derive(Debug)]
pub(crate) struct LayerTables<'a> {
    pub(crate) phy2log: &'a mut [i64],
    pub(crate) rank: &'a mut [i64],
    pub(crate) logcnt: &'a mut [i64],
}

impl LayerTables<'_> {
    pub(crate) fn reborrow(&mut self) -> LayerTables<'_> {
        let Self { phy2log, rank, logcnt } = self;
        LayerTables { phy2log, rank, logcnt }
    }

    /// Writes ranks and counts that follow from `phy2log`: replicas of an expert are ranked by slot.
    /// Takes experts of the model, or -1.
    pub(crate) fn rank_by_slot(&mut self) {
        self.logcnt.fill(0);
        for (&mut expert, rank) in self.phy2log.iter_mut().zip(&mut *self.rank) {
            *rank = EMPTY;
            if expert != EMPTY {
                let count = &mut self.logcnt[expert as usize];
                *rank = *count;
                *count += 1;
            }
        }
    }
}

impl Placement {
    /// The tables of all layers, one by one.
    pub(crate) fn layers_mut(&mut self) -> impl ExactSizeIterator<Item = LayerTables<'_>> {
        let (slots, experts) = (self.topology.num_replicas(), self.topology.num_experts());
        self.phy2log
            .chunks_exact_mut(slots)
            .zip(self.rank.chunks_exact_mut(slots))
            .zip(self.logcnt.chunks_exact_mut(experts))
            .map(|((phy2log, rank), logcnt)| LayerTables { phy2log, rank, logcnt })
    }
}
