//! Limits of subscriptions: what agents write down and what is reported over gRPC.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokmon_client::v1;
use tokmon_tests::env::Env;

fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("before the year 292 billion") + seconds
}

#[tokio::test]
async fn what_codex_writes_down_is_known_too() {
    let env = Env::new();
    let resets = seconds_from_now(9_000);
    let body = json!({"type": "token_count", "info": null, "rate_limits": {
        "limit_id": "codex", "plan_type": "plus",
        "primary": {"used_percent": 90.5, "window_minutes": 300, "resets_at": resets},
        "secondary": {"used_percent": 10, "window_minutes": 10_080, "resets_at": resets},
    }});
    let line = json!({"timestamp": "2026-11-20T09:00:00Z", "type": "event_msg", "payload": body});
    let file = env
        .codex()
        .join("sessions/2026/11/20/rollout-2026-11-20T09-00-00-x.jsonl");
    std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
    std::fs::write(&file, format!("{line}\n")).expect("written");
    let _daemon = env.start_daemon();
    env.ctl(&["up", "--no-watch"]).success();
    let shown = env.ctl(&["quota"]).success().stdout;
    for part in ["codex", "5h window", "90.5 %", "plus", "7d window", "10.0 %"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[tokio::test]
async fn limits_that_cannot_be_are_refused_by_name() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    for (used, limit, named) in [
        (f64::NAN, "five_hour", "used_percent"),
        (-1.0, "five_hour", "used_percent"),
        (1e9, "five_hour", "used_percent"),
        (1.0, "", "limit"),
    ] {
        let reading = v1::QuotaReading {
            agent: "x".to_owned(),
            limit: limit.to_owned(),
            used_percent: used,
            ..Default::default()
        };
        let request = v1::ReportQuotasRequest {
            readings: vec![reading],
        };
        let error = client
            .report_quotas(request)
            .await
            .expect_err("refused")
            .to_string();
        assert!(error.contains(named), "{error}");
    }
    let none = env.ctl(&["quota"]).success().stdout;
    assert!(none.contains("No limits are known yet"), "{none}");
}
