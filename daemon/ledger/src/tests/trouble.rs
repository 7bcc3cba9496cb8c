//! A store that fails: what was acknowledged stays, what was not is answered truthfully, and the ledger recovers.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::faulty::Fault;
use super::{Bench, NOON, call};
use crate::{Health, LedgerError, Outcome};

/// Polls until the ledger can write again.
async fn healthy(bench: &Bench) {
    for _ in 0..400 {
        if bench.ledger.health() == Health::Serving {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still {:?}", bench.ledger.health());
}

#[tokio::test]
async fn a_batch_that_was_lost_is_refused_and_can_be_asked_again() {
    let bench = Bench::new();
    bench.ledger.record(vec![call("a")]).await.unwrap();
    for fault in [Fault::LostBefore, Fault::Panic] {
        bench.store.set(fault);
        let lost = bench.ledger.record(vec![call("b")]).await;
        assert!(
            matches!(&lost, Err(LedgerError::Unavailable(why)) if why.contains("nothing was written")),
            "{lost:?}"
        );
        healthy(&bench).await;
        assert_eq!(bench.total().requests, 1);
        assert_eq!(bench.ledger.last_seq(), 1);
    }
    let asked_again = bench.ledger.record(vec![call("b")]).await.unwrap();
    assert_eq!(asked_again[0].outcome, Outcome::Added);
    assert_eq!(bench.total().requests, 2);
}

#[tokio::test]
async fn a_batch_that_became_durable_is_acknowledged_although_the_commit_failed() {
    let bench = Bench::new();
    bench.store.set(Fault::LostAfter);
    let kept = bench.ledger.record(vec![call("a"), call("b")]).await.unwrap();
    assert_eq!(
        kept.iter().map(|r| r.outcome).collect::<Vec<_>>(),
        [Outcome::Added, Outcome::Added]
    );
    assert_eq!(kept[1].session.agg.requests, 2);
    healthy(&bench).await;
    let again = bench.ledger.record(vec![call("a")]).await.unwrap();
    assert_eq!(again[0].outcome, Outcome::Duplicate);
    assert_eq!(bench.total().requests, 2);
}

#[tokio::test]
async fn a_bug_in_one_turn_does_not_end_the_ledger() {
    let bench = Bench::new();
    bench.store.panic_at_session();
    let unknown = bench.ledger.record(vec![call("a")]).await;
    assert!(
        matches!(&unknown, Err(LedgerError::Unavailable(why)) if why.contains("not known")),
        "{unknown:?}"
    );
    healthy(&bench).await;
    let again = bench.ledger.record(vec![call("a")]).await.unwrap();
    assert_eq!(again[0].outcome, Outcome::Duplicate);
    assert_eq!(bench.total().requests, 1);
}

#[tokio::test]
async fn a_full_disk_makes_it_read_only_until_there_is_room() {
    let bench = Bench::new();
    bench.ledger.record(vec![call("a")]).await.unwrap();
    bench.store.set(Fault::Full);
    for key in ["b", "c"] {
        let refused = bench.ledger.record(vec![call(key)]).await;
        assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{refused:?}");
    }
    assert!(matches!(bench.ledger.health(), Health::ReadOnly(why) if why.contains("full")));
    assert_eq!(bench.total().requests, 1);
    let before = bench.ledger.heartbeat();
    for _ in 0..200 {
        if bench.ledger.heartbeat() > before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        bench.ledger.heartbeat() > before,
        "the writer lives while it cannot write"
    );
    bench.store.set(Fault::None);
    healthy(&bench).await;
    bench.ledger.record(vec![call("b")]).await.unwrap();
    assert_eq!(bench.total().requests, 2);
}

#[tokio::test]
async fn a_store_that_does_not_open_is_tried_again() {
    let bench = Bench::new();
    bench.ledger.record(vec![call("a")]).await.unwrap();
    bench.store.set_dead(true);
    let refused = bench.ledger.record(vec![call("b")]).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{refused:?}");
    bench.store.set_dead(false);
    healthy(&bench).await;
    bench.ledger.record(vec![call("b")]).await.unwrap();
    assert_eq!(bench.total().requests, 2);
}

#[tokio::test]
async fn closing_a_ledger_that_cannot_write_does_not_hang() {
    let bench = Bench::new();
    bench.store.set_dead(true);
    drop(bench.ledger.record(vec![call("a")]).await);
    tokio::time::timeout(Duration::from_secs(3), bench.ledger.close())
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(
        bench.ledger.record(vec![call("b")]).await,
        Err(LedgerError::Closed)
    ));
    assert!(matches!(
        bench.ledger.follow(0).next().await,
        Err(LedgerError::Closed)
    ));
}

#[tokio::test]
async fn a_full_queue_is_busy_and_what_was_queued_is_written() {
    let bench = Bench::new();
    let gate = bench.store.gate();
    let held = gate.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut waiting = Vec::new();
    // The writer takes what waits once and is then held up; a whole queue more fits in.
    let mut busy = false;
    for i in 0..3 * tokmon_core::limits::WRITER_QUEUE {
        let ledger = bench.ledger.clone();
        let mut asked = Box::pin(async move { ledger.record(vec![call(&format!("call {i}"))]).await });
        // The first poll queues it or is told that there is no room.
        match poll_once(asked.as_mut()) {
            Some(Err(LedgerError::Busy)) => {
                busy = true;
                break;
            }
            Some(other) => panic!("answered before it was durable: {other:?}"),
            None => waiting.push(asked),
        }
    }
    assert!(busy);
    drop(held);
    let queued = waiting.len() as u64;
    for asked in waiting {
        assert_eq!(asked.await.unwrap()[0].outcome, Outcome::Added);
    }
    assert_eq!(bench.total().requests, queued);
    assert!(bench.store.appends().0 < 20, "they were written in few batches");
}

/// Polls a future once; it is polled again by whoever awaits it.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_restart_gives_the_same_state() {
    let bench = Bench::new();
    for i in 0..30 {
        let mut seen = call(&format!("call {}", i % 20));
        seen.tokens.output += i;
        if i % 3 == 0 {
            seen.who.session = "".into();
        }
        bench.ledger.record(vec![seen]).await.unwrap();
    }
    let before = bench.ledger.state();
    // Not closed: only the entries speak.
    let bare = Bench::on(bench.store.clone(), NOON);
    let after = bare.ledger.state();
    assert_eq!(before.last_seq, after.last_seq);
    assert_eq!(before.sessions, after.sessions);
    assert_eq!(bare.total(), bench.total());
}
