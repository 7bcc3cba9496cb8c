//! `tokmonctl export`: one analysis as a document.

use std::io::Write;
use std::path::PathBuf;

use tokmon_client::v1::ExportRequest;

use crate::anonymize::Veiled;
use crate::context::Context;
use crate::failure::{Failure, io_error};
use crate::show::{self, json as to_json};
use crate::waste::Period;

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of the document
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// Which time
    #[arg(long, value_enum, default_value = "today")]
    period: Period,
    /// Time zone of days, e.g. Europe/Berlin [default: the daemon's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    #[command(flatten)]
    veiled: Veiled,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file when it exists
    #[arg(long, requires = "output")]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For programs
    Json,
    /// For spreadsheets
    Csv,
    /// For browsers
    Html,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Html => "html",
        }
    }
}

/// `tokmonctl export`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let answer = client
        .export(ExportRequest {
            format: args.format.name().to_owned(),
            period: args.period.name().to_owned(),
            timezone: args.timezone.clone().unwrap_or_default(),
            anonymize: args.veiled.wish()?,
        })
        .await?;
    let Some(file) = args.output.as_ref().filter(|f| f.as_os_str() != "-") else {
        return show::print(&answer.content);
    };
    write(file, &answer.content, args.force)?;
    let bytes = answer.content.len();
    if context.json {
        let told = serde_json::json!({"file": file, "bytes": bytes, "media_type": answer.media_type});
        return show::print(&to_json::document(&told));
    }
    show::print(&format!("Wrote {bytes} bytes to {}.\n", file.display()))
}

pub(crate) fn write(file: &std::path::Path, content: &str, force: bool) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create(force)
        .truncate(force)
        .create_new(!force);
    let written = options
        .open(file)
        .and_then(|mut f| f.write_all(content.as_bytes()));
    written.map_err(|e| {
        let error = io_error("write", file.display(), &e);
        match e.kind() {
            std::io::ErrorKind::AlreadyExists => error.with_hint("--force replaces it"),
            _ => error,
        }
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.csv");
        write(&file, "long content", false).unwrap();
        assert_eq!(write(&file, "b", false).unwrap_err().tell(), 73);
        write(&file, "b", true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "b");
    }
}
