//! Loads like those of a model: log loads are normal, counts multinomial.

use super::distributions::normal;
use super::drift::{Drift, SHARE_PLACES};
use super::multinomial::share;
use super::splitmix::word;
use super::weights::{cap, outliers, powers_of_two, set_outliers};
use crate::error::{Error, out_of_range};
use crate::limits::MAX_EXPERTS;
use crate::problem::number::Load;

pub use super::distributions::MAX_TRIALS;
pub use super::drift::MAX_DOMAINS;

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
    Mix,
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
    /// Domains of traffic. Without a drift they follow one another, in equal shares of the windows.
    pub domains: u64,
    /// How the mix of the domains, 2 to [`MAX_DOMAINS`] of them, changes from window to window.
    pub drift: Option<Drift>,
}

impl Sample {
    /// Draws the loads, `[windows, layers, experts]`, in O(loads * log tokens); a drift takes O(1) more
    /// for each load and domain.
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
        let mixes = self.mixes();
        for layer in 0..layers {
            let mut drawn = Layer::new(self, log2_spread, layer as u64);
            for window in 0..windows {
                let row = &mut loads[(window * layers + layer) * experts..][..experts];
                drawn.draw(window as u64, mixes.get(window).map(Vec::as_slice), row);
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
        if let Some(drift) = self.drift {
            if !(2..=MAX_DOMAINS).contains(&self.domains) {
                let expected = format!("2 to {MAX_DOMAINS} with drift={drift}");
                return Err(out_of_range("domains", self.domains, expected));
            }
        } else {
            at_most("domains", self.domains, windows, ", the number of windows")?;
        }
        at_most("outliers[0]", fewest, most, ", the most outliers")?;
        at_most("outliers[1]", most, MAX_EXPERTS, "")
    }

    /// The domain of a window: domain d begins with window `windows * d / domains`.
    fn domain(&self, window: u64) -> u64 {
        ((window + 1) * self.domains - 1) / self.windows
    }

    /// The mix of each window; nothing without a drift.
    fn mixes(&self) -> Vec<Vec<u64>> {
        let key = |index| word(word(word(self.seed, 0), Purpose::Mix as u64), index);
        self.drift
            .map_or_else(Vec::new, |drift| drift.mixes(self.windows, self.domains as usize, key))
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
/// The log loads of a domain in a window are a mix of normal numbers: those with the index 0, which
/// all windows share, those of the domain, and those of the window. If there is a drift, the loads of
/// the domains are mixed.
struct Layer<'a> {
    sample: &'a Sample,
    number: u64,
    log2_spread: i64,
    common: Drawn<i64>,
    own: Drawn<i64>,
    domains: Vec<Domain>,
}

/// What is drawn of a domain.
#[derive(Default)]
struct Domain {
    normals: Drawn<i64>,
    outliers: Drawn<u64>,
}

impl<'a> Layer<'a> {
    fn new(sample: &'a Sample, log2_spread: i64, number: u64) -> Self {
        // Without a drift the domains come one after another, and one place is enough.
        let places = sample.drift.map_or(1, |_| sample.domains as usize);
        Self {
            sample,
            number,
            log2_spread,
            common: Drawn::default(),
            own: Drawn::default(),
            domains: (0..places).map(|_| Domain::default()).collect(),
        }
    }

    /// Draws the loads of a window with this mix of domains; without one, of the domain of its time.
    fn draw(&mut self, window: u64, mix: Option<&[u64]>, loads: &mut [u64]) {
        let Sample { top_k, tokens, .. } = *self.sample;
        let experts = loads.len();
        let weights = match mix {
            None => self.weights(0, self.sample.domain(window), window, experts),
            Some(mix) => {
                let mut sums = vec![0; experts];
                for (domain, &share) in mix.iter().enumerate().filter(|&(_, &share)| share > 0) {
                    let weights = self.weights(domain, domain as u64, window, experts);
                    add_share(&mut sums, &weights, share);
                }
                sums
            }
        };
        let key = self.key(Purpose::Counts, window);
        share(loads, &weights, tokens * top_k, tokens, key);
    }

    fn key(&self, purpose: Purpose, index: u64) -> u64 {
        word(word(word(word(self.sample.seed, 0), purpose as u64), index), self.number)
    }

    /// Weights of the experts in a window if all traffic is that of a domain, which has this place.
    fn weights(&mut self, place: usize, domain: u64, window: u64, experts: usize) -> Vec<u64> {
        let [common, of_domain, own] =
            [(Purpose::Common, 0), (Purpose::Domain, domain), (Purpose::Window, window)]
                .map(|(purpose, index)| self.key(purpose, index));
        let outliers_key = self.key(Purpose::Outliers, domain);
        let normals = |key| (0..experts as u64).map(|expert| normal(word(key, expert))).collect();
        self.common.draw(common, normals);
        self.own.draw(own, normals);
        let drawn = &mut self.domains[place];
        drawn.normals.draw(of_domain, normals);
        drawn.outliers.draw(outliers_key, |key| outliers(key, self.sample.outliers, experts));
        let parts = [&self.common.numbers, &drawn.normals.numbers, &self.own.numbers];
        // The logarithm of a load over that of the median, to base 2, in 20 binary places.
        let exponent = |expert: usize| {
            let parts = ROOTS.iter().zip(parts);
            let mixed = parts.map(|(root, part)| root * part[expert]).sum::<i64>() >> 16;
            (self.log2_spread * mixed) >> 16
        };
        let exponents: Vec<i64> = (0..experts).map(exponent).collect();
        let mut weights = powers_of_two(&exponents);
        set_outliers(&mut weights, &drawn.outliers.numbers);
        cap(&mut weights, self.sample.top_k);
        weights
    }
}

/// Adds a share of these weights, whatever they sum to: no expert has more of the sum than of the
/// weights of one domain.
///
/// Weights are at most 2^31 times 2^14 experts, in shares of 2^40; the sums of all stay below 2^60.
fn add_share(sums: &mut [u64], weights: &[u64], share: u64) {
    let total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    for (sum, &weight) in sums.iter_mut().zip(weights) {
        let part = (u128::from(weight) << WEIGHT_PLACES) / total.max(1);
        *sum += part as u64 * share;
    }
}

/// Binary places of weights as parts of their sum, before they are mixed.
const WEIGHT_PLACES: u32 = 60 - SHARE_PLACES;

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
