//! The kinds of lower bounds, and the bound of one layer.

use std::fmt;
use std::str::FromStr;

/// Which argument a lower bound rests on. Of equal bounds the first of these kinds is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Bound {
    /// The mean GPU load: some GPU carries at least that.
    Mean,
    /// Adams' optimum: however the slots are shared, some replica carries at least that.
    Adams,
    /// However the groups are put on nodes, some node, and so one of its GPUs, carries at least
    /// that. Only for a hierarchical plan with several nodes.
    Node,
    /// However whole experts are put on GPUs, some GPU carries at least that. Only without
    /// redundant slots, so that every expert has one replica.
    Packing,
    /// Below it too many replicas would be too heavy to share a GPU: however the slots are shared,
    /// at most j replicas larger than T/(j+1) fit on a GPU that carries at most T.
    Counting,
}

impl Bound {
    /// Every kind, in order.
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

    /// What holds the bound up, in a few words: "bound by ...".
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Mean => "the mean load",
            Self::Adams => "the largest share of an expert",
            Self::Node => "the best packing of groups on nodes",
            Self::Packing => "the packing of experts, without redundant slots",
            Self::Counting => "replicas too heavy to share a GPU",
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

/// What the busiest GPU of any plan of a layer carries at least, in packing loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerBound {
    pub(crate) load: u64,
    pub(crate) kind: Bound,
    /// The same, if groups need not stay together.
    pub(crate) without_groups: u64,
}
