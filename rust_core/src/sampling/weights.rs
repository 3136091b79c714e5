//! Weights of the experts of a layer: from log loads, with outliers, none above its share.

use super::distributions::PLACES;
use super::splitmix::word;

/// How many times the mean of its layer an outlier carries, from and to: measured on DeepSeek-V3/R1.
const OUTLIER_MULTIPLES: [u64; 2] = [4, 13];

/// Multiples of the mean count in this fraction.
const MULTIPLE_UNIT: u64 = 256;

/// ln(2)^k / k! in 30 binary places: the series of 2^x, to seven digits for x from 0 to 1.
const SERIES: [i64; 9] = [
    1_073_741_824,
    744_261_118,
    257_941_248,
    59_597_083,
    10_327_387,
    1_431_680,
    165_394,
    16_377,
    1_419,
];

/// 2 to each exponent, which has [`PLACES`], in a unit that makes the largest 2^30 to 2^31; at
/// least 1.
pub(super) fn powers_of_two(exponents: &[i64]) -> Vec<u64> {
    let top = exponents.iter().map(|exponent| exponent >> PLACES).max().unwrap_or(0);
    let power = |&exponent: &i64| {
        let whole = exponent >> PLACES;
        let fraction = exponent - (whole << PLACES);
        let term = |power: i64, coefficient: &i64| ((power * fraction) >> PLACES) + coefficient;
        SERIES.iter().rev().fold(0, term) as u64 >> (top - whole).min(30)
    };
    exponents.iter().map(power).collect()
}

/// How many times the mean of its layer each expert carries, in [`MULTIPLE_UNIT`]; 0 for experts
/// that are no outliers. Between `fewest` and `most` are outliers, but at most half of the experts.
pub(super) fn outliers(key: u64, [fewest, most]: [u64; 2], experts: usize) -> Vec<u64> {
    let count = fewest + word(key, 0) % (most - fewest + 1);
    let count = count.min(experts as u64 / 2) as usize;
    let lots = word(key, 1);
    let mut drawn: Vec<usize> = (0..experts).collect();
    drawn.sort_by_cached_key(|&expert| word(lots, expert as u64));
    let [low, high] = OUTLIER_MULTIPLES.map(|multiple| multiple * MULTIPLE_UNIT);
    let sizes = word(key, 2);
    let mut multiples = vec![0; experts];
    for &expert in &drawn[..count] {
        multiples[expert] = low + word(sizes, expert as u64) % (high - low + 1);
    }
    multiples
}

/// Gives each outlier so many times the mean of all, or less if the outliers of a layer would
/// carry more than half of its load.
pub(super) fn set_outliers(weights: &mut [u64], multiples: &[u64]) {
    let usual = weights.iter().zip(multiples).filter(|&(_, &multiple)| multiple == 0);
    let usual: u64 = usual.map(|(weight, _)| weight).sum();
    let taken: u64 = multiples.iter().sum();
    let whole = MULTIPLE_UNIT * weights.len() as u64;
    for (weight, &multiple) in weights.iter_mut().zip(multiples) {
        if multiple > 0 {
            *weight = multiple * usual / (whole - taken.min(whole / 2));
        }
    }
}

/// Lowers weights above `1 / top_k` of the layer to it: a token goes to an expert at most once.
///
/// Full experts take `1 / top_k` each, the others share the rest in proportion; that may make more
/// of them full.
pub(super) fn cap(weights: &mut [u64], top_k: u64) {
    let mut full = 0;
    let mut cap = u64::MAX;
    loop {
        let rest: u64 = weights.iter().filter(|&&weight| weight <= cap).sum();
        cap = rest / (top_k - full);
        let over = weights.iter().filter(|&&weight| weight > cap).count() as u64;
        if over == full {
            break;
        }
        full = over;
    }
    for weight in weights {
        *weight = (*weight).min(cap);
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "what is compared with")]
mod tests {
    use super::{cap, powers_of_two};

    #[test]
    fn powers_are_right_to_seven_digits() {
        let exponents: Vec<i64> = (-20 << 20..=0).step_by(12_345).collect();
        let powers = powers_of_two(&exponents);
        let (&last, &top) = (exponents.last().unwrap(), powers.last().unwrap());
        assert!((1 << 30..1 << 31).contains(&top));
        for (&exponent, &power) in exponents.iter().zip(&powers) {
            let exact = ((exponent - last) as f64 / f64::from(1 << 20)).exp2();
            let error = power as f64 / top as f64 / exact - 1.0;
            let most = if exponent > -1 << 20 { 3e-7 } else { 2e-3 };
            assert!(error.abs() < most, "{exponent}: {error}");
        }
        assert_eq!(powers_of_two(&[0, -100 << 20]), [1 << 30, 1]);
    }

    #[test]
    fn capped_weights_take_their_share_at_most() {
        let capped = |weights: &[u64], top_k| {
            let mut weights = weights.to_vec();
            cap(&mut weights, top_k);
            weights
        };
        assert_eq!(capped(&[4, 3, 2, 1], 1), [4, 3, 2, 1]);
        assert_eq!(capped(&[90, 5, 3, 2], 2), [10, 5, 3, 2]);
        // The second is full only once the first is.
        assert_eq!(capped(&[100, 40, 8, 8, 8, 8], 3), [32, 32, 8, 8, 8, 8]);
        assert_eq!(capped(&[7, 7, 7], 3), [7, 7, 7]);
    }
}
