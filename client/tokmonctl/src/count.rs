//! `tokmonctl count`: the tokens of files or of standard input, for a model. The text goes to the daemon and is not kept.

mod body;
mod calibration;
mod next;

pub(crate) use body::basis;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokmon_client::v1::{Count, CountRequest};
use tokmon_client::{Client, Error};

use crate::context::Context;
use crate::failure::{Failure, invalid, io_error};
use crate::show::number::count;
use crate::show::table::{Look, Table, figures, path, text};
use crate::show::{self, Screen, json as to_json};

/// Largest text that the daemon counts, in bytes.
const MAX_TEXT: u64 = 64 * 1024 * 1024;

/// Arguments of `count`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files to count; none or - means standard input
    files: Vec<PathBuf>,
    /// Whose tokenizer [default: gpt-5; with --request: as the body says; with --session: who answered last]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Count the body of a request to a model (JSON), part by part: - means standard input
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    request: Option<PathBuf>,
    /// Whose request it is [default: judged by the body]
    #[arg(long, value_enum, requires = "request")]
    provider: Option<body::Provider>,
    /// Foretell the next prompt of a session from its last bill and what was appended since
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "request", "calibration"])]
    session: Option<String>,
    /// Whose session it is [default: whoever made its last call]
    #[arg(long, value_name = "NAME", requires = "session")]
    agent: Option<String>,
    /// Show what was learned from bills, of all models or of --model: estimates go by it
    #[arg(long, conflicts_with_all = ["files", "request"])]
    calibration: bool,
}

/// Without a word about it.
const USUAL_MODEL: &str = "gpt-5";

/// `tokmonctl count`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.calibration {
        return calibration::run(args.model.as_deref(), context).await;
    }
    if let Some(session) = &args.session {
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        return next::run(session, named(&args.agent), named(&args.model), context).await;
    }
    if let Some(file) = &args.request {
        return body::run(file, args.provider, args.model.as_deref(), context).await;
    }
    let model = args.model.as_deref().unwrap_or(USUAL_MODEL);
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() {
        &stdin[..]
    } else {
        &args.files
    };
    // A file that cannot be read stops everything before the daemon is asked for anything.
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        texts.push(read(file)?);
    }
    let client = context.client().await?;
    let mut counted = Vec::with_capacity(files.len());
    for (file, text) in files.iter().zip(texts) {
        counted.push((file.display().to_string(), one(&client, text, model).await?));
    }
    if context.json {
        return show::print(&to_json::document(&as_json(&counted, model)));
    }
    show::print(&draw(&counted, &context.screen()))
}

async fn one(client: &Client, text: Vec<u8>, model: &str) -> Result<Count, Error> {
    client
        .count(CountRequest {
            text,
            model: model.to_owned(),
            agent: String::new(),
        })
        .await
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let name = file.display();
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_TEXT + 1).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(MAX_TEXT + 1).read_to_end(&mut text))
    };
    read.map_err(|e| io_error("read", &name, &e))?;
    if text.len() as u64 > MAX_TEXT {
        return Err(invalid(format!(
            "{name} has more than 64 MiB, the most that is counted at once"
        ))
        .with_hint("split it and add the counts"));
    }
    Ok(text)
}

fn sum(counted: &[(String, Count)]) -> u64 {
    counted.iter().fold(0, |sum, (_, c)| sum.saturating_add(c.tokens))
}

fn as_json(counted: &[(String, Count)], model: &str) -> Value {
    let files: Vec<Value> = counted
        .iter()
        .map(|(file, c)| {
            json!({
                "file": file, "tokens": c.tokens, "encoding": c.encoding, "exact": c.exact,
                "low": c.low, "high": c.high, "note": c.note, "basis": body::basis(c.basis.as_ref()),
            })
        })
        .collect();
    json!({"model": model, "tokens": sum(counted), "exact": counted.iter().all(|(_, c)| c.exact), "files": files})
}

fn draw(counted: &[(String, Count)], screen: &Screen) -> String {
    let mut table = Table::new(vec![
        figures("Tokens", 0),
        text("Basis", 1),
        text("Encoding", 2),
        path("File", 0),
    ]);
    for (file, c) in counted {
        let basis = c
            .basis
            .as_ref()
            .map_or_else(String::new, |basis| basis.label.clone());
        let look = if c.exact { Look::Plain } else { Look::Warning };
        table.row(
            look,
            vec![count(c.tokens), basis, c.encoding.clone(), file.clone()],
        );
    }
    if counted.len() > 1 {
        table.row(
            Look::Total,
            vec![
                count(sum(counted)),
                String::new(),
                String::new(),
                "together".to_owned(),
            ],
        );
    }
    let mut out = table.render(screen);
    let mut notes: Vec<&str> = counted
        .iter()
        .map(|(_, c)| c.note.as_str())
        .filter(|n| !n.is_empty())
        .collect();
    notes.dedup();
    for note in notes {
        out.push_str(&format!("{}\n", screen.warning(&show::clean(note))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::Kind;
    use tokmon_client::v1::Basis;

    #[test]
    fn sums_are_exact_only_when_every_part_is() {
        let exact = Count {
            tokens: 3,
            exact: true,
            ..Count::default()
        };
        let estimate = Count {
            tokens: 5,
            low: 4,
            high: 6,
            basis: Some(Basis {
                kind: "prior".into(),
                label: "prior (±20 %)".into(),
                ..Basis::default()
            }),
            note: "estimated".into(),
            ..Count::default()
        };
        let counted = [("a".to_owned(), exact), ("b".to_owned(), estimate)];
        let value = as_json(&counted, "m");
        assert_eq!(
            (value["tokens"].as_u64(), value["exact"].as_bool()),
            (Some(8), Some(false))
        );
        let text = draw(
            &counted,
            &Screen {
                width: Some(60),
                colour: false,
            },
        );
        assert!(
            text.contains("prior (±20 %)") && text.contains("estimated") && text.contains("together"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_a_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(dir.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        let error = read(&dir.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.message.contains("none"));
    }
}
