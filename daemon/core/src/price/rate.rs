//! Exact prices per token and exact multipliers: what a price book is made of.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_PICO_PER_TOKEN, MAX_PRICE_FACTOR};
use crate::money::parse_scaled;
use crate::refusal::Refusal;

/// The price of one token in pico-dollars, which is the same figure as micro-dollars per million tokens. Never
/// negative when it was parsed here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub i64);

impl Rate {
    /// Free of charge.
    pub const ZERO: Rate = Rate(0);

    /// Reads dollars per million tokens: "3", "0.30". More than six decimals are rounded half to even. `None`:
    /// not a number, negative, or more than a dollar per token.
    pub fn parse_per_million(text: &str) -> Option<Rate> {
        Rate::from_pico(parse_scaled(text, 6)?)
    }

    /// Reads dollars per token: "3e-06". More than twelve decimals are rounded half to even. `None` as above.
    pub fn parse_per_token(text: &str) -> Option<Rate> {
        Rate::from_pico(parse_scaled(text, 12)?)
    }

    fn from_pico(pico: i128) -> Option<Rate> {
        (0..=i128::from(MAX_PICO_PER_TOKEN))
            .contains(&pico)
            .then(|| i64::try_from(pico).ok().map(Rate))
            .flatten()
    }

    /// Reads a request's field in dollars per million tokens; empty text means that the price is not known.
    ///
    /// # Errors
    /// Names `field` when the text is not a number, negative or too large.
    pub fn from_field(field: &'static str, text: &str) -> Result<Option<Rate>, Refusal> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        // A price that rounds to nothing would make a model free without a word.
        let digits = text.split(['e', 'E']).next().unwrap_or_default();
        let vanishes = |rate: Rate| rate == Rate::ZERO && digits.bytes().any(|b| (b'1'..=b'9').contains(&b));
        match Rate::parse_per_million(text) {
            Some(rate) if !vanishes(rate) => Ok(Some(rate)),
            _ => Err(Refusal::invalid(field, quoted(text), RATE_ALLOWED)),
        }
    }
}

/// What a price may be, in words.
pub(super) const RATE_ALLOWED: &str =
    "dollars per million tokens as a decimal number from 0 to 1000000, in steps of 0.000001, e.g. 0.30";

/// The value as it stands in a message: shortened, so that an abusive one does not fill the log.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?} is not allowed")
}

/// Dollars per million tokens, without trailing zeros: "0.3".
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let fraction = format!("{:06}", micros % 1_000_000);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{}", micros / 1_000_000),
            digits => write!(f, "{sign}{}.{digits}", micros / 1_000_000),
        }
    }
}

/// An exact multiplier greater than 0, e.g. 2.5, 1.1 or 5/3. Written and stored as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Factor {
    num: u32,
    den: u32,
}

impl Factor {
    /// List price.
    pub const ONE: Factor = Factor { num: 1, den: 1 };
    /// 1.1: what Anthropic asks for inference that stays in the US.
    pub(super) const ANTHROPIC_US: Factor = Factor { num: 11, den: 10 };

    /// Reads "2.5" (at most six decimals count, rounded half to even) or "5/3". `None`: not a number, not greater
    /// than 0, or greater than 1,000.
    pub fn parse(text: &str) -> Option<Factor> {
        match text.split_once('/') {
            Some((num, den)) => Factor::ratio(parse_scaled(num, 0)?, parse_scaled(den, 0)?),
            None => Factor::ratio(parse_scaled(text, 6)?, 1_000_000),
        }
    }

    /// The exact quotient, reduced. `None` as above, or when the reduced terms are too large to be a price list's.
    pub fn ratio(num: i128, den: i128) -> Option<Factor> {
        if num <= 0 || den <= 0 || num > den.saturating_mul(MAX_PRICE_FACTOR) {
            return None;
        }
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Factor {
            num: u32::try_from(num / a).ok()?,
            den: u32::try_from(den / a).ok()?,
        })
    }

    /// Reads a request's field; empty text means that the multiplier is not offered.
    ///
    /// # Errors
    /// Names `field` when the text is not a multiplier.
    pub fn from_field(field: &'static str, text: &str) -> Result<Option<Factor>, Refusal> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        match Factor::parse(text) {
            Some(factor) => Ok(Some(factor)),
            None => Err(Refusal::invalid(
                field,
                quoted(text),
                "a number greater than 0 and at most 1000, e.g. 1.1",
            )),
        }
    }
}

/// The decimal number when it ends, otherwise the fraction.
impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if 1_000_000 % self.den != 0 {
            return write!(f, "{}/{}", self.num, self.den);
        }
        let micros = i64::from(self.num) * i64::from(1_000_000 / self.den);
        fmt::Display::fmt(&Rate(micros), f)
    }
}

impl From<Factor> for String {
    fn from(factor: Factor) -> String {
        factor.to_string()
    }
}

impl TryFrom<String> for Factor {
    type Error = String;

    fn try_from(text: String) -> Result<Factor, String> {
        Factor::parse(&text).ok_or_else(|| format!("{text:?} is not a multiplier"))
    }
}

/// A product of factors, applied with one rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    num: i128,
    den: i128,
}

impl Scale {
    pub(super) const ONE: Scale = Scale { num: 1, den: 1 };

    /// The product with one more factor.
    pub(super) fn times(self, factor: Factor) -> Scale {
        Scale {
            num: self.num.saturating_mul(i128::from(factor.num)),
            den: self.den.saturating_mul(i128::from(factor.den)),
        }
    }

    /// `amount` times the product, rounded half to even once; saturates instead of overflowing. `amount` ≥ 0.
    pub(super) fn apply(self, amount: i128) -> i128 {
        if self.num == self.den {
            return amount;
        }
        if let (Ok(amount), Ok(num), Ok(den)) = (
            u64::try_from(amount),
            u64::try_from(self.num),
            u64::try_from(self.den),
        ) && let Some(product) = amount.checked_mul(num)
        {
            // Nearly every call: a division of 128 bits takes ten times as long.
            let (value, cut) = (product / den, product % den);
            let up = cut > den - cut || (cut == den - cut && value % 2 == 1);
            return i128::from(value) + i128::from(up);
        }
        // Quotient and remainder apart: amount · num may not fit even where the result does.
        let (whole, rest) = (amount / self.den, amount % self.den);
        let whole = whole.saturating_mul(self.num);
        let rest = rest.saturating_mul(self.num);
        let value = whole.saturating_add(rest / self.den);
        let cut = rest % self.den;
        let up = match (cut.saturating_mul(2)).cmp(&self.den) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => value % 2 == 1,
            std::cmp::Ordering::Greater => true,
        };
        value.saturating_add(i128::from(up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_are_exact() {
        for (text, pico, shown) in [
            ("3", 3_000_000, "3"),
            ("0.30", 300_000, "0.3"),
            ("0.02", 20_000, "0.02"),
            ("0", 0, "0"),
            ("0.003625", 3_625, "0.003625"),
            ("0.0000005", 0, "0"),
            ("0.0000015", 2, "0.000002"),
            ("1000000", 1_000_000_000_000, "1000000"),
        ] {
            let rate = Rate::parse_per_million(text).unwrap();
            assert_eq!((rate, rate.to_string().as_str()), (Rate(pico), shown), "{text}");
        }
        assert_eq!(Rate::parse_per_token("3e-06"), Some(Rate(3_000_000)));
        assert_eq!(Rate::parse_per_token("5.0000000000000004E-8"), Some(Rate(50_000)));
        assert_eq!(Rate::parse_per_token("1.3E-10"), Some(Rate(130)));
    }

    #[test]
    fn fields_are_refused_by_name() {
        for text in [
            "-1",
            "NaN",
            "inf",
            "1,5",
            "three",
            "1000001",
            "1e400",
            "$3",
            "0.0000004",
        ] {
            let error = Rate::from_field("cache_read", text).unwrap_err();
            assert!(error.to_string().starts_with("cache_read: "), "{error}");
        }
        assert_eq!(Rate::from_field("input", "  "), Ok(None));
        assert_eq!(Rate::from_field("input", "0e5"), Ok(Some(Rate::ZERO)));
        for text in ["0", "-1", "NaN", "1001", "1/0", "0/3", "5/-3", "1e-9", "2/"] {
            assert!(Factor::from_field("batch", text).is_err(), "{text}");
        }
        assert_eq!(Factor::from_field("batch", ""), Ok(None));
    }

    #[test]
    fn factors_print_as_they_are_read() {
        for (text, shown) in [
            ("2.50", "2.5"),
            ("1.1", "1.1"),
            ("5/3", "5/3"),
            ("6/4", "1.5"),
            ("0.5", "0.5"),
            ("6", "6"),
        ] {
            let factor = Factor::parse(text).unwrap();
            assert_eq!(factor.to_string(), shown);
            assert_eq!(Factor::parse(shown), Some(factor));
            let json = serde_json::to_string(&factor).unwrap();
            assert_eq!(serde_json::from_str::<Factor>(&json).unwrap(), factor);
        }
        assert!(serde_json::from_str::<Factor>("\"0/0\"").is_err());
    }

    #[test]
    fn scales_round_half_to_even_once() {
        let half = Scale::ONE.times(Factor::parse("0.5").unwrap());
        for (amount, result) in [(0, 0), (1, 0), (2, 1), (3, 2), (5, 2), (7, 4)] {
            assert_eq!(half.apply(amount), result, "{amount}");
        }
        // 15 · 0.5 · 1.1 = 8.25: one rounding gives 8; two would give 8 · 1.1 → 9.
        assert_eq!(half.times(Factor::ANTHROPIC_US).apply(15), 8);
    }

    proptest! {
        #[test]
        fn scaling_equals_plain_arithmetic(amount in 0_i128..10_i128.pow(20), num in 1_u32..10_000, den in 1_u32..10_000) {
            let scale = Scale::ONE.times(Factor { num, den });
            let (num, den) = (i128::from(num), i128::from(den));
            let exact = amount * num;
            let got = scale.apply(amount);
            prop_assert!((got * den - exact).abs() * 2 <= den);
        }

        #[test]
        fn nothing_overflows(amount in 0_i128..=i128::MAX, a in 1_u32.., b in 1_u32.., c in 1_u32.., d in 1_u32..) {
            let scale = Scale::ONE.times(Factor { num: a, den: b }).times(Factor { num: c, den: d });
            prop_assert!(scale.apply(amount) >= 0);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Rate::from_field("input", &text);
            let _ = Factor::from_field("fast", &text);
        }
    }
}
