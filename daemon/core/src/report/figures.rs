//! Figures in sentences: thousands, percents, dollars and spans as people read them.

use crate::money::{PICO_PER_USD, Pico};
use crate::report::Row;
use crate::rollup::Agg;

/// "1,234,567".
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Dollars for reading: cents from a dollar on, below it three significant digits: "$1,234.50", "$0.0165".
pub fn usd(amount: Pico) -> String {
    const DOLLAR: u128 = PICO_PER_USD.unsigned_abs();
    let sign = if amount.0 < 0 { "-" } else { "" };
    let magnitude = amount.0.unsigned_abs();
    if magnitude == 0 {
        return "$0".to_owned();
    }
    let digits = magnitude.ilog10();
    let decimals = if magnitude >= DOLLAR {
        2
    } else {
        (14 - digits).min(12)
    };
    let unit = 10_u128.pow(12 - decimals);
    let rounded = (magnitude + unit / 2) / unit * unit;
    let fraction = format!("{:012}", rounded % DOLLAR);
    // No zeros at the end, but cents are always told.
    let fraction = match fraction.trim_end_matches('0') {
        short if short.len() < 2 => &fraction[..2],
        enough => enough,
    };
    let whole = u64::try_from(rounded / DOLLAR).unwrap_or(u64::MAX);
    format!("{sign}${}.{fraction}", thousands(whole))
}

/// `part / whole` in percent; 0 when there is no whole. For display only.
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 * 100.0 / whole as f64
}

/// "1 minute", "90 seconds", "5 minutes".
pub fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        s if s > 0 && s.is_multiple_of(3600) => (s / 3600, "hour"),
        s if s > 0 && s.is_multiple_of(60) => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// "1 call", "6 calls".
pub fn count(number: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        thousands(number),
        if number == 1 { "" } else { "s" }
    )
}

/// `amount × part / whole`, rounded towards zero, without overflow. Zero when there is no whole.
pub fn share(amount: Pico, part: u64, whole: u64) -> Pico {
    if whole == 0 {
        return Pico::ZERO;
    }
    let (part, whole) = (i128::from(part), i128::from(whole));
    let (quotient, rest) = (amount.0 / whole, amount.0 % whole);
    Pico(
        quotient
            .saturating_mul(part)
            .saturating_add(rest.saturating_mul(part) / whole),
    )
}

/// Wasted tokens and their cost, over all rules.
pub fn wasted(agg: &Agg) -> (u64, Pico) {
    agg.waste.iter().fold((0, Pico::ZERO), |(tokens, cost), rule| {
        (u64::saturating_add(tokens, rule.tokens), cost + rule.cost)
    })
}

/// A row's first key; empty when there is none.
pub fn name(row: &Row) -> &str {
    row.keys.first().map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        for (seconds, text) in [
            (1, "1 second"),
            (60, "1 minute"),
            (90, "90 seconds"),
            (300, "5 minutes"),
            (7200, "2 hours"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(count(1, "call"), "1 call");
        assert_eq!(count(6, "call"), "6 calls");
    }

    #[test]
    fn dollars_read_well() {
        for (exact, text) in [
            ("0", "$0"),
            ("1234.504", "$1,234.50"),
            ("0.024", "$0.024"),
            ("0.0165", "$0.0165"),
            ("0.00012345", "$0.000123"),
            ("0.999", "$0.999"),
            ("0.9996", "$1.00"),
            ("0.5", "$0.50"),
            ("-3", "-$3.00"),
            ("0.000000000001", "$0.000000000001"),
        ] {
            assert_eq!(usd(Pico::parse_usd(exact).unwrap()), text, "{exact}");
        }
    }

    #[test]
    fn shares_are_exact_and_never_overflow() {
        assert_eq!(share(Pico(100), 1, 3), Pico(33));
        assert_eq!(share(Pico(-100), 1, 3), Pico(-33));
        assert_eq!(share(Pico(7), 3, 3), Pico(7));
        assert_eq!(share(Pico(7), 3, 0), Pico::ZERO);
        let huge = Pico(i128::MAX);
        assert_eq!(share(huge, u64::MAX, u64::MAX), huge);
    }
}
