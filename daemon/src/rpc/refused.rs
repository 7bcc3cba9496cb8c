//! Errors that no handler made, in the form of all others: a message that cannot be read, one that is too large, a
//! method that does not exist. And no error is longer than the headers that clients take.

use tokmon_core::limits::MAX_MESSAGE_BYTES;
use tokmon_proto::error::{HINT, Kind, REASON};
use tonic::codegen::http::Response;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Longest message of an error, in characters. Clients take 16 kB of headers, and a character takes up to twelve.
const LONGEST: usize = 1_000;

/// The answer, its error put into our form.
pub(super) fn explained<B>(mut response: Response<B>) -> Response<B> {
    let better = Status::from_header_map(response.headers()).and_then(|status| better(&status));
    if let Some(status) = better
        && let Err(e) = status.add_header(response.headers_mut())
    {
        tracing::debug!("an error goes out as it was: {e}");
    }
    response
}

/// The same error in our form; nothing when it has it already.
fn better(status: &Status) -> Option<Status> {
    let message = status.message();
    if status.code() == Code::Ok {
        return None;
    }
    if status.metadata().contains_key(REASON) {
        return (message.chars().nth(LONGEST).is_some()).then(|| {
            let mut short = Status::new(status.code(), cut(message));
            for name in [REASON, HINT] {
                if let Some(value) = status.metadata().get(name) {
                    short.metadata_mut().insert(name, value.clone());
                }
            }
            short
        });
    }
    if message.starts_with("failed to decode Protobuf message") {
        let told = format!(
            "the request cannot be read: {}; allowed: the request messages of tokmon.v1",
            cut(message)
        );
        return Some(Kind::Invalid.status(told, None));
    }
    if status.code() == Code::OutOfRange && message.contains("decoded message length") {
        let told = format!("the request is too large; allowed: at most {MAX_MESSAGE_BYTES} bytes");
        return Some(Kind::Invalid.status(told, None));
    }
    let told = match (status.code(), message) {
        (Code::Unimplemented, "") => {
            "this daemon has no such method; reflection lists those it has".to_owned()
        }
        _ => cut(message),
    };
    let mut named = Status::new(status.code(), told);
    let reason = MetadataValue::from_static(Kind::of(status).name());
    named.metadata_mut().insert(REASON, reason);
    Some(named)
}

fn cut(message: &str) -> String {
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(status: Status) -> Status {
        let response = explained(status.into_http::<()>());
        Status::from_header_map(response.headers()).unwrap()
    }

    #[test]
    fn what_the_transport_refuses_names_its_kind() {
        for (code, message, wanted, kind, part) in [
            (
                Code::Internal,
                "failed to decode Protobuf message: invalid varint",
                Code::InvalidArgument,
                Kind::Invalid,
                "varint",
            ),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 9 bytes",
                Code::InvalidArgument,
                Kind::Invalid,
                "83886080",
            ),
            (
                Code::Unimplemented,
                "",
                Code::Unimplemented,
                Kind::Incompatible,
                "no such method",
            ),
            (
                Code::Cancelled,
                "gone",
                Code::Cancelled,
                Kind::Unavailable,
                "gone",
            ),
        ] {
            let status = sent(Status::new(code, message));
            assert_eq!(status.code(), wanted);
            let reason = status.metadata().get(REASON).unwrap();
            assert_eq!(reason.to_str().unwrap(), kind.name());
            assert!(status.message().contains(part), "{status:?}");
        }
    }

    #[test]
    fn long_messages_are_cut_and_keep_their_kind_and_hint() {
        let long = "ü".repeat(100_000);
        let status = sent(Kind::NotFound.status(long, Some("look elsewhere")));
        assert_eq!(Kind::of(&status), Kind::NotFound);
        assert_eq!(
            tokmon_proto::error::hint(&status).as_deref(),
            Some("look elsewhere")
        );
        assert_eq!(status.message().chars().count(), LONGEST + 1);
    }

    #[test]
    fn our_own_errors_go_out_as_they_are() {
        let status = Kind::Busy.status("later", None);
        assert!(better(&status).is_none());
        assert!(better(&Status::ok("")).is_none());
    }
}
