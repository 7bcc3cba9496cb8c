//! What an agent says that its session has cost, against what its calls add up to: whatever comes when, the session costs
//! the larger of the two, and nothing counts twice.

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokmon_core::money::Pico;
use tokmon_core::observation::Observation;
use tokmon_core::official::{Told, tolerance};
use tokmon_core::price::{Origin, PriceRow};

use super::faulty::Fault;
use super::{Bench, NOON, call};
use crate::store::{Cut, Store};
use crate::{Chunk, LedgerError, RecordsQuery};

const CENT: i128 = 10_000_000_000;

fn cents(cents: i128) -> Pico {
    Pico(cents * CENT)
}

fn told(own: Pico, at_ms: i64) -> Told {
    Told {
        agent: "claude-code".into(),
        session: "s".into(),
        own,
        carried: Pico::ZERO,
        at_ms,
        model: "claude-sonnet-4-5".into(),
        project: "/p".into(),
    }
}

/// A call that costs so many cents: output of claude-sonnet-4-5 is $15 a million.
fn costing(key: &str, kind: &str, cents: u64) -> Observation {
    let mut seen = call(&format!("{kind} {key}"));
    seen.tokens.input = 0;
    seen.tokens.output = cents * 2_000 / 3;
    seen.source.kind = kind.into();
    seen
}

fn cost(bench: &Bench) -> Pico {
    let session = bench.ledger.session("claude-code", "s").unwrap();
    let by_session = session.map_or(Pico::ZERO, |row| row.agg.cost);
    assert_eq!(by_session, bench.total().cost);
    by_session
}

async fn import(bench: &Bench, observations: Vec<Observation>) {
    let chunk = Chunk {
        observations,
        ..Chunk::default()
    };
    bench.ledger.import(chunk).await.unwrap();
}

#[tokio::test]
async fn what_only_the_total_shows_is_booked_and_taken_back_when_a_file_tells_of_it() {
    let bench = Bench::new();
    import(&bench, vec![costing("a", "claude-code-transcript", 60)]).await;
    bench
        .ledger
        .note_official(told(cents(100), NOON - 5))
        .await
        .unwrap();
    assert_eq!(cost(&bench), cents(100));
    assert_eq!(bench.total().requests, 2);
    // Again, and after a restart: nothing new.
    let seq = bench.ledger.last_seq();
    let bench = bench.restart().await;
    bench
        .ledger
        .note_official(told(cents(100), NOON - 3))
        .await
        .unwrap();
    assert_eq!(cost(&bench), cents(100));
    assert!(bench.ledger.last_seq() <= seq + 1);
    let booked = bench.ledger.explain(&RecordsQuery::default()).unwrap();
    let booked = booked
        .records
        .iter()
        .find(|e| crate::query::record(&e.entry).unwrap().seen.is_booking());
    let record = crate::query::record(&booked.unwrap().entry).unwrap();
    assert!(record.is_unlogged(NOON + 3_600_000) && record.seen.tokens.total() == 0);
    // A part of it turns up, then all of it, then more.
    let bench = bench.restart().await;
    import(&bench, vec![costing("b", "claude-code-transcript", 30)]).await;
    assert_eq!(cost(&bench), cents(100));
    bench
        .ledger
        .record(vec![costing("c", "claude-code-otel", 9)])
        .await
        .unwrap();
    assert_eq!(
        (cost(&bench), bench.total().requests),
        (cents(99), 3),
        "a cent is no difference"
    );
    import(&bench, vec![costing("d", "claude-code-transcript", 60)]).await;
    assert_eq!((cost(&bench), bench.total().requests), (cents(159), 4));
    assert_eq!(
        bench.ledger.explain(&RecordsQuery::default()).unwrap().requests,
        4
    );
    assert_eq!(bench.store.verify().unwrap().findings, Vec::<String>::new());
}

#[tokio::test]
async fn figures_that_cannot_be_compared_book_nothing() {
    let bench = Bench::new();
    let mut unpriced = costing("a", "claude-code-transcript", 5);
    (unpriced.model, unpriced.provider) = ("in-house".into(), "".into());
    import(&bench, vec![unpriced]).await;
    bench.ledger.note_official(told(cents(300), NOON)).await.unwrap();
    assert_eq!(cost(&bench), Pico::ZERO);
    let bench = Bench::new();
    let own: PriceRow = PriceRow {
        origin: Origin::Override,
        ..(*bench
            .ledger
            .state()
            .book
            .get("anthropic", "claude-sonnet-4-5", NOON)
            .unwrap())
        .clone()
    };
    bench.ledger.set_price(own).await.unwrap();
    bench.ledger.note_official(told(cents(300), NOON)).await.unwrap();
    assert_eq!(cost(&bench), Pico::ZERO);
    for wrong in [
        told(Pico(i128::MAX / 4), NOON),
        Told {
            session: "".into(),
            ..told(cents(300), NOON)
        },
        Told {
            model: "".into(),
            ..told(cents(300), NOON)
        },
    ] {
        let refused = bench.ledger.note_official(wrong).await;
        assert!(matches!(refused, Err(LedgerError::Refused(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn what_was_purged_stays_and_does_not_end_the_ledger() {
    let bench = Bench::new();
    bench
        .ledger
        .note_official(told(cents(100), NOON - 5))
        .await
        .unwrap();
    bench.store.purge(&Cut::before(NOON), 100).unwrap();
    import(&bench, vec![costing("a", "claude-code-transcript", 60)]).await;
    assert_eq!(cost(&bench), cents(160));
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// The agent tells a total, so many cents more than before.
    Told(u64),
    /// Calls that files or telemetry tell of: the number of the call, which is as many cents.
    Calls(Vec<u64>, bool),
    Restart,
    Lost(bool),
    Later(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..200_u64).prop_map(Step::Told),
        4 => (prop::collection::vec(1..60_u64, 1..4), any::<bool>()).prop_map(|(c, t)| Step::Calls(c, t)),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(Step::Lost),
        1 => (0..90_i64).prop_map(Step::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_session_costs_the_larger_of_its_calls_and_its_total(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new();
            let (mut total, mut calls, mut now) = (Pico::ZERO, std::collections::BTreeSet::new(), NOON);
            for step in steps {
                match step {
                    Step::Told(more) => {
                        total += cents(i128::from(more));
                        bench.ledger.note_official(told(total, now)).await.unwrap();
                        bench.ledger.note_official(told(total, now)).await.unwrap();
                    }
                    Step::Calls(numbers, telemetry) => {
                        // The provider's id joins what both tell of.
                        let kind = if telemetry { "claude-code-otel" } else { "claude-code-transcript" };
                        let seen = numbers.iter().map(|n| Observation {
                            request_id: format!("req_{n:04}").into(),
                            ..costing(&n.to_string(), kind, *n * 3)
                        });
                        import(&bench, seen.collect()).await;
                        calls.extend(numbers);
                    }
                    Step::Restart => {
                        bench = bench.restart().await;
                        bench.clock.set(now);
                    }
                    Step::Lost(after) => {
                        bench.store.set(if after { Fault::LostAfter } else { Fault::LostBefore });
                        let more = costing("7", "claude-code-transcript", 21);
                        let more = Observation { request_id: "req_0007".into(), ..more };
                        let one = bench.ledger.record(vec![more.clone()]).await;
                        if one.is_err() {
                            bench.ledger.record(vec![more]).await.unwrap();
                        }
                        bench.store.set(Fault::None);
                        calls.insert(7);
                    }
                    Step::Later(minutes) => {
                        now += minutes * 60_000;
                        bench.clock.set(now);
                    }
                }
                let shown = cents(calls.iter().map(|n| i128::from(*n) * 3).sum());
                let now = cost(&bench);
                assert!(now >= shown, "{now} is less than the calls' {shown}");
                assert!(now <= shown.max(total), "{now} is more than {shown} and {total}");
                assert!(now + tolerance(total) >= total, "{now} is too little for {total}");
            }
            assert_eq!(bench.store.verify().unwrap().findings, Vec::<String>::new());
        });
    }
}
