//! Standard input with an eye on its lines. The SDK passes over what is no JSON and what is too long without a word
//! (an answer would have no id, and could start a storm); here it is at least told on standard error.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rmcp::transport::async_rw::DEFAULT_MAX_LINE_LENGTH;
use serde_json::Value;
use tokio::io::{AsyncRead, ReadBuf};

/// A reader whose unusable lines are told.
pub(crate) struct Watched<R, T> {
    inner: R,
    line: Line,
    tell: T,
}

/// The line that is being read.
#[derive(Default)]
struct Line {
    start: Vec<u8>,
    length: usize,
}

impl<R, T: FnMut(String)> Watched<R, T> {
    pub(crate) fn new(inner: R, tell: T) -> Watched<R, T> {
        Watched {
            inner,
            line: Line::default(),
            tell,
        }
    }
}

impl Line {
    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        if self.length <= DEFAULT_MAX_LINE_LENGTH {
            self.start.extend_from_slice(bytes);
        } else {
            self.start = Vec::new();
        }
    }

    /// The line is complete: what is wrong with it.
    fn end(&mut self) -> Option<String> {
        let Line { start, length } = std::mem::take(self);
        // The line break counts.
        if length >= DEFAULT_MAX_LINE_LENGTH {
            return Some(format!(
                "a message of {length} bytes was passed over: allowed are less than {DEFAULT_MAX_LINE_LENGTH}"
            ));
        }
        if start.trim_ascii().is_empty() {
            return None;
        }
        let wrong = serde_json::from_slice::<Value>(&start).err()?;
        Some(format!(
            "a line was passed over: it is not JSON ({wrong}); allowed is one JSON-RPC message per line"
        ))
    }
}

impl<R: AsyncRead + Unpin, T: FnMut(String) + Unpin> AsyncRead for Watched<R, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = polled {
            let mut rest = &buf.filled()[before..];
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                this.line.add(&rest[..end]);
                if let Some(wrong) = this.line.end() {
                    (this.tell)(wrong);
                }
                rest = &rest[end + 1..];
            }
            this.line.add(rest);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    fn told(input: &[u8]) -> Vec<String> {
        let mut told = Vec::new();
        let mut through = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut watched = Watched::new(input, |wrong| told.push(wrong));
        runtime.block_on(watched.read_to_end(&mut through)).unwrap();
        assert_eq!(through, input, "every byte passes");
        told
    }

    #[test]
    fn what_is_no_json_is_told() {
        assert_eq!(told(b"{\"a\": 1}\n\r\n\n[]\n").len(), 0);
        let wrong = told(b"hello\n{\"a\": 1}\n{\"a\": \n\"\xff\xfe\"\n");
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(
            wrong
                .iter()
                .all(|w| w.contains("not JSON") && w.contains("allowed"))
        );
    }

    #[test]
    fn what_is_too_long_is_told_and_not_kept() {
        let mut input = vec![b'x'; DEFAULT_MAX_LINE_LENGTH + 5];
        input.extend(b"\n{}\n");
        let wrong = told(&input);
        assert_eq!(wrong.len(), 1);
        assert!(
            wrong[0].contains(&(DEFAULT_MAX_LINE_LENGTH + 5).to_string()),
            "{wrong:?}"
        );
    }
}
