//! Which agents' files are read, and where: lists of names, `agent=directory`, and descriptions of logs.

use std::path::PathBuf;

use tokmon_capture::{Agent, LogMap};
use tokmon_core::limits::MAX_LOGS;
use toml::{Table, Value};

/// Every agent's name, for people.
pub(super) fn names() -> String {
    let names: Vec<String> = Agent::all().map(|agent| agent.name().to_owned()).collect();
    names.join(", ")
}

/// The agents of a list. Errors name the one that is not known.
pub(super) fn agents(list: &[String]) -> Result<Vec<Agent>, String> {
    let one = |name: &String| Agent::parse(name).ok_or_else(|| format!("{name:?} is no agent"));
    list.iter().map(one).collect()
}

/// The agents and directories of a list of `agent=directory`.
pub(super) fn dirs(list: &[String]) -> Result<Vec<(Agent, PathBuf)>, String> {
    let one = |entry: &String| {
        let (name, dir) = entry
            .split_once('=')
            .ok_or_else(|| format!("{entry:?} has no \"=\""))?;
        let agent = Agent::parse(name.trim()).ok_or_else(|| format!("{name:?} is no agent"))?;
        let dir = absolute(dir.trim());
        match dir.is_absolute() {
            true => Ok((agent, dir)),
            false => Err(format!("{entry:?}: the directory is not absolute")),
        }
    };
    list.iter().map(one).collect()
}

/// The path, with the home directory for `~`.
fn absolute(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// What a description of a log may hold.
const LOG_KEYS: [&str; 6] = [
    "agent",
    "path",
    "files",
    "fields",
    "input_includes_cache",
    "reasoning_is_extra",
];

/// The descriptions of logs. Errors name the description, its key and what is allowed.
pub(super) fn logs(value: &Value) -> Result<Vec<LogMap>, String> {
    let Value::Array(items) = value else {
        return Err("not a list of tables".to_owned());
    };
    if items.len() > MAX_LOGS {
        return Err(format!("{} logs; at most {MAX_LOGS}", items.len()));
    }
    let one = |(at, item): (usize, &Value)| {
        let table = item.as_table().ok_or("not a table".to_owned());
        table
            .and_then(log)
            .map_err(|error| format!("log {}: {error}", at + 1))
    };
    items.iter().enumerate().map(one).collect()
}

fn log(table: &Table) -> Result<LogMap, String> {
    if let Some(key) = table.keys().find(|key| !LOG_KEYS.contains(&key.as_str())) {
        return Err(format!("{key}: no such key; allowed: {}", LOG_KEYS.join(", ")));
    }
    let text = |key: &str| match table.get(key) {
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("{key}: allowed: a text")),
        None => Ok(None),
    };
    let flag = |key: &str| match table.get(key) {
        Some(Value::Boolean(flag)) => Ok(*flag),
        Some(_) => Err(format!("{key}: allowed: true or false")),
        None => Ok(false),
    };
    let Some(Value::Table(fields)) = table.get("fields") else {
        let allowed = LogMap::FIELDS.join(", ");
        return Err(format!("fields: allowed: a table with places of {allowed}"));
    };
    let mut places = Vec::new();
    for (name, place) in fields {
        let place = place
            .as_str()
            .ok_or_else(|| format!("fields.{name}: allowed: a text"))?;
        places.push((name.as_str(), place));
    }
    let path = absolute(text("path")?.unwrap_or_default());
    let files = text("files")?.unwrap_or("**/*.jsonl");
    let mut log = LogMap::new(text("agent")?.unwrap_or_default(), path, files, places)?;
    log.input_includes_cache = flag("input_includes_cache")?;
    log.reasoning_is_extra = flag("reasoning_is_extra")?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<LogMap>, String> {
        let table: Table = text.parse().unwrap();
        logs(&table["logs"])
    }

    #[test]
    fn logs_are_described_by_tables() {
        let found = parse(
            "[[logs]]\nagent = \"mine\"\npath = \"/var/log/mine\"\ninput_includes_cache = true\n\
             fields = { input = \"/usage/in\", id = \"id\" }\n",
        );
        let found = found.unwrap();
        assert_eq!((found.len(), &*found[0].files), (1, "**/*.jsonl"));
        assert!(found[0].input_includes_cache && !found[0].reasoning_is_extra);
    }

    #[test]
    fn what_is_wrong_with_a_log_is_named() {
        for (text, part) in [
            ("logs = 7", "list of tables"),
            ("logs = [7]", "log 1: not a table"),
            (
                "[[logs]]\nagnet = \"x\"",
                "log 1: agnet: no such key; allowed: agent, path",
            ),
            ("[[logs]]\nagent = \"x\"", "fields: allowed: a table"),
            (
                "[[logs]]\nfields = { input = 7 }",
                "fields.input: allowed: a text",
            ),
            (
                "[[logs]]\nagent = 7\nfields = { input = \"a\" }",
                "agent: allowed: a text",
            ),
            (
                "[[logs]]\nagent = \"x\"\npath = \"rel\"\nfields = { input = \"a\", id = \"b\" }",
                "path",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn lists_of_agents_name_what_they_do_not_know() {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        assert_eq!(agents(&list(&["codex"])).unwrap(), [Agent::CODEX]);
        assert!(agents(&list(&["codx"])).unwrap_err().contains("codx"));
        assert_eq!(
            dirs(&list(&["codex=/a"])).unwrap(),
            [(Agent::CODEX, PathBuf::from("/a"))]
        );
        for bad in ["codex", "codx=/a", "codex=a"] {
            assert!(dirs(&list(&[bad])).is_err(), "{bad}");
        }
        assert!(names().contains("claude-code, codex"));
    }
}
