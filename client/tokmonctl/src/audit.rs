//! `tokmonctl audit`: who did or decided what, when and why.

use clap::Subcommand;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{Act, ListAuditRequest};

use crate::context::Context;
use crate::dates::Span;
use crate::failure::Failure;
use crate::ledger;
use crate::show::number::{NONE, instant};
use crate::show::table::{Look, Table, id, text};
use crate::show::{self, Screen, json as to_json};

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Decisions and changes, the newest first [the default]
    List(List),
    /// Check the hash chain: whether an entry was changed, removed or added afterwards
    Verify,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct List {
    #[command(flatten)]
    span: Span,
    /// Only what this budget decided or what was done to it; may be repeated
    #[arg(long, value_name = "NAME")]
    budget: Vec<String>,
    /// Only this session; may be repeated
    #[arg(long, value_name = "ID")]
    session: Vec<String>,
    /// Only this agent; may be repeated
    #[arg(long, value_name = "NAME")]
    agent: Vec<String>,
    /// Only this kind, e.g. granted, denied, budget_set or alert; may be repeated
    #[arg(long, value_name = "KIND")]
    decision: Vec<String>,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value = "50", value_parser = crate::args::from_to::<u32>(1, 1000), allow_negative_numbers = true)]
    limit: u32,
    /// Where to go on, from the answer before
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page: String,
}

impl List {
    async fn request(&self, client: &Client) -> Result<ListAuditRequest, Failure> {
        Ok(ListAuditRequest {
            window: self.span.window(client).await?,
            budgets: self.budget.clone(),
            sessions: self.session.clone(),
            agents: self.agent.clone(),
            decisions: self.decision.clone(),
            page_size: self.limit,
            page_token: self.page.clone(),
        })
    }
}

/// `tokmonctl audit`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match &args.verb {
        None => list(&args.list, &client, context).await,
        Some(Verb::List(args)) => list(args, &client, context).await,
        Some(Verb::Verify) => ledger::verify(&client, String::new(), context).await,
    }
}

async fn list(args: &List, client: &Client, context: &Context) -> Result<(), Failure> {
    let answer = client.list_audit(args.request(client).await?).await?;
    if context.json {
        let acts: Vec<Value> = answer.acts.iter().map(as_json).collect();
        let value = json!({"acts": acts, "next_page": answer.next_page_token});
        return show::print(&to_json::document(&value));
    }
    if answer.acts.is_empty() {
        return show::print("Nothing was decided or changed in this span.\n");
    }
    let zone = args.span.zone(client).await?;
    let mut out = draw(&answer.acts, &zone, &context.screen());
    if !answer.next_page_token.is_empty() {
        let token = show::clean(&answer.next_page_token);
        out.push_str(&format!("More: repeat with --page {token}\n"));
    }
    show::print(&out)
}

/// An act for programs. What is not known or means nothing is null.
fn as_json(act: &Act) -> Value {
    let named = |name: &str| if name.is_empty() { Value::Null } else { name.into() };
    let by = act.by.as_ref().map_or(
        Value::Null,
        |by| json!({"user": named(&by.user), "client": named(&by.client), "pid": by.pid}),
    );
    json!({
        "seq": act.seq, "at": to_json::time(act.at_ms), "decision": act.decision, "by": by,
        "agent": named(&act.agent), "session": named(&act.session), "task": named(&act.task),
        "project": named(&act.project), "user": named(&act.user), "tool": named(&act.tool),
        "provider": named(&act.provider), "model": named(&act.model),
        "budget": named(&act.budget), "binding": binding(act), "reservation": named(&act.reservation),
        "usage": act.usage.as_ref().map_or(Value::Null, to_json::tokens),
        "tokens": act.tokens, "usd": to_json::money(act.usd.as_ref()), "requests": act.requests,
        "would_deny": act.would_deny, "until": to_json::time(act.until_ms),
        "subject": named(&act.subject), "reason": named(&act.reason), "text": act.text,
        "count": act.count, "times": act.times,
    })
}

fn binding(act: &Act) -> Value {
    act.binding
        .as_ref()
        .map_or(Value::Null, crate::budget::binding_json)
}

fn draw(acts: &[Act], zone: &TimeZone, screen: &Screen) -> String {
    let mut table = Table::new(vec![
        text("When", 0),
        text("Decision", 0),
        text("Budget", 1),
        text("Agent", 3),
        id("Session", 2),
        text("What", 0),
        text("By", 4),
    ]);
    for act in acts {
        let look = match act.decision.as_str() {
            "granted" | "extended" => Look::Good,
            "denied" | "runaway" => Look::Critical,
            "alert" | "expired" => Look::Warning,
            _ => Look::Plain,
        };
        let by = act.by.as_ref().map_or(NONE.to_owned(), |by| {
            let program = by.client.split(' ').next().unwrap_or_default();
            format!("{} {program} {}", by.user, by.pid)
        });
        let what = match act.reason.as_str() {
            "" => act.text.clone(),
            reason => format!("{} – {reason}", act.text),
        };
        table.row(
            look,
            vec![
                instant(act.at_ms, zone),
                act.decision.replace('_', " "),
                act.budget.clone(),
                act.agent.clone(),
                act.session.clone(),
                what,
                by,
            ],
        );
    }
    table.render(screen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::Actor;

    fn act() -> Act {
        Act {
            seq: 9,
            at_ms: 1_763_629_200_000,
            decision: "budget_lifted".into(),
            by: Some(Actor {
                user: "me".into(),
                client: "tokmonctl 0.1.0".into(),
                pid: 42,
            }),
            budget: "day".into(),
            text: "by as much as it takes".into(),
            ..Act::default()
        }
    }

    #[test]
    fn tables_fit() {
        for width in [60, 80, 120] {
            let screen = Screen {
                width: Some(width),
                colour: false,
            };
            let out = draw(&[act()], &TimeZone::UTC, &screen);
            assert!(
                out.lines().all(|l| l.chars().count() <= usize::from(width)),
                "{width}:\n{out}"
            );
            assert!(
                out.contains("budget lifted") && out.contains("as much as it takes"),
                "{out}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_null() {
        let value = as_json(&act());
        assert_eq!(value["by"]["client"], "tokmonctl 0.1.0");
        assert!(value["session"].is_null() && value["binding"].is_null() && value["until"].is_null());
    }
}
