//! `tokmonctl budget suggest`: which limit would have fitted, before one is set.

use serde_json::{Value, json};
use tokmon_client::Client;
use tokmon_client::v1::{Budget, Filter, Money, SuggestBudgetRequest, SuggestBudgetResponse};

use super::{Key, scope};
use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{count, dollars_or_none};
use crate::show::table::{Look, Table, figures, text};
use crate::show::{self, Screen, json as to_json};

/// Arguments of `budget suggest`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A budget that is set: for its scope and window
    #[arg(default_value = "", hide_default_value = true, conflicts_with_all = ["scope", "window", "timezone"])]
    name: String,
    /// What it shall cover, as in `budget set`; may be repeated [default: everything]
    #[arg(long, value_name = "KEY=VALUE", value_parser = scope)]
    scope: Vec<(Key, String)>,
    /// hour, day, week, month, session, 5h, rolling:5h, …
    #[arg(long, value_name = "WINDOW", default_value = "day")]
    window: String,
    /// Time zone of the window, e.g. Europe/Berlin [default: the daemon's]
    #[arg(long, value_name = "ZONE", default_value = "", hide_default_value = true)]
    timezone: String,
    /// How many past windows to look at
    #[arg(long, value_name = "N", default_value = "30", value_parser = crate::args::from_to::<u32>(1, 366), allow_negative_numbers = true)]
    windows: u32,
}

pub(super) async fn run(args: &Args, client: &Client, context: &Context) -> Result<(), Failure> {
    let (mut filter, mut tasks) = (Filter::default(), Vec::new());
    for (key, value) in &args.scope {
        key.list(&mut filter, &mut tasks).push(value.clone());
    }
    let budget = Budget {
        scope: Some(filter),
        tasks,
        window: args.window.clone(),
        timezone: args.timezone.clone(),
        ..Budget::default()
    };
    let request = SuggestBudgetRequest {
        name: args.name.clone(),
        budget: args.name.is_empty().then_some(budget),
        windows: args.windows,
    };
    let answer = client.suggest_budget(request).await?;
    show::print(&if context.json {
        to_json::document(&as_json(&answer))
    } else {
        draw(&answer, &context.screen())
    })
}

fn as_json(answer: &SuggestBudgetResponse) -> Value {
    let amount = |unit: &str, whole: u64, usd: &Option<Money>| {
        if unit == "usd" {
            to_json::money(usd.as_ref())
        } else {
            whole.into()
        }
    };
    let units = answer.suggestions.iter().map(|s| {
        let limits = s.limits.iter().map(|l| {
            json!({"basis": l.basis, "limit": amount(&s.unit, l.limit, &l.limit_usd), "denied": l.denied})
        });
        json!({
            "unit": s.unit, "p50": amount(&s.unit, s.p50, &s.p50_usd), "p95": amount(&s.unit, s.p95, &s.p95_usd),
            "max": amount(&s.unit, s.max, &s.max_usd), "limits": limits.collect::<Vec<_>>(),
        })
    });
    let next = answer.next.as_ref().map_or(
        Value::Null,
        |n| json!({"unit": n.unit, "limit": amount(&n.unit, n.limit, &n.limit_usd), "why": n.why}),
    );
    json!({"window": answer.window, "windows": answer.windows, "units": units.collect::<Vec<_>>(), "next": next})
}

fn draw(answer: &SuggestBudgetResponse, screen: &Screen) -> String {
    let next = match &answer.next {
        Some(next) => screen.fold(&format!("\nIt would be adjusted next: {}\n", next.why), 0),
        None => String::new(),
    };
    if answer.windows == 0 {
        return "No window in which something was used is over yet.\n".to_owned() + &next;
    }
    let mut table = Table::new(vec![
        text("Unit", 0),
        text("Limit made of", 0),
        figures("Limit", 0),
        figures("Would have denied", 0),
    ]);
    for s in &answer.suggestions {
        for l in &s.limits {
            let limit = match s.unit.as_str() {
                "usd" => dollars_or_none(l.limit_usd.as_ref()),
                _ => count(l.limit),
            };
            let look = if l.denied == 0 { Look::Good } else { Look::Plain };
            let denied = format!("{} of {}", l.denied, answer.windows);
            table.row(look, vec![s.unit.clone(), l.basis.clone(), limit, denied]);
        }
    }
    let head = format!(
        "The last {} windows ({}) in which something was used; the running one is left out.\n\n",
        answer.windows, answer.window
    );
    screen.fold(&head, 0) + &table.render(screen) + &next
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{SuggestedLimit, Suggestion};

    #[test]
    fn each_limit_says_how_often_it_would_have_denied() {
        let limit = SuggestedLimit {
            basis: "p95".into(),
            limit: 1_900,
            denied: 1,
            ..SuggestedLimit::default()
        };
        let answer = SuggestBudgetResponse {
            window: "day".into(),
            windows: 20,
            suggestions: vec![Suggestion {
                unit: "tokens".into(),
                limits: vec![limit],
                ..Suggestion::default()
            }],
            next: None,
        };
        let screen = Screen {
            width: Some(80),
            colour: false,
        };
        let out = draw(&answer, &screen);
        assert!(out.contains("1,900") && out.contains("1 of 20"), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
        assert_eq!(as_json(&answer)["units"][0]["limits"][0]["denied"], 1);
        assert!(draw(&SuggestBudgetResponse::default(), &screen).contains("No window"));
    }
}
