//! Telemetry as setup knows it: where the daemon takes it, the token that senders show, and how an entry that sends
//! it there is known again.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokmon_client::{Error, Paths};
use toml_edit::{DocumentMut, Item};

use super::agents::{Content, Place};
use super::edit::{Edit, Entry, Mark};
use super::piece::Piece;
use super::toml;
use crate::config;
use crate::failure::{invalid, io_error};

/// The header that carries the token.
const HEADER: &str = "x-tokmon-token";
/// The key that switches the receiver on.
const SWITCH: [&str; 2] = ["otlp", "enabled"];
/// By this agents are told where to send when it is not here.
const ELSEWHERE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Where the daemon listens when nothing else is said.
const USUAL: &str = "127.0.0.1:14318";
/// Shortest and longest token that the daemon takes, in characters.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 16..=256;
/// Random bytes of a new token.
const RANDOM_BYTES: usize = 24;

/// Where to send telemetry, and what to show there.
#[derive(Debug, Clone)]
pub(super) struct Telemetry {
    /// Scheme, address and port.
    pub(super) url: String,
    /// What senders show; `None`: the daemon asks for none.
    token: Option<String>,
    /// Where the token has to be written before anybody can show it.
    unwritten: Option<PathBuf>,
}

impl Telemetry {
    /// As this machine's daemon has it, or why nobody can be told where it listens.
    pub(super) fn here(paths: &Paths) -> Result<Result<Telemetry, String>, Error> {
        let elsewhere = std::env::var(ELSEWHERE).unwrap_or_default();
        if !elsewhere.is_empty() && !is_address(&elsewhere) {
            return Ok(Err(format!(
                "Telemetry was left out: {ELSEWHERE} is set, so agents send theirs somewhere else already."
            )));
        }
        let own = Own::read(paths);
        let listen = own.text("otlp.listen").unwrap_or_else(|| USUAL.to_owned());
        let address: Option<SocketAddr> = listen.parse().ok();
        let Some(address) = address.filter(|address| address.port() != 0) else {
            return Ok(Err(format!(
                "Telemetry was left out: otlp.listen is {listen:?}, which is no fixed address that agents could be told."
            )));
        };
        let file = paths.otlp_token_file();
        let (token, unwritten) = match own.text("otlp.require_token").as_deref() {
            Some("false") => (None, None),
            _ => match read_token(&file)? {
                Some(token) => (Some(token), None),
                None => (Some(new_token()?), Some(file)),
            },
        };
        Ok(Ok(Telemetry {
            url: format!("http://{address}"),
            token,
            unwritten,
        }))
    }

    /// Enough of it to find what was put in by it.
    pub(super) fn gone(paths: &Paths) -> Telemetry {
        let token = read_token(&paths.otlp_token_file()).ok().flatten();
        Telemetry {
            url: format!("http://{USUAL}"),
            token: Some(token.unwrap_or_default()),
            unwritten: None,
        }
    }

    /// The token, which nobody else should see.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref().filter(|token| !token.is_empty())
    }

    /// Writes a new token where the daemon finds it.
    pub(super) fn write_token(&self) -> Result<(), Error> {
        match (&self.unwritten, &self.token) {
            (Some(file), Some(token)) => super::file::keep(file, &format!("{token}\n")),
            _ => Ok(()),
        }
    }

    /// The header as `name=value`.
    fn header(&self) -> Option<String> {
        Some(format!("{HEADER}={}", self.token.as_ref()?))
    }

    /// Claude Code's variables.
    pub(super) fn variables(&self) -> Map<String, Value> {
        let mut all = Map::new();
        for (name, value) in [
            ("CLAUDE_CODE_ENABLE_TELEMETRY", Some("1".to_owned())),
            ("OTEL_LOGS_EXPORTER", Some("otlp".to_owned())),
            ("OTEL_METRICS_EXPORTER", Some("otlp".to_owned())),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", Some("http/json".to_owned())),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", Some(self.url.clone())),
            ("OTEL_EXPORTER_OTLP_HEADERS", self.header()),
        ] {
            all.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        all
    }

    /// Codex' exporter of events. It wants the whole address of the signal.
    pub(super) fn exporter(&self) -> Value {
        let mut sender = json!({"endpoint": format!("{}/v1/logs", self.url), "protocol": "json"});
        if let Some(token) = &self.token {
            sender["headers"] = json!({HEADER: token});
        }
        json!({ "otlp-http": sender })
    }

    /// Gemini CLI's settings, and Qwen Code's. They have no headers: the token is a part of the address.
    pub(super) fn settings(&self) -> Map<String, Value> {
        let path = self.token.as_ref().map(|token| format!("/{token}"));
        let members = json!({
            "enabled": true,
            "target": "local",
            "otlpEndpoint": self.url.clone() + &path.unwrap_or_default(),
            "otlpProtocol": "http",
            "logPrompts": false,
        });
        members.as_object().cloned().unwrap_or_default()
    }
}

/// An entry of telemetry.
pub(super) fn edit(entry: Entry) -> Edit {
    Edit {
        entry,
        mark: Mark::Telemetry,
        piece: Piece::Telemetry,
    }
}

/// Whether a value sends telemetry to tokmon: it has our header, or an address on this machine, alone or with a token.
pub(super) fn is_ours(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with(&format!("{HEADER}=")) || is_address(text),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name == HEADER || is_ours(value)),
        _ => false,
    }
}

/// An address on this machine with a token as its path, or the usual one.
fn is_address(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://") else {
        return false;
    };
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let local = address
        .parse()
        .is_ok_and(|address: SocketAddr| address.ip().is_loopback());
    local && (is_token(path) || address == USUAL)
}

fn is_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    TOKEN_CHARS.contains(&text.len()) && text.bytes().all(plain)
}

fn read_token(file: &Path) -> Result<Option<String>, Error> {
    let mut text = String::new();
    let most = u64::try_from(TOKEN_CHARS.end() + 2).unwrap_or(u64::MAX);
    match File::open(file).and_then(|file| file.take(most).read_to_string(&mut text)) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("read", file.display(), &e)),
        Ok(_) if is_token(text.trim()) => Ok(Some(text.trim().to_owned())),
        Ok(_) => Err(invalid(format!("{} holds no token", file.display()))
            .with_hint("remove it, and a new one will be made")),
    }
}

fn new_token() -> Result<String, Error> {
    let mut random = [0; RANDOM_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(|e| io_error("read", "/dev/urandom", &e))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// tokmon's own configuration, in which the receiver is switched on.
pub(super) fn own_place(paths: &Paths) -> Place {
    Place {
        file: paths.config_file(),
        content: Content::Own,
    }
}

/// The text of tokmon's configuration with the receiver on.
pub(super) fn switched_on(text: &str) -> Result<String, String> {
    let document: DocumentMut = text
        .parse()
        .map_err(|e: toml_edit::TomlError| format!("it is not TOML: {}", e.message()))?;
    let now = document.get(SWITCH[0]).and_then(|table| table.get(SWITCH[1]));
    if now.and_then(Item::as_bool) == Some(true) {
        return Ok(text.to_owned());
    }
    config::with(document, &SWITCH.join("."), "true").map_err(|e| e.message)
}

/// The text of tokmon's configuration without the switch.
pub(super) fn switched_off(text: &str) -> Result<String, String> {
    let switch = Edit {
        entry: Entry::Member {
            path: SWITCH.to_vec(),
            value: Value::Bool(true),
        },
        mark: Mark::Switch,
        piece: Piece::Telemetry,
    };
    toml::remove(text, &[switch])
}

/// What tokmon's configuration says, read without the daemon: variables before the file.
pub(super) struct Own {
    file: Option<DocumentMut>,
}

impl Own {
    /// A file that cannot be read says nothing here; whoever changes it will say why.
    pub(super) fn read(paths: &Paths) -> Own {
        let text = fs::read_to_string(paths.config_file()).ok();
        Own {
            file: text.and_then(|text| text.parse().ok()),
        }
    }

    /// What is set for a key; of a list its first.
    fn text(&self, key: &str) -> Option<String> {
        self.list(key).into_iter().next()
    }

    /// Whether the files of an agent are read.
    pub(super) fn reads(&self, agent: &str) -> bool {
        self.text("capture.enabled").as_deref() != Some("false")
            && !self.list("capture.off").iter().any(|off| off == agent)
    }

    fn list(&self, key: &str) -> Vec<String> {
        let variable = format!("TOKMON_{}", key.to_uppercase().replace('.', "_"));
        if let Ok(value) = std::env::var(variable) {
            return value.split(',').map(|part| part.trim().to_owned()).collect();
        }
        let plain = |value: &toml_edit::Value| match value {
            toml_edit::Value::String(text) => text.value().clone(),
            other => other.to_string().trim().to_owned(),
        };
        let item = (key.split('.')).try_fold(self.file.as_ref().map(DocumentMut::as_item), |item, part| {
            Some(item.and_then(|item| item.get(part)))
        });
        match item.flatten().and_then(Item::as_value) {
            Some(toml_edit::Value::Array(list)) => list.iter().map(plain).collect(),
            Some(value) => vec![plain(value)],
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_to_us_is_known() {
        let token = "0123456789abcdef0123";
        for (value, ours) in [
            (
                json!({"OTEL_EXPORTER_OTLP_HEADERS": format!("x-tokmon-token={token}")}),
                true,
            ),
            (json!({"otlp-http": {"headers": {"x-tokmon-token": token}}}), true),
            (
                json!({"otlpEndpoint": format!("http://127.0.0.1:5000/{token}")}),
                true,
            ),
            (
                json!({"otlpEndpoint": format!("http://[::1]:5000/{token}")}),
                true,
            ),
            (json!({"otlpEndpoint": "http://127.0.0.1:14318"}), true),
            (json!({"otlpEndpoint": "http://127.0.0.1:4317"}), false),
            (
                json!({"otlpEndpoint": format!("http://collector:5000/{token}")}),
                false,
            ),
            (json!({"OTEL_EXPORTER_OTLP_HEADERS": "authorization=x"}), false),
            (json!({"enabled": true}), false),
            (json!("none"), false),
        ] {
            assert_eq!(is_ours(&value), ours, "{value}");
        }
    }

    #[test]
    fn the_switch_goes_in_and_out_beside_other_keys() {
        for text in [
            "",
            "# mine\ntimezone = \"UTC\" # fixed\n",
            "[otlp]\nlisten = [\"127.0.0.1:9\"]\n",
        ] {
            let with = switched_on(text).unwrap();
            assert!(with.contains("enabled = true"), "{with}");
            assert_eq!(switched_on(&with).unwrap(), with);
            assert_eq!(switched_off(&with).unwrap().trim(), text.trim());
        }
        assert_eq!(
            switched_on("[otlp]\nenabled = false # quiet\n").unwrap(),
            "[otlp]\nenabled = true # quiet\n"
        );
        assert!(switched_on("[").unwrap_err().contains("not TOML"));
    }

    #[test]
    fn every_form_shows_the_token_once_and_none_when_none_is_asked_for() {
        let mut here = Telemetry {
            url: "http://127.0.0.1:1".to_owned(),
            token: Some("t".repeat(20)),
            unwritten: None,
        };
        for asked in [true, false] {
            let all = [
                Value::Object(here.variables()),
                here.exporter(),
                Value::Object(here.settings()),
            ];
            for value in all {
                let shown = value.to_string().matches(&"t".repeat(20)).count();
                assert_eq!(shown, usize::from(asked), "{value}");
            }
            here.token = None;
        }
    }
}
