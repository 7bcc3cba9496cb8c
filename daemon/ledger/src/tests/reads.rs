//! Reading back: pages, sessions, explanations, followers.

use std::time::Duration;

use tokmon_core::report::Filter;

use super::{Bench, NOON, call, line};
use crate::{Chunk, LedgerError, RecordsQuery, SessionsQuery};

#[tokio::test]
async fn pages_hold_every_record_once_newest_first() {
    let bench = Bench::new();
    let calls: Vec<_> = (0..25)
        .map(|i| {
            let mut seen = call(&format!("call {i}"));
            seen.at_ms = NOON - i / 3;
            seen.who.tool = if i % 2 == 0 { "Read".into() } else { "Bash".into() };
            seen
        })
        .collect();
    bench.ledger.record(calls).await.unwrap();
    for (tools, expected) in [
        (vec![], 25),
        (vec!["Read".to_owned()], 13),
        (vec!["Nothing".to_owned()], 0),
    ] {
        let filter = Filter {
            tools,
            ..Filter::default()
        };
        let mut query = RecordsQuery {
            page_size: 4,
            filter,
            ..RecordsQuery::default()
        };
        let mut places = Vec::new();
        loop {
            let page = bench.ledger.records(&query).unwrap();
            assert!(page.items.len() <= 4);
            places.extend(
                page.items
                    .iter()
                    .map(|e| (crate::query::record(e).unwrap().seen.at_ms, e.seq)),
            );
            match page.next {
                Some(next) => query.page_token = next,
                None => break,
            }
        }
        assert_eq!(places.len(), expected);
        assert!(places.windows(2).all(|pair| pair[0] > pair[1]));
    }
    let wrong = RecordsQuery {
        page_token: "rm -rf".to_owned(),
        ..RecordsQuery::default()
    };
    assert!(matches!(
        bench.ledger.records(&wrong),
        Err(LedgerError::Refused(_))
    ));
}

#[tokio::test]
async fn sessions_come_in_pages_the_latest_first() {
    let bench = Bench::new();
    // The store gives them in no order; more than a page's worth are cut off while they come in.
    let calls = (0..1_200)
        .map(|i| {
            let mut seen = call(&format!("call {i}"));
            seen.at_ms = NOON - 10_000 + i;
            seen.who.session = format!("session {i}").into();
            seen
        })
        .collect();
    bench.ledger.record(calls).await.unwrap();
    let mut query = SessionsQuery {
        page_size: 350,
        ..SessionsQuery::default()
    };
    let mut names = Vec::new();
    loop {
        let page = bench.ledger.sessions(&query).unwrap();
        names.extend(page.items.iter().map(|row| row.session.to_string()));
        match page.next {
            Some(next) => query.page_token = next,
            None => break,
        }
    }
    let expected: Vec<String> = (0..1_200).rev().map(|i| format!("session {i}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_explanation_adds_up_and_names_what_was_dropped() {
    let bench = Bench::new();
    let chunk = Chunk {
        observations: vec![
            line("a", "one", 0, 3),
            line("a", "one", 5, 400),
            line("b", "one", 9, 10),
        ],
        ..Chunk::default()
    };
    bench.ledger.import(chunk).await.unwrap();
    let copy = Chunk {
        observations: vec![line("a", "two", 70, 400)],
        ..Chunk::default()
    };
    bench.ledger.import(copy).await.unwrap();
    let all = bench
        .ledger
        .explain(&RecordsQuery {
            page_size: 1,
            ..RecordsQuery::default()
        })
        .unwrap();
    assert_eq!(
        (all.records.len(), all.requests, all.duplicates_dropped),
        (1, 2, 2)
    );
    assert!(all.next.is_some());
    assert_eq!((all.tokens.output, all.cost), (410, bench.total().cost));
    let one = bench.ledger.explain_entry(1).unwrap();
    assert_eq!((one.records[0].dropped_total, one.tokens.output), (2, 400));
    assert_eq!(one.records[0].costing.as_ref().unwrap().total, one.cost);
    assert!(matches!(
        bench.ledger.explain_entry(99),
        Err(LedgerError::Refused(_))
    ));
}

#[tokio::test]
async fn a_follower_sees_history_and_then_what_comes_without_a_gap() {
    let bench = Bench::new();
    for i in 0..10 {
        bench
            .ledger
            .record(vec![call(&format!("old {i}"))])
            .await
            .unwrap();
    }
    let mut follower = bench.ledger.follow(0);
    let reader = tokio::spawn(async move {
        let mut seqs = Vec::new();
        while seqs.len() < 60 {
            seqs.extend(follower.next().await.unwrap().iter().map(|entry| entry.seq));
        }
        seqs
    });
    for i in 0..50 {
        bench
            .ledger
            .record(vec![call(&format!("new {i}"))])
            .await
            .unwrap();
    }
    let seqs = tokio::time::timeout(Duration::from_secs(10), reader)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seqs, (1..=60).collect::<Vec<u64>>());
    let mut late = bench.ledger.follow(60);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), late.next())
            .await
            .is_err()
    );
    bench.ledger.record(vec![call("last")]).await.unwrap();
    assert_eq!(late.next().await.unwrap()[0].seq, 61);
    assert_eq!(late.position(), 61);
}
