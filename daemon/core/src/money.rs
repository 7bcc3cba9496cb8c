//! Money: exact pico-dollars. Floating point never touches it.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// An amount in pico-dollars (10⁻¹² USD). One micro-dollar per million tokens is one pico-dollar per token,
/// so prices times tokens are exact integers.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Pico(pub i128);

/// Pico-dollars in a dollar.
pub const PICO_PER_USD: i128 = 1_000_000_000_000;

impl Pico {
    /// Nothing.
    pub const ZERO: Pico = Pico(0);

    /// Reads an exact decimal number of dollars: "20", "0.0165", "-3.5", "5e-8". More than 12 decimals are
    /// rounded half to even. `None`: not a number, or beyond ±10¹⁵ dollars.
    pub fn parse_usd(text: &str) -> Option<Pico> {
        parse_scaled(text, 12).map(Pico)
    }

    /// Whole dollars and the rest in pico-dollars, both with the amount's sign.
    pub fn split(self) -> (i64, i64) {
        let usd = self.0 / PICO_PER_USD;
        let pico = self.0 % PICO_PER_USD;
        (
            i64::try_from(usd).unwrap_or(if usd < 0 { i64::MIN } else { i64::MAX }),
            i64::try_from(pico).unwrap_or(0),
        )
    }

    /// The inverse of [`Pico::split`].
    pub fn from_split(usd: i64, pico: i64) -> Pico {
        Pico(i128::from(usd) * PICO_PER_USD + i128::from(pico))
    }
}

/// Reads a decimal number as an integer scaled by 10^`decimals`, rounding half to even. `None` when it is not a
/// plain decimal number or its magnitude passes 10^(15 + decimals).
pub fn parse_scaled(text: &str, decimals: u32) -> Option<i128> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], rest[at + 1..].parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut digits: Vec<u8> = Vec::with_capacity(whole.len() + fraction.len());
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        digits.push(byte - b'0');
    }
    // value = digits · 10^shift, after scaling.
    let shift = i64::from(exponent) - i64::try_from(fraction.len()).ok()? + i64::from(decimals);
    let mut value: i128 = 0;
    let limit = 10_i128.checked_pow(15 + decimals)?;
    let keep = if shift < 0 {
        digits.len().saturating_sub(usize::try_from(-shift).ok()?)
    } else {
        digits.len()
    };
    for &digit in &digits[..keep] {
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        if value > limit {
            return None;
        }
    }
    if shift >= 0 {
        if value != 0 {
            value = value.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?;
        }
    } else {
        let dropped = usize::try_from(-shift).ok()?;
        // Digits that were cut, with leading zeros when the number is shorter than the cut.
        let cut = &digits[keep..];
        let first = if dropped > digits.len() {
            0
        } else {
            cut.first().copied().unwrap_or(0)
        };
        let rest_is_zero = if dropped > digits.len() {
            cut.iter().all(|&d| d == 0)
        } else {
            cut.iter().skip(1).all(|&d| d == 0)
        };
        let up = first > 5 || (first == 5 && (!rest_is_zero || value % 2 == 1));
        value += i128::from(up);
    }
    (value <= limit).then_some(if negative { -value } else { value })
}

/// Exact decimal dollars without trailing zeros: "0.0165", "12", "-0.5".
impl fmt::Display for Pico {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let unit = PICO_PER_USD.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = format!("{:012}", magnitude % unit);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() {
            write!(f, "{sign}{}", magnitude / unit)
        } else {
            write!(f, "{sign}{}.{fraction}", magnitude / unit)
        }
    }
}

impl Add for Pico {
    type Output = Pico;
    fn add(self, other: Pico) -> Pico {
        Pico(self.0.saturating_add(other.0))
    }
}

impl Sub for Pico {
    type Output = Pico;
    fn sub(self, other: Pico) -> Pico {
        Pico(self.0.saturating_sub(other.0))
    }
}

impl Neg for Pico {
    type Output = Pico;
    fn neg(self) -> Pico {
        Pico(self.0.saturating_neg())
    }
}

impl AddAssign for Pico {
    fn add_assign(&mut self, other: Pico) {
        *self = *self + other;
    }
}

impl SubAssign for Pico {
    fn sub_assign(&mut self, other: Pico) {
        *self = *self - other;
    }
}

impl Sum for Pico {
    fn sum<I: Iterator<Item = Pico>>(iter: I) -> Pico {
        iter.fold(Pico::ZERO, Add::add)
    }
}

/// A whole number for people: "1,000,000".
pub(crate) fn grouped(number: i128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_prints_exactly() {
        for (text, pico) in [
            ("0.0165", 16_500_000_000),
            ("20", 20 * PICO_PER_USD),
            ("-3.5", -3_500_000_000_000),
            ("5e-8", 50_000),
            ("1.3E-10", 130),
            ("5.0000000000000004E-8", 50_000),
            (".5", 500_000_000_000),
        ] {
            assert_eq!(Pico::parse_usd(text), Some(Pico(pico)), "{text}");
        }
        assert_eq!(Pico(16_500_000_000).to_string(), "0.0165");
        assert_eq!(Pico(-500_000_000_000).to_string(), "-0.5");
        assert_eq!(Pico(0).to_string(), "0");
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for text in [
            "",
            ".",
            "-",
            "NaN",
            "inf",
            "1,5",
            "0x1",
            "1e",
            "1e99",
            "9999999999999999",
            "1e-99999999999",
        ] {
            assert_eq!(Pico::parse_usd(text), None, "{text}");
        }
    }

    #[test]
    fn rounds_half_to_even_once() {
        assert_eq!(Pico::parse_usd("0.0000000000005"), Some(Pico(0)));
        assert_eq!(Pico::parse_usd("0.0000000000015"), Some(Pico(2)));
        assert_eq!(Pico::parse_usd("0.00000000000051"), Some(Pico(1)));
        assert_eq!(Pico::parse_usd("0.00000000000005"), Some(Pico(0)));
    }

    proptest! {
        #[test]
        fn printing_and_reading_are_inverse(pico in -10_i128.pow(26)..10_i128.pow(26)) {
            prop_assert_eq!(Pico::parse_usd(&Pico(pico).to_string()), Some(Pico(pico)));
        }

        #[test]
        fn splitting_and_joining_are_inverse(pico in -10_i128.pow(26)..10_i128.pow(26)) {
            let (usd, rest) = Pico(pico).split();
            prop_assert_eq!(Pico::from_split(usd, rest), Pico(pico));
        }
    }
}
