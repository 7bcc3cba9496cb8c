//! `tokmonctl waste`: what the waste rules found, by rule and by tool.

use serde_json::{Value, json};
use tokmon_client::v1::{WasteRequest, WasteResponse};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, counted, dollars_or_none, percent};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// A span of time that analyses look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Period {
    /// The session that was recorded last, or the one that is named
    #[value(alias = "current-session", alias = "session")]
    CurrentSession,
    /// Since midnight
    Today,
    /// Seven days, today included
    #[value(name = "last_7_days", alias = "last-7-days", alias = "week")]
    Last7Days,
    /// Thirty days, today included
    #[value(name = "last_30_days", alias = "last-30-days", alias = "month")]
    Last30Days,
    /// Everything
    All,
}

impl Period {
    /// The name in the contract.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Period::CurrentSession => "current_session",
            Period::Today => "today",
            Period::Last7Days => "last_7_days",
            Period::Last30Days => "last_30_days",
            Period::All => "all",
        }
    }
}

/// Arguments of `waste`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which time
    #[arg(value_enum, default_value = "today")]
    period: Period,
    /// For current_session: which session [default: the one recorded last]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    session: String,
    /// Time zone of days, e.g. Europe/Berlin [default: the daemon's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// `tokmonctl waste`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let answer = client
        .waste_analysis(WasteRequest {
            period: args.period.name().to_owned(),
            timezone: args.timezone.clone().unwrap_or_default(),
            session: args.session.clone(),
            ..WasteRequest::default()
        })
        .await?;
    if context.json {
        return show::print(&to_json::document(&as_json(&answer)));
    }
    show::print(&draw(&answer, &context.screen()))
}

fn as_json(w: &WasteResponse) -> Value {
    json!({
        "period": w.period, "requests": w.requests, "total_tokens": w.total_tokens,
        "wasted_tokens": w.wasted_tokens, "wasted_usd": to_json::money(w.wasted_cost.as_ref()),
        "waste_rate_percent": w.waste_rate_percent,
        "potential_monthly_savings_usd": to_json::money(w.potential_monthly_savings.as_ref()),
        "by_rule": w.by_rule.iter().map(|r| json!({
            "rule": r.rule, "severity": r.severity, "events": r.events,
            "wasted_tokens": r.wasted_tokens, "wasted_usd": to_json::money(r.wasted_cost.as_ref()),
        })).collect::<Vec<_>>(),
        "tools": w.tools.iter().map(|t| json!({
            "tool": t.tool, "requests": t.requests, "total_tokens": t.total_tokens,
            "wasted_tokens": t.wasted_tokens, "score": t.score,
        })).collect::<Vec<_>>(),
    })
}

fn draw(w: &WasteResponse, screen: &Screen) -> String {
    let summary = format!(
        "{}, {}: {} of {} in {} were wasted ({}), {}. Without that waste the next 30 days would cost \
         {} less.\n",
        screen.bold("Waste"),
        show::clean(&w.period.replace('_', " ")),
        count(w.wasted_tokens),
        counted(w.total_tokens, "token"),
        counted(w.requests, "call"),
        percent(w.waste_rate_percent),
        dollars_or_none(w.wasted_cost.as_ref()),
        dollars_or_none(w.potential_monthly_savings.as_ref()),
    );
    let mut out = screen.fold(&summary, 0);
    if w.by_rule.is_empty() {
        out.push_str("The rules found nothing.\n");
    } else {
        let columns = vec![
            text("Rule", 0),
            text("Severity", 1),
            figures("Events", 0),
            figures("Wasted tokens", 2),
            figures("Cost", 0),
        ];
        let mut table = Table::new(columns);
        for r in &w.by_rule {
            let look = if r.severity == "critical" {
                Look::Critical
            } else {
                Look::Warning
            };
            let cells = vec![
                r.rule.clone(),
                r.severity.clone(),
                count(r.events),
                count(r.wasted_tokens),
                dollars_or_none(r.wasted_cost.as_ref()),
            ];
            table.row(look, cells);
        }
        out.push('\n');
        out.push_str(&table.render(screen));
    }
    if !w.tools.is_empty() {
        let columns = vec![
            text("Tool", 0),
            figures("Requests", 1),
            figures("Total tokens", 2),
            figures("Wasted tokens", 0),
            figures("Score", 0),
        ];
        let mut table = Table::new(columns);
        for t in &w.tools {
            let look = match t.score {
                80.. => Look::Plain,
                50..80 => Look::Warning,
                _ => Look::Critical,
            };
            let name = if t.tool.is_empty() {
                "(none)".to_owned()
            } else {
                t.tool.clone()
            };
            table.row(
                look,
                vec![
                    name,
                    count(t.requests),
                    count(t.total_tokens),
                    count(t.wasted_tokens),
                    t.score.to_string(),
                ],
            );
        }
        out.push('\n');
        out.push_str(&table.render(screen));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use tokmon_client::v1::WasteByRule;

    #[test]
    fn periods_are_spelt_as_in_the_contract() {
        for period in Period::value_variants() {
            let word = period.to_possible_value().unwrap();
            assert_eq!(word.get_name(), period.name());
        }
    }

    #[test]
    fn findings_are_listed() {
        let rule = WasteByRule {
            rule: "read_loop".into(),
            severity: "warning".into(),
            events: 2,
            ..WasteByRule::default()
        };
        let answer = WasteResponse {
            period: "today".into(),
            by_rule: vec![rule],
            waste_rate_percent: 12.34,
            ..WasteResponse::default()
        };
        let text = draw(
            &answer,
            &Screen {
                width: Some(80),
                colour: false,
            },
        );
        assert!(text.contains("read_loop") && text.contains("12.3 %"), "{text}");
        assert_eq!(as_json(&answer)["by_rule"][0]["events"], 2);
    }
}
