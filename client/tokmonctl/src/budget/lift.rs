//! `tokmonctl budget lift` and `unlift`: going on after a hard stop, for a while, and taking it back.

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokmon_client::v1::{BudgetState, Lift, LiftBudgetRequest, Money, Stop, UnliftBudgetRequest};
use tokmon_client::{Client, Error};

use super::claim;
use crate::show::number::{count, dollars, instant, parse_dollars, pico_or_zero};
use crate::show::{clean, json as to_json};

/// Arguments of `budget lift`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The budget
    name: String,
    /// By so many dollars
    #[arg(long, value_name = "USD", value_parser = parse_dollars, allow_negative_numbers = true)]
    usd: Option<Money>,
    /// By so many tokens
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    tokens: u64,
    /// By so many calls
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    requests: u64,
    /// For so long, e.g. 30m [default: until the window ends]
    #[arg(long = "for", value_name = "DURATION", value_parser = claim::duration)]
    time: Option<i64>,
    /// For this session only, while others stay stopped
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    session: String,
    /// Why; shown by `budget show` and `audit`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

/// Arguments of `budget unlift`.
#[derive(Debug, clap::Args)]
pub(super) struct Back {
    /// The budget
    name: String,
    /// Only what was lifted for this session [default: everything]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    session: String,
}

pub(super) async fn lift(args: &Args, client: &Client) -> Result<BudgetState, Error> {
    let until = |ms: i64| jiff::Timestamp::now().as_millisecond().saturating_add(ms);
    let request = LiftBudgetRequest {
        name: args.name.clone(),
        tokens: args.tokens,
        usd: args.usd,
        requests: args.requests,
        until_ms: args.time.map_or(0, until),
        session: args.session.clone(),
        reason: args.reason.clone(),
    };
    client.lift_budget(request).await
}

pub(super) async fn unlift(args: &Back, client: &Client) -> Result<BudgetState, Error> {
    let request = UnliftBudgetRequest {
        name: args.name.clone(),
        session: args.session.clone(),
    };
    client.unlift_budget(request).await
}

pub(super) fn as_json(lift: &Lift) -> Value {
    let named = |name: &str| if name.is_empty() { Value::Null } else { name.into() };
    json!({
        "tokens": lift.tokens, "usd": to_json::money(lift.usd.as_ref()), "requests": lift.requests,
        "session": named(&lift.session), "reason": named(&lift.reason), "by": named(&lift.who),
        "at": to_json::time(lift.at_ms), "until": to_json::time(lift.until_ms),
    })
}

/// A line below the table.
pub(super) fn line(budget: &str, lift: &Lift, zone: &TimeZone) -> String {
    let mut by = Vec::new();
    let usd = pico_or_zero(lift.usd.as_ref());
    if usd != 0 {
        by.push(dollars(usd));
    }
    for (amount, unit) in [(lift.tokens, "tokens"), (lift.requests, "calls")] {
        if amount > 0 {
            by.push(format!("{} {unit}", count(amount)));
        }
    }
    let by = if by.is_empty() {
        "as much as it takes".to_owned()
    } else {
        by.join(", ")
    };
    let mut text = format!("{budget} is lifted by {by}");
    if !lift.session.is_empty() {
        text.push_str(&format!(" for session {}", lift.session));
    }
    match lift.until_ms {
        0 => text.push_str(" until it is taken back"),
        until => text.push_str(&format!(" until {}", instant(until, zone))),
    }
    text.push_str(&format!(", by {} at {}", lift.who, instant(lift.at_ms, zone)));
    if !lift.reason.is_empty() {
        text.push_str(&format!(": {}", lift.reason));
    }
    format!("{}\n", clean(&text))
}

pub(super) fn stop_json(stop: &Stop) -> Value {
    json!({"agent": stop.agent, "session": stop.session, "sign": stop.sign, "at": to_json::time(stop.at_ms)})
}

/// A line below the table.
pub(super) fn stop_line(budget: &str, stop: &Stop, zone: &TimeZone) -> String {
    let text = format!(
        "{budget} has stopped session {} of {} since {} ({}); `tokmonctl budget lift {budget} --session {0}` lets it go on",
        stop.session,
        stop.agent,
        instant(stop.at_ms, zone),
        stop.sign.replace('_', " "),
    );
    format!("{}\n", clean(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lift_says_by_how_much_until_when_by_whom_and_why() {
        let lift = Lift {
            tokens: 5_000,
            until_ms: 1_763_629_200_000,
            session: "s".into(),
            reason: "demo".into(),
            who: "me with tokmonctl 0.1.0".into(),
            at_ms: 1_763_625_600_000,
            ..Lift::default()
        };
        assert_eq!(
            line("day", &lift, &TimeZone::UTC),
            "day is lifted by 5,000 tokens for session s until 2025-11-20 09:00:00, \
             by me with tokmonctl 0.1.0 at 2025-11-20 08:00:00: demo\n"
        );
        let whole = Lift::default();
        assert!(line("day", &whole, &TimeZone::UTC).contains("as much as it takes until it is taken back"));
    }
}
