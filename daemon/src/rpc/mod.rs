//! The gRPC door: one file per noun, health and reflection beside them.

mod actor;
mod api;
mod audit;
mod budget;
mod convert;
mod daemon;
mod explain;
mod feed;
mod hook;
mod intake;
mod price;
mod quota;
mod reflection;
mod refused;
mod report;
mod session;
mod status;
mod statusline;
mod task;
mod token;
mod usage;

use std::sync::Arc;

pub(crate) use budget::keep_policy;

use tokmon_core::limits::MAX_MESSAGE_BYTES;
use tokmon_proto::v1::api_service_server::ApiServiceServer;
use tokmon_proto::v1::audit_service_server::AuditServiceServer;
use tokmon_proto::v1::budget_service_server::BudgetServiceServer;
use tokmon_proto::v1::daemon_service_server::DaemonServiceServer;
use tokmon_proto::v1::hook_service_server::HookServiceServer;
use tokmon_proto::v1::price_service_server::PriceServiceServer;
use tokmon_proto::v1::quota_service_server::QuotaServiceServer;
use tokmon_proto::v1::report_service_server::ReportServiceServer;
use tokmon_proto::v1::session_service_server::SessionServiceServer;
use tokmon_proto::v1::statusline_service_server::StatuslineServiceServer;
use tokmon_proto::v1::task_service_server::TaskServiceServer;
use tokmon_proto::v1::token_service_server::TokenServiceServer;
use tokmon_proto::v1::usage_service_server::UsageServiceServer;
use tonic::transport::Server;
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::context::Context;
use crate::listener::Door;

/// What may be under way to us on one stream, in bytes. HTTP/2 ends a connection on which too many small frames wait
/// to be read, as a flood; a client that streams records sends nothing else. So little may wait on one stream …
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// … and much on one connection, whose window sets how many small frames are too many: enough for sixteen streams.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

macro_rules! with_limits {
    ($service:expr) => {
        $service
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    };
}

/// Serves until the daemon stops and every open call has ended.
pub(crate) async fn serve(
    app: Arc<Context>,
    door: Door,
    health: HealthServer<impl Health>,
) -> Result<(), tonic::transport::Error> {
    let (cancel, served) = (app.cancel.clone(), app.clone());
    let mut routes = tonic::service::Routes::builder();
    routes
        .add_service(health)
        .add_service(with_limits!(UsageServiceServer::new(usage::Usage(app.clone()))))
        .add_service(with_limits!(ReportServiceServer::new(report::Report(
            app.clone()
        ))))
        .add_service(with_limits!(SessionServiceServer::new(session::Sessions(
            app.clone()
        ))))
        .add_service(with_limits!(BudgetServiceServer::new(budget::Budgets(
            app.clone()
        ))))
        .add_service(with_limits!(AuditServiceServer::new(audit::Audit(app.clone()))))
        .add_service(with_limits!(ApiServiceServer::new(api::Apis(app.clone()))))
        .add_service(with_limits!(TaskServiceServer::new(task::Tasks(app.clone()))))
        .add_service(with_limits!(TokenServiceServer::new(token::Tokens(app.clone()))))
        .add_service(with_limits!(PriceServiceServer::new(price::Prices(app.clone()))))
        .add_service(with_limits!(QuotaServiceServer::new(quota::Quotas(app.clone()))))
        .add_service(with_limits!(StatuslineServiceServer::new(
            statusline::Statuslines(app.clone())
        )))
        .add_service(with_limits!(HookServiceServer::new(hook::Hooks(app.clone()))))
        .add_service(with_limits!(DaemonServiceServer::new(daemon::Daemon(app))));
    let reflection = reflection::Reflection::default();
    routes
        .add_service(reflection.v1())
        .add_service(reflection.v1alpha());
    Server::builder()
        .concurrency_limit_per_connection(256)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .layer(tower::util::MapResponseLayer::new(move |response| {
            served.activity.note();
            refused::explained(response)
        }))
        .add_routes(routes.routes())
        .serve_with_incoming_shutdown(door.incoming(), async move { cancel.cancelled().await })
        .await
}
