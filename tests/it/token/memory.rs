//! What counting takes of memory is given back once nobody counts any more.

use std::time::{Duration, Instant};

use tokmon_client::v1;
use tokmon_tests::env::Env;

use super::count;

/// How much more an idle daemon may have than before it counted, in bytes.
const MORE: u64 = 5_000_000;
/// Longest wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Resident memory, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .expect("a size");
    kib * 1024
}

#[tokio::test]
async fn a_daemon_that_has_counted_and_rests_is_as_small_as_before() {
    let env = Env::new();
    env.write_config("[tokenizer]\nidle_seconds = 1\n");
    let daemon = env.start_daemon();
    let client = env.client().await;
    // Of the code that any call needs some is read now.
    client
        .status(v1::StatusRequest::default())
        .await
        .expect("an answer");
    let before = resident(daemon.pid());
    let prose = "The ledger keeps what it was told, and nothing of it twice. ".repeat(160_000);
    let random: Vec<u8> = (0..9_600_000_u64)
        .map(|n| b'a' + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as u8 % 26)
        .collect();
    let mut most = before;
    for (model, text) in [("gpt-5", &random[..]), ("gpt-4", prose.as_bytes())] {
        assert!(count(&client, text, model).await.exact);
        most = most.max(resident(daemon.pid()));
    }
    let began = Instant::now();
    let after = loop {
        let now = resident(daemon.pid());
        if now <= before + MORE || began.elapsed() > PATIENCE {
            break now;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!(
        "{before} bytes before, {most} while it counted, {after} after {:?}",
        began.elapsed()
    );
    assert!(most > before + MORE, "{most}: nothing was taken");
    assert!(after <= before + MORE, "{before} bytes before, {after} after");
    daemon.stop();
}
