//! The last minute of every API, what its provider said, and whether a call may be made now.

use std::collections::{BTreeMap, VecDeque};

use super::{Allowance, Api, Apis, RETRIES, Reported, TIMEOUT_MS};
use crate::Name;
use crate::limits::MAX_METERED_APIS;

/// The window, in steps of a second. A step leaves it when all of it is older than a minute, so that no minute holds more
/// than the limit.
const MINUTE_MS: i64 = 60_000;
const STEP_MS: i64 = 1_000;
/// Wait before a call is tried again, in milliseconds: doubled each time, up to the most.
const BACKOFF_MS: i64 = 1_000;
const MOST_BACKOFF_MS: i64 = 60_000;

/// Why a call has to wait, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The minute's calls or tokens are used up, by our limit or by what the provider said.
    QuotaExceeded,
    /// More tokens than a minute has: waiting does not help.
    TooLarge,
    /// The other side failed, several times in a row.
    IntegrationError,
}

impl Reason {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Reason::QuotaExceeded => "quota_exceeded",
            Reason::TooLarge => "too_large",
            Reason::IntegrationError => "integration_error",
        }
    }
}

/// Whether a call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// It may, and it counts.
    pub allowed: bool,
    /// When it makes sense to ask again, from now; 0 when allowed.
    pub wait_ms: i64,
    /// Why not.
    pub reason: Option<Reason>,
    /// Calls that are left, by what we count and what the provider said. `None`: not limited.
    pub requests_left: Option<u64>,
    /// Tokens that are left.
    pub tokens_left: Option<u64>,
    /// When the provider said that its limit is full again; 0: it said nothing, or it is.
    pub resets_at_ms: i64,
    /// The first of the APIs to go to instead that has room now.
    pub next: Option<Name>,
    /// How often to try again after a failure.
    pub retries_left: u32,
    /// How long to wait before that.
    pub backoff_ms: i64,
    /// How long to wait for the answer.
    pub timeout_ms: i64,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// The provider refused it because of a limit (429).
    Limited,
    /// It failed: no connection, a time-out, an error of the provider (5xx).
    Failed,
}

/// One API.
#[derive(Debug, Clone, Default)]
struct Line {
    /// Start of a second, calls and tokens in it; the oldest first.
    steps: VecDeque<(i64, u64, u64)>,
    requests: Allowance,
    tokens: Allowance,
    /// Nothing goes before this instant, and whether that is because the other side failed.
    blocked_until_ms: i64,
    failed: bool,
    /// Failures and refusals in a row.
    in_a_row: u32,
    last_ms: i64,
}

/// Every API that was asked for lately.
#[derive(Debug, Default)]
pub struct Meter {
    lines: BTreeMap<Name, Line>,
}

impl Meter {
    /// Whether a call may be made now; when it may, it counts.
    pub fn acquire(&mut self, apis: &Apis, name: &Name, tokens: u64, now_ms: i64) -> Answer {
        let mut answer = self.look(apis, name, tokens, now_ms);
        if answer.allowed {
            let line = self.line(name, now_ms);
            line.count(1, tokens, now_ms);
            for (left, used) in [
                (&mut line.requests.remaining, 1),
                (&mut line.tokens.remaining, tokens),
            ] {
                *left = left.map(|left| left.saturating_sub(used));
            }
            answer.requests_left = answer.requests_left.map(|left| left.saturating_sub(1));
            answer.tokens_left = answer.tokens_left.map(|left| left.saturating_sub(tokens));
        } else {
            let set = apis.get(name);
            let others = set.iter().flat_map(|api| &api.fallback);
            answer.next = others
                .into_iter()
                .find(|other| self.look(apis, other, tokens, now_ms).allowed)
                .cloned();
        }
        answer
    }

    /// The same without counting anything.
    pub fn look(&self, apis: &Apis, name: &Name, tokens: u64, now_ms: i64) -> Answer {
        let usual;
        let api = match apis.get(name) {
            Some(api) => &**api,
            None => {
                usual = Api::usual(name.clone());
                &usual
            }
        };
        let idle = Line::default();
        let line = self.lines.get(name).unwrap_or(&idle);
        let mut wait_ms = (line.blocked_until_ms - now_ms).max(0);
        let mut reason = (wait_ms > 0).then_some(if line.failed {
            Reason::IntegrationError
        } else {
            Reason::QuotaExceeded
        });
        let (mut lefts, mut resets_at_ms) = ([None, None], 0);
        let limits = [
            (api.requests_per_minute, 1, line.requests),
            (api.tokens_per_minute, tokens, line.tokens),
        ];
        for (at, (limit, asked, said)) in limits.into_iter().enumerate() {
            let amount = |step: &(i64, u64, u64)| if at == 0 { step.1 } else { step.2 };
            if limit > 0 {
                let used: u64 = line.live(now_ms).map(amount).sum();
                lefts[at] = Some(limit.saturating_sub(used));
                if asked > limit {
                    reason = Some(Reason::TooLarge);
                } else if used.saturating_add(asked) > limit {
                    let wait = line.room_after(used.saturating_add(asked) - limit, amount, now_ms);
                    wait_ms = wait_ms.max(wait);
                    reason = reason.or(Some(Reason::QuotaExceeded));
                }
            }
            // What a provider said holds until its reset; without one, for a minute.
            let reset = said.reset_ms.unwrap_or(line.last_ms.saturating_add(MINUTE_MS));
            if let Some(remaining) = said.remaining.filter(|_| reset > now_ms) {
                lefts[at] = Some(lefts[at].map_or(remaining, |left| left.min(remaining)));
                resets_at_ms = resets_at_ms.max(reset);
                if asked > remaining {
                    wait_ms = wait_ms.max(reset - now_ms);
                    reason = reason.or(Some(Reason::QuotaExceeded));
                }
            }
        }
        Answer {
            allowed: reason.is_none(),
            wait_ms,
            reason,
            requests_left: lefts[0],
            tokens_left: lefts[1],
            resets_at_ms,
            next: None,
            retries_left: RETRIES.saturating_sub(line.in_a_row),
            backoff_ms: backoff(line.in_a_row),
            timeout_ms: TIMEOUT_MS,
        }
    }

    /// Takes note of what came of a call: what the headers said, how it ended, and tokens beyond those it was acquired for.
    pub fn report(&mut self, name: &Name, outcome: Outcome, said: &Reported, tokens: u64, now_ms: i64) {
        let line = self.line(name, now_ms);
        line.count(0, tokens, now_ms);
        for (kept, said) in [
            (&mut line.requests, said.requests),
            (&mut line.tokens, said.tokens),
        ] {
            if said != Allowance::default() {
                *kept = said;
            }
        }
        if outcome == Outcome::Answered {
            line.in_a_row = 0;
            line.failed = false;
            line.blocked_until_ms = said.retry_at_ms.unwrap_or(0);
            return;
        }
        line.in_a_row = line.in_a_row.saturating_add(1);
        line.failed = outcome == Outcome::Failed;
        let blocked = match (said.retry_at_ms, outcome) {
            (Some(at), _) => at,
            (None, Outcome::Limited) => now_ms.saturating_add(backoff(line.in_a_row - 1)),
            // One failure may be chance; after as many as are tried again, the other side is down.
            _ if line.in_a_row >= RETRIES => now_ms.saturating_add(backoff(line.in_a_row - 1)),
            _ => 0,
        };
        line.blocked_until_ms = line.blocked_until_ms.max(blocked);
    }

    /// The names of all that were asked for lately.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.lines.keys()
    }

    fn line(&mut self, name: &Name, now_ms: i64) -> &mut Line {
        if self.lines.len() >= MAX_METERED_APIS && !self.lines.contains_key(name) {
            let silent = self.lines.iter().min_by_key(|(_, line)| line.last_ms);
            silent
                .map(|(name, _)| name.clone())
                .map(|name| self.lines.remove(&name));
        }
        let line = self.lines.entry(name.clone()).or_default();
        // A clock that goes back opens no minute again.
        line.last_ms = line.last_ms.max(now_ms);
        line
    }
}

impl Line {
    fn count(&mut self, requests: u64, tokens: u64, now_ms: i64) {
        let now_ms = self.last_ms.max(now_ms);
        while self.steps.front().is_some_and(|step| !live(step, now_ms)) {
            self.steps.pop_front();
        }
        let start = now_ms - now_ms.rem_euclid(STEP_MS);
        match self.steps.back_mut().filter(|step| step.0 == start) {
            Some(step) => {
                step.1 = step.1.saturating_add(requests);
                step.2 = step.2.saturating_add(tokens);
            }
            None => self.steps.push_back((start, requests, tokens)),
        }
    }

    fn live(&self, now_ms: i64) -> impl Iterator<Item = &(i64, u64, u64)> {
        self.steps.iter().filter(move |step| live(step, now_ms))
    }

    /// How long until so much has left the minute.
    fn room_after(&self, much: u64, amount: impl Fn(&(i64, u64, u64)) -> u64, now_ms: i64) -> i64 {
        let mut gone: u64 = 0;
        for step in self.live(now_ms) {
            gone = gone.saturating_add(amount(step));
            if gone >= much {
                return step.0 + STEP_MS + MINUTE_MS - now_ms;
            }
        }
        MINUTE_MS
    }
}

fn live(step: &(i64, u64, u64), now_ms: i64) -> bool {
    step.0 + STEP_MS + MINUTE_MS > now_ms
}

fn backoff(in_a_row: u32) -> i64 {
    (BACKOFF_MS << in_a_row.min(6)).min(MOST_BACKOFF_MS)
}
