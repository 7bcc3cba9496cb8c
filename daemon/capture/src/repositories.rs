//! Repositories for whoever names a directory: callers of the API, hooks, telemetry. The same as for files, so that a
//! budget of a project holds and a report adds up whichever way a call came in.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokmon_core::Name;
use tokmon_core::observation::Observation;

use crate::git::Git;

/// What is known of the repositories of this machine, shared by the doors.
#[derive(Debug, Default)]
pub struct Repositories(Option<Mutex<Git>>);

impl Repositories {
    /// `on` false: every directory stays what it is.
    pub fn new(on: bool) -> Repositories {
        Repositories(on.then(Mutex::default))
    }

    /// Books calls under the roots of their repositories, and says where the head stands of those that were made just now.
    /// May look at the file system; what it saw it believes for a minute.
    pub fn locate(&self, calls: &mut [Observation], now_ms: i64) {
        let Some(git) = &self.0 else { return };
        if !calls.iter().any(|call| is_directory(&call.who.project)) {
            return;
        }
        let mut git = git.lock().unwrap_or_else(PoisonError::into_inner);
        let here = |call: &&mut Observation| is_directory(&call.who.project);
        for call in calls.iter_mut().filter(here) {
            git.locate(call, now_ms);
        }
    }

    /// The root of the repository that a directory lies in, or the directory itself.
    pub fn root(&self, directory: Name, now_ms: i64) -> Name {
        let Some(git) = self.0.as_ref().filter(|_| is_directory(&directory)) else {
            return directory;
        };
        let mut git = git.lock().unwrap_or_else(PoisonError::into_inner);
        git.root(&directory, now_ms).unwrap_or(directory)
    }
}

/// Anything else is the name of a project.
fn is_directory(project: &str) -> bool {
    Path::new(project).is_absolute()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_booked_under_its_repository_and_a_name_stays_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("app");
        let deep = root.join("src/deep");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir_all(root.join(".git/refs/heads")).unwrap();
        std::fs::write(root.join(".git/HEAD"), "ref: refs/heads/topic\n").unwrap();
        std::fs::write(
            root.join(".git/refs/heads/topic"),
            format!("{}\n", "a".repeat(40)),
        )
        .unwrap();
        let name = |path: &Path| Name::from(path.to_str().unwrap());
        let repositories = Repositories::new(true);
        for (given, wanted) in [
            (name(&deep), name(&root)),
            (name(&root), name(&root)),
            (name(dir.path()), name(dir.path())),
            ("/nowhere/at/all".into(), "/nowhere/at/all".into()),
            ("app".into(), "app".into()),
            ("".into(), "".into()),
        ] {
            let mut calls = [Observation::default()];
            calls[0].who.project = given.clone();
            calls[0].at_ms = 5;
            repositories.locate(&mut calls, 5);
            assert_eq!(calls[0].who.project, wanted);
            let branch = calls[0].place.as_ref().map_or("", |place| &place.branch);
            assert_eq!(branch == "topic", wanted == name(&root), "{given}");
            assert_eq!(repositories.root(given.clone(), 5), wanted);
            assert_eq!(Repositories::new(false).root(given.clone(), 5), given);
        }
    }
}
