//! What planners can tell of their steps: the peak after each. It costs nothing where nobody
//! listens.

#[cfg(test)]
pub(crate) mod tests;

/// A step that may change a peak, but never raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// One copy of each expert: replication begins. The peak is that of the copies.
    Single,
    /// One copy more.
    Copy,
    /// Everything is packed: the improvement of a packing begins. The peak is that of the packs.
    Deal,
    /// One item for one of another pack.
    Swap,
    /// The copies of one column anew.
    Rematch,
    /// Two copies for two of another GPU.
    PairSwap,
    /// A copy for another expert, on trial: the improvement of a packing begins once more.
    Trial,
    /// The trial is better than everything before it.
    Retarget,
}

/// The largest load: that of one of so many copies, or with one copy, of a pack.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "it is for who listens"))]
pub(crate) struct Peak {
    pub(crate) load: u64,
    pub(crate) copies: u64,
}

impl Peak {
    /// The peak of packs.
    pub(crate) fn of_packs(load: u64) -> Self {
        Self { load, copies: 1 }
    }
}

/// Told the peak after every step.
pub(crate) trait Trace {
    fn step(&mut self, step: Step, peak: impl FnOnce() -> Peak);
}

/// Nobody listens: no peak is computed.
#[derive(Debug, Default)]
pub(crate) struct Silent;

impl Trace for Silent {
    #[inline]
    fn step(&mut self, _: Step, _: impl FnOnce() -> Peak) {}
}
