//! The policies by name. A new one is a file of its own and a line in [`Policy::ALL`].

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// How copies are given and placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// DeepSeek's published algorithm: Adams' method, greedy packing.
    DeepSeek,
    /// The seed's: Adams' method with a look-ahead tail, greedy packing, swap refinement.
    Adaptive,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 2] = [Self::DeepSeek, Self::Adaptive];

    /// The name users give.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DeepSeek => "deepseek",
            Self::Adaptive => "adaptive",
        }
    }

    /// The names of all policies.
    #[must_use]
    pub fn names() -> [&'static str; Self::ALL.len()] {
        Self::ALL.map(Self::name)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.name() == name)
            .ok_or_else(|| Error::UnknownPolicy { name: name.to_owned() })
    }
}
