//! Normal and binomial random numbers: they count the ones among random bits.

use super::splitmix::word;

/// Binary places of [`normal`].
pub(super) const PLACES: u32 = 20;

/// Most trials of a binomial number: 32 bits, so that a square root in 10 binary places times a
/// normal number fits 64 bits.
pub const MAX_TRIALS: u64 = u32::MAX as u64;

/// A normal random number of mean 0 and deviation 1, in [`PLACES`] binary places.
///
/// The ones among 1,024 random bits, less 512, over their deviation of 16; a uniform number fills
/// the steps between. Its distribution function is within 0.0002 of the normal one.
pub(super) fn normal(key: u64) -> i64 {
    const STEP_BITS: u32 = PLACES - 4;
    let ones: u32 = (0..16).map(|number| word(key, number).count_ones()).sum();
    let between = (word(key, 16) >> (64 - STEP_BITS)) as i64 - (1 << (STEP_BITS - 1));
    ((i64::from(ones) - 512) << STEP_BITS) + between
}

/// How many of so many trials, at most [`MAX_TRIALS`], succeed, each with probability
/// `part / whole`; with certainty if both are 0. `part <= whole < 2^63`.
///
/// A trial compares the bits of a random fraction with those of `part / whole` until they differ.
/// All trials that are still undecided do so together: [`half`] of them draw a 0.
pub(super) fn binomial(trials: u64, part: u64, whole: u64, key: u64) -> u64 {
    let (mut successes, mut undecided, mut rest) = (0, trials, part);
    for bit in 0.. {
        if undecided == 0 {
            break;
        }
        let zeros = half(undecided, word(key, bit));
        rest *= 2;
        if rest >= whole {
            // The bit of part / whole is 1: whoever drew a 0 is below it.
            rest -= whole;
            successes += zeros;
            undecided -= zeros;
        } else {
            undecided = zeros;
        }
    }
    successes
}

/// How many of so many fair trials succeed.
///
/// Up to 64 trials are the bits of a word, which is exact. For more it is a normal number with the
/// mean and deviation of the binomial, rounded: its distribution function is within 0.0005 of the
/// exact one.
fn half(trials: u64, key: u64) -> u64 {
    // The deviation is sqrt(trials) / 2: the root has 10 binary places, the half takes one more.
    const NOISE_PLACES: u32 = PLACES + 11;
    if trials <= 64 {
        return u64::from((word(key, 0) >> (64 - trials)).count_ones());
    }
    let noise = (trials << 20).isqrt() as i64 * normal(key);
    let mean = (trials as i64) << (NOISE_PLACES - 1);
    let rounded = (mean + noise + (1 << (NOISE_PLACES - 1))) >> NOISE_PLACES;
    rounded.clamp(0, trials as i64) as u64
}

#[cfg(test)]
#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "statistics")]
mod tests {
    use super::{MAX_TRIALS, PLACES, binomial, normal};
    use crate::sampling::splitmix::word;

    fn keys(count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(|number| word(99, number))
    }

    /// The largest distance of two distribution functions: of draws, and of the binomial.
    fn distance(draws: &[u64], trials: u64, odds: f64) -> f64 {
        let mut counts = vec![0_u32; trials as usize + 1];
        for &draw in draws {
            counts[draw as usize] += 1;
        }
        let [mut drawn, mut exact, mut log_ways, mut largest] = [0.0_f64; 4];
        for (k, &count) in counts.iter().enumerate() {
            let [k, rest] = [k as f64, trials as f64 - k as f64];
            drawn += f64::from(count) / draws.len() as f64;
            exact += (log_ways + k * odds.ln() + rest * (1.0 - odds).ln()).exp();
            log_ways += (rest / (k + 1.0)).ln();
            largest = largest.max((drawn - exact).abs());
        }
        largest
    }

    #[test]
    fn binomial_numbers_are_binomial() {
        const DRAWS: u64 = 20_000;
        for trials in [1, 2, 10, 63, 64, 65, 66, 129, 1000] {
            for (part, whole) in [(1, 2), (1, 10), (2, 3), (999, 1000), (1 << 39, (1 << 40) + 1)] {
                let draws: Vec<u64> =
                    keys(DRAWS).map(|key| binomial(trials, part, whole, key)).collect();
                // One in 700 such distances is larger, and these draws are always the same.
                let most = 1.9 / (DRAWS as f64).sqrt();
                let found = distance(&draws, trials, part as f64 / whole as f64);
                assert!(found < most, "{trials} {part}/{whole}: {found}");
            }
        }
    }

    #[test]
    fn none_succeed_at_odds_of_0_and_all_at_odds_of_1() {
        for trials in [0, 1, 64, 65, 1_000_000, MAX_TRIALS] {
            for key in keys(100) {
                assert_eq!(binomial(trials, 0, 7, key), 0);
                assert_eq!(binomial(trials, 7, 7, key), trials);
                assert_eq!(binomial(trials, 0, 0, key), trials);
            }
        }
    }

    #[test]
    fn normal_numbers_are_normal() {
        const DRAWS: usize = 200_000;
        let unit = f64::from(1 << PLACES);
        let normals: Vec<f64> = keys(DRAWS as u64).map(|key| normal(key) as f64 / unit).collect();
        let moment = |power| normals.iter().map(|x| x.powi(power)).sum::<f64>() / DRAWS as f64;
        for (power, expected, error) in
            [(1, 0.0, 0.007), (2, 1.0, 0.01), (3, 0.0, 0.02), (4, 3.0, 0.05)]
        {
            assert!((moment(power) - expected).abs() < error, "moment {power}: {}", moment(power));
        }
        // Values of the distribution function: of a half, and of one, two and three deviations.
        for (x, expected) in [(0.0, 0.5), (-1.0, 0.158_655), (2.0, 0.977_250), (3.0, 0.998_650)] {
            let below = normals.iter().filter(|&&normal| normal < x).count() as f64 / DRAWS as f64;
            assert!((below - expected).abs() < 0.004, "below {x}: {below}");
        }
        let rare = normals.iter().filter(|&&normal| normal > 3.0).count();
        assert!((216..=324).contains(&rare), "{rare}"); // 270 are expected
    }
}
