//! Finding an agent's files: a walk that neither loops nor opens anything.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokmon_core::limits::{MAX_DEPTH, MAX_FILES};

use crate::agents::Reading;
use crate::roots::Root;

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

    /// A database together with its write-ahead log, in which new rows stand first.
    fn with_log(self, path: &Path) -> Stat {
        let Ok(meta) = std::fs::metadata(log_of(path)) else {
            return self;
        };
        let log = Stat::of(&meta);
        Stat {
            id: self.id,
            size: self.size.saturating_add(log.size),
            mtime_ns: self.mtime_ns.max(log.mtime_ns),
        }
    }

    pub(crate) fn mtime_ms(self) -> i64 {
        self.mtime_ns / 1_000_000
    }
}

/// What a database's write-ahead log is called.
const LOG_ENDING: &str = "-wal";

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(LOG_ENDING);
    name.into()
}

/// What ends the name of a database's journal, whose removal ends a write where there is no log.
const JOURNAL_ENDING: &str = "-journal";

/// The database that a write-ahead log or a journal belongs to; any other path is itself.
pub(crate) fn without_log(path: PathBuf) -> PathBuf {
    let main = path.to_str().and_then(|text| {
        text.strip_suffix(LOG_ENDING)
            .or_else(|| text.strip_suffix(JOURNAL_ENDING))
    });
    main.map(PathBuf::from).unwrap_or(path)
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
    /// Walks a directory of a root, or takes a single file, when it belongs to the agent. What is not there is not
    /// found.
    pub(crate) fn of(root: &Root, at: &Path) -> Walk {
        let mut walk = Walk::default();
        let mut visited = HashSet::new();
        let depth = at
            .strip_prefix(&root.dir)
            .map_or(0, |rest| rest.components().count());
        match std::fs::metadata(at) {
            Ok(meta) if meta.is_dir() => {
                if root.enters(at) {
                    walk.dir(root, at, &meta, depth, &mut visited);
                }
            }
            Ok(meta) if meta.is_file() => {
                // Where a file is the whole root, its directory tells of its changes.
                if depth == 0 {
                    walk.dirs.extend(at.parent().map(Path::to_path_buf));
                }
                walk.file(root, at.to_path_buf(), &meta);
            }
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

    fn file(&mut self, root: &Root, path: PathBuf, meta: &Metadata) {
        let Some(form) = root.form(&path) else { return };
        if path.to_str().is_none() {
            return self.note(&path, "the path is not UTF-8, the file is not read");
        }
        if self.files.len() >= MAX_FILES {
            return self.note(
                &path,
                &format!("more than {MAX_FILES} files, the rest is not read"),
            );
        }
        let mut stat = Stat::of(meta);
        if let Reading::Database(_) = form.read {
            stat = stat.with_log(&path);
        }
        let born_ns = nanos(meta.created()).unwrap_or(stat.mtime_ns);
        self.files.push(Seen {
            path,
            stat,
            since_ns: stat.mtime_ns.min(born_ns),
        });
    }

    fn dir(
        &mut self,
        root: &Root,
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
            // Pipes, sockets and devices are never touched.
            let worth_a_look = kind.is_symlink()
                || kind.is_dir() && root.enters(&path)
                || kind.is_file() && root.form(&path).is_some();
            if !worth_a_look {
                continue;
            }
            match if kind.is_symlink() {
                std::fs::metadata(&path)
            } else {
                entry.metadata()
            } {
                Ok(meta) if meta.is_dir() => {
                    if root.enters(&path) {
                        self.dir(root, &path, &meta, depth + 1, visited);
                    }
                }
                Ok(meta) if meta.is_file() => self.file(root, path, &meta),
                Ok(_) => {}
                // A link to nowhere, or gone since it was listed.
                Err(error) if is_gone(&error) => {}
                Err(error) => self.note(&path, &error.to_string()),
            }
        }
    }
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
    use crate::agents::Agent;

    fn claude(dir: &Path) -> Root {
        Root::new(Agent::CLAUDE_CODE, dir)
    }

    fn codex(dir: &Path) -> Root {
        Root::new(Agent::CODEX, dir)
    }

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
            names(&Walk::of(&claude(root.path()), root.path()), root.path()),
            ["a/b/subagents/two.jsonl", "a/one.jsonl"]
        );
        let walk = Walk::of(&codex(root.path()), root.path());
        assert_eq!(
            names(&walk, root.path()),
            ["a/b/subagents/two.jsonl", "a/one.jsonl", "a/y.jsonl.zst"]
        );
        assert_eq!(walk.dirs.len(), 5);
        assert_eq!(walk.problem, None);
        assert_eq!(
            names(&Walk::of(&codex(root.path()), &at("a/one.jsonl")), root.path()),
            ["a/one.jsonl"]
        );
        assert!(Walk::of(&codex(root.path()), &at("nowhere")).files.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn loops_pipes_devices_and_dead_links_do_no_harm() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("a")).unwrap();
        std::fs::write(at("a/one.jsonl"), "{}\n").unwrap();
        symlink(root.path(), at("a/up")).unwrap();
        symlink(at("nowhere"), at("dead.jsonl")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.jsonl")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(at("pipe.jsonl"))
            .status();
        assert!(made.unwrap().success());
        symlink(at("pipe.jsonl"), at("to-pipe.jsonl")).unwrap();
        symlink("/dev/zero", at("zero.jsonl")).unwrap();
        let walk = Walk::of(&claude(root.path()), root.path());
        assert_eq!(names(&walk, root.path()), ["a/one.jsonl"]);
        assert_eq!(walk.problem, None);
        for path in ["pipe.jsonl", "to-pipe.jsonl", "zero.jsonl"] {
            assert!(Walk::of(&claude(root.path()), &at(path)).files.is_empty());
        }
        // A link that leads to itself is told of, and the rest is found.
        symlink(at("self.jsonl"), at("self.jsonl")).unwrap();
        let walk = Walk::of(&claude(root.path()), root.path());
        assert_eq!(names(&walk, root.path()), ["a/one.jsonl"]);
        assert!(walk.problem.unwrap().contains("self.jsonl"));
    }

    #[cfg(unix)]
    #[test]
    fn what_must_not_be_read_is_told_of_and_the_rest_is_found() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("closed")).unwrap();
        std::fs::write(at("closed/two.jsonl"), "{}\n").unwrap();
        std::fs::write(at("one.jsonl"), "{}\n").unwrap();
        let close = |mode| std::fs::set_permissions(at("closed"), std::fs::Permissions::from_mode(mode));
        close(0o000).unwrap();
        // The superuser may read everything.
        let may_not = std::fs::read_dir(at("closed")).is_err();
        let walk = Walk::of(&claude(root.path()), root.path());
        close(0o700).unwrap();
        assert_eq!(walk.problem.is_some(), may_not);
        assert!(names(&walk, root.path()).contains(&"one.jsonl".to_owned()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_transcript_that_cannot_be_named_is_reported() {
        use std::os::unix::ffi::OsStrExt;
        let root = tempfile::tempdir().unwrap();
        let named = |name: &[u8]| root.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(named(b"\xff.txt"), "").unwrap();
        assert_eq!(Walk::of(&claude(root.path()), root.path()).problem, None);
        std::fs::write(named(b"\xff.jsonl"), "{}\n").unwrap();
        let walk = Walk::of(&claude(root.path()), root.path());
        assert!(walk.files.is_empty());
        assert!(walk.problem.unwrap().contains("not UTF-8"));
    }

    #[test]
    fn what_is_too_deep_is_reported() {
        let root = tempfile::tempdir().unwrap();
        let deep: PathBuf = root.path().join(vec!["d"; MAX_DEPTH + 2].join("/"));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("x.jsonl"), "{}\n").unwrap();
        let walk = Walk::of(&codex(root.path()), root.path());
        assert!(walk.files.is_empty());
        assert!(walk.problem.unwrap().contains("deeper than"));
    }
}
