//! `tokmonctl budget session`: the three budgets of one session.

use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{
    BudgetState, GetSessionBudgetRequest, RemoveBudgetRequest, SessionBudget, SetSessionBudgetRequest,
};

use super::{as_json, draw};
use crate::context::Context;
use crate::dates;
use crate::failure::Failure;
use crate::show::{self, json as to_json};

/// Arguments of `budget session`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The session's id
    session: String,
    /// Tokens in a day
    #[arg(long, value_name = "N", value_parser = crate::args::from_to::<u64>(1, u64::MAX), allow_negative_numbers = true)]
    daily: Option<u64>,
    /// Tokens in a month
    #[arg(long, value_name = "N", value_parser = crate::args::from_to::<u64>(1, u64::MAX), allow_negative_numbers = true)]
    monthly: Option<u64>,
    /// Tokens ever
    #[arg(long, value_name = "N", value_parser = crate::args::from_to::<u64>(1, u64::MAX), allow_negative_numbers = true)]
    hard: Option<u64>,
    /// Create them with the usual limits: 10,000 a day, 300,000 a month, 1,000,000 ever
    #[arg(long)]
    create: bool,
    /// Time zone of day and month [default: the daemon's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// What clients do that cannot reach the daemon: allow or deny
    #[arg(long, value_name = "POLICY", default_value = "allow", value_parser = ["allow", "deny"])]
    unreachable: String,
    /// Remove them; their history stays
    #[arg(long, conflicts_with_all = ["daily", "monthly", "hard", "create"])]
    remove: bool,
}

/// `tokmonctl budget session`: without a limit and without `--create`, shows them.
pub(super) async fn run(args: &Args, client: &Client, context: &Context) -> Result<(), Failure> {
    let limits = [args.daily, args.monthly, args.hard];
    let [daily_tokens, monthly_tokens, hard_tokens] = limits.map(Option::unwrap_or_default);
    let answer = if args.create || limits.iter().any(Option::is_some) {
        let request = SetSessionBudgetRequest {
            session: args.session.clone(),
            daily_tokens,
            monthly_tokens,
            hard_tokens,
            timezone: args.timezone.clone().unwrap_or_default(),
            unreachable: args.unreachable.clone(),
        };
        client.set_session_budget(request).await?
    } else {
        let session = args.session.clone();
        client
            .get_session_budget(GetSessionBudgetRequest { session })
            .await?
    };
    if args.remove {
        return remove(&answer, client, context).await;
    }
    if context.json {
        let state = |state: &Option<BudgetState>| state.as_ref().map(as_json);
        return show::print(&to_json::document(&json!({
            "session": answer.session, "daily": state(&answer.daily),
            "monthly": state(&answer.monthly), "hard": state(&answer.hard),
        })));
    }
    let zone = dates::daemon_zone(client).await?;
    show::print(&draw(&states(answer), &zone, &context.screen()))
}

fn states(answer: SessionBudget) -> Vec<BudgetState> {
    [answer.daily, answer.monthly, answer.hard]
        .into_iter()
        .flatten()
        .collect()
}

async fn remove(answer: &SessionBudget, client: &Client, context: &Context) -> Result<(), Failure> {
    let mut removed = Vec::new();
    for state in states(answer.clone()) {
        let name = state.budget.unwrap_or_default().name;
        client
            .remove_budget(RemoveBudgetRequest { name: name.clone() })
            .await?;
        removed.push(name);
    }
    if context.json {
        return show::print(&to_json::document(&json!({ "removed": Value::from(removed) })));
    }
    let names = removed.join(", ");
    show::print(&format!(
        "Removed {}; their history stays.\n",
        show::clean(&names)
    ))
}
