//! Every configuration key: what it does, what is allowed and what a fresh install has.

use tokmon_core::limits::MAX_OTLP_LISTENERS;

use super::agents;

/// What a key's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// true or false.
    Bool,
    /// A whole number within bounds, both included.
    Int(i64, i64),
    /// One of a few words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
    /// An IANA time zone, or empty.
    Zone,
    /// A list of texts.
    List,
    /// A decimal number of dollars, not negative.
    Dollars,
    /// A list of loopback addresses with ports.
    Loopback,
    /// A list of agents whose files are known.
    Agents,
    /// A list of `agent=directory`.
    AgentDirs,
    /// Descriptions of logs.
    Logs,
}

impl Allowed {
    /// For people: what is allowed.
    pub(crate) fn describe(self) -> String {
        match self {
            Allowed::Bool => "true or false".to_owned(),
            Allowed::Int(low, high) => format!("a whole number from {low} to {high}"),
            Allowed::Word(words) => format!("one of {}", words.join(", ")),
            Allowed::Text => "a text".to_owned(),
            Allowed::Zone => {
                "an IANA time zone such as \"Europe/Berlin\", or empty for the system's".to_owned()
            }
            Allowed::List => "a list of texts".to_owned(),
            Allowed::Loopback => format!(
                "1 to {MAX_OTLP_LISTENERS} loopback addresses with their ports, such as [\"127.0.0.1:14318\", \"[::1]:14318\"]"
            ),
            Allowed::Agents => format!("a list out of {}", agents::names()),
            Allowed::AgentDirs => {
                format!("a list of \"agent=/absolute/directory\", agent being one of {}", agents::names())
            }
            Allowed::Logs => {
                "tables [[capture.logs]] with agent, path and fields, and if wanted files, input_includes_cache, \
                 reasoning_is_extra"
                    .to_owned()
            }
            Allowed::Dollars => "dollars as a decimal number in quotes, e.g. \"10\" or \"2.50\"".to_owned(),
        }
    }
}

/// One configuration key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Its name: the table and the key in the file, joined by a dot.
    pub name: &'static str,
    /// What its value may be.
    pub allowed: Allowed,
    /// What a fresh install has, as TOML.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

impl Key {
    /// The environment variable that sets it: TOKMON_ and the name in capitals, dots as underscores.
    pub(crate) fn variable(&self) -> String {
        format!("TOKMON_{}", self.name.to_uppercase().replace('.', "_"))
    }
}

const fn key(name: &'static str, allowed: Allowed, default: &'static str, help: &'static str) -> Key {
    Key {
        name,
        allowed,
        default,
        help,
    }
}

/// Every key, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    key(
        "timezone",
        Allowed::Zone,
        "\"\"",
        "Zone of days, weeks and months where a request names none.",
    ),
    key(
        "user",
        Allowed::Text,
        "\"\"",
        "Name booked as the user of captured calls; empty: the login name.",
    ),
    key(
        "log.level",
        Allowed::Word(&["error", "warn", "info", "debug", "trace"]),
        "\"info\"",
        "How much is logged. Applied again on SIGHUP.",
    ),
    key(
        "log.output",
        Allowed::Word(&["auto", "terminal", "journald", "file"]),
        "\"auto\"",
        "Where logs go; auto: the journal under systemd, the terminal when there is one, else daily files.",
    ),
    key(
        "log.format",
        Allowed::Word(&["auto", "json", "text"]),
        "\"auto\"",
        "auto: JSON in files, text elsewhere.",
    ),
    key(
        "log.files",
        Allowed::Int(1, 366),
        "7",
        "How many daily log files are kept.",
    ),
    key(
        "privacy.notes",
        Allowed::Bool,
        "true",
        "Keep the note (at most 200 characters) that callers send with a record.",
    ),
    key(
        "retention.days",
        Allowed::Int(1, 36_500),
        "30",
        "Days that single records are kept; totals are kept for ever.",
    ),
    key(
        "retention.automatic",
        Allowed::Bool,
        "true",
        "Purge older records by itself, once a day.",
    ),
    key(
        "capture.enabled",
        Allowed::Bool,
        "true",
        "Read what agents on this machine write down.",
    ),
    key(
        "capture.git",
        Allowed::Bool,
        "true",
        "Book calls under the root of their git repository, with branch and commit of fresh ones.",
    ),
    key(
        "capture.poll_seconds",
        Allowed::Int(1, 86_400),
        "60",
        "How often everything is looked at again, in case the system missed an event.",
    ),
    key(
        "capture.claude_dirs",
        Allowed::List,
        "[]",
        "Directories of Claude Code; empty: CLAUDE_CONFIG_DIR or the usual places.",
    ),
    key(
        "capture.codex_dirs",
        Allowed::List,
        "[]",
        "Directories of Codex; empty: CODEX_HOME or ~/.codex.",
    ),
    key(
        "otlp.enabled",
        Allowed::Bool,
        "false",
        "Take the telemetry (OTLP) that agents export.",
    ),
    key(
        "otlp.listen",
        Allowed::Loopback,
        "[\"127.0.0.1:14318\"]",
        "Where it is taken, over gRPC and HTTP alike; port 0: any that is free.",
    ),
    key(
        "otlp.require_token",
        Allowed::Bool,
        "true",
        "Take telemetry only from who can read the token in otlp.token beside the ledger.",
    ),
    key(
        "capture.dirs",
        Allowed::AgentDirs,
        "[]",
        "Directories of other agents, instead of those that their own variables or habits say.",
    ),
    key(
        "capture.off",
        Allowed::Agents,
        "[]",
        "Agents whose files are not read.",
    ),
    key(
        "capture.logs",
        Allowed::Logs,
        "[]",
        "Logs of other programs, one JSON object a line, with the places of the figures in it.",
    ),
    key(
        "waste.large_request.enabled",
        Allowed::Bool,
        "true",
        "Find calls with very many tokens.",
    ),
    key(
        "waste.large_request.tokens",
        Allowed::Int(1, 1_000_000_000),
        "50000",
        "More uncached tokens than this in one call is critical.",
    ),
    key(
        "waste.large_output.enabled",
        Allowed::Bool,
        "true",
        "Find very long answers.",
    ),
    key(
        "waste.large_output.tokens",
        Allowed::Int(1, 1_000_000_000),
        "10000",
        "More output tokens than this in one call is critical.",
    ),
    key(
        "waste.read_loop.enabled",
        Allowed::Bool,
        "true",
        "Find the same read tool called again and again.",
    ),
    key(
        "waste.read_loop.calls",
        Allowed::Int(1, 256),
        "5",
        "So many earlier calls within the window make a loop.",
    ),
    key(
        "waste.read_loop.seconds",
        Allowed::Int(1, 3_600),
        "60",
        "How long calls of the same read tool count together, in seconds.",
    ),
    key(
        "waste.read_loop.tools",
        Allowed::List,
        "[]",
        "Tools that read; empty: the built-in list.",
    ),
    key(
        "waste.unbounded_search.enabled",
        Allowed::Bool,
        "true",
        "Find search tools with huge results.",
    ),
    key(
        "waste.unbounded_search.tokens",
        Allowed::Int(1, 1_000_000_000),
        "5000",
        "More output tokens than this from a search tool is a warning.",
    ),
    key(
        "waste.unbounded_search.tools",
        Allowed::List,
        "[]",
        "Tools that search; empty: the built-in list.",
    ),
    key(
        "waste.duplicate_request.enabled",
        Allowed::Bool,
        "true",
        "Find the same request made again.",
    ),
    key(
        "waste.duplicate_request.seconds",
        Allowed::Int(1, 3_600),
        "300",
        "How long the same request counts as made again, in seconds.",
    ),
    key(
        "runaway.enabled",
        Allowed::Bool,
        "true",
        "Alert on sessions that may be running away, and stop those that a budget says to.",
    ),
    key(
        "runaway.velocity.factor",
        Allowed::Int(0, 1_000_000),
        "10",
        "A session runs away that spends so many times what it usually does in five minutes of work; 0: off …",
    ),
    key(
        "runaway.velocity.usd",
        Allowed::Dollars,
        "\"20\"",
        "… and at least this much in them.",
    ),
    key(
        "runaway.repeats",
        Allowed::Int(0, 1_000_000),
        "25",
        "So many identical tool calls in a row are a loop; waiting for something takes fewer. 0: off.",
    ),
    key(
        "runaway.denials",
        Allowed::Int(0, 1_000_000),
        "10",
        "So many denials in a row, none more than ten minutes after the other. 0: off.",
    ),
    key(
        "runaway.cache_misses.calls",
        Allowed::Int(0, 1_000_000),
        "8",
        "So many calls in a row that miss a warm cache, each of 20,000 tokens or more; 0: off …",
    ),
    key(
        "runaway.cache_misses.usd",
        Allowed::Dollars,
        "\"2\"",
        "… that cost at least this much together.",
    ),
    key(
        "embeddings.daily_tokens",
        Allowed::Int(1, 1_000_000_000_000),
        "1000000",
        "Warn when a day's embedding tokens reach this.",
    ),
    key(
        "embeddings.weekly_usd",
        Allowed::Dollars,
        "\"10\"",
        "Warn when embeddings pass 80 % of this in the period shown.",
    ),
    key(
        "usage_log.enabled",
        Allowed::Bool,
        "false",
        "Also write records to tokens_YYYY-MM-DD.jsonl and alerts to alerts.jsonl in the log directory.",
    ),
    key(
        "store.cache_mb",
        Allowed::Int(4, 4_096),
        "16",
        "Memory for the ledger's cache, in megabytes. The system's own file cache does the rest.",
    ),
    key(
        "tokenizer.idle_seconds",
        Allowed::Int(1, 86_400),
        "120",
        "A vocabulary that nobody used for so long leaves memory.",
    ),
    key(
        "stop.deadline_seconds",
        Allowed::Int(1, 300),
        "5",
        "Longest time that a stop waits for open work.",
    ),
];

/// The key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.name == name)
}

/// The name that was probably meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|k| (distance(name, k.name), k.name))
        .min()
        .filter(|(d, _)| *d <= 4)
        .map(|(_, n)| n)
}

/// The variable of a key that a variable was likely meant to be, but is not: one letter in six may be wrong. Variables
/// that are no keys (TOKMON_HOME, …) are not that near to one.
pub(super) fn meant(variable: &str) -> Option<String> {
    KEYS.iter()
        .map(|key| key.variable())
        .map(|known| (distance(variable, &known), known))
        .min()
        .filter(|(wrong, known)| (1..=known.len() / 6).contains(wrong))
        .map(|(_, known)| known)
}

/// How many characters must be changed, added or removed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(128).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(diagonal + usize::from(x != *y));
            diagonal = above;
        }
    }
    row[b.len()]
}
