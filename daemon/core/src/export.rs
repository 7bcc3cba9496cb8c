//! One analysis as a document: JSON for programs, CSV for spreadsheets, HTML for people.
//!
//! All three are written from the same [`Analysis`], so they tell the same figures.

mod html;
mod json;
mod table;

use std::ops::Range;

use jiff::tz::TimeZone;

use crate::refusal::Refusal;
use crate::report::{Report, Row};
use crate::rollup::Agg;
use crate::time::{Period, Unit, key, local_time, zone_name};
use crate::tips::Tip;
use crate::waste::WasteAnalysis;

/// Everything that a document tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// The period.
    pub period: Period,
    /// When it was made, milliseconds.
    pub made_at_ms: i64,
    /// The period's window, milliseconds; open ends are `0` and `i64::MAX`.
    pub window: Range<i64>,
    /// The zone that days are taken in.
    pub zone: TimeZone,
    /// The sum.
    pub total: Agg,
    /// One row per day, in order.
    pub by_day: Vec<Row>,
    /// One row per model, the dearest first.
    pub by_model: Vec<Row>,
    /// One row per tool, the dearest first.
    pub by_tool: Vec<Row>,
    /// "provider/model" of calls without a known price.
    pub unpriced: Vec<String>,
    /// What the waste rules found.
    pub waste: WasteAnalysis,
    /// Advice.
    pub tips: Vec<Tip>,
}

impl Analysis {
    /// Puts an analysis together from three reports over the same window, each by one grouping, and what was
    /// drawn from them.
    pub fn new(
        made_at_ms: i64,
        window: Range<i64>,
        zone: TimeZone,
        (by_day, by_model, by_tool): (Report, Report, Report),
        waste: WasteAnalysis,
        tips: Vec<Tip>,
    ) -> Analysis {
        Analysis {
            period: waste.period,
            made_at_ms,
            window,
            zone,
            total: by_day.total,
            by_day: by_day.rows,
            by_model: by_model.rows,
            by_tool: by_tool.rows,
            unpriced: by_model.unpriced,
            waste,
            tips,
        }
    }

    fn made_at(&self) -> String {
        local_time(self.made_at_ms, &self.zone)
    }

    fn zone_name(&self) -> String {
        zone_name(&self.zone, self.made_at_ms)
    }
}

/// What a document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object.
    Json,
    /// One flat table; the first column names the section.
    Csv,
    /// One page that needs nothing else.
    Html,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 3] = [Format::Json, Format::Csv, Format::Html];

    /// The name on the wire, and a file's extension.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Html => "html",
        }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Html => "text/html; charset=utf-8",
        }
    }

    /// The inverse of [`Format::name`].
    ///
    /// # Errors
    /// An unknown name.
    pub fn parse(text: &str) -> Result<Format, Refusal> {
        Format::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| {
                let shown: String = text.chars().take(40).collect();
                Refusal::invalid(
                    "format",
                    format!("{shown:?} is not a format"),
                    Format::ALL.map(Format::name).join(", "),
                )
            })
    }
}

/// The period of an export: every one but the current session.
///
/// # Errors
/// An unknown name, or `current_session`.
pub fn parse_export_period(text: &str) -> Result<Period, Refusal> {
    match Period::parse(text) {
        Ok(period) if period != Period::CurrentSession => Ok(period),
        _ => {
            let shown: String = text.chars().take(40).collect();
            let allowed = Period::ALL[1..]
                .iter()
                .map(|p| p.name())
                .collect::<Vec<_>>()
                .join(", ");
            Err(Refusal::invalid(
                "period",
                format!("{shown:?} cannot be exported"),
                allowed,
            ))
        }
    }
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its text.
    pub content: String,
    /// A name for its file, e.g. "tokmon_last_7_days_2026-11-20.csv".
    pub file_name: String,
    /// Its media type.
    pub media_type: &'static str,
}

/// Writes the analysis down.
pub fn export(analysis: &Analysis, format: Format) -> Document {
    let content = match format {
        Format::Json => json::write(analysis),
        Format::Csv => table::write(analysis),
        Format::Html => html::write(analysis),
    };
    let date = key(Unit::Day, analysis.made_at_ms, &analysis.zone);
    Document {
        content,
        file_name: format!("tokmon_{}_{date}.{}", analysis.period.name(), format.name()),
        media_type: format.media_type(),
    }
}

#[cfg(test)]
mod tests;
