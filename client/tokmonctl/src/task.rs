//! `tokmonctl task`: shares of a session's budgets, kept for tasks until they are complete.

use clap::Subcommand;
use serde_json::{Value, json};
use tokmon_client::v1::{
    AllocateTaskRequest, CompleteTaskRequest, GetTaskRequest, ListTasksRequest, Money, Task,
};

use crate::budget::claim;
use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, dollars, parse_dollars, pico};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// Arguments of `task`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keep a share of the session's budgets for a task: exit code 0 when granted, 1 when there is no room
    Allocate(Share),
    /// Open tasks with what they used and what is kept for them
    List {
        /// Of this session [default: of all]
        session: Option<String>,
        /// Completed ones too
        #[arg(long)]
        all: bool,
    },
    /// One task
    Show {
        /// The session
        session: String,
        /// The task
        task: String,
    },
    /// The task is done: what it did not use goes back
    Complete {
        /// The session
        session: String,
        /// The task
        task: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("share").required(true).multiple(true).args(["tokens", "usd"]))]
struct Share {
    /// The session; it needs a budget that denies, see `tokmonctl budget session`
    session: String,
    /// The task
    task: String,
    /// Tokens of any kind
    #[arg(long, value_name = "N", value_parser = crate::args::from_to::<u64>(1, u64::MAX), allow_negative_numbers = true)]
    tokens: Option<u64>,
    /// Dollars
    #[arg(long, value_name = "USD", value_parser = parse_dollars, allow_negative_numbers = true)]
    usd: Option<Money>,
    /// low, normal, high, or 0 to 9: the higher one goes first
    #[arg(long, value_name = "PRIORITY", default_value = "normal", value_parser = priority)]
    priority: u32,
    /// The session's agent
    #[arg(long, value_name = "NAME", default_value = "api")]
    agent: String,
}

fn priority(text: &str) -> Result<u32, String> {
    match text {
        "low" => Ok(2),
        "normal" => Ok(5),
        "high" => Ok(8),
        number => {
            let number = number.parse::<u32>().ok().filter(|n| *n <= 9);
            number.ok_or_else(|| "allowed is low, normal, high, or 0 to 9".to_owned())
        }
    }
}

/// `tokmonctl task`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let task = match &args.verb {
        Verb::Allocate(share) => return allocate(share, context).await,
        Verb::List { session, all } => {
            let request = ListTasksRequest {
                session: session.clone().unwrap_or_default(),
                completed: *all,
            };
            let tasks = client.list_tasks(request).await?.tasks;
            if context.json {
                let tasks: Vec<Value> = tasks.iter().map(as_json).collect();
                return show::print(&to_json::document(&json!({ "tasks": tasks })));
            }
            return show::print(&draw(&tasks, &context.screen()));
        }
        Verb::Show { session, task } => {
            let (session, task) = (session.clone(), task.clone());
            client.get_task(GetTaskRequest { session, task }).await?
        }
        Verb::Complete { session, task } => {
            let (session, task) = (session.clone(), task.clone());
            client
                .complete_task(CompleteTaskRequest { session, task })
                .await?
        }
    };
    if context.json {
        return show::print(&to_json::document(&as_json(&task)));
    }
    show::print(&draw(&[task], &context.screen()))
}

async fn allocate(share: &Share, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let answer = client
        .allocate_task(AllocateTaskRequest {
            agent: share.agent.clone(),
            session: share.session.clone(),
            task: share.task.clone(),
            priority: share.priority,
            tokens: share.tokens.unwrap_or_default(),
            usd: share.usd,
        })
        .await?;
    if context.json {
        show::print(&to_json::document(&json!({
            "granted": answer.granted,
            "reason": Some(&answer.reason).filter(|reason| !reason.is_empty()),
            "task": answer.task.as_ref().map(as_json),
            "binding": answer.binding.as_ref().map(claim::binding),
        })))?;
    } else if let Some(binding) = answer.binding.as_ref().filter(|_| !answer.granted) {
        let words = claim::room(binding);
        let words = show::clean(&words);
        show::print(&format!("{}\n{words}\n", claim::denied(&answer.reason)))?;
    } else {
        let tasks: Vec<Task> = answer.task.into_iter().collect();
        show::print(&draw(&tasks, &context.screen()))?;
    }
    if answer.granted {
        Ok(())
    } else {
        Err(Failure::Denied)
    }
}

fn as_json(t: &Task) -> Value {
    let usd = |money: &Option<Money>| to_json::money(money.as_ref());
    json!({
        "agent": t.agent, "session": t.session, "task": t.task, "priority": t.priority, "state": t.state,
        "allocated_tokens": t.allocated_tokens, "allocated_usd": usd(&t.allocated_usd),
        "used_tokens": t.used_tokens, "used_usd": usd(&t.used_usd), "used_requests": t.used_requests,
        "pending_tokens": t.pending_tokens, "pending_usd": usd(&t.pending_usd),
        "left_tokens": t.left_tokens, "left_usd": usd(&t.left_usd),
        "allocated_at": to_json::time(t.allocated_at_ms), "completed_at": to_json::time(t.completed_at_ms),
    })
}

fn draw(tasks: &[Task], screen: &Screen) -> String {
    if tasks.is_empty() {
        return "No open tasks. Keep a share for one with `tokmonctl task allocate SESSION TASK --tokens N`.\n"
            .to_owned();
    }
    let mut table = Table::new(vec![
        text("Task", 0),
        text("Session", 1),
        text("State", 2),
        figures("Priority", 2),
        figures("Allocated", 0),
        figures("Used", 0),
        figures("Left", 0),
    ]);
    for t in tasks {
        let amount = |tokens: u64, usd: &Option<Money>| {
            let in_money = t.allocated_usd.as_ref().map_or(0, pico) != 0;
            let money = in_money.then(|| dollars(usd.as_ref().map_or(0, pico)));
            let tokens = (t.allocated_tokens > 0).then(|| count(tokens));
            [tokens, money]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ")
        };
        let cells = vec![
            t.task.clone(),
            t.session.clone(),
            t.state.clone(),
            t.priority.to_string(),
            amount(t.allocated_tokens, &t.allocated_usd),
            amount(t.used_tokens, &t.used_usd),
            amount(t.left_tokens, &t.left_usd),
        ];
        table.row(Look::Plain, cells);
    }
    table.render(screen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_words_or_numbers() {
        assert_eq!(priority("low"), Ok(2));
        assert_eq!(priority("9"), Ok(9));
        for wrong in ["10", "-1", "urgent", ""] {
            assert!(priority(wrong).is_err(), "{wrong}");
        }
    }
}
