//! The composition root: the only place that knows every part, and the order in which they live and die.
//!
//! Start: configuration, lock, ledger, socket, doors, `READY=1`. Stop: `STOPPING=1`, no new work, doors close,
//! the writer drains, the socket goes, the lock is released.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokmon_capture::otlp::Receiver;
use tokmon_capture::{Capture, Repositories};
use tokmon_core::actor::Actor;
use tokmon_ledger::Ledger;
use tokmon_proto::paths::Paths;
use tokmon_tokenizer::Tokenizer;
use tracing::{error, info, warn};

use crate::config::{Config, Layers};
use crate::context::Context;
use crate::error::Failure;
use crate::instance::{Instance, private_dir};
use crate::listener::Door;
use crate::logging::LevelSwitch;
use crate::process::{self, Note, Signals, Wish};
use crate::{
    calibration, clock, health, hooks, logging, memory, otlp, parts, retention, rpc, statuslines, usage_log,
};

/// Shortest pause before reservations are expired: those that end together are ended together.
const EXPIRY_PAUSE: Duration = Duration::from_millis(100);
/// The same after the ledger could not be written.
const EXPIRY_RETRY: Duration = Duration::from_secs(10);

/// Runs the daemon until it is told to stop.
pub(crate) fn run(paths: Paths, layers: Layers, config: Config) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .map_err(|e| Failure::unavailable(format!("cannot start the runtime: {e}")))?;
    let done = runtime.block_on(live(paths, layers, config));
    // Blocking reads that outlive the deadline are left behind.
    runtime.shutdown_background();
    done
}

async fn live(paths: Paths, layers: Layers, config: Config) -> Result<(), Failure> {
    let clock = clock::from_env().map_err(Failure::config)?;
    private_dir(&paths.state_dir)?;
    let instance = Instance::acquire(&paths.lock_file())?;
    let level = logging::init(&config, &paths.log_dir)?;
    for doubt in layers.doubts() {
        warn!("{doubt}");
    }
    let mut signals =
        Signals::listen().map_err(|e| Failure::unavailable(format!("cannot listen to signals: {e}")))?;

    let ledger_file = paths.ledger_file();
    let ledger = Ledger::open(&ledger_file, parts::ledger_settings(&config), clock.clone())
        .map_err(|e| Failure::ledger(&ledger_file, &e))?;
    let door = Door::open(&paths.socket, instance.uid)?;
    let cancel = CancellationToken::new();
    let capture = if config.capture_enabled {
        let options = parts::capture_options(&config, ledger.clone(), clock.clone(), cancel.child_token());
        Some(
            Capture::start(options)
                .map_err(|e| Failure::unavailable(format!("cannot start capture: {e}")))?,
        )
    } else {
        None
    };
    let repositories = Arc::new(Repositories::new(config.capture_git));
    let telemetry = config.otlp_enabled.then(|| {
        let user = config.user.as_str().into();
        Arc::new(Receiver::new(
            ledger.clone(),
            clock.clone(),
            user,
            repositories.clone(),
        ))
    });
    let app = Arc::new(Context {
        repositories,
        statuslines: statuslines::Statuslines::default(),
        hooks: hooks::Hooks::load(paths.state_dir.join("hooks.json")),
        tokenizer: Arc::new(Tokenizer::new()),
        activity: memory::Activity::default(),
        counted: tokio::sync::Notify::new(),
        apis: std::sync::Mutex::default(),
        started_at_ms: clock.now_ms(),
        cancel: cancel.clone(),
        ledger,
        capture,
        telemetry,
        clock,
        config,
        login: process::user_name(instance.uid),
        paths,
    });

    // What fails is logged, and told to whoever sets a budget; the daemon is of use all the same.
    drop(rpc::keep_policy(&app).await);
    let adopted = door.is_adopted();
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let server = tokio::spawn(rpc::serve(app.clone(), door, health_service));
    let ready = format!("serving on {}", app.paths.socket.display());
    let chores = chores(&app, reporter, &ready);
    take_telemetry(&app, &chores).await;
    chores.close();
    info!(
        pid = std::process::id(),
        version = env!("CARGO_PKG_VERSION"),
        socket = %app.paths.socket.display(),
        adopted,
        "ready"
    );
    process::tell(&Note::Ready(ready));

    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop => break,
                Wish::Reload => reload(&layers, &level),
            },
            () = cancel.cancelled() => break,
        }
    }
    stop(&app, server, chores, signals).await
}

/// Opens the telemetry door, if it is wanted.
async fn take_telemetry(app: &Context, tasks: &TaskTracker) {
    let Some(receiver) = &app.telemetry else { return };
    let token_file = app.paths.otlp_token_file();
    let token_file = app.config.otlp_require_token.then_some(token_file.as_path());
    let door = otlp::Door::open(receiver.clone(), &app.config.otlp_listen, token_file).await;
    tasks.spawn(door.serve(app.cancel.clone()));
}

/// Work that goes on beside the doors.
fn chores(app: &Arc<Context>, reporter: tonic_health::server::HealthReporter, ready: &str) -> TaskTracker {
    let tasks = TaskTracker::new();
    tasks.spawn(health::run(
        app.ledger.clone(),
        reporter,
        ready.to_owned(),
        app.cancel.clone(),
    ));
    tasks.spawn(unload(app.clone()));
    tasks.spawn(memory::run(app.clone()));
    tasks.spawn(expire(app.clone()));
    tasks.spawn(hooks::run(app.clone()));
    tasks.spawn(statuslines::run(app.clone()));
    if app.config.retention_automatic {
        let own = Actor::new(
            &app.login,
            concat!("tokmond ", env!("CARGO_PKG_VERSION")),
            std::process::id(),
        );
        tasks.spawn(retention::run(
            app.ledger.by(own),
            app.clock.clone(),
            app.config.retention_days,
            app.cancel.clone(),
        ));
    }
    if app.capture.is_some() {
        tasks.spawn(calibration::run(app.clone()));
    }
    if app.config.usage_log {
        tasks.spawn(usage_log::run(app.clone()));
    }
    tasks
}

/// Frees vocabularies that nobody used for a while. Never wakes while none is loaded.
async fn unload(app: Arc<Context>) {
    let idle = app.config.tokenizer_idle;
    loop {
        tokio::select! {
            () = app.counted.notified() => {}
            () = app.cancel.cancelled() => return,
        }
        while !app.tokenizer.loaded().is_empty() {
            tokio::select! {
                () = tokio::time::sleep(idle) => {
                    app.tokenizer.unload_idle(idle);
                    app.activity.note();
                }
                () = app.cancel.cancelled() => return,
            }
        }
    }
}

/// Ends reservations when their time is over. Never wakes while none is open.
async fn expire(app: Arc<Context>) {
    let mut next = app.ledger.watch_expiry();
    let mut pause = EXPIRY_PAUSE;
    loop {
        let due = *next.borrow_and_update();
        let wait = due.map(|due| u64::try_from(due.saturating_sub(app.clock.now_ms())).unwrap_or(0));
        // A clock that jumped may make it due at once, and again: no more than once in a while.
        let wait = wait.map(|ms| Duration::from_millis(ms).max(pause));
        tokio::select! {
            () = tokio::time::sleep(wait.unwrap_or(pause)), if wait.is_some() => {
                pause = EXPIRY_PAUSE;
                if app.ledger.has_expired()
                    && let Err(e) = app.ledger.expire().await
                {
                    warn!("reservations were not expired: {e}");
                    pause = EXPIRY_RETRY;
                }
            }
            changed = next.changed() => if changed.is_err() { return },
            () = app.cancel.cancelled() => return,
        }
    }
}

fn reload(layers: &Layers, level: &LevelSwitch) {
    process::tell(&Note::Reloading);
    let file = match &layers.file {
        Some((path, _)) => Some(path.clone()),
        None => Paths::from_env().ok().map(|p| p.config_file()),
    };
    let loaded = file
        .map(|file| Layers::from_env(file, layers.flags.clone()).and_then(|layers| Config::load(&layers)));
    match loaded {
        Some(Ok(config)) => {
            level.set(&config.log_level);
            info!(
                level = config.log_level,
                "configuration read again; keys other than log.level apply at the next start"
            );
        }
        Some(Err(e)) => error!("configuration not applied: {e}"),
        None => warn!("no configuration file to read"),
    }
    process::tell(&Note::Ready("serving".to_owned()));
}

async fn stop(
    app: &Context,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    chores: TaskTracker,
    mut signals: Signals,
) -> Result<(), Failure> {
    process::tell(&Note::Stopping);
    info!("stopping");
    app.cancel.cancel();
    let drained = async {
        if let Some(capture) = &app.capture {
            capture.join().await;
        }
        chores.wait().await;
        match server.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => warn!("the server ended badly: {e}"),
            Err(e) => warn!("the server ended badly: {e}"),
        }
    };
    tokio::select! {
        () = drained => {}
        () = tokio::time::sleep(app.config.stop_deadline) => warn!("some work did not end in time"),
        // A second wish to stop: leave at once. What was acknowledged is durable already.
        wish = signals.next() => if wish == Wish::Stop { return Ok(()) },
    }
    let closed = tokio::time::timeout(app.config.stop_deadline, app.ledger.close()).await;
    match closed {
        Ok(Ok(())) => info!("stopped"),
        Ok(Err(e)) => warn!("the ledger closed with: {e}"),
        Err(_) => warn!("the ledger did not close in time; nothing that was acknowledged is lost"),
    }
    Ok(())
}
