//! Batches of random numbers: normal, exponential, gamma.

use super::distributions::normal;
use super::fixed_point::{LN_2, LOG_PLACES, PLACES, exp2, log2};
use super::splitmix::word;

/// Batches of random words, each under a key of its own.
pub(super) struct Batches(pub(super) u64);

impl Batches {
    pub(super) fn words(&mut self, count: usize) -> Vec<u64> {
        let key = self.0;
        self.0 = word(key, 1 << 32);
        (0..count as u64).map(|number| word(key, number)).collect()
    }

    pub(super) fn normals(&mut self, count: usize) -> Vec<i64> {
        self.words(count).into_iter().map(normal).collect()
    }
}

/// `-log2(u)` of a number u between 0 and 1, neither of them: an odd number of 53 bits over 2^53.
fn minus_log2_uniform(word: u64) -> u128 {
    ((53 << LOG_PLACES) - log2(2 * (word >> 12) + 1)) as u128
}

/// Exponential numbers of mean 1.
pub(super) fn exponentials(batches: &mut Batches, experts: usize) -> Vec<u128> {
    let words = batches.words(experts).into_iter();
    words
        .map(|word| (minus_log2_uniform(word) * u128::from(LN_2)) >> (2 * LOG_PLACES - PLACES))
        .collect()
}

/// Gamma numbers of shape `tenths / 10`, below 1, in [`PLACES`]: a Beta number times an exponential
/// one.
pub(super) fn gammas(tenths: u128, batches: &mut Batches, count: usize) -> Vec<u128> {
    let exponentials = exponentials(batches, count);
    let betas = Betas { alpha: tenths, batches, words: Vec::new().into_iter() };
    exponentials.into_iter().zip(betas).map(|(x, beta)| (x * beta) >> BETA_PLACES).collect()
}

const BETA_PLACES: u32 = 56;

/// Beta(alpha, 1 - alpha) numbers, in [`BETA_PLACES`], by Jöhnk's method; alpha in tenths. A gamma
/// number of shape alpha is such a number times an exponential one.
struct Betas<'a> {
    alpha: u128,
    batches: &'a mut Batches,
    words: std::vec::IntoIter<u64>,
}

impl Betas<'_> {
    /// `u^(10 / tenths)` of the next uniform number u.
    fn power(&mut self, tenths: u128) -> u128 {
        const BATCH: usize = 128;
        if self.words.len() == 0 {
            self.words = self.batches.words(BATCH).into_iter();
        }
        let word = self.words.next().expect("a batch has words");
        exp2(-((minus_log2_uniform(word) * 10 / tenths) as i128))
    }
}

impl Iterator for Betas<'_> {
    type Item = u128;

    fn next(&mut self) -> Option<u128> {
        loop {
            let x = self.power(self.alpha);
            let sum = x + self.power(10 - self.alpha);
            if (1..=1 << PLACES).contains(&sum) {
                return Some((x << BETA_PLACES) / sum);
            }
        }
    }
}
