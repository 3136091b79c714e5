//! Fractions of integers, compared without rounding; quotients as floats, correctly rounded. All
//! without float arithmetic.

use std::cmp::Ordering;

/// A fraction that is not negative, in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    numerator: u128,
    denominator: u128,
}

impl Fraction {
    /// The fraction of two numbers; None if the second is 0, or the fraction is not one of those that
    /// compare in 128 bits: in lowest terms, a numerator below 2^75 and a denominator below 2^51.
    #[must_use]
    pub fn new(numerator: u128, denominator: u128) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let fraction = Self::of(numerator, denominator);
        (fraction.numerator < 1 << 75 && fraction.denominator < 1 << 51).then_some(fraction)
    }

    /// The same of numbers for which there is one.
    pub(crate) fn of(numerator: u128, denominator: u128) -> Self {
        let common = greatest_common_divisor(numerator, denominator);
        Self { numerator: numerator / common, denominator: denominator / common }
    }

    /// Its numerator.
    #[must_use]
    pub fn numerator(self) -> u128 {
        self.numerator
    }

    /// Its denominator, at least 1.
    #[must_use]
    pub fn denominator(self) -> u128 {
        self.denominator
    }

    /// The fraction * 2^exponent as the nearest f64, ties to even.
    #[must_use]
    pub fn rounded(self, exponent: i32) -> f64 {
        rounded_quotient(self.numerator, self.denominator, exponent)
    }

    /// This fraction / another one, as the nearest f64, ties to even; 1 if the other one is 0.
    pub(crate) fn rounded_over(self, other: Self) -> f64 {
        if other.numerator == 0 {
            return 1.0;
        }
        rounded_quotient(self.numerator * other.denominator, self.denominator * other.numerator, 0)
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}

/// The greatest common divisor; that of 0 and a number is the number.
pub(crate) fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        if let (Ok(a), Ok(b)) = (u64::try_from(a), u64::try_from(b)) {
            return greatest_common_divisor_64(a, b).into();
        }
        (a, b) = (b, a % b);
    }
    a
}

/// The same, several times as fast.
pub(crate) fn greatest_common_divisor_64(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// What divides all of these numbers, or None if that is less than `least`, which ends early; 0 if all
/// numbers are 0.
pub(crate) fn common_divisor(numbers: impl IntoIterator<Item = u64>, least: u64) -> Option<u64> {
    let (mut divisor, mut last) = (0, 0);
    for number in numbers {
        if number != last {
            last = number;
            divisor = greatest_common_divisor_64(divisor, number);
            if divisor < least {
                return None;
            }
        }
    }
    Some(divisor)
}

/// `numerator / denominator * 2^exponent` as the nearest f64, ties to even; infinite if it is
/// beyond the largest. The denominator is not 0 and below 2^127.
#[must_use]
pub fn rounded_quotient(numerator: u128, denominator: u128, exponent: i32) -> f64 {
    if numerator == 0 {
        return 0.0;
    }
    // Beyond these the result is 0 or infinite already, and sums of exponents stay small.
    let exponent = exponent.clamp(-4096, 4096);
    // Long division until the quotient has 55 bits: 53 to keep, one to round by, one to spare.
    let shift = numerator.leading_zeros();
    let shifted = numerator << shift;
    let mut exponent = exponent - shift as i32;
    let mut quotient = shifted / denominator;
    let mut rest = shifted % denominator;
    while quotient >> 54 == 0 {
        rest *= 2;
        quotient = quotient * 2 + u128::from(rest >= denominator);
        rest -= if rest >= denominator { denominator } else { 0 };
        exponent -= 1;
    }
    // Subnormal results keep fewer bits: none below 2^-1074.
    let bits = (u128::BITS - quotient.leading_zeros()) as i32;
    let dropped = (bits - 53).max(-1074 - exponent) as u32;
    if dropped >= u128::BITS {
        return 0.0;
    }
    let half = 1 << (dropped - 1);
    let remainder = quotient & ((1 << dropped) - 1);
    let kept = (quotient >> dropped) as u64;
    let up = remainder > half || (remainder == half && (rest > 0 || kept & 1 == 1));
    let mantissa = kept + u64::from(up);
    let biased = exponent + dropped as i32 + 1075;
    if biased >= 2047 {
        return f64::INFINITY;
    }
    // The leading bit of a normal mantissa adds one to the exponent; a subnormal has none to add.
    f64::from_bits(((biased as u64 - 1) << 52) + mantissa)
}

#[cfg(test)]
mod tests {
    use super::{Fraction, rounded_quotient};

    #[test]
    fn fractions_are_in_lowest_terms_and_compare_exactly() {
        let fraction = |top, bottom| Fraction::new(top, bottom).unwrap();
        assert_eq!(fraction(6, 4), fraction(3, 2));
        assert_eq!((fraction(0, 7).numerator(), fraction(0, 7).denominator()), (0, 1));
        let large = (1 << 75) - 1;
        let small = (1 << 51) - 1;
        assert!(fraction(large - 1, small) < fraction(large, small));
        assert_eq!(Fraction::new(1, 0), None);
        assert_eq!(Fraction::new(1 << 75, 3), None);
        assert_eq!(Fraction::new(1, 1 << 51), None);
        let above_2_64 = (1 << 65) + (1 << 33);
        assert_eq!(fraction(above_2_64, 1 << 40), fraction((1 << 32) + 1, 1 << 7));
        assert_eq!(fraction(3, 4).rounded(1).to_bits(), 1.5_f64.to_bits());
        assert_eq!(fraction(3, 4).rounded_over(fraction(1, 2)).to_bits(), 1.5_f64.to_bits());
        assert_eq!(fraction(3, 4).rounded_over(fraction(0, 2)).to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn small_quotients_round_like_the_processor() {
        for numerator in 0..300_u32 {
            for denominator in 1..300_u32 {
                let expected = f64::from(numerator) / f64::from(denominator);
                // As such, and with denominators of which long division has to go on.
                for shift in [0, 73, 118] {
                    let large = u128::from(denominator) << shift;
                    let exact = rounded_quotient(u128::from(numerator), large, shift);
                    assert_eq!(exact.to_bits(), expected.to_bits(), "{numerator}/{denominator}");
                }
            }
        }
    }

    fn assert_rounds(numerator: u128, denominator: u128, exponent: i32, expected: f64) {
        let rounded = rounded_quotient(numerator, denominator, exponent);
        assert_eq!(rounded.to_bits(), expected.to_bits(), "{rounded} instead of {expected}");
    }

    #[test]
    fn ties_go_to_even() {
        let above_2_53 = (1 << 53) + 1;
        assert_rounds(above_2_53, 1, 0, 9_007_199_254_740_992.0);
        assert_rounds(above_2_53 + 2, 1, 0, 9_007_199_254_740_996.0);
        assert_rounds(above_2_53 * 3 + 1, 3, 0, 9_007_199_254_740_994.0);
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_rounds(1, 1, -1074, f64::from_bits(1));
        assert_rounds(1, 2, -1074, 0.0);
        assert_rounds(3, 2, -1074, f64::from_bits(2));
        assert_rounds(1, 1, -1200, 0.0);
        assert_rounds(1, 1, -1022, f64::MIN_POSITIVE);
        assert_rounds((1 << 53) - 1, 1, 971, f64::MAX);
        assert_rounds(1 << 53, 1, 971, f64::INFINITY);
        assert_rounds(u128::MAX, 1, 0, f64::from_bits(0x47f0_0000_0000_0000)); // 2^128
        assert_rounds(1, (1 << 127) - 1, 127, 1.0);
    }
}
