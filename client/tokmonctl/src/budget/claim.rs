//! Asking before spending: check, reserve, extend, settle, release.

use serde_json::{Value, json};
use tokmon_client::policy::{self, Caller, Verdict};
use tokmon_client::v1::{
    Appended, Binding, ExtendRequest, Money, ReleaseRequest, ReserveRequest, ReserveResponse, SettleRequest,
    SettleResponse, Tokens, Usage,
};
use tokmon_client::{Client, Error, Kind, Paths};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, dollars_or_none, iso, parse_dollars, pico};
use crate::show::{self, json as to_json};

/// Who asks, and how much.
#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    /// Your own id of the reservation; asking again with it is the same reservation [default: a new one]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// The session
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    session: String,
    /// The task in it
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    task: String,
    /// The agent [default: api]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    agent: String,
    /// The model
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    model: String,
    /// The project
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    project: String,
    /// The provider [default: guessed from the model]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    provider: String,
    /// The tool
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    tool: String,
    /// The user [default: who runs the daemon]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    user: String,
    #[command(flatten)]
    amount: Amount,
}

/// How much.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("amount").required(true).multiple(true).args(["tokens", "usd", "input_tokens", "output_tokens", "requests", "appended_tokens", "appended_bytes"]))]
struct Amount {
    /// Tokens of any kind
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true, conflicts_with_all = ["input_tokens", "output_tokens"])]
    tokens: Option<u64>,
    /// Dollars
    #[arg(long, value_name = "USD", value_parser = parse_dollars, allow_negative_numbers = true)]
    usd: Option<Money>,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    input_tokens: Option<u64>,
    /// Tokens of the answer [default: as this agent and model usually answer]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    output_tokens: Option<u64>,
    /// In place of --input-tokens: tokens that the prompt grew by since the session's last call (count --session looks itself)
    #[arg(long, value_name = "N", conflicts_with_all = ["tokens", "input_tokens"])]
    appended_tokens: Option<u64>,
    /// The same for texts of which only the bytes are known
    #[arg(long, value_name = "N", conflicts_with_all = ["tokens", "input_tokens"])]
    appended_bytes: Option<u64>,
    /// Messages, calls and results that they are in
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true)]
    appended_blocks: u64,
    /// Calls [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    requests: Option<u64>,
    /// The most tokens that the answer can have
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    max_output: u64,
    /// Reserve the worst case instead of the usual one
    #[arg(long)]
    strict: bool,
    /// How long it lives unless it is settled, e.g. 90s, 10m, 2h [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    ttl: Option<i64>,
}

/// More for a reservation.
#[derive(Debug, clap::Args)]
pub(super) struct More {
    /// The reservation
    id: String,
    #[command(flatten)]
    amount: Amount,
}

/// What was used.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("spent").required(true).multiple(true).args(["input_tokens", "output_tokens", "usd"]))]
pub(super) struct Spent {
    /// The reservation
    id: String,
    /// Prompt tokens at the full price
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    input_tokens: Option<u64>,
    /// Answer tokens
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    output_tokens: Option<u64>,
    /// Prompt tokens read from a cache
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    cache_read_tokens: u64,
    /// Prompt tokens written to a cache
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    cache_write_tokens: u64,
    /// What it cost, where the price is not known
    #[arg(long, value_name = "USD", value_parser = parse_dollars, allow_negative_numbers = true)]
    usd: Option<Money>,
    /// The model, when it was another one
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    model: String,
    /// The tool
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    tool: String,
    /// What makes the call unique, when it is recorded elsewhere too
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    key: String,
    /// The call failed or was cut off
    #[arg(long)]
    failed: bool,
}

/// Milliseconds of "90s", "10m", "2h".
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let wrong = || "give a duration such as 90s, 10m or 2h".to_owned();
    let units = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let (number, unit) = units
        .into_iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?.parse::<u32>().ok()?, unit)))
        .ok_or_else(wrong)?;
    match i64::from(number).checked_mul(unit) {
        Some(ms) if ms > 0 => Ok(ms),
        _ => Err(wrong()),
    }
}

fn fill(amount: &Amount, mut request: ReserveRequest) -> ReserveRequest {
    request.tokens = amount.tokens.unwrap_or(0);
    request.usd = amount.usd;
    request.requests = amount.requests.unwrap_or(0);
    request.max_output = amount.max_output;
    request.strict = amount.strict;
    request.ttl_ms = amount.ttl.unwrap_or(0);
    if amount.appended_tokens.is_some() || amount.appended_bytes.is_some() {
        request.appended = Some(Appended {
            counted: amount.appended_tokens.unwrap_or(0),
            bytes: amount.appended_bytes.unwrap_or(0),
            blocks: amount.appended_blocks,
        });
    }
    if amount.input_tokens.is_some() || amount.output_tokens.is_some() {
        request.usage = Some(Tokens {
            input: amount.input_tokens.unwrap_or(0),
            output: amount.output_tokens.unwrap_or(0),
            ..Tokens::default()
        });
    }
    request
}

fn request(ask: &Ask) -> ReserveRequest {
    fill(
        &ask.amount,
        ReserveRequest {
            id: ask.id.clone(),
            session: ask.session.clone(),
            task: ask.task.clone(),
            agent: ask.agent.clone(),
            model: ask.model.clone(),
            project: ask.project.clone(),
            provider: ask.provider.clone(),
            tool: ask.tool.clone(),
            user: ask.user.clone(),
            ..ReserveRequest::default()
        },
    )
}

/// `tokmonctl budget check`.
pub(super) async fn check(ask: &Ask, client: &Client, context: &Context) -> Result<(), Failure> {
    match client.check(request(ask)).await {
        Ok(answer) => tell(&answer, context),
        Err(error) => unreachable(ask, error, context),
    }
}

/// `tokmonctl budget reserve`.
pub(super) async fn reserve(ask: &Ask, client: &Client, context: &Context) -> Result<(), Failure> {
    match client.reserve(request(ask)).await {
        Ok(answer) => tell(&answer, context),
        Err(error) => unreachable(ask, error, context),
    }
}

/// The answer when the daemon cannot be asked: denied under a budget that stays closed. Otherwise the call may be made,
/// but nothing is reserved, so it stays an error.
pub(super) fn unreachable(ask: &Ask, error: Error, context: &Context) -> Result<(), Failure> {
    let gone = matches!(
        error.kind(),
        Kind::Unavailable | Kind::Forbidden | Kind::Incompatible
    );
    let Some(paths) = Paths::from_env().ok().filter(|_| gone) else {
        return Err(error.into());
    };
    let Verdict::Deny { budget, reason } = policy::when_unreachable(&paths, &Caller::from(&request(ask)))
    else {
        return Err(error.into());
    };
    Failure::Told(error).tell();
    let text = if context.json {
        let mut value = as_json(&ReserveResponse::default());
        value["unreachable"] = json!({ "budget": Some(budget).filter(|b| !b.is_empty()), "reason": reason });
        to_json::document(&value)
    } else {
        format!("Denied: {}.\n", show::clean(&reason))
    };
    show::print(&text)?;
    Err(Failure::Denied)
}

/// `tokmonctl budget extend`.
pub(super) async fn extend(more: &More, client: &Client, context: &Context) -> Result<(), Failure> {
    let request = ExtendRequest {
        id: more.id.clone(),
        ask: Some(fill(&more.amount, ReserveRequest::default())),
    };
    tell(&client.extend(request).await?, context)
}

/// `tokmonctl budget settle`.
pub(super) async fn settle(spent: &Spent, client: &Client, context: &Context) -> Result<(), Failure> {
    let usage = Usage {
        model: spent.model.clone(),
        tool: spent.tool.clone(),
        idempotency_key: spent.key.clone(),
        reported_cost: spent.usd,
        failed: spent.failed,
        tokens: Some(Tokens {
            input: spent.input_tokens.unwrap_or(0),
            output: spent.output_tokens.unwrap_or(0),
            cache_read: spent.cache_read_tokens,
            cache_write_5m: spent.cache_write_tokens,
            ..Tokens::default()
        }),
        ..Usage::default()
    };
    let request = SettleRequest {
        id: spent.id.clone(),
        usage: Some(usage),
    };
    tell_end(&spent.id, &client.settle(request).await?, context)
}

/// `tokmonctl budget release`.
pub(super) async fn release(id: &str, client: &Client, context: &Context) -> Result<(), Failure> {
    let request = ReleaseRequest { id: id.to_owned() };
    tell_end(id, &client.release(request).await?, context)
}

/// Prints the answer; a denial is told by the exit code too.
fn tell(answer: &ReserveResponse, context: &Context) -> Result<(), Failure> {
    if context.json {
        show::print(&to_json::document(&as_json(answer)))?;
    } else {
        show::print(&sentence(answer))?;
    }
    if answer.granted {
        Ok(())
    } else {
        Err(Failure::Denied)
    }
}

fn as_json(answer: &ReserveResponse) -> Value {
    let id = Some(&answer.id).filter(|id| !id.is_empty());
    json!({
        "granted": answer.granted,
        "reservation": id,
        "stopped": if answer.stopped.is_empty() { Value::Null } else { answer.stopped.as_str().into() },
        "binding": answer.binding.as_ref().map(binding),
        "state": Some(&answer.state).filter(|state| !state.is_empty()),
        "expires_at": to_json::time(answer.expires_at_ms),
        "reason": Some(&answer.reason).filter(|reason| !reason.is_empty()),
        "waiting_helps": answer.waiting_helps,
        "cheaper_models": answer.cheaper_models,
        "would_deny": answer.would_deny,
        "prompt": answer.prompt.as_ref().map(|prompt| json!({
            "tokens": prompt.tokens, "low": prompt.low, "high": prompt.high,
            "basis": crate::count::basis(prompt.basis.as_ref()),
        })),
        "estimate": {
            "tokens": answer.tokens,
            "usage": to_json::tokens(&answer.usage.unwrap_or_default()),
            "usd": to_json::money(answer.usd.as_ref()),
        },
    })
}

/// Amounts in tokens and calls are numbers, money is an exact decimal string.
pub(crate) fn binding(b: &Binding) -> Value {
    let usd = b.unit == "usd";
    let amount = |whole: u64, money: &Option<Money>| {
        if usd {
            to_json::money(money.as_ref())
        } else {
            whole.into()
        }
    };
    json!({
        "budget": b.budget, "unit": b.unit,
        "limit": amount(b.limit, &b.limit_usd), "posted": amount(b.posted, &b.posted_usd),
        "pending": amount(b.pending, &b.pending_usd), "available": amount(b.available, &b.available_usd),
        "kept": amount(b.kept, &b.kept_usd), "asked": amount(b.asked, &b.asked_usd), "resets_at": to_json::time(b.resets_at_ms),
    })
}

fn sentence(answer: &ReserveResponse) -> String {
    let mut text = match (answer.granted, answer.id.is_empty()) {
        (true, true) => "It would be granted.".to_owned(),
        (true, false) => format!("Granted: {}", answer.id),
        (false, _) => denied(&answer.reason).to_owned(),
    };
    if let Some(b) = &answer.binding {
        text.push('\n');
        text.push_str(&room(b));
    }
    if let Some(prompt) = &answer.prompt {
        let label = prompt.basis.as_ref().map_or("", |basis| basis.label.as_str());
        text.push_str(&format!(
            "\nThe prompt: {} tokens, {label}.",
            count(prompt.tokens)
        ));
    }
    if answer.waiting_helps {
        text.push_str("\nOpen reservations hold what is missing: some of it may come back.");
    }
    if !answer.cheaper_models.is_empty() {
        text.push_str(&format!(
            "\nThese would fit: {}.",
            answer.cheaper_models.join(", ")
        ));
    }
    text.lines()
        .map(|line| format!("{}\n", show::clean(line)))
        .collect()
}

/// The words for a reason that programs read.
pub(crate) fn denied(reason: &str) -> &'static str {
    match reason {
        "quota_exceeded" => "Denied: the quota of the window is used up.",
        "budget_exhausted" => "Denied: the budget is exhausted.",
        _ => "Denied.",
    }
}

/// What is left in the limit that decides.
pub(crate) fn room(b: &Binding) -> String {
    let amount = |whole: u64, money: &Option<Money>| match b.unit.as_str() {
        "usd" => dollars_or_none(money.as_ref()),
        unit => format!("{} {unit}", count(whole)),
    };
    let mut text = format!(
        "Budget {}: {} of {} left",
        b.budget,
        amount(b.available, &b.available_usd),
        amount(b.limit, &b.limit_usd),
    );
    if b.kept > 0 || b.kept_usd.as_ref().is_some_and(|kept| pico(kept) != 0) {
        let kept = amount(b.kept, &b.kept_usd);
        text.push_str(&format!(", {kept} kept for tasks that go first"));
    }
    if let Some(resets) = iso(b.resets_at_ms).filter(|_| b.resets_at_ms > 0) {
        text.push_str(&format!(", room again at {resets}"));
    }
    text.push('.');
    text
}

fn tell_end(id: &str, answer: &SettleResponse, context: &Context) -> Result<(), Failure> {
    let record = answer.record.as_ref();
    if context.json {
        return show::print(&to_json::document(&json!({
            "reservation": id, "state": answer.state, "before": answer.before, "late": answer.late,
            "record": record.map(|r| json!({
                "seq": r.seq, "cost_usd": to_json::money(r.cost.as_ref()), "unpriced": r.unpriced,
                "alerts": r.alerts.iter().map(|a| a.message.clone()).collect::<Vec<_>>(),
            })),
        })));
    }
    let mut text = match (answer.before, answer.late) {
        (true, _) => format!("Reservation {id} was {} before; nothing changed.\n", answer.state),
        (false, true) => format!("Reservation {id} is {}, after it had expired.\n", answer.state),
        (false, false) => format!("Reservation {id} is {}.\n", answer.state),
    };
    for alert in record.into_iter().flat_map(|r| &r.alerts) {
        text.push_str(&format!(
            "{}\n",
            context.screen().warning(&show::clean(&alert.message))
        ));
    }
    show::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("90s"), Ok(90_000));
        assert_eq!(duration("10m"), Ok(600_000));
        assert_eq!(duration("250ms"), Ok(250));
        for text in ["", "10", "-5m", "0s", "m", "1e3s", "99999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_answer_has_the_fields_that_scripts_read() {
        let answer = ReserveResponse {
            granted: false,
            binding: Some(Binding {
                budget: "day".to_owned(),
                unit: "tokens".to_owned(),
                limit: 100,
                posted: 60,
                pending: 30,
                available: 10,
                asked: 11,
                resets_at_ms: 1_795_176_000_000,
                ..Binding::default()
            }),
            cheaper_models: vec!["small".to_owned()],
            waiting_helps: true,
            ..ReserveResponse::default()
        };
        let value = as_json(&answer);
        assert_eq!(
            (&value["granted"], &value["reservation"]),
            (&json!(false), &Value::Null)
        );
        let binding = &value["binding"];
        assert_eq!(binding["available"], 10);
        assert_eq!(binding["resets_at"], "2026-11-20T12:00:00.000Z");
        let text = sentence(&answer);
        assert!(text.contains("10 tokens of 100 tokens left"), "{text}");
        assert!(text.contains("small"), "{text}");
    }
}
