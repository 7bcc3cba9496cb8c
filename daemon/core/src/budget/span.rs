//! How long a budget's window is, and where it begins and ends.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

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
        let at = Timestamp::from_millisecond(at_ms).ok()?.to_zoned(zone.clone());
        let midnight = |date: Date| Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond());
        match self {
            Span::Hour => {
                // By the clock's minutes, so that zones with half hours have their own hours; the length is fixed,
                // so the hour that a clock shows twice makes two windows.
                let into = i64::from(at.minute()) * 60_000 + at_ms.rem_euclid(60_000);
                let start = at_ms - into;
                Some((start, start + HOUR_MS))
            }
            Span::Day => Some((midnight(at.date())?, midnight(at.date().tomorrow().ok()?)?)),
            Span::Week => {
                let back = i64::from(at.weekday().to_monday_zero_offset());
                let monday = at.date().checked_sub(back.days()).ok()?;
                Some((midnight(monday)?, midnight(monday.checked_add(7.days()).ok()?)?))
            }
            Span::Month => {
                let next = at.date().last_of_month().tomorrow().ok()?;
                Some((midnight(at.date().first_of_month())?, midnight(next)?))
            }
            Span::Session | Span::Lifetime | Span::Hours(_) | Span::Rolling(_) => None,
        }
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
    use super::*;

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
