//! The daemon service: who it is, how it is, and care of the store.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::Stream;
use tokmon_capture::otlp::Measured;
use tokmon_capture::{Progress, SourceStatus};
use tokmon_ledger::{Health, LedgerError, StoreError};
use tokmon_proto::error::Kind;
use tokmon_proto::v1::daemon_service_server::DaemonService;
use tokmon_proto::{CONTRACT, v1};
use tonic::{Request, Response, Status};
use tracing::info;

use super::{actor, status};
use crate::context::Context;
use crate::process::resident_bytes;
use crate::retention::horizon_ms;

/// What `Reset` wants to read before it starts an empty ledger.
const RESET_WORDS: &str = "reset all data";

/// Answers for the process.
pub(super) struct Daemon(pub Arc<Context>);

impl Daemon {
    fn sources(&self) -> Vec<v1::SourceStatus> {
        let sources = self.0.capture.as_ref().map(|c| c.status()).unwrap_or_default();
        sources.into_iter().map(source).collect()
    }

    async fn telemetry(&self) -> Option<v1::OtlpStatus> {
        let app = &self.0;
        let telemetry = app.telemetry.as_ref()?;
        let tally = telemetry.tally();
        let token_file = app.paths.otlp_token_file().display().to_string();
        let senders = tally.senders.into_iter().map(|sender| v1::OtlpSender {
            agent: sender.agent.to_string(),
            calls: sender.calls,
            last_ms: sender.last_ms,
        });
        Some(v1::OtlpStatus {
            endpoints: tally.endpoints,
            error: tally.error,
            token_file: Some(token_file)
                .filter(|_| app.config.otlp_require_token)
                .unwrap_or_default(),
            requests: tally.requests,
            calls: tally.calls,
            duplicates: tally.duplicates,
            others: tally.others,
            rejected: tally.rejected,
            refused: tally.refused,
            last_ms: tally.last_ms,
            senders: senders.collect(),
            problems: tally.problems.into(),
            drifts: self.drifts(telemetry.measured()).await,
        })
    }

    /// The sessions of which meters say more than the ledger has. What cannot be read now is told by the state.
    async fn drifts(&self, measured: Vec<Measured>) -> Vec<v1::OtlpDrift> {
        let ledger = self.0.ledger.clone();
        let drift = move |said: Measured| {
            let row = ledger.session(&said.agent, &said.session)?;
            let booked_tokens = row.map_or(0, |row| row.agg.tokens.total());
            Ok(v1::OtlpDrift {
                agent: said.agent.to_string(),
                session: said.session.to_string(),
                measured_tokens: said.tokens.total(),
                booked_tokens,
                last_ms: said.last_ms,
            })
        };
        let all = status::read(move || measured.into_iter().map(drift).collect::<Result<Vec<_>, _>>()).await;
        let mut all = all.unwrap_or_default();
        all.retain(|drift| drift.measured_tokens > drift.booked_tokens);
        all
    }

    /// Another ledger has other read positions.
    fn read_again(&self) {
        if let Some(capture) = &self.0.capture {
            capture.reload();
        }
    }
}

#[tonic::async_trait]
impl DaemonService for Daemon {
    async fn handshake(
        &self,
        request: Request<v1::HandshakeRequest>,
    ) -> Result<Response<v1::HandshakeResponse>, Status> {
        actor::introduce(&request, &request.get_ref().client);
        let v1::HandshakeRequest { contract, client } = request.into_inner();
        if contract != CONTRACT {
            return Err(Kind::Incompatible.status(
                format!(
                    "client {:?} speaks contract {contract}, this daemon speaks {CONTRACT}",
                    super::convert::excerpt(&client)
                ),
                Some("install the same version of tokmond and its clients, then `tokmonctl daemon restart`"),
            ));
        }
        Ok(Response::new(v1::HandshakeResponse {
            contract: CONTRACT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        }))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        let app = &self.0;
        let (state, state_reason) = match app.ledger.health() {
            _ if app.cancel.is_cancelled() => ("stopping", String::new()),
            Health::Serving => ("serving", String::new()),
            Health::ReadOnly(why) => ("read_only", why),
        };
        let ledger = app.ledger.clone();
        // A store that cannot be read is a state to report, not a reason to stay silent.
        let stats = status::read(move || ledger.stats()).await.unwrap_or_default();
        Ok(Response::new(v1::StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            contract: CONTRACT,
            pid: std::process::id(),
            socket: app.paths.socket.display().to_string(),
            started_at_ms: app.started_at_ms,
            state: state.to_owned(),
            state_reason,
            ledger: Some(v1::LedgerStatus {
                path: app.paths.ledger_file().display().to_string(),
                schema_version: stats.schema_version,
                entries: stats.entries,
                last_seq: stats.last_seq,
                file_bytes: stats.file_bytes,
                oldest_ms: stats.oldest_ms,
                newest_ms: stats.newest_ms,
                purge_horizon_ms: stats.purge_horizon_ms,
            }),
            sources: self.sources(),
            home: app.paths.state_dir.display().to_string(),
            config_file: app.paths.config_file().display().to_string(),
            resident_bytes: resident_bytes(),
            otlp: self.telemetry().await,
        }))
    }

    type ImportStream = Pin<Box<dyn Stream<Item = Result<v1::ImportProgress, Status>> + Send>>;

    async fn import(&self, _: Request<v1::ImportRequest>) -> Result<Response<Self::ImportStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let app = self.0.clone();
        tokio::spawn(async move {
            let daemon = Daemon(app.clone());
            let mut last = v1::ImportProgress::default();
            if let Some(capture) = &app.capture {
                let mut progress = capture.import();
                loop {
                    last = import_progress(&progress.borrow_and_update());
                    if last.done {
                        break;
                    }
                    if sender.send(Ok(last.clone())).await.is_err() {
                        return;
                    }
                    tokio::select! {
                        changed = progress.changed() => if changed.is_err() { break },
                        () = app.cancel.cancelled() => return,
                    }
                }
            }
            let done = v1::ImportProgress {
                done: true,
                sources: daemon.sources(),
                ..last
            };
            let _ = sender.send(Ok(done)).await;
        });
        Ok(Response::new(Box::pin(
            tokio_stream::wrappers::ReceiverStream::new(receiver),
        )))
    }

    async fn stop(&self, _: Request<v1::StopRequest>) -> Result<Response<v1::StopResponse>, Status> {
        info!("asked to stop by a client");
        self.0.cancel.cancel();
        Ok(Response::new(v1::StopResponse {}))
    }

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<v1::BackupResponse>, Status> {
        let path = absolute(&request.into_inner().path)?;
        if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
            return Err(Kind::NotFound.status(format!("{} is not a directory", dir.display()), None));
        }
        let (ledger, to) = (self.0.ledger.clone(), path.clone());
        let (bytes, last_seq) = status::read(move || ledger.backup(&to)).await?;
        info!(path = %path.display(), bytes, "backup written");
        Ok(Response::new(v1::BackupResponse {
            path: path.display().to_string(),
            bytes,
            last_seq,
        }))
    }

    async fn verify(
        &self,
        request: Request<v1::VerifyRequest>,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        let path = request.into_inner().path;
        let path = if path.is_empty() { None } else { Some(file(&path)?) };
        let (ledger, of) = (self.0.ledger.clone(), path.clone());
        let found = tokio::task::spawn_blocking(move || ledger.verify(of.as_deref())).await;
        let found = status::joined(found)?.map_err(|e| other_file(path.as_deref(), e))?;
        Ok(Response::new(v1::VerifyResponse {
            ok: found.findings.is_empty(),
            entries_checked: found.entries_checked,
            chain_head: found.chain_head.iter().map(|b| format!("{b:02x}")).collect(),
            findings: found.findings,
        }))
    }

    async fn compact(&self, _: Request<v1::CompactRequest>) -> Result<Response<v1::CompactResponse>, Status> {
        let ledger = self.0.ledger.clone();
        let (bytes_before, bytes_after) = status::read(move || ledger.compact()).await?;
        Ok(Response::new(v1::CompactResponse {
            bytes_before,
            bytes_after,
        }))
    }

    async fn purge(&self, request: Request<v1::PurgeRequest>) -> Result<Response<v1::PurgeResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let v1::PurgeRequest { before_ms, dry_run } = request.into_inner();
        let now = self.0.clock.now_ms();
        let horizon_ms = match before_ms {
            0 => horizon_ms(now, self.0.config.retention_days),
            ms if ms > 0 && ms <= now => ms,
            ms => {
                return Err(status::invalid(
                    "before_ms",
                    ms.to_string(),
                    "an instant in the past, or 0",
                ));
            }
        };
        let purged = ledger
            .purge(horizon_ms, None, dry_run)
            .await
            .map_err(status::ledger)?;
        Ok(Response::new(v1::PurgeResponse {
            records: purged.records,
            horizon_ms: purged.horizon_ms,
        }))
    }

    async fn restore(
        &self,
        request: Request<v1::RestoreRequest>,
    ) -> Result<Response<v1::RestoreResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let path = file(&request.into_inner().path)?;
        let swapped = ledger.restore(&path).await;
        let swapped = swapped.map_err(|e| other_file(Some(&path), e))?;
        self.read_again();
        super::keep_policy(&self.0).await?;
        info!(from = %path.display(), set_aside = %swapped.set_aside.display(), "ledger restored");
        Ok(Response::new(v1::RestoreResponse {
            entries: swapped.entries,
            set_aside: swapped.set_aside.display().to_string(),
        }))
    }

    async fn reset(
        &self,
        request: Request<v1::ResetLedgerRequest>,
    ) -> Result<Response<v1::ResetLedgerResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        if request.into_inner().confirm != RESET_WORDS {
            return Err(status::invalid(
                "confirm",
                "the words are not right",
                format!("{RESET_WORDS:?}"),
            ));
        }
        let swapped = ledger.reset().await.map_err(status::ledger)?;
        self.read_again();
        super::keep_policy(&self.0).await?;
        info!(set_aside = %swapped.set_aside.display(), "ledger reset");
        Ok(Response::new(v1::ResetLedgerResponse {
            set_aside: swapped.set_aside.display().to_string(),
        }))
    }

    async fn config(&self, _: Request<v1::ConfigRequest>) -> Result<Response<v1::ConfigResponse>, Status> {
        let keys = self.0.config.settings.iter().map(|setting| v1::ConfigKey {
            key: setting.key.name.to_owned(),
            value: setting.value.to_string(),
            default_value: setting.key.default.to_owned(),
            origin: setting.origin.name().to_owned(),
            help: format!(
                "{} Allowed: {}.",
                setting.key.help,
                setting.key.allowed.describe()
            ),
        });
        Ok(Response::new(v1::ConfigResponse {
            keys: keys.collect(),
            file: self.0.paths.config_file().display().to_string(),
        }))
    }
}

fn absolute(path: &str) -> Result<PathBuf, Status> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(status::invalid(
            "path",
            format!("{path:?}"),
            "an absolute path: the daemon has another working directory",
        ))
    }
}

/// The absolute path of a file that exists.
fn file(path: &str) -> Result<PathBuf, Status> {
    let path = absolute(path)?;
    if path.is_file() {
        Ok(path)
    } else {
        Err(Kind::NotFound.status(format!("{} is not a file", path.display()), None))
    }
}

/// The status of an error about a file that is not the running ledger: the hints for that one would mislead.
fn other_file(path: Option<&Path>, error: LedgerError) -> Status {
    match (path, &error) {
        (Some(path), LedgerError::Store(StoreError::Damaged(why))) => Kind::Damaged.status(
            format!("{} is damaged or is no ledger of tokmon: {why}", path.display()),
            Some("the running ledger is as it was"),
        ),
        _ => status::ledger(error),
    }
}

fn source(s: SourceStatus) -> v1::SourceStatus {
    v1::SourceStatus {
        agent: s.agent.name().to_owned(),
        path: s.path.display().to_string(),
        state: s.state.name().to_owned(),
        files: s.files,
        bytes: s.bytes,
        bytes_read: s.bytes_read,
        records: s.records,
        duplicates: s.duplicates,
        parse_failures: s.parse_failures,
        failures: (s.failures.into_iter())
            .map(|f| v1::ParseFailure {
                path: f.path.to_string(),
                offset: f.offset,
                message: f.message,
            })
            .collect(),
        last_record_ms: s.last_record_ms,
        error: s.error,
        polled: s.polled,
        unknown_fields: (s.unknown.into_iter())
            .map(|u| v1::UnknownField {
                field: u.field,
                count: u.count,
                path: u.path.to_string(),
                offset: u.offset,
            })
            .collect(),
    }
}

fn import_progress(p: &Progress) -> v1::ImportProgress {
    v1::ImportProgress {
        files_total: p.files_total,
        files_done: p.files_done,
        bytes_total: p.bytes_total,
        bytes_done: p.bytes_done,
        records: p.records,
        duplicates: p.duplicates,
        parse_failures: p.parse_failures,
        done: p.done,
        sources: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_ledger_is_named_and_ours_is_not_blamed() {
        let error = || LedgerError::Store(StoreError::Damaged("no magic".to_owned()));
        let status = other_file(Some(Path::new("/x/notes.txt")), error());
        assert_eq!(Kind::of(&status), Kind::Damaged);
        assert!(status.message().contains("/x/notes.txt") && status.message().contains("no magic"));
        let status = other_file(None, error());
        assert!(tokmon_proto::error::hint(&status).is_some_and(|h| h.contains("ledger verify")));
    }

    #[test]
    fn paths_are_absolute_and_name_files() {
        for (path, kind) in [
            ("rel", Kind::Invalid),
            ("/", Kind::NotFound),
            ("/no/such", Kind::NotFound),
        ] {
            assert_eq!(Kind::of(&file(path).unwrap_err()), kind, "{path}");
        }
    }
}
