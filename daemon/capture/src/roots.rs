//! Where agents keep what they write down: the same places the agents themselves would use.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::agents::Agent;

/// A directory that is walked for one agent's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Whose files.
    pub agent: Agent,
    /// The directory; it need not exist yet.
    pub dir: PathBuf,
    /// It does not exist (now): the agent is not installed or has not been used.
    pub absent: bool,
}

impl Root {
    /// A root, with `absent` as the file system says now.
    pub fn new(agent: Agent, dir: impl Into<PathBuf>) -> Root {
        let dir = dir.into();
        Root {
            agent,
            absent: !dir.is_dir(),
            dir,
        }
    }
}

/// Where Anthropic's desktop app keeps what its agents do.
const DESKTOP: &str = "Claude/local-agent-mode-sessions";

/// Finds every place to look at: `CLAUDE_CONFIG_DIR` (a comma-separated list of configuration directories or their
/// `projects/`), else `$XDG_CONFIG_HOME/claude`, `~/.claude` and the sessions of the desktop app; `CODEX_HOME` (also a
/// list), else `~/.codex`, each with its live and its archived sessions. Those that do not exist are included, marked absent.
pub fn find_roots(vars: impl Fn(&str) -> Option<OsString>, home: &Path) -> Vec<Root> {
    let mut dirs = Vec::new();
    let claude = list(vars("CLAUDE_CONFIG_DIR"));
    if claude.is_empty() {
        let config = vars("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
            .unwrap_or_else(|| home.join(".config"));
        let desktop = if cfg!(target_os = "macos") {
            home.join("Library/Application Support")
        } else {
            vars("APPDATA")
                .filter(|_| cfg!(windows))
                .map_or_else(|| config.clone(), PathBuf::from)
        };
        dirs.push((Agent::ClaudeCode, home.join(".claude/projects")));
        dirs.push((Agent::ClaudeCode, config.join("claude/projects")));
        // Each of its sessions has a configuration directory of its own somewhere below.
        dirs.push((Agent::ClaudeCode, desktop.join(DESKTOP)));
    }
    for dir in claude {
        let dir = if dir.file_name() == Some(OsStr::new("projects")) {
            dir
        } else {
            dir.join("projects")
        };
        dirs.push((Agent::ClaudeCode, dir));
    }
    let mut codex = list(vars("CODEX_HOME"));
    if codex.is_empty() {
        codex.push(home.join(".codex"));
    }
    for dir in codex {
        dirs.push((Agent::Codex, dir.join("sessions")));
        dirs.push((Agent::Codex, dir.join("archived_sessions")));
    }
    // Two names of one directory (a linked ~/.claude, say) are one root.
    let mut seen = HashSet::new();
    dirs.into_iter()
        .filter(|(_, dir)| seen.insert(std::fs::canonicalize(dir).unwrap_or_else(|_| dir.clone())))
        .map(|(agent, dir)| Root::new(agent, dir))
        .collect()
}

/// The entries of a comma-separated list of directories; blanks around them do not count.
fn list(value: Option<OsString>) -> Vec<PathBuf> {
    let Some(value) = value else { return Vec::new() };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(vars: &[(&str, &str)], home: &Path) -> Vec<(Agent, PathBuf)> {
        let get = |name: &str| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        };
        find_roots(get, home)
            .into_iter()
            .map(|root| (root.agent, root.dir))
            .collect()
    }

    #[test]
    fn variables_replace_the_defaults() {
        let home = Path::new("/h");
        let claude = |dir: &str| (Agent::ClaudeCode, PathBuf::from(dir));
        let codex = |dir: &str| (Agent::Codex, PathBuf::from(dir));
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
        let roots = find_roots(|_| None, home.path());
        let absent: Vec<bool> = roots.iter().map(|root| root.absent).collect();
        #[cfg(unix)]
        assert_eq!(absent, [false, true, true, true]);
        #[cfg(not(unix))]
        assert_eq!(absent, [false, true, true, true, true]);
    }
}
