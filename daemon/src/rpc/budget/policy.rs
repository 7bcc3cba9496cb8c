//! What clients go by that cannot reach the daemon: a small file that names the budgets that stay closed then. It is
//! written before a change of budgets is acknowledged, as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokmon_core::budget::{Budget, Unreachable};
use tokmon_proto::error::Kind;
use tokmon_proto::v1;
use tonic::Status;

use super::budget_out;
use crate::context::Context;

/// One write at a time, each from the newest state.
static WRITING: Mutex<()> = Mutex::new(());

/// Writes the file as the budgets are now.
///
/// # Errors
/// Unavailable: it cannot be written, so clients may go by what held before.
pub(crate) async fn keep(app: &Arc<Context>) -> Result<(), Status> {
    let mine = app.clone();
    let kept = tokio::task::spawn_blocking(move || keep_now(&mine)).await;
    let failed = match kept {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(e)) => e.to_string(),
        Err(e) => e.to_string(),
    };
    let file = app.paths.policy_file();
    tracing::error!(file = %file.display(), "cannot write what clients go by without the daemon: {failed}");
    Err(Kind::Unavailable.status(
        format!(
            "the change is kept, but clients that cannot reach the daemon do not know of it: {} cannot be written: \
             {failed}",
            file.display()
        ),
        Some("make room or mend the directory, then set the budget again"),
    ))
}

fn keep_now(app: &Context) -> io::Result<()> {
    let _one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let file = app.paths.policy_file();
    let state = app.ledger.state();
    let deny: Vec<v1::Budget> = state
        .budgets
        .values()
        .map(|account| account.budget())
        .filter(|budget| stays_closed(budget))
        .map(|budget| budget_out(budget))
        .collect();
    let policy = v1::UnreachablePolicy {
        user: app.config.user.clone(),
        deny,
        complete: true,
    };
    let wanted = policy.to_bytes();
    match fs::read(&file) {
        Ok(found) if found == wanted => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound && policy.deny.is_empty() => Ok(()),
        _ => replace(&file, &wanted),
    }
}

fn stays_closed(budget: &Budget) -> bool {
    budget.enforces() && budget.unreachable == Unreachable::Deny
}

/// Puts a file in the place of another, durably, readable for us alone.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = file.with_extension("new");
    // One that a crash left behind may have other permissions.
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    fs::rename(&fresh, file)?;
    match file.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
