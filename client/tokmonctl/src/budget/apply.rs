//! `tokmonctl budget apply`: the budgets of a file, and what would change.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{Budget, Filter, ListBudgetsRequest, Money, RemoveBudgetRequest, SetBudgetRequest};
use toml_edit::{DocumentMut, Item, TableLike};

use super::{CLASSES, KEYS, Key, adjust, as_json, weights};
use crate::context::Context;
use crate::failure::{Failure, invalid};
use crate::show::number::{parse_dollars, pico};
use crate::show::{self, json as to_json};

/// Arguments of `budget apply`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file with a table [budget.NAME] for each budget
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Also remove budgets that the file does not have
    #[arg(long)]
    prune: bool,
}

/// What becomes of one budget.
#[derive(Debug, PartialEq)]
enum Change {
    Create(Budget),
    Alter(Budget, Vec<String>),
    Keep(String),
    Remove(String),
}

/// `tokmonctl budget apply`.
pub(super) async fn run(args: &Args, client: &Client, context: &Context) -> Result<(), Failure> {
    let text =
        std::fs::read_to_string(&args.file).map_err(|e| Failure::io("read", args.file.display(), &e))?;
    // All of it is read before anything is changed.
    let wanted = read(&text).map_err(|why| invalid(format!("{}: {why}", args.file.display())))?;
    let present = client.list_budgets(ListBudgetsRequest {}).await?.budgets;
    let present = present.into_iter().filter_map(|state| state.budget).collect();
    let changes = changes(wanted, present, args.prune);
    if !args.dry_run {
        for change in &changes {
            match change {
                Change::Create(budget) | Change::Alter(budget, _) => {
                    let budget = Some(budget.clone());
                    client.set_budget(SetBudgetRequest { budget }).await?;
                }
                Change::Remove(name) => {
                    let name = name.clone();
                    client.remove_budget(RemoveBudgetRequest { name }).await?;
                }
                Change::Keep(_) => {}
            }
        }
    }
    if context.json {
        let all: Vec<Value> = changes.iter().map(change_json).collect();
        return show::print(&to_json::document(
            &json!({"dry_run": args.dry_run, "changes": all}),
        ));
    }
    let lines: String = changes.iter().map(line).collect();
    show::print(if lines.is_empty() { "No budgets.\n" } else { &lines })
}

fn change_json(change: &Change) -> Value {
    let (what, name, fields) = match change {
        Change::Create(budget) => ("create", &budget.name, &[][..]),
        Change::Alter(budget, fields) => ("change", &budget.name, &fields[..]),
        Change::Keep(name) => ("keep", name, &[][..]),
        Change::Remove(name) => ("remove", name, &[][..]),
    };
    json!({"change": what, "budget": name, "fields": fields})
}

fn line(change: &Change) -> String {
    let text = match change {
        Change::Create(budget) => format!("+ {}", budget.name),
        Change::Alter(budget, fields) => format!("~ {}: {}", budget.name, fields.join(", ")),
        Change::Keep(name) => format!("= {name}"),
        Change::Remove(name) => format!("- {name}"),
    };
    format!("{}\n", show::clean(&text))
}

fn changes(wanted: Vec<Budget>, present: Vec<Budget>, prune: bool) -> Vec<Change> {
    let mut changes = Vec::new();
    for budget in &wanted {
        let Some(former) = present.iter().find(|p| p.name == budget.name) else {
            changes.push(Change::Create(budget.clone()));
            continue;
        };
        let fields = differences(former, budget);
        changes.push(if fields.is_empty() {
            Change::Keep(budget.name.clone())
        } else {
            Change::Alter(budget.clone(), fields)
        });
    }
    for former in present.iter().filter(|_| prune) {
        if wanted.iter().all(|w| w.name != former.name) {
            changes.push(Change::Remove(former.name.clone()));
        }
    }
    changes
}

/// "field: old → new" for what differs.
fn differences(former: &Budget, budget: &Budget) -> Vec<String> {
    let terms = |budget: &Budget| {
        let state = tokmon_client::v1::BudgetState {
            budget: Some(adjust::as_set(budget)),
            ..Default::default()
        };
        as_json(&state)
    };
    let (old, new) = (terms(former), terms(budget));
    let fields = new.as_object().into_iter().flatten();
    fields
        .filter(|(key, value)| old[key.as_str()] != **value)
        .map(|(key, value)| format!("{key} {} → {value}", old[key.as_str()]))
        .collect()
}

/// The budgets of a file, with the daemon's defaults filled in.
fn read(text: &str) -> Result<Vec<Budget>, String> {
    let document: DocumentMut = text.parse().map_err(|e| format!("{e}"))?;
    let mut budgets = Vec::new();
    for (key, item) in document.iter() {
        if key != "budget" {
            return Err(format!("`{key}` is not known; give tables [budget.NAME]"));
        }
        let table = item
            .as_table_like()
            .ok_or("`budget` is not a table; give tables [budget.NAME]")?;
        for (name, item) in table.iter() {
            let table = item
                .as_table_like()
                .ok_or_else(|| format!("[budget.{name}] is not a table"))?;
            budgets.push(budget(name, table).map_err(|why| format!("[budget.{name}]: {why}"))?);
        }
    }
    Ok(budgets)
}

fn budget(name: &str, table: &dyn TableLike) -> Result<Budget, String> {
    let mut budget = Budget {
        name: name.to_owned(),
        window: "day".to_owned(),
        action: "warn".to_owned(),
        unreachable: "allow".to_owned(),
        on_runaway: "warn".to_owned(),
        ..Budget::default()
    };
    for (key, item) in table.iter() {
        let text = || {
            let text = item.as_str().ok_or_else(|| format!("{key} is not a text"))?;
            Ok::<_, String>(text.to_owned())
        };
        let whole = || {
            let number = item.as_integer().and_then(|n| u64::try_from(n).ok());
            number.ok_or_else(|| format!("{key} is not a whole number from 0 on"))
        };
        let percent = || u32::try_from(whole()?).map_err(|_| format!("{key} is not a percentage"));
        match key {
            "tokens" => budget.limit_tokens = whole()?,
            "requests" => budget.limit_requests = whole()?,
            "usd" => budget.limit_usd = Some(money(item)?).filter(|m| pico(m) != 0),
            "window" => budget.window = window(&text()?),
            "timezone" => budget.timezone = text()?,
            "action" => budget.action = text()?,
            "warn" => budget.warn_percent = percent()?,
            "critical" => budget.critical_percent = percent()?,
            "unreachable" => budget.unreachable = text()?,
            "on_runaway" => budget.on_runaway = text()?,
            "adjust" => budget.adjust = Some(adjust::in_file(item, table.contains_key("usd"))?),
            "shadow" => budget.shadow = item.as_bool().ok_or("shadow is not true or false")?,
            "scope" => {
                let (filter, tasks) = scope(item)?;
                budget.scope = Some(filter).filter(|f| *f != Filter::default());
                budget.tasks = tasks;
            }
            "weights" => budget.weights = Some(weights(classes(item)?)),
            other => return Err(format!("`{other}` is not known")),
        }
    }
    if budget.warn_percent == 0 {
        budget.warn_percent = 80;
    }
    if budget.critical_percent == 0 {
        budget.critical_percent = budget.warn_percent.max(95);
    }
    budget.weights = budget.weights.filter(|w| *w != weights([100; 4]));
    Ok(budget)
}

/// The daemon keeps durations in hours.
fn window(text: &str) -> String {
    let (rolling, length) = match text.strip_prefix("rolling:") {
        Some(length) => ("rolling:", length),
        None => ("", text),
    };
    let days = length.strip_suffix('d').and_then(|n| n.parse::<u32>().ok());
    match days.and_then(|days| days.checked_mul(24)) {
        Some(hours) => format!("{rolling}{hours}h"),
        None => text.to_owned(),
    }
}

fn money(item: &Item) -> Result<Money, String> {
    let text = match (item.as_str(), item.as_integer(), item.as_float()) {
        (Some(text), ..) => text.to_owned(),
        (_, Some(whole), _) => whole.to_string(),
        // As it is written: a decimal number is exact only as text.
        (.., Some(_)) => item.to_string().trim().to_owned(),
        _ => return Err("usd is not an amount".to_owned()),
    };
    parse_dollars(&text)
}

fn scope(item: &Item) -> Result<(Filter, Vec<String>), String> {
    let (mut filter, mut tasks) = Default::default();
    let table = item.as_table_like().ok_or("scope is not a table")?;
    for (name, item) in table.iter() {
        let (_, key) = KEYS
            .iter()
            .find(|(n, _)| *n == name)
            .ok_or_else(|| format!("scope.{name} is not known"))?;
        let wrong = || format!("scope.{name} is not a text or a list of texts");
        let values: Vec<String> = match (item.as_str(), item.as_array()) {
            (Some(one), _) => vec![one.to_owned()],
            (_, Some(many)) => many
                .iter()
                .map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect::<Result<_, _>>()?,
            _ => return Err(wrong()),
        };
        key.list(&mut filter, &mut tasks).extend(values);
    }
    Ok((filter, tasks))
}

fn classes(item: &Item) -> Result<[u32; 4], String> {
    let mut all = [0; 4];
    let table = item.as_table_like().ok_or("weights is not a table")?;
    for (name, item) in table.iter() {
        let class = CLASSES.iter().position(|c| *c == name);
        let class = class.ok_or_else(|| format!("weights.{name} is not known"))?;
        let percent = item.as_integer().and_then(|n| u32::try_from(n).ok());
        all[class] = percent.ok_or_else(|| format!("weights.{name} is not a percentage"))?;
    }
    Ok(all)
}

impl Key {
    pub(super) fn list<'a>(self, filter: &'a mut Filter, tasks: &'a mut Vec<String>) -> &'a mut Vec<String> {
        match self {
            Key::Task => tasks,
            Key::Agent => &mut filter.agents,
            Key::Model => &mut filter.models,
            Key::Project => &mut filter.projects,
            Key::Session => &mut filter.sessions,
            Key::Tool => &mut filter.tools,
            Key::User => &mut filter.users,
            Key::Provider => &mut filter.providers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_compared() {
        let wanted = read(
            "[budget.daily]\nusd = 2.50\nwindow = \"7d\"\naction = \"deny\"\n\
             [budget.codex]\ntokens = 1000\nscope = { agent = \"codex\", project = [\"/a\", \"/b\"] }\nweights = { output = 100 }\n",
        )
        .unwrap();
        assert_eq!((wanted.len(), wanted[0].window.as_str()), (2, "168h"));
        assert_eq!(pico(wanted[0].limit_usd.as_ref().unwrap()), 2_500_000_000_000);
        let mut present = wanted.clone();
        present[1].limit_tokens = 500;
        present.push(Budget {
            name: "old".to_owned(),
            ..Budget::default()
        });
        let made = changes(wanted.clone(), present.clone(), true);
        assert_eq!(made[0], Change::Keep("daily".to_owned()));
        assert_eq!(line(&made[1]), "~ codex: limit_tokens 500 → 1000\n");
        assert_eq!(made[2], Change::Remove("old".to_owned()));
        assert_eq!(changes(wanted.clone(), present, false).len(), 2);
        assert_eq!(changes(wanted, Vec::new(), false).len(), 2);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        for (text, named) in [
            ("x = 1", "x"),
            ("[budget.a]\ntokens = -1", "tokens"),
            ("[budget.a]\ncolour = 1", "colour"),
            ("[budget.a]\nusd = true", "usd"),
            ("[budget.a]\nusd = nan", "nan"),
            ("[budget.a]\nscope = { team = \"x\" }", "scope.team"),
            ("[budget.a]\nweights = { all = 1 }", "weights.all"),
            ("[budget.a", "budget"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
