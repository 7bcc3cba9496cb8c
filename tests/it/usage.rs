//! Recording: exactly once, durable before it is acknowledged, visible to followers, refused when wrong.

use std::collections::HashSet;

use tokmon_client::{Client, Kind, v1};
use tokmon_tests::daemon::PATIENCE;
use tokmon_tests::env::Env;
use tokmon_tests::transcripts::{self, ClaudeCall};

fn usage(key: &str) -> v1::Usage {
    v1::Usage {
        agent: "editor".to_owned(),
        session: "s1".to_owned(),
        provider: "anthropic".to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
        tool: "Edit".to_owned(),
        tokens: Some(v1::Tokens {
            input: 1_500,
            output: 800,
            ..v1::Tokens::default()
        }),
        idempotency_key: key.to_owned(),
        ..v1::Usage::default()
    }
}

async fn record(client: &Client, usage: v1::Usage) -> Result<v1::RecordResponse, tokmon_client::Error> {
    let request = v1::RecordRequest { usage: Some(usage) };
    client.record(request).await
}

async fn totals(client: &Client) -> v1::Totals {
    let answer = client.totals(v1::TotalsRequest::default()).await.expect("totals");
    answer.totals.unwrap_or_default()
}

#[tokio::test]
async fn a_record_is_priced_exactly() {
    // A1, A2
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = env.client().await;
    let answer = record(&client, usage("a")).await.expect("recorded");
    assert_eq!(answer.outcome(), v1::RecordOutcome::Added);
    let pico = |money: Option<v1::Money>| {
        let money = money.expect("a price");
        (money.usd, money.pico)
    };
    assert_eq!(pico(answer.cost), (0, 16_500_000_000));
    let parts = answer.cost_parts.expect("parts");
    assert_eq!(pico(parts.input), (0, 4_500_000_000));
    assert_eq!(pico(parts.output), (0, 12_000_000_000));
    let session = answer.session.expect("the session's totals");
    assert_eq!((session.session.as_str(), session.requests), ("s1", 1));

    let again = record(&client, usage("a")).await.expect("not an error");
    assert_eq!(again.outcome(), v1::RecordOutcome::Duplicate);
    let other = record(&client, usage("b")).await.expect("recorded");
    assert_eq!(other.session.expect("totals").requests, 2);
    assert_eq!(totals(&client).await.requests, 2);
    daemon.stop();
}

#[tokio::test]
async fn records_without_a_key_are_calls_of_their_own() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    for _ in 0..3 {
        record(&client, usage("")).await.expect("recorded");
    }
    assert_eq!(totals(&client).await.requests, 3);
}

#[tokio::test]
async fn an_unknown_model_is_listed_and_never_priced_at_nothing() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    let mut unknown = usage("u");
    unknown.model = "nobody-knows-9".to_owned();
    let answer = record(&client, unknown).await.expect("recorded");
    assert!(answer.unpriced && answer.cost.is_none());
    let report = client.totals(v1::TotalsRequest::default()).await.expect("totals");
    assert_eq!(report.unpriced_models, ["anthropic/nobody-knows-9"]);
}

#[tokio::test]
async fn wrong_records_are_refused_and_leave_no_trace() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    let with = |change: &dyn Fn(&mut v1::Usage)| {
        let mut usage = usage("w");
        change(&mut usage);
        usage
    };
    let cases = [
        ("model", with(&|u| u.model.clear())),
        ("model", with(&|u| u.model = "m".repeat(2_000))),
        ("agent", with(&|u| u.agent = "a".repeat(2_000))),
        (
            "tokens",
            with(&|u| u.tokens.get_or_insert_default().input = u64::MAX),
        ),
        (
            "reasoning",
            with(&|u| u.tokens.get_or_insert_default().reasoning = 801),
        ),
        ("at_ms", with(&|u| u.at_ms = -1)),
        ("at_ms", with(&|u| u.at_ms = i64::MAX)),
        ("service_tier", with(&|u| u.service_tier = "gold".to_owned())),
        (
            "reported_cost",
            with(&|u| u.reported_cost = Some(v1::Money { usd: 1, pico: -1 })),
        ),
    ];
    for (field, wrong) in cases {
        let error = record(&client, wrong).await.expect_err(field);
        assert_eq!(error.kind(), Kind::Invalid, "{field}: {error}");
        assert!(error.message.contains(field), "{field} is not named: {error}");
    }
    let nothing = client
        .record(v1::RecordRequest { usage: None })
        .await
        .expect_err("no usage");
    assert_eq!(nothing.kind(), Kind::Invalid);
    assert_eq!(totals(&client).await.requests, 0);
}

#[tokio::test]
async fn a_stream_counts_what_it_refuses_and_goes_on() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    let requests = (0..5_000).map(|number| {
        let mut usage = usage(&format!("stream-{}", number % 4_000));
        if number == 17 {
            usage.model.clear();
        }
        v1::RecordRequest { usage: Some(usage) }
    });
    let answer = client
        .record_stream(tokio_stream::iter(requests))
        .await
        .expect("an answer at the end");
    assert_eq!(answer.refused, 1);
    assert_eq!(answer.refusals.first().map(|r| r.index), Some(17));
    // 4,000 keys, of which key 17 came a second time and was right then.
    assert_eq!((answer.added, answer.duplicates), (4_000, 999));
    assert_eq!(totals(&client).await.requests, 4_000);
}

#[tokio::test]
async fn a_line_appended_to_a_transcript_reaches_a_follower() {
    let env = Env::new();
    let first = ClaudeCall::default();
    transcripts::claude(&env, first.session, std::slice::from_ref(&first));
    let daemon = env.start_daemon();
    let client = env.client().await;
    let mut feed = client.follow(v1::FollowRequest::default()).await.expect("a feed");
    let mut next = async || {
        loop {
            let message = tokio::time::timeout(PATIENCE, feed.message()).await;
            let entry = message.expect("in time").expect("no error").expect("no end");
            if let Some(v1::follow_response::Entry::Record(record)) = entry.entry {
                return record;
            }
        }
    };
    assert_eq!(next().await.usage.expect("usage").session, first.session);

    let second = ClaudeCall {
        id: "msg_2",
        at: "2026-11-20T09:01:00.000Z",
        output: 42,
        ..ClaudeCall::default()
    };
    transcripts::claude(&env, first.session, &[second]);
    let live = next().await;
    assert_eq!(live.usage.and_then(|u| u.tokens).map(|t| t.output), Some(42));
    let source = live.source.expect("where it was read");
    assert_eq!(source.kind, "claude-code-transcript");
    assert!(source.path.ends_with("claude-session-1.jsonl") && source.offset > 0);
    daemon.stop();
}

/// Records one call after the other until the daemon dies; returns the keys that were acknowledged.
async fn record_until_it_dies(client: Client, round: usize, worker: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let key = format!("{round}-{worker}-{number}");
        match record(&client, usage(&key)).await {
            Ok(_) => acknowledged.push(key),
            Err(_) => break,
        }
    }
    acknowledged
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_and_counts_once() {
    let env = Env::new();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..6 {
        let daemon = env.start_daemon();
        let client = env.client().await;
        let workers: Vec<_> = (0..8)
            .map(|worker| tokio::spawn(record_until_it_dies(client.clone(), round, worker)))
            .collect();
        // Killed in the middle of the work: after a number of records that differs from round to round.
        let enough = acknowledged.len() as u64 + 20 + 37 * round as u64;
        while totals(&client).await.requests < enough {}
        daemon.kill();
        for worker in workers {
            acknowledged.extend(worker.await.expect("the worker ends"));
        }
    }

    let daemon = env.start_daemon();
    let client = env.client().await;
    let before = totals(&client).await.requests;
    assert!(
        before >= acknowledged.len() as u64,
        "{before} of {}",
        acknowledged.len()
    );
    // Whatever was acknowledged is known: sending it again changes nothing.
    for key in &acknowledged {
        let again = record(&client, usage(key)).await.expect("an answer");
        assert_eq!(again.outcome(), v1::RecordOutcome::Duplicate, "{key} was lost");
    }
    assert_eq!(totals(&client).await.requests, before);

    // Nothing counts twice: as many records as the totals say, each with its own position.
    let mut positions = HashSet::new();
    let mut page_token = String::new();
    loop {
        let page = client
            .list_usage(v1::ListUsageRequest {
                page_size: 1_000,
                page_token,
                ..Default::default()
            })
            .await
            .expect("a page");
        positions.extend(page.records.iter().map(|r| r.seq));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(positions.len() as u64, before);
    let verified = client
        .verify(v1::VerifyRequest::default())
        .await
        .expect("verified");
    assert!(verified.ok, "{:?}", verified.findings);
    daemon.stop();
}

#[tokio::test]
async fn totals_after_a_restart_equal_the_totals_before() {
    // C6
    let env = Env::new();
    transcripts::claude(&env, "claude-session-1", &[ClaudeCall::default()]);
    let daemon = env.start_daemon();
    let client = env.client().await;
    import(&client).await;
    record(&client, usage("a")).await.expect("recorded");
    let before = totals(&client).await;
    assert_eq!(before.requests, 2);
    daemon.stop();

    let daemon = env.start_daemon();
    let client = env.client().await;
    import(&client).await;
    assert_eq!(totals(&client).await, before);
    daemon.stop();
}

async fn import(client: &Client) {
    let mut progress = client.import(v1::ImportRequest {}).await.expect("an import");
    while let Some(step) = progress.message().await.expect("progress") {
        if step.done {
            return;
        }
    }
    panic!("the import ended without saying so");
}

#[tokio::test]
async fn a_directory_stands_for_its_repository_whoever_names_it() {
    let env = Env::new();
    let (root, deep) = (env.path("app"), env.path("app/src"));
    std::fs::create_dir_all(&deep).expect("made");
    std::fs::create_dir_all(root.join(".git/refs/heads")).expect("made");
    std::fs::write(root.join(".git/HEAD"), "ref: refs/heads/topic\n").expect("written");
    std::fs::write(root.join(".git/refs/heads/topic"), "b".repeat(40)).expect("written");
    let (root, deep) = (root.display().to_string(), deep.display().to_string());
    let _daemon = env.start_daemon();
    let call = v1::Usage {
        project: deep.clone(),
        ..usage("k1")
    };
    record(&env.client().await, call).await.expect("recorded");
    let report = env.ctl_json(&["report", "branch"]);
    let row = &report["rows"][0];
    assert_eq!(
        (&row["project"], &row["branch"]),
        (&root.clone().into(), &"topic".into()),
        "{report}"
    );
    // What is spent there is spent for whoever asks from there.
    let scope = format!("project={root}");
    let set = [
        "budget", "set", "p", "--tokens", "100", "--action", "deny", "--scope", &scope,
    ];
    env.ctl(&set).success();
    env.ctl(&["budget", "check", "--tokens", "1", "--project", &deep])
        .exits(1);
    let asked = serde_json::json!({
        "session_id": "s9", "cwd": deep, "hook_event_name": "UserPromptSubmit", "prompt": "go on",
    });
    let hook = env.ctl_with(&["hook", "claude-code"], &[], asked.to_string().as_bytes());
    assert!(hook.success().stdout.contains("block"));
}
