//! The analysis as CSV: one flat table whose first column names the section, so that one filter in a spreadsheet
//! gives any part.

use super::{Analysis, provider_and_model};
use crate::money::Pico;
use crate::report::figures::{name, wasted};
use crate::rollup::Agg;
use crate::tips::Tip;
use crate::waste::{ToolEfficiency, WasteByRule};

const HEADER: [&str; 16] = [
    "section",
    "name",
    "requests",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "total_tokens",
    "cost_usd",
    "wasted_tokens",
    "wasted_cost_usd",
    "severity",
    "score",
    "note",
];

/// A line of the table; sections fill the cells that they have.
#[derive(Default)]
struct Line<'a> {
    section: &'static str,
    name: &'a str,
    requests: Option<u64>,
    agg: Option<&'a Agg>,
    total_tokens: Option<u64>,
    wasted: Option<(u64, Pico)>,
    severity: &'static str,
    score: Option<u32>,
    note: String,
}

pub(super) fn write(analysis: &Analysis) -> String {
    let mut lines = vec![sum("total", "", analysis.total())];
    lines.extend(
        analysis
            .by_day
            .rows
            .iter()
            .map(|row| sum("day", name(row), &row.agg)),
    );
    lines.extend(
        analysis
            .by_model
            .rows
            .iter()
            .map(|row| sum("model", provider_and_model(row).1, &row.agg)),
    );
    lines.extend(
        analysis
            .by_tool
            .rows
            .iter()
            .map(|row| sum("tool", name(row), &row.agg)),
    );
    lines.extend(analysis.unpriced().iter().map(|model| Line {
        section: "unpriced",
        name: model,
        ..Line::default()
    }));
    lines.extend(analysis.waste.by_rule.iter().map(rule));
    lines.extend(analysis.waste.tools.iter().map(efficiency));
    lines.extend(analysis.tips.iter().map(tip));

    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing into memory does not fail; the records all have the header's width.
    let written = std::iter::once(HEADER.map(str::to_owned).to_vec())
        .chain(lines.iter().map(Line::cells))
        .try_for_each(|cells| writer.write_record(cells));
    match (written, writer.into_inner()) {
        (Ok(()), Ok(bytes)) => String::from_utf8(bytes).unwrap_or_default(),
        _ => String::new(),
    }
}

fn sum<'a>(section: &'static str, name: &'a str, agg: &'a Agg) -> Line<'a> {
    Line {
        section,
        name,
        requests: Some(agg.requests),
        total_tokens: Some(agg.tokens.total()),
        wasted: Some(wasted(agg)),
        agg: Some(agg),
        ..Line::default()
    }
}

fn rule(found: &WasteByRule) -> Line<'_> {
    Line {
        section: "waste_rule",
        name: found.rule.name(),
        requests: Some(found.events),
        wasted: Some((found.wasted_tokens, found.wasted_cost)),
        severity: found.rule.severity(),
        ..Line::default()
    }
}

fn efficiency(tool: &ToolEfficiency) -> Line<'_> {
    Line {
        section: "tool_efficiency",
        name: &tool.tool,
        requests: Some(tool.requests),
        total_tokens: Some(tool.total_tokens),
        wasted: Some((tool.wasted_tokens, tool.wasted_cost)),
        score: Some(tool.score),
        ..Line::default()
    }
}

fn tip(tip: &Tip) -> Line<'_> {
    Line {
        section: "tip",
        name: &tip.title,
        wasted: Some((tip.saved_tokens, tip.saved_cost)),
        severity: tip.group.name(),
        note: format!("{}. {}", tip.evidence, tip.advice),
        ..Line::default()
    }
}

impl Line<'_> {
    fn cells(&self) -> Vec<String> {
        let number = |value: Option<u64>| value.map(|v| v.to_string()).unwrap_or_default();
        let tokens = self.agg.map(|agg| agg.tokens);
        vec![
            self.section.to_owned(),
            text(self.name),
            number(self.requests),
            number(tokens.map(|t| t.input)),
            number(tokens.map(|t| t.output)),
            number(tokens.map(|t| t.reasoning)),
            number(tokens.map(|t| t.cache_read)),
            number(tokens.map(|t| t.cache_write_5m)),
            number(tokens.map(|t| t.cache_write_1h)),
            number(self.total_tokens),
            self.agg.map(|agg| agg.cost.to_string()).unwrap_or_default(),
            number(self.wasted.map(|(tokens, _)| tokens)),
            self.wasted.map(|(_, cost)| cost.to_string()).unwrap_or_default(),
            self.severity.to_owned(),
            number(self.score.map(u64::from)),
            text(&self.note),
        ]
    }
}

/// A cell of text. Names come from outside: one that a spreadsheet would take for a formula gets an apostrophe.
fn text(value: &str) -> String {
    if value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return format!("'{value}");
    }
    value.to_owned()
}
