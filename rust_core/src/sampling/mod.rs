//! Synthetic loads: the same numbers on every machine, as skewed as real models were measured to be.
//!
//! - [`Sample`]: windows of loads like those of a model in [`MODELS`]; what `eplb sample` draws.
//! - [`Drift`]: how the mix of domains of a sample changes from window to window.
//! - [`Family`]: seven textbook distributions, for benchmarks and tests of quality.
//! - [`SplitMix64`] and [`word`]: the random bits under both.
//!
//! Everything is computed in integers. Standard libraries differ in the last bit of `exp`, `ln` and
//! `cos`, so a sample made with floats would differ from machine to machine.
//!
//! ```
//! use eplb_core::CanonicalLoads;
//! use eplb_core::sampling::{Model, Sample};
//!
//! # fn main() -> Result<(), eplb_core::Error> {
//! let sample = Sample { seed: 7, layers: 2, ..Model::named("olmoe-1b-7b")?.sample() };
//! let counts = sample.loads()?; // one window: 2 layers x 64 experts
//! assert_eq!(counts[..64].iter().sum::<u64>(), sample.tokens * sample.top_k);
//! let loads = CanonicalLoads::new(&counts, 2, 64)?;
//! # Ok(())
//! # }
//! ```

mod distributions;
mod drift;
mod family;
mod fixed_point;
mod gamma;
mod model;
mod multinomial;
mod sample;
mod splitmix;
mod weights;

pub use drift::Drift;
pub use family::{Family, MAX_FAMILY_LAYERS, MAX_FAMILY_SEED};
pub use model::{MODELS, Model};
pub use sample::{MAX_DOMAINS, MAX_LOADS, MAX_TRIALS, Sample};
pub use splitmix::{SplitMix64, word};
