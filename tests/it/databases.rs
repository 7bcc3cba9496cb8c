//! Agents that keep SQLite databases, which the daemon reads while their owner writes: the owner never notices, and
//! every call counts once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tokmon_client::{Client, v1};
use tokmon_tests::daemon::PATIENCE;
use tokmon_tests::env::Env;

/// OpenCode, in the middle of its work.
struct OpenCode {
    writer: Connection,
    path: PathBuf,
    calls: u64,
}

impl OpenCode {
    fn new(env: &Env, mode: &str) -> OpenCode {
        let dir = env.path("home/.local/share/opencode");
        std::fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("opencode.db");
        let writer = Connection::open(&path).expect("a database");
        // It does not wait for locks: any that somebody else held would be an error.
        writer.busy_timeout(Duration::ZERO).expect("no patience");
        writer
            .pragma_update(None, "journal_mode", mode)
            .expect("a journal");
        let code = OpenCode {
            writer,
            path,
            calls: 0,
        };
        code.run(
            "PRAGMA synchronous = OFF;
             CREATE TABLE session(id text PRIMARY KEY, parent_id text, directory text NOT NULL);
             CREATE TABLE message(id text PRIMARY KEY, session_id text NOT NULL, time_created integer NOT NULL,
                time_updated integer NOT NULL, data text NOT NULL);
             INSERT INTO session VALUES('ses_1', NULL, '/w/app')",
        );
        code
    }

    fn run(&self, sql: &str) {
        self.writer
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("the owner was disturbed: {error}"));
    }

    /// One answer of 300 tokens.
    fn answer(&mut self) {
        self.calls += 1;
        let created = 1_795_165_100_000 + self.calls;
        let data = format!(
            r#"{{"role":"assistant","modelID":"claude-sonnet-5","providerID":"anthropic","path":{{"root":"/w/app"}},
                "time":{{"created":{created},"completed":{created}}},"cost":0.0123,
                "tokens":{{"input":120,"output":260,"reasoning":40,"cache":{{"read":9000,"write":800}}}}}}"#
        );
        let sql = "INSERT INTO message VALUES(?1, 'ses_1', 0, 0, ?2)";
        let id = format!("msg_{}", self.calls);
        self.writer
            .execute(sql, (id, data))
            .unwrap_or_else(|error| panic!("the owner was disturbed: {error}"));
    }
}

/// Every file in a directory, its content and when it was written.
fn files(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let written = path.metadata().and_then(|meta| meta.modified()).expect("a time");
        let content = std::fs::read(&path).expect("a file");
        (path, (content, written))
    };
    entries.map(file).collect()
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

async fn output(client: &Client) -> u64 {
    let answer = client.totals(v1::TotalsRequest::default()).await.expect("totals");
    answer
        .totals
        .and_then(|totals| totals.tokens)
        .map_or(0, |tokens| tokens.output)
}

#[tokio::test]
async fn an_owner_in_the_middle_of_a_write_is_neither_seen_nor_disturbed() {
    for mode in ["wal", "delete"] {
        let env = Env::with_clock(1_795_165_200_000);
        let mut code = OpenCode::new(&env, mode);
        let dir = code.path.parent().expect("a directory").to_owned();
        code.answer();
        code.answer();
        code.run("BEGIN IMMEDIATE");
        code.answer();
        let before = files(&dir);

        let daemon = env.start_daemon();
        let client = env.client().await;
        import(&client).await;
        let seen = output(&client).await;
        // Without a log what lies in the file is not settled while its journal is there.
        assert!(seen == 600 || mode == "delete" && seen == 0, "{mode}: {seen}");
        assert!(before == files(&dir), "{mode}: the owner's files have changed");

        let mut feed = client.follow(v1::FollowRequest::default()).await.expect("a feed");
        code.run("COMMIT");
        let mut counted = 0;
        while counted < 3 {
            let message = tokio::time::timeout(PATIENCE, feed.message()).await;
            let entry = message.expect("in time").expect("no error").expect("no end");
            if let Some(v1::follow_response::Entry::Record(record)) = entry.entry {
                let usage = record.usage.expect("usage");
                assert_eq!((&*usage.agent, &*usage.project), ("opencode", "/w/app"));
                counted += 1;
            }
        }
        assert_eq!(output(&client).await, 900, "{mode}");

        // A busy owner, and a daemon that reads all the while.
        for _ in 0..200 {
            code.answer();
        }
        if mode == "wal" {
            let held_up: i64 = code
                .writer
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
                .expect("a checkpoint");
            assert_eq!(held_up, 0);
        }
        import(&client).await;
        assert_eq!(output(&client).await, 300 * 203, "{mode}");
        daemon.stop();

        // A copy, and another look after a restart, count nothing again.
        std::fs::copy(&code.path, dir.join("opencode-copy.db")).expect("a copy");
        let daemon = env.start_daemon();
        let client = env.client().await;
        import(&client).await;
        assert_eq!(output(&client).await, 300 * 203, "{mode}");
        daemon.stop();
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_rest_counts() {
    let env = Env::with_clock(1_795_165_200_000);
    let mut code = OpenCode::new(&env, "wal");
    code.answer();
    let dir = code.path.parent().expect("a directory").to_owned();
    std::fs::write(dir.join("opencode-text.db"), b"hello, world! ".repeat(1_000)).expect("a file");
    std::fs::write(dir.join("opencode-empty.db"), b"").expect("a file");
    let other = Connection::open(dir.join("opencode-other.db")).expect("a database");
    other.execute_batch("CREATE TABLE message(x)").expect("a table");
    let daemon = env.start_daemon();
    let client = env.client().await;
    import(&client).await;
    assert_eq!(output(&client).await, 300);
    let status = env.ctl_json(&["status"]);
    let sources = status["sources"].as_array().expect("sources");
    let source = sources
        .iter()
        .find(|source| source["agent"] == "opencode")
        .expect("OpenCode");
    let told = source["failures"].to_string();
    assert_eq!(source["parse_failures"], 2, "{told}");
    for wanted in ["not an SQLite database, or it is encrypted", "has no column"] {
        assert!(told.contains(wanted), "no {wanted:?} in {told}");
    }
    daemon.stop();
}

#[tokio::test]
async fn an_editors_state_takes_back_what_a_transcript_of_the_same_conversation_told() {
    const ID: &str = "0197a1b2-0000-4000-8000-00000000000a";
    let env = Env::with_clock(1_795_165_200_000);
    let folder = env.path("home/.cursor/projects/w-app/agent-transcripts").join(ID);
    let transcript = folder.join(format!("{ID}.jsonl"));
    let line = |characters: usize| {
        let text = "x".repeat(characters);
        format!(
            "{{\"role\":\"assistant\",\"message\":{{\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}}}}\n"
        )
    };
    std::fs::create_dir_all(&folder).expect("a directory");
    std::fs::write(&transcript, line(700)).expect("a transcript");
    let daemon = env.start_daemon();
    let client = env.client().await;
    import(&client).await;
    assert_eq!(output(&client).await, 200);
    // It grows, is copied, and is cut.
    std::fs::write(&transcript, line(700) + &line(350)).expect("a transcript");
    import(&client).await;
    let mirror = env.path("home/.cursor/projects/empty-window/agent-transcripts");
    std::fs::create_dir_all(&mirror).expect("a directory");
    std::fs::copy(&transcript, mirror.join(format!("{ID}.jsonl"))).expect("a copy");
    std::fs::write(&transcript, line(70)).expect("a transcript");
    import(&client).await;
    assert_eq!(output(&client).await, 300);
    let explained = env.ctl(&["explain"]).success().stdout.clone();
    assert!(
        explained.contains("estimated from the text (±30 %)"),
        "{explained}"
    );
    // The editor writes down what it knows.
    let state = env.path("home/.config/Cursor/User/globalStorage");
    std::fs::create_dir_all(&state).expect("a directory");
    let editor = Connection::open(state.join("state.vscdb")).expect("a database");
    let bubble = r#"{"type":2,"createdAt":"2026-11-20T08:40:00Z","tokenCount":{"inputTokens":1200,"outputTokens":80}}"#;
    editor
        .execute_batch("CREATE TABLE cursorDiskKV (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB)")
        .expect("a table");
    editor
        .execute(
            "INSERT INTO cursorDiskKV VALUES(?1, ?2)",
            (format!("bubbleId:{ID}:b1"), bubble),
        )
        .expect("a bubble");
    import(&client).await;
    let whole = |report: serde_json::Value| {
        let totals = report["totals"].clone();
        ["requests", "input_tokens", "output_tokens"].map(|field| totals[field].as_u64())
    };
    let wanted = [Some(1), Some(1200), Some(80)];
    assert_eq!(whole(env.ctl_json(&["report"])), wanted);
    let explained = env.ctl(&["explain"]).success().stdout.clone();
    assert!(explained.contains("taken back"), "{explained}");
    daemon.stop();
    // After a restart the transcript goes on, and the ledger is sound.
    std::fs::write(&transcript, line(7_000)).expect("a transcript");
    let daemon = env.start_daemon();
    let client = env.client().await;
    import(&client).await;
    assert_eq!(whole(env.ctl_json(&["report"])), wanted);
    env.ctl(&["ledger", "verify"]).success();
    daemon.stop();
}

#[tokio::test]
async fn a_project_that_is_begun_while_the_daemon_runs_is_found() {
    let env = Env::with_clock(1_795_165_200_000);
    let daemon = env.start_daemon();
    let client = env.client().await;
    import(&client).await;
    let project = env.path("home/app");
    std::fs::create_dir_all(project.join(".crush")).expect("a directory");
    let crush = Connection::open(project.join(".crush/crush.db")).expect("a database");
    crush
        .execute_batch(
            "CREATE TABLE sessions(id TEXT PRIMARY KEY, parent_session_id TEXT, prompt_tokens INTEGER,
                completion_tokens INTEGER, cost REAL, updated_at INTEGER);
             CREATE TABLE messages(id TEXT PRIMARY KEY, session_id TEXT, model TEXT, provider TEXT);
             INSERT INTO messages VALUES('m', 's', 'claude-opus-4-8', 'anthropic');
             INSERT INTO sessions VALUES('s', NULL, 900, 100, 0.05, 1795165000)",
        )
        .expect("a session");
    let list = env.path("home/.local/share/crush");
    std::fs::create_dir_all(&list).expect("a directory");
    let projects =
        serde_json::json!({ "projects": [{ "path": project, "data_dir": project.join(".crush") }] });
    std::fs::write(list.join("projects.json"), projects.to_string()).expect("a list");
    import(&client).await;
    assert_eq!(output(&client).await, 100);
    crush
        .execute_batch("UPDATE sessions SET completion_tokens = 150, cost = 0.07")
        .expect("more");
    import(&client).await;
    assert_eq!(output(&client).await, 150);
    let records = env.ctl_json(&["log"]);
    let text = records.to_string();
    assert!(
        text.contains("claude-opus-4-8") && text.contains("home/app"),
        "{text}"
    );
    daemon.stop();
}

#[tokio::test]
async fn a_session_that_moves_from_its_file_into_a_database_and_goes_on_counts_once() {
    let env = Env::with_clock(1_795_165_200_000);
    let dir = env.path("home/.local/share/goose/sessions");
    std::fs::create_dir_all(&dir).expect("a directory");
    let first = r#"{"working_dir":"/w","description":"d","message_count":2,"accumulated_total_tokens":1500,"accumulated_input_tokens":1200,"accumulated_output_tokens":300}"#;
    std::fs::write(dir.join("20250801_101112.jsonl"), format!("{first}\n")).expect("a session");
    let daemon = env.start_daemon();
    let client = env.client().await;
    import(&client).await;
    assert_eq!(output(&client).await, 300);
    let goose = Connection::open(dir.join("sessions.db")).expect("a database");
    goose
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE sessions(id TEXT PRIMARY KEY, working_dir TEXT, created_at TIMESTAMP, updated_at TIMESTAMP,
                accumulated_total_tokens INTEGER, accumulated_input_tokens INTEGER, accumulated_output_tokens INTEGER,
                accumulated_cache_read_tokens INTEGER, accumulated_cache_write_tokens INTEGER, accumulated_cost REAL,
                provider_name TEXT, model_config_json TEXT);
             CREATE TABLE usage_ledger(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT, created_timestamp INTEGER,
                model TEXT, input_tokens INTEGER, output_tokens INTEGER, total_tokens INTEGER, cache_read_tokens INTEGER,
                cache_write_tokens INTEGER, cost REAL, cost_source TEXT);
             INSERT INTO sessions VALUES('20250801_101112', '/w', '2026-11-20T08:30:00+00:00', '2026-11-20 08:40:00',
                1705, 1350, 355, 40, 0, NULL, 'openai', '{\"model_name\":\"gpt-4.1\"}');
             INSERT INTO usage_ledger(session_id, created_timestamp, model, input_tokens, output_tokens, total_tokens,
                cache_read_tokens, cost_source)
             VALUES('20250801_101112', 1795164000, NULL, 1200, 300, 1500, 0, 'carried_forward'),
                ('20250801_101112', 1795164000, 'gpt-4.1', 100, 50, 150, 40, NULL),
                ('20250801_101112', 1795164060, 'gpt-4.1-mini', 50, 5, 55, NULL, NULL)",
        )
        .expect("a session");
    import(&client).await;
    let figures = |by: &str| {
        let report = env.ctl_json(&["report", "--by", by]);
        let rows = report["rows"].as_array().expect("rows").clone();
        let count = |row: &serde_json::Value, field: &str| row[field].as_u64().unwrap_or_default();
        let mut rows: Vec<[u64; 4]> = (rows.iter())
            .map(|row| {
                ["requests", "input_tokens", "cache_read_tokens", "output_tokens"]
                    .map(|field| count(row, field))
            })
            .collect();
        rows.sort_unstable();
        rows
    };
    let wanted = [[1, 50, 0, 5], [1, 60, 40, 50], [1, 1200, 0, 300]];
    assert_eq!(figures("model"), wanted);
    daemon.stop();
    // All of it once more, and a copy elsewhere.
    let daemon = env.start_daemon();
    let copy = env.path("home/.local/share/Block/goose/sessions");
    std::fs::create_dir_all(&copy).expect("a directory");
    for name in ["20250801_101112.jsonl", "sessions.db", "sessions.db-wal"] {
        std::fs::copy(dir.join(name), copy.join(name)).expect("a copy");
    }
    let client = env.client().await;
    import(&client).await;
    assert_eq!(figures("model"), wanted);
    daemon.stop();
}
