//! Several witnesses of one call: whatever comes when and from whom, the ledger holds each call once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokmon_core::entry::Record;
use tokmon_core::id::Key;
use tokmon_core::observation::Observation;
use tokmon_core::witness::Witness;

use super::{Bench, NOON, call};
use crate::query::{RecordsQuery, record};
use crate::store::{Cut, Store};
use crate::{Chunk, Outcome};

const KINDS: [&str; 3] = ["claude-code-transcript", "claude-code-otel", "mcp"];

fn account(kind: &str, key: &str, at_ms: i64, id: &str) -> Observation {
    let mut seen = call(&format!("{kind} {key}"));
    seen.source.kind = kind.into();
    seen.source.path = "".into();
    seen.at_ms = at_ms;
    seen.request_id = id.into();
    seen
}

async fn import(bench: &Bench, observations: Vec<Observation>) {
    let chunk = Chunk {
        observations,
        ..Chunk::default()
    };
    bench.ledger.import(chunk).await.unwrap();
}

fn records(bench: &Bench) -> Vec<Record> {
    let page = bench.ledger.records(&RecordsQuery::default()).unwrap();
    page.items.iter().filter_map(record).cloned().collect()
}

#[tokio::test]
async fn an_id_finds_the_call_in_either_order_also_after_a_restart_and_for_ever() {
    for first in [0, 1] {
        let accounts = [
            account(KINDS[0], "a", NOON - 9_000, "req_1"),
            account(KINDS[1], "b", NOON - 8_000, "req_1"),
        ];
        let bench = Bench::new();
        import(&bench, vec![accounts[first].clone()]).await;
        let bench = bench.restart().await;
        import(&bench, vec![accounts[1 - first].clone()]).await;
        assert_eq!(bench.total().requests, 1);
        let kept = records(&bench);
        let witnesses: Vec<Witness> = kept[0].witnesses().collect();
        assert_eq!(witnesses, [Witness::File, Witness::Telemetry]);
        // Each is known under its own key from now on.
        let bench = bench.restart().await;
        for seen in &accounts {
            let receipt = bench.ledger.record(vec![seen.clone()]).await.unwrap();
            assert_eq!(receipt[0].outcome, Outcome::Duplicate);
        }
        // Also when the record is gone.
        bench.ledger.purge(NOON, None, false).await.unwrap();
        assert_eq!(records(&bench).len(), 0);
        for seen in &accounts {
            let receipt = bench.ledger.record(vec![seen.clone()]).await.unwrap();
            assert_eq!(receipt[0].outcome, Outcome::Purged);
        }
        assert_eq!(bench.total().requests, 1);
    }
}

#[tokio::test]
async fn a_wrong_merge_is_taken_apart_and_stays_apart() {
    let bench = Bench::new();
    let (file, telemetry) = (
        account(KINDS[0], "a", NOON - 9_000, ""),
        account(KINDS[1], "b", NOON - 8_000, ""),
    );
    import(&bench, vec![file.clone()]).await;
    let joined = bench.ledger.record(vec![telemetry.clone()]).await.unwrap();
    assert_eq!((joined[0].outcome, bench.total().requests), (Outcome::Amended, 1));
    let seq = joined[0].seq;
    let apart = bench.ledger.split(seq).await.unwrap();
    assert_eq!(apart.len(), 2);
    assert_eq!(bench.total().requests, 2);
    assert_eq!(bench.total().tokens.output, 1_600);
    // Neither again by the same accounts, nor after a restart; and what is apart cannot be taken apart.
    let bench = bench.restart().await;
    import(&bench, vec![file, telemetry]).await;
    assert_eq!(bench.total().requests, 2);
    for seq in [seq, apart[0].seq, apart[1].seq, 99] {
        assert!(bench.ledger.split(seq).await.is_err(), "{seq}");
    }
    assert!(bench.store.verify().unwrap().findings.is_empty());
}

#[tokio::test]
async fn calls_far_apart_in_time_are_joined_by_their_id_only_nearby() {
    let bench = Bench::new();
    import(&bench, vec![account(KINDS[1], "b", NOON - 86_400_000, "req_1")]).await;
    import(&bench, vec![account(KINDS[0], "a", NOON - 86_399_000, "req_1")]).await;
    assert_eq!(bench.total().requests, 1, "also long ago");
}

/// A call as it truly was: which figures it has, which witnesses saw it, and whether they know its id.
#[derive(Debug, Clone)]
struct Truth {
    hour: i64,
    output: u64,
    seen_by: [bool; 3],
}

fn truth() -> impl Strategy<Value = Truth> {
    (0_i64..3, 0_u64..2, any::<[bool; 3]>()).prop_map(|(hour, output, seen_by)| Truth {
        hour,
        output,
        seen_by,
    })
}

/// The accounts of the calls. Whether ids are known depends on the figures, so that equal calls agree in it.
fn accounts(calls: &[Truth]) -> Vec<Observation> {
    let mut all = Vec::new();
    for (n, truth) in calls.iter().enumerate() {
        for (kind, seen) in KINDS.iter().zip(truth.seen_by) {
            if !seen {
                continue;
            }
            let late = i64::try_from(n).unwrap() * 1_000 % 50_000;
            let at_ms = NOON - 86_400_000 + truth.hour * 3_600_000 + late;
            let known = truth.output == 1 && *kind != "mcp";
            let id = if known {
                format!("req_{n:04}")
            } else {
                String::new()
            };
            let mut seen = account(kind, &n.to_string(), at_ms, &id);
            seen.tokens.output = 100 + truth.output;
            all.push(seen);
        }
    }
    all
}

/// How many calls there are: those of one id are one; without ids, equal calls are as many as the witness that saw most
/// of them says.
fn expected(calls: &[Truth]) -> u64 {
    let mut groups: BTreeMap<(i64, u64), [u64; 3]> = BTreeMap::new();
    for truth in calls {
        let counts = groups.entry((truth.hour, truth.output)).or_default();
        for (count, seen) in counts.iter_mut().zip(truth.seen_by) {
            *count += u64::from(seen);
        }
        if truth.output == 1 {
            // Of a call with an id it is enough that one of the two that know ids saw it.
            let both = truth.seen_by[0] && truth.seen_by[1];
            counts[1] -= u64::from(both);
        }
    }
    let group = |((_, output), counts): (&(i64, u64), &[u64; 3])| match output {
        1 => (counts[0] + counts[1]).max(counts[2]),
        _ => counts.iter().copied().max().unwrap_or(0),
    };
    groups.iter().map(group).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_call_is_lost_and_none_counts_twice(
        calls in prop::collection::vec(truth(), 0..14),
        order in any::<u64>(),
        cuts in prop::collection::vec(1_usize..6, 1..12),
    ) {
        let mut all = accounts(&calls);
        // Some come twice, in any order.
        all.extend(all.clone().into_iter().step_by(3));
        let mut state = order | 1;
        for at in (1..all.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            all.swap(at, (state >> 33) as usize % (at + 1));
        }
        let keys: Vec<Key> = all.iter().map(|seen| seen.key).collect();
        Runtime::new().unwrap().block_on(async {
            let mut bench = Bench::new();
            let mut rest = all.as_slice();
            for (n, cut) in cuts.iter().cycle().enumerate() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                rest = later;
                match n % 3 {
                    0 => import(&bench, now.to_vec()).await,
                    1 => drop(bench.ledger.record(now.to_vec()).await.unwrap()),
                    _ => {
                        bench = bench.restart().await;
                        import(&bench, now.to_vec()).await;
                    }
                }
            }
            let total = bench.total();
            assert_eq!(total.requests, expected(&calls));
            // Everybody's account is in some record, and no record has two of one kind.
            let kept = records(&bench);
            assert_eq!(kept.len() as u64, total.requests);
            let accounts: usize = kept.iter().map(|r| r.witnesses().count()).sum();
            let distinct: std::collections::BTreeSet<Key> = keys.iter().copied().collect();
            assert_eq!(accounts, distinct.len());
            for record in &kept {
                let mut kinds: Vec<Witness> = record.witnesses().collect();
                kinds.dedup();
                assert_eq!(kinds.len(), record.witnesses().count());
            }
            assert!(bench.store.verify().unwrap().findings.is_empty());
            assert_eq!(bench.store.count_before(&Cut::before(i64::MAX)).unwrap(), total.requests);
        });
    }
}
