//! Finding an agent's files: a walk that neither loops nor opens anything.

use std::collections::HashSet;
use std::fs::{FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokmon_core::limits::{MAX_DEPTH, MAX_FILES};

use crate::agents::Agent;

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The agent's files, each once.
    pub(crate) files: Vec<Seen>,
    /// Every directory that was looked into.
    pub(crate) dirs: Vec<PathBuf>,
    /// What could not be read or was left out; the first of them.
    pub(crate) problem: Option<String>,
}

/// A file as the directory shows it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    pub(crate) stat: Stat,
    /// When it was made, as well as that can be told: a restored file keeps only when it was last written.
    pub(crate) since_ns: i64,
}

/// What tells whether a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Device and inode; zeros where the system has none.
    pub(crate) id: (u64, u64),
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
}

impl Stat {
    pub(crate) fn of(meta: &Metadata) -> Stat {
        Stat {
            id: identity(meta),
            size: meta.len(),
            mtime_ns: nanos(meta.modified()).unwrap_or(0),
        }
    }

    pub(crate) fn mtime_ms(self) -> i64 {
        self.mtime_ns / 1_000_000
    }
}

fn nanos(at: io::Result<SystemTime>) -> Option<i64> {
    let since = at.ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

#[cfg(unix)]
fn identity(meta: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

impl Walk {
    /// Walks a directory, or takes a single file, when it belongs to the agent. What is not there is not found.
    pub(crate) fn of(agent: Agent, at: &Path, depth: usize) -> Walk {
        let mut walk = Walk::default();
        let mut visited = HashSet::new();
        match std::fs::metadata(at) {
            Ok(meta) if meta.is_dir() => walk.dir(agent, at, &meta, depth, &mut visited),
            Ok(meta) if meta.is_file() => walk.file(agent, at.to_path_buf(), &meta),
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => walk.note(at, &error.to_string()),
        }
        walk
    }

    fn note(&mut self, at: &Path, what: &str) {
        self.problem
            .get_or_insert_with(|| format!("{}: {what}", at.display()));
    }

    fn file(&mut self, agent: Agent, path: PathBuf, meta: &Metadata) {
        if !path
            .file_name()
            .is_some_and(|name| agent.owns(&name.to_string_lossy()))
        {
            return;
        }
        if path.to_str().is_none() {
            return self.note(&path, "the path is not UTF-8, the file is not read");
        }
        if self.files.len() >= MAX_FILES {
            return self.note(
                &path,
                &format!("more than {MAX_FILES} files, the rest is not read"),
            );
        }
        let stat = Stat::of(meta);
        let born_ns = nanos(meta.created()).unwrap_or(stat.mtime_ns);
        self.files.push(Seen {
            path,
            stat,
            since_ns: stat.mtime_ns.min(born_ns),
        });
    }

    fn dir(
        &mut self,
        agent: Agent,
        dir: &Path,
        meta: &Metadata,
        depth: usize,
        visited: &mut HashSet<(u64, u64)>,
    ) {
        let id = identity(meta);
        // A link to a directory above, or a second way into one that was walked.
        if id != (0, 0) && !visited.insert(id) {
            return;
        }
        if depth > MAX_DEPTH {
            return self.note(dir, &format!("deeper than {MAX_DEPTH} directories, not read"));
        }
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return,
            Err(error) => return self.note(dir, &error.to_string()),
        };
        self.dirs.push(dir.to_path_buf());
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.note(dir, &error.to_string());
                    continue;
                }
            };
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if !worth_a_look(kind, &path, agent) {
                continue;
            }
            match if kind.is_symlink() {
                std::fs::metadata(&path)
            } else {
                entry.metadata()
            } {
                Ok(meta) if meta.is_dir() => self.dir(agent, &path, &meta, depth + 1, visited),
                Ok(meta) if meta.is_file() => self.file(agent, path, &meta),
                Ok(_) => {}
                // A link to nowhere, or gone since it was listed.
                Err(error) if is_gone(&error) => {}
                Err(error) => self.note(&path, &error.to_string()),
            }
        }
    }
}

/// Directories, links, and files with the right name. Pipes, sockets and devices are never touched.
fn worth_a_look(kind: FileType, path: &Path, agent: Agent) -> bool {
    kind.is_dir()
        || kind.is_symlink()
        || kind.is_file()
            && path
                .file_name()
                .is_some_and(|name| agent.owns(&name.to_string_lossy()))
}

/// It is not there (any more): no reason to complain.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(walk: &Walk, root: &Path) -> Vec<String> {
        let mut names: Vec<String> = walk
            .files
            .iter()
            .map(|seen| {
                seen.path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn only_the_agents_regular_files_are_found() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("a/b/subagents")).unwrap();
        for file in [
            "a/one.jsonl",
            "a/b/subagents/two.jsonl",
            "a/x.meta.json",
            "a/y.jsonl.zst",
            "a/notes.txt",
        ] {
            std::fs::write(at(file), "{}\n").unwrap();
        }
        std::fs::create_dir(at("a/dir.jsonl")).unwrap();
        assert_eq!(
            names(&Walk::of(Agent::ClaudeCode, root.path(), 0), root.path()),
            ["a/b/subagents/two.jsonl", "a/one.jsonl"]
        );
        let codex = Walk::of(Agent::Codex, root.path(), 0);
        assert_eq!(
            names(&codex, root.path()),
            ["a/b/subagents/two.jsonl", "a/one.jsonl", "a/y.jsonl.zst"]
        );
        assert_eq!(codex.dirs.len(), 5);
        assert_eq!(codex.problem, None);
        assert_eq!(
            names(&Walk::of(Agent::Codex, &at("a/one.jsonl"), 0), root.path()),
            ["a/one.jsonl"]
        );
        assert!(Walk::of(Agent::Codex, &at("nowhere"), 0).files.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn loops_pipes_and_dead_links_do_no_harm() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("a")).unwrap();
        std::fs::write(at("a/one.jsonl"), "{}\n").unwrap();
        std::os::unix::fs::symlink(root.path(), at("a/up")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("dead.jsonl")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.jsonl")).unwrap();
        let walk = Walk::of(Agent::ClaudeCode, root.path(), 0);
        assert_eq!(names(&walk, root.path()), ["a/one.jsonl"]);
        assert_eq!(walk.problem, None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_transcript_that_cannot_be_named_is_reported() {
        use std::os::unix::ffi::OsStrExt;
        let root = tempfile::tempdir().unwrap();
        let named = |name: &[u8]| root.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(named(b"\xff.txt"), "").unwrap();
        assert_eq!(Walk::of(Agent::ClaudeCode, root.path(), 0).problem, None);
        std::fs::write(named(b"\xff.jsonl"), "{}\n").unwrap();
        let walk = Walk::of(Agent::ClaudeCode, root.path(), 0);
        assert!(walk.files.is_empty());
        assert!(walk.problem.unwrap().contains("not UTF-8"));
    }

    #[test]
    fn what_is_too_deep_is_reported() {
        let root = tempfile::tempdir().unwrap();
        let deep: PathBuf = root.path().join(vec!["d"; MAX_DEPTH + 2].join("/"));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("x.jsonl"), "{}\n").unwrap();
        let walk = Walk::of(Agent::Codex, root.path(), 0);
        assert!(walk.files.is_empty());
        assert!(walk.problem.unwrap().contains("deeper than"));
    }
}
