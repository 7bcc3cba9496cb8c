//! What to do when the daemon cannot be reached: by default calls are made, but not those under a budget that stays
//! closed (`unreachable = deny`). The daemon keeps a file with those budgets; here it is read.

use tokmon_proto::v1::{Budget, Filter, ReserveRequest, UnreachablePolicy};

use crate::Paths;

/// Largest file that is read, in bytes: the daemon's own holds a thousand budgets in a tenth of it.
const MAX_POLICY_BYTES: u64 = 16 * 1024 * 1024;

/// Who wants to make a call. What is empty is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// "claude-code", "codex", …; empty: "api".
    pub agent: String,
    /// The agent's session.
    pub session: String,
    /// The task of an orchestrator; empty: none.
    pub task: String,
    /// Working directory or repository root; empty: none.
    pub project: String,
    /// Person or account; empty: whom the daemon books calls on.
    pub user: String,
    /// The tool that the call belongs to; empty: none.
    pub tool: String,
    /// "anthropic", "openai", …
    pub provider: String,
    /// The model.
    pub model: String,
}

impl From<&ReserveRequest> for Caller {
    fn from(request: &ReserveRequest) -> Caller {
        Caller {
            agent: request.agent.clone(),
            session: request.session.clone(),
            task: request.task.clone(),
            project: request.project.clone(),
            user: request.user.clone(),
            tool: request.tool.clone(),
            provider: request.provider.clone(),
            model: request.model.clone(),
        }
    }
}

/// What becomes of a call while nobody can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It is not made: a budget that covers it stays closed.
    Deny {
        /// The budget; empty when the policy is there and cannot be read.
        budget: String,
        /// Why, in a sentence for people.
        reason: String,
    },
}

/// What becomes of a call now that the daemon cannot be reached. A policy that is there and cannot be read closes
/// everything: it may have held a budget that stays closed.
///
/// A session, provider or model that is not known may be any; a project, tool or task that is not named is none.
pub fn when_unreachable(paths: &Paths, caller: &Caller) -> Verdict {
    let file = paths.policy_file();
    let unreadable = |why: &str| Verdict::Deny {
        budget: String::new(),
        reason: format!(
            "tokmon cannot be reached, and {}, which says what holds then, {why}; start tokmond, which writes it anew",
            file.display()
        ),
    };
    let policy = match std::fs::metadata(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Verdict::Allow,
        Ok(found) if found.len() > MAX_POLICY_BYTES => return unreadable("is too large"),
        _ => match std::fs::read(&file) {
            Ok(bytes) => UnreachablePolicy::from_bytes(&bytes),
            Err(e) => return unreadable(&format!("cannot be read ({e})")),
        },
    };
    let Some(policy) = policy else {
        return unreadable("is damaged");
    };
    match policy
        .deny
        .iter()
        .find(|budget| covers(budget, caller, &policy.user))
    {
        None => Verdict::Allow,
        Some(budget) => Verdict::Deny {
            budget: budget.name.clone(),
            reason: format!(
                "tokmon cannot be reached, and budget {:?} allows no call that it does not see; start tokmond, or set \
                 the budget with --unreachable allow",
                budget.name
            ),
        },
    }
}

fn covers(budget: &Budget, caller: &Caller, user: &str) -> bool {
    let nothing = Filter::default();
    let scope = budget.scope.as_ref().unwrap_or(&nothing);
    let within = |list: &[String], value: &str| list.is_empty() || list.iter().any(|v| v == value);
    let perhaps = |list: &[String], value: &str| value.is_empty() || within(list, value);
    let or = |value: &str, default: &str| if value.is_empty() { default } else { value }.to_owned();
    within(&scope.agents, &or(&caller.agent, "api"))
        && within(&scope.users, &or(&caller.user, user))
        && within(&scope.projects, &caller.project)
        && within(&scope.tools, &caller.tool)
        && within(&budget.tasks, &caller.task)
        && perhaps(&scope.sessions, &caller.session)
        && perhaps(&scope.providers, &caller.provider)
        && perhaps(&scope.models, &caller.model)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(scope: Filter, caller: &Caller) -> Verdict {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::under(home.path());
        std::fs::create_dir_all(&paths.state_dir).unwrap();
        let policy = UnreachablePolicy {
            user: "me".to_owned(),
            deny: vec![Budget {
                name: "closed".to_owned(),
                scope: Some(scope),
                ..Budget::default()
            }],
            complete: true,
        };
        std::fs::write(paths.policy_file(), policy.to_bytes()).unwrap();
        when_unreachable(&paths, caller)
    }

    #[test]
    fn only_calls_that_the_budget_may_cover_are_denied() {
        let one = |value: &str| vec![value.to_owned()];
        let codex = Caller {
            agent: "codex".to_owned(),
            project: "/p".to_owned(),
            model: "gpt-5".to_owned(),
            ..Caller::default()
        };
        let scope = Filter::default;
        let cases = [
            (scope(), true),
            (
                Filter {
                    agents: one("codex"),
                    ..scope()
                },
                true,
            ),
            (
                Filter {
                    agents: one("claude-code"),
                    ..scope()
                },
                false,
            ),
            (
                Filter {
                    users: one("me"),
                    ..scope()
                },
                true,
            ),
            (
                Filter {
                    users: one("other"),
                    ..scope()
                },
                false,
            ),
            (
                Filter {
                    projects: one("/p"),
                    ..scope()
                },
                true,
            ),
            (
                Filter {
                    projects: one("/q"),
                    ..scope()
                },
                false,
            ),
            (
                Filter {
                    tools: one("Bash"),
                    ..scope()
                },
                false,
            ),
            (
                Filter {
                    models: one("gpt-5"),
                    ..scope()
                },
                true,
            ),
            (
                Filter {
                    models: one("o3"),
                    ..scope()
                },
                false,
            ),
            // Not known: it may be the one.
            (
                Filter {
                    sessions: one("s"),
                    ..scope()
                },
                true,
            ),
            (
                Filter {
                    providers: one("openai"),
                    ..scope()
                },
                true,
            ),
            (
                Filter {
                    agents: one("codex"),
                    projects: one("/q"),
                    ..scope()
                },
                false,
            ),
        ];
        for (scope, denied) in cases {
            let said = verdict(scope.clone(), &codex);
            assert_eq!(
                matches!(&said, Verdict::Deny { budget, .. } if budget == "closed"),
                denied,
                "{scope:?}"
            );
        }
        let nobody = Caller::default();
        assert_eq!(
            verdict(
                Filter {
                    agents: one("codex"),
                    ..scope()
                },
                &nobody
            ),
            Verdict::Allow
        );
        assert_ne!(
            verdict(
                Filter {
                    agents: one("api"),
                    ..scope()
                },
                &nobody
            ),
            Verdict::Allow
        );
    }

    #[test]
    fn a_policy_that_cannot_be_read_closes_everything() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::under(home.path());
        let caller = Caller::default();
        assert_eq!(
            when_unreachable(&paths, &caller),
            Verdict::Allow,
            "there never was one"
        );
        std::fs::create_dir_all(&paths.state_dir).unwrap();
        for content in [b"".as_slice(), b"\x12\x04", b"\xff\xff\xff"] {
            std::fs::write(paths.policy_file(), content).unwrap();
            let said = when_unreachable(&paths, &caller);
            assert!(
                matches!(&said, Verdict::Deny { budget, .. } if budget.is_empty()),
                "{said:?}"
            );
        }
        std::fs::remove_file(paths.policy_file()).unwrap();
        std::fs::create_dir(paths.policy_file()).unwrap();
        assert_ne!(when_unreachable(&paths, &caller), Verdict::Allow);
    }
}
