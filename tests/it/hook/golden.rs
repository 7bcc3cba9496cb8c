//! What each agent really sends its hooks and what it takes for a refusal: one file per agent and event in
//! `tests/golden/hook`, written down from the real programs, names and paths replaced.
//!
//! `input` is the agent's message; `deny` and `stop` are the replies to it when a budget has nothing left, at first and
//! when the session goes on. In them `REASON` stands for the reason that the daemon gives. Without a reply the agent
//! hears nothing: refusing there would not save anything.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokmon_tests::env::{Env, Run};

use super::{NOON, says_nothing, spend, three_calls};

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/hook");
    let list = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let mut files: Vec<PathBuf> = list(&root).iter().flat_map(|agent| list(agent)).collect();
    files.sort();
    files
}

fn agent(file: &Path) -> String {
    let folder = file.parent().and_then(Path::file_name).expect("a folder");
    folder.to_string_lossy().into_owned()
}

fn ask(env: &Env, file: &Path, golden: &Value) -> Run {
    env.ctl_with(
        &["hook", &agent(file)],
        &[],
        golden["input"].to_string().as_bytes(),
    )
}

#[track_caller]
fn replies(file: &Path, run: Run, expected: &Value) {
    if expected.is_null() {
        return says_nothing(run);
    }
    let run = run.success();
    let told = run.json();
    let reason = [&told["reason"], &told["stopReason"], &told["user_message"]]
        .into_iter()
        .chain(told.pointer("/hookSpecificOutput/permissionDecisionReason"))
        .find_map(Value::as_str)
        .unwrap_or_else(|| panic!("{}: no reason in {told}", file.display()));
    assert!(
        reason.contains("budget day is used up"),
        "{}: {reason}",
        file.display()
    );
    let same = told
        .to_string()
        .replace(&Value::from(reason).to_string(), "\"REASON\"");
    let same: Value = serde_json::from_str(&same).expect("JSON still");
    assert_eq!(&same, expected, "{}", file.display());
    assert_eq!(run.stderr, "", "{}", file.display());
}

#[tokio::test]
async fn every_agent_hears_its_own_words() {
    let env = Env::with_clock(NOON);
    let _daemon = env.start_daemon();
    let read = |file: PathBuf| -> (PathBuf, Value) {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let golden = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        (file, golden)
    };
    let goldens: Vec<_> = files().into_iter().map(read).collect();
    assert!(goldens.len() >= 8, "every agent has its files: {}", goldens.len());
    for (file, golden) in &goldens {
        says_nothing(ask(&env, file, golden));
    }
    three_calls(&env, &[]);
    spend(&env, "other", "o", 3).await;
    // Each file has a session of its own, so that none is denied for another one.
    for (file, golden) in &goldens {
        replies(file, ask(&env, file, golden), &golden["deny"]);
        replies(file, ask(&env, file, golden), &golden["deny"]);
        replies(file, ask(&env, file, golden), &golden["stop"]);
    }
}
