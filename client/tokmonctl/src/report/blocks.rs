//! `tokmonctl report blocks`: the 5-hour blocks that subscriptions are metered in.

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{Block, BlocksRequest};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, dollars_or_none, exact, instant};
use crate::show::report::cost;
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};
use crate::totals::Sum;

/// Asks for the blocks and prints them.
pub(crate) async fn show(
    client: &Client,
    request: BlocksRequest,
    zone: &TimeZone,
    context: &Context,
    csv: bool,
) -> Result<(), Failure> {
    let blocks = client.blocks(request).await?.blocks;
    let text = if context.json {
        as_json(&blocks)
    } else if csv {
        as_csv(&blocks)
    } else {
        draw(&blocks, zone, &context.screen())
    };
    show::print(&text)
}

fn total(blocks: &[Block]) -> Sum {
    let mut sum = Sum::default();
    for block in blocks {
        sum.add(&Sum::of(block.totals.as_ref()));
    }
    sum
}

fn as_json(blocks: &[Block]) -> String {
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
        "totals": to_json::Figures::from(&total(blocks)),
        "rows": rows,
        "unpriced_models": [],
        "warnings": [],
    }))
}

fn as_csv(blocks: &[Block]) -> String {
    let header = [
        "start",
        "end",
        "active",
        "requests",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cost_usd",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for block in blocks.iter().filter(|b| !b.gap) {
        let sum = Sum::of(block.totals.as_ref());
        let at = |ms| show::number::iso(ms).unwrap_or_default();
        rows.push(vec![
            at(block.start_ms),
            at(block.end_ms),
            block.active.to_string(),
            sum.requests.to_string(),
            sum.input().to_string(),
            sum.output().to_string(),
            sum.tokens.cache_read.to_string(),
            sum.cache_write().to_string(),
            exact(sum.cost),
        ]);
    }
    show::csv::write(&rows)
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
        let value: Value = serde_json::from_str(&as_json(&blocks())).unwrap();
        assert_eq!(value["totals"]["requests"], 4);
        assert_eq!(value["totals"]["cost_usd"], "2");
        assert_eq!(value["rows"][0]["start"], "1970-01-01T01:00:00.000Z");
        assert_eq!(value["rows"][1]["gap"], true);
        assert_eq!(value["rows"][2]["active"], true);
    }

    #[test]
    fn csv_leaves_pauses_out() {
        assert_eq!(as_csv(&blocks()).lines().count(), 3);
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
