//! Numbers that can be loads: integers and IEEE floats, decoded from their bits without float arithmetic.

mod sealed {
    /// What is said of a type of loads has to be true of it: there are no others.
    pub trait Sealed {}
}

/// A number that can be a load: an integer of up to 64 bits or an IEEE float.
pub trait Load: sealed::Sealed + Copy + Sync + std::fmt::Display {
    /// Whether a key is the load itself.
    const INTEGER: bool;

    /// A key that orders loads like their values, and nothing else; `None` if the value is
    /// negative, infinite or NaN.
    fn key(self) -> Option<u64>;

    /// `(mantissa, exponent)` with value = mantissa * 2^exponent, of a load with this key.
    fn decode(key: u64) -> (u64, i32);
}

macro_rules! unsigned_load {
    ($($t:ty),*) => {$(
        impl sealed::Sealed for $t {}

        impl Load for $t {
            const INTEGER: bool = true;

            #[inline]
            fn key(self) -> Option<u64> {
                Some(self as u64)
            }

            #[inline]
            fn decode(key: u64) -> (u64, i32) {
                (key, 0)
            }
        }
    )*};
}

macro_rules! signed_load {
    ($($t:ty),*) => {$(
        impl sealed::Sealed for $t {}

        impl Load for $t {
            const INTEGER: bool = true;

            #[inline]
            fn key(self) -> Option<u64> {
                u64::try_from(self).ok()
            }

            #[inline]
            fn decode(key: u64) -> (u64, i32) {
                (key, 0)
            }
        }
    )*};
}

unsigned_load!(u8, u16, u32, u64);
signed_load!(i8, i16, i32, i64);

/// Mantissa and exponent of the finite, non-negative IEEE float with these bits.
#[inline]
fn decode_bits(bits: u64, mantissa_bits: u32, bias: i32) -> (u64, i32) {
    let fraction = bits & ((1 << mantissa_bits) - 1);
    let exponent = (bits >> mantissa_bits) as i32;
    let unit = 1 - bias - mantissa_bits as i32;
    if exponent == 0 {
        (fraction, unit)
    } else {
        (fraction + (1 << mantissa_bits), unit + exponent - 1)
    }
}

macro_rules! float_load {
    ($t:ty, $bits:expr, $mantissa_bits:expr, $exponent_bits:expr) => {
        impl sealed::Sealed for $t {}

        impl Load for $t {
            const INTEGER: bool = false;

            #[inline]
            fn key(self) -> Option<u64> {
                const INFINITY: u64 = ((1 << $exponent_bits) - 1) << $mantissa_bits;
                const MINUS_ZERO: u64 = 1 << ($exponent_bits + $mantissa_bits);
                let bits = u64::from($bits(self));
                if bits < INFINITY {
                    Some(bits)
                } else if bits == MINUS_ZERO {
                    Some(0)
                } else {
                    None
                }
            }

            #[inline]
            fn decode(key: u64) -> (u64, i32) {
                decode_bits(key, $mantissa_bits, (1 << ($exponent_bits - 1)) - 1)
            }
        }
    };
}

/// An IEEE half-precision float (binary16), by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct F16(pub u16);

/// A bfloat16, by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

float_load!(f64, f64::to_bits, 52, 11);
float_load!(f32, f32::to_bits, 23, 8);
float_load!(F16, |x: F16| x.0, 10, 5);
float_load!(Bf16, |x: Bf16| x.0, 7, 8);

impl std::fmt::Display for Bf16 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f32::from_bits(u32::from(self.0) << 16).fmt(f)
    }
}

impl std::fmt::Display for F16 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = u32::from(self.0 >> 15) << 31;
        let magnitude = self.0 & 0x7fff;
        if magnitude >= 0x7c00 {
            let fraction = u32::from(magnitude & 0x3ff) << 13;
            return f32::from_bits(sign | 0x7f80_0000 | fraction).fmt(f);
        }
        // A half is an integer below 2^40 times 2^-24, which a single holds exactly.
        let (mantissa, exponent) = F16::decode(u64::from(magnitude));
        let units = mantissa << (exponent + 24);
        let zeros = units.leading_zeros();
        let bits = match units {
            0 => 0,
            // 126: the exponent field of a number from 1/2 to 1; units have 64 - zeros - 24 bits
            // above the point. The leading bit of the mantissa adds the last one.
            _ => ((126 + 64 - 24 - 1 - zeros) << 23) + (units << zeros >> 40) as u32,
        };
        f32::from_bits(sign | bits).fmt(f)
    }
}
