//! The layers of configuration and how they are joined.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use tokmon_core::limits::MAX_OTLP_LISTENERS;
use tokmon_core::money::Pico;
use toml::Value;

use super::agents;
use super::keys::{self, Allowed, KEYS, Key};

/// What the configuration is made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// The file's path and text, when it exists.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables that begin with `TOKMON_`.
    pub vars: Vec<(String, String)>,
    /// `KEY=VALUE` flags.
    pub flags: Vec<String>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A fresh install's.
    Default,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
    /// A flag of the command line.
    Flag,
}

impl Origin {
    /// The word for it on the wire.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Environment => "environment",
            Origin::Flag => "flag",
        }
    }
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The key.
    pub key: &'static Key,
    /// Its value, of the kind that the key allows.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Layers {
    /// From the process's environment and the given file and flags. Errors: the file is there but cannot be read.
    pub(crate) fn from_env(file: PathBuf, flags: Vec<String>) -> Result<Layers, String> {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => Some((file, text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(format!("{}: cannot be read: {e}", file.display())),
        };
        let vars = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .filter(|(k, _)| k.starts_with("TOKMON_"))
            .collect();
        Ok(Layers {
            file: text,
            vars,
            flags,
        })
    }

    /// What may be meant otherwise, one sentence each.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let doubt = |variable: &String| {
            let meant = keys::meant(variable)?;
            Some(format!("{variable} sets nothing; did you mean {meant}?"))
        };
        self.vars.iter().filter_map(|(name, _)| doubt(name)).collect()
    }

    /// Joins the layers into one setting per key.
    pub(super) fn resolve(&self) -> Result<Vec<Setting>, String> {
        let mut settings = Vec::with_capacity(KEYS.len());
        for key in KEYS {
            let value =
                parse_value(key.default).ok_or_else(|| format!("{}: default is not TOML", key.name))?;
            settings.push(Setting {
                key,
                value: check(key, value, key.name)?,
                origin: Origin::Default,
            });
        }
        let mut set = |key: &'static Key, value: Value, origin: Origin, place: &str| -> Result<(), String> {
            let value = check(key, value, place)?;
            if let Some(setting) = settings.iter_mut().find(|s| s.key.name == key.name) {
                setting.value = value;
                setting.origin = origin;
            }
            Ok(())
        };
        if let Some((path, text)) = &self.file {
            let place = path.display().to_string();
            let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
                let line = e
                    .span()
                    .map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
                format!("{place}: line {line}: {}", e.message())
            })?;
            let mut found = Vec::new();
            flatten(&place, "", table, &mut found)?;
            for (name, value) in found {
                let key = known(&place, &name)?;
                set(key, value, Origin::File, &format!("{place}: {name}"))?;
            }
        }
        for (variable, text) in &self.vars {
            // Other TOKMON_ variables (TOKMON_HOME, …) are not keys.
            if let Some(key) = KEYS.iter().find(|k| k.variable() == *variable) {
                set(key, from_text(key, text), Origin::Environment, variable)?;
            }
        }
        for flag in &self.flags {
            let (name, text) = flag
                .split_once('=')
                .ok_or_else(|| format!("--set {flag}: allowed: --set KEY=VALUE"))?;
            let key = known("--set", name)?;
            set(key, from_text(key, text), Origin::Flag, &format!("--set {name}"))?;
        }
        Ok(settings)
    }
}

fn known(place: &str, name: &str) -> Result<&'static Key, String> {
    keys::find(name).ok_or_else(|| {
        let hint = match keys::nearest(name) {
            Some(near) => format!("did you mean {near}?"),
            None => "`tokmond check-config --list` shows every key".to_owned(),
        };
        format!("{place}: {name}: no such key; {hint}")
    })
}

fn flatten(
    place: &str,
    prefix: &str,
    table: toml::Table,
    out: &mut Vec<(String, Value)>,
) -> Result<(), String> {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        let inner = format!("{name}.");
        let is_table_of_keys = KEYS.iter().any(|k| k.name.starts_with(&inner));
        match value {
            Value::Table(table) if is_table_of_keys => flatten(place, &name, table, out)?,
            _ if is_table_of_keys => return Err(format!("{place}: {name}: allowed: a table, [{name}]")),
            value => out.push((name, value)),
        }
    }
    Ok(())
}

fn parse_value(text: &str) -> Option<Value> {
    let table: toml::Table = format!("v = {text}").parse().ok()?;
    table.get("v").cloned()
}

/// A value as people write it in variables and flags: lists with commas, texts without quotes.
fn from_text(key: &Key, text: &str) -> Value {
    let plain = || Value::String(text.to_owned());
    match key.allowed {
        Allowed::Bool | Allowed::Int(..) => parse_value(text.trim()).unwrap_or_else(plain),
        // An address may begin with a bracket too; that is no list.
        Allowed::List | Allowed::Loopback | Allowed::Agents | Allowed::AgentDirs | Allowed::Logs
            if text.trim_start().starts_with('[') && parse_value(text).is_some() =>
        {
            parse_value(text).unwrap_or_else(plain)
        }
        Allowed::List | Allowed::Loopback | Allowed::Agents | Allowed::AgentDirs => Value::Array(
            text.split(',')
                .filter(|s| !s.is_empty())
                .map(|s| Value::String(s.to_owned()))
                .collect(),
        ),
        _ => plain(),
    }
}

fn is_loopback(address: &Value) -> bool {
    let address = address.as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    address.is_some_and(|address| address.ip().is_loopback())
}

fn check(key: &Key, value: Value, place: &str) -> Result<Value, String> {
    let texts = |items: &[Value]| {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        items.iter().map(text).collect::<Option<Vec<String>>>()
    };
    // What exactly is wrong with one of many, where that can be said.
    let mut why = String::new();
    let mut noted = |outcome: Result<(), String>| {
        let good = outcome.is_ok();
        why = outcome.err().map_or(String::new(), |error| format!(" ({error})"));
        good
    };
    let good = match (key.allowed, &value) {
        (Allowed::Agents, Value::Array(items)) => {
            texts(items).is_some_and(|list| noted(agents::agents(&list).map(drop)))
        }
        (Allowed::AgentDirs, Value::Array(items)) => {
            texts(items).is_some_and(|list| noted(agents::dirs(&list).map(drop)))
        }
        (Allowed::Logs, logs) => noted(agents::logs(logs).map(drop)),
        (Allowed::Bool, Value::Boolean(_)) | (Allowed::Text, Value::String(_)) => true,
        (Allowed::Int(low, high), Value::Integer(n)) => (low..=high).contains(n),
        (Allowed::Word(words), Value::String(s)) => words.contains(&s.as_str()),
        (Allowed::Zone, Value::String(s)) => s.is_empty() || TimeZone::get(s).is_ok(),
        (Allowed::List, Value::Array(items)) => items.iter().all(Value::is_str),
        (Allowed::Loopback, Value::Array(items)) => {
            (1..=MAX_OTLP_LISTENERS).contains(&items.len()) && items.iter().all(is_loopback)
        }
        (Allowed::Dollars, Value::String(s)) => Pico::parse_usd(s).is_some_and(|p| p >= Pico::ZERO),
        _ => false,
    };
    if good {
        return Ok(value);
    }
    Err(format!(
        "{place}: {value} is not allowed{why}; allowed: {}",
        key.allowed.describe()
    ))
}
