//! Which limit would have fitted, on the wire.

use std::sync::Arc;

use tokmon_core::budget::{ADJUST_WINDOWS, Budget, Limit, Suggestion, Unit, Used, suggest};
use tokmon_core::money::Pico;
use tokmon_proto::error::Kind;
use tokmon_proto::v1;
use tonic::Status;

use super::super::{convert, status};
use super::budget_in;
use crate::context::Context;

/// Windows that are looked at when nothing else is said.
const WINDOWS: usize = 30;
/// A limit for a budget of which only scope and window matter.
const ANY_LIMIT: u64 = 1;

pub(super) async fn answer(
    app: &Arc<Context>,
    request: v1::SuggestBudgetRequest,
) -> Result<v1::SuggestBudgetResponse, Status> {
    let mut account = None;
    let (budget, set) = if request.name.is_empty() {
        let mut wire = request.budget.unwrap_or_default();
        "suggested".clone_into(&mut wire.name);
        wire.limit_tokens = ANY_LIMIT;
        (budget_in(wire)?, false)
    } else {
        let state = app.ledger.state();
        account = state.budgets.get(request.name.as_str()).cloned();
        let Some(account) = &account else {
            let name = convert::excerpt(&request.name);
            return Err(Kind::NotFound.status(format!("budget {name:?} not found"), None));
        };
        (Budget::clone(account.budget()), true)
    };
    let most = match request.windows {
        0 => WINDOWS,
        most => most as usize,
    };
    let (ledger, asked) = (app.ledger.clone(), budget.clone());
    let all = status::read(move || ledger.past_windows(asked, most.max(ADJUST_WINDOWS))).await?;
    let last = |most: usize| &all[all.len().saturating_sub(most)..];
    let totals = last(most);
    let limits: [i128; 3] = [
        budget.limit_tokens.into(),
        budget.limit_usd.0,
        budget.limit_requests.into(),
    ];
    let suggestions = Unit::ALL.into_iter().filter_map(|unit| {
        let limit = Some(limits[unit as usize]).filter(|_| set);
        suggest(totals, unit, limit)
    });
    let next = account.and_then(|account| account.next_limit(last(ADJUST_WINDOWS), &Used::default()));
    Ok(v1::SuggestBudgetResponse {
        window: budget.window.to_string(),
        windows: u32::try_from(totals.len()).unwrap_or(u32::MAX),
        suggestions: suggestions.map(|s| suggestion(&s)).collect(),
        next: next.map(|next| {
            let (whole, money) = amounts(next.unit);
            v1::NextLimit {
                unit: next.unit.name().to_owned(),
                limit: whole(next.limit),
                limit_usd: money(next.limit),
                why: next.why,
            }
        }),
    })
}

fn suggestion(s: &Suggestion) -> v1::Suggestion {
    let (whole, money) = amounts(s.unit);
    v1::Suggestion {
        unit: s.unit.name().to_owned(),
        p50: whole(s.p50),
        p95: whole(s.p95),
        max: whole(s.max),
        p50_usd: money(s.p50),
        p95_usd: money(s.p95),
        max_usd: money(s.max),
        limits: s
            .limits
            .iter()
            .map(|Limit { basis, limit, denied }| v1::SuggestedLimit {
                basis: (*basis).to_owned(),
                limit: whole(*limit),
                limit_usd: money(*limit),
                denied: u32::try_from(*denied).unwrap_or(u32::MAX),
            })
            .collect(),
    }
}

type Whole = fn(i128) -> u64;
type Dollars = fn(i128) -> Option<v1::Money>;

/// How amounts of a unit are told: as a whole number, or as money.
pub(super) fn amounts(unit: Unit) -> (Whole, Dollars) {
    match unit {
        Unit::Usd => (|_| 0, |amount| Some(convert::money(Pico(amount)))),
        Unit::Tokens | Unit::Requests => (|amount| u64::try_from(amount).unwrap_or(u64::MAX), |_| None),
    }
}
