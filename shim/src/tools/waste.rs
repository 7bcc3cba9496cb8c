//! `get_waste_analysis` and `get_optimization_tips`.

use rmcp::model::JsonObject;
use serde_json::{Map, Value, json};
use tokmon_client::v1::{Tip, TipsRequest, TipsResponse, WasteRequest, WasteResponse};

use super::{Context, Failure};
use crate::answer::{Answer, MAX_ROWS, counted, dollars, grouped, label, requests};
use crate::arguments::Arguments;
use crate::money;

const PERIODS: [&str; 5] = ["current_session", "today", "last_7_days", "last_30_days", "all"];
/// What tips are drawn from: long enough to show habits, short enough to show present ones.
const TIPS_PERIOD: &str = "last_7_days";

pub(super) async fn get_waste_analysis(
    context: &Context<'_>,
    given: Option<JsonObject>,
) -> Result<Answer, Failure> {
    let arguments = Arguments::new(given, &["period"])?;
    let request = WasteRequest {
        period: arguments
            .choice("period", &PERIODS)?
            .unwrap_or(PERIODS[0])
            .to_owned(),
        session: context.sessions.known(&context.caller),
        agent: context.caller.agent.clone(),
        ..WasteRequest::default()
    };
    let found = context
        .daemon
        .call(async |client| client.waste_analysis(request.clone()).await)
        .await?;
    Ok(analysis(&found))
}

fn analysis(found: &WasteResponse) -> Answer {
    if found.requests == 0 {
        let text = format!("{}: no usage recorded.", found.period);
        return Answer::new(text, json!({"period": found.period, "requests": 0}));
    }
    let mut text = format!(
        "{}: {} of {} tokens wasted ({:.1} %), {}, in {}.",
        found.period,
        grouped(found.wasted_tokens),
        grouped(found.total_tokens),
        found.waste_rate_percent,
        dollars(found.wasted_cost.as_ref()),
        requests(found.requests),
    );
    let mut object = Map::new();
    object.insert("period".to_owned(), json!(found.period));
    object.insert("requests".to_owned(), json!(found.requests));
    object.insert("total_tokens".to_owned(), json!(found.total_tokens));
    object.insert("wasted_tokens".to_owned(), json!(found.wasted_tokens));
    object.insert(
        "wasted_usd".to_owned(),
        json!(money::decimal(found.wasted_cost.as_ref())),
    );
    object.insert(
        "waste_rate_percent".to_owned(),
        json!((found.waste_rate_percent * 10.0).round() / 10.0),
    );
    let mut rules = Vec::new();
    for rule in &found.by_rule {
        text.push_str(&format!(
            "\n{} ({}): {}, {} tokens, {}",
            rule.rule,
            rule.severity,
            counted(rule.events, "time"),
            grouped(rule.wasted_tokens),
            dollars(rule.wasted_cost.as_ref()),
        ));
        rules.push(json!({
            "rule": rule.rule, "severity": rule.severity, "events": rule.events, "tokens": rule.wasted_tokens,
        }));
    }
    let mut tools = Vec::new();
    for tool in found
        .tools
        .iter()
        .filter(|tool| tool.wasted_tokens > 0)
        .take(MAX_ROWS)
    {
        let wasted = grouped(tool.wasted_tokens);
        let name = label(&tool.tool);
        text.push_str(&format!(
            "\n{name}: {wasted} wasted, efficiency {}/100",
            tool.score
        ));
        tools.push(json!({"tool": tool.tool, "wasted_tokens": tool.wasted_tokens, "score": tool.score}));
    }
    for (name, list) in [("by_rule", rules), ("tools", tools)] {
        if !list.is_empty() {
            object.insert(name.to_owned(), Value::Array(list));
        }
    }
    if found.wasted_tokens > 0 {
        let savings = dollars(found.potential_monthly_savings.as_ref());
        text.push_str(&format!("\nAvoiding it would save {savings} in 30 days."));
        let savings = money::decimal(found.potential_monthly_savings.as_ref());
        object.insert("potential_monthly_savings_usd".to_owned(), json!(savings));
    }
    Answer::new(text, Value::Object(object))
}

pub(super) async fn get_optimization_tips(
    context: &Context<'_>,
    given: Option<JsonObject>,
) -> Result<Answer, Failure> {
    Arguments::new(given, &[])?;
    let request = TipsRequest {
        period: TIPS_PERIOD.to_owned(),
        ..TipsRequest::default()
    };
    let found = context
        .daemon
        .call(async |client| client.tips(request.clone()).await)
        .await?;
    Ok(tips(&found))
}

fn tips(found: &TipsResponse) -> Answer {
    let lines: Vec<String> = found.tips.iter().map(tip_line).collect();
    let text = match lines.is_empty() {
        true => "No tips: nothing in the last 7 days stands out.".to_owned(),
        false => lines.join("\n"),
    };
    let tips: Vec<Value> = found
        .tips
        .iter()
        .map(|tip| {
            json!({
                "group": tip.group, "title": tip.title, "evidence": tip.evidence, "advice": tip.advice,
                "saved_tokens": tip.saved_tokens, "saved_usd": money::decimal(tip.saved_cost.as_ref()),
            })
        })
        .collect();
    Answer::new(text, json!({"period": TIPS_PERIOD, "tips": tips}))
}

fn tip_line(tip: &Tip) -> String {
    let mut line = format!("[{}] {}: {}", tip.group, tip.title, tip.evidence);
    if !tip.advice.is_empty() {
        line.push_str(&format!(" {}", tip.advice));
    }
    if tip.saved_tokens > 0 {
        let (tokens, cost) = (grouped(tip.saved_tokens), dollars(tip.saved_cost.as_ref()));
        line.push_str(&format!(" Saves {tokens} tokens, {cost}."));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{Money, ToolEfficiency, WasteByRule};

    #[test]
    fn an_analysis_names_rules_and_tools() {
        let found = WasteResponse {
            period: "today".to_owned(),
            requests: 10,
            total_tokens: 10_000,
            wasted_tokens: 2_500,
            waste_rate_percent: 25.0,
            by_rule: vec![WasteByRule {
                rule: "read_loop".to_owned(),
                severity: "warning".to_owned(),
                events: 2,
                wasted_tokens: 2_500,
                wasted_cost: Some(Money {
                    usd: 0,
                    pico: 7_500_000_000,
                }),
            }],
            tools: vec![ToolEfficiency {
                tool: "Read".to_owned(),
                wasted_tokens: 2_500,
                score: 75,
                ..Default::default()
            }],
            ..WasteResponse::default()
        };
        let told = analysis(&found);
        assert_eq!(
            told.text,
            "today: 2,500 of 10,000 tokens wasted (25.0 %), $0, in 10 requests.\n\
             read_loop (warning): 2 times, 2,500 tokens, $0.0075\nRead: 2,500 wasted, efficiency 75/100\n\
             Avoiding it would save $0 in 30 days."
        );
        assert_eq!(told.object.unwrap()["tools"][0]["score"], 75);
        let mut nameless = found.clone();
        nameless.tools[0].tool = String::new();
        assert!(analysis(&nameless).text.contains("\n(none): 2,500 wasted"));
        let none = analysis(&WasteResponse {
            period: "all".to_owned(),
            ..WasteResponse::default()
        });
        assert_eq!(none.text, "all: no usage recorded.");
        assert_eq!(none.object.unwrap().get("by_rule"), None);
    }

    #[test]
    fn tips_are_lines() {
        assert!(tips(&TipsResponse::default()).text.starts_with("No tips"));
        let tip = Tip {
            group: "warning".to_owned(),
            title: "Search first".to_owned(),
            evidence: "Read ran 6 times.".to_owned(),
            advice: "Use Grep.".to_owned(),
            saved_tokens: 1000,
            saved_cost: None,
        };
        let told = tips(&TipsResponse {
            tips: vec![tip],
            ..TipsResponse::default()
        });
        assert_eq!(
            told.text,
            "[warning] Search first: Read ran 6 times. Use Grep. Saves 1,000 tokens, $0."
        );
    }
}
