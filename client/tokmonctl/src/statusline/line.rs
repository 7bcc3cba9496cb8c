//! The line itself.

use jiff::Timestamp;
use serde_json::json;
use tokmon_client::v1::{Block, BudgetState, PushStatuslineResponse, Quota};

use super::input::Told;
use crate::quota;
use crate::show::number::{dollars, duration, pico_or_zero};
use crate::show::{self, json as to_json};

/// Between two parts.
const BETWEEN: &str = " │ ";

/// What a line can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Segment {
    /// The model
    Model,
    /// What the session cost
    Session,
    /// What everything cost today
    Today,
    /// The budget that is used most
    Budget,
    /// How full the context window is
    Context,
    /// Limits of the subscription, or the open 5-hour block
    Quota,
    /// Money an hour
    Burn,
    /// Whether the provider's cache is warm
    Cache,
}

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(pub(crate) i64);

impl Clock {
    pub(crate) fn now() -> Clock {
        Clock(Timestamp::now().as_millisecond())
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Light {
    Green,
    Yellow,
    Red,
}

impl Light {
    fn of(percent: f64, yellow: f64, red: f64) -> Light {
        match percent {
            p if p >= red => Light::Red,
            p if p >= yellow => Light::Yellow,
            _ => Light::Green,
        }
    }

    fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Light::Green => 32,
            Light::Yellow => 33,
            Light::Red => 31,
        };
        match colour {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// The line, without its end.
pub(crate) fn draw(
    segments: &[Segment],
    told: &Told,
    answer: Option<&PushStatuslineResponse>,
    clock: Clock,
    colour: bool,
) -> String {
    let part = |segment: &Segment| match segment {
        Segment::Model => (!told.model_name.is_empty()).then(|| show::clean(&told.model_name).into_owned()),
        Segment::Session => session(told, answer),
        Segment::Today => {
            let today = answer?.today.as_ref()?;
            Some(format!("{} today", dollars(pico_or_zero(today.cost.as_ref()))))
        }
        Segment::Budget => budget(answer?.budget.as_ref()?, colour),
        Segment::Context => told
            .context_percent
            .map(|percent| Light::of(percent, 60.0, 85.0).paint(&format!("ctx {percent:.0} %"), colour)),
        Segment::Quota => limits(told, answer, clock, colour),
        Segment::Burn => {
            let burn = answer?.block.as_ref()?.burn.as_ref()?;
            let cost = pico_or_zero(burn.cost_per_hour.as_ref());
            (cost > 0).then(|| format!("{}/h", dollars(cost)))
        }
        Segment::Cache => told.cache.map(|cache| match cache.warm {
            true => Light::Green.paint("cache warm", colour),
            false => Light::Yellow.paint("cache cold", colour),
        }),
    };
    let mut parts: Vec<String> = segments.iter().filter_map(part).collect();
    if answer.is_none() {
        parts.push("tokmon is off".to_owned());
    }
    parts.join(BETWEEN)
}

/// What the ledger knows; before it knows anything, what the agent reckons.
fn session(told: &Told, answer: Option<&PushStatuslineResponse>) -> Option<String> {
    let known = answer
        .and_then(|a| a.session.as_ref())
        .and_then(|s| s.cost.as_ref());
    let cost = known.or(told.cost.as_ref())?;
    Some(format!("{} session", dollars(pico_or_zero(Some(cost)))))
}

fn budget(state: &BudgetState, colour: bool) -> Option<String> {
    let budget = state.budget.as_ref()?;
    let light = match state.state.as_str() {
        "exceeded" | "critical" => Light::Red,
        "warn" => Light::Yellow,
        _ => Light::Green,
    };
    let limit = pico_or_zero(budget.limit_usd.as_ref());
    let left = limit - pico_or_zero(state.used_usd.as_ref());
    let left = match limit > 0 {
        true => format!(", {} left", dollars(left.max(0))),
        false => String::new(),
    };
    let text = format!("{} {} %{left}", show::clean(&budget.name), state.percent);
    Some(light.paint(&text, colour))
}

/// Official limits where they are known, else the open block.
fn limits(
    told: &Told,
    answer: Option<&PushStatuslineResponse>,
    clock: Clock,
    colour: bool,
) -> Option<String> {
    let known: &[Quota] = answer.map_or(&[], |a| &a.quotas);
    let from_agent = |reading: tokmon_client::v1::QuotaReading| Quota {
        used_percent: reading.used_percent,
        reading: Some(reading),
        ..Quota::default()
    };
    let own: Vec<Quota> = match known.is_empty() {
        true => told.quotas().into_iter().map(from_agent).collect(),
        false => known.to_vec(),
    };
    let mut running: Vec<&Quota> = own.iter().filter(|q| !q.over).collect();
    running.sort_by_key(|q| q.reading.as_ref().map_or(0, |r| r.window_minutes));
    let one = |q: &&Quota| {
        let reading = q.reading.as_ref()?;
        let left = reading.resets_at_ms - clock.0;
        let resets = match left > 0 {
            true => format!(" ({})", duration(left)),
            false => String::new(),
        };
        let light = match q.runs_out_at_ms {
            0 => Light::of(q.used_percent, 75.0, 90.0),
            _ => Light::of(q.used_percent, 0.0, 90.0),
        };
        let name = quota::short_name(&reading.limit);
        Some(light.paint(&format!("{name} {:.0} %{resets}", q.used_percent), colour))
    };
    let parts: Vec<String> = running.iter().filter_map(one).collect();
    match parts.is_empty() {
        false => Some(parts.join(" ")),
        true => block(answer?.block.as_ref()?, clock),
    }
}

fn block(block: &Block, clock: Clock) -> Option<String> {
    let left = block.end_ms - clock.0;
    (left > 0).then(|| format!("block {} left", duration(left)))
}

/// For programs.
pub(crate) fn as_json(answer: Option<&PushStatuslineResponse>, told: &Told) -> String {
    let cost =
        |totals: Option<&tokmon_client::v1::Totals>| to_json::money(totals.and_then(|t| t.cost.as_ref()));
    let budget = answer.and_then(|a| a.budget.as_ref()).map(|state| {
        json!({
            "name": state.budget.as_ref().map(|b| b.name.clone()), "percent": state.percent, "state": state.state,
            "resets_at": to_json::time(state.resets_at_ms),
        })
    });
    let quotas = answer.map(|a| a.quotas.iter().map(quota::as_json).collect::<Vec<_>>());
    let burn = answer.and_then(|a| a.block.as_ref()?.burn.as_ref()?.cost_per_hour.as_ref());
    to_json::document(&json!({
        "daemon": answer.is_some(),
        "session": told.session,
        "model": told.model,
        "context_percent": told.context_percent,
        "told_usd": to_json::money(told.cost.as_ref()),
        "session_usd": cost(answer.and_then(|a| a.session.as_ref())),
        "today_usd": cost(answer.and_then(|a| a.today.as_ref())),
        "usd_per_hour": to_json::money(burn),
        "budget": budget,
        "quotas": quotas.unwrap_or_default(),
        "refused": answer.map(|a| a.refused.clone()).unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use tokmon_client::v1::{Budget, Money, QuotaReading, Totals};

    use super::*;

    const NOW: i64 = 1_795_176_000_000;

    fn usd(usd: i64, cents: i64) -> Option<Money> {
        let pico = cents * 10_000_000_000;
        Some(Money { usd, pico })
    }

    fn answer() -> PushStatuslineResponse {
        let totals = |cost| {
            Some(Totals {
                cost,
                ..Totals::default()
            })
        };
        PushStatuslineResponse {
            session: totals(usd(1, 25)),
            today: totals(usd(5, 50)),
            budget: Some(BudgetState {
                budget: Some(Budget {
                    name: "daily".into(),
                    limit_usd: usd(20, 0),
                    ..Budget::default()
                }),
                used_usd: usd(5, 50),
                percent: 27,
                state: "ok".into(),
                ..BudgetState::default()
            }),
            quotas: vec![Quota {
                used_percent: 24.4,
                reading: Some(QuotaReading {
                    limit: "five_hour".into(),
                    resets_at_ms: NOW + 2 * 3_600_000,
                    ..QuotaReading::default()
                }),
                ..Quota::default()
            }],
            ..PushStatuslineResponse::default()
        }
    }

    #[test]
    fn the_line_has_what_is_known_in_the_order_asked_for() {
        let told = Told {
            model_name: "Opus".into(),
            context_percent: Some(86.0),
            ..Told::default()
        };
        let drawn = |segments: &[Segment], colour| draw(segments, &told, Some(&answer()), Clock(NOW), colour);
        assert_eq!(
            drawn(Segment::value_variants(), false),
            "Opus │ $1.25 session │ $5.50 today │ daily 27 %, $14.50 left │ ctx 86 % │ 5h 24 % (2 h 0 min)"
        );
        assert_eq!(
            drawn(&[Segment::Today, Segment::Model], false),
            "$5.50 today │ Opus"
        );
        assert_eq!(drawn(&[Segment::Context], true), "\u{1b}[31mctx 86 %\u{1b}[0m");
    }

    #[test]
    fn without_a_daemon_the_agent_s_own_word_is_shown() {
        let told = Told {
            cost: usd(0, 30),
            ..Told::default()
        };
        let drawn = draw(Segment::value_variants(), &told, None, Clock(NOW), false);
        assert_eq!(drawn, "$0.30 session │ tokmon is off");
    }
}
