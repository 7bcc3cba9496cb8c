//! The closed set of error kinds, mapped symmetrically to gRPC status, exit code and HTTP status.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Trailer that carries the kind's name.
pub const REASON: &str = "tokmon-reason";
/// Trailer that carries a hint for the caller (ASCII).
pub const HINT: &str = "tokmon-hint";

/// What kind of failure it was. Nobody needs to match on message text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong: which field, and what is allowed.
    Invalid,
    /// No such thing.
    NotFound,
    /// It exists already, or changed meanwhile.
    Conflict,
    /// Not this caller.
    Forbidden,
    /// Too much at once; try again.
    Busy,
    /// The daemon or its store cannot serve now.
    Unavailable,
    /// Client and daemon do not speak the same contract, or the data is newer than the program.
    Incompatible,
    /// Stored data is damaged.
    Damaged,
    /// A fault in tokmon itself.
    Bug,
}

impl Kind {
    /// Every kind, for tables and tests.
    pub const ALL: [Kind; 9] = [
        Kind::Invalid,
        Kind::NotFound,
        Kind::Conflict,
        Kind::Forbidden,
        Kind::Busy,
        Kind::Unavailable,
        Kind::Incompatible,
        Kind::Damaged,
        Kind::Bug,
    ];

    /// The name in the `tokmon-reason` trailer.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::NotFound => "not_found",
            Kind::Conflict => "conflict",
            Kind::Forbidden => "forbidden",
            Kind::Busy => "busy",
            Kind::Unavailable => "unavailable",
            Kind::Incompatible => "incompatible",
            Kind::Damaged => "damaged",
            Kind::Bug => "bug",
        }
    }

    /// The gRPC status code.
    pub fn code(self) -> Code {
        match self {
            Kind::Invalid => Code::InvalidArgument,
            Kind::NotFound => Code::NotFound,
            Kind::Conflict => Code::AlreadyExists,
            Kind::Forbidden => Code::PermissionDenied,
            Kind::Busy => Code::ResourceExhausted,
            Kind::Unavailable => Code::Unavailable,
            Kind::Incompatible => Code::FailedPrecondition,
            Kind::Damaged => Code::DataLoss,
            Kind::Bug => Code::Internal,
        }
    }

    /// The process exit code (sysexits).
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Invalid => 64,
            Kind::Damaged => 65,
            Kind::NotFound => 66,
            Kind::Unavailable => 69,
            Kind::Bug => 70,
            Kind::Conflict => 73,
            Kind::Busy => 75,
            Kind::Incompatible => 76,
            Kind::Forbidden => 77,
        }
    }

    /// The HTTP status.
    pub fn http_status(self) -> u16 {
        match self {
            Kind::Invalid => 400,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::Conflict => 409,
            Kind::Incompatible => 426,
            Kind::Damaged | Kind::Bug => 500,
            Kind::Busy | Kind::Unavailable => 503,
        }
    }

    /// The kind that a status stands for. Codes that we never send fall back to the nearest kind.
    pub fn of(status: &Status) -> Kind {
        let name = status.metadata().get(REASON).and_then(|v| v.to_str().ok());
        if let Some(kind) = Kind::ALL.into_iter().find(|k| Some(k.name()) == name) {
            return kind;
        }
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Kind::Invalid,
            Code::NotFound => Kind::NotFound,
            Code::AlreadyExists | Code::Aborted => Kind::Conflict,
            Code::PermissionDenied | Code::Unauthenticated => Kind::Forbidden,
            Code::ResourceExhausted => Kind::Busy,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Kind::Unavailable,
            Code::FailedPrecondition | Code::Unimplemented => Kind::Incompatible,
            Code::DataLoss => Kind::Damaged,
            _ => Kind::Bug,
        }
    }

    /// Makes the status that carries this kind.
    pub fn status(self, message: impl Into<String>, hint: Option<&str>) -> Status {
        let mut status = Status::new(self.code(), message);
        status
            .metadata_mut()
            .insert(REASON, MetadataValue::from_static(self.name()));
        if let Some(value) = hint.and_then(|h| h.parse().ok()) {
            status.metadata_mut().insert(HINT, value);
        }
        status
    }
}

/// The hint that a status carries.
pub fn hint(status: &Status) -> Option<String> {
    let value = status.metadata().get(HINT)?;
    Some(value.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in Kind::ALL {
            let status = kind.status("m", Some("do this"));
            assert_eq!(Kind::of(&status), kind);
            assert_eq!(hint(&status).as_deref(), Some("do this"));
        }
    }

    #[test]
    fn every_kind_is_told_by_its_code_alone() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(&Status::new(kind.code(), "m")), kind);
        }
    }

    #[test]
    fn exit_codes_are_distinct() {
        let mut codes: Vec<u8> = Kind::ALL.iter().map(|k| k.exit_code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Kind::ALL.len());
    }
}
