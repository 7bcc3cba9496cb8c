//! Acts of entries, their sentences and the filter.

use super::*;
use crate::budget::{Binding, Lift, Reservation, Unit, Used};
use crate::money::Pico;

fn act(body: Body) -> Act {
    let entry = Entry {
        seq: 7,
        recorded_at_ms: 1_000,
        by: Some(Arc::new(Actor::new("me", "test 1", 3))),
        body,
    };
    Act::of(&entry).expect("an act")
}

fn granted() -> Act {
    let caller = Caller {
        agent: "codex".into(),
        session: "s".into(),
        ..Caller::default()
    };
    let reservation = Reservation {
        id: "r".into(),
        caller,
        estimate: Estimate {
            tokens: 1_500,
            cost: Some(Pico(16_500_000_000)),
            requests: 1,
            ..Estimate::default()
        },
        at_ms: 1_000,
        expires_at_ms: 2_000,
        content: 1,
    };
    let grounds = Grounds {
        binding: Some(Binding {
            budget: "day".into(),
            unit: Unit::Tokens,
            limit: 10_000,
            posted: 2_000,
            pending: 500,
            kept: 0,
            available: 7_500,
            asked: 1_500,
            resets_at_ms: 0,
        }),
        would_deny: vec!["shadow".into()],
    };
    act(Body::Reserved(Box::new(reservation), Some(Box::new(grounds))))
}

#[test]
fn an_act_tells_what_for_whom_and_why() {
    let act = granted();
    assert_eq!(
        (act.what, &*act.budget, &*act.caller.session),
        (What::Granted, "day", "s")
    );
    assert_eq!(
        act.text(),
        "1,500 tokens, $0.0165; 2,000 and 500 held of 10,000 tokens used"
    );
    assert_eq!(act.by.map(|by| by.pid), Some(3));
}

#[test]
fn sentences_say_what_was_done() {
    let lift = |tokens| {
        act(Body::BudgetLifted {
            budget: "day".into(),
            lift: Lift {
                by: Used {
                    tokens,
                    ..Used::default()
                },
                until_ms: i64::MAX,
                ..Lift::default()
            },
        })
    };
    let from = |from: &str| {
        act(Body::LedgerReplaced {
            from: from.into(),
            set_aside: "/x".into(),
        })
    };
    for (act, text) in [
        (lift(0), "by as much as it takes"),
        (lift(1), "by 1 token"),
        (from(""), "begun empty"),
        (from("/secret/backup"), "restored from a file"),
        (act(Body::PriceSet("[{},{}]".into())), "2 prices"),
        (act(Body::Repriced { records: 1 }), "1 record at another price"),
    ] {
        assert_eq!(act.text(), text);
        assert_eq!(act.until_ms, 0);
    }
    let set = act(Body::BudgetSet(r#"{"budget":{"name":"day"}}"#.into()));
    assert_eq!((set.what, &*set.budget), (What::BudgetSet, "day"));
    assert_eq!(&*act(Body::BudgetSet("what?".into())).budget, "");
}

#[test]
fn every_list_must_contain_the_act() {
    let act = granted();
    let names = |name: &str| vec![name.to_owned()];
    let all = ActFilter {
        budgets: names("day"),
        sessions: names("s"),
        agents: names("codex"),
        decisions: names("granted"),
    };
    assert!(ActFilter::default().matches(&act) && all.matches(&act));
    for wrong in [
        ActFilter {
            budgets: names("night"),
            ..all.clone()
        },
        ActFilter {
            sessions: names("t"),
            ..all.clone()
        },
        ActFilter {
            decisions: names("expired"),
            ..all.clone()
        },
    ] {
        assert!(!wrong.matches(&act), "{wrong:?}");
    }
    let shadow = ActFilter {
        budgets: names("shadow"),
        ..ActFilter::default()
    };
    assert!(
        shadow.matches(&act),
        "a budget that would have refused had its say"
    );
}

#[test]
fn wrong_filters_are_named() {
    let names = |name: &str| vec![name.to_owned()];
    for (filter, wrong) in [
        (
            ActFilter {
                decisions: names("maybe"),
                ..ActFilter::default()
            },
            "decisions",
        ),
        (
            ActFilter {
                agents: names(&"x".repeat(2_000)),
                ..ActFilter::default()
            },
            "agents",
        ),
        (
            ActFilter {
                sessions: vec![String::new(); 101],
                ..ActFilter::default()
            },
            "sessions",
        ),
    ] {
        assert!(filter.validate().unwrap_err().to_string().contains(wrong));
    }
    for what in What::ALL {
        let filter = ActFilter {
            decisions: names(what.name()),
            ..ActFilter::default()
        };
        filter.validate().unwrap();
    }
}
