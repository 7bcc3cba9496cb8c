//! Where agents keep what they write down: the same places the agents themselves would use.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::agents::{Agent, Form};

/// A directory that is walked for one agent's files, or one file that is named outright.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Whose files.
    pub agent: Agent,
    /// The directory or file; it need not exist yet.
    pub dir: PathBuf,
    /// It does not exist (now): the agent is not installed or has not been used.
    pub absent: bool,
    /// The user named it: the agent's files may lie at any depth.
    named: bool,
}

impl Root {
    /// A root, with `absent` as the file system says now.
    pub fn new(agent: Agent, dir: impl Into<PathBuf>) -> Root {
        let mut root = Root {
            agent,
            dir: dir.into(),
            absent: false,
            named: false,
        };
        root.look();
        root
    }

    /// A root that the user names: the directory that the agent's own variable would name, one above or below it, or
    /// one file.
    pub fn named(agent: Agent, dir: impl Into<PathBuf>) -> Root {
        let mut root = Root::new(agent, dir);
        root.named = true;
        root
    }

    /// Whether both are the same place of the same agent.
    pub(crate) fn is(&self, other: &Root) -> bool {
        self.agent == other.agent && self.dir == other.dir
    }

    /// Looks whether it is there now.
    pub(crate) fn look(&mut self) {
        self.absent = !self.dir.exists();
    }

    /// How a file is read; `None`: it is not the agent's, or does not lie here.
    pub(crate) fn form(&self, file: &Path) -> Option<&'static Form> {
        let relative = file.strip_prefix(&self.dir).ok()?;
        if relative.as_os_str().is_empty() {
            self.agent.form_of_root(file)
        } else {
            self.agent.form(relative, self.named)
        }
    }

    /// Whether a directory may hold the agent's files.
    pub(crate) fn enters(&self, dir: &Path) -> bool {
        dir.strip_prefix(&self.dir)
            .is_ok_and(|relative| self.named || self.agent.enters(relative))
    }
}

/// What an agent finds its own files by: the home directory, and variables.
pub(crate) struct Places<'a> {
    /// The home directory.
    pub(crate) home: &'a Path,
    vars: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Places<'_> {
    /// A directory named by a variable; `None` when it is not set, empty, or relative.
    pub(crate) fn var(&self, name: &str) -> Option<PathBuf> {
        (self.vars)(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    }

    /// The directories of a variable that holds a list with commas; blanks around them do not count.
    pub(crate) fn list(&self, name: &str) -> Vec<PathBuf> {
        let Some(value) = (self.vars)(name) else {
            return Vec::new();
        };
        match value.to_str() {
            Some(text) => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(PathBuf::from)
                .collect(),
            None => vec![PathBuf::from(value)],
        }
    }

    /// The directories of a list variable, else one below the home directory.
    pub(crate) fn list_or_home(&self, name: &str, below: &str) -> Vec<PathBuf> {
        let mut dirs = self.list(name);
        if dirs.is_empty() {
            dirs.push(self.home.join(below));
        }
        dirs
    }

    /// Configuration of programs that follow the XDG convention on every system: `XDG_CONFIG_HOME` or `~/.config`.
    pub(crate) fn config(&self) -> PathBuf {
        self.var("XDG_CONFIG_HOME")
            .unwrap_or_else(|| self.home.join(".config"))
    }

    /// Data of programs that follow the XDG convention on every system: `XDG_DATA_HOME` or `~/.local/share`.
    pub(crate) fn data(&self) -> PathBuf {
        self.var("XDG_DATA_HOME")
            .unwrap_or_else(|| self.home.join(".local/share"))
    }

    /// What desktop programs use for their data: `~/Library/Application Support`, `%APPDATA%`, or as
    /// [`Places::config`].
    pub(crate) fn app_data(&self) -> PathBuf {
        if cfg!(target_os = "macos") {
            self.home.join("Library/Application Support")
        } else {
            self.var("APPDATA")
                .filter(|_| cfg!(windows))
                .unwrap_or_else(|| self.config())
        }
    }
}

/// Finds every place to look at, for every agent: what the agent's own variables say, else the usual places. Those
/// that do not exist are included, marked absent.
pub fn find_roots(vars: impl Fn(&str) -> Option<OsString>, home: &Path) -> Vec<Root> {
    let places = Places { home, vars: &vars };
    // Two names of one directory (a linked ~/.claude, say) are one root.
    let mut seen = HashSet::new();
    let mut roots = Vec::new();
    for agent in Agent::all() {
        for dir in agent.places(&places) {
            let real = std::fs::canonicalize(&dir).unwrap_or_else(|_| dir.clone());
            if seen.insert((agent.clone(), real)) {
                roots.push(Root::new(agent.clone(), dir));
            }
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the desktop app keeps what its agents do.
    const DESKTOP: &str = "Claude/local-agent-mode-sessions";

    /// The roots of the two agents that have lists and links.
    fn found(vars: &[(&str, &str)], home: &Path) -> Vec<(Agent, PathBuf)> {
        let get = |name: &str| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        };
        find_roots(get, home)
            .into_iter()
            .filter(|root| [Agent::CLAUDE_CODE, Agent::CODEX].contains(&root.agent))
            .map(|root| (root.agent, root.dir))
            .collect()
    }

    #[test]
    fn variables_replace_the_defaults() {
        let home = Path::new("/h");
        let claude = |dir: &str| (Agent::CLAUDE_CODE, PathBuf::from(dir));
        let codex = |dir: &str| (Agent::CODEX, PathBuf::from(dir));
        let desktop = |config: &str| match cfg!(target_os = "macos") {
            true => format!("/h/Library/Application Support/{DESKTOP}"),
            false => format!("{config}/{DESKTOP}"),
        };
        for (vars, wanted) in [
            (
                vec![],
                vec![
                    claude("/h/.claude/projects"),
                    claude("/h/.config/claude/projects"),
                    claude(&desktop("/h/.config")),
                    codex("/h/.codex/sessions"),
                    codex("/h/.codex/archived_sessions"),
                ],
            ),
            (
                vec![("CLAUDE_CONFIG_DIR", "/a, /b/projects,"), ("CODEX_HOME", "/c")],
                vec![
                    claude("/a/projects"),
                    claude("/b/projects"),
                    codex("/c/sessions"),
                    codex("/c/archived_sessions"),
                ],
            ),
            (
                vec![
                    ("CLAUDE_CONFIG_DIR", " "),
                    ("XDG_CONFIG_HOME", "/x"),
                    ("CODEX_HOME", "/c,/c"),
                ],
                vec![
                    claude("/h/.claude/projects"),
                    claude("/x/claude/projects"),
                    claude(&desktop("/x")),
                    codex("/c/sessions"),
                    codex("/c/archived_sessions"),
                ],
            ),
        ] {
            assert_eq!(found(&vars, home), wanted, "{vars:?}");
        }
    }

    #[test]
    fn absent_directories_are_marked_and_links_are_one_root() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(".claude/projects")).unwrap();
        std::fs::create_dir_all(home.path().join(".config")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(home.path().join(".claude"), home.path().join(".config/claude")).unwrap();
        let mut roots = find_roots(|_| None, home.path());
        roots.retain(|root| [Agent::CLAUDE_CODE, Agent::CODEX].contains(&root.agent));
        let absent: Vec<bool> = roots.iter().map(|root| root.absent).collect();
        #[cfg(unix)]
        assert_eq!(absent, [false, true, true, true]);
        #[cfg(not(unix))]
        assert_eq!(absent, [false, true, true, true, true]);
    }
}
