//! One connection: HTTP/1 or HTTP/2, whichever its first bytes are. It ends when nothing useful came for a while, so
//! that whoever opens connections and is silent, or speaks one letter at a time, does not keep their places.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::trace;

use super::{Shared, request};

/// Longest wait for the first request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Longest silence after one: exporters of metrics speak once a minute.
const IDLE: Duration = Duration::from_secs(150);
/// Longest time that the head of a request may take.
const HEAD: Duration = Duration::from_secs(10);
/// Longest wait for a good end.
const CLOSING: Duration = Duration::from_secs(1);
/// Largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Requests at once on one connection.
const MAX_STREAMS: u32 = 16;
/// What may be under way on one stream, and on one connection, in bytes: it waits in memory before anybody is asked
/// for a token.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, cancel: CancellationToken) {
    // Begun and ended requests: when they differ, one is being answered.
    let begun = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicU64::new(0));
    let service = service_fn(|request| {
        let (shared, begun, ended) = (shared.clone(), begun.clone(), ended.clone());
        async move {
            begun.fetch_add(1, Ordering::Relaxed);
            let response = request::answer(&shared, request).await;
            ended.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let (mut wait, mut seen, mut closing) = (FIRST_REQUEST, 0, false);
    loop {
        tokio::select! {
            done = connection.as_mut() => {
                if let Err(e) = done {
                    trace!("a connection of telemetry ended badly: {e}");
                }
                return;
            }
            () = cancel.cancelled(), if !closing => {
                connection.as_mut().graceful_shutdown();
                (wait, closing) = (CLOSING, true);
            }
            () = tokio::time::sleep(wait) => {
                let done = ended.load(Ordering::Relaxed);
                let busy = begun.load(Ordering::Relaxed) != done;
                if closing && !busy {
                    return;
                }
                if !busy && done == seen {
                    connection.as_mut().graceful_shutdown();
                    (wait, closing) = (CLOSING, true);
                } else if !closing {
                    (wait, seen) = (IDLE, done);
                }
            }
        }
    }
}
