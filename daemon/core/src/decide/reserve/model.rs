//! Any interleaving of reserve, settle, release, extend, expiry, unreserved calls, crash and replay: what is posted and
//! pending stays within the limit and what was recorded as overdraft, and is the sum of what was let in.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bench::{Bench, NOON, ask, deny};
use super::*;
use crate::budget::Span;
use crate::testing::observation;

/// One step.
#[derive(Debug, Clone)]
enum Step {
    Reserve(u8, u8, u64),
    Settle(u8, u64),
    Release(u8),
    Extend(u8, u64),
    Call(u8, u8, u64),
    Wait(i64),
    Crash(bool),
    Save,
}

fn step(honest: bool) -> impl Strategy<Value = Step> {
    let most = if honest { 0 } else { 60_u64 };
    prop_oneof![
        4 => (0..12_u8, 0..2_u8, 1..60_u64).prop_map(|(id, who, n)| Step::Reserve(id, who, n)),
        4 => (0..12_u8, 0..60_u64).prop_map(|(id, n)| Step::Settle(id, n)),
        1 => (0..12_u8).prop_map(Step::Release),
        2 => (0..12_u8, 1..80_u64).prop_map(|(id, n)| Step::Extend(id, n)),
        1 => (0..9_u8, 0..2_u8, 0..=most).prop_map(|(id, who, n)| Step::Call(id, who, n)),
        2 => (1..7_200_000_i64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Crash),
        1 => Just(Step::Save),
    ]
}

/// What is let in and used, by id: when, by whom, how much, and whether it still holds.
#[derive(Debug, Default)]
struct Model {
    held: BTreeMap<String, (i64, String, u64)>,
    used: Vec<(i64, String, u64)>,
    /// Something was used that nobody had reserved.
    excess: bool,
}

const BUDGETS: [(&str, u64, Span); 4] = [
    ("day", 150, Span::Day),
    ("session", 90, Span::Session),
    ("block", 120, Span::Hours(5)),
    ("rolling", 140, Span::Rolling(300)),
];

struct Run {
    bench: Bench,
    model: Model,
    saved: Option<(Vec<u8>, usize)>,
    honest: bool,
}

impl Run {
    fn new(honest: bool) -> Run {
        let budgets = BUDGETS.map(|(name, limit, window)| deny(name, limit, window));
        Run {
            bench: Bench::new(budgets.to_vec()),
            model: Model::default(),
            saved: None,
            honest,
        }
    }

    fn step(&mut self, step: &Step) {
        let name = |id: &u8| format!("r{id}");
        let bench = &mut self.bench;
        match step {
            Step::Reserve(id, who, n) => {
                let mut ask = ask(&name(id), *n);
                ask.caller.session = format!("s{who}").into();
                let before = bench.draft.reservations.len();
                bench.sweep();
                let swept = bench.draft.reservations.len();
                assert!(swept <= before);
                if bench.reserve(ask) == Ok(true) && bench.draft.reservations.len() > swept {
                    let held = (bench.now, format!("s{who}"), *n);
                    self.model.held.insert(name(id), held);
                }
            }
            Step::Settle(id, n) => {
                let open = self.model.held.get(&name(id)).cloned();
                let n = match &open {
                    Some((_, _, held)) if self.honest => (*n).min(*held),
                    _ => *n,
                };
                // An honest caller settles in time.
                if self.honest && open.is_none() {
                    return;
                }
                let at_ms = match bench.draft.reservations.get(&name(id)) {
                    Held::Open(r) => r.at_ms,
                    Held::Ended(e) => e.reservation.at_ms,
                    Held::Unknown => 0,
                };
                let session = match bench.draft.reservations.get(&name(id)) {
                    Held::Open(r) => r.caller.session.to_string(),
                    Held::Ended(e) => e.reservation.caller.session.to_string(),
                    Held::Unknown => String::new(),
                };
                if bench.settle(&name(id), n) == Ok(None) {
                    let held = self.model.held.remove(&name(id)).map_or(0, |h| h.2);
                    self.model.excess |= n > held;
                    self.model.used.push((at_ms, session, n));
                }
            }
            Step::Release(id) => {
                if bench.release(&name(id)) == Ok(None) {
                    self.model.held.remove(&name(id));
                }
            }
            Step::Extend(id, n) => {
                if bench.extend(&name(id), ask("", *n)) == Ok(true)
                    && let Some(held) = self.model.held.get_mut(&name(id))
                {
                    held.2 = held.2.max(*n);
                }
            }
            Step::Call(id, who, n) => {
                let key = format!("call{id}");
                let mut seen = observation(&key, bench.now);
                seen.who.agent = "a".into();
                seen.who.session = format!("s{who}").into();
                seen.tokens = Tokens {
                    input: *n,
                    ..Tokens::default()
                };
                let before = bench.log.len();
                bench.call(seen);
                if bench.log.len() > before {
                    self.model.excess |= *n > 0;
                    self.model.used.push((bench.now, format!("s{who}"), *n));
                }
            }
            Step::Wait(ms) => bench.now += ms,
            Step::Save => self.saved = Some((bench.draft.save(), bench.log.len())),
            Step::Crash(from_start) => {
                let rules = bench.draft.rules().clone();
                let (mut draft, after) = match self.saved.as_ref().filter(|_| !from_start) {
                    Some((bytes, after)) => (Draft::load(rules, bytes).unwrap(), *after),
                    None => (Draft::new(rules), 0),
                };
                for (entry, previous) in &bench.log[after..] {
                    draft.replay(entry, previous.as_ref());
                }
                assert_eq!(draft.reservations, bench.draft.reservations);
                assert_eq!(draft.state.next_expiry_ms, bench.draft.state.next_expiry_ms);
                assert_eq!(draft.state.habits, bench.draft.state.habits);
                for (name, account) in &draft.state.budgets {
                    let former = &bench.draft.state.budgets[name];
                    assert_eq!(account.view(bench.now), former.view(bench.now), "{name}");
                }
                bench.draft = draft;
            }
        }
        let open = &bench.draft.reservations;
        self.model
            .held
            .retain(|id, _| matches!(open.get(id), Held::Open(_)));
        self.check();
    }

    /// Every window of every budget that runs now.
    fn check(&self) {
        let now = self.bench.now;
        for (name, limit, window) in BUDGETS {
            let account = &self.bench.draft.state.budgets[name];
            for session in ["s0", "s1"] {
                let mut caller = ask("", 1).caller;
                caller.session = session.into();
                let standing = account.standing(&caller.place(now), now);
                let (posted, pending) = (standing.posted.tokens, standing.pending.tokens);
                let overdraft = standing.overdraft.tokens;
                assert!(posted + pending <= limit + overdraft, "{name}: {standing:?}");
                if !self.model.excess {
                    assert_eq!(overdraft, 0, "{name}: {standing:?}");
                }
                let start = match window {
                    Span::Day => now.div_euclid(86_400_000) * 86_400_000,
                    Span::Session => i64::MIN,
                    // Where a block begins is shown elsewhere; sums inside it are shown by the others.
                    _ => continue,
                };
                let mine = |(at, who, _): &&(i64, String, u64)| {
                    *at >= start && (window != Span::Session || who == session)
                };
                let sum = |all: Vec<&(i64, String, u64)>| all.iter().map(|(_, _, n)| n).sum::<u64>();
                assert_eq!(
                    posted,
                    sum(self.model.used.iter().filter(mine).collect()),
                    "{name}"
                );
                assert_eq!(
                    pending,
                    sum(self.model.held.values().filter(mine).collect()),
                    "{name}"
                );
            }
        }
        let held: Vec<&String> = self.model.held.keys().collect();
        let open: Vec<String> = self
            .bench
            .draft
            .reservations
            .open()
            .map(|r| r.id.to_string())
            .collect();
        assert_eq!(held, open.iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_reservation_that_outlives_its_block_begins_no_other_after_a_restart() {
    let mut run = Run::new(false);
    for step in [
        Step::Reserve(2, 0, 1),
        Step::Settle(2, 0),
        Step::Wait(4 * 3_600_000 + 1_800_000),
        Step::Reserve(0, 0, 1),
        Step::Wait(1_800_000),
        Step::Call(1, 0, 0),
        Step::Save,
        Step::Crash(false),
    ] {
        run.step(&step);
    }
    let mut other = Run::new(false);
    for step in [
        Step::Reserve(1, 0, 1),
        Step::Wait(4 * 3_600_000 + 1_800_000),
        Step::Reserve(0, 0, 1),
        Step::Wait(1_800_000),
        Step::Settle(1, 0),
        Step::Save,
        Step::Crash(false),
    ] {
        other.step(&step);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_passes_a_limit(steps in proptest::collection::vec(step(true), 1..120)) {
        let mut run = Run::new(true);
        for step in &steps {
            run.step(step);
        }
        prop_assert!(!run.model.excess && run.bench.now >= NOON);
    }

    #[test]
    fn what_passes_a_limit_all_the_same_is_recorded(steps in proptest::collection::vec(step(false), 1..120)) {
        let mut run = Run::new(false);
        for step in &steps {
            run.step(step);
        }
    }
}
