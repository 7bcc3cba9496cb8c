//! `tokmonctl quota`: the limits of subscriptions over all agents and accounts, with pace and time left.

use serde_json::{Value, json};
use tokmon_client::v1::{AgentBlock, ListQuotasRequest, ListQuotasResponse, Quota};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{NONE, dollars_or_none, duration, percent};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// From here on a row is marked, in percent.
const NEAR: f64 = 75.0;

/// Arguments of `quota`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Claude Code tells its limits to its statusline (`tokmonctl setup claude-code` installs ours), Codex writes them into its \
session files. Where nothing official is known the open 5-hour block is shown.")]
pub(crate) struct Args {
    /// Only this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

/// `tokmonctl quota`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let agent = args.agent.clone().unwrap_or_default();
    let answer = client.list_quotas(ListQuotasRequest { agent }).await?;
    if context.json {
        let quotas: Vec<Value> = answer.quotas.iter().map(as_json).collect();
        let blocks: Vec<Value> = answer.blocks.iter().map(block_json).collect();
        return show::print(&to_json::document(&json!({"quotas": quotas, "blocks": blocks})));
    }
    let now_ms = jiff::Timestamp::now().as_millisecond();
    show::print(&draw(&answer, now_ms, &context.screen()))
}

/// A limit's name where there is little room.
pub(crate) fn short_name(limit: &str) -> &str {
    match limit {
        "hour" => "1h",
        "five_hour" => "5h",
        "day" => "1d",
        "seven_day" => "7d",
        other => other,
    }
}

/// A limit for programs.
pub(crate) fn as_json(quota: &Quota) -> Value {
    let r = quota.reading.clone().unwrap_or_default();
    json!({
        "agent": r.agent, "account": r.account, "limit": r.limit, "window_minutes": r.window_minutes,
        "used_percent": quota.used_percent, "passed_percent": quota.passed_percent, "over": quota.over,
        "resets_at": to_json::time(r.resets_at_ms), "runs_out_at": to_json::time(quota.runs_out_at_ms),
        "read_at": to_json::time(r.at_ms), "plan": r.plan, "source": r.source,
    })
}

fn block_json(guess: &AgentBlock) -> Value {
    let block = guess.block.clone().unwrap_or_default();
    json!({
        "agent": guess.agent, "start": to_json::time(block.start_ms), "end": to_json::time(block.end_ms),
        "totals": to_json::totals(block.totals.as_ref()),
    })
}

fn draw(answer: &ListQuotasResponse, now_ms: i64, screen: &Screen) -> String {
    if answer.quotas.is_empty() && answer.blocks.is_empty() {
        return "No limits are known yet. Claude Code tells them to its statusline (`tokmonctl setup claude-code`), Codex \
                writes them into its session files.\n"
            .to_owned();
    }
    let mut out = String::new();
    if !answer.quotas.is_empty() {
        let mut table = Table::new(vec![
            text("Agent", 0),
            text("Account", 4),
            text("Limit", 0),
            figures("Used", 0),
            figures("Time passed", 2),
            text("Resets in", 0),
            text("At this pace", 1),
            text("Plan", 5),
            text("Heard", 3),
        ]);
        for quota in &answer.quotas {
            let look = match quota.used_percent >= NEAR || quota.runs_out_at_ms != 0 {
                true => Look::Warning,
                false => Look::Plain,
            };
            table.row(look, row(quota, now_ms));
        }
        out.push_str(&table.render(screen));
    }
    for guess in &answer.blocks {
        let block = guess.block.clone().unwrap_or_default();
        let cost = dollars_or_none(block.totals.as_ref().and_then(|t| t.cost.as_ref()));
        let line = format!(
            "{}: nothing official is known; {cost} in its 5-hour block, which ends in {}.",
            show::clean(&guess.agent),
            duration(block.end_ms - now_ms)
        );
        out.push_str(&screen.fold(&line, 2));
        out.push('\n');
    }
    out
}

fn row(quota: &Quota, now_ms: i64) -> Vec<String> {
    let r = quota.reading.clone().unwrap_or_default();
    let resets = match (quota.over, r.resets_at_ms) {
        (true, _) => "was reset".to_owned(),
        (_, 0) => NONE.to_owned(),
        (_, at) => duration(at - now_ms),
    };
    let pace = match (quota.over, quota.passed_percent, quota.runs_out_at_ms) {
        (true, ..) | (_, None, _) => NONE.to_owned(),
        (_, _, 0) => "lasts".to_owned(),
        (_, _, at) if at <= now_ms => "used up".to_owned(),
        (_, _, at) => format!("used up in {}", duration(at - now_ms)),
    };
    let name = match short_name(&r.limit) {
        short if short == r.limit => short.to_owned(),
        short => format!("{short} window"),
    };
    vec![
        show::clean(&r.agent).into_owned(),
        show::clean(&r.account).into_owned(),
        show::clean(&name).into_owned(),
        percent(quota.used_percent),
        quota.passed_percent.map_or_else(|| NONE.to_owned(), percent),
        resets,
        pace,
        show::clean(&r.plan).into_owned(),
        format!("{} ago", duration(now_ms - r.at_ms)),
    ]
}

#[cfg(test)]
mod tests {
    use tokmon_client::v1::QuotaReading;

    use super::*;

    const NOW: i64 = 1_795_176_000_000;
    const SCREEN: Screen = Screen {
        width: Some(80),
        colour: false,
    };

    #[test]
    fn pace_and_time_left_fit_eighty_columns() {
        let quota = |limit: &str, used: f64, runs_out: i64, over: bool| Quota {
            used_percent: used,
            passed_percent: (!over).then_some(40.0),
            runs_out_at_ms: runs_out,
            over,
            reading: Some(QuotaReading {
                agent: "claude-code".into(),
                account: "someone".into(),
                limit: limit.into(),
                resets_at_ms: NOW + 3 * 3_600_000,
                at_ms: NOW - 60_000,
                ..QuotaReading::default()
            }),
        };
        let answer = ListQuotasResponse {
            quotas: vec![
                quota("five_hour", 80.0, NOW + 1_800_000, false),
                quota("seven_day", 20.0, 0, false),
                quota("odd", 0.0, 0, true),
            ],
            blocks: Vec::new(),
        };
        let drawn = draw(&answer, NOW, &SCREEN);
        assert!(drawn.lines().all(|line| line.chars().count() <= 80), "{drawn}");
        for part in [
            "5h window",
            "80.0 %",
            "used up in 30 min",
            "lasts",
            "was reset",
            "3 h 0 min",
        ] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
    }

    #[test]
    fn nothing_known_says_where_it_would_come_from() {
        let drawn = draw(&ListQuotasResponse::default(), NOW, &SCREEN);
        assert!(drawn.contains("setup claude-code"), "{drawn}");
    }
}
