//! What the configuration means for each part of the house.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokmon_capture::{Agent, Options, Root, find_roots};
use tokmon_core::price::PriceBook;
use tokmon_ledger::{Clock, Ledger, Settings};

use crate::config::Config;

/// The ledger's settings.
pub(crate) fn ledger_settings(config: &Config) -> Settings {
    Settings {
        book: PriceBook::bundled(),
        waste: config.waste.clone(),
        runaway: config.runaway.clone(),
        keep_notes: config.keep_notes,
        zone: config.zone.clone(),
        user: config.user.as_str().into(),
        cache_bytes: config.cache_bytes,
    }
}

/// What capture reads, and where to.
pub(crate) fn capture_options(
    config: &Config,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
) -> Options {
    let home = std::env::home_dir().unwrap_or_default();
    let (dirs, off, logs) = (
        config.agent_dirs.clone(),
        config.agents_off.clone(),
        config.logs.clone(),
    );
    let find = move || {
        let mut roots = find_roots(|name| std::env::var_os(name), &home);
        roots.retain(|root| !dirs.iter().any(|(agent, _)| *agent == root.agent));
        let named = dirs.iter().cloned();
        roots.extend(named.map(|(agent, dir)| Root::named(agent, dir)));
        roots.retain(|root| !off.contains(&root.agent));
        roots.extend(logs.iter().cloned().map(|log| {
            let path = log.path.clone();
            Root::new(Agent::of_log(log), path)
        }));
        roots
    };
    Options {
        find: Box::new(find),
        user: config.user.as_str().into(),
        ledger,
        clock,
        poll: config.capture_poll,
        git: config.capture_git,
        cancel,
    }
}
