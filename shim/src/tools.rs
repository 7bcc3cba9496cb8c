//! The tools: what a model sees of them, and which function answers.
//!
//! Schemas are written by hand: every word of them is in every conversation of every client, so there is nothing
//! in them that a model does not need. A test holds their cost in tokens.

mod budget;
pub(crate) mod daily;
mod export;
mod record;
mod session;
mod waste;

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use tokmon_client::Error;

use crate::answer::Answer;
use crate::attribution::Caller;
use crate::daemon::{Daemon, sentence};
use crate::options::ToolSet;
use crate::server::Sessions;

/// What a tool may use.
pub(crate) struct Context<'a> {
    pub(crate) daemon: &'a Daemon,
    pub(crate) caller: Caller,
    pub(crate) sessions: &'a Sessions,
}

/// Why a call did not work, as a sentence for the model.
pub(crate) struct Failure(pub(crate) String);

impl From<String> for Failure {
    fn from(sentence: String) -> Failure {
        Failure(sentence)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure(sentence(&error))
    }
}

/// What a call changes.
enum Effect {
    /// Nothing.
    Reads,
    /// Something, each time.
    Adds,
    /// Something, once.
    Sets,
}

/// A tool as it is offered.
struct Offer {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    schema: &'static str,
    effect: Effect,
    minimal: bool,
}

const NO_ARGUMENTS: &str = r#"{"type":"object","additionalProperties":false}"#;

const OFFERS: [Offer; 8] = [
    Offer {
        name: "log_token_usage",
        title: "Log token usage",
        description: "Record one model call; returns cost, session totals, waste.",
        schema: r#"{"type":"object","properties":{
            "input_tokens":{"type":"integer"},"output_tokens":{"type":"integer"},
            "model":{"type":"string"},"tool_name":{"type":"string"},"context":{"type":"string"}},
            "required":["input_tokens","output_tokens","model"]}"#,
        effect: Effect::Adds,
        minimal: true,
    },
    Offer {
        name: "get_current_session_stats",
        title: "Session statistics",
        description: "Tokens and cost of this session.",
        schema: NO_ARGUMENTS,
        effect: Effect::Reads,
        minimal: true,
    },
    Offer {
        name: "get_waste_analysis",
        title: "Waste analysis",
        description: "Wasted tokens by rule and tool.",
        schema: r#"{"type":"object","properties":{"period":{"enum":
            ["current_session","today","last_7_days","last_30_days","all"]}}}"#,
        effect: Effect::Reads,
        minimal: false,
    },
    Offer {
        name: "get_daily_report",
        title: "Daily report",
        description: "One day by tool, model, hour.",
        schema: r#"{"type":"object","properties":{"date":{"type":"string","description":"YYYY-MM-DD, default today"}}}"#,
        effect: Effect::Reads,
        minimal: false,
    },
    Offer {
        name: "get_optimization_tips",
        title: "Optimization tips",
        description: "Ways to save tokens, from your own records.",
        schema: NO_ARGUMENTS,
        effect: Effect::Reads,
        minimal: false,
    },
    Offer {
        name: "set_budget_alert",
        title: "Set budget alert",
        description: "Alert when a day's usage nears a limit.",
        schema: r#"{"type":"object","properties":{
            "daily_limit_tokens":{"type":"integer","minimum":1},"daily_limit_usd":{"type":"number"},
            "alert_threshold_percent":{"type":"integer","minimum":1,"maximum":100}}}"#,
        effect: Effect::Sets,
        minimal: false,
    },
    Offer {
        name: "export_analysis",
        title: "Export analysis",
        description: "Usage analysis as a document.",
        schema: r#"{"type":"object","properties":{"format":{"enum":["json","csv","html"]},"period":{"enum":
            ["today","last_7_days","last_30_days","all"]}},"required":["format","period"]}"#,
        effect: Effect::Reads,
        minimal: false,
    },
    Offer {
        name: "reset_session",
        title: "Reset session",
        description: "Start a new session; history stays.",
        schema: NO_ARGUMENTS,
        effect: Effect::Adds,
        minimal: false,
    },
];

/// The tools of a set, always in the same order: a changed list would cost clients their prompt cache.
pub(crate) fn list(set: ToolSet) -> Vec<Tool> {
    OFFERS
        .iter()
        .filter(|offer| set == ToolSet::All || offer.minimal)
        .map(|offer| {
            let schema: JsonObject = serde_json::from_str(offer.schema).expect("schemas are constants");
            let reads = matches!(offer.effect, Effect::Reads);
            let annotations = ToolAnnotations::with_title(offer.title)
                .read_only(reads)
                .destructive(false)
                .idempotent(!matches!(offer.effect, Effect::Adds))
                .open_world(false);
            Tool::new(offer.name, offer.description, Arc::new(schema)).with_annotations(annotations)
        })
        .collect()
}

/// Whether a set offers a tool.
pub(crate) fn offers(set: ToolSet, name: &str) -> bool {
    OFFERS
        .iter()
        .any(|offer| offer.name == name && (set == ToolSet::All || offer.minimal))
}

/// Answers a call of one of the tools.
pub(crate) async fn call(
    name: &str,
    context: &Context<'_>,
    arguments: Option<JsonObject>,
) -> Result<Answer, Failure> {
    match name {
        "log_token_usage" => record::log_token_usage(context, arguments).await,
        "get_current_session_stats" => session::get_current_session_stats(context, arguments).await,
        "get_waste_analysis" => waste::get_waste_analysis(context, arguments).await,
        "get_daily_report" => daily::get_daily_report(context, arguments).await,
        "get_optimization_tips" => waste::get_optimization_tips(context, arguments).await,
        "set_budget_alert" => budget::set_budget_alert(context, arguments).await,
        "export_analysis" => export::export_analysis(context, arguments).await,
        "reset_session" => session::reset_session(context, arguments).await,
        _ => Err(Failure(format!("there is no tool '{name}'"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokmon_tokenizer::Tokenizer;

    /// What clients put before the model: name, description and schema, nothing else.
    fn visible(set: ToolSet) -> String {
        let tools: Vec<Value> = list(set)
            .iter()
            .map(|tool| json!({"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}))
            .collect();
        Value::from(tools).to_string()
    }

    #[test]
    fn the_tools_cost_a_model_little() {
        for (set, tools, limit) in [(ToolSet::All, 8, 450), (ToolSet::Minimal, 2, 120)] {
            assert_eq!(list(set).len(), tools);
            let count = Tokenizer::new().count(visible(set).as_bytes(), "gpt-5").unwrap();
            assert!(count.exact);
            assert!(
                count.tokens <= limit,
                "{set:?} costs {} tokens, more than {limit}",
                count.tokens
            );
        }
    }

    #[test]
    fn schemas_hold_nothing_that_clients_stumble_over() {
        let text = visible(ToolSet::All);
        for word in ["$schema", "\"format\":\"u", "null", "\"title\"", "$ref"] {
            assert!(!text.contains(word), "{word}");
        }
        for tool in list(ToolSet::All) {
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
        }
    }

    #[test]
    fn annotations_tell_what_a_call_changes() {
        let changing: Vec<_> = list(ToolSet::All)
            .into_iter()
            .filter(|tool| tool.annotations.as_ref().unwrap().read_only_hint != Some(true))
            .map(|tool| tool.name.into_owned())
            .collect();
        assert_eq!(changing, ["log_token_usage", "set_budget_alert", "reset_session"]);
    }

    /// A9: the names and the arguments.
    #[test]
    fn the_eight_tools_take_what_they_should() {
        let found: Vec<(String, Vec<String>)> = list(ToolSet::All)
            .into_iter()
            .map(|tool| {
                let properties = tool.input_schema.get("properties").and_then(Value::as_object);
                let names = properties
                    .map(|p| p.keys().cloned().collect())
                    .unwrap_or_default();
                (tool.name.into_owned(), names)
            })
            .collect();
        let expected: [(&str, &[&str]); 8] = [
            (
                "log_token_usage",
                &["context", "input_tokens", "model", "output_tokens", "tool_name"],
            ),
            ("get_current_session_stats", &[]),
            ("get_waste_analysis", &["period"]),
            ("get_daily_report", &["date"]),
            ("get_optimization_tips", &[]),
            (
                "set_budget_alert",
                &["alert_threshold_percent", "daily_limit_tokens", "daily_limit_usd"],
            ),
            ("export_analysis", &["format", "period"]),
            ("reset_session", &[]),
        ];
        let expected =
            expected.map(|(name, names)| (name.to_owned(), names.iter().map(|n| (*n).to_owned()).collect()));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_minimal_set_refuses_the_rest() {
        assert!(offers(ToolSet::Minimal, "log_token_usage"));
        assert!(!offers(ToolSet::Minimal, "reset_session"));
        assert!(offers(ToolSet::All, "reset_session"));
        assert!(!offers(ToolSet::All, "no_such_tool"));
    }
}
