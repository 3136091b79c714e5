//! Logarithms, powers and quotients of fixed-point numbers in integers.

/// Binary places of logarithms.
pub(super) const LOG_PLACES: u32 = 60;

/// Binary places of powers and of weights.
pub(super) const PLACES: u32 = 64;

/// ln 2 in 60 binary places.
pub(super) const LN_2: u64 = 0x0b17_217f_7d1c_f79b;

/// 1 / ln 2 in 60 binary places.
pub(super) const LOG2_E: i128 = 0x1715_4765_2b82_fe17;

/// The logarithm to base 2 of a number that is not 0, in [`LOG_PLACES`], less than 2^-59 too small.
///
/// A bit for each squaring of the mantissa: does the square reach 2?
pub(super) fn log2(number: u64) -> i128 {
    let zeros = number.leading_zeros();
    let mut mantissa = u128::from(number) << zeros; // 1 to 2, in 63 places
    let mut logarithm = i128::from(63 - zeros);
    for _ in 0..LOG_PLACES {
        mantissa = (mantissa * mantissa) >> 63;
        let bit = mantissa >> 64;
        mantissa >>= bit;
        logarithm = 2 * logarithm + bit as i128;
    }
    logarithm
}

/// 2 to this exponent, which has [`LOG_PLACES`], in [`PLACES`]; the exponent is below 60.
///
/// The series of e^x for the fraction of the exponent, whose relative error is below 2^-57, shifted
/// by its whole part.
pub(super) fn exp2(exponent: i128) -> u128 {
    const SERIES_PLACES: u32 = 66;
    let whole = exponent >> LOG_PLACES;
    let fraction = (exponent - (whole << LOG_PLACES)) as u128;
    let x = (fraction * u128::from(LN_2)) >> LOG_PLACES;
    let (mut power, mut term) = (0, 1_u128 << SERIES_PLACES);
    for k in 1.. {
        if term == 0 {
            break;
        }
        power += term;
        term = ((term * x) >> LOG_PLACES) / k;
    }
    if let Ok(whole) = u32::try_from(whole) {
        power << whole >> (SERIES_PLACES - PLACES)
    } else {
        let down = u32::try_from(i128::from(SERIES_PLACES - PLACES) - whole);
        down.ok().and_then(|down| power.checked_shr(down)).unwrap_or(0)
    }
}

/// `numerator / denominator` in so many binary places, rounded down; the denominator is not 0 and
/// below 2^127, and the quotient has to fit.
pub(super) fn quotient(numerator: u128, denominator: u128, places: u32) -> u128 {
    let (mut quotient, mut rest) = (numerator / denominator, numerator % denominator);
    for _ in 0..places {
        rest *= 2;
        let one = rest >= denominator;
        rest -= if one { denominator } else { 0 };
        quotient = 2 * quotient + u128::from(one);
    }
    quotient
}

#[cfg(test)]
#[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "what is compared with")]
mod tests {
    use super::{LN_2, LOG_PLACES, LOG2_E, PLACES, exp2, log2, quotient};

    /// A fixed-point number as a float: to 53 bits.
    fn float(number: i128, places: u32) -> f64 {
        number as f64 / 2_f64.powi(places as i32)
    }

    #[test]
    fn constants() {
        assert_eq!(float(i128::from(LN_2), LOG_PLACES).to_bits(), std::f64::consts::LN_2.to_bits());
        assert_eq!(float(LOG2_E, LOG_PLACES).to_bits(), std::f64::consts::LOG2_E.to_bits());
    }

    #[test]
    fn logarithms() {
        for bits in 0..64 {
            assert_eq!(log2(1 << bits), i128::from(bits) << LOG_PLACES);
        }
        for number in [3, 5, 7, 10, 1000, (1 << 53) - 1, 12_345_678_901_234_567] {
            let exact = (number as f64).log2();
            assert!((float(log2(number), LOG_PLACES) - exact).abs() < 1e-14, "{number}");
        }
        assert!(log2(u64::MAX) < 64 << LOG_PLACES);
    }

    #[test]
    fn powers() {
        for whole in 0..60 {
            assert_eq!(exp2(whole << LOG_PLACES), 1 << (PLACES + whole as u32));
        }
        for whole in 1..=64 {
            assert_eq!(exp2(-whole << LOG_PLACES), 1 << (PLACES - whole as u32));
        }
        assert_eq!(exp2(-65 << LOG_PLACES), 0);
        assert_eq!(exp2(-1000 << LOG_PLACES), 0);
        for thousandths in (-20_000..20_000).step_by(7) {
            let exponent = (i128::from(thousandths) << LOG_PLACES) / 1000;
            let exact = (f64::from(thousandths) / 1000.0).exp2();
            let error = float(exp2(exponent) as i128, PLACES) / exact - 1.0;
            assert!(error.abs() < 1e-12, "{thousandths}: {error}");
        }
    }

    #[test]
    fn a_power_of_a_logarithm_is_the_number() {
        for number in (1..5000).chain([65_537, 999_983]) {
            let error = exp2(log2(number)).abs_diff(u128::from(number) << PLACES);
            assert!(error < u128::from(number) << (PLACES - 56), "{number}: {error}");
        }
    }

    #[test]
    fn quotients() {
        assert_eq!(quotient(1, 3, 8), 85);
        assert_eq!(quotient(7, 7, 60), 1 << 60);
        assert_eq!(quotient(0, 9, 100), 0);
        let largest = (1 << 127) - 1;
        assert_eq!(quotient(largest - 1, largest, 64), (1 << 64) - 1);
    }
}
