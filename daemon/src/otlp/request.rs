//! One request: who may send what, where to, and how it is written.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, Response};
use tokmon_capture::otlp::{Encoding, ReceiveError, Receiver, Signal};
use tokmon_core::limits::MAX_OTLP_BODY_BYTES;
use tracing::debug;

use super::Shared;
use super::answer::{Form, Payload, Why};
use super::body::{self, Packing, Refused, Share};

/// The header that carries the token, for senders whose headers cannot hold a blank.
const TOKEN_HEADER: &str = "x-tokmon-token";

/// Longest wait for a turn; with the wait for the ledger less than exporters' ten seconds.
const TURN_PATIENCE: Duration = Duration::from_secs(4);

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Telemetry of this kind.
    Signal(Signal),
    /// Telemetry of whatever kind the body is: some agents send all to one path.
    Any,
}

/// Answers one request.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Payload> {
    let form = form_of(request.headers());
    match take(shared, form, request).await {
        Ok(response) => response,
        Err((why, message)) => {
            // What the receiver refuses it has counted itself.
            if !matches!(why, Why::Malformed) {
                shared.receiver.refused(&message);
            }
            debug!(?why, "telemetry refused: {message}");
            form.unwrap_or(Form::Json).refused(why, &message)
        }
    }
}

async fn take(
    shared: &Shared,
    form: Option<Form>,
    request: Request<Incoming>,
) -> Result<Response<Payload>, Refused> {
    let (head, incoming) = request.into_parts();
    guard(&head.headers, head.uri.host())?;
    let (path, shown) = split_token(shared, head.uri.path());
    if !shown && !shared.is_authorized(&head.headers) {
        let message = "no valid token: send the one in otlp.token (`tokmonctl status` says where) \
                       as the header x-tokmon-token or as a bearer token";
        return Err((Why::Unauthorized, message.to_owned()));
    }
    if !shared.rate.take() {
        return Err((Why::TooMany, "too many requests in a second".to_owned()));
    }
    let target = target(form, path)?;
    if head.method != Method::POST {
        return Err((
            Why::Method,
            format!("{} is not allowed; allowed: POST", head.method),
        ));
    }
    let Some(form) = form else {
        let allowed =
            "unknown type of body; allowed: application/x-protobuf, application/json, application/grpc";
        return Err((Why::Media, allowed.to_owned()));
    };
    let packing = packing(form, &head.headers)?;
    let mut share = Share::new(&shared.memory);
    let mut bytes = body::read(incoming, &mut share).await?;
    let mut packed = packing != Packing::Plain;
    if form == Form::Grpc {
        (bytes, packed) = body::message(bytes).inspect_err(|refused| shared.receiver.refused(&refused.1))?;
    }
    if packed {
        bytes = body::unpack(bytes, packing, &mut share).inspect_err(|(why, said)| {
            if *why == Why::Malformed {
                shared.receiver.refused(said)
            }
        })?;
    }
    let encoding = match form {
        Form::Json => Encoding::Json,
        Form::Protobuf | Form::Grpc => Encoding::Protobuf,
    };
    let signal = match target {
        Target::Signal(signal) => signal,
        Target::Any => {
            let sniffed = (encoding == Encoding::Json)
                .then(|| Receiver::sniff(&bytes))
                .flatten();
            sniffed.ok_or_else(not_found)?
        }
    };
    // What a body becomes may be larger than the body.
    let turn = tokio::time::timeout(TURN_PATIENCE, shared.turns.acquire()).await;
    let _turn = turn.map_err(|_| (Why::Busy, "too much telemetry at once".to_owned()))?;
    match shared.receiver.receive(signal, encoding, bytes).await {
        Ok(accepted) => Ok(form.accepted(signal, &accepted)),
        Err(ReceiveError::Malformed(what)) => Err((Why::Malformed, what)),
        Err(ReceiveError::Busy) => Err((Why::Busy, "the ledger is busy".to_owned())),
        Err(ReceiveError::Unavailable(what)) => Err((Why::Unavailable, what)),
    }
}

/// The form of a request by the type of its body.
fn form_of(headers: &HeaderMap) -> Option<Form> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match media.as_str() {
        "application/json" => Some(Form::Json),
        "application/x-protobuf" | "application/protobuf" => Some(Form::Protobuf),
        "application/grpc" | "application/grpc+proto" => Some(Form::Grpc),
        _ => None,
    }
}

/// Keeps web pages out, also those whose name leads to this machine.
fn guard(headers: &HeaderMap, authority: Option<&str>) -> Result<(), Refused> {
    if headers.contains_key(header::ORIGIN) {
        return Err((Why::Forbidden, "web pages may not send telemetry".to_owned()));
    }
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = authority.or(named).unwrap_or_default();
    if is_loopback(host) {
        Ok(())
    } else {
        let allowed = "the request is for another host; allowed: localhost and loopback addresses";
        Err((Why::Misdirected, allowed.to_owned()))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The path without a token at its beginning, and whether there was the right one: some agents can be given an
/// endpoint, but no headers.
fn split_token<'p>(shared: &Shared, path: &'p str) -> (&'p str, bool) {
    let rest = path.trim_start_matches('/');
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match &shared.token {
        Some(token) if token.is(first) => (rest, true),
        _ => (path.trim_start_matches('/'), false),
    }
}

fn target(form: Option<Form>, path: &str) -> Result<Target, Refused> {
    let path = path.trim_end_matches('/');
    if form == Some(Form::Grpc) {
        let services = [
            (
                Signal::Logs,
                "opentelemetry.proto.collector.logs.v1.LogsService/Export",
            ),
            (
                Signal::Traces,
                "opentelemetry.proto.collector.trace.v1.TraceService/Export",
            ),
            (
                Signal::Metrics,
                "opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            ),
        ];
        let service = services.into_iter().find(|(_, name)| *name == path);
        return service.map(|(signal, _)| Target::Signal(signal)).ok_or_else(|| {
            (
                Why::NotFound,
                "no such method; allowed: Export of OTLP's services".to_owned(),
            )
        });
    }
    if path.is_empty() {
        return Ok(Target::Any);
    }
    // Agents that are given a whole URL for each signal sometimes get the path twice.
    let named = |signal: &Signal| {
        let last = path
            .strip_suffix(signal.name())
            .and_then(|rest| rest.strip_suffix("v1/"));
        last.is_some_and(|rest| rest.is_empty() || rest.starts_with("v1/"))
    };
    let signal = Signal::ALL.into_iter().find(named);
    signal.map(Target::Signal).ok_or_else(not_found)
}

fn not_found() -> Refused {
    let allowed = "no such path; allowed: /v1/logs, /v1/traces, /v1/metrics, and / for JSON";
    (Why::NotFound, allowed.to_owned())
}

fn packing(form: Form, headers: &HeaderMap) -> Result<Packing, Refused> {
    let name = match form {
        Form::Grpc => "grpc-encoding",
        Form::Json | Form::Protobuf => "content-encoding",
    };
    let value = headers.get(name).map_or(Some(""), |value| value.to_str().ok());
    if let Some(length) = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|l| l.to_str().ok()?.parse::<usize>().ok())
        && length > MAX_OTLP_BODY_BYTES
    {
        return Err(body::too_large());
    }
    value.and_then(Packing::of).ok_or_else(|| {
        (
            Why::Media,
            format!("unknown {name}; allowed: identity, gzip, deflate"),
        )
    })
}

impl Shared {
    /// Whether the headers hold the token.
    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let own = headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token);
        own.into_iter().chain(bearer).any(|guess| token.is(guess.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_and_no_others() {
        for (host, local) in [
            ("localhost", true),
            ("LOCALHOST:14318", true),
            ("127.0.0.1:4318", true),
            ("127.8.9.1", true),
            ("[::1]:4318", true),
            ("[::1]", true),
            ("", false),
            ("evil.example:14318", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("192.168.0.1", false),
            ("[2001:db8::1]:80", false),
        ] {
            assert_eq!(is_loopback(host), local, "{host}");
        }
    }

    #[test]
    fn paths() {
        let (http, grpc) = (Some(Form::Protobuf), Some(Form::Grpc));
        for (form, path, wanted) in [
            (http, "v1/logs", Some(Target::Signal(Signal::Logs))),
            (http, "v1/traces/", Some(Target::Signal(Signal::Traces))),
            (http, "v1/logs/v1/logs", Some(Target::Signal(Signal::Logs))),
            (http, "", Some(Target::Any)),
            (http, "logs", None),
            (http, "v2/logs", None),
            (http, "etc/v1/logs", None),
            (
                http,
                "opentelemetry.proto.collector.logs.v1.LogsService/Export",
                None,
            ),
            (
                grpc,
                "opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
                Some(Target::Signal(Signal::Metrics)),
            ),
            (grpc, "v1/logs", None),
            (grpc, "", None),
        ] {
            assert_eq!(target(form, path).ok(), wanted, "{path}");
        }
    }
}
