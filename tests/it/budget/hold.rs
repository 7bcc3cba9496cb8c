//! Reservations through the real programs: many processes at once, a daemon that is killed, time that passes.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokmon_client::v1;
use tokmon_client::v1::follow_response::Entry;
use tokmon_tests::env::{Env, Run};

use super::NOON;

/// Processes at once.
const CLIENTS: usize = 64;
const LIMIT: u64 = 1_000;

fn budget(env: &Env) -> Value {
    env.ctl_json(&["budget", "show", "hard"])
}

fn set_hard(env: &Env) {
    let tokens = LIMIT.to_string();
    let set = [
        "budget", "set", "hard", "--tokens", &tokens, "--window", "lifetime", "--action", "deny",
    ];
    env.ctl(&set).success();
}

fn reserve(env: &Env, id: &str, tokens: u64) -> Run {
    let tokens = tokens.to_string();
    env.ctl(&[
        "--no-start",
        "budget",
        "reserve",
        "--id",
        id,
        "--tokens",
        &tokens,
        "--json",
    ])
}

/// How much a client asks for and uses; different for each, and never more than was reserved.
fn amounts(client: usize, round: usize) -> (u64, u64) {
    let asked = 5 + (client * 7 + round * 13) as u64 % 23;
    (asked, asked - (client + round) as u64 % 5)
}

#[test]
fn sixty_four_processes_never_pass_a_limit_together() {
    let env = Env::new();
    let daemon = env.start_daemon();
    set_hard(&env);
    // What each id got: what it holds, or what it used.
    let held: Mutex<BTreeMap<String, (u64, u64)>> = Mutex::default();
    let denied = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (env, held, denied) = (&env, &held, &denied);
            scope.spawn(move || {
                for round in 0..2 {
                    let id = format!("c{client}-{round}");
                    let (asked, used) = amounts(client, round);
                    let run = reserve(env, &id, asked);
                    match run.code {
                        0 => assert_eq!(run.json()["reservation"], Value::from(id.as_str())),
                        1 => {
                            assert_eq!(run.json()["granted"], false);
                            denied.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        _ => panic!("{run:#?}"),
                    }
                    let settled = (client + round) % 2 == 0;
                    if settled {
                        let used = used.to_string();
                        let settle = ["--no-start", "budget", "settle", &id, "--input-tokens", &used];
                        env.ctl(&settle).success();
                    }
                    let amount = if settled { (0, used) } else { (asked, 0) };
                    held.lock().expect("no panic").insert(id, amount);
                }
            });
        }
    });
    let held = held.into_inner().expect("no panic");
    let pending: u64 = held.values().map(|(pending, _)| pending).sum();
    let posted: u64 = held.values().map(|(_, posted)| posted).sum();
    let state = budget(&env);
    assert_eq!(
        (&state["pending_tokens"], &state["used_tokens"]),
        (&pending.into(), &posted.into())
    );
    assert_eq!(state["overdraft_tokens"], 0);
    assert!(posted + pending <= LIMIT, "{posted} + {pending}");
    assert!(
        posted + pending > LIMIT - 28,
        "as much as fits is granted: {posted} + {pending}"
    );
    assert!(denied.into_inner() > 0);
    daemon.stop();
}

#[test]
fn a_kill_in_the_middle_admits_no_token_too_many() {
    let env = Env::new();
    let daemon = env.start_daemon();
    set_hard(&env);
    let granted = AtomicUsize::new(0);
    let (enough, wait) = std::sync::mpsc::sync_channel::<()>(CLIENTS);
    let answers: Mutex<BTreeMap<String, i32>> = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (env, granted, answers, enough) = (&env, &granted, &answers, enough.clone());
            scope.spawn(move || {
                let id = format!("c{client}");
                let run = reserve(env, &id, amounts(client, 0).0 + 10);
                if run.code == 0 && granted.fetch_add(1, Ordering::Relaxed) == 12 {
                    enough.send(()).expect("somebody waits");
                }
                answers.lock().expect("no panic").insert(id, run.code);
            });
        }
        // When some were granted and others are on their way.
        wait.recv().expect("some are granted");
        daemon.kill();
    });
    let daemon = env.start_daemon();
    let before = answers.into_inner().expect("no panic");
    let mut total = 0;
    for client in 0..CLIENTS {
        let (id, asked) = (format!("c{client}"), amounts(client, 0).0 + 10);
        let again = reserve(&env, &id, asked);
        assert!(matches!(again.code, 0 | 1), "{again:#?}");
        if before[&id] == 0 {
            assert_eq!(again.code, 0, "what was granted is still held: {id}");
        }
        if again.code == 0 {
            total += asked;
        }
    }
    let state = budget(&env);
    assert_eq!(state["pending_tokens"], total);
    assert_eq!(
        (&state["used_tokens"], &state["overdraft_tokens"]),
        (&0.into(), &0.into())
    );
    assert!(total <= LIMIT && total > LIMIT - 38, "{total}");
    daemon.stop();
}

#[test]
fn the_answers_of_the_command_line_are_those_that_scripts_read() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    let set = [
        "budget",
        "set",
        "hard",
        "--tokens",
        "100",
        "--window",
        "day",
        "--action",
        "deny",
        "--timezone",
        "UTC",
    ];
    env.ctl(&set).success();
    let asked = [
        "budget",
        "reserve",
        "--session",
        "s",
        "--task",
        "t",
        "--agent",
        "a",
        "--project",
        "/p",
        "--json",
    ];
    let with = |more: &[&'static str]| {
        let mut args = asked.to_vec();
        args.extend(more);
        env.ctl(&args)
    };
    let first = with(&["--input-tokens", "50", "--output-tokens", "10"])
        .success()
        .json();
    let id = first["reservation"].as_str().expect("an id").to_owned();
    assert_eq!(first["granted"], true);
    let binding = &first["binding"];
    assert_eq!(
        (
            &binding["budget"],
            &binding["limit"],
            &binding["posted"],
            &binding["pending"],
            &binding["available"]
        ),
        (&"hard".into(), &100.into(), &0.into(), &60.into(), &40.into())
    );
    assert_eq!(binding["resets_at"], "2026-11-21T00:00:00.000Z");
    let denied = with(&["--tokens", "41"]).exits(1).json();
    assert_eq!(
        (&denied["granted"], &denied["reservation"]),
        (&false.into(), &Value::Null)
    );
    assert_eq!(
        (&denied["binding"]["available"], &denied["waiting_helps"]),
        (&40.into(), &true.into())
    );

    let settle = [
        "budget",
        "settle",
        &id,
        "--input-tokens",
        "30",
        "--output-tokens",
        "5",
    ];
    let settled = env.ctl_json(&settle);
    assert_eq!(
        (&settled["state"], &settled["before"]),
        (&"settled".into(), &false.into())
    );
    assert_eq!(env.ctl_json(&settle)["before"], true);
    env.ctl(&["budget", "settle", &id, "--input-tokens", "31"])
        .exits(73);
    env.ctl(&["budget", "settle", "nobody", "--input-tokens", "31"])
        .exits(66);
    env.ctl(&["budget", "release", "nobody"]).exits(66);
    assert_eq!(env.ctl_json(&["budget", "release", &id])["state"], "settled");
    let log = env.ctl_json(&["log"]);
    assert!(log.to_string().contains("\"session\":\"s\""), "{log}");

    let more = with(&["--id", "mine", "--tokens", "20"]).success().json();
    assert_eq!(more["reservation"], "mine");
    with(&["--id", "mine", "--tokens", "21"]).exits(73);
    env.ctl(&["budget", "extend", "mine", "--tokens", "66"]).exits(1);
    env.ctl(&["budget", "extend", "mine", "--tokens", "65"]).success();
    assert_eq!(env.ctl_json(&["budget", "release", "mine"])["state"], "released");
    let state = budget(&env);
    assert_eq!(
        (&state["used_tokens"], &state["pending_tokens"]),
        (&35.into(), &0.into())
    );

    env.ctl(&["budget", "check", "--tokens", "66"]).exits(1);
    env.ctl(&["budget", "lift", "hard", "--tokens", "1", "--for", "1h"])
        .success();
    env.ctl(&["budget", "check", "--tokens", "66"]).success();
    for wrong in [
        &["--tokens", "0"][..],
        &["--tokens", "-1"],
        &["--tokens", "NaN"],
        &["--usd", "-3"],
        &["--usd", "inf"],
        &[],
    ] {
        let mut args = vec!["budget", "reserve"];
        args.extend(wrong);
        env.ctl(&args).exits(2);
    }
    let terms = [
        "--weigh",
        "output=100",
        "--shadow",
        "--unreachable",
        "deny",
        "--window",
        "rolling:5h",
    ];
    let mut args = vec!["budget", "set", "terms", "--tokens", "5", "--action", "deny"];
    args.extend(terms);
    let terms = env.ctl_json(&args);
    assert_eq!(
        (&terms["weights"]["output"], &terms["weights"]["input"]),
        (&100.into(), &0.into())
    );
    assert_eq!(
        (&terms["shadow"], &terms["unreachable"]),
        (&true.into(), &"deny".into())
    );
    assert_eq!(terms["window"], "rolling:5h");
    let shadowed = env.ctl_json(&["budget", "check", "--input-tokens", "1", "--output-tokens", "6"]);
    assert_eq!(shadowed["would_deny"][0], "terms");
    let huge = u64::MAX.to_string();
    env.ctl(&["budget", "reserve", "--tokens", &huge]).exits(64);
    env.ctl(&["budget", "set", "huge", "--tokens", &huge]).exits(64);
    env.ctl(&["budget", "settle", &id, "--input-tokens", &huge])
        .exits(73);
    daemon.stop();
    let gone = env.ctl(&["--no-start", "budget", "reserve", "--tokens", "1"]);
    assert_eq!(gone.code, 69, "{gone:#?}");
}

#[test]
fn a_file_of_budgets_is_compared_and_then_applied() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let file = env.path("budgets.toml");
    let text = "[budget.day]\nusd = 20\nwindow = \"day\"\naction = \"deny\"\n[budget.codex]\ntokens = 1000\nwindow = \"7d\"\nscope = { agent = \"codex\" }\n";
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("a path");
    let dry = env.ctl_json(&["budget", "apply", file, "--dry-run"]);
    assert_eq!(dry["changes"][0]["change"], "create");
    assert_eq!(
        env.ctl_json(&["budget", "list"])["budgets"],
        Value::Array(Vec::new())
    );
    env.ctl(&["budget", "apply", file]).success();
    let again = env.ctl_json(&["budget", "apply", file]);
    assert!(!again.to_string().contains("create"), "{again}");
    for change in again["changes"].as_array().expect("a list") {
        assert_eq!(change["change"], "keep", "{again}");
    }
    std::fs::write(file, text.replace("20", "30")).expect("a file");
    let changed = env.ctl_json(&["budget", "apply", file]);
    assert_eq!(changed["changes"][0]["fields"][0], "limit_usd \"20\" → \"30\"");
    std::fs::write(
        file,
        "[budget.day]\nusd = 30\naction = \"deny\"\n[budget.x]\nwindow = 5\n",
    )
    .expect("a file");
    env.ctl(&["budget", "apply", file, "--prune"])
        .exits(64)
        .complains(&["budget.x", "window"]);
    assert_eq!(
        env.ctl_json(&["budget", "list"])["budgets"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    std::fs::write(file, "[budget.day]\nusd = 30\naction = \"deny\"\n").expect("a file");
    env.ctl(&["budget", "apply", file, "--prune"]).success();
    assert_eq!(
        env.ctl_json(&["budget", "list"])["budgets"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    daemon.stop();
}

#[tokio::test]
async fn what_nobody_settles_expires_by_the_daemons_own_timer() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = env.client().await;
    let ask = |id: &str| v1::ReserveRequest {
        id: id.to_owned(),
        tokens: 60,
        ttl_ms: 300,
        ..Default::default()
    };
    set_hard(&env);
    let mut feed = client
        .follow(v1::FollowRequest {
            from_now: true,
            ..Default::default()
        })
        .await
        .expect("a feed");
    assert!(client.reserve(ask("r")).await.expect("an answer").granted);
    loop {
        let entry = feed.message().await.expect("open").expect("it goes on").entry;
        if entry == Some(Entry::Other("expired".to_owned())) {
            break;
        }
    }
    assert_eq!(budget(&env)["pending_tokens"], 0);
    let settle = v1::SettleRequest {
        id: "r".to_owned(),
        usage: Some(v1::Usage {
            tokens: Some(v1::Tokens {
                input: 60,
                ..Default::default()
            }),
            ..Default::default()
        }),
    };
    let late = client.settle(settle).await.expect("it was spent");
    assert!(late.late && late.record.is_some());
    assert_eq!(budget(&env)["used_tokens"], 60);
    daemon.stop();
}

#[tokio::test]
async fn claims_of_one_call_are_answered_one_by_one() {
    let env = Env::new();
    let daemon = env.start_daemon();
    set_hard(&env);
    let client = env.client().await;
    let reserve = |id: &str, tokens| {
        let ask = v1::ReserveRequest {
            id: id.to_owned(),
            tokens,
            ..Default::default()
        };
        v1::Claim {
            claim: Some(v1::claim::Claim::Reserve(ask)),
        }
    };
    let release = v1::Claim {
        claim: Some(v1::claim::Claim::Release(v1::ReleaseRequest {
            id: "a".to_owned(),
        })),
    };
    let claims = vec![
        reserve("a", 900),
        reserve("b", 200),
        release,
        reserve("b", 200),
        reserve("b", 201),
        v1::Claim { claim: None },
    ];
    let answers = client
        .claim_many(v1::ManyRequest { claims })
        .await
        .expect("answers")
        .answers;
    let told: Vec<String> = answers
        .into_iter()
        .map(|answer| match answer.answer.expect("an answer") {
            v1::claimed::Answer::Reserved(r) => r.granted.to_string(),
            v1::claimed::Answer::Settled(s) => s.state,
            v1::claimed::Answer::Error(e) => e.reason,
        })
        .collect();
    assert_eq!(told, ["true", "false", "released", "true", "conflict", "invalid"]);
    daemon.stop();
}

#[tokio::test]
async fn a_follower_gets_each_alert_once_after_its_cursor_over_restarts() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    set_hard(&env);
    let spend = |id: &str, tokens: u64| {
        reserve(&env, id, tokens).success();
        let tokens = tokens.to_string();
        env.ctl(&["budget", "settle", id, "--input-tokens", &tokens])
            .success();
    };
    spend("a", 800);
    spend("b", 100);
    let follow = |after_seq| v1::FollowRequest {
        after_seq,
        alerts_only: true,
        ..Default::default()
    };
    let client = env.client().await;
    let mut feed = client.follow(follow(0)).await.expect("a feed");
    let next = async |feed: &mut tokmon_client::Streaming<v1::FollowResponse>| {
        let response = feed.message().await.expect("open").expect("it goes on");
        match response.entry {
            Some(Entry::Alert(alert)) => (response.seq, alert.threshold),
            other => panic!("{other:?}"),
        }
    };
    let (first, threshold) = next(&mut feed).await;
    assert_eq!(threshold, 80);
    daemon.kill();
    let daemon = env.start_daemon();
    spend("c", 60);
    let client = env.client().await;
    let mut feed = client.follow(follow(first)).await.expect("a feed");
    assert_eq!(next(&mut feed).await.1, 95);
    // The same terms again make no new alert; the limit itself does.
    set_hard(&env);
    spend("d", 1);
    spend("e", 39);
    assert_eq!(next(&mut feed).await.1, 100);
    let mut all = client.follow(follow(0)).await.expect("a feed");
    let mut thresholds = Vec::new();
    for _ in 0..3 {
        thresholds.push(next(&mut all).await.1);
    }
    assert_eq!(thresholds, [80, 95, 100]);
    daemon.stop();
}
