//! One analysis as a document: JSON for programs, CSV for spreadsheets, HTML for people.
//!
//! All three are written from the same [`Analysis`], so they tell the same figures.

mod html;
mod json;
mod table;

use jiff::tz::TimeZone;

use crate::refusal::Refusal;
use crate::report::{Report, Row};
use crate::rollup::Agg;
use crate::time::{Period, Unit, key};
use crate::tips::Tip;
use crate::waste::WasteAnalysis;

/// Everything that a document tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// The period.
    pub period: Period,
    /// When it is made, milliseconds.
    pub now_ms: i64,
    /// The zone that days are taken in.
    pub zone: TimeZone,
    /// The period's report by day alone.
    pub by_day: Report,
    /// The period's report by provider, then model.
    pub by_model: Report,
    /// The period's report by tool alone.
    pub by_tool: Report,
    /// What the waste rules found.
    pub waste: WasteAnalysis,
    /// Advice.
    pub tips: Vec<Tip>,
}

impl Analysis {
    /// Writes the analysis down.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => json::write(self),
            Format::Csv => table::write(self),
            Format::Html => html::write(self),
        }
    }

    /// A name for its file, e.g. "tokmon_last_7_days_2026-11-20.csv".
    pub fn file_name(&self, format: Format) -> String {
        let date = key(Unit::Day, self.now_ms, &self.zone);
        format!("tokmon_{}_{date}.{}", self.period.name(), format.name())
    }

    /// The sum over all calls.
    fn total(&self) -> &Agg {
        &self.by_day.total
    }

    /// "provider/model" of calls without a known price.
    fn unpriced(&self) -> &[String] {
        &self.by_model.unpriced
    }
}

/// Provider and model of a row by both; a row by model alone has no provider.
fn provider_and_model(row: &Row) -> (&str, &str) {
    match row.keys.as_slice() {
        [provider, model, ..] => (provider, model),
        [model] => ("", model),
        [] => ("", ""),
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

#[cfg(test)]
mod tests;
