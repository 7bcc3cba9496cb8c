//! Care of the ledger while the daemon runs: backup, verify, restore, compact, purge and reset.

use tokmon_client::{Client, Kind, v1};
use tokmon_tests::env::Env;

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

async fn record(client: &Client, key: &str, at_ms: i64) {
    let usage = v1::Usage {
        model: "claude-sonnet-4-5".to_owned(),
        tokens: Some(v1::Tokens {
            input: 1_000,
            ..Default::default()
        }),
        at_ms,
        idempotency_key: key.to_owned(),
        ..Default::default()
    };
    let request = v1::RecordRequest { usage: Some(usage) };
    client.record(request).await.expect("recorded");
}

async fn requests(client: &Client) -> u64 {
    let answer = client.totals(v1::TotalsRequest::default()).await;
    answer.expect("totals").totals.unwrap_or_default().requests
}

#[tokio::test]
async fn a_backup_brings_back_what_was_there() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    let client = env.client().await;
    for number in 0..50 {
        record(&client, &format!("before-{number}"), NOON - DAY).await;
    }
    let file = env.path("backup.redb").display().to_string();
    let backup = || client.backup(v1::BackupRequest { path: file.clone() });
    let done = backup().await.expect("a backup");
    assert!(done.bytes > 0 && done.last_seq >= 50, "{done:?}");
    let twice = backup().await.expect_err("it exists");
    assert_eq!(twice.kind(), Kind::Conflict, "{twice}");

    let verify = |path: &str| {
        client.verify(v1::VerifyRequest {
            path: path.to_owned(),
        })
    };
    for path in ["", &file] {
        let verified = verify(path).await.expect("verified");
        assert!(
            verified.ok && verified.entries_checked >= 50,
            "{path:?}: {verified:?}"
        );
    }

    for number in 0..7 {
        record(&client, &format!("after-{number}"), NOON - DAY).await;
    }
    assert_eq!(requests(&client).await, 57);
    let restored = client
        .restore(v1::RestoreRequest { path: file.clone() })
        .await
        .expect("restored");
    assert!(std::path::Path::new(&restored.set_aside).exists(), "{restored:?}");
    assert_eq!(requests(&client).await, 50);
    record(&client, "later", NOON - DAY).await;
    assert_eq!(requests(&client).await, 51);
    daemon.stop();

    let daemon = env.start_daemon();
    assert_eq!(requests(&env.client().await).await, 51);
    daemon.stop();
}

#[tokio::test]
async fn a_purge_keeps_the_totals() {
    // A12
    let mut env = Env::with_clock(NOON);
    env.set_var("TOKMON_RETENTION_AUTOMATIC", "false");
    let daemon = env.start_daemon();
    let client = env.client().await;
    record(&client, "old", NOON - 90 * DAY).await;
    record(&client, "new", NOON - DAY).await;
    let purge = |dry_run| {
        client.purge(v1::PurgeRequest {
            before_ms: NOON - 30 * DAY,
            dry_run,
        })
    };
    let listed = async || {
        let page = client.list_usage(v1::ListUsageRequest::default()).await;
        page.expect("a page").records.len()
    };
    assert_eq!(purge(true).await.expect("a preview").records, 1);
    assert_eq!(listed().await, 2);
    assert_eq!(purge(false).await.expect("purged").records, 1);
    assert_eq!(listed().await, 1);
    assert_eq!(requests(&client).await, 2);

    // A copy of what was purged cannot count again.
    record(&client, "old", NOON - 90 * DAY).await;
    assert_eq!(requests(&client).await, 2);
    let verified = client
        .verify(v1::VerifyRequest::default())
        .await
        .expect("verified");
    assert!(verified.ok, "{:?}", verified.findings);
    let compacted = client.compact(v1::CompactRequest {}).await.expect("compacted");
    assert!(compacted.bytes_after <= compacted.bytes_before);
    assert_eq!(requests(&client).await, 2);
    daemon.stop();
}

#[tokio::test]
async fn what_is_no_backup_is_refused_and_the_ledger_stays() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = env.client().await;
    record(&client, "a", 0).await;
    let garbage = env.path("garbage");
    std::fs::write(&garbage, b"no ledger".repeat(999)).expect("a file");
    for (path, kind) in [
        (garbage.display().to_string(), Kind::Damaged),
        (env.path("absent").display().to_string(), Kind::NotFound),
        ("relative/path".to_owned(), Kind::Invalid),
    ] {
        let request = v1::RestoreRequest { path: path.clone() };
        let error = client.restore(request).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{path}: {error}");
    }
    let unconfirmed = client
        .reset_ledger(v1::ResetLedgerRequest {
            confirm: "yes".to_owned(),
        })
        .await
        .expect_err("refused");
    assert_eq!(unconfirmed.kind(), Kind::Invalid);
    assert_eq!(requests(&client).await, 1);

    let confirmed = client
        .reset_ledger(v1::ResetLedgerRequest {
            confirm: "reset all data".to_owned(),
        })
        .await
        .expect("reset");
    assert!(std::path::Path::new(&confirmed.set_aside).exists());
    assert_eq!(requests(&client).await, 0);
    daemon.stop();
}

#[tokio::test]
async fn a_clock_that_jumps_back_loses_nothing() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    let client = env.client().await;
    record(&client, "before", 0).await;
    env.set_clock(NOON - 3 * DAY);
    record(&client, "after", 0).await;
    record(&client, "before", 0).await;
    assert_eq!(requests(&client).await, 2);
    daemon.stop();

    env.set_clock(NOON - 5 * DAY);
    let daemon = env.start_daemon();
    let client = env.client().await;
    assert_eq!(requests(&client).await, 2);
    record(&client, "later", 0).await;
    assert_eq!(requests(&client).await, 3);
    let verified = client
        .verify(v1::VerifyRequest::default())
        .await
        .expect("verified");
    assert!(verified.ok, "{:?}", verified.findings);
    daemon.stop();
}
