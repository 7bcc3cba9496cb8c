//! Capture of every agent's files: a home in which all of them have worked gives the right totals, and reading again,
//! copying and moving files changes nothing.

mod files;

use serde_json::Value;
use tokmon_tests::env::Env;

use files::{AGENTS, write, write_all};

/// 2026-11-20T12:00:00Z, after everything that the files tell of.
const NOON: i64 = 1_795_176_000_000;

/// Requests, input, output, cache read and cache write of each agent, by name.
fn by_agent(env: &Env) -> Vec<(String, [u64; 5])> {
    let report = env.ctl_json(&["report", "agent", "--since", "2026-01-01"]);
    let lines = report["rows"].as_array().cloned().unwrap_or_default();
    let mut found: Vec<(String, [u64; 5])> = lines
        .iter()
        .map(|line| {
            let name = line["agent"].as_str().unwrap_or_default().to_owned();
            (name, figures(line))
        })
        .collect();
    found.sort();
    found
}

fn figures(line: &Value) -> [u64; 5] {
    let count = |key: &str| line[key].as_u64().unwrap_or_default();
    [
        count("requests"),
        count("input_tokens"),
        count("output_tokens"),
        count("cache_read_tokens"),
        count("cache_write_5m_tokens"),
    ]
}

fn expected() -> Vec<(String, [u64; 5])> {
    let mut wanted: Vec<(String, [u64; 5])> = AGENTS
        .iter()
        .map(|agent| (agent.name.to_owned(), agent.figures))
        .collect();
    wanted.sort();
    wanted
}

#[test]
fn every_agent_is_counted_once_whatever_happens_to_its_files() {
    let env = Env::with_clock(NOON);
    write_all(&env);
    env.write_config(&files::configuration(&env));
    let up = env.ctl_json(&["up", "--no-watch"]);
    assert_eq!(by_agent(&env), expected(), "{up:#}");
    assert_eq!(
        up["totals"]["requests"],
        AGENTS.iter().map(|a| a.figures[0]).sum::<u64>()
    );
    for source in up["sources"].as_array().expect("sources") {
        assert_eq!(source["parse_failures"], 0, "{source:#}");
    }
    // Once more, with copies of everything beside the originals, then without the originals.
    env.ctl(&["up", "--no-watch"]).success();
    for agent in AGENTS {
        for (path, text) in agent.files {
            write(&env, &files::copy_of(path), text);
        }
    }
    env.ctl(&["up", "--no-watch"]).success();
    assert_eq!(by_agent(&env), expected());
    for agent in AGENTS {
        for (path, _) in agent.files {
            std::fs::remove_file(env.path("home").join(path)).expect("the original");
        }
    }
    env.ctl(&["daemon", "stop"]).success();
    env.ctl(&["up", "--no-watch"]).success();
    assert_eq!(by_agent(&env), expected());
}

#[test]
fn agents_that_are_not_here_take_one_line_and_can_be_switched_off() {
    let env = Env::with_clock(NOON);
    let text = env.ctl(&["up", "--no-watch"]).success().stdout;
    for agent in AGENTS.iter().filter(|agent| agent.name != "mine") {
        assert!(text.contains(agent.name), "{} is not in {text}", agent.name);
    }
    assert!(text.lines().count() < 24, "{text}");
    env.ctl(&["daemon", "stop"]).success();
    write_all(&env);
    env.write_config("[capture]\noff = [\"gemini-cli\", \"amp\"]\n");
    env.ctl(&["up", "--no-watch"]).success();
    let names: Vec<String> = by_agent(&env).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"qwen-code".to_owned()), "{names:?}");
    assert!(
        !names.contains(&"gemini-cli".to_owned()) && !names.contains(&"amp".to_owned()),
        "{names:?}"
    );
}

#[test]
fn other_directories_can_be_named() {
    let env = Env::with_clock(NOON);
    for (path, text) in AGENTS
        .iter()
        .find(|agent| agent.name == "gemini-cli")
        .expect("it")
        .files
    {
        write(&env, &path.replace(".gemini", "elsewhere/gemini"), text);
    }
    let dir = env.path("home/elsewhere");
    env.write_config(&format!("[capture]\ndirs = [\"gemini-cli={}\"]\n", dir.display()));
    env.ctl(&["up", "--no-watch"]).success();
    assert_eq!(by_agent(&env).len(), 1);
}

#[test]
fn descriptions_of_logs_that_are_wrong_are_refused() {
    for (config, parts) in [
        (
            "[capture]\noff = [\"gemeni\"]\n",
            &["config.toml", "capture.off", "gemeni", "gemini-cli"][..],
        ),
        (
            "[capture]\ndirs = [\"amp=relative\"]\n",
            &["capture.dirs", "not absolute"],
        ),
        (
            "[[capture.logs]]\nagent = \"a\"\npath = \"/x\"\n",
            &["capture.logs", "log 1", "fields"],
        ),
        (
            "[[capture.logs]]\nagent = \"a\"\npath = \"/x\"\nfields = { inptu = \"/i\", id = \"id\" }\n",
            &["capture.logs", "inptu", "allowed: input, output"],
        ),
    ] {
        let env = Env::with_clock(NOON);
        env.write_config(config);
        let run = env.ctl(&["up", "--no-watch"]);
        assert_eq!(run.code, 78, "{run:#?}");
        run.complains(parts);
    }
}
