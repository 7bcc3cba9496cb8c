//! The same analysis in three formats, with names that try to be more than names.

use super::*;
use crate::entry::Rule;
use crate::money::Pico;
use crate::report::sample::report;
use crate::rollup::WasteAgg;
use crate::tips::Group;
use crate::tokens::Tokens;
use crate::waste::analyse;

const HOSTILE: &str = "<script>alert('1')</script>&\"";
const FORMULA: &str = "=HYPERLINK(\"http://x\",\"y\")";
/// 2026-11-20T12:00:00Z.
const NOW: i64 = 1_795_176_000_000;

fn analysis() -> Analysis {
    let agg = Agg {
        requests: 2,
        tokens: Tokens {
            input: 1_500,
            output: 800,
            cache_read: 70,
            ..Tokens::default()
        },
        cost: Pico::parse_usd("0.0165").unwrap(),
        waste: vec![WasteAgg {
            rule: Rule::ReadLoop,
            events: 1,
            tokens: 400,
            cost: Pico::parse_usd("0.002").unwrap(),
        }],
        first_ms: NOW - 1,
        last_ms: NOW - 1,
        ..Agg::default()
    };
    let by_tool = report(&[(&[HOSTILE], agg.clone())]);
    let by_day = report(&[(&["2026-11-20"], agg.clone())]);
    let mut by_model = report(&[(&["anthropic", FORMULA], agg)]);
    by_model.unpriced = vec!["@local/<b>".to_owned()];
    let window = 1_795_132_800_000..1_795_219_200_000;
    let waste = analyse(&by_tool, Period::Today, &window, NOW);
    let tip = Tip {
        group: Group::Warning,
        title: format!("{HOSTILE} called in a loop"),
        evidence: "3 calls, \"quoted\"".to_owned(),
        advice: "Search\nfirst".to_owned(),
        saved_tokens: 400,
        saved_cost: Pico::parse_usd("0.002").unwrap(),
    };
    Analysis {
        period: Period::Today,
        now_ms: NOW,
        zone: TimeZone::UTC,
        by_day,
        by_model,
        by_tool,
        waste,
        tips: vec![tip],
    }
}

#[test]
fn json_has_exact_figures() {
    let analysis = analysis();
    assert_eq!(analysis.file_name(Format::Json), "tokmon_today_2026-11-20.json");
    assert_eq!(Format::Json.media_type(), "application/json");
    let value: serde_json::Value = serde_json::from_str(&analysis.render(Format::Json)).unwrap();
    assert_eq!(value["totals"]["cost_usd"], "0.0165");
    assert_eq!(value["totals"]["input_tokens"], 1_500);
    assert_eq!(value["totals"]["total_tokens"], 2_370);
    assert_eq!(value["by_day"][0]["date"], "2026-11-20");
    assert_eq!(value["by_model"][0]["provider"], "anthropic");
    assert_eq!(value["by_model"][0]["model"], FORMULA);
    assert_eq!(value["by_tool"][0]["tool"], HOSTILE);
    assert_eq!(value["waste"]["by_rule"][0]["rule"], "read_loop");
    assert_eq!(value["waste"]["waste_rate_percent"], 16.88);
    assert_eq!(value["waste"]["tools"][0]["score"], 83);
    assert_eq!(value["waste"]["potential_monthly_savings_usd"], "0.06");
    assert_eq!(value["tips"][0]["group"], "warning");
    assert_eq!(value["unpriced_models"][0], "@local/<b>");
    assert_eq!(
        (&value["period"], &value["timezone"]),
        (&"today".into(), &"UTC".into())
    );
    assert_eq!(value["from_ms"], 1_795_132_800_000_i64);
}

#[test]
fn open_ends_are_null_in_json() {
    let all = Analysis {
        period: Period::All,
        ..analysis()
    };
    let value: serde_json::Value = serde_json::from_str(&all.render(Format::Json)).unwrap();
    assert!(value["from_ms"].is_null() && value["to_ms"].is_null());
}

#[test]
fn csv_is_one_rectangle_without_formulas() {
    assert_eq!(Format::Csv.media_type(), "text/csv; charset=utf-8");
    let table = analysis().render(Format::Csv);
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let width = reader.headers().unwrap().len();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert!(rows.iter().all(|row| row.len() == width));
    let sections: Vec<&str> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(
        sections,
        [
            "total",
            "day",
            "model",
            "tool",
            "unpriced",
            "waste_rule",
            "tool_efficiency",
            "tip"
        ]
    );
    assert_eq!((&rows[0][3], &rows[0][10]), ("1500", "0.0165"));
    assert_eq!(&rows[2][1], format!("'{FORMULA}"));
    assert_eq!(&rows[3][1], HOSTILE);
    assert_eq!(&rows[4][1], "'@local/<b>");
    assert_eq!(
        (&rows[6][14], &rows[7][15]),
        ("83", "3 calls, \"quoted\". Search\nfirst")
    );
    assert!(
        rows.iter()
            .flatten()
            .all(|cell| !cell.starts_with(['=', '@', '+', '-']))
    );
}

#[test]
fn html_is_escaped_and_needs_nothing_else() {
    let page = analysis().render(Format::Html);
    assert!(page.starts_with("<!doctype html>"));
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"));
    for outside in ["src=", "href=", "url(", "@import", "@local/<b>"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for figure in [
        "1,500",
        "2,370",
        "$0.0165",
        "16.9 %",
        "<td>read_loop</td>",
        "Total",
    ] {
        assert!(page.contains(figure), "{figure}");
    }
    for element in [
        "html", "head", "body", "style", "title", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "ul",
        "li", "p", "h1", "h2", "b", "div",
    ] {
        let opened =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(
            opened,
            page.matches(&format!("</{element}>")).count(),
            "{element}"
        );
    }
}

#[test]
fn an_empty_analysis_is_a_document_too() {
    let window = 0..i64::MAX;
    let waste = analyse(&report(&[]), Period::All, &window, NOW);
    let none = || report(&[]);
    let empty = Analysis {
        period: Period::All,
        now_ms: NOW,
        zone: TimeZone::UTC,
        by_day: none(),
        by_model: none(),
        by_tool: none(),
        waste,
        tips: Vec::new(),
    };
    for format in Format::ALL {
        assert!(!empty.render(format).is_empty());
        assert_eq!(
            empty.file_name(format),
            format!("tokmon_all_2026-11-20.{}", format.name())
        );
    }
    assert!(empty.render(Format::Html).contains("No calls."));
}

#[test]
fn formats_and_periods_are_read_or_refused() {
    for format in Format::ALL {
        assert_eq!(Format::parse(format.name()), Ok(format));
    }
    assert_eq!(
        Format::parse("xml").unwrap_err().to_string(),
        "format: \"xml\" is not a format; allowed: json, csv, html"
    );
    assert_eq!(parse_export_period("all"), Ok(Period::All));
    for text in ["current_session", "week", ""] {
        let refusal = parse_export_period(text).unwrap_err().to_string();
        assert!(
            refusal.ends_with("allowed: today, last_7_days, last_30_days, all"),
            "{refusal}"
        );
    }
}
