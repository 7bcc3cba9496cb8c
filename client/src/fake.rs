//! A daemon for tests of the client: it shakes hands, tells its process and refuses everything else.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tokmon_proto::error::Kind;
use tokmon_proto::v1::{self, daemon_service_server as server};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::Paths;

/// What the daemon says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fake {
    pub(crate) contract: u32,
    pub(crate) pid: u32,
}

impl Fake {
    /// Listens where clients look; ends when the handle is aborted.
    pub(crate) fn serve(self, paths: &Paths) -> JoinHandle<()> {
        let dir = &paths.run_dir;
        DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
        // A listener that is gone leaves its file.
        let _ = std::fs::remove_file(&paths.socket);
        let listener = UnixListener::bind(&paths.socket).unwrap();
        let service = server::DaemonServiceServer::new(self);
        tokio::spawn(async move {
            let connections = UnixListenerStream::new(listener);
            Server::builder()
                .add_service(service)
                .serve_with_incoming(connections)
                .await
                .unwrap();
        })
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn refuse<T>() -> Answer<T> {
    Err(Kind::Busy.status("not now", Some("try again")))
}

#[tonic::async_trait]
impl server::DaemonService for Fake {
    async fn handshake(&self, _: Request<v1::HandshakeRequest>) -> Answer<v1::HandshakeResponse> {
        Ok(Response::new(v1::HandshakeResponse {
            contract: self.contract,
            version: "9.9.9".to_owned(),
            pid: self.pid,
        }))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        Ok(Response::new(v1::StatusResponse {
            pid: self.pid,
            ..Default::default()
        }))
    }

    type ImportStream = tokio_stream::Empty<Result<v1::ImportProgress, Status>>;

    async fn import(&self, _: Request<v1::ImportRequest>) -> Answer<Self::ImportStream> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn stop(&self, _: Request<v1::StopRequest>) -> Answer<v1::StopResponse> {
        refuse()
    }

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Answer<v1::BackupResponse> {
        refuse()
    }

    async fn verify(&self, _: Request<v1::VerifyRequest>) -> Answer<v1::VerifyResponse> {
        refuse()
    }

    async fn compact(&self, _: Request<v1::CompactRequest>) -> Answer<v1::CompactResponse> {
        refuse()
    }

    async fn purge(&self, _: Request<v1::PurgeRequest>) -> Answer<v1::PurgeResponse> {
        refuse()
    }

    async fn restore(&self, _: Request<v1::RestoreRequest>) -> Answer<v1::RestoreResponse> {
        refuse()
    }

    async fn reset(&self, _: Request<v1::ResetLedgerRequest>) -> Answer<v1::ResetLedgerResponse> {
        refuse()
    }

    async fn config(&self, _: Request<v1::ConfigRequest>) -> Answer<v1::ConfigResponse> {
        refuse()
    }
}
