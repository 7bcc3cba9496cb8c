//! The configuration of the waste rules.

use serde::{Deserialize, Serialize};

use super::tools;
use crate::refusal::Refusal;

/// Longest window of a rule, in seconds: what lies further apart is not a loop, and memory is bounded.
const MAX_WINDOW_SECONDS: u32 = 3_600;
/// Most tools in a list, and most calls that a loop can be asked to take.
const MAX_TOOLS: usize = 256;
const MAX_CALLS: u32 = 256;

/// The waste rules: thresholds, windows, tool lists, switches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WasteRules {
    /// One call with very many tokens: critical.
    pub large_request: LargeRequest,
    /// One very long answer: critical.
    pub large_output: LargeOutput,
    /// The same read tool again and again: warning.
    pub read_loop: ReadLoop,
    /// A search tool with a huge result: warning.
    pub unbounded_search: UnboundedSearch,
    /// The same request again: warning.
    pub duplicate_request: DuplicateRequest,
}

/// See [`WasteRules::large_request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LargeRequest {
    /// The rule is on.
    pub enabled: bool,
    /// More tokens than this, cached reads not counted.
    pub tokens: u64,
}

/// See [`WasteRules::large_output`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LargeOutput {
    /// The rule is on.
    pub enabled: bool,
    /// More output tokens than this.
    pub tokens: u64,
}

/// See [`WasteRules::read_loop`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadLoop {
    /// The rule is on.
    pub enabled: bool,
    /// So many calls of the same tool or more came before within the window.
    pub calls: u32,
    /// The window, in seconds.
    pub window_seconds: u32,
    /// Tools that read. Case does not count, nor does an MCP server's prefix ("mcp__files__read_file").
    pub tools: Vec<String>,
}

/// See [`WasteRules::unbounded_search`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnboundedSearch {
    /// The rule is on.
    pub enabled: bool,
    /// More output tokens than this.
    pub tokens: u64,
    /// Tools that search; compared as those of [`ReadLoop`].
    pub tools: Vec<String>,
}

/// See [`WasteRules::duplicate_request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DuplicateRequest {
    /// The rule is on.
    pub enabled: bool,
    /// The window, in seconds.
    pub window_seconds: u32,
}

impl Default for LargeRequest {
    fn default() -> Self {
        LargeRequest {
            enabled: true,
            tokens: 50_000,
        }
    }
}

impl Default for LargeOutput {
    fn default() -> Self {
        LargeOutput {
            enabled: true,
            tokens: 10_000,
        }
    }
}

impl Default for ReadLoop {
    fn default() -> Self {
        let tools = tools::READ.map(str::to_owned).to_vec();
        ReadLoop {
            enabled: true,
            calls: 5,
            window_seconds: 60,
            tools,
        }
    }
}

impl Default for UnboundedSearch {
    fn default() -> Self {
        let tools = tools::SEARCH.map(str::to_owned).to_vec();
        UnboundedSearch {
            enabled: true,
            tokens: 5_000,
            tools,
        }
    }
}

impl Default for DuplicateRequest {
    fn default() -> Self {
        DuplicateRequest {
            enabled: true,
            window_seconds: 300,
        }
    }
}

impl WasteRules {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A threshold or window of 0, a window over an hour, a loop over 256 calls, a tool list over 256 names.
    pub fn validate(&self) -> Result<(), Refusal> {
        between("waste.large_request.tokens", self.large_request.tokens, u64::MAX)?;
        between("waste.large_output.tokens", self.large_output.tokens, u64::MAX)?;
        between(
            "waste.unbounded_search.tokens",
            self.unbounded_search.tokens,
            u64::MAX,
        )?;
        between(
            "waste.read_loop.calls",
            self.read_loop.calls.into(),
            MAX_CALLS.into(),
        )?;
        let window = u64::from(MAX_WINDOW_SECONDS);
        between(
            "waste.read_loop.window_seconds",
            self.read_loop.window_seconds.into(),
            window,
        )?;
        between(
            "waste.duplicate_request.window_seconds",
            self.duplicate_request.window_seconds.into(),
            window,
        )?;
        for (field, tools) in [
            ("waste.read_loop.tools", &self.read_loop.tools),
            ("waste.unbounded_search.tools", &self.unbounded_search.tools),
        ] {
            if tools.len() > MAX_TOOLS {
                let allowed = format!("at most {MAX_TOOLS}");
                return Err(Refusal::invalid(field, format!("{} names", tools.len()), allowed));
            }
        }
        Ok(())
    }

    /// The rule about read loops is on and watches this tool.
    pub(super) fn is_read(&self, tool: &str) -> bool {
        self.read_loop.enabled && tools::listed(&self.read_loop.tools, tool)
    }

    /// The rule about searches is on and watches this tool.
    pub(super) fn is_search(&self, tool: &str) -> bool {
        self.unbounded_search.enabled && tools::listed(&self.unbounded_search.tools, tool)
    }

    /// How long a call matters to those after it, milliseconds.
    pub(super) fn memory_ms(&self) -> i64 {
        let read = if self.read_loop.enabled {
            self.read_loop.window_seconds
        } else {
            0
        };
        let again = if self.duplicate_request.enabled {
            self.duplicate_request.window_seconds
        } else {
            0
        };
        i64::from(read.max(again)) * 1000
    }
}

fn between(field: &'static str, value: u64, most: u64) -> Result<(), Refusal> {
    if value == 0 || value > most {
        let allowed = if most == u64::MAX {
            "1 or more".to_owned()
        } else {
            format!("1 to {most}")
        };
        return Err(Refusal::invalid(field, value.to_string(), allowed));
    }
    Ok(())
}
