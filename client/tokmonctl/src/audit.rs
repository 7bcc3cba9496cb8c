//! `tokmonctl audit`: who did or decided what, when and why.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{Act, ListAuditRequest};

use crate::anonymize::Veiled;
use crate::context::Context;
use crate::dates::Span;
use crate::failure::Failure;
use crate::ledger;
use crate::show::number::{NONE, instant};
use crate::show::table::{Look, Table, id, text};
use crate::show::{self, Screen, json as to_json};

/// Acts of one page of an export: the most that the daemon gives.
const EXPORT_PAGE: u32 = 1_000;

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
    /// Everything that fits as one JSON object per line, the newest first
    Export(Export),
    /// Check the hash chain: whether an entry was changed, removed or added afterwards
    Verify,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct List {
    #[command(flatten)]
    what: Chosen,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value = "50", value_parser = crate::args::from_to::<u32>(1, 1000), allow_negative_numbers = true)]
    limit: u32,
    /// Where to go on, from the answer before
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page: String,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct Chosen {
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
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    what: Chosen,
    #[command(flatten)]
    veiled: Veiled,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file when it exists
    #[arg(long, requires = "output")]
    force: bool,
}

impl Chosen {
    async fn request(&self, client: &Client) -> Result<ListAuditRequest, Failure> {
        Ok(ListAuditRequest {
            window: self.span.window(client).await?,
            budgets: self.budget.clone(),
            sessions: self.session.clone(),
            agents: self.agent.clone(),
            decisions: self.decision.clone(),
            ..ListAuditRequest::default()
        })
    }
}

/// `tokmonctl audit`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    match &args.verb {
        None => list(&args.list, &client, context).await,
        Some(Verb::List(args)) => list(args, &client, context).await,
        Some(Verb::Export(args)) => export(args, &client, context).await,
        Some(Verb::Verify) => ledger::verify(&client, String::new(), context).await,
    }
}

async fn list(args: &List, client: &Client, context: &Context) -> Result<(), Failure> {
    let request = ListAuditRequest {
        page_size: args.limit,
        page_token: args.page.clone(),
        ..args.what.request(client).await?
    };
    let answer = client.list_audit(request).await?;
    if context.json {
        let acts: Vec<Value> = answer.acts.iter().map(as_json).collect();
        let value = json!({"acts": acts, "next_page": answer.next_page_token});
        return show::print(&to_json::document(&value));
    }
    if answer.acts.is_empty() {
        return show::print("Nothing was decided or changed in this span.\n");
    }
    let zone = args.what.span.zone(client).await?;
    let mut out = draw(&answer.acts, &zone, &context.screen());
    if !answer.next_page_token.is_empty() {
        let token = show::clean(&answer.next_page_token);
        out.push_str(&format!("More: repeat with --page {token}\n"));
    }
    show::print(&out)
}

async fn export(args: &Export, client: &Client, context: &Context) -> Result<(), Failure> {
    let mut request = ListAuditRequest {
        page_size: EXPORT_PAGE,
        anonymize: args.veiled.wish()?,
        ..args.what.request(client).await?
    };
    let (mut out, mut count) = (String::new(), 0_u64);
    let file = args.output.as_ref().filter(|file| file.as_os_str() != "-");
    loop {
        let answer = client.list_audit(request.clone()).await?;
        for act in &answer.acts {
            out.push_str(&to_json::line(&as_json(act)));
            count += 1;
        }
        if file.is_none() {
            show::print(&std::mem::take(&mut out))?;
        }
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    let Some(file) = file else { return Ok(()) };
    crate::export::write(file, &out, args.force)?;
    if context.json {
        return show::print(&to_json::document(&json!({"file": file, "acts": count})));
    }
    show::print(&format!("Wrote {count} acts to {}.\n", file.display()))
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
        text("Budget", 2),
        text("Agent", 4),
        id("Session", 3),
        text("What", 0),
        text("By", 1),
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
