//! Whom a tool call belongs to: which agent, which of its sessions, which project, and which call of the model.
//!
//! A process of this program is not a session: clients keep it over several conversations, and the newest protocol
//! is stateless. So every call is attributed anew, from what the client sends with it, then from what it put into
//! our environment. An environment is inherited (an agent started from another agent's shell sees both), so a
//! session is only taken from a variable of the agent that is calling.

use std::collections::HashMap;

use rmcp::model::JsonObject;
use serde_json::Value;

/// Longest agent name, in characters.
const MAX_AGENT_CHARS: usize = 64;
/// Longest session, project or call id that is believed, in bytes.
const MAX_NAME_BYTES: usize = 1024;
/// What a client that says nothing is called.
const NAMELESS: &str = "mcp";

/// What is known of an agent.
struct Agent {
    /// Its name in the ledger, the same as capture uses for its transcripts.
    name: &'static str,
    /// What it calls itself as an MCP client.
    client: &'static str,
    /// A variable that it sets for its children.
    mark: &'static str,
    /// The variable with its session, when there is one.
    session: &'static str,
    /// The variable with its project, when there is one.
    project: &'static str,
}

const AGENTS: [Agent; 6] = [
    Agent {
        name: "claude-code",
        client: "claude-code",
        mark: "CLAUDECODE",
        session: "CLAUDE_CODE_SESSION_ID",
        project: "CLAUDE_PROJECT_DIR",
    },
    Agent {
        name: "codex",
        client: "codex-mcp-client",
        mark: "CODEX_THREAD_ID",
        session: "CODEX_THREAD_ID",
        project: "",
    },
    Agent {
        name: "copilot-cli",
        client: "copilot-cli",
        mark: "COPILOT_AGENT_SESSION_ID",
        session: "COPILOT_AGENT_SESSION_ID",
        project: "",
    },
    Agent {
        name: "gemini-cli",
        client: "gemini-cli-mcp-client",
        mark: "GEMINI_CLI",
        session: "",
        project: "",
    },
    Agent {
        name: "qwen-code",
        client: "qwen-cli-mcp-client",
        mark: "QWEN_CODE",
        session: "",
        project: "",
    },
    Agent {
        name: "opencode",
        client: "opencode",
        mark: "OPENCODE",
        session: "",
        project: "",
    },
];

/// Whom a call belongs to. Empty where it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) agent: String,
    pub(crate) session: String,
    pub(crate) project: String,
    /// The model's own id of this tool call: the same when the client sends it twice.
    pub(crate) call: String,
}

/// The environment that the client started us in.
pub(crate) struct Environment {
    variables: HashMap<&'static str, String>,
    directory: String,
}

impl Environment {
    /// Reads the variables that say something about a caller.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>, directory: Option<String>) -> Environment {
        let names = AGENTS
            .iter()
            .flat_map(|agent| [agent.mark, agent.session, agent.project]);
        let variables = names
            .filter(|name| !name.is_empty())
            .filter_map(|name| Some((name, variable(name).filter(|value| believable(value))?)))
            .collect();
        // Clients without a project start their servers in the root directory.
        let directory = directory
            .filter(|dir| dir != "/" && believable(dir))
            .unwrap_or_default();
        Environment { variables, directory }
    }

    /// Whom a call with this `_meta` from this client belongs to.
    pub(crate) fn caller(&self, client: Option<&str>, meta: &JsonObject) -> Caller {
        let turn = turn_metadata(meta);
        let client = client.map(clean).filter(|name| !name.is_empty());
        let known = match &client {
            Some(name) => AGENTS
                .iter()
                .find(|agent| agent.client == name || agent.name == name),
            None => self.guess(meta),
        };
        let variable = |name: &str| self.variables.get(name).cloned().unwrap_or_default();
        let agent = match (known, client) {
            (Some(agent), _) => agent.name.to_owned(),
            (None, Some(name)) => name,
            (None, None) => NAMELESS.to_owned(),
        };
        Caller {
            session: ["threadId", "sessionId"]
                .iter()
                .find_map(|key| text(meta.get(*key)))
                .or_else(|| text(turn.get("session_id")))
                .unwrap_or_else(|| known.map(|agent| variable(agent.session)).unwrap_or_default()),
            project: workspace(&turn)
                .or_else(|| {
                    known
                        .map(|agent| variable(agent.project))
                        .filter(|dir| !dir.is_empty())
                })
                .unwrap_or_else(|| self.directory.clone()),
            call: ["claudecode/toolUseId", "callId"]
                .iter()
                .find_map(|key| text(meta.get(*key)))
                .unwrap_or_default(),
            agent,
        }
    }

    /// For a client that does not say who it is.
    fn guess(&self, meta: &JsonObject) -> Option<&'static Agent> {
        let told = if meta.contains_key("claudecode/toolUseId") {
            Some("claude-code")
        } else if meta.contains_key("x-codex-turn-metadata") {
            Some("codex")
        } else {
            None
        };
        match told {
            Some(name) => AGENTS.iter().find(|agent| agent.name == name),
            None => AGENTS
                .iter()
                .find(|agent| self.variables.contains_key(agent.mark)),
        }
    }
}

/// Codex tells of its turn in an object, or in the text of one.
fn turn_metadata(meta: &JsonObject) -> JsonObject {
    match meta.get("x-codex-turn-metadata") {
        Some(Value::Object(turn)) => turn.clone(),
        Some(Value::String(turn)) => serde_json::from_str(turn).unwrap_or_default(),
        _ => JsonObject::new(),
    }
}

/// The turn's first workspace: a list of directories, or an object with a key for each.
fn workspace(turn: &JsonObject) -> Option<String> {
    match turn.get("workspaces")? {
        Value::Object(by_directory) => by_directory.keys().next().filter(|dir| believable(dir)).cloned(),
        Value::Array(list) => text(list.first()),
        _ => None,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().filter(|text| believable(text)).map(str::to_owned)
}

fn believable(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control)
}

fn clean(name: &str) -> String {
    name.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_AGENT_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn caller(client: Option<&str>, meta: Value, variables: &[(&str, &str)]) -> Caller {
        let variable = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let environment = Environment::read(variable, Some("/cwd".to_owned()));
        environment.caller(client, meta.as_object().unwrap())
    }

    fn expected(agent: &str, session: &str, project: &str, call: &str) -> Caller {
        let [agent, session, project, call] = [agent, session, project, call].map(str::to_owned);
        Caller {
            agent,
            session,
            project,
            call,
        }
    }

    #[test]
    fn callers() {
        let claude: &[(&str, &str)] = &[
            ("CLAUDECODE", "1"),
            ("CLAUDE_CODE_SESSION_ID", "s1"),
            ("CLAUDE_PROJECT_DIR", "/p"),
        ];
        let codex = json!({"callId": "c1", "threadId": "t1", "sessionId": "s2", "x-codex-turn-metadata":
            {"session_id": "s3", "workspaces": {"/w": {}}}});
        let codex_text = json!({"x-codex-turn-metadata": "{\"session_id\":\"s3\",\"workspaces\":[\"/w2\"]}"});
        let cases = [
            (
                caller(
                    Some("claude-code"),
                    json!({"claudecode/toolUseId": "toolu_1"}),
                    claude,
                ),
                expected("claude-code", "s1", "/p", "toolu_1"),
            ),
            (
                caller(Some("codex-mcp-client"), codex, &[]),
                expected("codex", "t1", "/w", "c1"),
            ),
            (caller(None, codex_text, &[]), expected("codex", "s3", "/w2", "")),
            (
                caller(None, json!({}), claude),
                expected("claude-code", "s1", "/p", ""),
            ),
            (
                caller(
                    Some("copilot-cli"),
                    json!({}),
                    &[("COPILOT_AGENT_SESSION_ID", "x")],
                ),
                expected("copilot-cli", "x", "/cwd", ""),
            ),
            (
                caller(None, json!({}), &[("COPILOT_AGENT_SESSION_ID", "x")]),
                expected("copilot-cli", "x", "/cwd", ""),
            ),
            (
                caller(None, json!({}), &[("GEMINI_CLI", "1")]),
                expected("gemini-cli", "", "/cwd", ""),
            ),
            (
                caller(Some("my editor"), json!({}), &[]),
                expected("my editor", "", "/cwd", ""),
            ),
            (caller(None, json!({}), &[]), expected("mcp", "", "/cwd", "")),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_inherited_environment_is_not_the_callers() {
        let inherited: &[(&str, &str)] = &[
            ("CLAUDECODE", "1"),
            ("CLAUDE_CODE_SESSION_ID", "s1"),
            ("CLAUDE_PROJECT_DIR", "/p"),
        ];
        let found = caller(Some("gemini-cli-mcp-client"), json!({}), inherited);
        assert_eq!(found, expected("gemini-cli", "", "/cwd", ""));
    }

    #[test]
    fn what_cannot_be_a_name_is_not_believed() {
        let long = "x".repeat(2000);
        let meta = json!({"threadId": long, "sessionId": 7, "callId": "a\nb", "x-codex-turn-metadata": "{"});
        let found = caller(Some(&format!(" {long}\u{7} ")), meta, &[]);
        assert_eq!(found, expected(&"x".repeat(64), "", "/cwd", ""));
    }

    #[test]
    fn the_root_directory_is_no_project() {
        let environment = Environment::read(|_| None, Some("/".to_owned()));
        assert_eq!(environment.caller(None, &JsonObject::new()).project, "");
    }
}
