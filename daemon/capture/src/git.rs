//! The repository that a call was made in: its root as the project, and branch and commit of calls that were made just
//! now. Read from `.git` alone, never by running git; what is missing, huge or of another form is not known.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokmon_core::Name;
use tokmon_core::limits::MAX_NAME_BYTES;
use tokmon_core::observation::{Observation, Place};

use crate::open::open_regular;

/// Working directories that are remembered; when it is more they are looked at anew.
const MAX_DIRECTORIES: usize = 1_024;
/// Directories above one that are looked into.
const MAX_DEPTH: usize = 64;
/// Most of a `HEAD`, a ref or a `.git` file; they hold one line.
const MAX_LINE: u64 = 4_096;
/// Most of `packed-refs`: tens of thousands of refs.
const MAX_PACKED: u64 = 4 << 20;
/// A call that ended longer ago than this was made at another commit, for all that is known.
const FRESH_MS: i64 = 2 * 60 * 1000;
/// How long is believed what was seen of a working directory, milliseconds: repositories are made and removed.
const BELIEVED_MS: i64 = 60 * 1000;

/// A repository's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repository {
    /// The root of its main working tree: what its worktrees have in common.
    root: Name,
    /// Where `HEAD` lies.
    git_dir: PathBuf,
    /// Where the refs lie.
    common: PathBuf,
}

/// The head of a repository, and the times of the files that it was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Head {
    times: [Option<SystemTime>; 3],
    branch: Name,
    commit: Name,
}

/// What is known of working directories.
#[derive(Debug, Default)]
pub(crate) struct Git {
    directories: HashMap<Name, (i64, Option<Arc<Repository>>)>,
    heads: HashMap<PathBuf, (i64, Head)>,
    place: Option<Arc<Place>>,
}

impl Git {
    /// Books a call under its repository, and says where its head stands if the call was made just now.
    pub(crate) fn locate(&mut self, seen: &mut Observation, now_ms: i64) {
        if seen.who.project.is_empty() {
            return;
        }
        let Some(repository) = self.repository(&seen.who.project, now_ms) else {
            return;
        };
        if seen.who.project != repository.root {
            seen.who.project = repository.root.clone();
        }
        if seen.at_ms.abs_diff(now_ms) <= FRESH_MS.unsigned_abs() {
            self.stamp(seen, &repository, now_ms);
        }
    }

    /// The root of the repository that a directory lies in.
    pub(crate) fn root(&mut self, directory: &Name, now_ms: i64) -> Option<Name> {
        self.repository(directory, now_ms)
            .map(|repository| repository.root.clone())
    }

    fn stamp(&mut self, seen: &mut Observation, repository: &Repository, now_ms: i64) {
        let head = self.head(repository, now_ms);
        let (branch, commit) = match &seen.place {
            Some(place) => (place.branch.clone(), place.commit.clone()),
            None => Default::default(),
        };
        // What the source says stands; another branch than the head's has another commit too.
        if !commit.is_empty() || (!branch.is_empty() && branch != head.branch) {
            return;
        }
        let mut place = seen.place.as_deref().cloned().unwrap_or_default();
        (place.branch, place.commit) = (head.branch, head.commit);
        if self.place.as_deref() != Some(&place) {
            self.place = Some(Arc::new(place));
        }
        seen.place.clone_from(&self.place);
    }

    fn repository(&mut self, directory: &Name, now_ms: i64) -> Option<Arc<Repository>> {
        if let Some((seen_ms, known)) = self.directories.get(directory)
            && now_ms.abs_diff(*seen_ms) < BELIEVED_MS.unsigned_abs()
        {
            return known.clone();
        }
        if self.directories.len() >= MAX_DIRECTORIES {
            self.directories.clear();
        }
        let found = find(Path::new(&**directory)).map(Arc::new);
        self.directories
            .insert(directory.clone(), (now_ms, found.clone()));
        found
    }

    /// The head, read again only when one of its files changed.
    fn head(&mut self, repository: &Repository, now_ms: i64) -> Head {
        if self.heads.len() >= MAX_DIRECTORIES {
            self.heads.clear();
        }
        let known = self.heads.get(&repository.git_dir);
        if let Some((seen_ms, head)) = known
            && *seen_ms == now_ms
        {
            return head.clone();
        }
        let branch = known.map(|(_, head)| head.branch.clone()).unwrap_or_default();
        let times = times(repository, &branch);
        let head = match known {
            Some((_, head)) if head.times == times && times[0].is_some() => head.clone(),
            _ => read_head(repository),
        };
        self.heads
            .insert(repository.git_dir.clone(), (now_ms, head.clone()));
        head
    }
}

fn times(repository: &Repository, branch: &str) -> [Option<SystemTime>; 3] {
    let modified = |path: PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    [
        modified(repository.git_dir.join("HEAD")),
        modified(repository.common.join("refs/heads").join(branch)),
        modified(repository.common.join("packed-refs")),
    ]
}

/// The repository that a directory lies in, if it is there.
fn find(directory: &Path) -> Option<Repository> {
    if !directory.is_absolute() || !directory.is_dir() {
        return None;
    }
    let home = std::env::home_dir();
    for root in directory.ancestors().take(MAX_DEPTH) {
        // Who keeps a whole home in git does not work on one project.
        if home.as_deref() == Some(root) {
            return None;
        }
        let git = root.join(".git");
        let Ok(meta) = fs::metadata(&git) else { continue };
        if meta.is_dir() && git.join("HEAD").is_file() {
            return repository(root, git.clone(), git);
        }
        if meta.is_file() {
            return linked(root, &git);
        }
    }
    None
}

/// A worktree or a submodule: `.git` is a file that names the directory.
fn linked(root: &Path, file: &Path) -> Option<Repository> {
    let line = first_line(file)?;
    let git_dir = root.join(line.strip_prefix("gitdir:")?.trim());
    if !git_dir.join("HEAD").is_file() {
        return None;
    }
    // Only worktrees have a directory in common with others.
    let Some(common) = first_line(&git_dir.join("commondir")) else {
        return repository(root, git_dir.clone(), git_dir);
    };
    let common = fs::canonicalize(git_dir.join(common.trim())).ok()?;
    match common.parent() {
        Some(main) if common.ends_with(".git") => repository(main, git_dir, common.clone()),
        // Of a bare repository, which has no working tree of its own.
        _ => repository(&common, git_dir, common.clone()),
    }
}

fn repository(root: &Path, git_dir: PathBuf, common: PathBuf) -> Option<Repository> {
    let root = root.to_str().filter(|root| root.len() <= MAX_NAME_BYTES)?;
    Some(Repository {
        root: root.into(),
        git_dir,
        common,
    })
}

fn read_head(repository: &Repository) -> Head {
    let line = first_line(&repository.git_dir.join("HEAD")).unwrap_or_default();
    let line = line.trim();
    let (branch, commit) = match line.strip_prefix("ref: refs/heads/") {
        // Repositories that keep their refs in tables write this.
        Some(".invalid") => return Head::default(),
        Some(branch) if is_branch(branch) => {
            let commit = first_line(&repository.common.join("refs/heads").join(branch))
                .or_else(|| packed(&repository.common, branch));
            (branch, commit.unwrap_or_default())
        }
        Some(_) => return Head::default(),
        None => ("", line.to_owned()),
    };
    let commit = commit.trim();
    let is_hash = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    Head {
        times: times(repository, branch),
        branch: branch.into(),
        commit: if is_hash { commit } else { "" }.into(),
    }
}

/// A name that stays below `refs/heads`.
fn is_branch(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && !name.is_empty()
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The commit of a branch in `packed-refs`.
fn packed(common: &Path, branch: &str) -> Option<String> {
    let text = read(&common.join("packed-refs"), MAX_PACKED)?;
    let of = |line: &str| {
        let (hash, name) = line.split_once(' ')?;
        (name.strip_prefix("refs/heads/")? == branch).then(|| hash.to_owned())
    };
    text.lines().find_map(of)
}

fn first_line(path: &Path) -> Option<String> {
    read(path, MAX_LINE)?.lines().next().map(str::to_owned)
}

/// A regular file's text, if it is no longer than `most`.
fn read(path: &Path, most: u64) -> Option<String> {
    let mut text = String::new();
    let mut file = open_regular(path).ok()?.take(most + 1);
    file.read_to_string(&mut text).ok()?;
    (text.len() as u64 <= most).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";
    const OTHER: &str = "89abcdef0123456789abcdef0123456701234567";
    const NOW: i64 = 1_795_176_000_000;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn located(git: &mut Git, project: &Path, at_ms: i64) -> Observation {
        let mut seen = Observation::default();
        seen.who.project = project.to_str().unwrap().into();
        seen.at_ms = at_ms;
        git.locate(&mut seen, NOW);
        seen
    }

    fn told(seen: &Observation) -> (String, String, String) {
        let place = seen.place.as_deref().cloned().unwrap_or_default();
        (
            seen.who.project.to_string(),
            place.branch.to_string(),
            place.commit.to_string(),
        )
    }

    /// A repository with a loose branch, a packed one and a worktree.
    fn repository() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap().join("main");
        write(root.join(".git/HEAD"), "ref: refs/heads/feat/x\n");
        write(root.join(".git/refs/heads/feat/x"), &format!("{HASH}\n"));
        let packed = format!("# pack-refs with: peeled\n{OTHER} refs/heads/packed\n^{HASH}\n");
        write(root.join(".git/packed-refs"), &packed);
        fs::create_dir_all(root.join("src/deep")).unwrap();
        let tree = root.parent().unwrap().join("tree");
        let its = root.join(".git/worktrees/tree");
        write(tree.join(".git"), &format!("gitdir: {}\n", its.display()));
        write(its.join("HEAD"), "ref: refs/heads/packed\n");
        write(its.join("commondir"), "../..\n");
        (dir, root)
    }

    #[test]
    fn a_directory_and_a_worktree_are_of_the_repository_and_have_heads_of_their_own() {
        let (_dir, root) = repository();
        let name = root.to_str().unwrap().to_owned();
        let mut git = Git::default();
        let deep = located(&mut git, &root.join("src/deep"), NOW);
        assert_eq!(told(&deep), (name.clone(), "feat/x".into(), HASH.into()));
        let tree = located(&mut git, &root.parent().unwrap().join("tree"), NOW);
        assert_eq!(told(&tree), (name.clone(), "packed".into(), OTHER.into()));
        let old = located(&mut git, &root, NOW - FRESH_MS - 1);
        assert_eq!(told(&old), (name, String::new(), String::new()));
    }

    #[test]
    fn a_new_head_is_seen_and_what_the_source_says_stands() {
        let (_dir, root) = repository();
        let mut git = Git::default();
        located(&mut git, &root, NOW);
        write(root.join(".git/HEAD"), OTHER);
        let file = fs::File::options()
            .write(true)
            .open(root.join(".git/HEAD"))
            .unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let mut seen = Observation {
            at_ms: NOW + 1,
            ..Observation::default()
        };
        seen.who.project = root.to_str().unwrap().into();
        let mut detached = seen.clone();
        git.locate(&mut detached, NOW + 1);
        assert_eq!(told(&detached).1, "");
        assert_eq!(told(&detached).2, OTHER);
        seen.place = Some(Arc::new(Place {
            branch: "elsewhere".into(),
            ..Place::default()
        }));
        git.locate(&mut seen, NOW + 1);
        assert_eq!(
            (told(&seen).1, told(&seen).2),
            ("elsewhere".into(), String::new())
        );
    }

    #[test]
    fn what_is_no_repository_stays_as_it_is() {
        let (_dir, root) = repository();
        let out = root.parent().unwrap().join("out");
        let cases = [
            ("gitdir: ../nowhere", "a directory that is not there"),
            ("hello", "no such line"),
            (&"x".repeat(10_000), "too long"),
        ];
        for (text, what) in cases {
            write(out.join(".git"), text);
            let seen = located(&mut Git::default(), &out, NOW);
            assert_eq!(told(&seen).0, out.to_str().unwrap(), "{what}");
        }
        for path in ["relative", "/nowhere/at/all"] {
            assert_eq!(told(&located(&mut Git::default(), Path::new(path), NOW)).0, path);
        }
        for head in [
            "ref: refs/heads/../../config",
            "ref: refs/heads/.invalid",
            "",
            "zzz",
        ] {
            write(root.join(".git/HEAD"), head);
            let seen = located(&mut Git::default(), &root, NOW);
            assert_eq!(
                told(&seen),
                (root.to_str().unwrap().into(), "".into(), "".into()),
                "{head}"
            );
        }
    }
}
