//! The named periods that analyses are asked for.

use std::ops::Range;

use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::window::{date_of, day_window, start_of};
use crate::refusal::Refusal;

/// A named period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// The session that is open now. As a window of time it is not restricted: the caller filters by session.
    CurrentSession,
    /// Today's calendar day.
    Today,
    /// Today and the six days before.
    Last7Days,
    /// Today and the 29 days before.
    Last30Days,
    /// Everything.
    All,
}

impl Period {
    /// Every period.
    pub const ALL: [Period; 5] = [
        Period::CurrentSession,
        Period::Today,
        Period::Last7Days,
        Period::Last30Days,
        Period::All,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Period::CurrentSession => "current_session",
            Period::Today => "today",
            Period::Last7Days => "last_7_days",
            Period::Last30Days => "last_30_days",
            Period::All => "all",
        }
    }

    /// The inverse of [`Period::name`].
    ///
    /// # Errors
    /// An unknown name; the refusal lists the known ones.
    pub fn parse(text: &str) -> Result<Period, Refusal> {
        Period::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| {
            Refusal::invalid(
                "period",
                format!("{:?} is not a period", super::parse::excerpt(text)),
                Period::ALL.map(Period::name).join(", "),
            )
        })
    }
}

/// The window of a period, milliseconds, half open. Unrestricted ones are `0..i64::MAX`.
pub fn period_window(period: Period, now_ms: i64, zone: &TimeZone) -> Range<i64> {
    let days = match period {
        Period::CurrentSession | Period::All => return 0..i64::MAX,
        Period::Today => 1,
        Period::Last7Days => 7,
        Period::Last30Days => 30,
    };
    let today = date_of(now_ms, zone);
    let first = today.saturating_sub((days - 1).days());
    start_of(first, zone)..day_window(today, zone).end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for period in Period::ALL {
            assert_eq!(Period::parse(period.name()), Ok(period));
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let refusal = Period::parse("last_week").unwrap_err().to_string();
        assert!(refusal.contains("\"last_week\""), "{refusal}");
        assert!(refusal.contains("last_7_days"), "{refusal}");
    }

    #[test]
    fn periods_are_whole_days_that_end_today() {
        let zone = TimeZone::get("America/New_York").unwrap();
        // 2026-11-03 12:00 in New York, two days after the clock fell back.
        let now = 1_793_725_200_000;
        let today = period_window(Period::Today, now, &zone);
        assert_eq!(today.end - today.start, 24 * 3_600_000);
        assert!(today.contains(&now));
        let week = period_window(Period::Last7Days, now, &zone);
        assert_eq!(week.end, today.end);
        assert_eq!(week.end - week.start, (7 * 24 + 1) * 3_600_000);
        let month = period_window(Period::Last30Days, now, &zone);
        assert_eq!(month.end - month.start, (30 * 24 + 1) * 3_600_000);
        assert_eq!(period_window(Period::All, now, &zone), 0..i64::MAX);
    }
}
