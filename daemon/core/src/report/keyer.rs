//! From a bucket to its key in one grouping, without asking the zone per row.
//!
//! Rows come in bucket order, so a keyer holds the window of the last bucket and asks the zone only when a
//! bucket lies outside it. The key of a window is the bucket it begins in: unique, and in the order of time.

use std::ops::Range;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::{Grouping, Query};
use crate::rollup::{BUCKET_MS, Dims, bucket_of, bucket_start_ms};
use crate::time::{Segment, Unit, key, window};

/// Keys of one grouping.
pub(super) enum Keyer {
    /// The id at this place of [`Dims`].
    Dimension(usize),
    /// Days, weeks, months: the bucket that the window begins in.
    Calendar(Calendar),
    /// Clock hours and hours of the day.
    Hours(Hours),
}

impl Keyer {
    pub(super) fn new(grouping: Grouping, query: &Query) -> Keyer {
        if let Some(dimension) = grouping.dimension() {
            return Keyer::Dimension(dimension as usize);
        }
        let zone = query.zone.clone();
        match grouping {
            Grouping::Week => Keyer::Calendar(Calendar::new(Unit::Week(query.week_start), zone)),
            Grouping::Month => Keyer::Calendar(Calendar::new(Unit::Month, zone)),
            Grouping::Hour => Keyer::Hours(Hours::new(zone, false)),
            Grouping::HourOfDay => Keyer::Hours(Hours::new(zone, true)),
            _ => Keyer::Calendar(Calendar::new(Unit::Day, zone)),
        }
    }

    /// The row's key.
    pub(super) fn key(&mut self, bucket: u32, dims: &Dims) -> u32 {
        match self {
            Keyer::Dimension(at) => dims[*at],
            Keyer::Calendar(calendar) => calendar.key(bucket),
            Keyer::Hours(hours) => hours.key(bucket),
        }
    }

    /// The text of a key of a grouping by time.
    pub(super) fn text(
        grouping: Grouping,
        key_of_group: u32,
        zone: &TimeZone,
        week_start: Weekday,
    ) -> String {
        let at_ms = bucket_start_ms(key_of_group);
        match grouping {
            Grouping::HourOfDay => format!("{key_of_group:02}"),
            Grouping::Hour => key(Unit::Hour, at_ms, zone),
            Grouping::Week => key(Unit::Week(week_start), at_ms, zone),
            Grouping::Month => key(Unit::Month, at_ms, zone),
            _ => key(Unit::Day, at_ms, zone),
        }
    }
}

/// See [`Keyer::Calendar`].
pub(super) struct Calendar {
    unit: Unit,
    zone: TimeZone,
    current: Range<u32>,
}

impl Calendar {
    fn new(unit: Unit, zone: TimeZone) -> Calendar {
        Calendar {
            unit,
            zone,
            current: 0..0,
        }
    }

    fn key(&mut self, bucket: u32) -> u32 {
        if !self.current.contains(&bucket) {
            self.current = as_buckets(&window(self.unit, bucket_start_ms(bucket), &self.zone), bucket);
        }
        self.current.start
    }
}

/// See [`Keyer::Hours`].
pub(super) struct Hours {
    zone: TimeZone,
    of_day: bool,
    segment: Segment,
    current: Range<u32>,
    current_key: u32,
}

impl Hours {
    fn new(zone: TimeZone, of_day: bool) -> Hours {
        let segment = Segment {
            range: 0..0,
            offset_ms: 0,
        };
        Hours {
            zone,
            of_day,
            segment,
            current: 0..0,
            current_key: 0,
        }
    }

    fn key(&mut self, bucket: u32) -> u32 {
        if !self.current.contains(&bucket) {
            let at_ms = bucket_start_ms(bucket);
            if !self.segment.range.contains(&at_ms) {
                self.segment = Segment::at(at_ms, &self.zone);
            }
            self.current = as_buckets(&self.segment.hour(at_ms), bucket);
            self.current_key = match self.of_day {
                true => u32::from(self.segment.hour_of_day(at_ms)),
                false => self.current.start,
            };
        }
        self.current_key
    }
}

/// The buckets that begin in a window which holds the start of `bucket`.
fn as_buckets(window: &Range<i64>, bucket: u32) -> Range<u32> {
    let first = |ms: i64| bucket_of(ms.max(0).saturating_add(BUCKET_MS - 1));
    first(window.start)..first(window.end).max(bucket.saturating_add(1))
}
