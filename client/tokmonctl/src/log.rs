//! `tokmonctl log`: single records, the newest last, and on request the coming ones.

use jiff::tz::TimeZone;
use serde_json::json;
use tokmon_client::v1::{self, ListUsageRequest, Record, follow_response::Entry};
use tokmon_client::{Client, Error};

use crate::context::Context;
use crate::dates::Span;
use crate::failure::Failure;
use crate::feed::Feed;
use crate::filter::Only;
use crate::show::number::{count, dollars_or_none, instant};
use crate::show::table::{Look, Table, figures, path, text};
use crate::show::{self, Screen, json as to_json};
use crate::status;
use crate::totals::{cache_write, input, output};

/// Most records in one page.
const PAGE: u32 = 1000;

/// Arguments of `log`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many records
    #[arg(short = 'n', long, default_value = "20", value_name = "N", value_parser = crate::args::from_to::<u64>(1, u64::MAX), allow_negative_numbers = true)]
    limit: u64,
    /// Go on with new records as they come
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    only: Only,
}

/// `tokmonctl log`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    // The cursor is taken first, so nothing falls between the list and the feed.
    let cursor = if args.follow { last_seq(&client).await? } else { 0 };
    let window = args.span.window(&client).await?;
    let zone = args.span.zone(&client).await?;
    let mut records = newest(&client, window, &args.only, args.limit).await?;
    records.reverse();
    if args.follow {
        records.retain(|r| r.seq <= cursor);
        return follow(&client, &args.only, cursor, &records, &zone, context).await;
    }
    if context.json {
        let all: Vec<_> = records.iter().map(to_json::record).collect();
        return show::print(&to_json::document(&json!({ "records": all })));
    }
    show::print(&draw(&records, &zone, &context.screen()))
}

/// Position of the ledger's last entry.
pub(crate) async fn last_seq(client: &Client) -> Result<u64, Error> {
    Ok(status::ask(client).await?.ledger.unwrap_or_default().last_seq)
}

/// The newest records, newest first.
pub(crate) async fn newest(
    client: &Client,
    window: Option<v1::Window>,
    only: &Only,
    limit: u64,
) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    let mut page_token = String::new();
    loop {
        let missing = limit.saturating_sub(records.len() as u64);
        let page_size = u32::try_from(missing).unwrap_or(PAGE).min(PAGE);
        if page_size == 0 {
            return Ok(records);
        }
        let request = ListUsageRequest {
            window,
            filter: only.filter(),
            page_size,
            page_token,
        };
        let answer = client.list_usage(request).await?;
        records.extend(answer.records);
        if answer.next_page_token.is_empty() {
            return Ok(records);
        }
        page_token = answer.next_page_token;
    }
}

async fn follow(
    client: &Client,
    only: &Only,
    cursor: u64,
    first: &[Record],
    zone: &TimeZone,
    context: &Context,
) -> Result<(), Failure> {
    for record in first {
        show::print(&line(record, zone, context.json))?;
    }
    let mut feed = Feed::after(client, cursor, only.filter()).await?;
    loop {
        if let Some(Entry::Record(record)) = feed.next().await?.entry {
            show::print(&line(&record, zone, context.json))?;
        }
    }
}

/// One record on one line.
pub(crate) fn line(r: &Record, zone: &TimeZone, json: bool) -> String {
    if json {
        return to_json::line(&to_json::record(r));
    }
    let u = r.usage.clone().unwrap_or_default();
    let t = u.tokens.unwrap_or_default();
    let mut text = format!(
        "{}  #{}  {}  {}  in {}  out {}  cache {}/{}  {}",
        instant(u.at_ms, zone),
        r.seq,
        u.agent,
        u.model,
        count(input(&t)),
        count(output(&t)),
        count(t.cache_read),
        count(cache_write(&t)),
        dollars_or_none(r.cost.as_ref()),
    );
    for part in [&u.tool, &u.project].into_iter().filter(|p| !p.is_empty()) {
        text.push_str("  ");
        text.push_str(part);
    }
    for waste in &r.waste {
        text.push_str(&format!("  [{}]", waste.rule));
    }
    format!("{}\n", show::clean(&text))
}

/// Records as a table.
pub(crate) fn draw(records: &[Record], zone: &TimeZone, screen: &Screen) -> String {
    if records.is_empty() {
        return "No records in this span.\n".to_owned();
    }
    let mut table = Table::new(vec![
        figures("#", 2),
        text("Time", 0),
        text("Agent", 4),
        text("Model", 0),
        text("Tool", 9),
        figures("Input", 1),
        figures("Output", 1),
        figures("Cache write", 8),
        figures("Cache read", 7),
        figures("Cost", 0),
        path("Project", 5),
        text("Waste", 6),
    ]);
    for r in records {
        let u = r.usage.clone().unwrap_or_default();
        let t = u.tokens.unwrap_or_default();
        let rules: Vec<&str> = r.waste.iter().map(|w| w.rule.as_str()).collect();
        let look = if rules.is_empty() {
            Look::Plain
        } else {
            Look::Warning
        };
        table.row(
            look,
            vec![
                r.seq.to_string(),
                instant(u.at_ms, zone),
                u.agent,
                u.model,
                u.tool,
                count(input(&t)),
                count(output(&t)),
                count(cache_write(&t)),
                count(t.cache_read),
                dollars_or_none(r.cost.as_ref()),
                u.project,
                rules.join(" "),
            ],
        );
    }
    table.render(screen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{Money, Tokens, Usage};

    fn record() -> Record {
        Record {
            seq: 9,
            usage: Some(Usage {
                agent: "codex".into(),
                model: "gpt-5\u{1b}[2J".into(),
                at_ms: 1_763_629_200_000,
                tokens: Some(Tokens {
                    input: 1500,
                    output: 800,
                    ..Tokens::default()
                }),
                ..Usage::default()
            }),
            cost: Some(Money {
                usd: 0,
                pico: 16_500_000_000,
            }),
            ..Record::default()
        }
    }

    #[test]
    fn a_line_tells_all_and_steers_nothing() {
        let text = line(&record(), &TimeZone::UTC, false);
        assert_eq!(
            text,
            "2025-11-20 09:00:00  #9  codex  gpt-5\u{fffd}[2J  in 1,500  out 800  cache 0/0  $0.0165\n"
        );
    }

    #[test]
    fn a_json_line_is_one_line() {
        let text = line(&record(), &TimeZone::UTC, true);
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["cost_usd"], "0.0165");
    }

    #[test]
    fn tables_fit() {
        for width in [60, 80, 120] {
            let text = draw(
                &[record()],
                &TimeZone::UTC,
                &Screen {
                    width: Some(width),
                    colour: false,
                },
            );
            assert!(
                text.lines().all(|l| l.chars().count() <= usize::from(width)),
                "{width}:\n{text}"
            );
        }
    }
}
