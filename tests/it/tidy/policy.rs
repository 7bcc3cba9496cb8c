//! Dependencies: licences, bans and sources as `deny.toml` says, and one version of what must be one.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use toml::Table;

use super::{assert_none, root};

/// Two of these in one program would not speak to each other.
const ONE_VERSION: [&str; 8] = [
    "jiff",
    "prost",
    "prost-types",
    "redb",
    "rmcp",
    "tokio",
    "tonic",
    "tonic-prost",
];

fn table(path: &str) -> Table {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn strings<'a>(value: &'a toml::Value, what: &str) -> Vec<&'a str> {
    let list = value.as_array().unwrap_or_else(|| panic!("{what} is a list"));
    list.iter().filter_map(toml::Value::as_str).collect()
}

fn locked() -> Vec<Table> {
    let lock = table("Cargo.lock");
    let packages = lock["package"].as_array().expect("packages in Cargo.lock");
    packages.iter().filter_map(|p| p.as_table().cloned()).collect()
}

#[test]
fn nothing_banned_is_in_the_lock() {
    let deny = table("deny.toml");
    let packages = locked();
    let mut wrong = Vec::new();
    for ban in deny["bans"]["deny"].as_array().expect("bans.deny") {
        let name = ban["crate"].as_str().expect("a crate's name");
        let wrappers = ban
            .get("wrappers")
            .map(|w| strings(w, "wrappers"))
            .unwrap_or_default();
        for package in &packages {
            let Some(uses) = package.get("dependencies") else {
                continue;
            };
            let by = package["name"].as_str().unwrap_or_default();
            let uses_it = strings(uses, "dependencies")
                .iter()
                .any(|dependency| dependency.split(' ').next() == Some(name));
            if uses_it && !wrappers.contains(&by) {
                wrong.push(format!(
                    "{by} → {name}: {}",
                    ban["reason"].as_str().unwrap_or_default()
                ));
            }
        }
    }
    assert_none("banned dependencies", &wrong);
}

#[test]
fn everything_comes_from_the_registry() {
    let deny = table("deny.toml");
    let allowed = strings(&deny["sources"]["allow-registry"], "sources.allow-registry");
    let wrong: Vec<String> = locked()
        .iter()
        .filter_map(|package| Some((package["name"].as_str()?, package.get("source")?.as_str()?)))
        .filter(|(_, source)| !allowed.iter().any(|a| *source == format!("registry+{a}")))
        .map(|(name, source)| format!("{name}: {source}"))
        .collect();
    assert_none("sources other than crates.io", &wrong);
}

#[test]
fn what_must_be_one_is_one() {
    let packages = locked();
    let mut wrong = Vec::new();
    for name in ONE_VERSION {
        let versions: BTreeSet<&str> = packages
            .iter()
            .filter(|p| p["name"].as_str() == Some(name))
            .filter_map(|p| p["version"].as_str())
            .collect();
        if versions.len() != 1 {
            wrong.push(format!("{name}: {versions:?}"));
        }
    }
    assert_none("one version each", &wrong);
}

#[test]
fn every_licence_is_allowed() {
    let deny = table("deny.toml");
    let allowed = strings(&deny["licenses"]["allow"], "licenses.allow");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["metadata", "--format-version=1", "--locked"])
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "cargo metadata (it may have to fetch crates of other platforms):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON from cargo metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let wrong: Vec<String> = packages
        .iter()
        .map(|p| {
            (
                p["name"].as_str().unwrap_or_default(),
                p["license"].as_str().unwrap_or_default(),
            )
        })
        .filter(|(_, licence)| !permits(licence, &allowed))
        .map(|(name, licence)| format!("{name}: {licence:?}"))
        .collect();
    assert_none("licences outside of deny.toml", &wrong);
}

/// Whether an SPDX expression can be met with the allowed licences. AND binds closer than OR; "/" is an old OR.
fn permits(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let ok = any(&mut rest, allowed);
    ok && rest.is_empty()
}

fn any(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut ok = all(rest, allowed);
    while let [first, tail @ ..] = *rest
        && *first == "OR"
    {
        *rest = tail;
        ok |= all(rest, allowed);
    }
    ok
}

fn all(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut ok = one(rest, allowed);
    while let [first, tail @ ..] = *rest
        && *first == "AND"
    {
        *rest = tail;
        ok &= one(rest, allowed);
    }
    ok
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let ok = any(rest, allowed);
            match *rest {
                [")", tail @ ..] => {
                    *rest = tail;
                    ok
                }
                _ => false,
            }
        }
        [name, "WITH", exception, tail @ ..] => {
            *rest = tail;
            allowed.contains(&format!("{name} WITH {exception}").as_str())
        }
        [name, tail @ ..] => {
            *rest = tail;
            allowed.contains(name)
        }
        [] => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = [
        "MIT",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "Unicode-3.0",
    ];
    for (expression, ok) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND GPL-3.0 OR Apache-2.0", true),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("(MIT OR GPL-3.0) AND GPL-2.0", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
        ("GPL-2.0 WITH LLVM-exception", false),
        ("", false),
        ("MIT OR", true),
        ("(MIT", false),
        ("MIT MIT", false),
    ] {
        assert_eq!(permits(expression, &allowed), ok, "{expression:?}");
    }
}
