//! `set_budget_alert`: the daily alert.

use rmcp::model::JsonObject;
use serde_json::json;
use tokmon_client::v1::{Budget, Money, SetBudgetRequest};

use super::{Context, Failure};
use crate::answer::{Answer, dollars, grouped};
use crate::arguments::Arguments;
use crate::money;

/// The budget that the tool sets.
const NAME: &str = "daily-alert";
/// What an argument that is left out stands for.
const DEFAULT_TOKENS: u64 = 1_000_000;
const DEFAULT_USD: i64 = 20;
const DEFAULT_PERCENT: u64 = 80;
/// Above what anybody spends in a day.
const MAX_TOKENS: u64 = 1_000_000_000_000_000;
const MAX_USD: i64 = 1_000_000_000;
/// Where a budget turns critical unless the alert comes later still.
const CRITICAL_PERCENT: u32 = 95;

pub(super) async fn set_budget_alert(
    context: &Context<'_>,
    given: Option<JsonObject>,
) -> Result<Answer, Failure> {
    let request = SetBudgetRequest {
        budget: Some(budget(given)?),
    };
    let budget = context
        .daemon
        .call(async |client| client.set_budget(request.clone()).await)
        .await?;
    Ok(answer(&budget))
}

fn budget(given: Option<JsonObject>) -> Result<Budget, String> {
    let allowed = ["daily_limit_tokens", "daily_limit_usd", "alert_threshold_percent"];
    let arguments = Arguments::new(given, &allowed)?;
    let percent = arguments
        .integer("alert_threshold_percent", 1, 100)?
        .unwrap_or(DEFAULT_PERCENT);
    let percent = u32::try_from(percent).unwrap_or(CRITICAL_PERCENT);
    Ok(Budget {
        name: NAME.to_owned(),
        limit_tokens: arguments
            .integer("daily_limit_tokens", 1, MAX_TOKENS)?
            .unwrap_or(DEFAULT_TOKENS),
        limit_usd: Some(arguments.dollars("daily_limit_usd", MAX_USD)?.unwrap_or(Money {
            usd: DEFAULT_USD,
            pico: 0,
        })),
        window: "day".to_owned(),
        warn_percent: percent,
        critical_percent: percent.max(CRITICAL_PERCENT),
        action: "warn".to_owned(),
        ..Budget::default()
    })
}

fn answer(budget: &Budget) -> Answer {
    Answer::new(
        format!(
            "Alert at {} % of {} tokens or {} per day.",
            budget.warn_percent,
            grouped(budget.limit_tokens),
            dollars(budget.limit_usd.as_ref()),
        ),
        json!({
            "budget": budget.name,
            "daily_limit_tokens": budget.limit_tokens,
            "daily_limit_usd": money::decimal(budget.limit_usd.as_ref()),
            "alert_threshold_percent": budget.warn_percent,
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read(value: Value) -> Result<Budget, String> {
        budget(value.as_object().cloned())
    }

    /// A7: the defaults.
    #[test]
    fn what_is_left_out_has_a_default() {
        let cases = [
            (json!({}), "Alert at 80 % of 1,000,000 tokens or $20 per day."),
            (
                json!({"daily_limit_tokens": 5, "daily_limit_usd": 0.25, "alert_threshold_percent": 50}),
                "Alert at 50 % of 5 tokens or $0.25 per day.",
            ),
        ];
        for (arguments, text) in cases {
            assert_eq!(answer(&read(arguments).unwrap()).text, text);
        }
        let late = read(json!({"alert_threshold_percent": 99})).unwrap();
        assert_eq!((late.warn_percent, late.critical_percent), (99, 99));
    }

    #[test]
    fn bad_limits_are_named() {
        for (arguments, expected) in [
            (
                json!({"daily_limit_tokens": 0}),
                "daily_limit_tokens must be a whole number from 1 to",
            ),
            (
                json!({"daily_limit_usd": -3}),
                "daily_limit_usd must be a number of dollars above 0",
            ),
            (
                json!({"daily_limit_usd": 1e300}),
                "daily_limit_usd must be a number of dollars above 0",
            ),
            (
                json!({"alert_threshold_percent": 101}),
                "alert_threshold_percent must be a whole number from 1 to 100",
            ),
            (json!({"limit": 1}), "unknown argument 'limit'"),
        ] {
            let said = read(arguments).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
