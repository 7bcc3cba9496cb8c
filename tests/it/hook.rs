//! Hooks: agents ask before they go on, and are stopped where it saves money, in their own words.

mod golden;

use serde_json::{Value, json};
use tokmon_client::v1;
use tokmon_tests::env::{Env, Run};
use tokmon_tests::transcripts::{self, ClaudeCall};

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;

/// A budget of three calls a day that denies.
fn three_calls(env: &Env, more: &[&str]) {
    let mut args = vec!["budget", "set", "day", "--requests", "3", "--window", "day"];
    args.extend(["--action", "deny", "--timezone", "UTC"]);
    args.extend(more);
    env.ctl(&args).success();
}

async fn spend(env: &Env, agent: &str, session: &str, calls: u64) {
    let client = env.client().await;
    for n in 0..calls {
        let usage = v1::Usage {
            agent: agent.to_owned(),
            session: session.to_owned(),
            model: "claude-sonnet-4-5".to_owned(),
            tokens: Some(v1::Tokens {
                input: 1_000 + n,
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = v1::RecordRequest { usage: Some(usage) };
        client.record(request).await.expect("recorded");
    }
}

fn hook(env: &Env, agent: &str, message: &Value) -> Run {
    env.ctl_with(&["hook", agent], &[], message.to_string().as_bytes())
}

fn prompt(session: &str) -> Value {
    json!({"session_id": session, "cwd": "/p", "hook_event_name": "UserPromptSubmit", "prompt": "go on"})
}

/// Exit code 0 and not a word.
#[track_caller]
fn says_nothing(run: Run) {
    let run = run.success();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{run:#?}");
}

#[tokio::test]
async fn an_agent_goes_on_until_the_limit_and_again_when_it_is_lifted() {
    let env = Env::with_clock(NOON);
    let _daemon = env.start_daemon();
    three_calls(&env, &[]);
    spend(&env, "claude-code", "s", 2).await;
    says_nothing(hook(&env, "claude-code", &prompt("s")));
    spend(&env, "codex", "t", 1).await;
    let denied = hook(&env, "claude-code", &prompt("s")).success().json();
    assert_eq!(denied["decision"], "block");
    let reason = denied["reason"].as_str().expect("a reason");
    for part in [
        "budget day is used up: 3 of 3 calls",
        "resets 2026-11-21 00:00 UTC, in 12 h",
        "tokmonctl budget lift day",
    ] {
        assert!(reason.contains(part), "no {part:?} in {reason}");
    }
    env.ctl(&["budget", "lift", "day", "--requests", "1"]).success();
    says_nothing(hook(&env, "claude-code", &prompt("s")));
    spend(&env, "claude-code", "s", 1).await;
    assert_eq!(
        hook(&env, "claude-code", &prompt("s")).success().json()["decision"],
        "block"
    );
    env.set_clock(NOON + 12 * 60 * 60 * 1000);
    says_nothing(hook(&env, "claude-code", &prompt("s")));
}

#[test]
fn the_call_that_was_just_written_down_counts_already() {
    let env = Env::with_clock(NOON);
    transcripts::claude(&env, "s", &[]);
    let _daemon = env.start_daemon();
    three_calls(&env, &[]);
    let mut batch = json!({"session_id": "s", "cwd": "/home/me/app", "hook_event_name": "PostToolBatch"});
    batch["transcript_path"] = transcripts::claude_file(&env, "s").display().to_string().into();
    let patient = [("TOKMON_HOOK_DEADLINE_MS", "10000")];
    for (n, id) in ["msg_1", "msg_2", "msg_3"].into_iter().enumerate() {
        let call = ClaudeCall {
            id,
            session: "s",
            ..ClaudeCall::default()
        };
        transcripts::claude(&env, "s", &[call]);
        let told = env.ctl_with(&["hook", "claude-code"], &patient, batch.to_string().as_bytes());
        if n < 2 {
            says_nothing(told);
        } else {
            assert_eq!(
                told.success().json()["decision"],
                "block",
                "the limit of three is reached"
            );
        }
    }
}

#[tokio::test]
async fn only_whom_the_budget_covers_is_denied_and_a_budget_that_warns_denies_nobody() {
    let env = Env::with_clock(NOON);
    let _daemon = env.start_daemon();
    three_calls(&env, &["--scope", "session=s"]);
    env.ctl(&["budget", "set", "soft", "--requests", "1", "--action", "warn"])
        .success();
    env.ctl(&[
        "budget",
        "set",
        "shade",
        "--requests",
        "1",
        "--action",
        "deny",
        "--shadow",
    ])
    .success();
    spend(&env, "claude-code", "s", 3).await;
    says_nothing(hook(&env, "claude-code", &prompt("other")));
    assert_eq!(
        hook(&env, "claude-code", &prompt("s")).success().json()["decision"],
        "block"
    );
}

#[tokio::test]
async fn a_budget_of_a_model_knows_the_model_of_the_session() {
    let env = Env::with_clock(NOON);
    let _daemon = env.start_daemon();
    three_calls(&env, &["--scope", "model=claude-sonnet-4-5"]);
    spend(&env, "claude-code", "s", 3).await;
    assert_eq!(
        hook(&env, "claude-code", &prompt("s")).success().json()["decision"],
        "block"
    );
    let mut named = prompt("s");
    named["model"] = "claude-haiku-4-5".into();
    says_nothing(hook(&env, "claude-code", &named));
}

#[tokio::test]
async fn a_session_that_goes_on_is_stopped_harder_and_shown() {
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    three_calls(&env, &[]);
    spend(&env, "claude-code", "s", 3).await;
    let batch = json!({"session_id": "s", "cwd": "/p", "hook_event_name": "PostToolBatch", "tool_calls": []});
    for _ in 0..2 {
        assert_eq!(
            hook(&env, "claude-code", &batch).success().json()["decision"],
            "block"
        );
    }
    let stopped = hook(&env, "claude-code", &batch).success().json();
    assert_eq!(stopped["continue"], false);
    assert!(
        stopped["stopReason"]
            .as_str()
            .is_some_and(|r| r.contains("budget day"))
    );
    // Refusing a tool would only make the model try again.
    let tool = json!({"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": "Bash"});
    says_nothing(hook(&env, "claude-code", &tool));

    let client = env.client().await;
    let hooks = client.list_hooks(v1::ListHooksRequest {}).await.expect("hooks");
    assert_eq!(hooks.denied.len(), 1, "{hooks:?}");
    assert_eq!(
        (hooks.denied[0].session.as_str(), hooks.denied[0].denials),
        ("s", 3)
    );
    let seen = |hooks: &v1::ListHooksResponse| -> Vec<(String, u64, u64)> {
        let of = |f: &v1::FiredHook| (f.event.clone(), f.count, f.denied);
        hooks.fired.iter().map(of).collect()
    };
    let expected = vec![
        ("PostToolBatch".to_owned(), 3, 3),
        ("PreToolUse".to_owned(), 1, 0),
    ];
    assert_eq!(seen(&hooks), expected);
    daemon.stop();

    let _daemon = env.start_daemon();
    let client = env.client().await;
    let hooks = client.list_hooks(v1::ListHooksRequest {}).await.expect("hooks");
    assert_eq!(seen(&hooks), expected, "a restart forgets nothing");
}

/// What is not understood, in every way that it can come.
fn garbage() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"not json".to_vec(),
        b"[1,2]".to_vec(),
        b"{\"hook_event_name\":".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        br#"{"hook_event_name":"FromTheFuture","version":99,"session_id":"s"}"#.to_vec(),
    ]
}

#[tokio::test]
async fn what_is_not_understood_passes_unless_a_budget_is_closed() {
    for closed in [false, true] {
        let env = Env::with_clock(NOON);
        let _daemon = env.start_daemon();
        three_calls(&env, if closed { &["--unreachable", "deny"] } else { &[] });
        spend(&env, "claude-code", "s", 3).await;
        let all = [
            "claude-code",
            "codex",
            "gemini-cli",
            "copilot-cli",
            "qwen-code",
            "cursor",
        ];
        let mut cases: Vec<(&str, Vec<u8>)> = Vec::new();
        for agent in all {
            cases.extend(garbage().into_iter().map(|message| (agent, message)));
        }
        let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(9 * 1024 * 1024));
        cases.push(("claude-code", huge.into_bytes()));
        for (agent, message) in cases {
            let run = env.ctl_with(&["hook", agent], &[], &message);
            if closed {
                let run = run.exits(2);
                assert!(run.stderr.contains("budget day"), "{run:#?}");
            } else {
                says_nothing(run);
            }
        }
    }
}

#[tokio::test]
async fn a_closed_budget_with_room_lets_pass_only_what_is_understood() {
    let env = Env::with_clock(NOON);
    let _daemon = env.start_daemon();
    three_calls(&env, &["--unreachable", "deny"]);
    says_nothing(hook(&env, "claude-code", &prompt("s")));
    env.ctl_with(&["hook", "claude-code"], &[], b"not json")
        .exits(2)
        .complains(&["not understood", "budget day"]);
}

#[tokio::test]
async fn without_a_daemon_the_policy_decides_and_none_is_started() {
    let env = Env::new();
    says_nothing(hook(&env, "claude-code", &prompt("s")));
    assert!(!env.socket().exists(), "a hook starts no daemon");
    let daemon = env.start_daemon();
    three_calls(&env, &["--unreachable", "deny", "--scope", "agent=claude-code"]);
    daemon.stop();
    let denied = hook(&env, "claude-code", &prompt("s")).success().json();
    assert_eq!(denied["decision"], "block");
    assert!(denied["reason"].as_str().is_some_and(|r| r.contains("day")));
    says_nothing(hook(&env, "codex", &prompt("s")));
    env.ctl_with(&["hook", "claude-code"], &[], b"not json").exits(2);
    assert!(!env.socket().exists(), "a hook starts no daemon");
}

#[cfg(unix)]
#[tokio::test]
async fn a_daemon_that_does_not_answer_and_an_agent_that_does_not_close_hold_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let env = Env::new();
    let run_dir = env.paths().run_dir;
    std::fs::create_dir_all(&run_dir).expect("the directory of the socket");
    std::fs::set_permissions(&run_dir, PermissionsExt::from_mode(0o700)).expect("its mode");
    let mute = std::os::unix::net::UnixListener::bind(env.socket()).expect("a socket");
    says_nothing(hook(&env, "claude-code", &prompt("s")));
    drop(mute);
    std::fs::remove_file(env.socket()).expect("the socket goes");

    let mut command = env.command(tokmon_tests::binaries::tokmonctl());
    command
        .args(["hook", "claude-code"])
        .stdin(std::process::Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let open = child.stdin.take();
    assert!(child.wait().expect("it ends").success());
    drop(open);
}

#[test]
fn an_agent_without_hooks_is_named() {
    let env = Env::new();
    env.ctl(&["hook", "emacs"])
        .exits(64)
        .complains(&["\"emacs\"", "claude-code", "opencode"]);
}
