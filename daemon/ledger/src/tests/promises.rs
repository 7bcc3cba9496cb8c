//! Reservations through the writer: many at once, over restarts, kills and a store that fails.

use tokmon_core::Name;
use tokmon_core::budget::{Action, Ask, Budget, Caller, Scope, Span, Unreachable, Weights};
use tokmon_core::decide::Spent;
use tokmon_core::entry::Body;
use tokmon_core::money::Pico;
use tokmon_core::refusal::Refusal;
use tokmon_core::tokens::Tokens;

use super::faulty::Fault;
use super::{Bench, NOON, call};
use crate::{Claim, Claimed, Health, LedgerError};

pub(super) fn hard(name: &str, tokens: u64) -> Budget {
    Budget {
        name: name.into(),
        scope: Scope::default(),
        limit_tokens: tokens,
        limit_usd: Pico::ZERO,
        limit_requests: 0,
        window: Span::Day,
        timezone: "".into(),
        warn_percent: 0,
        critical_percent: 0,
        action: Action::Deny,
        weights: Weights::default(),
        shadow: false,
        unreachable: Unreachable::Allow,
        on_runaway: Default::default(),
        adjust: None,
    }
}

fn ask(id: &str, tokens: u64) -> Ask {
    let name = |text: &str| -> Name { text.into() };
    Ask {
        id: name(id),
        caller: Caller {
            agent: name("claude-code"),
            session: name("s"),
            task: name(""),
            project: name("/p"),
            user: name(""),
            tool: name(""),
            provider: name(""),
            model: name("claude-sonnet-4-5"),
        },
        tokens,
        usd: None,
        usage: Tokens::default(),
        appended: None,
        max_output: 0,
        strict: false,
        requests: 0,
        ttl_ms: 60_000,
    }
}

fn reserve(id: &str, tokens: u64) -> Claim {
    Claim::Reserve(Box::new(ask(id, tokens)))
}

fn settle(id: &str, tokens: u64) -> Claim {
    let mut seen = call("any");
    seen.tokens = Tokens {
        input: tokens,
        ..Tokens::default()
    };
    Claim::Settle(id.into(), Box::new(Spent { seen, named: false }))
}

impl Bench {
    async fn one(&self, claim: Claim) -> Result<Claimed, LedgerError> {
        self.ledger.claim(vec![claim]).await?.remove(0)
    }

    async fn granted(&self, id: &str, tokens: u64) -> bool {
        matches!(self.one(reserve(id, tokens)).await, Ok(Claimed::Held(..)))
    }

    /// Posted, pending, overdraft.
    fn stands(&self, name: &str) -> (u64, u64, u64) {
        let standing = self.ledger.state().budgets[name].view(self.ledger.state().last_recorded_ms);
        let standing = standing.standing;
        (
            standing.posted.tokens,
            standing.pending.tokens,
            standing.overdraft.tokens,
        )
    }
}

#[tokio::test]
async fn asks_that_come_at_once_never_pass_a_limit_together() {
    let bench = Bench::new();
    bench.ledger.set_budget(hard("d", 1_000)).await.unwrap();
    let asks = (0..500).map(|n| {
        let ledger = bench.ledger.clone();
        tokio::spawn(async move {
            let answer = ledger.claim(vec![reserve(&format!("r{n}"), 7)]).await;
            matches!(answer.unwrap().remove(0), Ok(Claimed::Held(..)))
        })
    });
    let mut granted = 0;
    for ask in asks.collect::<Vec<_>>() {
        granted += u64::from(ask.await.unwrap());
    }
    assert_eq!(granted, 1_000 / 7);
    assert_eq!(bench.stands("d"), (0, granted * 7, 0));
    assert!(!bench.ledger.check(ask("", 7)).unwrap().granted);
}

#[tokio::test]
async fn a_restart_keeps_what_is_held_and_what_was_settled() {
    let bench = Bench::new();
    bench.ledger.set_budget(hard("d", 100)).await.unwrap();
    assert!(bench.granted("a", 60).await && bench.granted("b", 30).await);
    let Ok(Claimed::Settled(receipt, false)) = bench.one(settle("a", 50)).await else {
        panic!("it is open");
    };
    assert_eq!(
        (receipt.record.seen.tokens.input, &*receipt.record.seen.who.agent),
        (50, "claude-code")
    );
    assert_eq!(&*receipt.record.seen.source.kind, "reservation");
    // Not closed: read back from the entries alone, as after a kill.
    let bare = Bench::on(bench.store.clone(), NOON);
    assert_eq!(bare.stands("d"), (50, 30, 0));
    let bench = bench.restart().await;
    assert_eq!(bench.stands("d"), (50, 30, 0));
    assert!(matches!(
        bench.one(settle("a", 50)).await,
        Ok(Claimed::Ended(_, true))
    ));
    assert!(bench.granted("b", 30).await, "the same reservation");
    assert!(!bench.granted("c", 21).await && bench.granted("c", 20).await);
    assert_eq!(bench.total().requests, 1);
}

#[tokio::test]
async fn what_expires_is_an_entry_and_nobody_has_to_sweep_first() {
    let bench = Bench::new();
    bench.ledger.set_budget(hard("d", 100)).await.unwrap();
    let mut expiry = bench.ledger.watch_expiry();
    assert!(bench.granted("a", 100).await);
    assert_eq!(*expiry.borrow_and_update(), Some(NOON + 60_000));
    assert!(!bench.ledger.has_expired());
    bench.clock.set(NOON + 60_000);
    assert!(bench.ledger.has_expired());
    assert!(bench.granted("b", 100).await);
    bench.clock.set(NOON + 200_000);
    bench.ledger.expire().await.unwrap();
    assert_eq!(*expiry.borrow_and_update(), None);
    let before = bench.ledger.last_seq();
    bench.ledger.expire().await.unwrap();
    assert_eq!(bench.ledger.last_seq(), before, "nothing is written for nothing");
    // Late, and beside what came after it.
    assert!(matches!(
        bench.one(settle("a", 90)).await,
        Ok(Claimed::Settled(_, true))
    ));
    assert_eq!(bench.stands("d"), (90, 0, 0));
    let entries = bench.ledger.follow(0).next().await.unwrap();
    let ends = entries
        .iter()
        .filter(|e| matches!(e.body, Body::Resolved { .. }))
        .count();
    assert_eq!(ends, 3);
}

#[tokio::test]
async fn a_store_that_fails_grants_nothing_and_forgets_nothing() {
    let bench = Bench::new();
    bench.ledger.set_budget(hard("d", 100)).await.unwrap();
    assert!(bench.granted("a", 40).await);
    bench.store.set(Fault::LostBefore);
    let failed = bench.one(reserve("b", 40)).await;
    assert!(matches!(failed, Err(LedgerError::Unavailable(_))), "{failed:?}");
    let mut health = bench.ledger.watch_health();
    health.wait_for(|h| *h == Health::Serving).await.unwrap();
    assert!(
        bench.ledger.check(ask("", 60)).unwrap().granted,
        "the failed one holds nothing"
    );
    // Whoever asks again after a failure that wrote has asked once.
    bench.store.set(Fault::LostAfter);
    assert!(bench.granted("b", 60).await);
    health.wait_for(|h| *h == Health::Serving).await.unwrap();
    assert!(bench.granted("b", 60).await);
    assert_eq!(bench.stands("d"), (0, 100, 0));
    bench.store.set(Fault::LostAfter);
    let settled = bench.one(settle("a", 40)).await;
    assert!(matches!(settled, Ok(Claimed::Settled(..))), "{settled:?}");
    health.wait_for(|h| *h == Health::Serving).await.unwrap();
    assert!(matches!(
        bench.one(settle("a", 40)).await,
        Ok(Claimed::Ended(_, true))
    ));
    assert_eq!((bench.stands("d"), bench.total().requests), ((40, 60, 0), 1));
}

#[tokio::test]
async fn claims_of_one_call_stand_by_themselves() {
    let bench = Bench::new();
    bench.ledger.set_budget(hard("d", 100)).await.unwrap();
    let many = vec![
        reserve("a", 60),
        reserve("b", 60),
        reserve("a", 61),
        reserve("", 1),
        Claim::Release("nobody".into()),
        settle("a", 10),
        reserve("b", 60),
        Claim::Extend("b".into(), Box::new(ask("", 90))),
        Claim::Release("b".into()),
    ];
    let told = |claimed: &Result<Claimed, LedgerError>| match claimed {
        Ok(Claimed::Held(..)) => "held",
        Ok(Claimed::Denied(_)) => "denied",
        Ok(Claimed::Settled(..)) => "settled",
        Ok(Claimed::Ended(..)) => "ended",
        Ok(Claimed::Task | Claimed::NoRoom(_)) => "task",
        Err(LedgerError::Refused(Refusal::Conflict { .. })) => "conflict",
        Err(LedgerError::Refused(Refusal::Invalid { .. })) => "invalid",
        Err(LedgerError::Refused(Refusal::NotFound { .. })) => "not found",
        Err(_) => "error",
    };
    let answers = bench.ledger.claim(many).await.unwrap();
    assert_eq!(
        answers.iter().map(told).collect::<Vec<_>>(),
        [
            "held",
            "denied",
            "conflict",
            "invalid",
            "not found",
            "settled",
            "held",
            "held",
            "ended"
        ]
    );
    assert_eq!(bench.stands("d"), (10, 0, 0));
    let too_many = (0..1_001).map(|n| reserve(&format!("r{n}"), 1)).collect();
    assert!(matches!(
        bench.ledger.claim(too_many).await,
        Err(LedgerError::Refused(_))
    ));
}

#[tokio::test]
async fn a_budget_that_is_set_while_something_is_open_holds_it() {
    let bench = Bench::new();
    bench.ledger.record(vec![call("before")]).await.unwrap();
    assert!(bench.granted("a", 60).await, "nothing limits it");
    bench.ledger.set_budget(hard("d", 2_400)).await.unwrap();
    assert_eq!(bench.stands("d"), (2_300, 60, 0));
    assert!(!bench.granted("b", 41).await && bench.granted("b", 40).await);
    bench.ledger.remove_budget("d").await.unwrap();
    assert!(matches!(
        bench.one(settle("a", 60)).await,
        Ok(Claimed::Settled(..))
    ));
}

#[tokio::test]
async fn a_call_that_was_read_elsewhere_too_counts_once() {
    let bench = Bench::new();
    bench.ledger.set_budget(hard("d", 10_000)).await.unwrap();
    assert!(bench.granted("a", 3_000).await && bench.granted("b", 3_000).await);
    // First the transcript, then the settlement; and the other way round.
    bench.ledger.record(vec![call("first")]).await.unwrap();
    for (id, key) in [("a", "first"), ("b", "second")] {
        let spent = Spent {
            seen: call(key),
            named: true,
        };
        let settled = bench.one(Claim::Settle(id.into(), Box::new(spent))).await;
        assert!(matches!(settled, Ok(Claimed::Settled(..))), "{settled:?}");
    }
    bench.ledger.record(vec![call("second")]).await.unwrap();
    assert_eq!((bench.total().requests, bench.stands("d")), (2, (4_600, 0, 0)));
}

#[tokio::test]
async fn a_settlement_that_is_refused_leaves_the_reservation_as_it_was() {
    let bench = Bench::new();
    bench.ledger.set_budget(hard("d", 100)).await.unwrap();
    assert!(bench.granted("a", 60).await);
    let before = bench.ledger.last_seq();
    let refused = bench.one(settle("a", u64::MAX)).await;
    assert!(
        matches!(refused, Err(LedgerError::Refused(Refusal::Invalid { .. }))),
        "{refused:?}"
    );
    assert_eq!((bench.ledger.last_seq(), bench.stands("d")), (before, (0, 60, 0)));
    assert!(matches!(
        bench.one(settle("a", 50)).await,
        Ok(Claimed::Settled(..))
    ));
}

#[tokio::test]
async fn denials_are_few_entries_and_count_against_nothing() {
    let bench = Bench::new();
    let mut calls = hard("calls", 0);
    calls.limit_requests = 2;
    bench.ledger.set_budget(calls).await.unwrap();
    assert!(bench.granted("a", 1).await && bench.granted("b", 1).await);
    let (entries, appends) = (bench.ledger.last_seq(), bench.store.appends().0);
    for n in 0..1_000 {
        assert!(!bench.granted(&format!("again{n}"), 1).await);
    }
    // 1, 2, 4, … 512: each time there are twice as many. One of them tells of the streak, once.
    assert_eq!(
        (bench.ledger.last_seq(), bench.store.appends().0),
        (entries + 10 + 1, appends + 10)
    );
    let used = bench.ledger.state().budgets["calls"].view(NOON).standing;
    assert_eq!((used.posted.requests, used.pending.requests), (0, 2));
    bench.one(Claim::Release("a".into())).await.unwrap();
    assert!(
        bench.granted("again0", 1).await,
        "whoever was denied may ask again under the same id"
    );
}

#[tokio::test]
async fn setting_a_budget_again_or_starting_again_counts_nothing_twice() {
    let mut bench = Bench::new();
    bench.ledger.set_budget(hard("d", 10_000)).await.unwrap();
    assert!(bench.granted("a", 500).await && bench.granted("b", 700).await);
    bench.one(settle("a", 400)).await.unwrap();
    bench.ledger.record(vec![call("c")]).await.unwrap();
    for _ in 0..3 {
        bench.ledger.set_budget(hard("d", 10_000)).await.unwrap();
        bench = bench.restart().await;
        assert_eq!(bench.stands("d"), (2_700, 700, 0));
    }
    bench.one(Claim::Release("b".into())).await.unwrap();
    assert_eq!(bench.stands("d"), (2_700, 0, 0));
}
