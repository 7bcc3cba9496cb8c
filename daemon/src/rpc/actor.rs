//! Who asks: what the socket knows of the other end, and what the program there calls itself.

use tokmon_core::actor::Actor;
use tokmon_ledger::Ledger;
use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::context::Context;
use crate::listener::Peer;

/// The ledger in the hands of whoever sent a request.
pub(super) fn ledger<T>(app: &Context, request: &Request<T>) -> Ledger {
    app.ledger.by(of(app, request))
}

fn of<T>(app: &Context, request: &Request<T>) -> Actor {
    let agent = user_agent(request.metadata());
    let Some(peer) = request.extensions().get::<Peer>() else {
        return Actor::new("", agent, 0);
    };
    // A program that never shook hands has at least its library's name.
    let client = peer.client.get().map_or(agent, String::as_str);
    Actor::new(&app.login, client, peer.pid)
}

/// Keeps what a program calls itself, for as long as its connection lasts.
pub(super) fn introduce<T>(request: &Request<T>, name: &str) {
    if let Some(peer) = request.extensions().get::<Peer>()
        && !name.trim().is_empty()
    {
        // Who introduces himself twice is known by his first name.
        peer.client.get_or_init(|| name.to_owned());
    }
}

/// The first word: "tokmonctl/0.1.0 tonic/0.14" is tokmonctl.
fn user_agent(metadata: &MetadataMap) -> &str {
    let text = metadata.get("user-agent").and_then(|agent| agent.to_str().ok());
    text.and_then(|text| text.split_whitespace().next())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_a_handshake_has_its_librarys_name() {
        let mut request = Request::new(());
        assert_eq!(user_agent(request.metadata()), "");
        let agent = "grpc-python/1.66.1 grpc-c/43.0.0 (linux; chttp2)"
            .parse()
            .unwrap();
        request.metadata_mut().insert("user-agent", agent);
        assert_eq!(user_agent(request.metadata()), "grpc-python/1.66.1");
        let peer = Peer {
            uid: 1,
            pid: 2,
            client: Default::default(),
        };
        request.extensions_mut().insert(peer.clone());
        introduce(&request, " ");
        assert_eq!(peer.client.get(), None);
        introduce(&request, "mine 1.0");
        introduce(&request, "other");
        assert_eq!(peer.client.get().map(String::as_str), Some("mine 1.0"));
    }
}
