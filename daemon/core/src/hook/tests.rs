//! Examples for hooks.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::budget::{Action, Budget, Counter, Used, Weights};
use crate::price::PriceBook;
use crate::state::{Draft, Rules};
use crate::testing::observation;

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;

fn budget(name: &str) -> Budget {
    Budget {
        name: name.into(),
        scope: Scope::default(),
        limit_tokens: 0,
        limit_usd: Pico(PICO_PER_USD),
        limit_requests: 0,
        window: Span::Day,
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

/// The state with budgets, each with so much money used today.
fn state(budgets: &[(Budget, i128)]) -> State {
    let rules = Rules {
        bundled: PriceBook::bundled(),
        waste: crate::waste::WasteRules::default(),
        runaway: Default::default(),
        keep_notes: false,
        zone: TimeZone::UTC,
        zones: |_| None,
        user: "me".into(),
    };
    let mut state = Draft::new(Arc::new(rules)).state;
    for (budget, used) in budgets {
        let day = 24 * 60 * 60 * 1000;
        let start_ms = NOON - NOON.rem_euclid(day);
        let counter = Counter {
            start_ms,
            end_ms: start_ms + day,
            session: None,
            used: Used {
                cost: Pico(*used),
                ..Used::default()
            },
            last_ms: NOON,
            alerted: 0,
            pending: Used::default(),
            overdraft: Used::default(),
        };
        let counters = if *used == 0 { Vec::new() } else { vec![counter] };
        let account = Account::new(Arc::new(budget.clone()), TimeZone::UTC, counters);
        state.budgets.insert(budget.name.clone(), Arc::new(account));
    }
    state
}

fn question() -> Question {
    Question {
        caller: Caller {
            agent: "claude-code".into(),
            session: "s".into(),
            task: "".into(),
            project: "/p".into(),
            user: "me".into(),
            tool: "".into(),
            provider: "anthropic".into(),
            model: "claude-sonnet-4-5".into(),
        },
        event: "UserPromptSubmit".into(),
        point: Point::Gate,
        whole: true,
    }
}

#[test]
fn it_may_go_on_while_something_is_left() {
    let at = |used| refused(&state(&[(budget("day"), used)]), &question(), NOON);
    assert_eq!(at(PICO_PER_USD - 1), None);
    let denied = at(PICO_PER_USD).unwrap();
    assert_eq!(
        denied.message,
        "tokmon: budget day is used up: $1 of $1. It resets 2026-11-21 00:00 UTC, in 12 h 0 min. \
         To go on now: `tokmonctl budget lift day`."
    );
    assert!(at(PICO_PER_USD + 1).unwrap().message.contains("$1.01 of $1"));
}

#[test]
fn the_policy_decides_where_nobody_can_say() {
    let open = budget("b");
    let closed = Budget {
        unreachable: Unreachable::Deny,
        ..budget("b")
    };
    let of_a_model = |budget: &Budget| Budget {
        scope: Scope {
            models: vec!["claude-sonnet-4-5".to_owned()],
            ..Scope::default()
        },
        ..budget.clone()
    };
    let garbled = Question {
        whole: false,
        point: Point::Unknown,
        ..question()
    };
    let unheard = Question {
        point: Point::Unknown,
        ..question()
    };
    let signal = Question {
        point: Point::Signal,
        ..question()
    };
    let mut modelless = question();
    modelless.caller.model = "".into();
    let (full, room) = (PICO_PER_USD, 0);
    for (budget, used, question, denied) in [
        (&open, full, &garbled, false),
        (&open, full, &unheard, false),
        (&open, full, &signal, false),
        (&closed, full, &garbled, true),
        (&closed, room, &garbled, true),
        (&closed, full, &unheard, true),
        (&closed, room, &unheard, false),
        (&closed, full, &signal, false),
        (&of_a_model(&open), full, &modelless, false),
        (&of_a_model(&closed), full, &modelless, true),
        (&of_a_model(&closed), room, &modelless, false),
        (&of_a_model(&open), full, &question(), true),
    ] {
        let got = refused(&state(&[(budget.clone(), used)]), question, NOON);
        assert_eq!(got.is_some(), denied, "{budget:?} {question:?}: {got:?}");
    }
}

#[test]
fn of_several_the_one_that_stays_longest_is_named() {
    let ever = Budget {
        window: Span::Lifetime,
        limit_usd: Pico(0),
        limit_requests: 1,
        ..budget("ever")
    };
    let mut state = state(&[(budget("day"), 2 * PICO_PER_USD), (ever, 0)]);
    assert_eq!(&*refused(&state, &question(), NOON).unwrap().budget, "day");
    let account = state.budgets.get_mut("ever").unwrap();
    Arc::make_mut(account).seed(
        &question().caller.place(NOON),
        &Used {
            requests: 1,
            ..Used::default()
        },
        NOON,
    );
    let refused = refused(&state, &question(), NOON).unwrap();
    assert!(
        refused.message.contains("does not reset by itself"),
        "{}",
        refused.message
    );
}

#[test]
fn a_model_that_is_not_named_is_that_of_the_sessions_last_call_or_the_agents() {
    let mut state = state(&[]);
    let mut seen = observation("k", NOON);
    seen.who.session = "other".into();
    Arc::make_mut(&mut state.habits).saw(&seen, None);
    let mut caller = question().caller;
    (caller.model, caller.provider, caller.user) = ("".into(), "".into(), "".into());
    let known = completed(caller.clone(), &state, &"me".into());
    assert_eq!(
        (&*known.model, &*known.provider, &*known.user),
        ("claude-sonnet-4-5", "anthropic", "me")
    );
    caller.agent = "codex".into();
    assert_eq!(&*completed(caller, &state, &"me".into()).model, "");
}

#[test]
fn denials_in_a_row_are_counted_until_it_may_go_on() {
    let mut memory = Memory::default();
    let day: Name = "day".into();
    let verdicts: Vec<Verdict> = (0..4)
        .map(|n| Verdict::after(memory.saw(&question(), Some(&day), NOON + n)))
        .collect();
    assert_eq!(
        verdicts,
        [Verdict::Deny, Verdict::Deny, Verdict::Stop, Verdict::Stop]
    );
    let signal = Question {
        point: Point::Signal,
        event: "Stop".into(),
        ..question()
    };
    memory.saw(&signal, None, NOON + 5);
    assert_eq!(memory.streaks()[0].denials, 4);
    memory.saw(&question(), None, NOON + 6);
    assert_eq!(memory.streaks(), []);
    assert_eq!((memory.fired()[0].count, memory.fired()[0].denied), (5, 4));
}

#[test]
fn the_memory_is_bounded_and_forgets_what_was_silent_longest() {
    let mut memory = Memory::default();
    for n in 0..2_000 {
        let mut question = question();
        question.caller.session = format!("s{n}").into();
        question.event = format!("e{n}").into();
        memory.saw(&question, Some(&"day".into()), NOON + n);
    }
    assert_eq!(memory.fired().len(), crate::limits::MAX_HOOK_EVENTS);
    assert_eq!(memory.streaks().len(), crate::limits::MAX_HOOK_SESSIONS);
    assert!(memory.fired().iter().any(|f| &*f.event == "e1999"));
}

#[test]
fn amounts_read_well() {
    for (pico, text) in [
        (20 * PICO_PER_USD, "$20"),
        (20 * PICO_PER_USD + 1, "$20.01"),
        (PICO_PER_USD / 2, "$0.5"),
        (16_500_000_000, "$0.0165"),
        (1, "$0.0001"),
        (0, "$0"),
    ] {
        assert_eq!(dollars(Pico(pico)), text);
    }
}
