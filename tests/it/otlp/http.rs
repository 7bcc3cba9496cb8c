//! HTTP by hand, so that it can be wrong in every way.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tokmon_tests::daemon::PATIENCE;
use tokmon_tests::env::Env;

/// Where telemetry goes, and with what.
pub(crate) struct Door {
    pub(crate) endpoint: String,
    pub(crate) token: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }
}

impl Door {
    /// The door of a running daemon.
    pub(crate) fn of(env: &Env) -> Door {
        let endpoint = env.ctl_json(&["status"])["otlp"]["endpoints"][0].clone();
        let token = std::fs::read_to_string(env.paths().otlp_token_file()).expect("the token");
        Door {
            endpoint: endpoint.as_str().expect("an endpoint").to_owned(),
            token: token.trim().to_owned(),
        }
    }

    pub(crate) fn address(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    /// Sends JSON with the token.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut all = vec![("x-tokmon-token", self.token.as_str())];
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend(headers);
        self.raw("POST", path, &all, body)
    }

    /// Sends these headers and no others but those of the connection.
    pub(crate) fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in [("host", self.address())] {
            if !headers.iter().any(|(given, _)| *given == name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if !headers
            .iter()
            .any(|(name, _)| *name == "content-length" || *name == "transfer-encoding")
        {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.bytes(&[head.as_bytes(), body].concat())
    }

    /// Sends bytes and reads to the end.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // Who is turned away early may close before all is sent.
        let _cut = stream.write_all(bytes);
        read(&mut stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }
}

/// Reads an answer until the other side closes.
pub(crate) fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    // A reset after the answer is as good an end as any.
    while let Ok(length) = stream.read(&mut chunk) {
        if length == 0 {
            break;
        }
        bytes.extend(&chunk[..length]);
    }
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map_or(bytes.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        head,
        body: bytes[end..].to_vec(),
    }
}
