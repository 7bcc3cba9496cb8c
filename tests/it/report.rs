//! Reports: transcripts go in, exact figures come out, in every grouping, zone and form.

use serde_json::{Value, json};
use tokmon_tests::env::Env;
use tokmon_tests::transcripts::{self, ClaudeCall, Codex};

/// 2026-11-20T12:00:00Z, after everything that the transcripts tell of.
const NOON: i64 = 1_795_176_000_000;

/// Two calls of Claude with all that makes counting hard, and two of Codex. What it must come to:
///
/// | call | input | output | read | 5m | 1h | cost |
/// |---|---|---|---|---|---|---|
/// | msg_1 (three lines, and a copy in a resumed session) | 1,500 | 800 | | | | 0.0165 |
/// | msg_2, the day after in Berlin | 100 | 50 | 10,000 | 1,000 | 2,000 | 0.0003+0.00075+0.003+0.00375+0.012 = 0.0198 |
/// | Codex, 1,000 input of which 200 cached | 800 | 100 (20) | 200 | | | 0.001+0.001+0.000025 = 0.002025 |
/// | Codex, 2,000 input of which 1,000 cached | 1,000 | 200 (50) | 1,000 | | | 0.00125+0.002+0.000125 = 0.003375 |
fn write_transcripts(env: &Env) {
    let first = ClaudeCall::default();
    let partial = |output| ClaudeCall {
        output,
        ..first.clone()
    };
    let second = ClaudeCall {
        id: "msg_2",
        at: "2026-11-19T23:30:00.000Z",
        input: 100,
        output: 50,
        cache_read: 10_000,
        cache_5m: 1_000,
        cache_1h: 2_000,
        tool: Some("Read"),
        ..first.clone()
    };
    transcripts::claude(
        env,
        first.session,
        &[second, partial(1), partial(9), first.clone()],
    );
    let resumed = ClaudeCall {
        session: "claude-session-2",
        at: "2026-11-20T10:00:00.000Z",
        ..first
    };
    transcripts::claude(env, "claude-session-2", &[resumed]);

    let mut codex = Codex::start(env, "0197-aaaa", "gpt-5");
    codex.turn("2026-11-20T09:10:00.000Z", 1_000, 200, 100, 20);
    codex.emit_again("2026-11-20T09:10:05.000Z");
    codex.turn("2026-11-20T09:20:00.000Z", 2_000, 1_000, 200, 50);
}

fn expected_totals() -> Value {
    json!({
        "requests": 4,
        "input_tokens": 3_400,
        "output_tokens": 1_150,
        "reasoning_tokens": 70,
        "cache_read_tokens": 11_200,
        "cache_write_5m_tokens": 1_000,
        "cache_write_1h_tokens": 2_000,
        "cost_usd": "0.0417",
    })
}

/// The named fields of every row, in the rows' order.
fn columns(report: &Value, names: &[&str]) -> Vec<Value> {
    let rows = report["rows"].as_array().expect("rows");
    rows.iter()
        .map(|row| names.iter().map(|name| row[name].clone()).collect())
        .collect()
}

#[test]
fn up_imports_what_is_there_and_prints_exact_totals() {
    let env = Env::with_clock(NOON);
    write_transcripts(&env);
    // No daemon runs: the client starts it.
    let up = env.ctl_json(&["up", "--no-watch"]);
    for (name, value) in expected_totals().as_object().expect("an object") {
        assert_eq!(&up["totals"][name], value, "{name} in {up:#}");
    }
    assert_eq!(up["unpriced_models"], json!([]));

    // Once more: nothing new, nothing twice.
    let again = env.ctl_json(&["up", "--no-watch"]);
    assert_eq!(again["totals"], up["totals"]);
    env.ctl(&["daemon", "stop"]).success();
    let restarted = env.ctl_json(&["up", "--no-watch"]);
    assert_eq!(restarted["totals"], up["totals"]);
}

#[test]
fn what_is_older_than_the_retention_counts_too() {
    // Single records are kept for 30 days, totals for ever: the first import meets transcripts of any age.
    let env = Env::with_clock(NOON);
    let old = ClaudeCall {
        id: "msg_old",
        at: "2026-03-20T09:00:00.000Z",
        ..ClaudeCall::default()
    };
    transcripts::claude(&env, old.session, &[old.clone(), ClaudeCall::default()]);
    assert_eq!(env.ctl_json(&["up", "--no-watch"])["totals"]["requests"], 2);

    // So does a transcript that turns up later, after the purge of the others, and each counts once.
    env.ctl(&["daemon", "stop"]).success();
    let later = ClaudeCall {
        id: "msg_later",
        session: "from-another-machine",
        ..old
    };
    transcripts::claude(&env, later.session, &[later]);
    for _ in 0..2 {
        assert_eq!(env.ctl_json(&["up", "--no-watch"])["totals"]["requests"], 3);
        env.ctl(&["daemon", "stop"]).success();
    }
}

#[test]
fn up_without_any_transcript_says_where_it_looked_and_what_next() {
    let env = Env::new();
    let up = env.ctl(&["up", "--no-watch"]).success();
    let told = format!("{}{}", up.stdout, up.stderr);
    for place in [env.claude(), env.codex()] {
        let place = place.display().to_string();
        assert!(told.contains(&place), "{place} is not named in:\n{told}");
    }
}

#[test]
fn every_grouping_adds_up() {
    let env = Env::with_clock(NOON);
    write_transcripts(&env);
    env.ctl_json(&["up", "--no-watch"]);
    for grouping in [
        "daily", "weekly", "monthly", "session", "model", "project", "agent", "tool", "blocks",
    ] {
        let report = env.ctl_json(&["report", grouping]);
        let rows = report["rows"].as_array().expect("rows");
        let requests: u64 = rows.iter().filter_map(|r| r["requests"].as_u64()).sum();
        assert_eq!(requests, 4, "{grouping}: {report:#}");
        assert_eq!(report["totals"]["requests"], 4, "{grouping}");
        assert_eq!(report["totals"]["cost_usd"], "0.0417", "{grouping}");
    }
    let models = env.ctl_json(&["report", "model"]);
    let mut costs = columns(&models, &["model", "cost_usd"]);
    costs.sort_by_key(Value::to_string);
    assert_eq!(
        costs,
        [
            json!(["claude-sonnet-4-5-20250929", "0.0363"]),
            json!(["gpt-5", "0.0054"])
        ]
    );
    // The resumed session repeats a call; it belongs to the session that made it.
    let sessions = env.ctl_json(&["report", "session"]);
    let mut names = columns(&sessions, &["session", "requests"]);
    names.sort_by_key(Value::to_string);
    assert_eq!(names, [json!(["0197-aaaa", 2]), json!(["claude-session-1", 2])]);
}

#[test]
fn days_are_those_of_the_zone() {
    let env = Env::with_clock(NOON);
    write_transcripts(&env);
    env.ctl_json(&["up", "--no-watch"]);
    let days = |zone: &str| {
        let report = env.ctl_json(&["report", "daily", "--timezone", zone]);
        columns(&report, &["date", "requests"])
    };
    assert_eq!(days("UTC"), [json!(["2026-11-19", 1]), json!(["2026-11-20", 3])]);
    assert_eq!(days("Europe/Berlin"), [json!(["2026-11-20", 4])]);
    assert_eq!(days("America/Los_Angeles").len(), 2);

    let only = env.ctl_json(&[
        "report",
        "daily",
        "--timezone",
        "UTC",
        "--since",
        "2026-11-20",
        "--until",
        "2026-11-20",
    ]);
    assert_eq!(only["totals"]["requests"], 3);
}

#[test]
fn tables_and_csv_carry_the_same_figures() {
    let env = Env::with_clock(NOON);
    write_transcripts(&env);
    env.ctl_json(&["up", "--no-watch"]);
    let csv = env
        .ctl(&["report", "daily", "--timezone", "UTC", "--csv"])
        .success();
    let mut lines = csv.stdout.lines();
    let head = lines.next().expect("a header");
    for name in ["date", "requests", "cost_usd"] {
        assert!(head.split(',').any(|column| column == name), "{head}");
    }
    assert!(
        csv.stdout.contains("2026-11-19,") && csv.stdout.contains("0.0198"),
        "{}",
        csv.stdout
    );

    let table = env.ctl(&["report", "daily", "--timezone", "UTC"]).success();
    assert!(table.stdout.contains("2026-11-20"), "{}", table.stdout);
    assert!(!table.stdout.contains('\u{1b}'), "colour only on terminals");
}

#[test]
fn waste_and_tips_and_export_answer_from_the_records() {
    // A3, A4, A5, A8
    let env = Env::with_clock(NOON);
    let large = ClaudeCall {
        input: 60_000,
        output: 12_000,
        ..ClaudeCall::default()
    };
    transcripts::claude(&env, large.session, &[large]);
    env.ctl_json(&["up", "--no-watch"]);
    let explained = env.ctl(&["explain", "--json"]).success();
    for rule in ["large_request", "large_output"] {
        assert!(explained.stdout.contains(rule), "{rule} in {}", explained.stdout);
    }
}

#[test]
fn calls_are_grouped_and_chosen_by_where_they_were_made() {
    let env = Env::with_clock(NOON);
    env.start_daemon();
    for (key, branch, commit, subagent, mcp) in [
        ("1", "main", "0a1b2c3d4e5f", "", ""),
        ("2", "main", "ffffffff0000", "Explore", ""),
        ("3", "feature", "0a1b2c3d4e5f", "", "github"),
        ("4", "", "", "", ""),
    ] {
        let usage = ["record", "--model", "gpt-5", "--input", "1000", "--key", key];
        let place = [
            "--branch",
            branch,
            "--commit",
            commit,
            "--subagent",
            subagent,
            "--mcp",
            mcp,
        ];
        let id = ["--request-id", "req_1", "--at", "2026-11-20T11:00:00Z"];
        env.ctl_json(&[&usage[..], &place, &id].concat());
    }
    let rows = |by: &str, more: &[&str], column: &str| {
        let report = env.ctl_json(&[&["report", by][..], more].concat());
        let mut rows = columns(&report, &[column, "requests"]);
        rows.sort_by_key(|row| row.to_string());
        rows
    };
    assert_eq!(
        rows("branch", &[], "branch"),
        [json!(["", 1]), json!(["feature", 1]), json!(["main", 2])]
    );
    assert_eq!(
        rows("commit", &["--branch", "main"], "commit"),
        [json!(["0a1b2c3d4e5f", 1]), json!(["ffffffff0000", 1])]
    );
    assert_eq!(
        rows("mcp", &["--commit", "0a1b2c3"], "mcp_server"),
        [json!(["", 1]), json!(["github", 1])]
    );
    assert_eq!(
        rows("subagent", &["--subagent", "Explore"], "subagent"),
        [json!(["Explore", 1])]
    );
    let daily = env.ctl_json(&["report", "--by", "daily", "--branch", "main"]);
    assert_eq!(columns(&daily, &["date", "requests"]), [json!(["2026-11-20", 2])]);

    let log = env.ctl_json(&["log", "--mcp", "github"]);
    let record = &log["records"][0];
    assert_eq!(record["request_id"], "req_1");
    assert_eq!(
        (&record["branch"], &record["commit"]),
        (&json!("feature"), &json!("0a1b2c3d4e5f"))
    );
    let explained = env.ctl(&["explain", &record["seq"].to_string()]).success().stdout;
    let lines: Vec<&str> = explained.lines().map(str::trim).collect();
    assert!(
        lines.contains(&"place    branch feature, commit 0a1b2c3d4e5f, MCP server github"),
        "{explained}"
    );
    assert!(lines.contains(&"request  req_1"), "{explained}");
    // No budget is bounded by a branch: it is said, not passed over.
    env.ctl(&["report", "branch", "--branch", &"x".repeat(2_000)])
        .exits(64);
}
