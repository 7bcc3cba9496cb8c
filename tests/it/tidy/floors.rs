//! Who may know whom: between crates by their manifests, inside the daemon by its `use` lines.

use std::collections::BTreeMap;

use toml::Table;

use super::{assert_none, root, sources};

/// Each member with the members it may depend on, and the outside crates that only it may use.
const FLOORS: [(&str, &str, &[&str]); 10] = [
    ("proto", "tokmon-proto", &[]),
    ("daemon/core", "tokmon-core", &[]),
    ("daemon/tokenizer", "tokmon-tokenizer", &[]),
    ("daemon/ledger", "tokmon-ledger", &["tokmon-core"]),
    (
        "daemon/capture",
        "tokmon-capture",
        &["tokmon-core", "tokmon-ledger"],
    ),
    (
        "daemon",
        "tokmond",
        &[
            "tokmon-capture",
            "tokmon-core",
            "tokmon-ledger",
            "tokmon-proto",
            "tokmon-tokenizer",
        ],
    ),
    ("client", "tokmon-client", &["tokmon-proto"]),
    (
        "client/tokmonctl",
        "tokmonctl",
        &["tokmon-client", "tokmon-proto"],
    ),
    ("shim", "tokmon-mcp", &["tokmon-client", "tokmon-proto"]),
    ("tests", "tokmon-tests", &["tokmon-client", "tokmon-proto"]),
];

/// Outside crates that belong to one place, so that it alone has to change when they do.
const HOMES: [(&str, &[&str]); 8] = [
    ("redb", &["daemon/ledger"]),
    ("tiktoken-rs", &["daemon/tokenizer"]),
    ("rmcp", &["shim"]),
    ("notify", &["daemon/capture"]),
    ("interprocess", &["daemon", "client", "tests"]),
    ("tonic", &["proto", "daemon", "client", "tests"]),
    ("clap", &["daemon", "client/tokmonctl"]),
    ("anyhow", &["daemon", "client/tokmonctl", "shim"]),
];

/// All that the pure crate may use.
const CORE_MAY_USE: [&str; 6] = ["blake3", "csv", "jiff", "serde", "serde_json", "thiserror"];

fn manifest(member: &str) -> Table {
    let path = root().join(member).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the dependencies that end up in the product (not those of tests and benches).
fn dependencies(member: &str) -> Vec<String> {
    fn collect(table: &Table, names: &mut Vec<String>) {
        for section in ["dependencies", "build-dependencies"] {
            if let Some(found) = table.get(section).and_then(toml::Value::as_table) {
                names.extend(found.keys().cloned());
            }
        }
    }
    let manifest = manifest(member);
    let mut names = Vec::new();
    collect(&manifest, &mut names);
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        for table in targets.values().filter_map(toml::Value::as_table) {
            collect(table, &mut names);
        }
    }
    names
}

#[test]
fn crates_use_only_lower_floors() {
    let members: Vec<&str> = FLOORS.iter().map(|(dir, _, _)| *dir).collect();
    let workspace = manifest("");
    let listed: Vec<&str> = workspace["workspace"]["members"]
        .as_array()
        .expect("workspace.members")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    for member in &listed {
        assert!(members.contains(member), "{member} has no floor in FLOORS");
    }

    let mut wrong = Vec::new();
    for (dir, name, allowed) in FLOORS {
        assert_eq!(manifest(dir)["package"]["name"].as_str(), Some(name), "{dir}");
        for used in dependencies(dir) {
            let ours = FLOORS.iter().any(|(_, name, _)| *name == used);
            if ours && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{name} → {used}"));
            }
            if let Some((_, homes)) = HOMES.iter().find(|(name, _)| *name == used)
                && !homes.contains(&dir)
            {
                wrong.push(format!("{name} → {used}, which belongs to {homes:?}"));
            }
        }
    }
    assert_none("crates use lower floors only", &wrong);
}

#[test]
fn every_member_takes_its_lints_and_versions_from_the_workspace() {
    let mut wrong = Vec::new();
    for (dir, name, _) in FLOORS {
        let manifest = manifest(dir);
        let inherits = |table: &str, key: &str| {
            let value = manifest.get(table).and_then(|t| t.get(key));
            value == Some(&toml::Value::Boolean(true))
        };
        if !inherits("lints", "workspace") {
            wrong.push(format!("{name}: lints"));
        }
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (used, how) in table {
                if how.get("workspace") != Some(&toml::Value::Boolean(true)) {
                    wrong.push(format!("{name}: {section}.{used}"));
                }
            }
        }
    }
    assert_none("lints and versions are the workspace's", &wrong);
}

#[test]
fn the_core_is_pure() {
    let mut wrong: Vec<String> = dependencies("daemon/core")
        .into_iter()
        .filter(|used| !CORE_MAY_USE.contains(&used.as_str()))
        .map(|used| format!("Cargo.toml: {used}"))
        .collect();
    let impure = [
        "std::fs",
        "std::net",
        "std::env",
        "std::io::std",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "TimeZone::system",
        "unsafe ",
    ];
    for source in sources() {
        if !source.path.starts_with("daemon/core/src/") {
            continue;
        }
        for (number, line) in code_lines(&source.text) {
            for word in impure {
                if line.contains(word) {
                    wrong.push(format!("{}:{number}: {word}", source.path));
                }
            }
        }
    }
    assert_none("tokmon-core does no I/O and reads no clock", &wrong);
}

#[test]
fn money_never_floats() {
    let mut wrong = Vec::new();
    let exact = [
        "daemon/core/src/money.rs",
        "daemon/core/src/tokens.rs",
        "daemon/core/src/rollup.rs",
        "daemon/core/src/entry.rs",
        "daemon/core/src/observation.rs",
        "daemon/core/src/price",
    ];
    for source in sources() {
        if !exact.iter().any(|prefix| source.path.starts_with(prefix)) {
            continue;
        }
        for (number, line) in code_lines(&source.text) {
            if line.contains("f64") || line.contains("f32") {
                wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none("money and tokens are integers", &wrong);
}

/// Modules of the daemon: the doors, and what lies below them.
const DOORS: [&str; 5] = ["rpc", "otlp", "web", "alerts", "gateway"];
const ABOVE_DOORS: [&str; 2] = ["app", "main"];

#[test]
fn doors_do_not_see_each_other() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(inside) = source.path.strip_prefix("daemon/src/") else {
            continue;
        };
        let module = inside
            .split('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs");
        if ABOVE_DOORS.contains(&module) {
            continue;
        }
        for (number, line) in code_lines(&source.text) {
            for used in DOORS.iter().chain(&ABOVE_DOORS) {
                if *used != module && line.contains(&format!("crate::{used}::")) {
                    wrong.push(format!("{}:{number}: {module} → {used}", source.path));
                }
            }
        }
    }
    assert_none("only app knows the doors", &wrong);
}

#[test]
fn wire_types_stop_at_the_rpc_door() {
    let mut wrong = Vec::new();
    for source in sources() {
        let inside = source.path.as_str();
        if !inside.starts_with("daemon/") || inside.starts_with("daemon/src/rpc") {
            continue;
        }
        for (number, line) in code_lines(&source.text) {
            if line.contains("tokmon_proto::v1") {
                wrong.push(format!("{inside}:{number}"));
            }
        }
    }
    assert_none("only rpc speaks the wire's types", &wrong);
}

/// Lines of code with their numbers: no comments, and nothing after the file's test module begins.
pub(super) fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_tests = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        in_tests = in_tests || line.starts_with("#[cfg(test)]");
        let comment = line.trim_start().starts_with("//");
        (!in_tests && !comment).then_some((at + 1, line))
    })
}

#[test]
fn the_table_of_floors_has_no_cycle() {
    let floors: BTreeMap<&str, &[&str]> = FLOORS.iter().map(|(_, name, uses)| (*name, *uses)).collect();
    fn depth(name: &str, floors: &BTreeMap<&str, &[&str]>, left: usize) {
        assert!(left > 0, "{name} lies on a cycle");
        for used in floors[name] {
            depth(used, floors, left - 1);
        }
    }
    for name in floors.keys() {
        depth(name, &floors, floors.len());
    }
}
