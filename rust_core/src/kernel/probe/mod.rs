//! The peak after each step of planning, for tests. Without a listener it costs nothing.

#[cfg(test)]
pub(crate) mod tests;

/// A step that may change a peak, but never raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// One replica of each expert: replication begins. The peak is that of the replicas.
    Single,
    /// One more replica.
    Replica,
    /// Everything is packed: the improvement of a packing begins. The peak is that of the bins.
    Packed,
    /// One item for one of another bin.
    Swap,
    /// The replicas of one column, assigned anew.
    ReassignColumn,
    /// Two replicas for two of another GPU.
    SwapPairs,
    /// A slot for another expert, on trial: the improvement of a packing begins once more.
    Trial,
    /// The trial is better than everything before it.
    TransferReplica,
}

/// The largest load: that of one of so many replicas, or with one replica, of a bin.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "it is for listeners"))]
pub(crate) struct Peak {
    pub(crate) load: u64,
    pub(crate) replicas: u64,
}

impl Peak {
    /// The peak of bins.
    pub(crate) fn of_bins(load: u64) -> Self {
        Self { load, replicas: 1 }
    }
}

/// Is told the peak after every step.
pub(crate) trait Probe {
    fn step(&mut self, step: Step, peak: impl FnOnce() -> Peak);
}

/// No listener: no peak is computed.
#[derive(Debug, Default)]
pub(crate) struct Silent;

impl Probe for Silent {
    #[inline]
    fn step(&mut self, _: Step, _: impl FnOnce() -> Peak) {}
}
