//! The laws of the house as tests: floors, purity, size, documentation, words that may not appear, dependencies.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokmon_tests::binaries::root;

mod floors;
mod nouns;
mod policy;
mod words;

/// Longest source file in lines: beyond it a file has more than one subject.
const MAX_LINES: usize = 500;

/// A source file with its path relative to the workspace.
struct Source {
    path: String,
    text: String,
}

/// Every Rust file of the project.
fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| files(&["rs"]))
}

/// Every file with one of these endings, outside of what is built and what git keeps.
fn files(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    walk(root(), &mut |path| {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if endings.contains(&ending) {
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let relative = path.strip_prefix(root()).expect("below the root");
            found.push(Source {
                path: relative.display().to_string(),
                text,
            });
        }
    });
    assert!(!found.is_empty());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(dir: &Path, visit: &mut dyn FnMut(PathBuf)) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("a directory entry").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_symlink() {
            continue;
        }
        if !path.is_dir() {
            visit(path);
        } else if !matches!(name, "target" | ".git") {
            walk(&path, visit);
        }
    }
}

/// Fails with all findings at once.
#[track_caller]
fn assert_none(law: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{law}:\n  {}", findings.join("\n  "));
}

#[test]
fn no_file_is_longer_than_one_subject() {
    let long: Vec<String> = sources()
        .iter()
        .map(|s| (s.text.lines().count(), &s.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert_none("files have at most 500 lines", &long);
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = sources()
        .iter()
        .filter(|s| !s.text.starts_with("//! "))
        .map(|s| s.path.clone())
        .collect();
    assert_none("files begin with a module comment", &silent);
}

#[test]
fn the_contract_says_what_it_means() {
    let mut silent = Vec::new();
    for proto in files(&["proto"]) {
        if !proto.text.starts_with("// ") {
            silent.push(format!("{}: no comment on top", proto.path));
        }
        let mut previous = "";
        for (number, line) in proto.text.lines().enumerate() {
            if line.starts_with("service ") && !previous.starts_with("//") {
                silent.push(format!("{}:{}: {line}", proto.path, number + 1));
            }
            previous = line;
        }
    }
    assert_none("the contract's files and services are documented", &silent);
}

#[test]
fn the_top_level_is_fixed() {
    let allowed = [
        ".ci",
        ".git",
        ".gitignore",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "client",
        "clippy.toml",
        "daemon",
        "deny.toml",
        "launchd",
        "proto",
        "rustfmt.toml",
        "shim",
        "systemd",
        "target",
        "tests",
    ];
    // What git does not track (an editor's files, a task runner's) is nobody's business here.
    let strangers: Vec<String> = tracked()
        .iter()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !allowed.contains(name))
        .map(str::to_owned)
        .collect();
    assert_none("the top level holds these and no others", &strangers);
}

/// Paths that git tracks; empty in a source archive without git.
fn tracked() -> Vec<String> {
    let output = std::process::Command::new("git")
        .current_dir(root())
        .args(["ls-files"])
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}
