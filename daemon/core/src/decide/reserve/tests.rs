//! Examples for reservations: what can go wrong with budgets elsewhere, each by its name.

use super::bench::{Bench, DAY, HOUR, NOON, ask, deny};
use super::*;
use crate::budget::{Action, Budget, Lift, Span, Unit, Unreachable, Used};
use crate::entry::{Entry, Record};
use crate::observation::CallKind;
use crate::testing::observation;

#[test]
fn concurrent_first_requests_do_not_pass_a_limit_together() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    let granted = (0..1_000)
        .filter(|n| bench.reserve(ask(&format!("r{n}"), 7)).unwrap())
        .count();
    assert_eq!(granted, 14);
    assert_eq!(bench.stands("d"), (0, 98, 0));
}

#[test]
fn all_budgets_hold_it_or_none() {
    let wide = deny("wide", 1_000, Span::Day);
    let mut narrow = deny("narrow", 10, Span::Lifetime);
    narrow.scope.agents = vec!["a".into()];
    let mut bench = Bench::new(vec![narrow, wide]);
    assert!(!bench.reserve(ask("r", 11)).unwrap());
    assert_eq!((bench.stands("wide").1, bench.stands("narrow").1), (0, 0));
    let decision = bench.decided(ask("r", 11));
    let binding = decision.binding.unwrap();
    assert_eq!((&*binding.budget, binding.available), ("narrow", 10));
    assert!(!decision.waiting_helps);
    assert!(bench.reserve(ask("r", 10)).unwrap());
    assert_eq!((bench.stands("wide").1, bench.stands("narrow").1), (10, 10));
}

#[test]
fn the_order_of_set_and_the_name_do_not_matter_to_who_refuses() {
    let tight = |name| deny(name, 10, Span::Month);
    let loose = |name| deny(name, 20, Span::Day);
    for budgets in [[tight("a"), loose("b")], [tight("z"), loose("b")]] {
        let bench = Bench::new(budgets.to_vec());
        let binding = bench.decided(ask("r", 30)).binding.unwrap();
        assert_eq!(binding.limit, 10, "the one whose window ends last");
    }
}

#[test]
fn a_retry_is_the_same_reservation_and_other_content_is_a_conflict() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    assert!(bench.reserve(ask("r", 60)).unwrap());
    assert!(bench.reserve(ask("r", 60)).unwrap());
    assert_eq!(bench.stands("d").1, 60);
    let other = bench.reserve(ask("r", 61));
    assert!(matches!(other, Err(Refusal::Conflict { .. })), "{other:?}");
    bench.release("r").unwrap();
    assert!(
        bench.reserve(ask("r", 60)).unwrap(),
        "a late retry gets the same answer"
    );
    assert_eq!(bench.stands("d").1, 0, "and holds nothing again");
    assert!(bench.reserve(ask("r", 61)).is_err());
}

#[test]
fn settling_twice_counts_once_and_with_another_figure_is_a_conflict() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 60)).unwrap();
    assert_eq!(bench.settle("r", 40).unwrap(), None);
    assert_eq!(bench.settle("r", 40).unwrap(), Some(End::Settled));
    assert!(matches!(bench.settle("r", 41), Err(Refusal::Conflict { .. })));
    assert_eq!(bench.stands("d"), (40, 0, 0));
    assert_eq!(bench.release("r").unwrap(), Some(End::Settled));
    assert_eq!(bench.stands("d"), (40, 0, 0));
    assert!(matches!(bench.settle("nobody", 1), Err(Refusal::NotFound { .. })));
}

#[test]
fn an_explicit_zero_is_zero() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 60)).unwrap();
    assert_eq!(bench.settle("r", 0).unwrap(), None);
    assert_eq!(bench.stands("d"), (0, 0, 0));
}

#[test]
fn more_than_was_reserved_is_booked_as_overdraft_and_the_next_is_refused() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 90)).unwrap();
    bench.settle("r", 95).unwrap();
    assert_eq!(
        bench.stands("d"),
        (95, 0, 0),
        "within the limit there is no overdraft"
    );
    bench.reserve(ask("q", 5)).unwrap();
    bench.settle("q", 35).unwrap();
    assert_eq!(bench.stands("d"), (130, 0, 30), "never clamped");
    assert!(!bench.reserve(ask("p", 1)).unwrap());
}

#[test]
fn a_client_that_vanishes_does_not_pin_the_budget_and_a_late_settlement_still_counts() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 100)).unwrap();
    assert!(!bench.reserve(ask("q", 50)).unwrap());
    assert!(bench.decided(ask("q", 50)).waiting_helps);
    bench.now += HOUR;
    assert!(bench.reserve(ask("q", 50)).unwrap(), "no waiting for a sweep");
    assert_eq!(bench.release("r").unwrap(), Some(End::Expired));
    assert_eq!(bench.settle("r", 80).unwrap(), None, "it was spent");
    assert_eq!(bench.stands("d"), (80, 50, 30));
    assert_eq!(bench.settle("r", 80).unwrap(), Some(End::Settled));
    assert_eq!(bench.stands("d"), (80, 50, 30));
}

#[test]
fn a_released_reservation_gives_all_of_it_back_once() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 60)).unwrap();
    bench.reserve(ask("q", 30)).unwrap();
    assert_eq!(bench.release("r").unwrap(), None);
    assert_eq!(bench.release("r").unwrap(), Some(End::Released));
    assert_eq!(bench.stands("d"), (0, 30, 0));
    assert_eq!(bench.settle("r", 60).unwrap(), Some(End::Released));
    assert_eq!(bench.stands("d"), (0, 30, 0));
}

#[test]
fn usage_belongs_to_the_window_in_which_it_was_admitted() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.now = NOON + 12 * HOUR - 1;
    bench.reserve(ask("r", 100)).unwrap();
    bench.now += 2;
    // The new day has its whole limit: nothing is pending in it, and no reset had to run.
    assert_eq!(bench.stands("d"), (0, 0, 0));
    assert!(bench.reserve(ask("q", 100)).unwrap());
    bench.settle("r", 100).unwrap();
    assert_eq!(bench.stands("d"), (0, 100, 0));
}

#[test]
fn an_extension_holds_the_whole_it_names_and_is_refused_beyond_the_limit() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 60)).unwrap();
    assert!(bench.extend("r", ask("", 100)).unwrap());
    assert!(bench.extend("r", ask("", 100)).unwrap(), "twice is once");
    assert!(bench.extend("r", ask("", 10)).unwrap());
    assert_eq!(bench.stands("d").1, 100, "never less");
    assert!(!bench.extend("r", ask("", 101)).unwrap());
    assert_eq!(bench.stands("d").1, 100);
    bench.now += HOUR - 1;
    bench.extend("r", ask("", 100)).unwrap();
    bench.now += HOUR - 1;
    assert_eq!(bench.settle("r", 100).unwrap(), None, "its life was renewed");
    assert!(matches!(
        bench.extend("r", ask("", 1)),
        Err(Refusal::Conflict { .. })
    ));
}

#[test]
fn a_lower_limit_counts_what_is_open_and_a_changed_one_keeps_usage() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Lifetime)]);
    bench.reserve(ask("r", 60)).unwrap();
    bench.set(deny("d", 50, Span::Lifetime));
    assert_eq!(bench.stands("d"), (0, 60, 10));
    assert!(!bench.reserve(ask("q", 1)).unwrap());
    bench.settle("r", 60).unwrap();
    assert_eq!(bench.stands("d"), (60, 0, 10));
    // A budget that is new holds what was open before it.
    bench.set(deny("d", 1_000, Span::Lifetime));
    bench.reserve(ask("q", 300)).unwrap();
    bench.set(deny("e", 200, Span::Lifetime));
    assert_eq!(bench.stands("e"), (0, 300, 100));
    bench.release("q").unwrap();
    assert_eq!(bench.stands("e").1, 0);
}

#[test]
fn alerts_come_once_also_when_the_budget_is_set_again() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Lifetime)]);
    let alerts = |bench: &Bench| {
        let is_alert = |(e, _): &&(Entry, Option<Record>)| matches!(e.body, Body::BudgetAlert { .. });
        bench.log.iter().filter(is_alert).count()
    };
    bench.reserve(ask("r", 85)).unwrap();
    assert_eq!(alerts(&bench), 0, "only what was used alerts");
    bench.settle("r", 85).unwrap();
    assert_eq!(alerts(&bench), 1);
    let mut again = bench.draft.open_account(deny("d", 100, Span::Lifetime)).unwrap();
    let who = ask("x", 1).caller;
    let used = Used {
        tokens: 85,
        ..Used::default()
    };
    again.seed(&who.place(NOON), &used, NOON);
    bench.draft.complete_account(&mut again, NOON);
    let body = bench.draft.set_budget_body(&again);
    bench.push(body);
    bench.reserve(ask("q", 1)).unwrap();
    bench.settle("q", 1).unwrap();
    assert_eq!(alerts(&bench), 1);
}

#[test]
fn shadow_and_warn_only_say_what_they_would_do() {
    let shadow = Budget {
        shadow: true,
        ..deny("shadow", 10, Span::Day)
    };
    let warn = Budget {
        action: Action::Warn,
        ..deny("warn", 10, Span::Day)
    };
    let bench = Bench::new(vec![shadow, warn]);
    let decision = bench.decided(ask("r", 11));
    assert!(decision.granted);
    assert_eq!(decision.would_deny, ["shadow".into()]);
    assert!(decision.binding.is_some());
}

#[test]
fn where_nothing_is_left_nothing_is_granted_in_any_unit() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 100)).unwrap();
    bench.settle("r", 100).unwrap();
    let money = Ask {
        tokens: 0,
        usd: Some(Pico(1)),
        ..ask("q", 0)
    };
    assert!(!bench.reserve(money).unwrap());
}

#[test]
fn a_call_without_a_known_price_meets_the_policy_of_a_limit_in_money() {
    let mut money = deny("m", 0, Span::Day);
    money.limit_usd = Pico(1_000);
    let open = Bench::new(vec![money.clone()]);
    let decision = open.decided(ask("r", 5));
    assert!(decision.granted && decision.unpriced);
    money.unreachable = Unreachable::Deny;
    assert!(!Bench::new(vec![money]).decided(ask("r", 5)).granted);
}

#[test]
fn money_that_was_settled_without_tokens_counts() {
    let mut money = deny("m", 0, Span::Day);
    money.limit_usd = Pico(1_000);
    let mut bench = Bench::new(vec![money]);
    let usd = |id, amount| Ask {
        usd: Some(Pico(amount)),
        ..ask(id, 0)
    };
    assert!(bench.reserve(usd("r", 900)).unwrap());
    let mut seen = observation("any", NOON);
    (seen.model, seen.tokens) = (NO_MODEL.into(), Tokens::default());
    seen.reported_cost = Some(Pico(950));
    let spent = Spent { seen, named: false };
    let Ok(Settled::Written { body, seen, .. }) = bench.draft.settle(&"r".into(), spent) else {
        panic!("it is open");
    };
    bench.push(body);
    bench.call(*seen);
    assert!(!bench.reserve(usd("q", 51)).unwrap());
    assert!(bench.reserve(usd("q", 50)).unwrap());
}

#[test]
fn a_denial_names_cheaper_models_that_fit() {
    let mut money = deny("m", 0, Span::Day);
    money.limit_usd = Pico::parse_usd("0.05").unwrap();
    let bench = Bench::new(vec![money]);
    let mut big = ask("r", 0);
    big.caller.model = "claude-opus-4-1".into();
    big.usage = Tokens {
        input: 10_000,
        output: 1_000,
        ..Tokens::default()
    };
    let decision = bench.decided(big.clone());
    assert!(!decision.granted);
    let binding = decision.binding.unwrap();
    assert_eq!((binding.unit, binding.asked), (Unit::Usd, 225_000_000_000));
    assert!(!decision.cheaper.is_empty());
    for model in decision.cheaper {
        let mut other = big.clone();
        other.caller.model = model.clone();
        assert!(bench.decided(other).granted, "{model}");
    }
}

#[test]
fn a_lift_raises_the_limit_for_its_time_only() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Lifetime)]);
    bench.reserve(ask("r", 100)).unwrap();
    let lift = |by: u64, until_ms| Lift {
        by: Used {
            tokens: by,
            ..Used::default()
        },
        until_ms,
        ..Lift::default()
    };
    let now = bench.now;
    let body = bench
        .draft
        .lift_budget(&"d".into(), lift(50, now + HOUR / 2), now)
        .unwrap();
    bench.push(body);
    assert!(!bench.reserve(ask("q", 51)).unwrap());
    assert!(bench.reserve(ask("q", 50)).unwrap());
    // Altogether.
    let body = bench
        .draft
        .lift_budget(&"d".into(), lift(0, now + 10), now)
        .unwrap();
    bench.push(body);
    assert!(bench.reserve(ask("p", 5_000)).unwrap());
    bench.now += HOUR / 2;
    bench.release("p").unwrap();
    bench.release("q").unwrap();
    bench.release("r").unwrap();
    assert!(!bench.reserve(ask("o", 101)).unwrap());
    assert!(bench.reserve(ask("o", 100)).unwrap());
    assert!(bench.draft.lift_budget(&"e".into(), lift(1, 0), now).is_err());
    assert!(bench.draft.lift_budget(&"d".into(), lift(1, 1), now).is_err());
}

#[test]
fn cache_hits_use_nothing() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    let mut seen = observation("k", NOON);
    seen.kind = CallKind::CacheHit;
    bench.call(seen);
    assert_eq!(bench.stands("d"), (0, 0, 0));
}

#[test]
fn a_rolling_window_frees_what_leaves_it() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::parse("rolling:5h").unwrap())]);
    for n in 0..10 {
        assert!(bench.reserve(ask(&format!("r{n}"), 10)).unwrap());
        bench.settle(&format!("r{n}"), 10).unwrap();
        bench.now += HOUR / 2;
    }
    assert!(!bench.reserve(ask("x", 10)).unwrap());
    let resets = bench.decided(ask("x", 10)).binding.unwrap().resets_at_ms;
    assert!(resets > bench.now && resets <= NOON + 5 * HOUR + 5 * 60_000);
    bench.now = resets;
    assert!(bench.reserve(ask("x", 10)).unwrap());
    assert!(!bench.reserve(ask("y", 1)).unwrap());
    bench.now += DAY;
    assert_eq!(bench.stands("d"), (0, 0, 0));
}

#[test]
fn session_windows_are_apart() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Session)]);
    assert!(bench.reserve(ask("r", 100)).unwrap());
    assert!(!bench.reserve(ask("q", 1)).unwrap());
    let mut other = ask("q", 100);
    other.caller.session = "t".into();
    assert!(bench.reserve(other).unwrap());
}

#[test]
fn a_reservation_without_a_session_holds_where_it_will_be_settled() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Session)]);
    let mut homeless = ask("r", 60);
    homeless.caller.session = "".into();
    assert!(bench.reserve(homeless.clone()).unwrap());
    bench.settle("r", 60).unwrap();
    homeless.id = "q".into();
    assert!(!bench.reserve(homeless).unwrap(), "the same session");
}

#[test]
fn budgets_and_states_of_before_there_were_reservations_are_read() {
    let old = format!(
        r#"{{"budget":{{"name":"d","scope":{{}},"limit_tokens":100,"limit_usd":0,"limit_requests":0,"window":"day",
        "timezone":"","warn_percent":80,"critical_percent":95,"action":"deny"}},"counters":[{{"start_ms":{},"end_ms":{},
        "session":null,"used":{{"tokens":30,"cost":0,"requests":1}},"last_ms":0,"alerted":0}}]}}"#,
        NOON - 12 * HOUR,
        NOON + 12 * HOUR
    );
    let mut bench = Bench::new(Vec::new());
    bench.push(Body::BudgetSet(old.into()));
    assert_eq!(bench.stands("d"), (30, 0, 0));
    let mut saved: serde_json::Value = serde_json::from_slice(&bench.draft.save()).unwrap();
    for new in ["habits", "reservations"] {
        assert!(saved.as_object_mut().unwrap().remove(new).is_some());
    }
    let rules = bench.draft.rules().clone();
    bench.draft = Draft::load(rules, &serde_json::to_vec(&saved).unwrap()).unwrap();
    assert!(!bench.reserve(ask("r", 71)).unwrap() && bench.reserve(ask("r", 70)).unwrap());
}
