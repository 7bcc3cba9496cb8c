//! Instants as people type them.
//!
//! | text | `since` | `until` |
//! |---|---|---|
//! | `2026-11-20`, `20261120` | the date's first instant | the end of that date |
//! | `today`, `yesterday`, `3d` (3 days ago), `2w` | likewise | likewise |
//! | `now`, `6h` (6 hours ago), `90m` | that instant | that instant |
//! | `2026-11-20T14:00:00Z`, `…+01:00`, or without an offset in the zone | that instant | that instant |

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::window::{date_of, day_window};
use crate::refusal::Refusal;

const ALLOWED: &str = "a date (2026-11-20 or 20261120, years 1970 to 2999), today, yesterday, now, \
                       a time ago (90m, 6h, 7d, 2w) or an instant (2026-11-20T14:00:00+01:00)";
/// The longest time ago, in days: nothing on record is a hundred years old.
const MAX_DAYS_AGO: i64 = 36_500;

/// Where a report begins: an instant in milliseconds, to be included.
///
/// # Errors
/// Text that is none of the forms above, or a date that does not exist.
pub fn parse_since(text: &str, now_ms: i64, zone: &TimeZone) -> Result<i64, Refusal> {
    parse("since", text, now_ms, zone).map(|moment| match moment {
        Moment::Date(date) => day_window(date, zone).start,
        Moment::Instant(at_ms) => at_ms,
    })
}

/// Where a report ends: an instant in milliseconds, not included. A date is included to its end.
///
/// # Errors
/// As [`parse_since`].
pub fn parse_until(text: &str, now_ms: i64, zone: &TimeZone) -> Result<i64, Refusal> {
    parse("until", text, now_ms, zone).map(|moment| match moment {
        Moment::Date(date) => day_window(date, zone).end,
        Moment::Instant(at_ms) => at_ms,
    })
}

/// The first day of the week: "monday" (also the empty text) or "sunday".
///
/// # Errors
/// Any other text.
pub fn parse_week_start(text: &str) -> Result<Weekday, Refusal> {
    match text {
        "" | "monday" => Ok(Weekday::Monday),
        "sunday" => Ok(Weekday::Sunday),
        _ => Err(Refusal::invalid(
            "week_start",
            format!("{:?} cannot begin a week", excerpt(text)),
            "monday, sunday",
        )),
    }
}

enum Moment {
    Date(Date),
    Instant(i64),
}

fn parse(field: &'static str, text: &str, now_ms: i64, zone: &TimeZone) -> Result<Moment, Refusal> {
    let text = text.trim();
    let wrong = |problem: String| Refusal::invalid(field, problem, ALLOWED);
    let days_ago = |days: i64| date_of(now_ms, zone).saturating_sub(days.days());
    match text {
        "" => return Err(wrong("it is empty".to_owned())),
        "now" => return Ok(Moment::Instant(now_ms)),
        "today" => return Ok(Moment::Date(days_ago(0))),
        "yesterday" => return Ok(Moment::Date(days_ago(1))),
        _ => {}
    }
    if let Some((count, unit)) = split_ago(text) {
        let minutes_per = match unit {
            'm' => 1,
            'h' => 60,
            'd' => 24 * 60,
            _ => 7 * 24 * 60,
        };
        let minutes = count
            .parse::<i64>()
            .ok()
            .and_then(|count| count.checked_mul(minutes_per))
            .filter(|&minutes| minutes <= MAX_DAYS_AGO * 24 * 60)
            .ok_or_else(|| {
                wrong(format!(
                    "{:?} lies more than {MAX_DAYS_AGO} days back",
                    excerpt(text)
                ))
            })?;
        return Ok(match unit {
            'm' | 'h' => Moment::Instant(now_ms.saturating_sub(minutes * 60_000)),
            _ => Moment::Date(days_ago(minutes / (24 * 60))),
        });
    }
    if let Some((year, month, day)) = split_date(text) {
        return date(year, month, day).map(Moment::Date).map_err(wrong);
    }
    instant(text, zone)
        .map(Moment::Instant)
        .ok_or_else(|| wrong(format!("{:?} is not a date or an instant", excerpt(text))))
}

/// "6h" → ("6", 'h').
fn split_ago(text: &str) -> Option<(&str, char)> {
    let unit = text
        .chars()
        .last()
        .filter(|c| matches!(c, 'm' | 'h' | 'd' | 'w'))?;
    let count = &text[..text.len() - 1];
    (!count.is_empty() && count.bytes().all(|b| b.is_ascii_digit())).then_some((count, unit))
}

/// "2026-11-20" or "20261120" as numbers; they may make no date.
fn split_date(text: &str) -> Option<(i16, i8, i8)> {
    let digits: String = match text.len() {
        8 => text.to_owned(),
        10 if text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-' => text.replace('-', ""),
        _ => return None,
    };
    if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((
        digits[..4].parse().ok()?,
        digits[4..6].parse().ok()?,
        digits[6..].parse().ok()?,
    ))
}

fn date(year: i16, month: i8, day: i8) -> Result<Date, String> {
    let shown = format!("{year:04}-{month:02}-{day:02}");
    if !(1970..=2999).contains(&year) {
        return Err(format!("{shown} is out of range"));
    }
    let Ok(first) = Date::new(year, month, 1) else {
        return Err(format!("{shown} does not exist: there is no month {month}"));
    };
    Date::new(year, month, day).map_err(|_| {
        format!(
            "{shown} does not exist: {year:04}-{month:02} has the days 1 to {}",
            first.days_in_month()
        )
    })
}

fn instant(text: &str, zone: &TimeZone) -> Option<i64> {
    // Dates alone were read before; what is left must say a time.
    let separator = text.as_bytes().get(10)?;
    if text.len() > 64 || !matches!(separator, b'T' | b't' | b' ') {
        return None;
    }
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => zone.to_timestamp(text.parse::<DateTime>().ok()?).ok()?,
    };
    let year = TimeZone::UTC.to_datetime(at).year();
    (1970..=2999).contains(&year).then(|| at.as_millisecond())
}

/// The first characters of what someone sent, for a message.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 14:30 in New York.
    const NOW: &str = "2026-11-20T19:30:00Z";

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn zone() -> TimeZone {
        TimeZone::get("America/New_York").unwrap()
    }

    #[test]
    fn what_people_type_is_understood() {
        for (text, since, until) in [
            ("2026-11-20", "2026-11-20T05:00:00Z", "2026-11-21T05:00:00Z"),
            ("20261101", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
            (" today ", "2026-11-20T05:00:00Z", "2026-11-21T05:00:00Z"),
            ("yesterday", "2026-11-19T05:00:00Z", "2026-11-20T05:00:00Z"),
            ("0d", "2026-11-20T05:00:00Z", "2026-11-21T05:00:00Z"),
            ("7d", "2026-11-13T05:00:00Z", "2026-11-14T05:00:00Z"),
            ("2w", "2026-11-06T05:00:00Z", "2026-11-07T05:00:00Z"),
            ("6h", "2026-11-20T13:30:00Z", "2026-11-20T13:30:00Z"),
            ("90m", "2026-11-20T18:00:00Z", "2026-11-20T18:00:00Z"),
            ("now", NOW, NOW),
            (
                "2026-11-20T14:00:00Z",
                "2026-11-20T14:00:00Z",
                "2026-11-20T14:00:00Z",
            ),
            (
                "2026-11-20T14:00:00+01:00",
                "2026-11-20T13:00:00Z",
                "2026-11-20T13:00:00Z",
            ),
            ("2026-11-20 14:00", "2026-11-20T19:00:00Z", "2026-11-20T19:00:00Z"),
            ("2024-02-29", "2024-02-29T05:00:00Z", "2024-03-01T05:00:00Z"),
        ] {
            assert_eq!(parse_since(text, ms(NOW), &zone()), Ok(ms(since)), "since {text}");
            assert_eq!(parse_until(text, ms(NOW), &zone()), Ok(ms(until)), "until {text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused_with_what_is_allowed() {
        for (text, problem) in [
            ("", "empty"),
            ("2026-02-30", "2026-02 has the days 1 to 28"),
            ("20260230", "2026-02-30 does not exist"),
            ("2026-13-01", "there is no month 13"),
            ("2026-00-01", "there is no month 0"),
            ("2026-11-00", "2026-11 has the days 1 to 30"),
            ("0999-01-01", "out of range"),
            ("soon", "not a date"),
            ("99999999999999999999d", "days back"),
            ("-3d", "not a date"),
            ("d", "not a date"),
            ("2026-11-20T25:00:00Z", "not a date"),
            ("2026-02-30T00:00:00Z", "not a date"),
            ("20 Nov 2026", "not a date"),
            ("２０２６-１１-２０", "not a date"),
            ("9999-12-31T23:59:59Z", "not a date"),
        ] {
            let refusal = parse_since(text, ms(NOW), &zone()).unwrap_err().to_string();
            assert!(refusal.starts_with("since: "), "{refusal}");
            assert!(refusal.contains(problem), "{text}: {refusal}");
            assert!(refusal.contains("2026-11-20"), "{refusal}");
            assert!(parse_until(text, ms(NOW), &zone()).is_err());
        }
    }

    #[test]
    fn weeks_begin_on_monday_or_sunday() {
        assert_eq!(parse_week_start(""), Ok(Weekday::Monday));
        assert_eq!(parse_week_start("sunday"), Ok(Weekday::Sunday));
        assert!(parse_week_start("tuesday").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_does_harm(text in "\\PC{0,40}", shape in "[0-9dhmwTZ:+ -]{0,24}") {
            for text in [text, shape] {
                if let Ok(since) = parse_since(&text, ms(NOW), &zone()) {
                    proptest::prop_assert!(parse_until(&text, ms(NOW), &zone()).is_ok_and(|until| until >= since));
                }
            }
        }
    }
}
