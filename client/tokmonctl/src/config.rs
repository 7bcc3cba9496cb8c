//! `tokmonctl config`: every key with its value, where it came from and what it does; and changing the file.
//!
//! A change keeps the file's comments and order, and is put in place only when the daemon's own check accepts it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Subcommand;
use serde_json::{Value, json};
use tokmon_client::v1::{ConfigKey, ConfigRequest};
use tokmon_client::{Error, Kind, Paths, find_program};
use toml_edit::{DocumentMut, Item, Table as TomlTable, TableLike};

use crate::context::Context;
use crate::failure::{Failure, invalid, io_error};
use crate::show::{self, Screen, json as to_json};

/// Exit code for a bad configuration file.
const EXIT_CONFIG: u8 = 78;

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every key with its value, default, origin and what it does [the default]
    List,
    /// The value of one key
    Get {
        /// The key, e.g. retention.days
        key: String,
    },
    /// Change one key in the file
    Set {
        /// The key, e.g. retention.days
        key: String,
        /// The value; lists as '["a", "b"]'
        value: String,
    },
    /// Remove one key from the file, so that its default holds
    Unset {
        /// The key, e.g. retention.days
        key: String,
    },
    /// Where the file is
    Path,
}

/// `tokmonctl config`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let paths = Paths::from_env().map_err(|e| invalid(e.to_string()).with_exit_code(EXIT_CONFIG))?;
    let file = paths.config_file();
    match args.verb.as_ref().unwrap_or(&Verb::List) {
        Verb::Path if context.json => show::print(&to_json::document(&json!({ "path": file }))),
        Verb::Path => show::print(&format!("{}\n", file.display())),
        Verb::List => {
            let answer = context.client().await?.config(ConfigRequest {}).await?;
            if context.json {
                let keys: Vec<Value> = answer.keys.iter().map(as_json).collect();
                return show::print(&to_json::document(&json!({"file": answer.file, "keys": keys})));
            }
            show::print(&draw(&answer.keys, &answer.file, &context.screen()))
        }
        Verb::Get { key } => {
            let keys = context.client().await?.config(ConfigRequest {}).await?.keys;
            let found = find(&keys, key)?;
            show::print(&if context.json {
                to_json::document(&as_json(found))
            } else {
                format!("{}\n", show::clean(&found.value))
            })
        }
        Verb::Set { key, value } => {
            change(&file, |document| set(document, key, value))?;
            changed(context, key, &format!("Set {key} in {}.", file.display()))
        }
        Verb::Unset { key } => {
            change(&file, |document| unset(document, key))?;
            changed(context, key, &format!("Removed {key} from {}.", file.display()))
        }
    }
}

fn changed(context: &Context, key: &str, text: &str) -> Result<(), Failure> {
    if context.json {
        return show::print(&to_json::document(
            &json!({"key": key, "takes_effect": "on restart"}),
        ));
    }
    show::print(&format!(
        "{}\nIt takes effect with `tokmonctl daemon restart`.\n",
        show::clean(text)
    ))
}

fn find<'a>(keys: &'a [ConfigKey], name: &str) -> Result<&'a ConfigKey, Error> {
    keys.iter().find(|k| k.key == name).ok_or_else(|| {
        let last = name.rsplit('.').next().unwrap_or(name);
        let near: Vec<&str> = keys
            .iter()
            .map(|k| k.key.as_str())
            .filter(|k| k.contains(last))
            .collect();
        let hint = if near.is_empty() {
            "`tokmonctl config` lists every key".to_owned()
        } else {
            format!("did you mean {}?", near.join(" or "))
        };
        Error::new(Kind::NotFound, format!("there is no configuration key `{name}`")).with_hint(hint)
    })
}

fn as_json(k: &ConfigKey) -> Value {
    json!({"key": k.key, "value": k.value, "default": k.default_value, "origin": k.origin, "help": k.help})
}

fn draw(keys: &[ConfigKey], file: &str, screen: &Screen) -> String {
    let mut out = String::new();
    for k in keys {
        let origin = if k.value == k.default_value {
            k.origin.clone()
        } else {
            format!("{}; default {}", k.origin, k.default_value)
        };
        out.push_str(&format!(
            "{} = {}  ({})\n",
            screen.bold(&show::clean(&k.key)),
            show::clean(&k.value),
            show::clean(&origin)
        ));
        let help = format!("    {}", show::clean(&k.help));
        let narrow = Screen {
            width: screen.width.or(Some(100)),
            ..*screen
        };
        out.push_str(&format!("{}\n", narrow.fold(&help, 4)));
    }
    out.push_str(&format!("\nThe file is {}.\n", show::clean(file)));
    out
}

/// Changes the file: read, change, let the daemon's program check the result, replace.
fn change(file: &Path, edit: impl FnOnce(&mut DocumentMut) -> Result<(), Error>) -> Result<(), Error> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(io_error("read", file.display(), &e)),
    };
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| {
        invalid(format!("{} is not TOML: {}", file.display(), e.message())).with_exit_code(EXIT_CONFIG)
    })?;
    edit(&mut document)?;
    let draft = draft(file, &document.to_string())?;
    let replaced = fs::rename(&draft, file).map_err(|e| io_error("replace", file.display(), &e));
    if replaced.is_err() {
        let _ = fs::remove_file(&draft);
    }
    replaced
}

/// A checked draft beside the file. One that is refused does not stay.
fn draft(file: &Path, text: &str) -> Result<PathBuf, Error> {
    let dir = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(|e| io_error("create", dir.display(), &e))?;
    let draft = file.with_extension("toml.new");
    let outcome = write(&draft, text).and_then(|()| check(&draft, file));
    if outcome.is_err() {
        // A draft that was refused is of no use to anybody.
        let _ = fs::remove_file(&draft);
    }
    outcome.map(|()| draft)
}

/// Whether the daemon would take this text as its configuration file.
pub(crate) fn accepts(file: &Path, text: &str) -> Result<(), Error> {
    let draft = draft(file, text)?;
    fs::remove_file(&draft).map_err(|e| io_error("remove", draft.display(), &e))
}

/// A configuration with a value at a key, as `config set` would write it.
pub(crate) fn with(mut document: DocumentMut, key: &str, value: &str) -> Result<String, Error> {
    set(&mut document, key, value)?;
    Ok(document.to_string())
}

fn write(file: &Path, text: &str) -> Result<(), Error> {
    let written = fs::File::create(file).and_then(|mut f| {
        f.write_all(text.as_bytes())?;
        f.sync_all()
    });
    written.map_err(|e| io_error("write", file.display(), &e))
}

/// Asks the daemon's program whether it would accept the draft.
fn check(draft: &Path, file: &Path) -> Result<(), Error> {
    let program = find_program()?;
    let output = Command::new(&program)
        .arg("check-config")
        .arg("--config")
        .arg(draft)
        .output()
        .map_err(|e| io_error("run", program.display(), &e))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr)
        .replace(&draft.display().to_string(), &file.display().to_string());
    let said = said.trim().trim_start_matches("tokmond: ").to_owned();
    Err(invalid(said)
        .with_hint("nothing was changed; `tokmonctl config` lists every key and what is allowed"))
}

/// Puts a value at a dotted key. What reads as TOML is taken as such, anything else is a text.
fn set(document: &mut DocumentMut, key: &str, value: &str) -> Result<(), Error> {
    let new: toml_edit::Value = value.parse().unwrap_or_else(|_| value.into());
    let (parents, last) = split(key)?;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for part in parents {
        let item = table.entry(part).or_insert_with(|| {
            let mut fresh = TomlTable::new();
            // A table that only holds tables needs no header of its own.
            fresh.set_implicit(true);
            Item::Table(fresh)
        });
        table = item.as_table_like_mut().ok_or_else(|| {
            invalid(format!("`{part}` in `{key}` is a value in the file, not a table"))
                .with_exit_code(EXIT_CONFIG)
        })?;
    }
    match table.get_mut(last).and_then(Item::as_value_mut) {
        // The comment behind a value stays.
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(last, Item::Value(new));
        }
    }
    Ok(())
}

fn unset(document: &mut DocumentMut, key: &str) -> Result<(), Error> {
    let missing = || Error::new(Kind::NotFound, format!("`{key}` is not set in the file"));
    let (parents, last) = split(key)?;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for part in parents {
        table = table
            .get_mut(part)
            .and_then(Item::as_table_like_mut)
            .ok_or_else(missing)?;
    }
    table.remove(last).map(|_| ()).ok_or_else(missing)
}

fn split(key: &str) -> Result<(Vec<&str>, &str), Error> {
    let mut parts: Vec<&str> = key.split('.').collect();
    if parts.iter().any(|p| p.is_empty()) {
        return Err(invalid(format!(
            "`{key}` is not a key; keys look like retention.days"
        )));
    }
    let last = parts.pop().unwrap_or_default();
    Ok((parts, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\ntimezone = \"UTC\" # fixed\n\n[retention]\n# long\ndays = 60 # two months\n";

    fn after(edits: &[(&str, &str)]) -> String {
        let mut document: DocumentMut = FILE.parse().unwrap();
        for (key, value) in edits {
            set(&mut document, key, value).unwrap();
        }
        document.to_string()
    }

    #[test]
    fn comments_and_order_stay() {
        assert_eq!(after(&[("retention.days", "90")]), FILE.replace("60", "90"));
        assert_eq!(
            after(&[("timezone", "Europe/Berlin")]),
            FILE.replace("UTC", "Europe/Berlin")
        );
    }

    #[test]
    fn new_keys_get_their_tables() {
        let text = after(&[
            ("waste.read_loop.calls", "7"),
            ("capture.claude_dirs", "[\"/a\", \"/b\"]"),
            ("privacy.notes", "false"),
        ]);
        for part in [
            "[waste.read_loop]\ncalls = 7\n",
            "[capture]\nclaude_dirs = [\"/a\", \"/b\"]\n",
            "notes = false",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(text.starts_with(FILE), "{text}");
    }

    #[test]
    fn tables_in_one_line_and_dotted_keys_stay_so() {
        for (text, wanted) in [
            (
                "otlp = { listen = [\"[::1]:1\"] } # here\n",
                "otlp = { listen = [\"[::1]:1\"] , enabled = true } # here\n",
            ),
            (
                "otlp.listen = [\"[::1]:1\"]\n",
                "otlp.listen = [\"[::1]:1\"]\notlp.enabled = true\n",
            ),
        ] {
            let mut document: DocumentMut = text.parse().unwrap();
            set(&mut document, "otlp.enabled", "true").unwrap();
            let with = document.to_string();
            assert_eq!(with.replace("] , ", "], "), wanted.replace("] , ", "], "));
            unset(&mut document, "otlp.enabled").unwrap();
            assert!(!document.to_string().contains("enabled"), "{document}");
        }
    }

    #[test]
    fn a_key_can_be_removed() {
        let mut document: DocumentMut = FILE.parse().unwrap();
        unset(&mut document, "retention.days").unwrap();
        assert!(!document.to_string().contains("days"));
        assert_eq!(
            unset(&mut document, "retention.days").unwrap_err().kind(),
            Kind::NotFound
        );
        assert_eq!(unset(&mut document, "x.y").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let mut document: DocumentMut = FILE.parse().unwrap();
        for key in ["", ".", "a..b", "timezone.x"] {
            assert_eq!(
                set(&mut document, key, "1").unwrap_err().kind(),
                Kind::Invalid,
                "{key}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let keys = [ConfigKey {
            key: "retention.days".into(),
            ..ConfigKey::default()
        }];
        let error = find(&keys, "retain.days").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean retention.days?"));
        assert!(find(&keys, "retention.days").is_ok());
    }

    #[test]
    fn every_key_is_shown_whole() {
        let key = ConfigKey {
            key: "retention.days".into(),
            value: "60".into(),
            default_value: "30".into(),
            origin: "file".into(),
            help: "Days that single records are kept; totals are kept for ever.".into(),
        };
        let narrow = Screen {
            width: Some(40),
            colour: false,
        };
        let text = draw(&[key], "/f", &narrow);
        assert!(
            text.starts_with("retention.days = 60  (file; default 30)\n    Days that"),
            "{text}"
        );
        assert!(text.lines().all(|l| l.chars().count() <= 40), "{text}");
        assert!(text.contains("ever."), "{text}");
    }

    #[test]
    fn a_file_that_is_not_toml_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        fs::write(&file, "a = [").unwrap();
        let error = change(&file, |d| set(d, "x", "1")).unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert_eq!(fs::read_to_string(&file).unwrap(), "a = [");
    }
}
