//! Every call counts once, whatever comes twice, late, in another order or from another file.

use std::collections::HashMap;

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokmon_core::merge::{Candidate, merge};
use tokmon_core::observation::Observation;

use super::{Bench, NOON, call, line};
use crate::{Chunk, DropReason, LedgerError, Outcome, Position};

fn chunk(observations: Vec<Observation>) -> Chunk {
    Chunk {
        observations,
        ..Chunk::default()
    }
}

fn position(path: &str, offset: u64) -> Position {
    Position {
        agent: "claude-code".into(),
        path: path.into(),
        file_id: (1, 2),
        offset,
        size: offset,
        mtime_ns: 0,
        tail_hash: 0,
        state: Vec::new(),
        parser_version: 1,
        records: 1,
        failures: 0,
    }
}

#[tokio::test]
async fn a_retry_is_a_duplicate_also_after_a_restart() {
    let bench = Bench::new();
    let first = bench.ledger.record(vec![call("a")]).await.unwrap();
    assert_eq!((first[0].outcome, first[0].seq), (Outcome::Added, 1));
    assert_eq!(first[0].costing.as_ref().unwrap().total.to_string(), "0.0165");
    let bench = bench.restart().await;
    let again = bench
        .ledger
        .record(vec![call("a"), call("b"), call("b")])
        .await
        .unwrap();
    let outcomes: Vec<Outcome> = again.iter().map(|r| r.outcome).collect();
    assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Added, Outcome::Duplicate]);
    assert_eq!(again[2].session.agg.requests, 2);
    assert_eq!(again[0].seq, 1);
    assert_eq!(bench.total().requests, 2);
}

#[tokio::test]
async fn a_chunk_and_its_position_are_one_piece() {
    let bench = Bench::new();
    let mut sent = chunk(vec![
        line("a", "f", 0, 3),
        line("a", "f", 10, 412),
        line("b", "f", 20, 7),
    ]);
    sent.positions = vec![position("f", 30)];
    let imported = bench.ledger.import(sent.clone()).await.unwrap();
    assert_eq!((imported.added, imported.amended, imported.duplicates), (2, 0, 1));
    assert_eq!(bench.total().tokens.output, 419);
    assert_eq!(bench.store_appends(), 1);
    // The same file once more, as after a lost position: nothing changes, and the best lines are no duplicates.
    let again = bench.ledger.import(sent).await.unwrap();
    assert_eq!((again.added, again.amended), (0, 0));
    assert_eq!(bench.total().tokens.output, 419);
    assert_eq!(bench.ledger.positions().unwrap()[0].offset, 30);
    let gone = Chunk {
        forgotten: vec!["f".into()],
        ..Chunk::default()
    };
    bench.ledger.import(gone).await.unwrap();
    assert!(bench.ledger.positions().unwrap().is_empty());
}

#[tokio::test]
async fn a_better_line_amends_and_the_totals_follow() {
    let bench = Bench::new();
    bench
        .ledger
        .import(chunk(vec![line("a", "f", 0, 3)]))
        .await
        .unwrap();
    let imported = bench
        .ledger
        .import(chunk(vec![line("a", "f", 10, 412)]))
        .await
        .unwrap();
    assert_eq!((imported.added, imported.amended), (0, 1));
    let total = bench.total();
    assert_eq!((total.requests, total.tokens.output), (1, 412));
    let explained = bench.ledger.explain(&crate::RecordsQuery::default()).unwrap();
    assert_eq!((explained.requests, explained.duplicates_dropped), (1, 1));
    let dropped = &explained.records[0].dropped[0];
    assert_eq!((dropped.offset, dropped.reason), (0, DropReason::Replaced));
}

#[tokio::test]
async fn what_the_rules_refuse_does_not_stop_the_rest_of_a_chunk_but_of_a_request() {
    let bench = Bench::new();
    let mut wrong = call("wrong");
    wrong.model = "".into();
    let imported = bench
        .ledger
        .import(chunk(vec![call("a"), wrong.clone(), call("b")]))
        .await
        .unwrap();
    assert_eq!(
        (imported.added, imported.refused.len(), imported.refused[0].0),
        (2, 1, 1)
    );
    let refused = bench.ledger.record(vec![call("c"), wrong]).await;
    assert!(matches!(refused, Err(LedgerError::Refused(_))), "{refused:?}");
    assert_eq!(bench.total().requests, 2);
    let many = vec![call("x"); tokmon_core::limits::MAX_BATCH + 1];
    assert!(matches!(
        bench.ledger.record(many).await,
        Err(LedgerError::Refused(_))
    ));
    let many = vec![call("x"); tokmon_core::limits::MAX_CHUNK + 1];
    assert!(matches!(
        bench.ledger.import(chunk(many)).await,
        Err(LedgerError::Refused(_))
    ));
}

#[tokio::test]
async fn a_clock_that_jumps_back_does_not_turn_the_order_around() {
    let bench = Bench::new();
    bench.ledger.record(vec![call("a")]).await.unwrap();
    bench.clock.advance(-3_600_000);
    bench.ledger.record(vec![call("b")]).await.unwrap();
    bench.clock.set(NOON + 5);
    bench.ledger.record(vec![call("c")]).await.unwrap();
    let entries = bench.ledger.follow(0).next().await.unwrap();
    let order: Vec<(u64, i64)> = entries.iter().map(|e| (e.seq, e.recorded_at_ms)).collect();
    assert_eq!(order, [(1, NOON), (2, NOON), (3, NOON + 5)]);
}

#[tokio::test]
async fn purged_calls_do_not_come_back() {
    let bench = Bench::new();
    let mut old = call("old");
    old.at_ms = NOON - 10_000;
    bench.ledger.record(vec![old.clone(), call("new")]).await.unwrap();
    let would = bench.ledger.purge(NOON - 5_000, None, true).await.unwrap();
    let done = bench.ledger.purge(NOON - 5_000, None, false).await.unwrap();
    assert_eq!((would.records, done.records), (1, 1));
    let bench = bench.restart().await;
    let again = bench.ledger.record(vec![old.clone()]).await.unwrap();
    assert_eq!((again[0].outcome, again[0].seq), (Outcome::Purged, 0));
    assert_eq!(bench.ledger.import(chunk(vec![old])).await.unwrap().purged, 1);
    assert_eq!(bench.total().requests, 2);
    assert!(bench.ledger.purge(NOON + 1, None, false).await.is_err());
}

impl Bench {
    fn store_appends(&self) -> u64 {
        self.store.appends().0
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// However the lines of some calls are ordered, cut into chunks and repeated: the totals are those of the best
    /// record of each call.
    #[test]
    fn totals_are_the_sum_of_the_best_records(
        lines in prop::collection::vec((0_u8..6, 0_u64..5, any::<bool>(), 0_u8..3, any::<bool>()), 1..40),
        cut in 1_usize..7,
    ) {
        let observations: Vec<(Observation, bool)> = lines
            .iter()
            .enumerate()
            .map(|(i, &(key, output, sidechain, path, asked))| {
                let mut seen = line(&format!("call {key}"), &format!("file {path}"), i as u64, output);
                seen.sidechain = sidechain;
                (seen, asked)
            })
            .collect();
        let mut best: HashMap<_, Candidate> = HashMap::new();
        for (seen, _) in &observations {
            let new = Candidate::new(seen.clone());
            let merged = |known: &mut Candidate| {
                merge(known, new.clone());
            };
            best.entry(seen.key).and_modify(merged).or_insert(new.clone());
        }
        let output: u64 = best.values().map(|call| call.seen.tokens.output).sum();
        Runtime::new().unwrap().block_on(async {
            let bench = Bench::new();
            for part in observations.chunks(cut) {
                let (asked, read): (Vec<_>, Vec<_>) = part.iter().cloned().partition(|(_, asked)| *asked);
                bench.ledger.import(chunk(read.into_iter().map(|(seen, _)| seen).collect())).await.unwrap();
                bench.ledger.record(asked.into_iter().map(|(seen, _)| seen).collect()).await.unwrap();
            }
            let total = bench.total();
            assert_eq!(total.requests, best.len() as u64);
            assert_eq!(total.tokens.output, output);
            assert_eq!(bench.ledger.records(&crate::RecordsQuery::default()).unwrap().items.len(), best.len());
            let checked = bench.ledger.verify(None).unwrap();
            assert_eq!(checked.findings, Vec::<String>::new());
        });
    }
}
