//! Windows of the calendar: where an hour, a day, a week or a month begins and ends in a zone.
//!
//! A day begins at its first instant (01:00 where midnight is skipped) and ends where the next one begins, so
//! it has 23, 24 or 25 hours, or 24½ on Lord Howe Island. A clock hour is cut where the zone's offset changes,
//! so that an hour that the clock shows twice is two windows with two offsets in their keys.

use std::ops::Range;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

const HOUR_MS: i64 = 3_600_000;
/// Year 1: instants before it are treated as this one.
const EARLIEST_MS: i64 = -62_135_596_800_000;
/// Some time in the year 9892: instants after it are treated as this one. Leaves the calendar room to look ahead.
const LATEST_MS: i64 = 250_000_000_000_000;
/// Transitions that do not change the offset (only its name) are skipped; no zone has that many in a row.
const MAX_SILENT_TRANSITIONS: usize = 64;

/// A kind of window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A clock hour, cut at changes of the offset.
    Hour,
    /// A calendar day.
    Day,
    /// Seven calendar days that begin on the given one.
    Week(Weekday),
    /// A calendar month.
    Month,
}

/// A stretch of time in which a zone's offset does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The stretch, milliseconds; the ends are `i64::MIN` and `i64::MAX` where there is no change.
    pub range: Range<i64>,
    /// Local time minus UTC, milliseconds.
    pub offset_ms: i64,
}

impl Segment {
    /// The stretch that an instant lies in.
    pub fn at(at_ms: i64, zone: &TimeZone) -> Segment {
        let at = timestamp(at_ms);
        let offset = zone.to_offset(at);
        let before = |t: Timestamp| zone.to_offset(t.saturating_sub(1.nanosecond()).unwrap_or(t));
        let start = zone
            .preceding(timestamp(at_ms.saturating_add(1)))
            .take(MAX_SILENT_TRANSITIONS)
            .map(|t| t.timestamp())
            .find(|&t| before(t) != offset);
        let end = zone
            .following(at)
            .take(MAX_SILENT_TRANSITIONS)
            .find(|t| t.offset() != offset)
            .map(|t| t.timestamp());
        Segment {
            range: start.map_or(i64::MIN, Timestamp::as_millisecond)
                ..end.map_or(i64::MAX, Timestamp::as_millisecond),
            offset_ms: i64::from(offset.seconds()) * 1000,
        }
    }

    /// The clock hour of an instant that lies in the stretch.
    pub fn hour(&self, at_ms: i64) -> Range<i64> {
        let start = self.local(at_ms).div_euclid(HOUR_MS) * HOUR_MS - self.offset_ms;
        start.max(self.range.start)..(start + HOUR_MS).min(self.range.end)
    }

    /// The hour that the clock shows at an instant that lies in the stretch, 0 to 23.
    pub fn hour_of_day(&self, at_ms: i64) -> u8 {
        u8::try_from(self.local(at_ms).div_euclid(HOUR_MS).rem_euclid(24)).unwrap_or(0)
    }

    fn local(&self, at_ms: i64) -> i64 {
        at_ms.clamp(EARLIEST_MS, LATEST_MS) + self.offset_ms
    }
}

/// The window of the given kind that an instant lies in, milliseconds, half open.
pub fn window(unit: Unit, at_ms: i64, zone: &TimeZone) -> Range<i64> {
    let at_ms = at_ms.clamp(EARLIEST_MS, LATEST_MS);
    if unit == Unit::Hour {
        return Segment::at(at_ms, zone).hour(at_ms);
    }
    let mut first = first_date(unit, date_of(at_ms, zone));
    loop {
        let next = next_date(unit, first);
        let range = start_of(first, zone)..start_of(next, zone);
        // Where the clock falls back over midnight, some instants show the date before the day they belong to.
        if at_ms >= range.end {
            first = next;
        } else if at_ms < range.start {
            first = first_date(unit, first.saturating_sub(1.day()));
        } else {
            return range;
        }
    }
}

/// The window of a calendar day, milliseconds, half open. Empty for a date that the zone skipped.
pub fn day_window(date: Date, zone: &TimeZone) -> Range<i64> {
    start_of(date, zone)..start_of(next_date(Unit::Day, date), zone)
}

/// The name of the window that an instant lies in: days "2026-11-20", weeks the date they begin, months
/// "2026-11", hours "2026-11-20T14:00+01:00".
pub fn key(unit: Unit, at_ms: i64, zone: &TimeZone) -> String {
    if unit == Unit::Hour {
        let segment = Segment::at(at_ms, zone);
        let local = segment.local(at_ms).div_euclid(HOUR_MS) * HOUR_MS;
        let local = local_of_utc(local);
        return format!(
            "{}T{:02}:00{}",
            local.date(),
            local.hour(),
            offset_name(segment.offset_ms)
        );
    }
    let range = window(unit, at_ms, zone);
    let date = date_of(range.start, zone);
    match unit {
        Unit::Month => format!("{:04}-{:02}", date.year(), date.month()),
        _ => date.to_string(),
    }
}

/// The hour that the clock shows, 0 to 23.
pub fn hour_of_day(at_ms: i64, zone: &TimeZone) -> u8 {
    Segment::at(at_ms, zone).hour_of_day(at_ms)
}

/// The date that the calendar shows.
pub fn date_of(at_ms: i64, zone: &TimeZone) -> Date {
    zone.to_datetime(timestamp(at_ms)).date()
}

/// An instant as people read it, "2026-11-20 14:05".
pub fn local_time(at_ms: i64, zone: &TimeZone) -> String {
    let local = zone.to_datetime(timestamp(at_ms));
    format!("{} {:02}:{:02}", local.date(), local.hour(), local.minute())
}

/// The zone's name, or its offset now where it has none.
pub fn zone_name(zone: &TimeZone, now_ms: i64) -> String {
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => {
            let offset = zone.to_offset(timestamp(now_ms));
            offset_name(i64::from(offset.seconds()) * 1000)
        }
    }
}

/// An instant that the calendar knows.
pub(super) fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms.clamp(EARLIEST_MS, LATEST_MS)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The first instant of a date, milliseconds.
pub(super) fn start_of(date: Date, zone: &TimeZone) -> i64 {
    match zone.to_timestamp(date.at(0, 0, 0, 0)) {
        Ok(start) => start.as_millisecond(),
        // Only for dates at the very ends of the calendar.
        Err(_) if date.year() > 0 => LATEST_MS,
        Err(_) => EARLIEST_MS,
    }
}

fn first_date(unit: Unit, date: Date) -> Date {
    match unit {
        Unit::Hour | Unit::Day => date,
        Unit::Week(start) => date.saturating_sub(i64::from(date.weekday().since(start)).days()),
        Unit::Month => date.first_of_month(),
    }
}

fn next_date(unit: Unit, first: Date) -> Date {
    match unit {
        Unit::Hour | Unit::Day => first.saturating_add(1.day()),
        Unit::Week(_) => first.saturating_add(7.days()),
        Unit::Month => first.saturating_add(1.month()),
    }
}

fn local_of_utc(local_ms: i64) -> DateTime {
    TimeZone::UTC.to_datetime(timestamp(local_ms))
}

fn offset_name(offset_ms: i64) -> String {
    let minutes = offset_ms / 60_000;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

#[cfg(test)]
mod tests;
