//! Page tokens: where the next page begins. Opaque to callers; whatever comes back is checked.

use tokmon_core::limits::MAX_PAGE;
use tokmon_core::refusal::Refusal;

/// The size of a page: what was asked for, within bounds.
pub(crate) fn size(asked: usize, default: usize) -> usize {
    if asked == 0 { default } else { asked.min(MAX_PAGE) }
}

/// A place in a list that is sorted by an instant and a number, both falling.
pub(crate) fn token(at_ms: i64, number: u64) -> String {
    format!("{:x}-{number:x}", at_ms.cast_unsigned())
}

/// Reads a token; empty: the first page.
pub(crate) fn parse(token: &str) -> Result<Option<(i64, u64)>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let hex = |text: &str| {
        let plain = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
    };
    let parts = token
        .split_once('-')
        .and_then(|(at, number)| Some((hex(at)?.cast_signed(), hex(number)?)));
    parts.map(Some).ok_or_else(|| {
        let shown: String = token.chars().take(40).collect();
        Refusal::invalid(
            "page_token",
            format!("{shown:?} is not a page token"),
            "the token of the page before",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_others_refused() {
        for (at, number) in [(0, 0), (-1, 1), (i64::MAX, u64::MAX), (i64::MIN, 7)] {
            assert_eq!(parse(&token(at, number)).unwrap(), Some((at, number)));
        }
        assert_eq!(parse("").unwrap(), None);
        for wrong in [
            "-",
            "1",
            "1-",
            "-1",
            "+1-1",
            "1-1-1",
            "zz-1",
            "11111111111111111-1",
            "ü-ü",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
