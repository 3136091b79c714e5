//! How the replicas of each expert share its load, and what GPUs then carry: a row per layer.

use crate::error::{Error, Place};
use crate::placement::{EMPTY, Placement};
use crate::problem::loads_sha256::LoadsSha256;
use crate::problem::ratio::{Fraction, rounded_quotient};

/// For a placement and loads, the share of each slot in its expert's load.
///
/// Made by [`split`](crate::split), and checked by [`verify_split`](crate::verify_split). Loads are
/// integers: `load / unit / 2^exponent` is in the unit of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The share of each slot is its numerator / the denominator of its expert, `[layers, P]`; 0 for
    /// an empty slot. None is negative. The numerators of an expert sum to its denominator.
    pub numerators: Vec<i64>,
    /// The denominator of each expert, `[layers, L]`, at least 1.
    pub denominators: Vec<i64>,
    /// What GPUs carry, one row per layer.
    pub layers: Vec<LayerSplit>,
    /// Hash of the loads that the split is for.
    pub loads_sha256: LoadsSha256,
}

impl Split {
    /// The share of each slot of the placement that was split, correctly rounded, `[layers, P]`; 0 for
    /// an empty slot.
    ///
    /// # Errors
    /// The placement has other sizes.
    pub fn shares(&self, placement: &Placement) -> Result<Vec<f64>, Error> {
        let experts = placement.topology().num_experts();
        let phy2log = placement.phy2log();
        if phy2log.len() != self.numerators.len()
            || self.denominators.len() != placement.layers() * experts
        {
            return Err(Error::falsehood(Place::default(), "the split is of another placement"));
        }
        let share = |(slot, (&expert, &numerator)): (usize, (&i64, &i64))| {
            if expert == EMPTY {
                return 0.0;
            }
            let layer = slot / placement.topology().num_replicas();
            let denominator = self.denominators[layer * experts + expert as usize];
            rounded_quotient(numerator.max(0) as u128, denominator.max(1) as u128, 0)
        };
        Ok(phy2log.iter().zip(&self.numerators).enumerate().map(share).collect())
    }
}

/// What the GPUs of one layer carry, and why they cannot carry less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSplit {
    /// Loads of GPUs are in this fraction of a canonical load.
    pub unit: u64,
    /// Load of each GPU, `[G]`, exactly.
    pub gpu_load: Vec<u64>,
    /// The largest load of a GPU, divided by its speed, in canonical loads.
    pub attained: Fraction,
    /// The least that this can be, whatever the shares: the load of the experts that only the
    /// [busy GPUs](Self::busy_gpus) hold, divided by their speeds together.
    pub lower_bound: Fraction,
    /// The GPUs that bound it, ascending.
    pub busy_gpus: Vec<usize>,
    /// The largest load of a GPU, divided by its speed, if the replicas of an expert share equally.
    pub attained_by_equal_shares: Fraction,
    /// All loads of the layer, divided by the speeds of all GPUs in use: the mean.
    pub mean: Fraction,
    /// The unit of the loads: the exponent of the layer's canonical loads.
    pub exponent: i32,
}

impl LayerSplit {
    /// Load of each GPU in the unit of the input, correctly rounded, `[G]`.
    pub fn gpu_load_in_units(&self) -> impl Iterator<Item = f64> {
        let unit = u128::from(self.unit.max(1));
        let exponent = self.exponent.saturating_neg();
        self.gpu_load.iter().map(move |&load| rounded_quotient(load.into(), unit, exponent))
    }

    /// [`Self::attained`] in the unit of the input, correctly rounded.
    #[must_use]
    pub fn attained_in_units(&self) -> f64 {
        self.attained.rounded(self.exponent.saturating_neg())
    }

    /// [`Self::lower_bound`] in the unit of the input, correctly rounded.
    #[must_use]
    pub fn lower_bound_in_units(&self) -> f64 {
        self.lower_bound.rounded(self.exponent.saturating_neg())
    }

    /// Mean GPU load / largest GPU load, correctly rounded; 1 if all are 0. If GPUs differ in speed, all
    /// loads / all speeds / largest GPU load by its speed.
    #[must_use]
    pub fn balancedness(&self) -> f64 {
        self.mean.rounded_over(self.attained)
    }

    /// The same for equal shares.
    #[must_use]
    pub fn balancedness_of_equal_shares(&self) -> f64 {
        self.mean.rounded_over(self.attained_by_equal_shares)
    }
}
