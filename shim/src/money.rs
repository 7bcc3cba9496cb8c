//! Money of the contract as exact decimal text, and back.

use tokmon_client::v1::Money;

/// Pico-dollars of a dollar.
const PICO: i128 = 1_000_000_000_000;

/// Exact, without trailing zeros: `0.0165`, `-3`.
pub(crate) fn decimal(money: Option<&Money>) -> String {
    let Some(money) = money else {
        return "0".to_owned();
    };
    let pico = i128::from(money.usd) * PICO + i128::from(money.pico);
    let sign = if pico < 0 { "-" } else { "" };
    let (whole, rest) = (pico.abs() / PICO, pico.abs() % PICO);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{rest:012}").trim_end_matches('0'))
}

/// Reads a positive decimal such as `20` or `0.5`. `None` when it is not one, or finer than a pico-dollar.
pub(crate) fn parse(text: &str) -> Option<Money> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 12 || !whole.bytes().chain(rest.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Money {
        usd: whole.parse().ok()?,
        pico: format!("{rest:0<12}").parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_both_ways() {
        for (usd, pico, text) in [
            (0, 0, "0"),
            (20, 0, "20"),
            (0, 16_500_000_000, "0.0165"),
            (1, 1, "1.000000000001"),
        ] {
            let money = Money { usd, pico };
            assert_eq!(decimal(Some(&money)), text);
            assert_eq!(parse(text), Some(money));
        }
        assert_eq!(
            decimal(Some(&Money {
                usd: -1,
                pico: -500_000_000_000
            })),
            "-1.5"
        );
        assert_eq!(decimal(None), "0");
    }

    #[test]
    fn other_text_is_no_amount() {
        for text in ["", "-1", "-0.5", "1e3", "0.0000000000001", "1.x", "NaN", "."] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
