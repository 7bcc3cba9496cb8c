//! `tokmonctl record`: books one call by hand or from a script.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokmon_client::v1::{
    Confidence, Money, Place, RecordOutcome, RecordRequest, RecordResponse, Tokens, Usage,
};

use crate::args::from_to;
use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{counted, dollars_or_none, exact, parse_dollars, pico_or_zero};
use crate::show::{self, Screen, json as to_json};
use crate::totals::total;

/// Arguments of `record`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model's name as the provider gave it
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Who made the call
    #[arg(long, value_name = "NAME", default_value = "api")]
    agent: String,
    /// Session of the agent [default: its current one]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    session: String,
    /// Project directory
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    project: String,
    /// Person or account [default: you]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    user: String,
    /// Provider [default: guessed from the model]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    provider: String,
    /// Tool that the tokens are attributed to
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    tool: String,
    /// Task of an orchestrator that it belongs to
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    task: String,
    /// Free note, cut to 200 characters
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    context: String,
    /// Prompt tokens outside of the cache
    #[arg(long, value_name = "N", default_value = "0", value_parser = from_to::<u64>(0, MOST), allow_negative_numbers = true)]
    input: u64,
    /// Answer tokens, reasoning included
    #[arg(long, value_name = "N", default_value = "0", value_parser = from_to::<u64>(0, MOST), allow_negative_numbers = true)]
    output: u64,
    /// The part of the answer that was reasoning
    #[arg(long, value_name = "N", default_value = "0", value_parser = from_to::<u64>(0, MOST), allow_negative_numbers = true)]
    reasoning: u64,
    /// Prompt tokens read from the cache
    #[arg(long, value_name = "N", default_value = "0", value_parser = from_to::<u64>(0, MOST), allow_negative_numbers = true)]
    cache_read: u64,
    /// Prompt tokens written to the cache for 5 minutes
    #[arg(long, value_name = "N", default_value = "0", value_parser = from_to::<u64>(0, MOST), allow_negative_numbers = true)]
    cache_write_5m: u64,
    /// Prompt tokens written to the cache for 1 hour or longer
    #[arg(long, value_name = "N", default_value = "0", value_parser = from_to::<u64>(0, MOST), allow_negative_numbers = true)]
    cache_write_1h: u64,
    /// Server-side web searches
    #[arg(long, value_name = "N", default_value = "0", value_parser = from_to::<u64>(0, MOST), allow_negative_numbers = true)]
    web_searches: u64,
    /// When the call ended, e.g. 2026-11-20T14:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, allow_negative_numbers = true)]
    at: Option<Timestamp>,
    /// What makes this call unique; the same key is the same call
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    key: String,
    /// Price tier: standard, priority, flex or batch
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service_tier: String,
    /// Speed mode: fast
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    speed: String,
    /// Region of inference where it changes the price: us
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    region: String,
    /// What the agent itself said that the call cost, in dollars
    #[arg(long, value_name = "USD", value_parser = parse_dollars, allow_negative_numbers = true)]
    reported_cost: Option<Money>,
    /// The call failed or was cut off
    #[arg(long)]
    failed: bool,
    /// It was an embedding request
    #[arg(long)]
    embedding: bool,
    /// An embedding answered from the caller's own cache
    #[arg(long, requires = "embedding")]
    cache_hit: bool,
    /// The provider's id of the request or response
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where exactly the call was made.
#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// Git branch
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    branch: String,
    /// Git commit
    #[arg(long, value_name = "HASH", default_value = "", hide_default_value = true)]
    commit: String,
    /// Kind of subagent that made the call
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    subagent: String,
    /// Skill or slash command that the call served
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    skill: String,
    /// MCP server of the tool
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    mcp: String,
}

/// Most tokens in one bucket of one call; the daemon refuses more.
const MOST: u64 = 1_000_000_000;

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "allowed is an instant with its zone, e.g. 2026-11-20T14:00:00Z or …+01:00".to_owned())
}

/// `tokmonctl record`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let answer = client
        .record(RecordRequest {
            usage: Some(usage(args)),
        })
        .await?;
    if context.json {
        return show::print(&to_json::document(&as_json(&answer)));
    }
    show::print(&draw(&answer, &context.screen()))
}

fn usage(args: &Args) -> Usage {
    Usage {
        agent: args.agent.clone(),
        session: args.session.clone(),
        project: args.project.clone(),
        user: args.user.clone(),
        provider: args.provider.clone(),
        model: args.model.clone(),
        tool: args.tool.clone(),
        context: args.context.clone(),
        tokens: Some(Tokens {
            input: args.input,
            output: args.output,
            reasoning: args.reasoning,
            cache_read: args.cache_read,
            cache_write_5m: args.cache_write_5m,
            cache_write_1h: args.cache_write_1h,
            web_searches: args.web_searches,
            ..Tokens::default()
        }),
        at_ms: args.at.map_or(0, Timestamp::as_millisecond),
        idempotency_key: args.key.clone(),
        service_tier: args.service_tier.clone(),
        speed: args.speed.clone(),
        region: args.region.clone(),
        reported_cost: args.reported_cost,
        confidence: Confidence::Reported.into(),
        failed: args.failed,
        embedding: args.embedding,
        cache_hit: args.cache_hit,
        task: args.task.clone(),
        request_id: args.request_id.clone(),
        logged: false,
        place: Some(Place {
            branch: args.place.branch.clone(),
            commit: args.place.commit.clone(),
            subagent: args.place.subagent.clone(),
            skill: args.place.skill.clone(),
            mcp_server: args.place.mcp.clone(),
        }),
    }
}

fn outcome(value: i32) -> &'static str {
    match RecordOutcome::try_from(value) {
        Ok(RecordOutcome::Added) => "added",
        Ok(RecordOutcome::Amended) => "amended",
        Ok(RecordOutcome::Duplicate) => "duplicate",
        Ok(RecordOutcome::Purged) => "purged",
        Ok(RecordOutcome::Unspecified) | Err(_) => "unknown",
    }
}

fn as_json(r: &RecordResponse) -> Value {
    let session = r.session.clone().unwrap_or_default();
    let parts = r.cost_parts.unwrap_or_default();
    json!({
        "seq": r.seq, "outcome": outcome(r.outcome), "cost_usd": to_json::money(r.cost.as_ref()), "unpriced": r.unpriced,
        "cost_parts": {
            "input": to_json::money(parts.input.as_ref()), "output": to_json::money(parts.output.as_ref()),
            "cache_read": to_json::money(parts.cache_read.as_ref()), "cache_write": to_json::money(parts.cache_write.as_ref()),
            "other": to_json::money(parts.other.as_ref()),
        },
        "session": {
            "session": session.session, "requests": session.requests,
            "tokens": to_json::tokens(&session.tokens.unwrap_or_default()), "cost_usd": to_json::money(session.cost.as_ref()),
        },
        "waste": r.waste.iter().map(to_json::waste).collect::<Vec<_>>(),
        "alerts": r.alerts.iter().map(|a| json!({"budget": a.budget, "percent": a.percent, "message": a.message})).collect::<Vec<_>>(),
    })
}

fn draw(r: &RecordResponse, screen: &Screen) -> String {
    let session = r.session.clone().unwrap_or_default();
    let cost = match &r.cost {
        Some(cost) => format!("${}", exact(pico_or_zero(Some(cost)))),
        None => "without a known price".to_owned(),
    };
    let mut out = match outcome(r.outcome) {
        "added" => format!("Recorded as #{}: {cost}.\n", r.seq),
        "amended" => format!(
            "Recorded as #{}, replacing what was known of this call: {cost}.\n",
            r.seq
        ),
        "duplicate" => "This call was known already; nothing changed.\n".to_owned(),
        "purged" => {
            "Counted before; its record has been purged, its totals are kept. Nothing changed.\n".to_owned()
        }
        _ => format!(
            "The daemon answered with an outcome that this program does not know ({}).\n",
            r.outcome
        ),
    };
    if !session.session.is_empty() {
        out.push_str(&format!(
            "Session {}: {}, {}, {}.\n",
            show::clean(&session.session),
            counted(session.requests, "call"),
            counted(session.tokens.map_or(0, |t| total(&t)), "token"),
            dollars_or_none(session.cost.as_ref()),
        ));
    }
    for w in &r.waste {
        out.push_str(&format!(
            "{}\n",
            screen.warning(&show::clean(&format!(
                "{} ({}): {}",
                w.rule, w.severity, w.message
            )))
        ));
    }
    for a in &r.alerts {
        out.push_str(&format!("{}\n", screen.warning(&show::clean(&a.message))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::Waste;

    fn answer() -> RecordResponse {
        RecordResponse {
            seq: 5,
            outcome: RecordOutcome::Added.into(),
            cost: Some(Money {
                usd: 0,
                pico: 16_500_000_000,
            }),
            waste: vec![Waste {
                rule: "read_loop".into(),
                severity: "warning".into(),
                message: "called 6 times in 1 minute".into(),
                ..Waste::default()
            }],
            ..RecordResponse::default()
        }
    }

    #[test]
    fn the_cost_is_told_exactly() {
        let text = draw(
            &answer(),
            &Screen {
                width: None,
                colour: false,
            },
        );
        assert!(text.starts_with("Recorded as #5: $0.0165.\n"), "{text}");
        assert!(text.contains("called 6 times in 1 minute"));
        assert_eq!(as_json(&answer())["cost_usd"], "0.0165");
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let tokens = from_to::<u64>(0, MOST);
        assert_eq!((tokens("0"), tokens("1000000000")), (Ok(0), Ok(MOST)));
        for text in [
            "",
            "-5",
            "1.5",
            "NaN",
            "1e3",
            "1000000001",
            "99999999999999999999",
        ] {
            assert!(tokens(text).unwrap_err().contains("1000000000"), "{text}");
        }
    }

    #[test]
    fn every_outcome_has_a_name() {
        for (value, name) in [
            (0, "unknown"),
            (1, "added"),
            (2, "amended"),
            (3, "duplicate"),
            (4, "purged"),
            (99, "unknown"),
        ] {
            assert_eq!(outcome(value), name);
        }
    }

    #[test]
    fn a_missing_price_is_said() {
        let text = draw(
            &RecordResponse {
                cost: None,
                ..answer()
            },
            &Screen {
                width: None,
                colour: false,
            },
        );
        assert!(text.contains("without a known price"));
    }
}
