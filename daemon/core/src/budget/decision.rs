//! The decision about a question: over every budget that covers it at once, from the state alone.

use super::standing::Unit;
use super::{Account, Action, Ask, Estimate, Standing, Unreachable};
use crate::Name;
use crate::calibration;
use crate::money::Pico;
use crate::runaway::Sign;
use crate::state::State;
use crate::task::Room;

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// It may be used.
    pub granted: bool,
    /// What would be, or is, reserved.
    pub estimate: Estimate,
    /// How sure the prompt is, where only what was appended to it was said.
    pub prompt: Option<calibration::Estimate>,
    /// The budget that refuses, or the one with the least room.
    pub binding: Option<Binding>,
    /// Refused only because of what open reservations hold: some of it may come back.
    pub waiting_helps: bool,
    /// Models of the same provider that would still fit, the dearest first.
    pub cheaper: Vec<Name>,
    /// Budgets in shadow mode that would have refused.
    pub would_deny: Vec<Name>,
    /// The budget has stopped this session: it runs away in this way.
    pub stopped: Option<Sign>,
    /// The price is not known, so limits in money do not see it.
    pub unpriced: bool,
}

/// The budget that decides, in the unit that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Its name.
    pub budget: Name,
    /// What it limits.
    pub unit: Unit,
    /// The limit in force.
    pub limit: i128,
    /// What was used.
    pub posted: i128,
    /// What is held.
    pub pending: i128,
    /// What is kept for tasks that go first.
    pub kept: i128,
    /// What is left.
    pub available: i128,
    /// What was asked for.
    pub asked: i128,
    /// When there is room again by itself; 0: never.
    pub resets_at_ms: i64,
}

/// What a decision rested on, as its entry keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grounds {
    /// The budget that decided, as it stood then. `None`: none covers the caller.
    pub binding: Option<Binding>,
    /// Budgets in shadow mode that would have refused.
    pub would_deny: Vec<Name>,
}

impl Grounds {
    /// A refusal of which no more is known.
    pub fn refused_by(budget: Name, unit: Unit, resets_at_ms: i64) -> Grounds {
        Grounds {
            binding: Some(Binding {
                budget,
                unit,
                limit: 0,
                posted: 0,
                pending: 0,
                kept: 0,
                available: 0,
                asked: 0,
                resets_at_ms,
            }),
            would_deny: Vec::new(),
        }
    }
}

impl Decision {
    /// What it rests on.
    pub fn grounds(&self) -> Grounds {
        Grounds {
            binding: self.binding.clone(),
            would_deny: self.would_deny.clone(),
        }
    }

    /// The same as it stands when what was asked for is held.
    pub fn held(mut self) -> Decision {
        if let Some(binding) = &mut self.binding {
            binding.pending += binding.asked;
            binding.available = (binding.available - binding.asked).max(0);
        }
        self
    }
}

impl Binding {
    /// The machine-readable reason of a refusal: the limit of a window that ends, or one that does not come back.
    pub fn reason(&self) -> &'static str {
        if self.resets_at_ms == 0 {
            "budget_exhausted"
        } else {
            "quota_exceeded"
        }
    }

    /// The limit in which a task's share has no room.
    pub(crate) fn of_share(room: &Room<'_>) -> Binding {
        Binding {
            budget: room.account.budget().name.clone(),
            unit: room.unit,
            limit: room.limit,
            posted: room.standing.posted.amount(room.unit),
            pending: room.standing.pending.amount(room.unit),
            kept: room.kept,
            available: (room.limit - room.standing.taken(room.unit) - room.kept).max(0),
            asked: room.asked,
            resets_at_ms: room.standing.resets_at_ms,
        }
    }
}

/// Most models that are proposed.
const PROPOSALS: usize = 3;

/// One limit as it meets the question.
struct Meeting<'a> {
    account: &'a Account,
    standing: Standing,
    unit: Unit,
    limit: i128,
    kept: i128,
    asked: i128,
    refuses: bool,
    /// The session is stopped, whatever the limit.
    stopped: Option<Sign>,
}

impl Meeting<'_> {
    /// It stands in the way, and not only in theory.
    fn blocks(&self) -> bool {
        let budget = self.account.budget();
        (self.refuses && budget.enforces()) || (self.stopped.is_some() && !budget.shadow)
    }

    /// It would fit if nothing were held.
    fn waits(&self) -> bool {
        self.stopped.is_none() && self.standing.posted.amount(self.unit) + self.asked.max(1) <= self.limit
    }

    fn binding(&self) -> Binding {
        Binding {
            budget: self.account.budget().name.clone(),
            unit: self.unit,
            limit: self.limit,
            posted: self.standing.posted.amount(self.unit),
            pending: self.standing.pending.amount(self.unit),
            kept: self.kept,
            available: (self.limit - self.standing.taken(self.unit) - self.kept).max(0),
            asked: self.asked,
            resets_at_ms: self.standing.resets_at_ms,
        }
    }

    /// How much is left after it, in millionths of the limit.
    fn room(&self) -> i128 {
        let left = self.limit - self.standing.taken(self.unit) - self.kept - self.asked;
        left.saturating_mul(1_000_000) / self.limit.max(1)
    }
}

/// Every limit that a question meets. `besides` is held by the asker already and asked for again.
fn meetings<'a>(
    state: &'a State,
    ask: &Ask,
    estimate: &Estimate,
    besides: Option<(&Estimate, i64)>,
    now_ms: i64,
) -> Vec<Meeting<'a>> {
    let caller = &ask.caller;
    let at_ms = besides.map_or(now_ms, |(_, at_ms)| at_ms);
    let mut met = Vec::new();
    for account in state.budgets.values() {
        let budget = account.budget();
        if !budget.scope.covers(caller) || account.is_lifted(&caller.session, now_ms) {
            continue;
        }
        let mut standing = account.standing(&caller.place(at_ms), now_ms);
        if let Some((held, _)) = besides {
            standing.pending.sub(&held.used(&budget.weights));
        }
        let asked = estimate.used(&budget.weights);
        let kept = state.tasks.kept(budget, caller);
        let stopped = account
            .stopped(&caller.agent, &caller.session)
            .map(|stop| stop.sign);
        let crowded = !account.has_room_for(&caller.place(at_ms), now_ms);
        for unit in Unit::ALL {
            let Some(limit) = standing.limits[unit as usize] else {
                continue;
            };
            let amount = asked.amount(unit);
            // Where nothing is left nothing is granted, also when the amount in this unit is not known.
            let kept = kept.amount(unit);
            let over = standing.taken(unit) + kept + amount.max(1) > limit;
            let blind =
                unit == Unit::Usd && estimate.cost.is_none() && budget.unreachable == Unreachable::Deny;
            met.push(Meeting {
                account,
                standing,
                unit,
                limit,
                kept,
                asked: amount,
                refuses: budget.action == Action::Deny && (over || blind || crowded),
                stopped,
            });
        }
    }
    met
}

/// Decides about a question that was checked.
pub fn decide(state: &State, ask: &Ask, now_ms: i64) -> Decision {
    let (ask, prompt) = ask.anchored(&state.habits, &state.calibrations);
    let ask = &ask;
    let estimate = ask.estimate(&state.habits, &state.book, now_ms);
    let mut decision = weigh(state, ask, estimate, None, now_ms);
    if let Some(binding) = decision
        .binding
        .as_ref()
        .filter(|b| !decision.granted && b.unit == Unit::Usd)
    {
        let room = Pico(binding.asked);
        decision.cheaper = cheaper(state, ask, room, now_ms);
    }
    decision.prompt = prompt;
    decision
}

/// Weighs an estimate against every budget that covers it.
pub(crate) fn weigh(
    state: &State,
    ask: &Ask,
    estimate: Estimate,
    besides: Option<(&Estimate, i64)>,
    now_ms: i64,
) -> Decision {
    let met = meetings(state, ask, &estimate, besides, now_ms);
    let shadow = |m: &&Meeting<'_>| (m.refuses || m.stopped.is_some()) && m.account.budget().shadow;
    let mut would_deny: Vec<Name> = met
        .iter()
        .filter(shadow)
        .map(|m| m.account.budget().name.clone())
        .collect();
    would_deny.dedup();
    let refusing: Vec<&Meeting<'_>> = met.iter().filter(|m| m.blocks()).collect();
    // The one that stays in the way longest: waiting does not help it, and its window ends last.
    let end = |m: &Meeting<'_>| match m.standing.resets_at_ms {
        0 => i64::MAX,
        end => end,
    };
    let blocking = refusing.iter().max_by_key(|m| (!m.waits(), end(m)));
    let tightest = || {
        let enforced = |m: &&Meeting<'_>| !m.account.budget().enforces();
        met.iter().min_by_key(|m| (enforced(m), m.room()))
    };
    let binding = blocking.copied().or_else(tightest);
    Decision {
        granted: refusing.is_empty(),
        stopped: blocking.and_then(|m| m.stopped),
        binding: binding.map(Meeting::binding),
        waiting_helps: !refusing.is_empty() && refusing.iter().all(|m| m.waits()),
        cheaper: Vec::new(),
        would_deny,
        unpriced: estimate.cost.is_none(),
        prompt: None,
        estimate,
    }
}

/// Models of the same provider that cost less and would be granted.
fn cheaper(state: &State, ask: &Ask, than: Pico, now_ms: i64) -> Vec<Name> {
    if ask.usd.is_some() || ask.caller.model.is_empty() {
        return Vec::new();
    }
    let mut fitting: Vec<(Pico, Name)> = Vec::new();
    for row in state.book.rows() {
        if row.provider != ask.caller.provider || row.model == ask.caller.model {
            continue;
        }
        let mut other = ask.clone();
        other.caller.model = row.model.clone();
        let estimate = other.estimate(&state.habits, &state.book, now_ms);
        let Some(cost) = estimate.cost.filter(|&cost| cost > Pico::ZERO && cost < than) else {
            continue;
        };
        let known = fitting.iter().any(|(_, model)| *model == row.model);
        if !known && weigh(state, &other, estimate, None, now_ms).granted {
            fitting.push((cost, row.model.clone()));
        }
    }
    fitting.sort_by(|a, b| b.cmp(a));
    fitting.truncate(PROPOSALS);
    fitting.into_iter().map(|(_, model)| model).collect()
}
