//! What the configuration means for each part of the house.

use std::path::PathBuf;
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
    let mut roots = find_roots(|name| std::env::var_os(name), &home);
    for (agent, dirs) in [
        (Agent::CLAUDE_CODE, &config.claude_dirs),
        (Agent::CODEX, &config.codex_dirs),
    ] {
        if !dirs.is_empty() {
            roots.retain(|root| root.agent != agent);
            roots.extend(
                dirs.iter()
                    .cloned()
                    .map(|dir: PathBuf| Root::new(agent.clone(), dir)),
            );
        }
    }
    Options {
        roots,
        user: config.user.as_str().into(),
        ledger,
        clock,
        poll: config.capture_poll,
        cancel,
    }
}
