//! Figures as people read them: thousands separators, dollars with as many decimals as matter, sizes, instants.
//!
//! Money stays exact: it is whole pico-dollars (10⁻¹² dollars) in an `i128` until it is printed.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokmon_client::v1::Money;

const PICO_PER_USD: i128 = 1_000_000_000_000;
/// What stands where there is no figure.
pub(crate) const NONE: &str = "–";

/// The amount in pico-dollars.
pub(crate) fn pico(money: &Money) -> i128 {
    i128::from(money.usd) * PICO_PER_USD + i128::from(money.pico)
}

/// The amount in pico-dollars; an absent one is 0.
pub(crate) fn pico_or_zero(money: Option<&Money>) -> i128 {
    money.map_or(0, pico)
}

/// Exact decimal dollars without trailing zeros: "0.0165", "12", "-0.5".
pub(crate) fn exact(pico: i128) -> String {
    let sign = if pico < 0 { "-" } else { "" };
    let magnitude = pico.unsigned_abs();
    let unit = PICO_PER_USD.unsigned_abs();
    let fraction = format!("{:012}", magnitude % unit);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{fraction}", magnitude / unit)
}

/// Dollars for people: two decimals from one dollar on, four from a cent on, two significant digits below.
pub(crate) fn dollars(pico: i128) -> String {
    let magnitude = pico.unsigned_abs();
    let unit = PICO_PER_USD.unsigned_abs();
    let decimals: u32 = if magnitude >= unit || magnitude == 0 {
        2
    } else if magnitude >= unit / 100 {
        4
    } else {
        // The second significant digit: 0.0012 needs 4 decimals.
        (13 - magnitude.ilog10()).min(12)
    };
    let step = 10_u128.pow(12 - decimals);
    let rounded = (magnitude + step / 2) / step;
    let base = 10_u128.pow(decimals);
    let mut fraction = format!("{:0width$}", rounded % base, width = decimals as usize);
    while fraction.len() > 2 && fraction.ends_with('0') {
        fraction.pop();
    }
    let sign = if pico < 0 { "-" } else { "" };
    format!("{sign}${}.{fraction}", grouped(&(rounded / base).to_string()))
}

/// Dollars for people; a dash where the price is not known.
pub(crate) fn dollars_or_none(money: Option<&Money>) -> String {
    money.map_or_else(|| NONE.to_owned(), |m| dollars(pico(m)))
}

/// A count with thousands separators.
pub(crate) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// A count and what was counted, by its singular: "1 call", "2,000 calls".
pub(crate) fn counted(n: u64, one: &str) -> String {
    match (n, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{} {stem}ies", count(n)),
        (_, None) => format!("{} {one}s", count(n)),
    }
}

fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes in decimal units.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut tenths = n.div_ceil(100);
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths = tenths.div_ceil(1000);
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A percentage with one decimal.
pub(crate) fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

/// An instant in a zone, to the second; a dash for 0.
pub(crate) fn instant(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) if ms != 0 => at
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        _ => NONE.to_owned(),
    }
}

/// An instant for programs, ISO 8601 in UTC with milliseconds; nothing for 0.
pub(crate) fn iso(ms: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(ms).ok()?;
    (ms != 0).then(|| format!("{at:.3}"))
}

/// A span of time in its two largest units.
pub(crate) fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Reads decimal dollars exactly ("12", "0.0165"), down to a pico-dollar; nothing is rounded.
pub(crate) fn parse_dollars(text: &str) -> Result<Money, String> {
    let wrong = || {
        format!(
            "`{text}` is not an amount: give dollars as a decimal number such as 12 or 0.0165, not negative"
        )
    };
    let plain = text.strip_prefix('$').unwrap_or(text);
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 12 {
        return Err(format!(
            "`{text}` is finer than a pico-dollar: at most 12 decimals are kept"
        ));
    }
    let usd = if whole.is_empty() {
        0
    } else {
        whole
            .parse::<i64>()
            .map_err(|_| format!("`{text}` is too large an amount"))?
    };
    let pico = format!("{fraction:0<12}").parse::<i64>().map_err(|_| wrong())?;
    Ok(Money { usd, pico })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_counted_agrees_with_its_number() {
        assert_eq!(
            (counted(0, "call"), counted(1, "call")),
            ("0 calls".to_owned(), "1 call".to_owned())
        );
        assert_eq!(
            (counted(1, "entry"), counted(2_000, "entry")),
            ("1 entry".to_owned(), "2,000 entries".to_owned())
        );
    }

    #[test]
    fn dollars_show_what_matters() {
        for (pico, text) in [
            (0, "$0.00"),
            (16_500_000_000, "$0.0165"),
            (12_340_000_000_000, "$12.34"),
            (1_234_567_895_000_000_000, "$1,234,567.90"),
            (999_999_000_000, "$1.00"),
            (500_000_000_000, "$0.50"),
            (1_234_000_000, "$0.0012"),
            (20_000, "$0.00000002"),
            (1, "$0.000000000001"),
            (-2_500_000_000_000, "-$2.50"),
        ] {
            assert_eq!(dollars(pico), text, "{pico}");
        }
    }

    #[test]
    fn exact_money_loses_nothing() {
        let money = Money {
            usd: 0,
            pico: 16_500_000_000,
        };
        assert_eq!(exact(pico(&money)), "0.0165");
        assert_eq!(exact(0), "0");
        assert_eq!(exact(12 * PICO_PER_USD + 1), "12.000000000001");
        assert_eq!(exact(-PICO_PER_USD / 2), "-0.5");
    }

    #[test]
    fn counts_sizes_and_spans() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        for (n, text) in [
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_500_000, "1.5 MB"),
            (u64::MAX, "18446.8 PB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (ms, text) in [
            (1500, "1 s"),
            (61_000, "1 min 1 s"),
            (3_700_000, "1 h 1 min"),
            (90_000_000, "1 d 1 h"),
            (-5, "0 s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn instants_know_their_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(instant(1_763_629_200_123, &berlin), "2025-11-20 10:00:00");
        assert_eq!(instant(0, &berlin), NONE);
        assert_eq!(
            iso(1_763_629_200_123).as_deref(),
            Some("2025-11-20T09:00:00.123Z")
        );
        assert_eq!(iso(0), None);
        assert_eq!(iso(i64::MAX), None);
    }

    #[test]
    fn amounts_that_are_none_are_refused() {
        for text in [
            "",
            ".",
            "-1",
            "NaN",
            "1e3",
            "1,5",
            "0.0000000000001",
            "99999999999999999999",
        ] {
            assert!(parse_dollars(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_dollars("$.5"),
            Ok(Money {
                usd: 0,
                pico: 500_000_000_000
            })
        );
    }

    proptest! {
        #[test]
        fn exact_and_parse_are_inverse(pico_dollars in 0_i128..10_i128.pow(27)) {
            let money = parse_dollars(&exact(pico_dollars)).unwrap();
            prop_assert_eq!(pico(&money), pico_dollars);
        }

        #[test]
        fn dollars_never_fail(pico_dollars in any::<i128>()) {
            let bounded = pico_dollars / 4;
            prop_assert!(dollars(bounded).contains('.'));
        }
    }
}
