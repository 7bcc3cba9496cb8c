//! A limit that follows what is used: off unless it is asked for, within bounds, and by no more than a step at the turn
//! of a window.

use serde::{Deserialize, Serialize};

use super::{Account, Budget, Span, Unit, Used, suggest};
use crate::Name;
use crate::money::{Pico, grouped};
use crate::refusal::Refusal;

/// Past windows in which something was used that a limit is made of, as many as `budget suggest` looks at.
pub const ADJUST_WINDOWS: usize = 30;
/// Fewer say too little.
const FEWEST_WINDOWS: usize = 3;
/// Percent of a limit by which it moves at most, when nothing else is said.
const USUAL_STEP: u32 = 20;

/// How a limit follows what is used. Amounts are in the unit of the budget's one limit: tokens, pico-dollars, calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Adjust {
    /// What of the past windows the limit is made of.
    pub to: Target,
    /// It is never lower …
    pub min: i128,
    /// … and never higher.
    pub max: i128,
    /// Most percent by which it moves at the turn of a window; 0 means 20.
    pub step_percent: u32,
    /// The limit as somebody set it.
    pub set: i128,
    /// The start of the window that the limit in force was decided for, milliseconds. Known from the entry.
    pub window_start_ms: i64,
    /// Why it is what it is; empty: somebody set it so.
    pub why: Name,
}

/// What of past windows a limit is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// What half of the windows stay within.
    Median,
    /// What nineteen in twenty stay within.
    #[default]
    P95,
    /// A fifth more than that.
    P95More,
    /// A fifth more than the most that was used.
    MaxMore,
}

impl Target {
    /// All of them.
    const ALL: [Target; 4] = [Target::Median, Target::P95, Target::P95More, Target::MaxMore];

    /// Reads "median", "p95", "p95+20" or "max+20".
    pub fn parse(text: &str) -> Result<Target, Refusal> {
        let found = Target::ALL.into_iter().find(|target| target.name() == text);
        found.ok_or_else(|| {
            let cut: String = text.chars().take(80).collect();
            let allowed = "median, p95, p95+20 or max+20";
            Refusal::invalid("adjust.to", format!("{cut:?} is not known"), allowed)
        })
    }

    /// The word that [`Target::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Target::Median => "median",
            Target::P95 => "p95",
            Target::P95More => "p95+20",
            Target::MaxMore => "max+20",
        }
    }

    /// What [`suggest`] calls it.
    fn basis(self) -> &'static str {
        match self {
            Target::Median => "median",
            Target::P95 => "p95",
            Target::P95More => "p95 + 20 %",
            Target::MaxMore => "max + 20 %",
        }
    }
}

/// A limit for a window, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjusted {
    /// The unit of the limit.
    pub unit: Unit,
    /// The limit.
    pub limit: i128,
    /// The figures that it is made of.
    pub why: String,
}

impl Adjust {
    /// Checks it for a budget with one limit, and fills in the default.
    fn checked(mut self, budget: &Budget) -> Result<Adjust, Refusal> {
        let calendar = matches!(budget.window, Span::Hour | Span::Day | Span::Week | Span::Month);
        if !calendar {
            let problem = format!(
                "a window of {} has no turn at which a limit could change",
                budget.window
            );
            return Err(Refusal::invalid(
                "adjust",
                problem,
                "the window hour, day, week or month",
            ));
        }
        if !budget.scope.tasks.is_empty() {
            let problem = "totals of the past do not tell tasks apart";
            return Err(Refusal::invalid("adjust", problem, "a scope without tasks"));
        }
        let Some((unit, limit)) = budget.only_limit() else {
            let problem = "the budget has several limits";
            return Err(Refusal::invalid(
                "adjust",
                problem,
                "one of tokens, money and calls",
            ));
        };
        let show = |amount| amount_of(unit, amount);
        if self.min < 1 || self.max < 1 {
            let field = if self.min < 1 { "adjust.min" } else { "adjust.max" };
            let allowed = "an amount above 0: a limit that follows what is used needs both bounds";
            return Err(Refusal::invalid(field, "it is missing", allowed));
        }
        if !(self.min..=self.max).contains(&limit) {
            let problem = format!(
                "the limit {} is not within {} and {}",
                show(limit),
                show(self.min),
                show(self.max)
            );
            return Err(Refusal::invalid(
                "adjust.min",
                problem,
                "adjust.min <= limit <= adjust.max",
            ));
        }
        let step = self.step_percent;
        self.step_percent = if step == 0 { USUAL_STEP } else { step };
        if self.step_percent > 100 {
            return Err(Refusal::invalid(
                "adjust.step_percent",
                step.to_string(),
                "1 to 100",
            ));
        }
        self.set = limit;
        Ok(self)
    }

    /// The limit of the next window: what `totals`, the last windows that are over, would have it be, no further from
    /// `limit` than a step and never beyond the bounds. It is not lowered below `taken`, what is used and held already.
    pub fn next(&self, unit: Unit, limit: i128, taken: i128, totals: &[Used]) -> Adjusted {
        let stays = |why: &str| Adjusted {
            unit,
            limit,
            why: format!("stays at {}: {why}", amount_of(unit, limit)),
        };
        if totals.len() < FEWEST_WINDOWS {
            return stays(&format!(
                "{} past windows with usage, {FEWEST_WINDOWS} are needed",
                totals.len()
            ));
        }
        let found = suggest(totals, unit, None);
        let found = found.and_then(|found| found.limits.into_iter().find(|l| l.basis == self.to.basis()));
        let Some(wanted) = found.map(|found| found.limit) else {
            return stays("the past windows used nothing of it");
        };
        let step = (limit.saturating_mul(self.step_percent.into()) / 100).max(1);
        let stepped = wanted.clamp(limit.saturating_sub(step), limit.saturating_add(step));
        let bounded = stepped.clamp(self.min, self.max);
        let next = bounded.max(taken.min(limit));
        let held_by = match () {
            () if next != bounded => ", held by what is in use".to_owned(),
            () if bounded != stepped => {
                format!(
                    ", within {} to {}",
                    amount_of(unit, self.min),
                    amount_of(unit, self.max)
                )
            }
            () if stepped != wanted => format!(", by a step of at most {} %", self.step_percent),
            () => String::new(),
        };
        Adjusted {
            unit,
            limit: next,
            why: format!(
                "{} to {}: {} of the last {} windows is {}{held_by}",
                amount_of(unit, limit),
                amount_of(unit, next),
                self.to.basis(),
                totals.len(),
                amount_of(unit, wanted),
            ),
        }
    }
}

impl Budget {
    /// Its limit, when it has just one.
    pub fn only_limit(&self) -> Option<(Unit, i128)> {
        let limits: [i128; 3] = [
            self.limit_tokens.into(),
            self.limit_usd.0,
            self.limit_requests.into(),
        ];
        let mut set = Unit::ALL
            .into_iter()
            .map(|unit| (unit, limits[unit as usize]))
            .filter(|&(_, limit)| limit > 0);
        let first = set.next()?;
        set.next().is_none().then_some(first)
    }

    pub(super) fn checked_adjust(&mut self) -> Result<(), Refusal> {
        if let Some(adjust) = self.adjust.take() {
            self.adjust = Some(Box::new(adjust.checked(self)?));
        }
        Ok(())
    }

    fn set_limit(&mut self, unit: Unit, limit: i128) {
        let whole = || u64::try_from(limit).unwrap_or_default();
        match unit {
            Unit::Tokens => self.limit_tokens = whole(),
            Unit::Usd => self.limit_usd = Pico(limit),
            Unit::Requests => self.limit_requests = whole(),
        }
    }
}

impl Account {
    /// When its limit is to be decided anew. `None`: it stays as it is set.
    pub fn adjust_due_ms(&self) -> Option<i64> {
        let adjust = self.budget().adjust.as_ref()?;
        let window = self.budget().window.around(adjust.window_start_ms, self.zone())?;
        Some(window.1)
    }

    /// A limit that was set now holds in this window: it is decided anew in the next.
    pub(crate) fn begin_adjusting(&mut self, now_ms: i64) {
        if self.budget().adjust.is_some() {
            self.decide_limit(None, now_ms);
        }
    }

    /// What the rule makes of past windows, when `taken` is used and held already.
    pub fn next_limit(&self, totals: &[Used], taken: &Used) -> Option<Adjusted> {
        let adjust = self.budget().adjust.as_ref()?;
        let (unit, limit) = self.budget().only_limit()?;
        Some(adjust.next(unit, limit, taken.amount(unit), totals))
    }

    /// The same account with the limit of the window that runs now; what it counted, held and lifted stays.
    pub fn adjusted(&self, totals: &[Used], now_ms: i64) -> Option<Account> {
        let standing = self.view(now_ms).standing;
        let mut taken = standing.posted;
        taken.add(&standing.pending);
        let next = self.next_limit(totals, &taken)?;
        let mut account = self.clone();
        account.decide_limit(Some(next), now_ms);
        Some(account)
    }

    fn decide_limit(&mut self, next: Option<Adjusted>, now_ms: i64) {
        let window = self.budget().window.around(now_ms, self.zone());
        let budget = self.budget_mut();
        if let Some(next) = &next {
            budget.set_limit(next.unit, next.limit);
        }
        if let Some(adjust) = &mut budget.adjust {
            adjust.window_start_ms = window.map_or(now_ms, |window| window.0);
            adjust.why = next.map_or_else(String::new, |next| next.why).into();
        }
    }
}

/// An amount for people.
fn amount_of(unit: Unit, amount: i128) -> String {
    match unit {
        Unit::Usd => format!("${}", Pico(amount)),
        Unit::Tokens => format!("{} tokens", grouped(amount)),
        Unit::Requests => format!("{} calls", grouped(amount)),
    }
}

#[cfg(test)]
mod tests;
