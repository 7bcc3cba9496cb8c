//! Budgets: kept, evaluated, one alert per threshold and window, and limits that hold.

mod adjust;
mod closed;
mod hold;
mod watch;

use tokmon_client::{Kind, v1};
use tokmon_tests::env::Env;

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;

fn daily() -> v1::Budget {
    v1::Budget {
        name: "daily".to_owned(),
        limit_tokens: 1_000_000,
        window: "day".to_owned(),
        timezone: "UTC".to_owned(),
        warn_percent: 80,
        ..Default::default()
    }
}

#[tokio::test]
async fn an_alert_comes_once_per_threshold_and_window() {
    // A7
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    let client = env.client().await;
    let set = v1::SetBudgetRequest {
        budget: Some(daily()),
    };
    client.set_budget(set).await.expect("set");
    let spend = async |tokens| {
        let usage = v1::Usage {
            model: "claude-sonnet-4-5".to_owned(),
            tokens: Some(v1::Tokens {
                input: tokens,
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = v1::RecordRequest { usage: Some(usage) };
        client.record(request).await.expect("recorded").alerts
    };
    assert!(spend(700_000).await.is_empty());
    let alerts = spend(150_000).await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((alerts[0].budget.as_str(), alerts[0].percent), ("daily", 85));
    assert!(alerts[0].message.contains("85"), "{}", alerts[0].message);
    assert!(spend(10_000).await.is_empty(), "once per threshold");
    let state = client
        .get_budget(v1::GetBudgetRequest {
            name: "daily".to_owned(),
        })
        .await
        .expect("its state");
    assert_eq!((state.used_tokens, state.percent), (860_000, 86));
    assert_eq!(state.state, "warn");
    daemon.stop();

    // The next day is a new window, also after a restart.
    env.set_clock(NOON + 24 * 60 * 60 * 1000);
    let daemon = env.start_daemon();
    let client = env.client().await;
    let budgets = client
        .list_budgets(v1::ListBudgetsRequest {})
        .await
        .expect("budgets");
    assert_eq!(budgets.budgets.len(), 1);
    assert_eq!(budgets.budgets[0].used_tokens, 0);
    daemon.stop();
}

#[tokio::test]
async fn wrong_budgets_are_refused() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    let with = |change: &dyn Fn(&mut v1::Budget)| {
        let mut budget = daily();
        change(&mut budget);
        budget
    };
    for (field, budget) in [
        ("name", with(&|b| b.name = "Not A Name".to_owned())),
        ("window", with(&|b| b.window = "fortnight".to_owned())),
        ("limit", with(&|b| b.limit_tokens = 0)),
        ("percent", with(&|b| b.warn_percent = 500)),
        ("timezone", with(&|b| b.timezone = "Mars/Olympus".to_owned())),
        ("action", with(&|b| b.action = "explode".to_owned())),
    ] {
        let set = v1::SetBudgetRequest { budget: Some(budget) };
        let error = client.set_budget(set).await.expect_err(field);
        assert_eq!(error.kind(), Kind::Invalid, "{field}: {error}");
        assert!(error.message.contains(field), "{field} is not named: {error}");
    }
    let missing = client
        .remove_budget(v1::RemoveBudgetRequest {
            name: "nobody".to_owned(),
        })
        .await
        .expect_err("there is none");
    assert_eq!(missing.kind(), Kind::NotFound);
}
