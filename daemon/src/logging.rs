//! Logs: to the terminal, the journal or daily files; as text or as JSON lines.
//!
//! A JSON line has `timestamp` (ISO 8601, UTC), `level`, `name` (the part of tokmon), `message` and the event's
//! own fields.

use std::fmt;
use std::io::IsTerminal;
use std::path::Path;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::Config;
use crate::error::Failure;

/// Changes the level while the daemon runs.
#[derive(Clone)]
pub(crate) struct LevelSwitch(reload::Handle<EnvFilter, Registry>);

impl LevelSwitch {
    /// Sets the level: error, warn, info, debug or trace.
    pub(crate) fn set(&self, level: &str) {
        // It fails only when the subscriber is gone, at the very end.
        let _ = self.0.reload(filter(level));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    Text,
    Journal,
}

/// Starts logging as the configuration says. Errors: the log directory cannot be written.
pub(crate) fn init(config: &Config, log_dir: &Path) -> Result<LevelSwitch, Failure> {
    let output = match config.log_output.as_str() {
        "auto" if std::env::var_os("JOURNAL_STREAM").is_some() => "journald",
        "auto" if std::io::stderr().is_terminal() => "terminal",
        "auto" => "file",
        other => other,
    };
    let shape = match (config.log_format.as_str(), output) {
        ("json", _) | ("auto", "file") => Shape::Json,
        (_, "journald") => Shape::Journal,
        _ => Shape::Text,
    };
    let writer = if output == "file" {
        crate::instance::private_dir(log_dir)?;
        let appender = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("tokmond")
            .filename_suffix("log")
            .max_log_files(config.log_files)
            .build(log_dir)
            .map_err(|e| Failure::unavailable(format!("cannot write logs to {}: {e}", log_dir.display())))?;
        BoxMakeWriter::new(appender)
    } else {
        BoxMakeWriter::new(std::io::stderr)
    };
    let (filter, handle) = reload::Layer::new(filter(&config.log_level));
    let ansi = output == "terminal" && std::env::var_os("NO_COLOR").is_none();
    let registry = tracing_subscriber::registry().with(filter);
    let started = if shape == Shape::Text {
        let layer = layer().with_writer(writer).with_ansi(ansi).with_target(false);
        registry.with(layer).try_init()
    } else {
        let format = Lines {
            journal: shape == Shape::Journal,
        };
        registry
            .with(layer().with_writer(writer).event_format(format))
            .try_init()
    };
    started.map_err(|e| Failure::unavailable(format!("cannot start logging: {e}")))?;
    Ok(LevelSwitch(handle))
}

fn filter(level: &str) -> EnvFilter {
    // Libraries below us are quiet unless somebody asks for everything.
    let directives = match level {
        "trace" => "trace".to_owned(),
        level => format!(
            "warn,tokmond={level},tokmon_ledger={level},tokmon_capture={level},tokmon_tokenizer={level}"
        ),
    };
    EnvFilter::new(directives)
}

/// One line per event: JSON, or the journal's form with its priority in front.
struct Lines {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        if self.journal {
            write!(out, "<{}>{}", priority(level), fields.message)?;
            for (key, value) in &fields.map {
                write!(out, " {key}={value}")?;
            }
            return writeln!(out);
        }
        let mut line = Map::new();
        let now = jiff::Timestamp::now();
        line.insert("timestamp".to_owned(), format!("{now:.3}").into());
        line.insert("level".to_owned(), level.as_str().to_lowercase().into());
        line.insert(
            "name".to_owned(),
            event.metadata().target().replace("::", ".").into(),
        );
        line.insert("message".to_owned(), fields.message.into());
        line.extend(fields.map);
        writeln!(out, "{}", Value::Object(line))
    }
}

/// syslog's priorities, as the journal understands them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    map: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.map.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(journal: bool) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::registry().with(
            layer()
                .with_writer(move || writer.clone())
                .event_format(Lines { journal }),
        );
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(files = 3, path = "a\"b", "half read")
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_have_the_five_parts() {
        let line: Value = serde_json::from_str(&logged(false)).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["name"], "tokmond.logging.tests");
        assert_eq!(line["message"], "half read");
        assert_eq!(line["files"], 3);
        assert_eq!(line["path"], "a\"b");
        let stamp: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(stamp.as_second() > 0);
    }

    #[test]
    fn the_journal_gets_priorities() {
        assert_eq!(logged(true), "<4>half read files=3 path=\"a\\\"b\"\n");
    }
}
