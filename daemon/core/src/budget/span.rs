//! How long a budget's window is, and where it begins and ends.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::time::{Unit, window};

/// Milliseconds in an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// The longest window that is a number of hours: a leap year.
const MAX_HOURS: u32 = 366 * 24;

/// Steps of a rolling window: what leaves it leaves in so many pieces.
const STEPS: i64 = 60;
const MINUTE_MS: i64 = 60_000;

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Span {
    /// A clock hour.
    Hour,
    /// A calendar day.
    Day,
    /// A calendar week, from Monday.
    Week,
    /// A calendar month.
    Month,
    /// Each session by itself.
    Session,
    /// For ever.
    Lifetime,
    /// So many hours from the full hour of the first call after the window before it ended, as subscriptions meter.
    Hours(u32),
    /// The last so many minutes, always.
    Rolling(u32),
}

impl Span {
    /// Reads "hour", "day", "week", "month", "session", "lifetime", or a number of hours or days: "5h", "36h", "7d".
    /// Empty means a day.
    pub fn parse(text: &str) -> Result<Span, Refusal> {
        let allowed = "hour, day, week, month, session, lifetime, 1h to 8784h (also in days: 7d), or a window that rolls: rolling:90m, rolling:5h, rolling:7d";
        let wrong = || {
            Refusal::invalid(
                "window",
                format!("{:?} is not a window", super::cut(text)),
                allowed,
            )
        };
        let hours = |number: &str, each: u32| {
            let hours = number.parse::<u32>().ok()?.checked_mul(each)?;
            (number.bytes().all(|b| b.is_ascii_digit()) && (1..=MAX_HOURS).contains(&hours)).then_some(hours)
        };
        match text {
            "hour" => Ok(Span::Hour),
            "" | "day" => Ok(Span::Day),
            "week" => Ok(Span::Week),
            "month" => Ok(Span::Month),
            "session" => Ok(Span::Session),
            "lifetime" => Ok(Span::Lifetime),
            _ if text.starts_with("rolling:") => {
                let length = &text["rolling:".len()..];
                let minutes = |number: &str, each: u32| {
                    let minutes = number.parse::<u32>().ok()?.checked_mul(each)?;
                    let digits = number.bytes().all(|b| b.is_ascii_digit());
                    (digits && (1..=MAX_HOURS * 60).contains(&minutes)).then_some(minutes)
                };
                let number = length.strip_suffix('m').and_then(|n| minutes(n, 1));
                let number = number.or_else(|| length.strip_suffix('h').and_then(|n| minutes(n, 60)));
                let number = number.or_else(|| length.strip_suffix('d').and_then(|n| minutes(n, 24 * 60)));
                number.map(Span::Rolling).ok_or_else(wrong)
            }
            _ => {
                let number = text.strip_suffix('h').and_then(|n| hours(n, 1));
                let number = number.or_else(|| text.strip_suffix('d').and_then(|n| hours(n, 24)));
                number.map(Span::Hours).ok_or_else(wrong)
            }
        }
    }

    /// The calendar window around an instant, `start <= at < end`. `None` for windows that the calendar does not
    /// give: hours from the first call, sessions, for ever.
    pub fn around(self, at_ms: i64, zone: &TimeZone) -> Option<(i64, i64)> {
        let unit = match self {
            Span::Hour => Unit::Hour,
            Span::Day => Unit::Day,
            Span::Week => Unit::Week(Weekday::Monday),
            Span::Month => Unit::Month,
            Span::Session | Span::Lifetime | Span::Hours(_) | Span::Rolling(_) => return None,
        };
        let range = window(unit, at_ms, zone);
        Some((range.start, range.end))
    }

    /// The length of a window that is a duration; 0 for the others.
    pub(super) fn length_ms(self) -> i64 {
        match self {
            Span::Hours(hours) => i64::from(hours) * HOUR_MS,
            Span::Rolling(minutes) => i64::from(minutes) * MINUTE_MS,
            _ => 0,
        }
    }

    /// How much time one step of a rolling window covers: at least a minute.
    pub(super) fn step_ms(self) -> i64 {
        (self.length_ms() / STEPS).max(MINUTE_MS)
    }

    /// "5h", "90m": the length of a window that is a duration.
    pub(super) fn length(self) -> String {
        let minutes = self.length_ms() / MINUTE_MS;
        if minutes % 60 == 0 {
            format!("{}h", minutes / 60)
        } else {
            format!("{minutes}m")
        }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Span::Hour => f.write_str("hour"),
            Span::Day => f.write_str("day"),
            Span::Week => f.write_str("week"),
            Span::Month => f.write_str("month"),
            Span::Session => f.write_str("session"),
            Span::Lifetime => f.write_str("lifetime"),
            Span::Hours(hours) => write!(f, "{hours}h"),
            Span::Rolling(_) => write!(f, "rolling:{}", self.length()),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl TryFrom<String> for Span {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Span, Refusal> {
        Span::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn windows_tile_time_over_clock_changes_month_ends_and_leap_days() {
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        // Half an hour of summer time, offsets of half and three quarters of an hour, a change at midnight, a date that
        // was skipped, none at all.
        for (zone, from) in [
            ("Europe/Berlin", "2024-01-01T00:00:00Z"),
            ("America/New_York", "2024-01-01T00:00:00Z"),
            ("Australia/Lord_Howe", "2024-01-01T00:00:00Z"),
            ("Asia/Kolkata", "2024-01-01T00:00:00Z"),
            ("Pacific/Chatham", "2024-01-01T00:00:00Z"),
            ("America/Havana", "2024-01-01T00:00:00Z"),
            ("Pacific/Apia", "2011-10-01T00:00:00Z"),
            ("UTC", "2024-01-01T00:00:00Z"),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            for span in [Span::Hour, Span::Day, Span::Week, Span::Month] {
                let (start, mut end) = span.around(ms(from), &zone).unwrap();
                assert!((start..end).contains(&ms(from)));
                let mut windows = 0;
                while end < ms(from) + 500 * 24 * HOUR_MS {
                    let next = span.around(end, &zone).unwrap();
                    assert_eq!(next.0, end, "{span} {zone:?}");
                    assert!(next.1 > next.0, "{span} {zone:?}");
                    for inside in [next.0, (next.0 + next.1) / 2, next.1 - 1] {
                        assert_eq!(span.around(inside, &zone), Some(next), "{span} {zone:?}");
                    }
                    end = next.1;
                    windows += 1;
                }
                assert!(windows >= 15, "{span} {zone:?}");
            }
        }
    }

    #[test]
    fn windows_are_read_back() {
        for text in [
            "hour",
            "day",
            "week",
            "month",
            "session",
            "lifetime",
            "5h",
            "36h",
            "8784h",
            "rolling:90m",
            "rolling:5h",
            "rolling:8784h",
        ] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Span::parse("7d").unwrap(), Span::Hours(168));
        assert_eq!(Span::parse("rolling:7d").unwrap().to_string(), "rolling:168h");
        for text in [
            "fortnight",
            "0h",
            "8785h",
            "-5h",
            "+5h",
            "h",
            "5",
            "5 h",
            "367d",
            "99999999999h",
            "rolling:",
            "rolling:0m",
            "rolling:-5h",
            "rolling:5",
            "rolling:8785h",
            "rolling:99999999999d",
        ] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn calendar_windows_follow_the_zone_and_its_clock_changes() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        let cases = [
            // The clock goes forward: 23 hours. It goes back: 25.
            (
                Span::Day,
                "2026-03-29T10:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            (
                Span::Day,
                "2026-10-25T10:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            (
                Span::Week,
                "2026-11-20T10:00:00Z",
                "2026-11-15T23:00:00Z",
                "2026-11-22T23:00:00Z",
            ),
            (
                Span::Month,
                "2026-10-31T23:30:00Z",
                "2026-10-31T23:00:00Z",
                "2026-11-30T23:00:00Z",
            ),
            // 02:30 happens twice; each is its own hour.
            (
                Span::Hour,
                "2026-10-25T00:30:00Z",
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:00:00Z",
            ),
            (
                Span::Hour,
                "2026-10-25T01:30:00.5Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T02:00:00Z",
            ),
        ];
        for (span, at, start, end) in cases {
            assert_eq!(
                span.around(ms(at), &berlin),
                Some((ms(start), ms(end))),
                "{span} {at}"
            );
        }
        let kolkata = TimeZone::get("Asia/Kolkata").unwrap();
        let hour = Span::Hour.around(ms("2026-11-20T10:10:00Z"), &kolkata);
        assert_eq!(
            hour,
            Some((ms("2026-11-20T09:30:00Z"), ms("2026-11-20T10:30:00Z")))
        );
    }
}
