//! Limits that follow what is used: the flags of `budget set`, the keys of `budget apply`, and what is shown.

use serde_json::{Value, json};
use tokmon_client::v1::{Adjust, Budget, Money};
use toml_edit::Item;

use crate::show::json as to_json;
use crate::show::number::{parse_dollars, pico};

/// What a limit can be made of.
const TARGETS: [&str; 4] = ["median", "p95", "p95+20", "max+20"];

/// Flags of `budget set`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Let the limit follow what is used: at the turn of each window it becomes this of the last 30 windows with usage,
    /// as `budget suggest` shows; needs both bounds [default: off]
    #[arg(long, value_name = "TO", value_parser = TARGETS, requires_all = ["adjust_min", "adjust_max"])]
    adjust: Option<String>,
    /// It never becomes lower than this, in the unit of the limit
    #[arg(
        long,
        value_name = "AMOUNT",
        requires = "adjust",
        allow_negative_numbers = true
    )]
    adjust_min: Option<String>,
    /// It never becomes higher than this
    #[arg(
        long,
        value_name = "AMOUNT",
        requires = "adjust",
        allow_negative_numbers = true
    )]
    adjust_max: Option<String>,
    /// It moves by no more than this at the turn of a window [default: 20]
    #[arg(long, value_name = "PERCENT", requires = "adjust", value_parser = crate::args::from_to::<u32>(1, 100), allow_negative_numbers = true)]
    adjust_step: Option<u32>,
}

impl Args {
    /// The rule for a budget that limits money, or something that is counted.
    pub(super) fn rule(&self, money: bool) -> Result<Option<Adjust>, String> {
        let Some(to) = &self.adjust else {
            return Ok(None);
        };
        let amount = |text: &Option<String>, flag| {
            let text = text.as_deref().unwrap_or_default();
            amount(text, money).map_err(|why| format!("--adjust-{flag} {text}: {why}"))
        };
        let ((min, min_usd), (max, max_usd)) =
            (amount(&self.adjust_min, "min")?, amount(&self.adjust_max, "max")?);
        Ok(Some(Adjust {
            to: to.clone(),
            min,
            max,
            min_usd,
            max_usd,
            step_percent: self.adjust_step.unwrap_or_default(),
            ..Adjust::default()
        }))
    }
}

fn amount(text: &str, money: bool) -> Result<(u64, Option<Money>), String> {
    if money {
        return Ok((0, Some(parse_dollars(text)?)));
    }
    let whole = text.parse::<u64>().ok().filter(|&n| n > 0);
    let wrong = "give a whole number above 0, in the unit of the limit";
    Ok((whole.ok_or(wrong)?, None))
}

/// The rule of a file: `adjust = { to = "p95", min = 1000, max = 9000, step = 20 }`.
pub(super) fn in_file(item: &Item, money: bool) -> Result<Adjust, String> {
    let table = item.as_table_like().ok_or("adjust is not a table")?;
    let mut adjust = Adjust {
        step_percent: 20,
        ..Adjust::default()
    };
    for (key, item) in table.iter() {
        let plain = || match item.as_str() {
            Some(text) => text.to_owned(),
            None => item.to_string().trim().to_owned(),
        };
        let read = || amount(&plain(), money).map_err(|why| format!("adjust.{key}: {why}"));
        match key {
            "to" => adjust.to = plain(),
            "min" => (adjust.min, adjust.min_usd) = read()?,
            "max" => (adjust.max, adjust.max_usd) = read()?,
            "step" => {
                let step = item.as_integer().and_then(|n| u32::try_from(n).ok());
                adjust.step_percent = step
                    .filter(|n| (1..=100).contains(n))
                    .ok_or("adjust.step is not 1 to 100")?;
            }
            other => return Err(format!("adjust.{other} is not known; give to, min, max and step")),
        }
    }
    for (there, key) in [
        (!adjust.to.is_empty(), "to"),
        (adjust.min > 0 || adjust.min_usd.is_some(), "min"),
        (adjust.max > 0 || adjust.max_usd.is_some(), "max"),
    ] {
        if !there {
            return Err(format!(
                "adjust.{key} is missing; a limit that follows what is used needs to, min and max"
            ));
        }
    }
    Ok(adjust)
}

/// The terms that somebody set: a limit that was adjusted since is the one that he set, and nothing is said of why.
pub(super) fn as_set(budget: &Budget) -> Budget {
    let mut budget = budget.clone();
    if let Some(adjust) = &mut budget.adjust
        && adjust.window_start_ms != 0
    {
        match &adjust.set_usd {
            Some(usd) if pico(usd) != 0 => budget.limit_usd = Some(*usd),
            _ if budget.limit_tokens > 0 => budget.limit_tokens = adjust.set,
            _ => budget.limit_requests = adjust.set,
        }
        (adjust.set, adjust.set_usd, adjust.window_start_ms) = Default::default();
        adjust.why.clear();
    }
    budget
}

pub(super) fn as_json(budget: &Budget) -> Value {
    let Some(adjust) = &budget.adjust else {
        return Value::Null;
    };
    let amount = |whole: u64, usd: &Option<Money>| match usd {
        Some(usd) => to_json::money(Some(usd)),
        None => whole.into(),
    };
    json!({
        "to": adjust.to, "min": amount(adjust.min, &adjust.min_usd), "max": amount(adjust.max, &adjust.max_usd),
        "step_percent": adjust.step_percent, "set": amount(adjust.set, &adjust.set_usd), "why": adjust.why,
        "decided_for": to_json::time(adjust.window_start_ms),
    })
}

/// A line about a limit that follows what is used.
pub(super) fn line(budget: &Budget) -> Option<String> {
    let adjust = budget.adjust.as_ref()?;
    let why = match adjust.why.as_str() {
        "" => "as it was set; it is decided anew at the turn of the window",
        why => why,
    };
    Some(format!(
        "{} follows what is used ({}): {why}",
        budget.name, adjust.to
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_in_the_unit_of_the_limit() {
        assert_eq!(amount("1500", false), Ok((1_500, None)));
        assert_eq!(
            amount("2.50", true),
            Ok((0, Some(parse_dollars("2.50").unwrap())))
        );
        for text in ["", "0", "-1", "1.5", "1e3", "lots"] {
            assert!(amount(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        let read = |text: &str| {
            let document: toml_edit::DocumentMut = text.parse().unwrap();
            in_file(&document["adjust"], false)
        };
        let adjust = read("adjust = { to = \"p95\", min = 10, max = 90 }").unwrap();
        assert_eq!((adjust.min, adjust.max, adjust.step_percent), (10, 90, 20));
        for (text, named) in [
            ("adjust = true", "table"),
            ("adjust = { to = \"p95\", max = 9 }", "adjust.min is missing"),
            ("adjust = { to = \"p95\", min = 9 }", "adjust.max is missing"),
            ("adjust = { min = 1, max = 9 }", "adjust.to is missing"),
            ("adjust = { to = \"p95\", min = -1, max = 9 }", "adjust.min"),
            (
                "adjust = { to = \"p95\", min = 1, max = 9, step = 101 }",
                "adjust.step",
            ),
            (
                "adjust = { to = \"p95\", min = 1, max = 9, fast = true }",
                "adjust.fast",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn an_adjusted_limit_is_compared_as_it_was_set() {
        let rule = Adjust {
            to: "p95".into(),
            min: 1,
            max: 9_000,
            ..Adjust::default()
        };
        let wanted = Budget {
            limit_tokens: 1_000,
            adjust: Some(rule.clone()),
            ..Budget::default()
        };
        let present = Budget {
            limit_tokens: 1_200,
            adjust: Some(Adjust {
                set: 1_000,
                why: "more".into(),
                window_start_ms: 5,
                ..rule
            }),
            ..Budget::default()
        };
        assert_eq!(as_set(&present), wanted);
        assert_eq!(as_set(&wanted), wanted);
        assert!(line(&present).unwrap().contains("more"));
    }
}
