//! The command line: small enough to read by hand, so that the program stays small and quick to start.

use std::ffi::OsString;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
Serves the Model Context Protocol on standard input and output.

Usage: tokmon-mcp [--tools all|minimal]

  --tools all      all eight tools (default)
  --tools minimal  log_token_usage and get_current_session_stats only
  --version        print the version
  --help           print this

TOKMON_HOME and TOKMON_SOCKET say where the daemon is; it is started when it is not running.";

/// Which tools are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToolSet {
    /// All eight.
    All,
    /// Recording and the session's statistics.
    Minimal,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Serve until standard input ends.
    Serve(ToolSet),
    /// Print the version.
    Version,
    /// Print the usage.
    Help,
}

/// Reads the arguments after the program's name. Errors: a sentence that names what is wrong.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Action, String> {
    let mut tools = ToolSet::All;
    let mut arguments = arguments.into_iter().map(|a| a.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        let value = match argument.as_str() {
            "--version" | "-V" => return Ok(Action::Version),
            "--help" | "-h" => return Ok(Action::Help),
            "--tools" => arguments.next().ok_or("--tools needs a value: all or minimal")?,
            other => match other.strip_prefix("--tools=") {
                Some(value) => value.to_owned(),
                None => return Err(format!("unknown argument '{other}'")),
            },
        };
        tools = match value.as_str() {
            "all" => ToolSet::All,
            "minimal" => ToolSet::Minimal,
            other => return Err(format!("--tools is 'all' or 'minimal', not '{other}'")),
        };
    }
    Ok(Action::Serve(tools))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let cases: [(&[&str], Result<Action, &str>); 9] = [
            (&[], Ok(Action::Serve(ToolSet::All))),
            (&["--tools", "all"], Ok(Action::Serve(ToolSet::All))),
            (&["--tools", "minimal"], Ok(Action::Serve(ToolSet::Minimal))),
            (&["--tools=minimal"], Ok(Action::Serve(ToolSet::Minimal))),
            (&["--version"], Ok(Action::Version)),
            (&["-h"], Ok(Action::Help)),
            (&["--tools"], Err("--tools needs a value: all or minimal")),
            (
                &["--tools", "some"],
                Err("--tools is 'all' or 'minimal', not 'some'"),
            ),
            (&["serve"], Err("unknown argument 'serve'")),
        ];
        for (arguments, expected) in cases {
            let parsed = parse(arguments.iter().map(OsString::from));
            assert_eq!(parsed, expected.map_err(str::to_owned), "{arguments:?}");
        }
    }
}
