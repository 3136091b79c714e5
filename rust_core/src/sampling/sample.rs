//! Loads like those of a model: log loads are normal, counts multinomial.

use super::distributions::normal;
use super::multinomial::share;
use super::splitmix::word;
use super::weights::{cap, outliers, powers_of_two, set_outliers};
use crate::error::{Error, out_of_range};
use crate::limits::MAX_EXPERTS;
use crate::problem::number::Load;

pub use super::distributions::MAX_TRIALS;

/// Most loads of a sample: windows * layers * experts.
pub const MAX_LOADS: u64 = 1 << 26;

const MAX_SPREAD: f64 = 4.0;

/// 1 / ln 2, in 30 binary places.
const LOG2_E: u64 = 1_549_082_005;

/// Square roots of 30, 67 and 3 %, in 16 binary places: the shares of the variance of a log load
/// that all windows have in common, that a domain has, and that a window has.
///
/// Log loads of two domains correlate at 0.30 and of two windows of a domain at 0.97, however far
/// apart the windows are: the first and last examples of OLMoE as much as neighbours.
const ROOTS: [i64; 3] = [35_895, 53_643, 11_351];

/// What random words are for.
#[derive(Clone, Copy)]
enum Purpose {
    Common,
    Domain,
    Window,
    Outliers,
    Counts,
}

/// What to draw: windows of loads of `layers` x `experts`, each load a count of assignments.
///
/// A layer has `tokens * top_k` assignments, an expert at most `tokens` of them. Each answer depends
/// on these fields alone, and a layer is the same whatever the number of layers, as is a window of
/// the first domain whatever the number of windows.
///
/// [`super::Model::sample`] fills the fields from a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Each gives another sample.
    pub seed: u64,
    /// MoE layers.
    pub layers: u64,
    /// Logical experts of a layer, at most [`MAX_EXPERTS`].
    pub experts: u64,
    /// Experts per token, at most `experts`.
    pub top_k: u64,
    /// Tokens of a window; `tokens * top_k` is at most [`MAX_TRIALS`].
    pub tokens: u64,
    /// Standard deviation of the log load over the experts of a layer, outliers aside: 0 to 4.
    pub spread: f64,
    /// Fewest and most outliers of a layer, which carry 4 to 13 times the mean load. At most half
    /// of the experts are outliers.
    pub outliers: [u64; 2],
    /// Windows.
    pub windows: u64,
    /// Domains of traffic that follow one another, in equal shares of the windows.
    pub domains: u64,
}

impl Sample {
    /// Draws the loads, `[windows, layers, experts]`, in O(loads * log tokens).
    ///
    /// # Errors
    ///
    /// A field is out of range; the error names it, its value and what is accepted.
    pub fn loads(&self) -> Result<Vec<u64>, Error> {
        self.check()?;
        let log2_spread = self.log2_spread()?;
        let [windows, layers, experts] =
            [self.windows, self.layers, self.experts].map(|size| size as usize);
        let mut loads = vec![0; windows * layers * experts];
        for layer in 0..layers {
            let mut drawn = Layer::new(self, log2_spread, layer as u64);
            for window in 0..windows {
                let row = &mut loads[(window * layers + layer) * experts..][..experts];
                drawn.draw(window as u64, row);
            }
        }
        Ok(loads)
    }

    /// Checks all fields but the spread.
    fn check(&self) -> Result<(), Error> {
        for (name, size) in [
            ("layers", self.layers),
            ("experts", self.experts),
            ("top_k", self.top_k),
            ("tokens", self.tokens),
            ("windows", self.windows),
            ("domains", self.domains),
        ] {
            if size == 0 {
                return Err(out_of_range(name, 0, "at least 1"));
            }
        }
        let Self { experts, top_k, windows, outliers: [fewest, most], .. } = *self;
        let once = ", the number of experts: a token goes to an expert at most once";
        let most_windows = MAX_LOADS / experts.min(MAX_LOADS);
        let table = format!(" with {windows} x {experts} loads (windows x experts) in a layer");
        at_most("experts", experts, MAX_EXPERTS, "")?;
        at_most("top_k", top_k, experts, once)?;
        at_most("tokens", self.tokens, MAX_TRIALS / top_k, &format!(" with top_k={top_k}"))?;
        at_most("windows", windows, most_windows, &format!(" with {experts} experts"))?;
        at_most("layers", self.layers, most_windows / windows, &table)?;
        at_most("domains", self.domains, windows, ", the number of windows")?;
        at_most("outliers[0]", fewest, most, ", the most outliers")?;
        at_most("outliers[1]", most, MAX_EXPERTS, "")
    }

    /// The domain of a window: domain d begins with window `windows * d / domains`.
    fn domain(&self, window: u64) -> u64 {
        ((window + 1) * self.domains - 1) / self.windows
    }

    /// The spread of logarithms to base 2, in 16 binary places.
    fn log2_spread(&self) -> Result<i64, Error> {
        let expected = || {
            let range = format!("0 to {MAX_SPREAD} (real models: 0.1 to 1.6)");
            out_of_range("spread", format!("{:?}", self.spread), range)
        };
        let key = self.spread.key().filter(|_| self.spread <= MAX_SPREAD).ok_or_else(expected)?;
        // The mantissa of a number up to 4 has at least 50 binary places.
        let (mantissa, exponent) = f64::decode(key);
        let spread = mantissa.checked_shr((-16 - exponent) as u32).unwrap_or(0);
        Ok(((spread * LOG2_E) >> 30) as i64)
    }
}

fn at_most(name: &'static str, value: u64, most: u64, why: &str) -> Result<(), Error> {
    if value <= most {
        return Ok(());
    }
    Err(out_of_range(name, value, format!("at most {most}{why}")))
}

/// The windows of a layer, drawn one after another.
///
/// The log loads of a window are a mix of normal numbers: those with the index 0, which all windows
/// share, those of its domain, and its own. A drift of the traffic is another choice of indices and
/// shares.
struct Layer<'a> {
    sample: &'a Sample,
    number: u64,
    log2_spread: i64,
    parts: [Drawn<i64>; 3],
    outliers: Drawn<u64>,
}

impl<'a> Layer<'a> {
    fn new(sample: &'a Sample, log2_spread: i64, number: u64) -> Self {
        let parts = [Drawn::default(), Drawn::default(), Drawn::default()];
        Self { sample, number, log2_spread, parts, outliers: Drawn::default() }
    }

    /// Draws the loads of a window.
    fn draw(&mut self, window: u64, loads: &mut [u64]) {
        let Sample { seed, top_k, tokens, .. } = *self.sample;
        let (number, experts) = (self.number, loads.len());
        let key = |purpose, index| word(word(word(word(seed, 0), purpose as u64), index), number);
        let domain = self.sample.domain(window);
        let sources = [(Purpose::Common, 0), (Purpose::Domain, domain), (Purpose::Window, window)];
        for (part, (purpose, index)) in self.parts.iter_mut().zip(sources) {
            part.draw(key(purpose, index), |key| {
                (0..experts as u64).map(|expert| normal(word(key, expert))).collect()
            });
        }
        self.outliers.draw(key(Purpose::Outliers, domain), |key| {
            outliers(key, self.sample.outliers, experts)
        });
        let exponents: Vec<i64> = (0..experts).map(|expert| self.log2_load(expert)).collect();
        let mut weights = powers_of_two(&exponents);
        set_outliers(&mut weights, &self.outliers.numbers);
        cap(&mut weights, top_k);
        share(loads, &weights, tokens * top_k, tokens, key(Purpose::Counts, window));
    }

    /// The logarithm of an expert's load over that of the median, to base 2, in 20 binary places.
    fn log2_load(&self, expert: usize) -> i64 {
        let parts = ROOTS.iter().zip(&self.parts);
        let mixed = parts.map(|(root, part)| root * part.numbers[expert]).sum::<i64>() >> 16;
        (self.log2_spread * mixed) >> 16
    }
}

/// Numbers of the experts under a key, kept for the next window if it has the same key.
#[derive(Default)]
struct Drawn<T> {
    key: Option<u64>,
    numbers: Vec<T>,
}

impl<T> Drawn<T> {
    fn draw(&mut self, key: u64, numbers: impl FnOnce(u64) -> Vec<T>) {
        if self.key != Some(key) {
            *self = Self { key: Some(key), numbers: numbers(key) };
        }
    }
}
