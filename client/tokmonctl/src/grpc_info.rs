//! `tokmonctl grpc-info`: ready lines for other languages. The daemon need not run.

use serde_json::json;
use tokmon_client::Paths;

use crate::context::Context;
use crate::failure::{Failure, invalid};
use crate::show::{self, json as to_json};

/// gRPC libraries in C take the percent-encoded socket path as the authority, which HTTP/2 forbids.
const AUTHORITY: &str = "localhost";

/// `tokmonctl grpc-info`.
pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let socket = Paths::from_env().map_err(|e| invalid(e.to_string()))?.socket;
    let socket = socket.display().to_string();
    if context.json {
        let value = json!({"socket": socket, "target": format!("unix:{socket}"), "authority": AUTHORITY, "package": "tokmon.v1", "contract": tokmon_proto::CONTRACT});
        return show::print(&to_json::document(&value));
    }
    // Ready lines stay whole, so that they can be copied.
    let screen = context.screen();
    let line = |line: &str| match line.contains(&socket) {
        true => format!("{line}\n"),
        false => format!("{}\n", screen.fold(line, 0)),
    };
    show::print(&text(&socket).lines().map(line).collect::<String>())
}

fn text(socket: &str) -> String {
    format!(
        "The daemon serves tokmon.v1 with health and reflection on this socket; only your user may connect:\n  \
         {socket}\n\n\
         The authority must be `{AUTHORITY}`: some libraries send the socket's path instead, which HTTP/2 forbids.\n\n\
         Python   grpc.insecure_channel('unix:{socket}', options=[('grpc.default_authority', '{AUTHORITY}')])\n\
         Node.js  new Client('unix:{socket}', grpc.credentials.createInsecure(), {{'grpc.default_authority': '{AUTHORITY}'}})\n\
         Go       grpc.NewClient(\"unix:{socket}\", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(\"{AUTHORITY}\"))\n\
         grpcurl  grpcurl -plaintext -unix -authority {AUTHORITY} {socket} list\n\n\
         The contract is in proto/tokmon/v1. `tokmonctl daemon start` starts the daemon.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_socket_and_authority() {
        let text = text("/s.sock");
        for language in ["Python", "Node.js", "Go ", "grpcurl"] {
            let line = text.lines().find(|l| l.starts_with(language)).unwrap();
            assert!(line.contains("/s.sock") && line.contains("localhost"), "{line}");
        }
    }
}
