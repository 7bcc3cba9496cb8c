//! Reservations and lifted budgets as rows and back.

use prost::Message;
use tokmon_core::budget::{Binding, Caller, End, Estimate, Grounds, Lift, Reservation, Unit, Used};
use tokmon_core::denial::Denial;
use tokmon_core::entry::{Body, Whose};
use tokmon_core::money::Pico;
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
    #[prost(string, tag = "6")]
    session: String,
    #[prost(string, tag = "7")]
    reason: String,
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
    #[prost(message, optional, tag = "7")]
    grounds: Option<GroundsRow>,
}

/// What a decision rested on.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GroundsRow {
    /// Empty: no budget covers the caller, and the figures mean nothing.
    #[prost(string, tag = "1")]
    budget: String,
    #[prost(uint32, tag = "2")]
    unit: u32,
    #[prost(message, optional, tag = "3")]
    limit: Option<MoneyRow>,
    #[prost(message, optional, tag = "4")]
    posted: Option<MoneyRow>,
    #[prost(message, optional, tag = "5")]
    pending: Option<MoneyRow>,
    #[prost(message, optional, tag = "6")]
    asked: Option<MoneyRow>,
    #[prost(sint64, tag = "7")]
    resets_ms: i64,
    #[prost(string, repeated, tag = "8")]
    would_deny: Vec<String>,
    /// Absent: nothing is kept for tasks.
    #[prost(message, optional, tag = "9")]
    kept: Option<MoneyRow>,
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
pub(super) struct DeniedRow {
    /// As in [`ReservedRow`].
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
    #[prost(message, optional, tag = "2")]
    estimate: Option<EstimateRow>,
    #[prost(message, optional, tag = "3")]
    grounds: Option<GroundsRow>,
    #[prost(uint64, tag = "4")]
    count: u64,
    #[prost(uint64, tag = "5")]
    times: u64,
    #[prost(sint64, tag = "6")]
    first_ms: i64,
    #[prost(sint64, tag = "7")]
    last_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BudgetUnliftedRow {
    #[prost(string, tag = "1")]
    pub(super) budget: String,
    #[prost(string, tag = "2")]
    pub(super) session: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExtendedRow {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    estimate: Option<EstimateRow>,
    #[prost(sint64, tag = "3")]
    expires_ms: i64,
    #[prost(string, tag = "4")]
    agent: String,
    #[prost(string, tag = "5")]
    session: String,
    #[prost(message, optional, tag = "6")]
    grounds: Option<GroundsRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResolvedRow {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(uint32, tag = "2")]
    end: u32,
    #[prost(fixed64, tag = "3")]
    content: u64,
    #[prost(string, tag = "4")]
    agent: String,
    #[prost(string, tag = "5")]
    session: String,
}

/// The row of what a decision rested on.
pub(super) fn grounds_row(grounds: &Grounds) -> GroundsRow {
    let would_deny = grounds.would_deny.iter().map(ToString::to_string).collect();
    let Some(binding) = &grounds.binding else {
        return GroundsRow {
            would_deny,
            ..GroundsRow::default()
        };
    };
    let amount = |amount: i128| Some(MoneyRow::from(Pico(amount)));
    GroundsRow {
        budget: binding.budget.to_string(),
        unit: match binding.unit {
            Unit::Tokens => 1,
            Unit::Usd => 2,
            Unit::Requests => 3,
        },
        limit: amount(binding.limit),
        posted: amount(binding.posted),
        pending: amount(binding.pending),
        asked: amount(binding.asked),
        kept: amount(binding.kept).filter(|_| binding.kept != 0),
        resets_ms: binding.resets_at_ms,
        would_deny,
    }
}

/// What a decision rested on.
pub(super) fn grounds(row: GroundsRow) -> Result<Grounds> {
    let would_deny = row.would_deny.into_iter().map(Into::into).collect();
    if row.budget.is_empty() {
        return Ok(Grounds {
            binding: None,
            would_deny,
        });
    }
    let amount = |row: Option<MoneyRow>| row.map(Pico::from).unwrap_or_default().0;
    let (limit, posted, pending) = (amount(row.limit), amount(row.posted), amount(row.pending));
    let kept = amount(row.kept);
    let binding = Binding {
        budget: row.budget.into(),
        unit: match row.unit {
            1 => Unit::Tokens,
            2 => Unit::Usd,
            3 => Unit::Requests,
            _ => return Err(strange("unit of a budget")),
        },
        limit,
        posted,
        pending,
        kept,
        available: limit
            .saturating_sub(posted)
            .saturating_sub(pending)
            .saturating_sub(kept)
            .max(0),
        asked: amount(row.asked),
        resets_at_ms: row.resets_ms,
    };
    Ok(Grounds {
        binding: Some(binding),
        would_deny,
    })
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
        session: lift.session.to_string(),
        reason: lift.reason.to_string(),
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
            session: row.session.into(),
            reason: row.reason.into(),
            ..Lift::default()
        },
    }
}

fn names_of(who: &Caller) -> Vec<String> {
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
    names.map(|name| name.to_string()).to_vec()
}

fn caller(names: Vec<String>) -> Result<Caller> {
    let names = <[String; 8]>::try_from(names).map_err(|_| strange("list of names"))?;
    let [agent, session, task, project, user, tool, provider, model] = names.map(Into::into);
    Ok(Caller {
        agent,
        session,
        task,
        project,
        user,
        tool,
        provider,
        model,
    })
}

/// The row of denials.
pub(super) fn denied_row(denial: &Denial) -> BodyRow {
    BodyRow::Denied(DeniedRow {
        names: names_of(&denial.caller),
        estimate: Some(estimate_row(&denial.estimate)),
        grounds: Some(grounds_row(&denial.grounds)),
        count: denial.count,
        times: denial.times,
        first_ms: denial.first_ms,
        last_ms: denial.last_ms,
    })
}

/// Denials.
pub(super) fn denied(row: DeniedRow) -> Result<Body> {
    Ok(Body::Denied(Box::new(Denial {
        caller: caller(row.names)?,
        estimate: estimate(row.estimate)?,
        grounds: row.grounds.map(grounds).transpose()?.unwrap_or_default(),
        count: row.count,
        times: row.times,
        first_ms: row.first_ms,
        last_ms: row.last_ms,
    })))
}

/// The row of a reservation.
pub(super) fn reserved_row(reservation: &Reservation, grounds: Option<&Grounds>) -> BodyRow {
    BodyRow::Reserved(ReservedRow {
        id: reservation.id.to_string(),
        names: names_of(&reservation.caller),
        estimate: Some(estimate_row(&reservation.estimate)),
        at_ms: reservation.at_ms,
        life_ms: reservation.expires_at_ms.wrapping_sub(reservation.at_ms),
        content: reservation.content,
        grounds: grounds.map(grounds_row),
    })
}

/// A reservation.
pub(super) fn reserved(row: ReservedRow) -> Result<Body> {
    let grounds = row.grounds.map(grounds).transpose()?.map(Box::new);
    let reservation = Reservation {
        id: row.id.into(),
        caller: caller(row.names)?,
        estimate: estimate(row.estimate)?,
        at_ms: row.at_ms,
        expires_at_ms: row.at_ms.wrapping_add(row.life_ms),
        content: row.content,
    };
    Ok(Body::Reserved(Box::new(reservation), grounds))
}

/// The row of an extension.
pub(super) fn extended_row(
    id: &str,
    whose: &Whose,
    grounds: Option<&Grounds>,
    estimate: &Estimate,
    expires_ms: i64,
) -> BodyRow {
    BodyRow::Extended(ExtendedRow {
        id: id.to_owned(),
        agent: whose.agent.to_string(),
        session: whose.session.to_string(),
        grounds: grounds.map(grounds_row),
        estimate: Some(estimate_row(estimate)),
        expires_ms,
    })
}

/// An extension.
pub(super) fn extended(row: ExtendedRow) -> Result<Body> {
    Ok(Body::Extended {
        id: row.id.into(),
        whose: whose(row.agent, row.session),
        grounds: row.grounds.map(grounds).transpose()?.map(Box::new),
        estimate: estimate(row.estimate)?,
        expires_at_ms: row.expires_ms,
    })
}

/// The row of a reservation's end.
pub(super) fn resolved_row(id: &str, whose: &Whose, end: End, content: u64) -> BodyRow {
    BodyRow::Resolved(ResolvedRow {
        id: id.to_owned(),
        agent: whose.agent.to_string(),
        session: whose.session.to_string(),
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
        whose: whose(row.agent, row.session),
        end,
        content: row.content,
    })
}

fn whose(agent: String, session: String) -> Box<Whose> {
    Box::new(Whose {
        agent: agent.into(),
        session: session.into(),
    })
}

/// Something that only a newer program or damage can have written.
pub(super) fn strange(what: &str) -> StoreError {
    StoreError::Damaged(format!("a {what} that this program does not know"))
}
