//! Limits that follow what is used, on the wire.

use tokmon_core::budget::{Adjust, Budget, Target, Unit};
use tokmon_proto::v1;
use tonic::Status;

use super::super::{convert, status};
use super::suggest::amounts;

/// Reads the rule of a budget that limits money, or something that is counted.
pub(super) fn read(wire: v1::Adjust, money: bool) -> Result<Adjust, Status> {
    let amount = |field, whole: u64, usd: Option<&v1::Money>| match (money, whole, usd) {
        (true, 0, usd) => usd.map_or(Ok(0), |usd| convert::pico(field, usd).map(|pico| pico.0)),
        (false, whole, None) => Ok(whole.into()),
        (true, ..) => Err(status::invalid(
            field,
            "it is not money",
            "money, as the limit is",
        )),
        (false, ..) => Err(status::invalid(field, "it is money", "a number, as the limit is")),
    };
    Ok(Adjust {
        to: Target::parse(&wire.to).map_err(|r| status::refusal(&r))?,
        min: amount("adjust.min", wire.min, wire.min_usd.as_ref())?,
        max: amount("adjust.max", wire.max, wire.max_usd.as_ref())?,
        step_percent: wire.step_percent,
        ..Adjust::default()
    })
}

pub(super) fn write(budget: &Budget) -> Option<v1::Adjust> {
    let adjust = budget.adjust.as_ref()?;
    let (whole, money) = amounts(budget.only_limit().map_or(Unit::Tokens, |(unit, _)| unit));
    Some(v1::Adjust {
        to: adjust.to.name().to_owned(),
        min: whole(adjust.min),
        max: whole(adjust.max),
        min_usd: money(adjust.min),
        max_usd: money(adjust.max),
        step_percent: adjust.step_percent,
        set: whole(adjust.set),
        set_usd: money(adjust.set),
        why: adjust.why.to_string(),
        window_start_ms: adjust.window_start_ms,
    })
}
