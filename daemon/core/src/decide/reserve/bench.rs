//! A writer without a disk, for the tests of reservations.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::budget::{Action, Budget, Caller, Scope, Span, Unreachable, Weights};
use crate::decide::{Held as Call, Manner, Recorded};
use crate::entry::{Entry, Record};
use crate::merge::Candidate;
use crate::price::PriceBook;
use crate::state::Rules;
use crate::testing::observation;
use crate::waste::WasteRules;

/// 2026-11-20T12:00:00Z.
pub(super) const NOON: i64 = 1_795_176_000_000;
pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;

/// A writer without a disk: what it decides is applied and kept.
pub(super) struct Bench {
    pub(super) draft: Draft,
    pub(super) log: Vec<(Entry, Option<Record>)>,
    pub(super) now: i64,
    known: Vec<Key>,
}

impl Bench {
    pub(super) fn new(budgets: Vec<Budget>) -> Bench {
        let rules = Rules {
            bundled: PriceBook::bundled(),
            waste: WasteRules::default(),
            runaway: Default::default(),
            keep_notes: false,
            zone: TimeZone::UTC,
            zones: |name| TimeZone::get(name).ok(),
            user: "me".into(),
        };
        let mut bench = Bench {
            draft: Draft::new(Arc::new(rules)),
            log: Vec::new(),
            now: NOON,
            known: Vec::new(),
        };
        for budget in budgets {
            bench.set(budget);
        }
        bench
    }

    pub(super) fn push(&mut self, body: Body) {
        let seq = self.draft.state.last_seq + 1;
        let entry = Entry {
            seq,
            recorded_at_ms: self.now,
            by: None,
            body,
        };
        let crossings = self.draft.apply(&entry, None);
        self.log.push((entry, None));
        for crossing in crossings {
            self.push(crate::decide::alert(&crossing));
        }
    }

    pub(super) fn set(&mut self, budget: Budget) {
        let mut account = self.draft.open_account(budget).unwrap();
        if let Some(successor) = self.draft.successor(&account) {
            account = successor;
        }
        self.draft.complete_account(&mut account, self.now);
        let body = self.draft.set_budget_body(&account);
        self.push(body);
    }

    pub(super) fn sweep(&mut self) {
        for body in self.draft.expire(self.now) {
            self.push(body);
        }
    }

    pub(super) fn written(&mut self, reserved: Result<Reserved, Refusal>) -> Result<bool, Refusal> {
        match reserved? {
            Reserved::Known(..) => Ok(true),
            Reserved::Denied(..) => Ok(false),
            Reserved::Written { bodies, .. } => {
                bodies.into_iter().for_each(|body| self.push(body));
                Ok(true)
            }
        }
    }

    pub(super) fn reserve(&mut self, ask: Ask) -> Result<bool, Refusal> {
        self.sweep();
        let decided = self.draft.reserve(ask, self.now);
        self.written(decided)
    }

    pub(super) fn extend(&mut self, id: &str, ask: Ask) -> Result<bool, Refusal> {
        self.sweep();
        let decided = self.draft.extend(&id.into(), ask, self.now);
        self.written(decided)
    }

    /// How it had ended before, if it had.
    pub(super) fn settle(&mut self, id: &str, tokens: u64) -> Result<Option<End>, Refusal> {
        self.sweep();
        let mut seen = observation("any", self.now);
        seen.model = NO_MODEL.into();
        seen.provider = "".into();
        seen.tokens = Tokens {
            input: tokens,
            ..Tokens::default()
        };
        let spent = Spent { seen, named: false };
        match self.draft.settle(&id.into(), spent)? {
            Settled::Known(end) => Ok(Some(end)),
            Settled::Written { body, seen, .. } => {
                let seen = self.draft.prepare(*seen, self.now, Manner::Ask)?;
                self.push(body);
                self.call(seen);
                Ok(None)
            }
        }
    }

    /// Records a call, once.
    pub(super) fn call(&mut self, seen: Observation) {
        let held = if self.known.contains(&seen.key) {
            Call::Purged
        } else {
            Call::New
        };
        self.known.push(seen.key);
        if let Recorded::Written { opened, body, .. } =
            self.draft.record(Candidate::new(seen), held, self.now)
        {
            opened.into_iter().chain([body]).for_each(|body| self.push(body));
        }
    }

    pub(super) fn release(&mut self, id: &str) -> Result<Option<End>, Refusal> {
        self.sweep();
        match self.draft.release(&id.into())? {
            Released::Known(end) => Ok(Some(end)),
            Released::Written(body) => {
                self.push(body);
                Ok(None)
            }
        }
    }

    /// Posted, pending and overdraft in tokens, in the window of session `s` now.
    pub(super) fn stands(&self, budget: &str) -> (u64, u64, u64) {
        let who = ask("x", 1).caller;
        let account = &self.draft.state.budgets[budget];
        let standing = account.standing(&who.place(self.now), self.now);
        (
            standing.posted.tokens,
            standing.pending.tokens,
            standing.overdraft.tokens,
        )
    }

    pub(super) fn decided(&self, ask: Ask) -> Decision {
        let ask = ask.checked(&"me".into()).unwrap();
        budget::decide(&self.draft.state, &ask, self.now)
    }
}

pub(super) fn deny(name: &str, tokens: u64, window: Span) -> Budget {
    Budget {
        name: name.into(),
        scope: Scope::default(),
        limit_tokens: tokens,
        limit_usd: Pico::ZERO,
        limit_requests: 0,
        window,
        timezone: "".into(),
        warn_percent: 80,
        critical_percent: 95,
        action: Action::Deny,
        weights: Weights::default(),
        shadow: false,
        unreachable: Unreachable::Allow,
        on_runaway: Default::default(),
        adjust: None,
    }
}

pub(super) fn ask(id: &str, tokens: u64) -> Ask {
    Ask {
        id: id.into(),
        caller: Caller {
            agent: "a".into(),
            session: "s".into(),
            task: "".into(),
            project: "".into(),
            user: "".into(),
            tool: "".into(),
            provider: "".into(),
            model: "".into(),
        },
        tokens,
        usd: None,
        usage: Tokens::default(),
        appended: None,
        max_output: 0,
        strict: false,
        requests: 0,
        ttl_ms: HOUR,
    }
}
