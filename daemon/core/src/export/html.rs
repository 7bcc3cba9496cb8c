//! The analysis as one HTML page: no script, nothing loaded from elsewhere, every name escaped.

use std::fmt::Write;

use super::{Analysis, provider_and_model};
use crate::report::Row;
use crate::report::figures::{name, thousands, usd};
use crate::rollup::Agg;
use crate::time::{local_time, zone_name};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.15rem;margin-top:2rem}\
.meta{opacity:.7;margin-top:.2rem}\
.wide{overflow-x:auto}\
table{border-collapse:collapse;width:100%}\
th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #8884;white-space:nowrap;\
font-variant-numeric:tabular-nums}\
th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere}\
tfoot td{font-weight:600}\
ul{list-style:none;padding:0}li{margin:.6rem 0;padding:.5rem .8rem;border-left:4px solid #888}\
li.critical{border-color:#c62828}li.warning{border-color:#ef8f00}li.suggestion{border-color:#2e7d32}\
li b{display:block}";

pub(super) fn write(analysis: &Analysis) -> String {
    let title = format!("Token usage, {}", analysis.period.name().replace('_', " "));
    let mut page = String::with_capacity(16 * 1024);
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    // Names come from outside. Escaping keeps them text; the policy would stop them even if it did not.
    page.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    push(
        &mut page,
        format_args!("<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"),
    );
    push(&mut page, format_args!("<h1>{title}</h1>\n"));
    let (made, zone) = (
        local_time(analysis.now_ms, &analysis.zone),
        zone_name(&analysis.zone, analysis.now_ms),
    );
    push(
        &mut page,
        format_args!("<p class=\"meta\">Made {made}, days in {}</p>\n", escape(&zone)),
    );
    usage(
        &mut page,
        "By day",
        "Day",
        &analysis.by_day.rows,
        name,
        Some(analysis.total()),
    );
    usage(
        &mut page,
        "By model",
        "Model",
        &analysis.by_model.rows,
        |row| provider_and_model(row).1,
        None,
    );
    usage(&mut page, "By tool", "Tool", &analysis.by_tool.rows, name, None);
    if !analysis.unpriced().is_empty() {
        let models = analysis
            .unpriced()
            .iter()
            .map(|m| escape(m))
            .collect::<Vec<_>>()
            .join(", ");
        push(
            &mut page,
            format_args!("<p>Without a known price, not in the costs: {models}</p>\n"),
        );
    }
    waste(&mut page, analysis);
    tips(&mut page, analysis);
    page.push_str("</body>\n</html>\n");
    page
}

fn usage(
    page: &mut String,
    heading: &str,
    column: &str,
    rows: &[Row],
    name: fn(&Row) -> &str,
    total: Option<&Agg>,
) {
    push(page, format_args!("<h2>{heading}</h2>\n"));
    if rows.is_empty() {
        page.push_str("<p>No calls.</p>\n");
        return;
    }
    head(
        page,
        &[
            column,
            "Calls",
            "Input",
            "Output",
            "Cache read",
            "Cache write",
            "Tokens",
            "Cost",
        ],
    );
    for row in rows {
        cells(page, &or_none(name(row)), &row.agg);
    }
    page.push_str("</tbody>\n");
    if let Some(total) = total {
        page.push_str("<tfoot>\n");
        cells(page, "Total", total);
        page.push_str("</tfoot>\n");
    }
    page.push_str("</table></div>\n");
}

fn cells(page: &mut String, name: &str, agg: &Agg) {
    let tokens = &agg.tokens;
    line(
        page,
        &[
            name,
            &thousands(agg.requests),
            &thousands(tokens.input),
            &thousands(tokens.output),
            &thousands(tokens.cache_read),
            &thousands(tokens.cache_write_5m.saturating_add(tokens.cache_write_1h)),
            &thousands(tokens.total()),
            &usd(agg.cost),
        ],
    );
}

fn waste(page: &mut String, analysis: &Analysis) {
    let waste = &analysis.waste;
    page.push_str("<h2>Waste</h2>\n");
    push(
        page,
        format_args!(
            "<p>{} of {} tokens ({:.1} %), {}. At this pace {} could be saved in 30 days.</p>\n",
            thousands(waste.wasted_tokens),
            thousands(waste.total_tokens),
            waste.waste_rate_percent,
            usd(waste.wasted_cost),
            usd(waste.potential_monthly_savings)
        ),
    );
    if waste.by_rule.is_empty() {
        page.push_str("<p>No rule found anything.</p>\n");
        return;
    }
    head(
        page,
        &["Rule", "Severity", "Events", "Wasted tokens", "Wasted cost"],
    );
    for found in &waste.by_rule {
        let (tokens, cost) = (thousands(found.wasted_tokens), usd(found.wasted_cost));
        line(
            page,
            &[
                found.rule.name(),
                found.rule.severity(),
                &thousands(found.events),
                &tokens,
                &cost,
            ],
        );
    }
    page.push_str("</tbody></table></div>\n<h2>Efficiency by tool</h2>\n");
    head(
        page,
        &["Tool", "Calls", "Tokens", "Wasted tokens", "Score of 100"],
    );
    for tool in &waste.tools {
        let (requests, tokens) = (thousands(tool.requests), thousands(tool.total_tokens));
        let (wasted, score) = (thousands(tool.wasted_tokens), tool.score.to_string());
        line(page, &[&or_none(&tool.tool), &requests, &tokens, &wasted, &score]);
    }
    page.push_str("</tbody></table></div>\n");
}

fn tips(page: &mut String, analysis: &Analysis) {
    page.push_str("<h2>Tips</h2>\n");
    if analysis.tips.is_empty() {
        page.push_str("<p>None: the records show nothing to improve.</p>\n");
        return;
    }
    page.push_str("<ul>\n");
    for tip in &analysis.tips {
        let group = tip.group.name();
        let (title, evidence, advice) = (escape(&tip.title), escape(&tip.evidence), escape(&tip.advice));
        push(
            page,
            format_args!("<li class=\"{group}\"><b>{title} ({group})</b>{evidence}.<br>{advice}</li>\n"),
        );
    }
    page.push_str("</ul>\n");
}

fn head(page: &mut String, columns: &[&str]) {
    page.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for column in columns {
        push(page, format_args!("<th scope=\"col\">{column}</th>"));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
}

/// A row of cells that are escaped already.
fn line(page: &mut String, cells: &[&str]) {
    page.push_str("<tr>");
    for cell in cells {
        push(page, format_args!("<td>{cell}</td>"));
    }
    page.push_str("</tr>\n");
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ = page.write_fmt(text);
}

/// A name for a cell, escaped.
fn or_none(name: &str) -> String {
    if name.is_empty() {
        "(none)".to_owned()
    } else {
        escape(name)
    }
}

/// Text as HTML text or as the value of a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
