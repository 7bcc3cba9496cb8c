//! The receiver over a real ledger: what counts, what is bounded, and what can be sent again.

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokmon_core::price::PriceBook;
use tokmon_core::waste::WasteRules;
use tokmon_ledger::{ManualClock, Settings};

use super::*;

const NOW_MS: i64 = 1_795_166_105_668;

fn receiver() -> (TempDir, Ledger, Receiver) {
    let home = tempfile::tempdir().unwrap();
    let settings = Settings {
        book: PriceBook::bundled(),
        waste: WasteRules::default(),
        runaway: Default::default(),
        keep_notes: true,
        zone: TimeZone::UTC,
        user: "me".into(),
        cache_bytes: 1 << 20,
    };
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let ledger = Ledger::open(&home.path().join("ledger"), settings, clock.clone()).unwrap();
    let receiver = Receiver::new(ledger.clone(), clock, "me".into(), Arc::default());
    (home, ledger, receiver)
}

/// A request with so many calls, numbered from `first`.
fn calls(first: usize, number: usize) -> Vec<u8> {
    let record = |number: usize| {
        let pairs = [
            ("event.name", json!({"stringValue": "api_request"})),
            ("model", json!({"stringValue": "claude-opus-4-8"})),
            ("session.id", json!({"stringValue": "s"})),
            ("input_tokens", json!({"intValue": "3"})),
            ("request_id", json!({"stringValue": format!("req_{number}")})),
        ];
        let attributes: Vec<Value> = pairs
            .into_iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect();
        json!({"observedTimeUnixNano": format!("{NOW_MS}000000"), "attributes": attributes,
               "body": {"stringValue": "claude_code.api_request"}})
    };
    let records: Vec<Value> = (first..first + number).map(record).collect();
    let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
    serde_json::to_vec(&request).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_count_whole_up_to_the_bound() {
    let (_home, ledger, receiver) = receiver();
    let body = calls(0, MAX_OTLP_CALLS + 5);
    assert!(body.len() > INLINE_BYTES);
    let accepted = receiver
        .receive(Signal::Logs, Encoding::Json, body)
        .await
        .unwrap();
    assert_eq!(accepted.rejected, 5);
    assert!(
        accepted.problem.contains("10000 calls in one request"),
        "{accepted:?}"
    );
    let row = ledger.session("claude-code", "s").unwrap().unwrap();
    assert_eq!(row.agg.requests, MAX_OTLP_CALLS as u64);
    // The exporter did not hear the answer.
    receiver
        .receive(Signal::Logs, Encoding::Json, calls(0, 100))
        .await
        .unwrap();
    let tally = receiver.tally();
    assert_eq!((tally.calls, tally.duplicates, tally.rejected), (10_000, 100, 5));
    assert_eq!((tally.requests, tally.senders[0].calls), (2, 10_100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_request_counts_nothing_and_a_closed_ledger_can_be_asked_again() {
    let (_home, ledger, receiver) = receiver();
    let mut cut = calls(0, 3);
    cut.truncate(cut.len() - 2);
    let refused = receiver.receive(Signal::Logs, Encoding::Json, cut).await;
    assert!(matches!(refused, Err(ReceiveError::Malformed(_))), "{refused:?}");
    let refused = receiver
        .receive(Signal::Metrics, Encoding::Protobuf, vec![0x0a, 9])
        .await;
    assert!(matches!(refused, Err(ReceiveError::Malformed(_))), "{refused:?}");
    assert_eq!(ledger.session("claude-code", "s").unwrap(), None);
    assert_eq!(receiver.tally().refused, 2);

    ledger.close().await.unwrap();
    let refused = receiver.receive(Signal::Logs, Encoding::Json, calls(0, 3)).await;
    assert!(
        matches!(refused, Err(ReceiveError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(receiver.tally().requests, 0);
}

#[test]
fn what_is_shown_is_bounded() {
    let mut tally = Tally::default();
    for number in 0..100 {
        tally.show(format!("problem {}", number % 30));
        tally.heard(&format!("agent {number}").into(), 1, number);
    }
    assert_eq!(
        (tally.problems.len(), tally.senders.len()),
        (10, MAX_OTLP_SENDERS_SHOWN)
    );
    assert_eq!(&*tally.senders[MAX_OTLP_SENDERS_SHOWN - 1].agent, "agent 99");
}
