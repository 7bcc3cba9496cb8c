//! Reports as CSV (RFC 4180): a header line, then one line per row, or per row and model with a breakdown.

use super::json::Figures;
use crate::totals::{Report, Sum};

const FIGURES: [&str; 8] = [
    "requests",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cost_usd",
];

/// The report as CSV. Totals are left out: whoever reads it would add them up twice.
pub(crate) fn report(report: &Report) -> String {
    let mut header = report.keys.clone();
    if report.breakdown {
        header.extend(["model", "provider"]);
    }
    header.extend(FIGURES);
    let mut rows = vec![header.iter().map(|h| (*h).to_owned()).collect()];
    for line in &report.lines {
        if report.breakdown {
            for part in &line.models {
                let names = [part.model.clone(), part.provider.clone()];
                rows.push(row(line.keys.iter().cloned().chain(names), &part.sum));
            }
        } else {
            rows.push(row(line.keys.iter().cloned(), &line.sum));
        }
    }
    write(&rows)
}

fn row(names: impl Iterator<Item = String>, sum: &Sum) -> Vec<String> {
    let f = Figures::from(sum);
    let figures = [
        f.requests,
        f.input_tokens,
        f.output_tokens,
        f.reasoning_tokens,
        f.cache_read_tokens,
        f.cache_write_5m_tokens,
        f.cache_write_1h_tokens,
    ];
    names
        .map(|name| disarm(&name))
        .chain(figures.iter().map(u64::to_string))
        .chain([f.cost_usd])
        .collect()
}

/// A name that a spreadsheet would take for a formula gets an apostrophe in front.
fn disarm(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

/// Rows as CSV text.
pub(crate) fn write(rows: &[Vec<String>]) -> String {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        // Writing to memory cannot fail.
        let _ = writer.write_record(row);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::samples;

    #[test]
    fn one_line_per_row() {
        let text = report(&samples::report());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("date,{}", FIGURES.join(",")));
        assert_eq!(lines[1], "2026-11-20,1,1500,800,5,7,11,13,0.0165");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn names_are_quoted_and_disarmed() {
        let text = report(&Report {
            breakdown: true,
            ..samples::report()
        });
        assert!(
            text.lines()
                .nth(1)
                .unwrap()
                .starts_with(r#"2026-11-20,"odd, ""model""",anthropic,1,"#),
            "{text}"
        );
        assert_eq!(disarm("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(disarm("/home/x"), "/home/x");
    }
}
