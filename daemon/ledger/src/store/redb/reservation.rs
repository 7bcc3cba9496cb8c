//! Reservations and lifted budgets as rows and back.

use prost::Message;
use tokmon_core::budget::{Caller, End, Estimate, Lift, Reservation, Used};
use tokmon_core::entry::Body;
use tokmon_core::tokens::Tokens;

use super::super::{Result, StoreError};
use super::codec::{BodyRow, MoneyRow};

#[derive(Clone, PartialEq, Message)]
pub(super) struct BudgetLiftedRow {
    #[prost(string, tag = "1")]
    budget: String,
    #[prost(uint64, tag = "2")]
    tokens: u64,
    #[prost(message, optional, tag = "3")]
    cost: Option<MoneyRow>,
    #[prost(uint64, tag = "4")]
    requests: u64,
    #[prost(sint64, tag = "5")]
    until_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReservedRow {
    #[prost(string, tag = "1")]
    id: String,
    /// Agent, session, task, project, user, tool, provider, model.
    #[prost(string, repeated, tag = "2")]
    names: Vec<String>,
    #[prost(message, optional, tag = "3")]
    estimate: Option<EstimateRow>,
    #[prost(sint64, tag = "4")]
    at_ms: i64,
    /// Milliseconds after `at_ms`.
    #[prost(sint64, tag = "5")]
    life_ms: i64,
    #[prost(fixed64, tag = "6")]
    content: u64,
}

/// What is held.
#[derive(Clone, PartialEq, Message)]
struct EstimateRow {
    /// The buckets in their fixed order.
    #[prost(uint64, repeated, tag = "1")]
    usage: Vec<u64>,
    #[prost(uint64, tag = "2")]
    tokens: u64,
    #[prost(message, optional, tag = "3")]
    cost: Option<MoneyRow>,
    #[prost(uint64, tag = "4")]
    requests: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExtendedRow {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    estimate: Option<EstimateRow>,
    #[prost(sint64, tag = "3")]
    expires_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResolvedRow {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(uint32, tag = "2")]
    end: u32,
    #[prost(fixed64, tag = "3")]
    content: u64,
}

fn estimate_row(estimate: &Estimate) -> EstimateRow {
    EstimateRow {
        usage: estimate.usage.to_array().to_vec(),
        tokens: estimate.tokens,
        cost: estimate.cost.map(Into::into),
        requests: estimate.requests,
    }
}

fn estimate(row: Option<EstimateRow>) -> Result<Estimate> {
    let row = row.ok_or_else(|| strange("estimate"))?;
    let usage = <[u64; 11]>::try_from(row.usage).map_err(|_| strange("list of tokens"))?;
    Ok(Estimate {
        usage: Tokens::from_array(usage),
        tokens: row.tokens,
        cost: row.cost.map(Into::into),
        requests: row.requests,
    })
}

/// The row of a lifted budget.
pub(super) fn lifted_row(budget: &str, lift: &Lift) -> BodyRow {
    BodyRow::BudgetLifted(BudgetLiftedRow {
        budget: budget.to_owned(),
        tokens: lift.by.tokens,
        cost: Some(lift.by.cost.into()),
        requests: lift.by.requests,
        until_ms: lift.until_ms,
    })
}

/// A lifted budget.
pub(super) fn lifted(row: BudgetLiftedRow) -> Body {
    Body::BudgetLifted {
        budget: row.budget.into(),
        lift: Lift {
            by: Used {
                tokens: row.tokens,
                cost: row.cost.map(Into::into).unwrap_or_default(),
                requests: row.requests,
            },
            until_ms: row.until_ms,
        },
    }
}

/// The row of a reservation.
pub(super) fn reserved_row(reservation: &Reservation) -> BodyRow {
    let who = &reservation.caller;
    let names = [
        &who.agent,
        &who.session,
        &who.task,
        &who.project,
        &who.user,
        &who.tool,
        &who.provider,
        &who.model,
    ];
    BodyRow::Reserved(ReservedRow {
        id: reservation.id.to_string(),
        names: names.map(|name| name.to_string()).to_vec(),
        estimate: Some(estimate_row(&reservation.estimate)),
        at_ms: reservation.at_ms,
        life_ms: reservation.expires_at_ms.wrapping_sub(reservation.at_ms),
        content: reservation.content,
    })
}

/// A reservation.
pub(super) fn reserved(row: ReservedRow) -> Result<Body> {
    let names = <[String; 8]>::try_from(row.names).map_err(|_| strange("list of names"))?;
    let [agent, session, task, project, user, tool, provider, model] = names.map(Into::into);
    Ok(Body::Reserved(Box::new(Reservation {
        id: row.id.into(),
        caller: Caller {
            agent,
            session,
            task,
            project,
            user,
            tool,
            provider,
            model,
        },
        estimate: estimate(row.estimate)?,
        at_ms: row.at_ms,
        expires_at_ms: row.at_ms.wrapping_add(row.life_ms),
        content: row.content,
    })))
}

/// The row of an extension.
pub(super) fn extended_row(id: &str, estimate: &Estimate, expires_ms: i64) -> BodyRow {
    BodyRow::Extended(ExtendedRow {
        id: id.to_owned(),
        estimate: Some(estimate_row(estimate)),
        expires_ms,
    })
}

/// An extension.
pub(super) fn extended(row: ExtendedRow) -> Result<Body> {
    Ok(Body::Extended {
        id: row.id.into(),
        estimate: estimate(row.estimate)?,
        expires_at_ms: row.expires_ms,
    })
}

/// The row of a reservation's end.
pub(super) fn resolved_row(id: &str, end: End, content: u64) -> BodyRow {
    BodyRow::Resolved(ResolvedRow {
        id: id.to_owned(),
        end: match end {
            End::Settled => 1,
            End::Released => 2,
            End::Expired => 3,
        },
        content,
    })
}

/// A reservation's end.
pub(super) fn resolved(row: ResolvedRow) -> Result<Body> {
    let end = match row.end {
        1 => End::Settled,
        2 => End::Released,
        3 => End::Expired,
        _ => return Err(strange("end of a reservation")),
    };
    Ok(Body::Resolved {
        id: row.id.into(),
        end,
        content: row.content,
    })
}

fn strange(what: &str) -> StoreError {
    StoreError::Damaged(format!("a {what} that this program does not know"))
}
