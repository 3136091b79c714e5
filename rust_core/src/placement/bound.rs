//! The kinds of lower bounds.

use std::fmt;
use std::str::FromStr;

/// Which argument a lower bound rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// The mean GPU load: some GPU carries at least that.
    Mean,
    /// Adams' optimum: however the slots are shared out, some copy carries at least that.
    Adams,
    /// However the groups are put on nodes, some node, and so one of its GPUs, carries at least
    /// that. Only where a hierarchical plan has several nodes.
    Node,
    /// However whole experts are put on GPUs, some GPU carries at least that. Only where no slot is
    /// spare, so that every expert has one copy.
    Packing,
    /// Below it too many copies would be too heavy to share a GPU: however the slots are shared
    /// out, at most j copies larger than T/(j+1) fit on a GPU that carries at most T.
    Counting,
}

impl Bound {
    /// Every kind. Of equal bounds the first of these is named.
    pub const ALL: [Self; 5] = [Self::Mean, Self::Adams, Self::Node, Self::Packing, Self::Counting];

    /// The name in plan files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Adams => "adams",
            Self::Node => "node",
            Self::Packing => "packing",
            Self::Counting => "counting",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bound {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|bound| bound.name() == name).ok_or(())
    }
}
