//! Answers, in the form of the request: gRPC, OTLP over HTTP in protobuf, or in JSON.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokmon_capture::otlp::{Accepted, Signal};

/// How a request came and its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Grpc,
    Protobuf,
    Json,
}

/// Why a request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// No token, or a wrong one.
    Unauthorized,
    /// From a web page.
    Forbidden,
    /// For another host.
    Misdirected,
    /// No such path.
    NotFound,
    /// Not POST.
    Method,
    /// An unknown type or packing of the body.
    Media,
    TooLarge,
    /// The body did not come in time.
    Slow,
    Malformed,
    /// Too many requests of late.
    TooMany,
    /// Too much to do; come again.
    Busy,
    /// The ledger cannot write; come again later.
    Unavailable,
}

impl Why {
    /// HTTP status, gRPC code, and after how many seconds it is worth trying again.
    fn codes(self) -> (StatusCode, u8, Option<u16>) {
        match self {
            Why::Unauthorized => (StatusCode::UNAUTHORIZED, 16, None),
            Why::Forbidden => (StatusCode::FORBIDDEN, 7, None),
            Why::Misdirected => (StatusCode::MISDIRECTED_REQUEST, 7, None),
            Why::NotFound => (StatusCode::NOT_FOUND, 12, None),
            Why::Method => (StatusCode::METHOD_NOT_ALLOWED, 12, None),
            Why::Media => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 12, None),
            // Exporters send again what was RESOURCE_EXHAUSTED only when they are told when.
            Why::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, 8, None),
            Why::Slow => (StatusCode::REQUEST_TIMEOUT, 4, None),
            Why::Malformed => (StatusCode::BAD_REQUEST, 3, None),
            Why::TooMany => (StatusCode::TOO_MANY_REQUESTS, 14, Some(1)),
            Why::Busy => (StatusCode::SERVICE_UNAVAILABLE, 14, Some(2)),
            Why::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, 14, Some(30)),
        }
    }
}

/// A body of one piece, and the trailers that gRPC ends with.
#[derive(Debug, Default)]
pub(super) struct Payload {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

impl Form {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Form::Grpc => "application/grpc",
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        })
    }

    fn respond(self, status: StatusCode, data: Vec<u8>, trailers: Option<HeaderMap>) -> Response<Payload> {
        let mut response = Response::new(Payload {
            data: (!data.is_empty()).then(|| data.into()),
            trailers,
        });
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, self.content_type());
        response
    }

    /// The answer to a request that was taken.
    pub(super) fn accepted(self, signal: Signal, accepted: &Accepted) -> Response<Payload> {
        let ok = StatusCode::OK;
        match self {
            Form::Json => self.respond(ok, json_accepted(signal, accepted), None),
            Form::Protobuf => self.respond(ok, protobuf_accepted(accepted), None),
            Form::Grpc => {
                let message = protobuf_accepted(accepted);
                let mut framed = vec![0];
                framed.extend(u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
                framed.extend(message);
                let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
                self.respond(ok, framed, Some(trailers))
            }
        }
    }

    /// The answer to a request that was turned away.
    pub(super) fn refused(self, why: Why, message: &str) -> Response<Payload> {
        let (status, code, again) = why.codes();
        let mut response = match self {
            Form::Grpc => {
                let mut response = self.respond(StatusCode::OK, Vec::new(), None);
                let headers = response.headers_mut();
                headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code)));
                if let Ok(message) = HeaderValue::from_str(&percent(message)) {
                    headers.insert(GRPC_MESSAGE, message);
                }
                response
            }
            Form::Json => {
                let body = serde_json::json!({"code": code, "message": message}).to_string();
                self.respond(status, body.into_bytes(), None)
            }
            Form::Protobuf => {
                let mut body = vec![0x08, code];
                put_bytes(&mut body, 2, message.as_bytes());
                self.respond(status, body, None)
            }
        };
        let headers = response.headers_mut();
        if let Some(seconds) = again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        match why {
            Why::Method => drop(headers.insert(header::ALLOW, HeaderValue::from_static("POST"))),
            Why::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Why::Media => {
                // What may be sent, so that a client can send it so.
                let name = HeaderName::from_static("grpc-accept-encoding");
                headers.insert(name, HeaderValue::from_static("identity,gzip,deflate"));
                headers.insert(
                    header::ACCEPT_ENCODING,
                    HeaderValue::from_static("identity,gzip,deflate"),
                );
            }
            _ => {}
        }
        response
    }
}

fn json_accepted(signal: Signal, accepted: &Accepted) -> Vec<u8> {
    if accepted.rejected == 0 {
        return b"{}".to_vec();
    }
    let rejected = match signal {
        Signal::Logs => "rejectedLogRecords",
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
    };
    let count = accepted.rejected.to_string();
    serde_json::json!({"partialSuccess": {rejected: count, "errorMessage": accepted.problem}})
        .to_string()
        .into_bytes()
}

/// `ExportLogsServiceResponse` and its like, which are alike.
fn protobuf_accepted(accepted: &Accepted) -> Vec<u8> {
    let mut message = Vec::new();
    if accepted.rejected > 0 {
        let mut partial = vec![0x08];
        put_varint(&mut partial, accepted.rejected);
        put_bytes(&mut partial, 2, accepted.problem.as_bytes());
        put_bytes(&mut message, 1, &partial);
    }
    message
}

fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    into.push((number & 0x7f) as u8);
}

fn put_bytes(into: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    into.push(field << 3 | 2);
    put_varint(into, bytes.len() as u64);
    into.extend(bytes);
}

/// A message as gRPC's header has it.
fn percent(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes().take(1_000) {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_success_in_every_form() {
        let accepted = Accepted {
            rejected: 300,
            problem: "no".to_owned(),
        };
        let json = json_accepted(Signal::Traces, &accepted);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"partialSuccess":{"errorMessage":"no","rejectedSpans":"300"}}"#
        );
        let bytes = [0x0a, 7, 0x08, 0xac, 0x02, 0x12, 2, b'n', b'o'];
        assert_eq!(protobuf_accepted(&accepted), bytes);
        let mut framed = vec![0, 0, 0, 0, 9];
        framed.extend(bytes);
        let response = Form::Grpc.accepted(Signal::Logs, &accepted);
        assert_eq!(response.body().data.as_deref(), Some(framed.as_slice()));
        assert_eq!(response.body().trailers.as_ref().unwrap()[GRPC_STATUS], "0");
        assert_eq!(json_accepted(Signal::Logs, &Accepted::default()), b"{}");
        assert_eq!(protobuf_accepted(&Accepted::default()), b"");
    }

    #[test]
    fn refusals_have_the_status_of_their_form_and_say_when_to_come_again() {
        for (why, http, grpc, again) in [
            (Why::Unauthorized, 401, "16", None),
            (Why::TooLarge, 413, "8", None),
            (Why::Malformed, 400, "3", None),
            (Why::Busy, 503, "14", Some("2")),
            (Why::TooMany, 429, "14", Some("1")),
        ] {
            for form in [Form::Json, Form::Protobuf, Form::Grpc] {
                let response = form.refused(why, "zu groß\n");
                let headers = response.headers();
                if form == Form::Grpc {
                    assert_eq!(response.status(), 200);
                    assert_eq!(headers[GRPC_STATUS], grpc);
                    assert_eq!(headers[GRPC_MESSAGE], "zu gro%C3%9F%0A");
                } else {
                    assert_eq!(response.status(), http);
                }
                let retry = headers
                    .get(header::RETRY_AFTER)
                    .map(|value| value.to_str().unwrap());
                assert_eq!(retry, again);
            }
        }
    }
}
