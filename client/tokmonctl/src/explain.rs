//! `tokmonctl explain`: which records make a figure, what was dropped and why, which price applied.

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{
    AppliedPrice, Confidence, CostParts, ExplainRequest, ExplainResponse, Explained, Place, Source,
    SplitRequest, Tokens, WitnessSum,
};

use crate::context::Context;
use crate::dates::{Day, Span};
use crate::failure::{Failure, invalid};
use crate::filter::Only;
use crate::show::number::{count, dollars_or_none, exact, instant, pico_or_zero};
use crate::show::{self, Screen, json as to_json};
use crate::totals::{cache_write, input, output};

/// Where a long line goes on: below what follows its label.
const HANG: usize = 13;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One record, by its number in `tokmonctl log`
    #[arg(conflicts_with_all = ["date", "since", "until"])]
    seq: Option<u64>,
    /// One day: short for --since DAY --until DAY
    #[arg(long, value_name = "DAY", conflicts_with_all = ["since", "until"], allow_negative_numbers = true)]
    date: Option<Day>,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    only: Only,
    /// How many records to show; the sums are over all of them
    #[arg(short = 'n', long, value_name = "N", default_value = "20", value_parser = crate::args::from_to::<u32>(1, 1000), allow_negative_numbers = true)]
    limit: u32,
    /// Where to go on, from the answer before
    #[arg(long, value_name = "TOKEN", default_value = "")]
    page: String,
    /// Undo a wrong join: what several witnesses said of this record become calls of their own
    #[arg(long, requires = "seq")]
    split: bool,
}

/// `tokmonctl explain`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    if args.split {
        let seq = args.seq.unwrap_or_default();
        return split(seq, &client, context).await;
    }
    let mut span = args.span.clone();
    if args.date.is_some() {
        (span.since, span.until) = (args.date, args.date);
    }
    let answer = client.explain(request(args, &span, &client).await?).await?;
    if context.json {
        return show::print(&to_json::document(&as_json(&answer)));
    }
    let zone = span.zone(&client).await?;
    show::print(&draw(&answer, &zone, &context.screen()))
}

async fn split(seq: u64, client: &Client, context: &Context) -> Result<(), Failure> {
    let records = client.split(SplitRequest { seq }).await?.records;
    if context.json {
        let records: Vec<Value> = records.iter().map(to_json::record).collect();
        return show::print(&to_json::document(&json!({ "records": records })));
    }
    let names: Vec<String> = records.iter().map(|r| format!("#{}", r.seq)).collect();
    show::print(&format!(
        "Record #{seq} is now {} calls: {}.\n",
        names.len(),
        names.join(" and ")
    ))
}

async fn request(args: &Args, span: &Span, client: &Client) -> Result<ExplainRequest, Failure> {
    if args.seq == Some(0) {
        return Err(invalid("records are numbered from 1; `tokmonctl log` shows their numbers").into());
    }
    Ok(ExplainRequest {
        window: span.window(client).await?,
        filter: args.only.filter(),
        seq: args.seq.unwrap_or_default(),
        page_size: args.limit,
        page_token: args.page.clone(),
    })
}

fn as_json(a: &ExplainResponse) -> Value {
    let records: Vec<Value> = a
        .records
        .iter()
        .map(|e| {
            json!({
                "record": e.record.as_ref().map(to_json::record),
                "price": e.price.as_ref().map(|p| json!({
                    "row": p.row, "origin": p.origin, "detail": p.detail, "parts": p.parts.as_ref().map(parts),
                })),
                "dropped": e.dropped.iter().map(|d| json!({
                    "source": d.source.as_ref().map(to_json::place), "reason": d.reason,
                })).collect::<Vec<_>>(),
                "dropped_total": e.dropped_total,
            })
        })
        .collect();
    json!({
        "requests": a.requests,
        "duplicates_dropped": a.duplicates_dropped,
        "tokens": to_json::tokens(&a.tokens.unwrap_or_default()),
        "cost_usd": exact(pico_or_zero(a.cost.as_ref())),
        "unpriced_models": a.unpriced_models,
        "witnesses": a.witnesses.iter().map(|w| json!({
            "witness": w.witness, "calls": w.calls, "tokens": to_json::tokens(&w.tokens.unwrap_or_default()),
            "alone": w.alone, "unlogged": w.unlogged,
        })).collect::<Vec<_>>(),
        "records": records,
        "next_page": a.next_page_token,
    })
}

fn parts(p: &CostParts) -> Value {
    json!({
        "input": to_json::money(p.input.as_ref()), "output": to_json::money(p.output.as_ref()),
        "cache_read": to_json::money(p.cache_read.as_ref()), "cache_write": to_json::money(p.cache_write.as_ref()),
        "other": to_json::money(p.other.as_ref()),
    })
}

fn draw(a: &ExplainResponse, zone: &TimeZone, screen: &Screen) -> String {
    let mut out = String::new();
    for explained in &a.records {
        out.push_str(&one(explained, zone, screen));
    }
    let t = a.tokens.unwrap_or_default();
    let together = format!(
        "{}: {}, {} input, {} output, {} cache write, {} cache read, ${}; {}.\n",
        screen.bold("Together"),
        calls(a.requests),
        count(input(&t)),
        count(output(&t)),
        count(cache_write(&t)),
        count(t.cache_read),
        exact(pico_or_zero(a.cost.as_ref())),
        dropped(a.duplicates_dropped),
    );
    out.push_str(&screen.fold(&together, 2));
    if a.witnesses.len() > 1 {
        for w in &a.witnesses {
            out.push_str(&screen.fold(&seen_by(w), 2));
        }
    }
    if !a.unpriced_models.is_empty() {
        let text = format!(
            "Without a known price, not in the cost: {}",
            show::named(&a.unpriced_models, 10)
        );
        let text = screen.fold(&text, 2);
        out.push_str(&format!("{}\n", screen.warning(&text)));
    }
    if !a.next_page_token.is_empty() {
        out.push_str(&format!(
            "More records: repeat with --page {}\n",
            show::clean(&a.next_page_token)
        ));
    }
    out
}

/// What one kind of witness saw, on a line.
fn seen_by(w: &WitnessSum) -> String {
    let t = w.tokens.unwrap_or_default();
    let alone = match (w.alone, w.unlogged) {
        (0, _) => String::new(),
        (alone, 0) => format!("; {} seen by nobody else", count(alone)),
        (alone, unlogged) => format!(
            "; {} seen by nobody else, {} of them unlogged",
            count(alone),
            count(unlogged)
        ),
    };
    let witness = show::clean(&w.witness);
    let tokens = format!("{} input, {} output", count(input(&t)), count(output(&t)));
    format!("  seen by {witness}: {}, {tokens}{alone}\n", calls(w.calls))
}

fn calls(number: u64) -> String {
    format!("{} {}", count(number), if number == 1 { "call" } else { "calls" })
}

fn dropped(lines: u64) -> String {
    match lines {
        0 => "no line was dropped as a duplicate".to_owned(),
        1 => "1 line told of a call that was counted already and was dropped".to_owned(),
        _ => format!(
            "{} lines told of calls that were counted already and were dropped",
            count(lines)
        ),
    }
}

fn one(e: &Explained, zone: &TimeZone, screen: &Screen) -> String {
    let r = e.record.clone().unwrap_or_default();
    let u = r.usage.clone().unwrap_or_default();
    let t = u.tokens.unwrap_or_default();
    let mut lines = vec![format!(
        "{}  {}  {}  {}",
        instant(u.at_ms, zone),
        u.agent,
        u.model,
        u.project
    )];
    lines.push(format!("tokens   {}", buckets(&t)));
    match (&r.cost, &e.price) {
        (Some(cost), Some(price)) => {
            lines.push(format!(
                "cost     ${}{}",
                exact(pico_or_zero(Some(cost))),
                cost_parts(price.parts.as_ref())
            ));
            lines.push(format!("price    {}", priced(price)));
        }
        (Some(cost), None) => lines.push(format!("cost     ${}", exact(pico_or_zero(Some(cost))))),
        (None, _) => lines.push("cost     not known: the model has no price".to_owned()),
    }
    if let Some(reported) = &u.reported_cost {
        lines.push(format!(
            "note     the agent itself said {}",
            dollars_or_none(Some(reported))
        ));
    }
    if let Some(source) = &r.source {
        lines.push(format!("from     {}", place(source)));
    }
    if let Some(place) = u.place.as_ref().map(where_made).filter(|text| !text.is_empty()) {
        lines.push(format!("place    {place}"));
    }
    if !u.request_id.is_empty() {
        lines.push(format!("request  {}", u.request_id));
    }
    for account in &r.accounts {
        let counts = if account.counted { ", counted" } else { "" };
        lines.push(format!(
            "seen by  {}{counts}: {}{}",
            account.witness,
            buckets(&account.tokens.unwrap_or_default()),
            account
                .source
                .as_ref()
                .map_or_else(String::new, |s| format!(" ({})", place(s))),
        ));
    }
    if r.unlogged {
        lines.push(
            "note     unlogged: only telemetry or a statusline showed it, no file of the agent".to_owned(),
        );
    }
    let taken_back = t == Tokens::default()
        && u.reported_cost.is_some()
        && r.cost.as_ref().is_some_and(|cost| pico_or_zero(Some(cost)) == 0);
    if taken_back {
        lines.push("note     taken back: somebody else told of it better; it counts for nothing".to_owned());
    } else {
        if u.confidence == Confidence::Estimated as i32 {
            lines.push("note     estimated, or a lower bound: its agent does not tell all of it".to_owned());
        }
        if !u.context.is_empty() {
            lines.push(format!("note     {}", u.context));
        }
    }
    if r.estimated_extra_output > 0 {
        lines.push(format!(
            "note     the agent's figure leaves out about {} output tokens; they are not counted",
            count(r.estimated_extra_output)
        ));
    }
    if r.replaces > 0 {
        lines.push(format!(
            "note     replaces record #{}, which knew less of the same call",
            r.replaces
        ));
    }
    for dropped in &e.dropped {
        let source = dropped.source.as_ref().map(place).unwrap_or_default();
        lines.push(format!("dropped  {} ({source})", dropped.reason));
    }
    let unnamed = e.dropped_total.saturating_sub(e.dropped.len() as u64);
    if unnamed > 0 {
        lines.push(format!("dropped  {} more", count(unnamed)));
    }
    for w in &r.waste {
        lines.push(format!("waste    {} ({}): {}", w.rule, w.severity, w.message));
    }
    let mut out = String::new();
    for (place, line) in lines.iter().enumerate() {
        let begin = match place {
            0 => format!("{}  ", screen.bold(&format!("#{}", r.seq))),
            _ => "    ".to_owned(),
        };
        let line = format!("{begin}{}", show::clean(line.trim_end()));
        out.push_str(&format!("{}\n", screen.fold(&line, HANG)));
    }
    out.push('\n');
    out
}

/// Where the call was made, as far as it is known.
fn where_made(p: &Place) -> String {
    let short: String = p.commit.chars().take(12).collect();
    let parts = [
        ("branch", p.branch.as_str()),
        ("commit", &short),
        ("subagent", &p.subagent),
        ("skill", &p.skill),
        ("MCP server", &p.mcp_server),
    ];
    let named = parts.into_iter().filter(|(_, value)| !value.is_empty());
    let texts: Vec<String> = named.map(|(name, value)| format!("{name} {value}")).collect();
    texts.join(", ")
}

/// The tokens, without the kinds that there are none of.
fn buckets(t: &Tokens) -> String {
    let reasoning = match t.reasoning {
        0 => String::new(),
        n => format!(" (reasoning {})", count(n)),
    };
    let mut text = format!(
        "input {}, output {}{reasoning}",
        count(input(t)),
        count(output(t))
    );
    for (name, tokens) in [
        ("cache write for 5 min", t.cache_write_5m),
        ("cache write for 1 h", t.cache_write_1h),
        ("cache read", t.cache_read),
        ("web searches", t.web_searches),
    ] {
        if tokens > 0 {
            text.push_str(&format!(", {name} {}", count(tokens)));
        }
    }
    text
}

/// How the price was made up, and which row of the book it is.
fn priced(price: &AppliedPrice) -> String {
    if price.detail.contains(&price.row) {
        price.detail.clone()
    } else {
        format!("{} ({}): {}", price.row, price.origin, price.detail)
    }
}

fn cost_parts(parts: Option<&CostParts>) -> String {
    let Some(p) = parts else { return String::new() };
    let named = [
        ("input", &p.input),
        ("output", &p.output),
        ("cache read", &p.cache_read),
        ("cache write", &p.cache_write),
        ("other", &p.other),
    ];
    let told: Vec<String> = named
        .into_iter()
        .map(|(name, money)| (name, pico_or_zero(money.as_ref())))
        .filter(|(_, pico)| *pico != 0)
        .map(|(name, pico)| format!("{name} ${}", exact(pico)))
        .collect();
    if told.is_empty() {
        String::new()
    } else {
        format!(" = {}", told.join(" + "))
    }
}

fn place(s: &Source) -> String {
    match (s.path.is_empty(), s.lines) {
        (true, _) => s.kind.clone(),
        (false, 0 | 1) => format!("{} {} at byte {}", s.kind, s.path, s.offset),
        (false, lines) => format!("{} {} at byte {}, {lines} lines", s.kind, s.path, s.offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{Dropped, Money, Record, Usage};

    fn answer() -> ExplainResponse {
        let money = |pico| Some(Money { usd: 0, pico });
        let record = Record {
            seq: 3,
            usage: Some(Usage {
                model: "claude-sonnet-4-5".into(),
                at_ms: 1_763_629_200_000,
                tokens: Some(Tokens {
                    input: 1500,
                    output: 800,
                    ..Tokens::default()
                }),
                ..Usage::default()
            }),
            cost: money(16_500_000_000),
            source: Some(Source {
                kind: "claude-code-transcript".into(),
                path: "/t.jsonl".into(),
                offset: 10,
                lines: 3,
            }),
            ..Record::default()
        };
        let price = AppliedPrice {
            row: "anthropic/claude-sonnet-4-5".into(),
            origin: "bundled".into(),
            detail: "input 3, output 15".into(),
            parts: Some(CostParts {
                input: money(4_500_000_000),
                output: money(12_000_000_000),
                ..CostParts::default()
            }),
        };
        let dropped = Dropped {
            source: None,
            reason: "partial".into(),
        };
        ExplainResponse {
            records: vec![Explained {
                record: Some(record),
                price: Some(price),
                dropped: vec![dropped],
                dropped_total: 4,
            }],
            requests: 1,
            duplicates_dropped: 4,
            cost: money(16_500_000_000),
            ..ExplainResponse::default()
        }
    }

    #[test]
    fn a_cost_is_taken_apart_exactly() {
        let text = draw(
            &answer(),
            &TimeZone::UTC,
            &Screen {
                width: None,
                colour: false,
            },
        );
        for part in [
            "$0.0165 = input $0.0045 + output $0.012",
            "anthropic/claude-sonnet-4-5 (bundled): input 3, output 15",
            "/t.jsonl at byte 10, 3 lines",
            "partial",
            "3 more",
            "4 lines",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn what_there_is_none_of_is_not_told() {
        let text = draw(
            &answer(),
            &TimeZone::UTC,
            &Screen {
                width: Some(60),
                colour: false,
            },
        );
        assert!(text.contains("tokens   input 1,500, output 800\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }

    #[test]
    fn programs_get_the_same() {
        let value = as_json(&answer());
        assert_eq!(value["cost_usd"], "0.0165");
        assert_eq!(value["records"][0]["price"]["parts"]["input"], "0.0045");
        assert_eq!(value["records"][0]["dropped_total"], 4);
    }
}
