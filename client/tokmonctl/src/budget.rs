//! `tokmonctl budget`: limits on what a scope may use in a window, and asking before spending.

mod adjust;
mod apply;
pub(crate) mod claim;
mod lift;
mod session;
mod suggest;

pub(crate) use claim::binding as binding_json;

use clap::Subcommand;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokmon_client::v1::{
    Budget, BudgetState, Filter, GetBudgetRequest, ListBudgetsRequest, Money, RemoveBudgetRequest,
    SetBudgetRequest, TokenWeights,
};

use crate::context::Context;
use crate::dates;
use crate::failure::{Failure, invalid};
use crate::show::number::{NONE, count, dollars, instant, parse_dollars, pico};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// Arguments of `budget`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a budget or replace the one of that name
    Set(Box<Limits>),
    /// All budgets with their state now
    List,
    /// One budget with its state now
    Show {
        /// The budget
        name: String,
    },
    /// Remove a budget; its history stays
    Remove {
        /// The budget
        name: String,
    },
    /// A session's three budgets: a day's, a month's and a hard limit
    Session(session::Args),
    /// Make the budgets those of a TOML file
    Apply(apply::Args),
    /// Raise a limit for a while; without an amount, by as much as it takes
    Lift(lift::Args),
    /// Which limit would have fitted past windows, and how often each would have denied
    Suggest(suggest::Args),
    /// Take back what was lifted, before its time
    Unlift(lift::Back),
    /// Whether something could be reserved now; nothing changes
    Check(Box<claim::Ask>),
    /// Reserve before spending: exit code 0 when granted, 1 when denied
    Reserve(Box<claim::Ask>),
    /// Hold more for an open reservation, or for longer; says the whole of what it shall hold
    Extend(Box<claim::More>),
    /// Record what was used and end the reservation
    Settle(Box<claim::Spent>),
    /// Nothing was used: give back what a reservation holds
    Release {
        /// The reservation
        id: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("limit").required(true).multiple(true).args(["usd", "tokens", "requests"]))]
struct Limits {
    /// Its name: 1 to 64 of a-z, 0-9, dot, underscore, hyphen
    name: String,
    /// What it covers: agent, model, project, session, task, tool, user or provider; may be repeated [default: everything]
    #[arg(long, value_name = "KEY=VALUE", value_parser = scope)]
    scope: Vec<(Key, String)>,
    /// Limit in dollars
    #[arg(long, value_name = "USD", value_parser = parse_dollars, allow_negative_numbers = true)]
    usd: Option<Money>,
    /// Limit in tokens
    #[arg(long, value_name = "N", value_parser = crate::args::from_to::<u64>(1, u64::MAX), allow_negative_numbers = true)]
    tokens: Option<u64>,
    /// Limit in calls
    #[arg(long, value_name = "N", value_parser = crate::args::from_to::<u64>(1, u64::MAX), allow_negative_numbers = true)]
    requests: Option<u64>,
    /// hour, day, week, month, 5h, session, lifetime, or a duration such as 36h
    #[arg(long, value_name = "WINDOW", default_value = "day")]
    window: String,
    /// What happens at the limit: deny refuses reservations
    #[arg(long, value_enum, default_value = "warn")]
    action: Action,
    /// Time zone of the window, e.g. Europe/Berlin [default: the daemon's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Warn from this share on
    #[arg(long, value_name = "PERCENT", default_value = "80", value_parser = crate::args::from_to::<u32>(1, 100), allow_negative_numbers = true)]
    warn: u32,
    /// Critical from this share on
    #[arg(long, value_name = "PERCENT", default_value = "95", value_parser = crate::args::from_to::<u32>(1, 100), allow_negative_numbers = true)]
    critical: u32,
    /// Count these tokens only, in percent: input, output, cache_read, cache_write; may be repeated [default: all 100]
    #[arg(long, value_name = "CLASS=PERCENT", value_parser = weight, conflicts_with = "weighted")]
    weigh: Vec<(usize, u32)>,
    /// Count tokens about as they cost: output 500 %, cache writes 125 %, cache reads 10 %
    #[arg(long)]
    weighted: bool,
    /// Only say what would be refused
    #[arg(long)]
    shadow: bool,
    /// What clients do that cannot reach the daemon: allow or deny
    #[arg(long, value_name = "POLICY", default_value = "allow", value_parser = ["allow", "deny"])]
    unreachable: String,
    /// What becomes of a session that runs away: deny stops it until the budget is lifted for it
    #[arg(long, value_enum, default_value = "warn")]
    on_runaway: Action,
    #[command(flatten)]
    adjust: adjust::Args,
}

const CLASSES: [&str; 4] = ["input", "output", "cache_read", "cache_write"];
/// About what each class costs.
const WEIGHTED: [u32; 4] = [100, 500, 10, 125];

fn weight(text: &str) -> Result<(usize, u32), String> {
    let wrong = || "give CLASS=PERCENT with input, output, cache_read or cache_write as CLASS".to_owned();
    let (name, percent) = text.split_once('=').ok_or_else(wrong)?;
    let class = CLASSES.iter().position(|c| *c == name).ok_or_else(wrong)?;
    Ok((class, percent.parse().map_err(|_| wrong())?))
}

fn weights([input, output, cache_read, cache_write]: [u32; 4]) -> TokenWeights {
    TokenWeights {
        input,
        output,
        cache_read,
        cache_write,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    /// Only keep account
    Observe,
    /// Alert
    Warn,
    /// Refuse further calls
    Deny,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Observe => "observe",
            Action::Warn => "warn",
            Action::Deny => "deny",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Agent,
    Model,
    Project,
    Session,
    Tool,
    User,
    Provider,
    Task,
}

const KEYS: [(&str, Key); 8] = [
    ("agent", Key::Agent),
    ("model", Key::Model),
    ("project", Key::Project),
    ("session", Key::Session),
    ("tool", Key::Tool),
    ("user", Key::User),
    ("provider", Key::Provider),
    ("task", Key::Task),
];

fn scope(text: &str) -> Result<(Key, String), String> {
    let wrong = || {
        "give KEY=VALUE with agent, model, project, session, task, tool, user or provider as KEY".to_owned()
    };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let (_, key) = KEYS.iter().find(|(n, _)| *n == name).ok_or_else(wrong)?;
    if value.is_empty() {
        Err(wrong())
    } else {
        Ok((*key, value.to_owned()))
    }
}

/// `tokmonctl budget`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = match (context.client().await, &args.verb) {
        (Ok(client), _) => client,
        (Err(error), Verb::Check(ask) | Verb::Reserve(ask)) => {
            return claim::unreachable(ask, error, context);
        }
        (Err(error), _) => return Err(error.into()),
    };
    let states = match &args.verb {
        Verb::Apply(args) => return apply::run(args, &client, context).await,
        Verb::Session(args) => return session::run(args, &client, context).await,
        Verb::Suggest(args) => return suggest::run(args, &client, context).await,
        Verb::Check(ask) => return claim::check(ask, &client, context).await,
        Verb::Reserve(ask) => return claim::reserve(ask, &client, context).await,
        Verb::Extend(more) => return claim::extend(more, &client, context).await,
        Verb::Settle(spent) => return claim::settle(spent, &client, context).await,
        Verb::Release { id } => return claim::release(id, &client, context).await,
        Verb::Lift(args) => vec![lift::lift(args, &client).await?],
        Verb::Unlift(args) => vec![lift::unlift(args, &client).await?],
        Verb::Set(limits) => {
            let set = client
                .set_budget(SetBudgetRequest {
                    budget: Some(budget(limits).map_err(invalid)?),
                })
                .await?;
            vec![client.get_budget(GetBudgetRequest { name: set.name }).await?]
        }
        Verb::Show { name } => vec![client.get_budget(GetBudgetRequest { name: name.clone() }).await?],
        Verb::List => client.list_budgets(ListBudgetsRequest {}).await?.budgets,
        Verb::Remove { name } => {
            client
                .remove_budget(RemoveBudgetRequest { name: name.clone() })
                .await?;
            let text = format!("Removed the budget {}; its history stays.\n", show::clean(name));
            return show::print(&if context.json {
                to_json::document(&json!({"removed": name}))
            } else {
                text
            });
        }
    };
    if context.json {
        let all: Vec<Value> = states.iter().map(as_json).collect();
        let list = matches!(args.verb, Verb::List);
        let value = if list {
            json!({ "budgets": all })
        } else {
            all.into_iter().next().unwrap_or_default()
        };
        return show::print(&to_json::document(&value));
    }
    let zone = dates::daemon_zone(&client).await?;
    show::print(&draw(&states, &zone, &context.screen()))
}

fn budget(limits: &Limits) -> Result<Budget, String> {
    let (mut filter, mut tasks) = Default::default();
    for (key, value) in &limits.scope {
        key.list(&mut filter, &mut tasks).push(value.clone());
    }
    Ok(Budget {
        tasks,
        name: limits.name.clone(),
        scope: (filter != Filter::default()).then_some(filter),
        limit_tokens: limits.tokens.unwrap_or_default(),
        limit_usd: limits.usd,
        limit_requests: limits.requests.unwrap_or_default(),
        window: limits.window.clone(),
        timezone: limits.timezone.clone().unwrap_or_default(),
        warn_percent: limits.warn,
        critical_percent: limits.critical,
        action: limits.action.name().to_owned(),
        weights: if limits.weighted {
            Some(weights(WEIGHTED))
        } else if limits.weigh.is_empty() {
            None
        } else {
            let mut all = [0; 4];
            limits
                .weigh
                .iter()
                .for_each(|(class, percent)| all[*class] = *percent);
            Some(weights(all))
        },
        shadow: limits.shadow,
        unreachable: limits.unreachable.clone(),
        on_runaway: limits.on_runaway.name().to_owned(),
        adjust: limits.adjust.rule(limits.usd.is_some())?,
    })
}

fn scopes(budget: &Budget) -> Vec<(&'static str, Vec<String>)> {
    let f = budget.scope.clone().unwrap_or_default();
    let all = [
        ("agent", f.agents),
        ("model", f.models),
        ("project", f.projects),
        ("session", f.sessions),
        ("tool", f.tools),
        ("user", f.users),
        ("provider", f.providers),
        ("task", budget.tasks.clone()),
    ];
    all.into_iter().filter(|(_, values)| !values.is_empty()).collect()
}

fn as_json(s: &BudgetState) -> Value {
    let b = s.budget.clone().unwrap_or_default();
    let scope: serde_json::Map<String, Value> = scopes(&b)
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.into()))
        .collect();
    let limit = |n: u64| if n == 0 { Value::Null } else { n.into() };
    let weights = b.weights.map_or(Value::Null, |w| {
        json!({"input": w.input, "output": w.output, "cache_read": w.cache_read, "cache_write": w.cache_write})
    });
    json!({
        "weights": weights, "shadow": b.shadow, "unreachable": b.unreachable,
        "on_runaway": b.on_runaway, "adjust": adjust::as_json(&b), "stops": s.stops.iter().map(lift::stop_json).collect::<Vec<_>>(),
        "pending_tokens": s.pending_tokens, "pending_usd": to_json::money(s.pending_usd.as_ref()),
        "pending_requests": s.pending_requests, "overdraft_tokens": s.overdraft_tokens,
        "overdraft_usd": to_json::money(s.overdraft_usd.as_ref()), "overdraft_requests": s.overdraft_requests,
        "name": b.name, "scope": scope, "limit_tokens": limit(b.limit_tokens),
        "limit_usd": to_json::money(b.limit_usd.as_ref().filter(|m| pico(m) != 0)),
        "limit_requests": limit(b.limit_requests), "window": b.window, "timezone": b.timezone,
        "warn_percent": b.warn_percent, "critical_percent": b.critical_percent, "action": b.action,
        "used_tokens": s.used_tokens, "used_usd": to_json::money(s.used_usd.as_ref()),
        "used_requests": s.used_requests, "percent": s.percent, "state": s.state,
        "window_start": to_json::time(s.window_start_ms), "resets_at": to_json::time(s.resets_at_ms),
        "lifts": s.lifts.iter().map(lift::as_json).collect::<Vec<_>>(),
    })
}

fn draw(states: &[BudgetState], zone: &TimeZone, screen: &Screen) -> String {
    if states.is_empty() {
        return "No budgets. Set one with `tokmonctl budget set NAME --usd 20 --window day`.\n".to_owned();
    }
    let mut table = Table::new(vec![
        text("Budget", 0),
        text("State", 0),
        figures("Used", 0),
        text("Amounts", 1),
        text("Window", 3),
        text("Resets", 4),
        text("Action", 5),
        text("Scope", 2),
    ]);
    for s in states {
        let b = s.budget.clone().unwrap_or_default();
        let look = match s.state.as_str() {
            "ok" => Look::Good,
            "warn" => Look::Warning,
            _ => Look::Critical,
        };
        let scope: Vec<String> = scopes(&b)
            .into_iter()
            .map(|(k, v)| format!("{k}={}", v.join(",")))
            .collect();
        let scope = if scope.is_empty() {
            "everything".to_owned()
        } else {
            scope.join(" ")
        };
        let resets = if s.resets_at_ms == 0 {
            NONE.to_owned()
        } else {
            instant(s.resets_at_ms, zone)
        };
        let used = format!("{} %", s.percent);
        table.row(
            look,
            vec![
                b.name.clone(),
                s.state.clone(),
                used,
                amounts(s, &b),
                b.window,
                resets,
                b.action,
                scope,
            ],
        );
    }
    let mut out = table.render(screen);
    for s in states {
        let name = s.budget.as_ref().map_or("", |b| b.name.as_str());
        if let Some(line) = s.budget.as_ref().and_then(adjust::line) {
            out.push_str(&screen.fold(&format!("{}\n", show::clean(&line)), 2));
        }
        for lifted in &s.lifts {
            out.push_str(&screen.fold(&lift::line(name, lifted, zone), 2));
        }
        for stop in &s.stops {
            out.push_str(&screen.fold(&lift::stop_line(name, stop, zone), 2));
        }
    }
    out
}

fn amounts(s: &BudgetState, b: &Budget) -> String {
    let mut parts = Vec::new();
    let held = |any: bool, held: String| {
        if any {
            format!(" and {held} held")
        } else {
            String::new()
        }
    };
    if let Some(limit) = b.limit_usd.as_ref().map(pico).filter(|p| *p != 0) {
        let pending = s.pending_usd.as_ref().map_or(0, pico);
        let used = dollars(s.used_usd.as_ref().map_or(0, pico));
        let held = held(pending != 0, dollars(pending));
        parts.push(format!("{used}{held} of {}", dollars(limit)));
    }
    for (limit, used, pending, unit) in [
        (b.limit_tokens, s.used_tokens, s.pending_tokens, "tokens"),
        (b.limit_requests, s.used_requests, s.pending_requests, "calls"),
    ] {
        if limit > 0 {
            let held = held(pending > 0, count(pending));
            parts.push(format!("{}{held} of {} {unit}", count(used), count(limit)));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read() {
        assert_eq!(scope("agent=codex"), Ok((Key::Agent, "codex".to_owned())));
        assert_eq!(scope("project=/a=b"), Ok((Key::Project, "/a=b".to_owned())));
        for text in ["agent", "agent=", "colour=red", "=x"] {
            assert!(scope(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_state_is_shown_with_its_limits() {
        let budget = Budget {
            name: "day".into(),
            limit_tokens: 1_000_000,
            window: "day".into(),
            action: "warn".into(),
            ..Budget::default()
        };
        let state = BudgetState {
            budget: Some(budget),
            used_tokens: 850_000,
            percent: 85,
            state: "warn".into(),
            ..BudgetState::default()
        };
        let value = as_json(&state);
        assert_eq!(
            (value["percent"].as_u64(), value["limit_usd"].is_null()),
            (Some(85), true)
        );
        let text = draw(
            &[state],
            &TimeZone::UTC,
            &Screen {
                width: Some(120),
                colour: false,
            },
        );
        assert!(
            text.contains("85 %")
                && text.contains("850,000 of 1,000,000 tokens")
                && text.contains("everything"),
            "{text}"
        );
    }
}
