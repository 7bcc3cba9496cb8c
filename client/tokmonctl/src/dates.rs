//! Days as people name them, turned into the spans of time that the contract speaks of.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tokmon_client::v1::{TotalsRequest, Window};
use tokmon_client::{Client, Error};

use crate::failure::invalid;

/// A day: 2026-11-20, 20261120, today, yesterday, or 7d for the last seven days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Day {
    On(Date),
    /// So many days before today.
    Ago(u32),
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Day, String> {
        let wrong = |why: &str| {
            Err(format!(
                "{why}; a day is YYYY-MM-DD, YYYYMMDD, today, yesterday, or a number of days such as 7d"
            ))
        };
        match text {
            "today" => return Ok(Day::Ago(0)),
            "yesterday" => return Ok(Day::Ago(1)),
            _ => {}
        }
        if let Some(days) = text
            .strip_suffix('d')
            .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))
        {
            // "7d" are seven days with today among them.
            return match days.parse::<u32>() {
                Ok(days @ 1..=100_000) => Ok(Day::Ago(days - 1)),
                _ => wrong("the number of days must be from 1 to 100000"),
            };
        }
        let digits: String = match text.len() {
            10 if text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-' => text.replace('-', ""),
            _ => text.to_owned(),
        };
        if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return wrong("not a day");
        }
        let part = |range: std::ops::Range<usize>| digits[range].parse::<i16>().unwrap_or_default();
        let (month, day) = (
            i8::try_from(part(4..6)).unwrap_or_default(),
            i8::try_from(part(6..8)).unwrap_or_default(),
        );
        match Date::new(part(0..4), month, day) {
            Ok(date) => Ok(Day::On(date)),
            Err(_) => wrong("there is no such day in the calendar"),
        }
    }
}

impl Day {
    fn date(self, today: Date) -> Date {
        match self {
            Day::On(date) => date,
            Day::Ago(days) => today.saturating_sub(i64::from(days).days()),
        }
    }
}

/// Which span of time.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Span {
    /// First day: YYYY-MM-DD, YYYYMMDD, today, yesterday, or 7d for the last seven days
    #[arg(long, value_name = "DAY", allow_negative_numbers = true)]
    pub(crate) since: Option<Day>,
    /// Last day, included
    #[arg(long, value_name = "DAY", allow_negative_numbers = true)]
    pub(crate) until: Option<Day>,
    /// Time zone of days, e.g. Europe/Berlin [default: the daemon's]
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<String>,
}

impl Span {
    /// The window in milliseconds. Asks the daemon for its zone when that matters.
    pub(crate) async fn window(&self, client: &Client) -> Result<Option<Window>, Error> {
        if self.since.is_none() && self.until.is_none() {
            return Ok(None);
        }
        let zone = self.zone(client).await?;
        window(self.since, self.until, &zone, Timestamp::now()).map(Some)
    }

    /// The zone that was asked for, else the daemon's.
    pub(crate) async fn zone(&self, client: &Client) -> Result<TimeZone, Error> {
        match &self.timezone {
            Some(name) => named_zone(name),
            None => daemon_zone(client).await,
        }
    }

    /// The zone's name for a request; empty means the daemon's.
    pub(crate) fn zone_name(&self) -> String {
        self.timezone.clone().unwrap_or_default()
    }
}

/// The zone in which the daemon counts days.
pub(crate) async fn daemon_zone(client: &Client) -> Result<TimeZone, Error> {
    // Every report says its zone; one over a millisecond of 1970 costs nothing.
    let probe = TotalsRequest {
        window: Some(Window { from_ms: 1, to_ms: 2 }),
        ..TotalsRequest::default()
    };
    let name = client.totals(probe).await?.timezone;
    Ok(TimeZone::get(&name).unwrap_or_else(|_| TimeZone::system()))
}

/// Whole days in a zone, the last one included, as a half-open window.
pub(crate) fn window(
    since: Option<Day>,
    until: Option<Day>,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Window, Error> {
    let today = now.to_zoned(zone.clone()).date();
    let (since, until) = (since.map(|d| d.date(today)), until.map(|d| d.date(today)));
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(
            invalid(format!("the span ends ({until}) before it begins ({since})"))
                .with_hint("--until must be the same day as --since or a later one"),
        );
    }
    let begin = |date: Date| -> Result<i64, Error> {
        let start = date.to_zoned(zone.clone()).and_then(|z| z.start_of_day());
        let start = start.map_err(|e| invalid(format!("{date} is out of range: {e}")))?;
        // 0 would mean that the window is open.
        Ok(start.timestamp().as_millisecond().max(1))
    };
    let from_ms = since.map(begin).transpose()?.unwrap_or_default();
    let to_ms = match until.map(Date::tomorrow) {
        Some(Ok(next)) => begin(next)?,
        // The last day that there is: nothing lies behind it.
        Some(Err(_)) | None => 0,
    };
    Ok(Window { from_ms, to_ms })
}

/// The zone of that name.
fn named_zone(name: &str) -> Result<TimeZone, Error> {
    TimeZone::get(name).map_err(|_| {
        invalid(format!("there is no time zone `{name}`"))
            .with_hint("use a name such as Europe/Berlin or UTC")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn days_are_read() {
        for (text, day) in [
            ("2026-11-20", Day::On(date(2026, 11, 20))),
            ("20261120", Day::On(date(2026, 11, 20))),
            ("2024-02-29", Day::On(date(2024, 2, 29))),
            ("today", Day::Ago(0)),
            ("yesterday", Day::Ago(1)),
            ("1d", Day::Ago(0)),
            ("7d", Day::Ago(6)),
        ] {
            assert_eq!(text.parse::<Day>(), Ok(day), "{text}");
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "d",
            "0d",
            "-7d",
            "999999999999d",
            "2026-02-30",
            "20250229",
            "2026-13-01",
            "2026-1-1",
            "2026/01/01",
            "20-260101",
            "tomorrow",
            "ü2026-01",
        ] {
            let error = text.parse::<Day>().unwrap_err();
            assert!(error.contains("YYYY-MM-DD"), "{text}: {error}");
        }
    }

    #[test]
    fn windows_are_whole_days_of_the_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let now: Timestamp = "2026-11-20T23:30:00Z".parse().unwrap();
        // In Berlin it is the 21st already.
        let today = window(Some(Day::Ago(0)), Some(Day::Ago(0)), &berlin, now).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(
            (today.from_ms, today.to_ms),
            (at("2026-11-20T23:00:00Z"), at("2026-11-21T23:00:00Z"))
        );
        // The clocks go back on 25 October 2026: that day has 25 hours.
        let long = Some(Day::On(date(2026, 10, 25)));
        let long = window(long, long, &berlin, now).unwrap();
        assert_eq!(long.to_ms - long.from_ms, 25 * 3_600_000);
    }

    #[test]
    fn open_ends_stay_open() {
        let now = Timestamp::UNIX_EPOCH;
        let all = window(None, None, &TimeZone::UTC, now).unwrap();
        assert_eq!((all.from_ms, all.to_ms), (0, 0));
        let last = window(None, Some(Day::On(Date::MAX)), &TimeZone::UTC, now).unwrap();
        assert_eq!(last.to_ms, 0);
        let first = window(Some(Day::On(date(1970, 1, 1))), None, &TimeZone::UTC, now).unwrap();
        assert_eq!(first.from_ms, 1);
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_refused() {
        let (since, until) = (Some(Day::On(date(2026, 2, 2))), Some(Day::On(date(2026, 2, 1))));
        let error = window(since, until, &TimeZone::UTC, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.message.contains("2026-02-01") && error.message.contains("2026-02-02"));
    }

    #[test]
    fn zones_are_checked() {
        assert!(named_zone("Europe/Berlin").is_ok() && named_zone("UTC").is_ok());
        let error = named_zone("Mars/Olympus").unwrap_err();
        assert_eq!(error.exit_code(), 64);
        assert!(error.message.contains("Mars/Olympus"));
    }
}
