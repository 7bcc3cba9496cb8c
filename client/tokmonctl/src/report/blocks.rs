//! `tokmonctl report blocks`: the 5-hour blocks that subscriptions are metered in.

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{Block, BlocksRequest, TotalsRequest, Window};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, dollars_or_none, instant};
use crate::show::report::cost;
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};
use crate::totals::{Line, Report, Sum};

/// Asks for the blocks and prints them.
pub(crate) async fn show(
    client: &Client,
    request: BlocksRequest,
    zone: &TimeZone,
    context: &Context,
    csv: bool,
) -> Result<(), Failure> {
    let mut question = TotalsRequest {
        window: request.window,
        filter: request.filter.clone(),
        timezone: request.timezone.clone(),
        ..TotalsRequest::default()
    };
    let only_active = request.active_only;
    let blocks = client.blocks(request).await?.blocks;
    if let Some(open) = blocks.iter().find(|b| b.active).filter(|_| only_active) {
        question.window = Some(Window {
            from_ms: open.start_ms,
            to_ms: open.end_ms,
        });
    }
    // Blocks do not say what has no price; the totals of the same span do.
    let remarks = client.totals(question).await?;
    let report = Report {
        keys: vec!["start", "end", "active"],
        lines: blocks.iter().filter(|b| !b.gap).map(line).collect(),
        totals: total(&blocks),
        unpriced_models: remarks.unpriced_models,
        warnings: remarks.warnings,
        breakdown: false,
    };
    let text = if context.json {
        as_json(&blocks, &report)
    } else if csv {
        show::csv::report(&report)
    } else {
        let screen = context.screen();
        draw(&blocks, zone, &screen) + &show::report::remarks(&report, &screen)
    };
    show::print(&text)
}

fn line(block: &Block) -> Line {
    let at = |ms| show::number::iso(ms).unwrap_or_default();
    Line {
        keys: vec![at(block.start_ms), at(block.end_ms), block.active.to_string()],
        sum: Sum::of(block.totals.as_ref()),
        first_ms: block.first_ms,
        last_ms: block.last_ms,
        models: Vec::new(),
    }
}

fn total(blocks: &[Block]) -> Sum {
    let mut sum = Sum::default();
    for block in blocks {
        sum.add(&Sum::of(block.totals.as_ref()));
    }
    sum
}

fn as_json(blocks: &[Block], report: &Report) -> String {
    let rows: Vec<Value> = blocks
        .iter()
        .map(|b| {
            let mut row = json!({
                "start": to_json::time(b.start_ms), "end": to_json::time(b.end_ms), "gap": b.gap, "active": b.active,
                "first": to_json::time(b.first_ms), "last": to_json::time(b.last_ms), "models": b.models,
                "burn": b.burn.as_ref().map(|burn| json!({
                    "tokens_per_minute": burn.tokens_per_minute,
                    "io_tokens_per_minute": burn.io_tokens_per_minute,
                    "cost_per_hour_usd": to_json::money(burn.cost_per_hour.as_ref()),
                    "projected_tokens": burn.projected_tokens,
                    "projected_usd": to_json::money(burn.projected_cost.as_ref()),
                    "remaining_minutes": burn.remaining_minutes,
                })),
            });
            if let (Value::Object(row), Value::Object(figures)) = (&mut row, to_json::totals(b.totals.as_ref())) {
                row.extend(figures);
            }
            row
        })
        .collect();
    to_json::document(&json!({
        "totals": to_json::Figures::from(&report.totals),
        "rows": rows,
        "unpriced_models": report.unpriced_models,
        "warnings": report.warnings,
    }))
}

fn draw(blocks: &[Block], zone: &TimeZone, screen: &Screen) -> String {
    if blocks.is_empty() {
        return "No blocks in this span.\n".to_owned();
    }
    let mut table = Table::new(vec![
        text("Block", 0),
        text("State", 1),
        figures("Requests", 3),
        figures("Input", 5),
        figures("Output", 6),
        figures("Cache write", 8),
        figures("Cache read", 7),
        figures("Total tokens", 2),
        figures("Cost", 0),
        text("Models", 9),
    ]);
    for block in blocks {
        let name = instant(block.start_ms, zone);
        if block.gap {
            let length = show::number::duration(block.end_ms.saturating_sub(block.start_ms));
            table.row(Look::Sub, vec![name, format!("pause of {length}")]);
            continue;
        }
        let sum = Sum::of(block.totals.as_ref());
        let (look, state) = if block.active {
            (Look::Good, "open")
        } else {
            (Look::Plain, "")
        };
        table.row(
            look,
            vec![
                name,
                state.to_owned(),
                count(sum.requests),
                count(sum.input()),
                count(sum.output()),
                count(sum.cache_write()),
                count(sum.tokens.cache_read),
                count(sum.total()),
                cost(&sum),
                block.models.join(", "),
            ],
        );
    }
    let sum = total(blocks);
    let cells = [
        String::from("Total"),
        String::new(),
        count(sum.requests),
        count(sum.input()),
        count(sum.output()),
    ];
    let more = [
        count(sum.cache_write()),
        count(sum.tokens.cache_read),
        count(sum.total()),
        cost(&sum),
    ];
    table.row(Look::Total, cells.into_iter().chain(more).collect());
    let mut out = table.render(screen);
    for burn in blocks.iter().filter_map(|b| b.burn.as_ref()) {
        out.push_str(&format!(
            "Open block: {} tokens a minute, {} an hour; at this rate {} tokens and {} when it ends in {} min.\n",
            count(burn.tokens_per_minute.round() as u64),
            dollars_or_none(burn.cost_per_hour.as_ref()),
            count(burn.projected_tokens),
            dollars_or_none(burn.projected_cost.as_ref()),
            burn.remaining_minutes,
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{Money, Tokens, Totals};

    fn blocks() -> Vec<Block> {
        let totals = Totals {
            requests: 2,
            tokens: Some(Tokens {
                input: 10,
                ..Tokens::default()
            }),
            cost: Some(Money { usd: 1, pico: 0 }),
            ..Totals::default()
        };
        let hour = 3_600_000;
        vec![
            Block {
                start_ms: hour,
                end_ms: 6 * hour,
                totals: Some(totals),
                models: vec!["m".into()],
                ..Block::default()
            },
            Block {
                start_ms: 6 * hour,
                end_ms: 9 * hour,
                gap: true,
                ..Block::default()
            },
            Block {
                start_ms: 9 * hour,
                end_ms: 14 * hour,
                active: true,
                totals: Some(totals),
                ..Block::default()
            },
        ]
    }

    #[test]
    fn json_has_the_shape_of_reports() {
        let report = Report {
            totals: total(&blocks()),
            unpriced_models: vec!["x/y".into()],
            ..Report::default()
        };
        let value: Value = serde_json::from_str(&as_json(&blocks(), &report)).unwrap();
        assert_eq!(value["totals"]["requests"], 4);
        assert_eq!(value["totals"]["cost_usd"], "2");
        assert_eq!(value["rows"][0]["start"], "1970-01-01T01:00:00.000Z");
        assert_eq!(value["rows"][1]["gap"], true);
        assert_eq!(value["rows"][2]["active"], true);
        assert_eq!(value["unpriced_models"][0], "x/y");
    }

    #[test]
    fn a_line_is_named_by_its_bounds() {
        let open = line(&blocks()[2]);
        assert_eq!(
            open.keys,
            ["1970-01-01T09:00:00.000Z", "1970-01-01T14:00:00.000Z", "true"]
        );
        assert_eq!(open.sum.requests, 2);
    }

    #[test]
    fn the_table_names_pauses_and_the_open_block() {
        let text = draw(
            &blocks(),
            &TimeZone::UTC,
            &Screen {
                width: Some(100),
                colour: false,
            },
        );
        assert!(
            text.contains("pause of 3 h 0 min") && text.contains("open"),
            "{text}"
        );
    }
}
