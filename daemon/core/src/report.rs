//! Reports: totals by any grouping over any window, folded from rollup rows.
//!
//! A [`Query`] says what is wanted, a [`Fold`] takes rollup rows in any order (bucket order is the quick one)
//! and yields a [`Report`]. Rows keep integer keys until the end; a zone is asked once per window, never per row.

pub mod figures;
mod filter;
mod fold;
mod keyer;
mod order;

use std::ops::Range;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

pub use filter::{Filter, IdFilter};
pub use fold::Fold;

use crate::place::Part;
use crate::refusal::Refusal;
use crate::rollup::{Agg, BUCKET_MS, Dimension};

/// Most groupings of one query: more columns than this is a list of records, not a report.
pub const MAX_GROUPINGS: usize = 4;

/// A column to group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// Clock hour of a day.
    Hour,
    /// Calendar day.
    Day,
    /// Calendar week.
    Week,
    /// Calendar month.
    Month,
    /// Agent.
    Agent,
    /// Model as the provider named it.
    Model,
    /// Project.
    Project,
    /// Session.
    Session,
    /// Tool.
    Tool,
    /// User.
    User,
    /// Provider.
    Provider,
    /// Hour that the clock shows, over all days: "00" to "23".
    HourOfDay,
    /// A part of the place that calls were made at: git branch, git commit, subagent, skill, MCP server.
    Place(Part),
}

impl Grouping {
    /// Every grouping.
    pub const ALL: [Grouping; 17] = [
        Grouping::Hour,
        Grouping::Day,
        Grouping::Week,
        Grouping::Month,
        Grouping::Agent,
        Grouping::Model,
        Grouping::Project,
        Grouping::Session,
        Grouping::Tool,
        Grouping::User,
        Grouping::Provider,
        Grouping::HourOfDay,
        Grouping::Place(Part::Branch),
        Grouping::Place(Part::Commit),
        Grouping::Place(Part::Subagent),
        Grouping::Place(Part::Skill),
        Grouping::Place(Part::Mcp),
    ];

    /// The grouping's name.
    pub fn name(self) -> &'static str {
        match self {
            Grouping::Hour => "hour",
            Grouping::Day => "day",
            Grouping::Week => "week",
            Grouping::Month => "month",
            Grouping::Agent => "agent",
            Grouping::Model => "model",
            Grouping::Project => "project",
            Grouping::Session => "session",
            Grouping::Tool => "tool",
            Grouping::User => "user",
            Grouping::Provider => "provider",
            Grouping::HourOfDay => "hour_of_day",
            Grouping::Place(part) => part.name(),
        }
    }

    /// The dimension whose names it shows; `None` for the groupings by time.
    pub fn dimension(self) -> Option<Dimension> {
        match self {
            Grouping::Agent => Some(Dimension::Agent),
            Grouping::Model => Some(Dimension::Model),
            Grouping::Project => Some(Dimension::Project),
            Grouping::Session => Some(Dimension::Session),
            Grouping::Tool => Some(Dimension::Tool),
            Grouping::User => Some(Dimension::User),
            Grouping::Provider => Some(Dimension::Provider),
            Grouping::Place(_) => Some(Dimension::Place),
            Grouping::Hour | Grouping::Day | Grouping::Week | Grouping::Month | Grouping::HourOfDay => None,
        }
    }
}

/// What a report is asked for.
#[derive(Debug, Clone)]
pub struct Query {
    /// First instant, milliseconds; `None`: from the beginning.
    pub from_ms: Option<i64>,
    /// End, milliseconds, not included; `None`: everything after.
    pub to_ms: Option<i64>,
    /// Columns, in this order. Empty: one row.
    pub group_by: Vec<Grouping>,
    /// The zone that hours, days, weeks and months are taken in.
    pub zone: TimeZone,
    /// Which calls count.
    pub filter: Filter,
    /// First day of a week.
    pub week_start: Weekday,
}

impl Query {
    /// One row over everything, in UTC.
    pub fn everything() -> Query {
        Query {
            from_ms: None,
            to_ms: None,
            group_by: Vec::new(),
            zone: TimeZone::UTC,
            filter: Filter::default(),
            week_start: Weekday::Monday,
        }
    }

    /// Checks what cannot be checked by types.
    ///
    /// # Errors
    /// A window that ends before it begins, more than [`MAX_GROUPINGS`] columns, one twice, two that split time
    /// by the calendar, or a filter that is too long.
    pub fn validate(&self) -> Result<(), Refusal> {
        check_window(self.from_ms, self.to_ms)?;
        if self.group_by.len() > MAX_GROUPINGS {
            return Err(Refusal::invalid(
                "group_by",
                format!("{} groupings", self.group_by.len()),
                format!("at most {MAX_GROUPINGS}"),
            ));
        }
        for (at, grouping) in self.group_by.iter().enumerate() {
            if self.group_by[..at].contains(grouping) {
                return Err(Refusal::invalid(
                    "group_by",
                    format!("{} is there twice", grouping.name()),
                    "each grouping once",
                ));
            }
        }
        let calendar: Vec<&str> = (self.group_by.iter())
            .filter(|g| g.dimension().is_none() && **g != Grouping::HourOfDay)
            .map(|g| g.name())
            .collect();
        if calendar.len() > 1 {
            return Err(Refusal::invalid(
                "group_by",
                format!("{} exclude each other", calendar.join(" and ")),
                "one of hour, day, week, month",
            ));
        }
        self.filter.validate()
    }

    /// The rollup buckets that the window touches. Bounds inside a bucket are widened to the whole bucket: see
    /// [`Query::is_aligned`].
    pub fn buckets(&self) -> Range<u32> {
        buckets(self.from_ms, self.to_ms)
    }

    /// The window begins and ends on a bucket's boundary (every quarter of an hour), so the totals are exactly
    /// its own. Otherwise they are those of the window widened to the boundaries.
    pub fn is_aligned(&self) -> bool {
        let aligned =
            |bound: Option<i64>| bound.is_none_or(|ms| ms == i64::MAX || ms.rem_euclid(BUCKET_MS) == 0);
        aligned(self.from_ms) && aligned(self.to_ms)
    }

    /// Rows by every dimension are needed; otherwise the coarse ones (agent, provider, model) suffice.
    pub fn needs_full(&self) -> bool {
        let fine = |dimension| !is_coarse(dimension);
        self.filter.needs_full() || self.group_by.iter().filter_map(|g| g.dimension()).any(fine)
    }
}

/// A window's bounds must be in order.
pub(crate) fn check_window(from_ms: Option<i64>, to_ms: Option<i64>) -> Result<(), Refusal> {
    match (from_ms, to_ms) {
        (Some(from), Some(to)) if from >= to => Err(Refusal::invalid(
            "window",
            format!("it ends ({to} ms) before it begins ({from} ms)"),
            "an end after the beginning",
        )),
        _ => Ok(()),
    }
}

/// The buckets that a window touches.
pub(crate) fn buckets(from_ms: Option<i64>, to_ms: Option<i64>) -> Range<u32> {
    let bucket = |ms: i64| u32::try_from(ms.max(0) / BUCKET_MS).unwrap_or(u32::MAX);
    let start = from_ms.map_or(0, bucket);
    let end = to_ms.map_or(u32::MAX, |ms| bucket(ms.saturating_add(BUCKET_MS - 1)));
    start..end.max(start)
}

/// The coarse rollup rows tell this dimension.
pub(crate) fn is_coarse(dimension: Dimension) -> bool {
    matches!(
        dimension,
        Dimension::Agent | Dimension::Provider | Dimension::Model
    )
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// One row per group with calls. Time ascends; names come by cost, then tokens, the largest first. Without
    /// a grouping there is always one row.
    pub rows: Vec<Row>,
    /// The sum of the rows; `first_ms > last_ms` when there is no call.
    pub total: Agg,
    /// "provider/model" (or the model alone) of calls without a known price, sorted.
    pub unpriced: Vec<String>,
}

/// One row of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One value per grouping, in the query's order.
    pub keys: Vec<String>,
    /// The row's sum.
    pub agg: Agg,
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
