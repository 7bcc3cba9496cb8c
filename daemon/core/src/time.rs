//! Time as values: windows of hours, days, weeks and months in a zone, named periods, and what people type.
//!
//! Nothing here reads a clock or loads a zone: "now" is a number of milliseconds and a zone is a
//! [`jiff::tz::TimeZone`] that the caller has found. Every instant lies in exactly one window of each kind,
//! whatever daylight saving does: windows of one kind follow each other without a hole and without an overlap.

mod parse;
mod period;
mod window;

pub use parse::{parse_since, parse_until, parse_week_start};
pub use period::{Period, period_window};
pub use window::{Segment, Unit, date_of, day_window, hour_of_day, key, local_time, window, zone_name};
