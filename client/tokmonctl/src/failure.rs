//! Why a command ends early, and how it is told: message and hint on standard error, an exit code for programs.

use std::fmt::Display;
use std::io::{self, Write};

use tokmon_client::{Error, Kind};

use crate::show::Screen;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell.
    Told(Error),
    /// A budget said no, and that has been printed: an answer, not an error.
    Denied,
    /// Whoever read our output went away, e.g. `| head`. Nothing to tell.
    ReaderGone,
}

impl Failure {
    /// A failure of a file operation, with the kind that fits it.
    pub(crate) fn io(do_what: &str, what: impl Display, error: &io::Error) -> Failure {
        Failure::Told(io_error(do_what, what, error))
    }

    /// Tells it and yields the exit code.
    pub(crate) fn tell(&self) -> u8 {
        match self {
            Failure::ReaderGone => 0,
            Failure::Denied => 1,
            Failure::Told(error) => {
                let mut text = format!("tokmonctl: {}\n", printable(&error.message));
                if let Some(hint) = &error.hint {
                    text.push_str(&format!("hint: {}\n", printable(hint)));
                }
                let text = Screen::of_stderr().fold(&text, 2);
                // Nobody is left to be told when standard error is gone.
                let _ = io::stderr().lock().write_all(text.as_bytes());
                error.exit_code()
            }
        }
    }
}

/// Messages may have several lines but must not steer the terminal.
fn printable(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(crate::show::clean).collect();
    lines.join("\n")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Told(error)
    }
}

/// A failed file operation as an error with the kind that fits it.
pub(crate) fn io_error(do_what: &str, what: impl Display, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Forbidden,
        io::ErrorKind::AlreadyExists => Kind::Conflict,
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => {
            Kind::Invalid
        }
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("cannot {do_what} {what}: {error}"))
}

/// A request that is wrong before it is sent.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_errors_have_their_kinds() {
        for (from, to) in [
            (io::ErrorKind::NotFound, Kind::NotFound),
            (io::ErrorKind::PermissionDenied, Kind::Forbidden),
            (io::ErrorKind::AlreadyExists, Kind::Conflict),
            (io::ErrorKind::IsADirectory, Kind::Invalid),
            (io::ErrorKind::StorageFull, Kind::Unavailable),
        ] {
            assert_eq!(io_error("read", "x", &from.into()).kind(), to);
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(Failure::ReaderGone.tell(), 0);
    }
}
