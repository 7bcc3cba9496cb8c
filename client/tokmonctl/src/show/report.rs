//! A report as a table, with what its reader must know below it.

use jiff::tz::TimeZone;

use super::number::{NONE, count, counted, dollars, instant};
use super::table::{Column, Look, Table, figures, id, path, text};
use super::{Screen, clean, named};
use crate::totals::{Report, Sum};

/// The report as a table with its remarks. With a zone the last call of each row is shown.
pub(crate) fn draw(report: &Report, last_in: Option<&TimeZone>, screen: &Screen) -> String {
    if report.lines.is_empty() {
        return format!("No calls found.\n{}", remarks(report, screen));
    }
    let reasoning = report.totals.tokens.reasoning > 0;
    let mut columns: Vec<Column> = report
        .keys
        .iter()
        .enumerate()
        .map(|(i, key)| key_column(i, key))
        .collect();
    if last_in.is_some() {
        columns.push(text("Last call", 4));
    }
    columns.extend([figures("Requests", 3), figures("Input", 5), figures("Output", 6)]);
    if reasoning {
        columns.push(figures("Reasoning", 9));
    }
    columns.extend([
        figures("Cache write", 8),
        figures("Cache read", 7),
        figures("Total tokens", 1),
        figures("Cost", 0),
    ]);
    let cells = |mut names: Vec<String>, sum: &Sum, last: String| {
        if last_in.is_some() {
            names.push(last);
        }
        names.extend([count(sum.requests), count(sum.input()), count(sum.output())]);
        if reasoning {
            names.push(count(sum.tokens.reasoning));
        }
        names.extend([
            count(sum.cache_write()),
            count(sum.tokens.cache_read),
            count(sum.total()),
            cost(sum),
        ]);
        names
    };
    let mut table = Table::new(columns);
    for line in &report.lines {
        let names = line
            .keys
            .iter()
            .map(|k| {
                if k.is_empty() {
                    "(none)".to_owned()
                } else {
                    k.clone()
                }
            })
            .collect();
        let last = last_in.map_or_else(String::new, |zone| instant(line.last_ms, zone));
        table.row(Look::Plain, cells(names, &line.sum, last));
        for part in line.models.iter().filter(|_| report.breakdown) {
            let mut names = vec![String::new(); report.keys.len()];
            names[0] = format!("  {}", part.model);
            table.row(Look::Sub, cells(names, &part.sum, String::new()));
        }
    }
    let mut names = vec![String::new(); report.keys.len()];
    names[0] = "Total".to_owned();
    table.row(Look::Total, cells(names, &report.totals, String::new()));
    let mut out = table.render(screen);
    out.push_str(&remarks(report, screen));
    out
}

/// Models that a remark names.
const NAMED: usize = 10;

/// What the reader of the table must know.
pub(crate) fn remarks(report: &Report, screen: &Screen) -> String {
    let mut out = String::new();
    if !report.unpriced_models.is_empty() {
        let calls = report.totals.unpriced_requests;
        let text = format!(
            "{} without a known price, not in the cost: {}. Set one with `tokmonctl price set`.",
            counted(calls, "call"),
            named(&report.unpriced_models, NAMED)
        );
        out.push_str(&format!("{}\n", screen.warning(&screen.fold(&text, 2))));
    }
    for warning in &report.warnings {
        let text = screen.fold(&clean(warning), 2);
        out.push_str(&format!("{}\n", screen.warning(&text)));
    }
    out
}

fn key_column(place: usize, key: &'static str) -> Column {
    match (key, place) {
        ("project", 0) => path("Project", 0),
        ("project", _) => path("Project", 10),
        ("agent", 1..) => text("Agent", 2),
        ("provider", 1..) => text("Provider", 2),
        ("session", 0) => id("Session", 0),
        _ => text(title(key), 0),
    }
}

fn title(key: &'static str) -> &'static str {
    match key {
        "date" => "Date",
        "week" => "Week of",
        "month" => "Month",
        "session" => "Session",
        "model" => "Model",
        "agent" => "Agent",
        "tool" => "Tool",
        "hour" => "Hour",
        "hour_of_day" => "Hour of day",
        "user" => "User",
        "provider" => "Provider",
        other => other,
    }
}

/// The cost; a dash when no call of it has a price.
pub(crate) fn cost(sum: &Sum) -> String {
    if sum.requests > 0 && sum.unpriced_requests >= sum.requests {
        NONE.to_owned()
    } else {
        dollars(sum.cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::samples;

    #[test]
    fn the_table_fits_and_says_what_has_no_price() {
        let mut report = samples::report();
        report.totals.unpriced_requests = 1;
        for width in [60, 80, 120] {
            let text = draw(
                &report,
                None,
                &Screen {
                    width: Some(width),
                    colour: false,
                },
            );
            let table: Vec<&str> = text.lines().take(5).collect();
            assert!(
                table.iter().all(|l| l.chars().count() <= usize::from(width)),
                "{text}"
            );
            assert!(
                table[2].starts_with("2026-11-20") && table[2].ends_with("$0.0165"),
                "{text}"
            );
            assert!(
                text.contains("1 call without a known price") && text.contains("x/y"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_empty_report_says_so() {
        let text = draw(
            &Report::default(),
            None,
            &Screen {
                width: None,
                colour: false,
            },
        );
        assert_eq!(text, "No calls found.\n");
    }

    #[test]
    fn what_has_no_price_costs_a_dash_and_not_nothing() {
        let sum = Sum {
            unpriced_requests: 1,
            cost: 0,
            ..samples::sum()
        };
        assert_eq!(cost(&sum), NONE);
        assert_eq!(cost(&samples::sum()), "$0.0165");
    }
}
