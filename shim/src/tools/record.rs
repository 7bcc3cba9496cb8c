//! `log_token_usage`: records one call of a model.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rmcp::model::JsonObject;
use serde_json::{Value, json};
use tokmon_client::v1::{RecordOutcome, RecordRequest, RecordResponse, Tokens, Usage};

use super::{Context, Failure};
use crate::answer::{Answer, dollars, grouped, requests, total_tokens};
use crate::arguments::Arguments;
use crate::attribution::Caller;
use crate::money;

/// Most tokens in one bucket of one call, as the daemon has it.
const MAX_TOKENS: u64 = 1_000_000_000;

pub(super) async fn log_token_usage(
    context: &Context<'_>,
    given: Option<JsonObject>,
) -> Result<Answer, Failure> {
    let usage = usage(&context.caller, context.sessions.current(&context.caller), given)?;
    let request = RecordRequest {
        usage: Some(usage.clone()),
    };
    let response = context
        .daemon
        .call(async |client| client.record(request.clone()).await)
        .await?;
    if let Some(session) = &response.session {
        context
            .sessions
            .recorded(&context.caller, session.session.clone());
    }
    Ok(answer(&usage, &response))
}

fn usage(caller: &Caller, session: String, given: Option<JsonObject>) -> Result<Usage, String> {
    let allowed = ["input_tokens", "output_tokens", "model", "tool_name", "context"];
    let arguments = Arguments::new(given, &allowed)?;
    Ok(Usage {
        tokens: Some(Tokens {
            input: arguments.required_integer("input_tokens", 0, MAX_TOKENS)?,
            output: arguments.required_integer("output_tokens", 0, MAX_TOKENS)?,
            ..Tokens::default()
        }),
        model: arguments.required_name("model")?,
        tool: arguments.name("tool_name")?.unwrap_or_default(),
        context: arguments.note("context")?,
        agent: caller.agent.clone(),
        session,
        project: caller.project.clone(),
        idempotency_key: key(caller),
        logged: true,
        ..Usage::default()
    })
}

/// The same for a call that is sent twice, so that it counts once. A client that does not number its calls gets a
/// key of our own, for the case that the daemon goes away between recording and answering.
fn key(caller: &Caller) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if !caller.call.is_empty() {
        return format!("mcp:{}:{}", caller.agent, caller.call);
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("mcp:{}:{now}:{next}", std::process::id())
}

fn answer(usage: &Usage, response: &RecordResponse) -> Answer {
    let tokens = usage.tokens.unwrap_or_default();
    let session = response.session.clone().unwrap_or_default();
    let session_tokens = total_tokens(&session.tokens.unwrap_or_default());
    let (outcome, verb) = match response.outcome() {
        RecordOutcome::Duplicate => ("duplicate", "Already recorded"),
        RecordOutcome::Amended => ("amended", "Amended"),
        RecordOutcome::Purged => ("purged", "Counted before; its record has been purged"),
        RecordOutcome::Added | RecordOutcome::Unspecified => ("added", "Recorded"),
    };
    let cost = match response.unpriced {
        true => "price unknown (set one: tokmonctl price set)".to_owned(),
        false => dollars(response.cost.as_ref()),
    };
    let mut text = format!(
        "{verb}: {} in, {} out on {}: {cost}. Session: {}, {} tokens, {}.",
        grouped(tokens.input),
        grouped(tokens.output),
        usage.model,
        requests(session.requests),
        grouped(session_tokens),
        dollars(session.cost.as_ref()),
    );
    let mut object = json!({
        "outcome": outcome,
        "session": {
            "id": session.session,
            "requests": session.requests,
            "total_tokens": session_tokens,
            "cost_usd": money::decimal(session.cost.as_ref()),
        },
    });
    match response.unpriced {
        true => object["unpriced"] = Value::Bool(true),
        false => object["cost_usd"] = money::decimal(response.cost.as_ref()).into(),
    }
    if !response.waste.is_empty() {
        object["waste"] = response
            .waste
            .iter()
            .map(|w| {
                text.push_str(&format!("\nWaste ({}): {}", w.severity, w.message));
                json!({"rule": w.rule, "severity": w.severity, "message": w.message, "tokens": w.wasted_tokens})
            })
            .collect();
    }
    if !response.alerts.is_empty() {
        object["alerts"] = response
            .alerts
            .iter()
            .map(|a| {
                text.push_str(&format!("\nAlert: {}", a.message));
                json!({"budget": a.budget, "percent": a.percent, "message": a.message})
            })
            .collect();
    }
    Answer::new(text, object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{BudgetAlert, Money, SessionTotals, Waste};

    fn caller(call: &str) -> Caller {
        Caller {
            agent: "codex".to_owned(),
            project: "/p".to_owned(),
            call: call.to_owned(),
            ..Caller::default()
        }
    }

    fn given(value: Value) -> Option<JsonObject> {
        value.as_object().cloned()
    }

    #[test]
    fn a_call_becomes_usage() {
        let given = given(
            json!({"input_tokens": 1500, "output_tokens": 800, "model": "claude-sonnet-4-5",
            "tool_name": "Read", "context": "x".repeat(500)}),
        );
        let usage = usage(&caller("c1"), "s1".to_owned(), given).unwrap();
        let tokens = usage.tokens.unwrap();
        assert_eq!((tokens.input, tokens.output), (1500, 800));
        assert_eq!(
            (
                usage.agent.as_str(),
                usage.session.as_str(),
                usage.project.as_str()
            ),
            ("codex", "s1", "/p")
        );
        assert_eq!((usage.tool.as_str(), usage.context.len()), ("Read", 200));
        assert_eq!(usage.idempotency_key, "mcp:codex:c1");
    }

    #[test]
    fn calls_without_a_number_have_keys_of_their_own() {
        assert_ne!(key(&caller("")), key(&caller("")));
    }

    #[test]
    fn bad_arguments_are_named() {
        let cases = [
            (json!({}), "input_tokens is missing"),
            (
                json!({"input_tokens": -5}),
                "input_tokens must be a whole number from 0 to 1000000000, not -5",
            ),
            (
                json!({"input_tokens": 1, "output_tokens": 2.5}),
                "output_tokens must be a whole number",
            ),
            (
                json!({"input_tokens": 1, "output_tokens": 1e12}),
                "output_tokens must be a whole number",
            ),
            (json!({"input_tokens": 1, "output_tokens": 2}), "model is missing"),
            (
                json!({"input_tokens": 1, "output_tokens": 2, "model": 5}),
                "model must be text",
            ),
            (
                json!({"input_tokens": 1, "output_tokens": 2, "model": "m", "tool_name": []}),
                "tool_name must be text",
            ),
            (
                json!({"input_tokens": 1, "output_tokens": 2, "model": "m", "context": 1}),
                "context must be text",
            ),
            (json!({"inputTokens": 1}), "unknown argument 'inputTokens'"),
        ];
        for (arguments, expected) in cases {
            let said = usage(&caller(""), String::new(), given(arguments.clone())).unwrap_err();
            assert!(said.starts_with(expected), "{arguments}: {said}");
        }
    }

    /// A1, with the figures of A2.
    #[test]
    fn the_answer_tells_cost_session_waste_and_alerts() {
        let usage = Usage {
            model: "claude-sonnet-4-5".to_owned(),
            tokens: Some(Tokens {
                input: 1500,
                output: 800,
                ..Tokens::default()
            }),
            ..Usage::default()
        };
        let mut response = RecordResponse {
            cost: Some(Money {
                usd: 0,
                pico: 16_500_000_000,
            }),
            session: Some(SessionTotals {
                session: "s1".to_owned(),
                requests: 2,
                ..SessionTotals::default()
            }),
            waste: vec![Waste {
                severity: "warning".to_owned(),
                message: "read 6 times".to_owned(),
                ..Waste::default()
            }],
            alerts: vec![BudgetAlert {
                percent: 85,
                message: "85 % used".to_owned(),
                ..BudgetAlert::default()
            }],
            ..RecordResponse::default()
        };
        let told = answer(&usage, &response);
        assert_eq!(
            told.text,
            "Recorded: 1,500 in, 800 out on claude-sonnet-4-5: $0.0165. Session: 2 requests, 0 tokens, $0.\n\
             Waste (warning): read 6 times\nAlert: 85 % used"
        );
        let object = told.object.unwrap();
        assert_eq!(object["cost_usd"], "0.0165");
        assert_eq!(object["session"]["id"], "s1");
        assert_eq!(object["alerts"][0]["percent"], 85);
        response.unpriced = true;
        response.set_outcome(RecordOutcome::Duplicate);
        let told = answer(&usage, &response);
        assert!(
            told.text
                .starts_with("Already recorded: 1,500 in, 800 out on claude-sonnet-4-5: price unknown")
        );
        let object = told.object.unwrap();
        assert_eq!(
            (&object["unpriced"], object.get("cost_usd")),
            (&json!(true), None)
        );
    }
}
