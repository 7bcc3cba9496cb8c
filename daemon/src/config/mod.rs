//! Configuration: defaults, then the file, then the environment, then flags.
//!
//! A value that is not allowed stops the start and names its place, its key and what is allowed.

mod agents;
mod keys;
mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokmon_capture::{Agent, LogMap};
use tokmon_core::money::Pico;
use tokmon_core::runaway::RunawayRules;
use tokmon_core::waste::WasteRules;

pub(crate) use keys::KEYS;
pub(crate) use load::{Layers, Setting};

/// The configuration in force.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Each key with its value and where it came from, for `tokmonctl config`.
    pub settings: Vec<Setting>,
    /// The zone where a request names none.
    pub zone: TimeZone,
    /// User of captured calls.
    pub user: String,
    /// error, warn, info, debug or trace.
    pub log_level: String,
    /// auto, terminal, journald or file.
    pub log_output: String,
    /// auto, json or text.
    pub log_format: String,
    /// Daily log files kept.
    pub log_files: usize,
    /// Keep notes.
    pub keep_notes: bool,
    /// Days that records are kept.
    pub retention_days: i64,
    /// Purge by itself.
    pub retention_automatic: bool,
    /// Read agents' files.
    pub capture_enabled: bool,
    /// Book calls under their git repositories.
    pub capture_git: bool,
    /// Interval of the safety scan.
    pub capture_poll: Duration,
    /// Take telemetry.
    pub otlp_enabled: bool,
    /// Where; loopback addresses.
    pub otlp_listen: Vec<SocketAddr>,
    /// Senders of telemetry must show the token.
    pub otlp_require_token: bool,
    /// Agents whose files lie elsewhere, and where.
    pub agent_dirs: Vec<(Agent, PathBuf)>,
    /// Agents whose files are not read.
    pub agents_off: Vec<Agent>,
    /// Logs of other programs.
    pub logs: Vec<LogMap>,
    /// The waste rules.
    pub waste: WasteRules,
    /// When a session may be running away.
    pub runaway: RunawayRules,
    /// Embedding tokens a day before a warning.
    pub embeddings_daily_tokens: u64,
    /// Embedding budget of a week.
    pub embeddings_weekly: Pico,
    /// Write usage logs.
    pub usage_log: bool,
    /// The ledger's cache.
    pub cache_bytes: usize,
    /// Life of an unused vocabulary.
    pub tokenizer_idle: Duration,
    /// Longest drain.
    pub stop_deadline: Duration,
}

impl Config {
    /// Joins the layers. Errors name the layer, the key and what is allowed.
    pub(crate) fn load(layers: &Layers) -> Result<Config, String> {
        let settings = layers.resolve()?;
        let get = Values(&settings);
        let zone_name = get.text("timezone");
        let zone = if zone_name.is_empty() {
            TimeZone::system()
        } else {
            TimeZone::get(&zone_name).map_err(|e| format!("timezone: {e}"))?
        };
        let waste = waste_rules(&get);
        waste.validate().map_err(|e| e.to_string())?;
        let user = Some(get.text("user"))
            .filter(|u| !u.is_empty())
            .unwrap_or_else(login_name);
        Ok(Config {
            zone,
            user,
            log_level: get.text("log.level"),
            log_output: get.text("log.output"),
            log_format: get.text("log.format"),
            log_files: get.int("log.files"),
            keep_notes: get.bool("privacy.notes"),
            retention_days: get.int("retention.days"),
            retention_automatic: get.bool("retention.automatic"),
            capture_enabled: get.bool("capture.enabled"),
            capture_git: get.bool("capture.git"),
            capture_poll: get.seconds("capture.poll_seconds"),
            otlp_enabled: get.bool("otlp.enabled"),
            otlp_listen: (get.list("otlp.listen").iter())
                .filter_map(|address| address.parse().ok())
                .collect(),
            otlp_require_token: get.bool("otlp.require_token"),
            agent_dirs: agent_dirs(&get)?,
            agents_off: agents::agents(&get.list("capture.off"))?,
            logs: get.value("capture.logs").map_or(Ok(Vec::new()), agents::logs)?,
            waste,
            runaway: runaway_rules(&get),
            embeddings_daily_tokens: get.int("embeddings.daily_tokens"),
            embeddings_weekly: Pico::parse_usd(&get.text("embeddings.weekly_usd")).unwrap_or_default(),
            usage_log: get.bool("usage_log.enabled"),
            cache_bytes: get.int::<usize>("store.cache_mb") << 20,
            tokenizer_idle: get.seconds("tokenizer.idle_seconds"),
            stop_deadline: get.seconds("stop.deadline_seconds"),
            settings,
        })
    }
}

/// Reads settings whose kinds have been checked already.
struct Values<'a>(&'a [Setting]);

impl Values<'_> {
    fn value(&self, name: &str) -> Option<&toml::Value> {
        self.0.iter().find(|s| s.key.name == name).map(|s| &s.value)
    }

    fn text(&self, name: &str) -> String {
        self.value(name)
            .and_then(|v| v.as_str())
            .unwrap_or_default()
            .to_owned()
    }

    fn bool(&self, name: &str) -> bool {
        self.value(name)
            .and_then(toml::Value::as_bool)
            .unwrap_or_default()
    }

    fn int<T: TryFrom<i64> + Default>(&self, name: &str) -> T {
        let value = self
            .value(name)
            .and_then(toml::Value::as_integer)
            .unwrap_or_default();
        T::try_from(value).unwrap_or_default()
    }

    fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs(self.int(name))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let items = self.value(name).and_then(toml::Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    }
}

/// What the keys for single agents and the one for all of them say.
fn agent_dirs(get: &Values<'_>) -> Result<Vec<(Agent, PathBuf)>, String> {
    let mut dirs = agents::dirs(&get.list("capture.dirs"))?;
    for (agent, key) in [
        (Agent::CLAUDE_CODE, "capture.claude_dirs"),
        (Agent::CODEX, "capture.codex_dirs"),
    ] {
        dirs.extend(get.list(key).into_iter().map(|dir| (agent.clone(), dir.into())));
    }
    Ok(dirs)
}

fn runaway_rules(get: &Values<'_>) -> RunawayRules {
    if !get.bool("runaway.enabled") {
        return RunawayRules {
            velocity_factor: 0,
            repeats: 0,
            denials: 0,
            misses: 0,
            ..RunawayRules::default()
        };
    }
    let dollars = |name: &str| Pico::parse_usd(&get.text(name)).unwrap_or_default();
    RunawayRules {
        velocity_factor: get.int("runaway.velocity.factor"),
        velocity_usd: dollars("runaway.velocity.usd"),
        repeats: get.int("runaway.repeats"),
        denials: get.int("runaway.denials"),
        misses: get.int("runaway.cache_misses.calls"),
        misses_usd: dollars("runaway.cache_misses.usd"),
    }
}

fn login_name() -> String {
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_else(|| "local".to_owned())
}

fn waste_rules(get: &Values<'_>) -> WasteRules {
    let mut rules = WasteRules::default();
    rules.large_request.enabled = get.bool("waste.large_request.enabled");
    rules.large_request.tokens = get.int("waste.large_request.tokens");
    rules.large_output.enabled = get.bool("waste.large_output.enabled");
    rules.large_output.tokens = get.int("waste.large_output.tokens");
    rules.read_loop.enabled = get.bool("waste.read_loop.enabled");
    rules.read_loop.calls = get.int("waste.read_loop.calls");
    rules.read_loop.window_seconds = get.int("waste.read_loop.seconds");
    rules.unbounded_search.enabled = get.bool("waste.unbounded_search.enabled");
    rules.unbounded_search.tokens = get.int("waste.unbounded_search.tokens");
    rules.duplicate_request.enabled = get.bool("waste.duplicate_request.enabled");
    rules.duplicate_request.window_seconds = get.int("waste.duplicate_request.seconds");
    // An empty list in the configuration means the built-in one.
    for (name, tools) in [
        ("waste.read_loop.tools", &mut rules.read_loop.tools),
        ("waste.unbounded_search.tools", &mut rules.unbounded_search.tools),
    ] {
        let own = get.list(name);
        if !own.is_empty() {
            *tools = own;
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::load::Origin;
    use super::*;

    fn layers(file: &str, vars: &[(&str, &str)], flags: &[&str]) -> Layers {
        Layers {
            file: Some((PathBuf::from("/etc/t.toml"), file.to_owned())),
            vars: vars
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            flags: flags.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    #[test]
    fn defaults_are_allowed_values() {
        let config = Config::load(&layers("", &[], &[])).unwrap();
        assert_eq!(config.settings.len(), KEYS.len());
        assert_eq!(config.retention_days, 30);
        assert_eq!(config.embeddings_weekly.to_string(), "10");
        assert_eq!(config.runaway, RunawayRules::default());
        assert!(config.settings.iter().all(|s| s.origin == Origin::Default));
    }

    #[test]
    fn later_layers_win() {
        let file = "[retention]\ndays = 10\n[log]\nlevel = \"warn\"\n";
        let config = Config::load(&layers(
            file,
            &[("TOKMON_RETENTION_DAYS", "11")],
            &["log.level=debug"],
        ))
        .unwrap();
        assert_eq!(config.retention_days, 11);
        assert_eq!(config.log_level, "debug");
        let origin = |name: &str| {
            config
                .settings
                .iter()
                .find(|s| s.key.name == name)
                .unwrap()
                .origin
                .clone()
        };
        assert_eq!(origin("retention.days"), Origin::Environment);
        assert_eq!(origin("log.level"), Origin::Flag);
    }

    #[test]
    fn lists_are_given_in_toml_or_with_commas() {
        let config = Config::load(&layers("capture.codex_dirs = [\"/a\", \"/b\"]", &[], &[])).unwrap();
        assert_eq!(config.agent_dirs.len(), 2);
        let both = [("TOKMON_OTLP_LISTEN", "[::1]:4317,127.0.0.1:4318")];
        assert_eq!(
            Config::load(&layers("", &both, &[])).unwrap().otlp_listen.len(),
            2
        );
        let config = Config::load(&layers("", &[("TOKMON_CAPTURE_CODEX_DIRS", "/a,/b,/c")], &[])).unwrap();
        assert_eq!(config.agent_dirs.len(), 3);
    }

    #[test]
    fn agents_are_switched_off_and_moved() {
        let file = "[capture]\noff = [\"amp\"]\ndirs = [\"droid=/d\"]\n\
                    [[capture.logs]]\nagent = \"a\"\npath = \"/l\"\nfields = { input = \"i\", id = \"x\" }\n";
        let config = Config::load(&layers(file, &[], &[])).unwrap();
        assert_eq!(
            (config.agents_off[0].name(), config.agent_dirs[0].0.name()),
            ("amp", "droid")
        );
        assert_eq!(config.logs[0].agent, "a");
    }

    #[test]
    fn a_misspelt_variable_is_told() {
        let vars = [
            ("TOKMON_HOME", "/h"),
            ("TOKMON_SOCKET", "/h/s"),
            ("TOKMON_RETENTION_DAYS", "9"),
            ("TOKMON_RETENTON_DAY", "9"),
        ];
        assert_eq!(
            layers("", &vars, &[]).doubts(),
            ["TOKMON_RETENTON_DAY sets nothing; did you mean TOKMON_RETENTION_DAYS?"]
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (file, vars, flags, parts) in [
            (
                "capture.off = [\"ampp\"]",
                &[][..],
                &[][..],
                &[
                    "/etc/t.toml",
                    "capture.off",
                    "\"ampp\" is no agent",
                    "claude-code, codex",
                ][..],
            ),
            (
                "[[capture.logs]]\nagent = \"a\"",
                &[],
                &[],
                &["/etc/t.toml", "capture.logs", "log 1: fields"],
            ),
            (
                "retention.days = 0",
                &[],
                &[],
                &["/etc/t.toml", "retention.days", "from 1 to 36500"],
            ),
            (
                "retention.days = \"x\"",
                &[],
                &[],
                &["/etc/t.toml", "retention.days", "whole number"],
            ),
            (
                "retention.dayz = 3",
                &[],
                &[],
                &["/etc/t.toml", "retention.dayz", "retention.days"],
            ),
            ("retention = 3", &[], &[], &["/etc/t.toml", "retention", "table"]),
            ("a = [", &[], &[], &["/etc/t.toml", "line 1"]),
            (
                "timezone = \"Mars/Olympus\"",
                &[],
                &[],
                &["/etc/t.toml", "timezone", "IANA"],
            ),
            (
                "",
                &[("TOKMON_LOG_LEVEL", "loud")],
                &[],
                &["TOKMON_LOG_LEVEL", "error, warn, info"],
            ),
            ("", &[], &["log.level"], &["log.level", "KEY=VALUE"]),
            ("", &[], &["nope=1"], &["nope"]),
            (
                "otlp.listen = [\"0.0.0.0:4318\"]",
                &[],
                &[],
                &["otlp.listen", "loopback"],
            ),
            (
                "",
                &[("TOKMON_OTLP_LISTEN", "[::1]")],
                &[],
                &["OTLP_LISTEN", "ports"],
            ),
            ("otlp.listen = []", &[], &[], &["otlp.listen", "1 to 4"]),
            (
                "embeddings.weekly_usd = \"-1\"",
                &[],
                &[],
                &["embeddings.weekly_usd", "dollars"],
            ),
        ] {
            let error = Config::load(&layers(file, vars, flags)).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{error:?} does not name {part:?}");
            }
        }
    }
}
