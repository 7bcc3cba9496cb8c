//! One method per verb of the contract.

use std::future::Future;
use std::time::Duration;

use tokio_stream::Stream;
use tokmon_proto::v1::{
    self, api_service_client::ApiServiceClient, audit_service_client::AuditServiceClient,
    budget_service_client::BudgetServiceClient, daemon_service_client::DaemonServiceClient,
    hook_service_client::HookServiceClient, price_service_client::PriceServiceClient,
    quota_service_client::QuotaServiceClient, report_service_client::ReportServiceClient,
    session_service_client::SessionServiceClient, statusline_service_client::StatuslineServiceClient,
    task_service_client::TaskServiceClient, token_service_client::TokenServiceClient,
    usage_service_client::UsageServiceClient,
};
use tonic::Streaming;
use tonic::transport::Channel;

use crate::{Error, Options, Paths, connect};

/// Largest message in bytes, the same as on the daemon's side: a long text to count, a price file.
const MAX_MESSAGE: usize = 80 * 1024 * 1024;

/// A connection to the daemon. Cheap to clone; all clones share one connection, which is opened again
/// by the next call when the daemon was restarted meanwhile.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
}

macro_rules! verbs {
    ($($service:ident { $($(#[$doc:meta])* $name:ident => $rpc:ident($request:ident) -> $response:ty;)* })*) => {
        impl Client {
            $($(
                $(#[$doc])*
                pub async fn $name(&self, request: v1::$request) -> Result<$response, Error> {
                    let mut service = $service::new(self.channel.clone())
                        .max_decoding_message_size(MAX_MESSAGE)
                        .max_encoding_message_size(MAX_MESSAGE);
                    Ok(service.$rpc(request).await?.into_inner())
                }
            )*)*
        }
    };
}

verbs! {
    UsageServiceClient {
    /// Records one call; the answer comes when the record is durable.
    record => record(RecordRequest) -> v1::RecordResponse;
    /// A page of records, newest first.
    list_usage => list(ListUsageRequest) -> v1::ListUsageResponse;
    /// Entries after a cursor: the kept history, then live. Never ends by itself.
    follow => follow(FollowRequest) -> Streaming<v1::FollowResponse>;
    /// The records that make a figure, what was dropped and which price applied.
    explain => explain(ExplainRequest) -> v1::ExplainResponse;
    /// Takes a record of several witnesses apart.
    split => split(SplitRequest) -> v1::SplitResponse;
    }

    ReportServiceClient {
    /// Totals by any grouping over any window.
    totals => totals(TotalsRequest) -> v1::TotalsResponse;
    /// The 5-hour blocks with burn rate and projection.
    blocks => blocks(BlocksRequest) -> v1::BlocksResponse;
    /// What the waste rules found.
    waste_analysis => waste_analysis(WasteRequest) -> v1::WasteResponse;
    /// Advice drawn from the user's own records.
    tips => tips(TipsRequest) -> v1::TipsResponse;
    /// Embedding requests by day.
    embeddings => embeddings(EmbeddingsRequest) -> v1::EmbeddingsResponse;
    /// One analysis as a document.
    export => export(ExportRequest) -> v1::ExportResponse;
    }

    SessionServiceClient {
    /// Statistics of one session.
    get_session => get(GetSessionRequest) -> v1::Session;
    /// A page of sessions, the one used last first.
    list_sessions => list(ListSessionsRequest) -> v1::ListSessionsResponse;
    /// Ends an agent's current session and starts a new one.
    reset_session => reset(ResetSessionRequest) -> v1::ResetSessionResponse;
    }

    BudgetServiceClient {
    /// Creates a budget or replaces the one of that name.
    set_budget => set(SetBudgetRequest) -> v1::Budget;
    /// All budgets with their state now.
    list_budgets => list(ListBudgetsRequest) -> v1::ListBudgetsResponse;
    /// One budget with its state now.
    get_budget => get(GetBudgetRequest) -> v1::BudgetState;
    /// Removes a budget.
    remove_budget => remove(RemoveBudgetRequest) -> v1::RemoveBudgetResponse;
    /// Raises a budget's limit for a while.
    lift_budget => lift(LiftBudgetRequest) -> v1::BudgetState;
    /// Creates or replaces the three budgets of one session.
    set_session_budget => set_session(SetSessionBudgetRequest) -> v1::SessionBudget;
    /// The three budgets of one session.
    get_session_budget => get_session(GetSessionBudgetRequest) -> v1::SessionBudget;
    /// Which limit would have fitted past windows.
    suggest_budget => suggest(SuggestBudgetRequest) -> v1::SuggestBudgetResponse;
    /// Takes back what was lifted.
    unlift_budget => unlift(UnliftBudgetRequest) -> v1::BudgetState;
    /// Whether something could be reserved now; nothing changes.
    check => check(ReserveRequest) -> v1::ReserveResponse;
    /// Reserves over every budget that covers the caller.
    reserve => reserve(ReserveRequest) -> v1::ReserveResponse;
    /// Holds more for an open reservation, or for longer.
    extend => extend(ExtendRequest) -> v1::ReserveResponse;
    /// Records the call that was made and ends its reservation.
    settle => settle(SettleRequest) -> v1::SettleResponse;
    /// Gives back what a reservation holds.
    release => release(ReleaseRequest) -> v1::SettleResponse;
    /// Any of these in one call.
    claim_many => many(ManyRequest) -> v1::ManyResponse;
    }

    HookServiceClient {
    /// Whether an agent may go on.
    ask_hook => ask(AskHookRequest) -> v1::AskHookResponse;
    /// Which hooks fired when, and which sessions are being denied.
    list_hooks => list(ListHooksRequest) -> v1::ListHooksResponse;
    }

    AuditServiceClient {
    /// A page of acts, newest first.
    list_audit => list(ListAuditRequest) -> v1::ListAuditResponse;
    }

    ApiServiceClient {
    /// Sets the limits of an API.
    set_api => set(SetApiRequest) -> v1::ApiState;
    /// Forgets what was set for an API.
    remove_api => remove(RemoveApiRequest) -> v1::RemoveApiResponse;
    /// One API as it stands now.
    get_api => get(GetApiRequest) -> v1::ApiState;
    /// All that are set or were asked for lately.
    list_apis => list(ListApisRequest) -> v1::ListApisResponse;
    /// Whether a call may be made now; when it may, it counts.
    acquire_api => acquire(AcquireRequest) -> v1::AcquireResponse;
    /// What came of a call.
    report_api => report(ReportApiRequest) -> v1::ReportApiResponse;
    }

    TaskServiceClient {
    /// Keeps a share of its session's budgets for a task.
    allocate_task => allocate(AllocateTaskRequest) -> v1::AllocateTaskResponse;
    /// One task.
    get_task => get(GetTaskRequest) -> v1::Task;
    /// Tasks of a session, or all.
    list_tasks => list(ListTasksRequest) -> v1::ListTasksResponse;
    /// Ends a task: nothing is kept for it any more.
    complete_task => complete(CompleteTaskRequest) -> v1::Task;
    }

    QuotaServiceClient {
    /// How every limit of a subscription stands now.
    list_quotas => list(ListQuotasRequest) -> v1::ListQuotasResponse;
    /// Keeps what a provider said of its limits.
    report_quotas => report(ReportQuotasRequest) -> v1::ReportQuotasResponse;
    }

    StatuslineServiceClient {
    /// Tells what an agent told, and learns what its line shows.
    push_statusline => push(PushStatuslineRequest) -> v1::PushStatuslineResponse;
    /// What agents told of their sessions.
    list_statuslines => list(ListStatuslinesRequest) -> v1::ListStatuslinesResponse;
    }

    TokenServiceClient {
    /// Counts one text.
    count => count(CountRequest) -> v1::Count;
    /// Counts many texts in one call.
    count_many => count_many(CountManyRequest) -> v1::CountManyResponse;
    /// Counts the body of a request to a model, part by part.
    count_body => count_body(CountBodyRequest) -> v1::CountBodyResponse;
    /// Foretells the next prompt of a session.
    estimate_next => estimate_next(EstimateNextRequest) -> v1::EstimateNextResponse;
    /// What was learned from bills.
    calibrations => calibrations(CalibrationsRequest) -> v1::CalibrationsResponse;
    }

    PriceServiceClient {
    /// The rows of the price book.
    list_prices => list(ListPricesRequest) -> v1::ListPricesResponse;
    /// The price that applies to a model at an instant.
    get_price => get(GetPriceRequest) -> v1::Price;
    /// Adds or replaces the user's own price.
    set_price => set(SetPriceRequest) -> v1::Price;
    /// Removes the user's own price.
    remove_price => remove(RemovePriceRequest) -> v1::RemovePriceResponse;
    /// Takes prices from a LiteLLM price file.
    import_prices => import(ImportPricesRequest) -> v1::ImportPricesResponse;
    /// Computes the cost of every kept record again.
    reprice => reprice(RepriceRequest) -> v1::RepriceResponse;
    }

    DaemonServiceClient {
    /// Says who we are and learns who answers. [`Client::connect`] has done it already.
    handshake => handshake(HandshakeRequest) -> v1::HandshakeResponse;
    /// How the daemon is.
    status => status(StatusRequest) -> v1::StatusResponse;
    /// Reads all sources to their end; streams the progress.
    import => import(ImportRequest) -> Streaming<v1::ImportProgress>;
    /// Tells the daemon to drain and exit.
    stop => stop(StopRequest) -> v1::StopResponse;
    /// Writes a consistent copy of the ledger.
    backup => backup(BackupRequest) -> v1::BackupResponse;
    /// Checks the ledger or a copy of it.
    verify => verify(VerifyRequest) -> v1::VerifyResponse;
    /// Gives free space in the ledger's file back to the system.
    compact => compact(CompactRequest) -> v1::CompactResponse;
    /// Removes records older than a date; totals stay.
    purge => purge(PurgeRequest) -> v1::PurgeResponse;
    /// Replaces the ledger by a backup.
    restore => restore(RestoreRequest) -> v1::RestoreResponse;
    /// Starts an empty ledger.
    reset_ledger => reset(ResetLedgerRequest) -> v1::ResetLedgerResponse;
    /// The configuration in force, key by key.
    config => config(ConfigRequest) -> v1::ConfigResponse;
    }
}

impl Client {
    /// Connects to the daemon of this user, found as [`Paths::from_env`] says.
    ///
    /// Errors: `Unavailable` when it is not running or cannot be started, `Forbidden` when the socket is not
    /// ours, `Incompatible` when it speaks another contract.
    pub async fn connect(options: &Options) -> Result<Client, Error> {
        let paths = Paths::from_env()
            .map_err(|e| Error::new(crate::Kind::Invalid, e.to_string()).with_exit_code(78))?;
        Client::connect_at(&paths, options).await
    }

    /// Connects to the daemon at the given place. Errors as for [`Client::connect`].
    pub async fn connect_at(paths: &Paths, options: &Options) -> Result<Client, Error> {
        connect::connect(paths, options).await
    }

    /// Connects to a running daemon without shaking hands: for a single question whose answer is wanted within
    /// milliseconds. The socket's name says which contract it speaks.
    ///
    /// Errors: as for [`Client::connect`], apart from `Incompatible`. The caller limits the time.
    pub async fn open_at(paths: &Paths) -> Result<Client, Error> {
        connect::quick(paths).await
    }

    pub(crate) fn over(channel: Channel) -> Client {
        Client { channel }
    }

    /// Records a stream of calls; one answer when the stream ends.
    pub async fn record_stream<S>(&self, requests: S) -> Result<v1::RecordStreamResponse, Error>
    where
        S: Stream<Item = v1::RecordRequest> + Send + 'static,
    {
        let mut service = UsageServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Ok(service.record_stream(requests).await?.into_inner())
    }

    /// Runs one call with a limit on its duration; `Unavailable` when it takes longer.
    pub async fn within<T>(
        limit: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(
                crate::Kind::Unavailable,
                format!("the daemon did not answer within {limit:?}"),
            )),
        }
    }
}
