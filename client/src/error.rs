//! What a failed call tells its caller: the kind, one sentence, and what helps.

use std::error::Error as _;
use std::fmt;

use tokmon_proto::error::{self, Kind};
use tonic::Status;

/// A failure, ready to be shown. Nobody needs to match on the message: the kind says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    /// One sentence that names what was wrong.
    pub message: String,
    /// What the caller can do about it.
    pub hint: Option<String>,
    exit_code: Option<u8>,
}

impl Error {
    /// A failure of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
            hint: None,
            exit_code: None,
        }
    }

    /// The same failure with something that helps.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with an exit code that its kind does not have, e.g. 78 for a bad configuration file.
    #[must_use]
    pub fn with_exit_code(mut self, code: u8) -> Error {
        self.exit_code = Some(code);
        self
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit code for a program that ends because of it.
    pub fn exit_code(&self) -> u8 {
        self.exit_code.unwrap_or_else(|| self.kind.exit_code())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        // A status with a source was made on this side: the connection broke before the daemon answered.
        if status.metadata().get(error::REASON).is_none() && status.source().is_some() {
            return Error::new(
                Kind::Unavailable,
                "the connection to the daemon broke before it answered",
            )
            .with_hint("see `tokmonctl daemon logs` for why, then try again");
        }
        let mut failure = Error::new(Kind::of(&status), status.message());
        if failure.message.is_empty() {
            failure.message = format!("the daemon answered {:?}", status.code());
        }
        failure.hint = error::hint(&status);
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_keeps_kind_message_and_hint() {
        let error = Error::from(Kind::Busy.status("queue is full", Some("try again")));
        assert_eq!(error.kind(), Kind::Busy);
        assert_eq!(error.exit_code(), 75);
        assert_eq!(error.to_string(), "queue is full");
        assert_eq!(error.hint.as_deref(), Some("try again"));
    }

    #[test]
    fn a_broken_connection_is_unavailable() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let error = Error::from(Status::from_error(Box::new(broken)));
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.message.contains("connection"));
    }

    #[test]
    fn an_exit_code_can_differ_from_the_kind() {
        let error = Error::new(Kind::Invalid, "m").with_exit_code(78);
        assert_eq!((error.kind(), error.exit_code()), (Kind::Invalid, 78));
    }

    #[test]
    fn a_status_without_words_still_says_something() {
        let error = Error::from(Status::new(tonic::Code::NotFound, ""));
        assert_eq!(error.message, "the daemon answered NotFound");
    }
}
