//! The handle: everything that can be asked of the ledger. Cheap to clone.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use jiff::tz::TimeZone;
use tokio::sync::{oneshot, watch};
use tokmon_core::Name;
use tokmon_core::actor::Actor;
use tokmon_core::budget::Budget;
use tokmon_core::calibration::Bill;
use tokmon_core::entry::{Body, Entry};
use tokmon_core::limits::{MAX_BATCH, MAX_CHUNK};
use tokmon_core::observation::Observation;
use tokmon_core::price::{Origin, PriceBook, PriceRow};
use tokmon_core::refusal::Refusal;
use tokmon_core::runaway::RunawayRules;
use tokmon_core::state::{Rules, State};
use tokmon_core::waste::WasteRules;

use crate::answer::{Change, Changed, Chunk, Health, Imported, Receipt, SessionResetDone};
use crate::clock::Clock;
use crate::error::LedgerError;
use crate::ops::{Bulk, By, Quick, Reply};
use crate::place::{Kind, Opened, Place};
use crate::replay;
use crate::shared::Shared;
use crate::slot::Slot;
use crate::store::record_of;
use crate::store::redb::RedbStore;
use crate::writer::{Writer, guarded};

/// What the ledger goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The prices that come with the program.
    pub book: PriceBook,
    /// The waste rules.
    pub waste: WasteRules,
    /// When a session may be running away.
    pub runaway: RunawayRules,
    /// Notes of calls are kept.
    pub keep_notes: bool,
    /// The zone of budgets that name none.
    pub zone: TimeZone,
    /// Who calls that name no user belong to.
    pub user: Name,
    /// Memory that the store may use to keep pages, in bytes.
    pub cache_bytes: usize,
}

/// A running ledger.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
    by: By,
}

struct Inner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.lanes.close();
        self.join();
    }
}

impl Inner {
    /// Waits until the writer has written everything and closed the store.
    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer ended by a panic");
        }
    }
}

impl Ledger {
    /// Opens the ledger of a file, creating it when there is none: migrates it, reads its state back and starts the
    /// writer.
    ///
    /// # Errors
    /// The store does not open (damaged, newer, in use); nothing is changed then.
    pub fn open(path: &Path, settings: Settings, clock: Arc<dyn Clock>) -> Result<Ledger, LedgerError> {
        let cache_bytes = settings.cache_bytes;
        let open =
            move |path: &Path| -> Opened { Ok(Arc::new(RedbStore::open_or_create(path, cache_bytes)?)) };
        let inspect = move |path: &Path| RedbStore::verify_file(path, cache_bytes);
        let kind = Kind {
            open: Arc::new(open),
            inspect: Arc::new(inspect),
        };
        Ledger::open_with(path, kind, settings, clock)
    }

    /// Opens a ledger with another store.
    pub(crate) fn open_with(
        path: &Path,
        kind: Kind,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Ledger, LedgerError> {
        let rules = Arc::new(Rules {
            bundled: settings.book,
            waste: settings.waste,
            runaway: settings.runaway,
            keep_notes: settings.keep_notes,
            zone: settings.zone,
            zones: |name| TimeZone::get(name).ok(),
            user: settings.user,
        });
        let place = Place::new(path, kind);
        let store = guarded(|| place.open())?;
        let draft = guarded(|| replay::load(&*store, &rules))?;
        let checkpoint_seq = store.checkpoint()?.map_or(0, |(seq, _)| seq);
        let shared = Arc::new(Shared::new(
            Slot::new(store),
            place,
            clock,
            rules,
            draft.state.clone(),
        ));
        let writer = Writer::new(shared.clone(), draft, checkpoint_seq);
        let thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| {
                LedgerError::Unavailable(format!("the writer's thread did not start: {error}"))
            })?;
        let inner = Inner {
            shared,
            thread: Mutex::new(Some(thread)),
        };
        Ok(Ledger {
            inner: Arc::new(inner),
            by: None,
        })
    }

    /// The same ledger in somebody's hands: the entries of what he changes, reserves and settles name him.
    pub fn by(&self, actor: Actor) -> Ledger {
        Ledger {
            inner: self.inner.clone(),
            by: Some(Arc::new(actor)),
        }
    }

    pub(crate) fn actor(&self) -> By {
        self.by.clone()
    }

    /// Writes what is queued, saves the state and closes the store. Everything asked afterwards is answered with
    /// [`LedgerError::Closed`].
    ///
    /// # Errors
    /// None at present; a store that fails while closing keeps everything that was acknowledged.
    pub async fn close(&self) -> Result<(), LedgerError> {
        self.inner.shared.lanes.close();
        let inner = self.inner.clone();
        // The task only ends early when the runtime is going down, and then dropping the handle waits.
        drop(tokio::task::spawn_blocking(move || inner.join()).await);
        Ok(())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Records calls; answered when they are durable. All of them or, when one is refused, none.
    ///
    /// # Errors
    /// `Refused` names the field that is wrong, `Busy` when too many wait already, `Unavailable` when the store
    /// cannot write.
    pub async fn record(&self, calls: Vec<Observation>) -> Result<Vec<Receipt>, LedgerError> {
        check_batch("calls", calls.len())?;
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        self.quick(|reply| Quick::Record(calls, reply)).await
    }

    /// Takes a chunk of a source: its calls and its read positions, in one piece. Waits while the ledger is occupied.
    ///
    /// # Errors
    /// `Refused` when it is too long, `Unavailable` when the store cannot write: then it can be sent again.
    pub async fn import(&self, mut chunk: Chunk) -> Result<Imported, LedgerError> {
        check_length("observations", chunk.observations.len(), MAX_CHUNK)?;
        let quotas = std::mem::take(&mut chunk.quotas);
        let imported = self.bulk(|reply| Bulk::Import(chunk, reply)).await?;
        // The calls are durable: a limit that could not be kept is told again with the next one.
        drop(self.note_believable(quotas).await);
        Ok(imported)
    }

    /// Ends the current session of an agent and starts another. History stays.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn reset_session(&self, agent: &str) -> Result<SessionResetDone, LedgerError> {
        let made = self.change(Change::ResetSession(agent.into())).await?;
        for entry in made {
            if let Body::SessionReset {
                agent,
                ended,
                started,
            } = entry.body
            {
                let this = self.clone();
                let row = move || {
                    if ended.is_empty() {
                        Ok(None)
                    } else {
                        this.session(&agent, &ended)
                    }
                };
                return Ok(SessionResetDone {
                    ended: blocking(row).await?,
                    started,
                });
            }
        }
        Err(LedgerError::Closed)
    }

    /// Creates a budget, or replaces the one of that name. What its window has used already is counted. Returns it
    /// with its defaults filled in.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn set_budget(&self, budget: Budget) -> Result<Budget, LedgerError> {
        let checked = budget.clone().checked()?;
        self.set_budgets(vec![budget]).await?;
        Ok(checked)
    }

    /// The same for several: all of them or, when one is refused, none.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn set_budgets(&self, budgets: Vec<Budget>) -> Result<(), LedgerError> {
        check_batch("budgets", budgets.len())?;
        self.change(Change::SetBudgets(budgets)).await.map(drop)
    }

    /// Takes a record of several witnesses apart: each account is a call of its own from here on. Returns the records.
    ///
    /// # Errors
    /// As [`Ledger::record`]; `Refused` with `NotFound` when there is no such record, it was replaced since, or only one
    /// witness saw the call.
    pub async fn split(&self, seq: u64) -> Result<Vec<Entry>, LedgerError> {
        let made = self.change(Change::Split(seq)).await?;
        Ok(made
            .into_iter()
            .filter(|entry| record_of(entry).is_some())
            .collect())
    }

    /// Removes a budget; its history stays.
    ///
    /// # Errors
    /// As [`Ledger::record`]; `Refused` with `NotFound` when there is none.
    pub async fn remove_budget(&self, name: &str) -> Result<(), LedgerError> {
        self.change(Change::RemoveBudget(name.into())).await.map(drop)
    }

    /// Sets the user's own price of a model. Records keep their cost until they are repriced.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn set_price(&self, row: PriceRow) -> Result<PriceRow, LedgerError> {
        let row = PriceRow {
            origin: Origin::Override,
            ..row
        };
        self.change(Change::SetPrices(vec![row.clone()])).await?;
        Ok(row)
    }

    /// Removes the user's own price of a model.
    ///
    /// # Errors
    /// As [`Ledger::record`]; `Refused` with `NotFound` when there is none.
    pub async fn remove_price(&self, provider: &str, model: &str) -> Result<(), LedgerError> {
        self.change(Change::RemovePrice(provider.into(), model.into()))
            .await
            .map(drop)
    }

    /// Learns from bills, to estimate by; those that are no later than what was learned before are left out. Says how
    /// many entries it took.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn learn(&self, bills: Vec<Bill>) -> Result<usize, LedgerError> {
        check_batch("bills", bills.len())?;
        Ok(self.change(Change::Learn(bills)).await?.len())
    }

    /// Takes in the rows of a price file.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn import_prices(&self, rows: Vec<PriceRow>) -> Result<(), LedgerError> {
        let rows = rows
            .into_iter()
            .map(|row| PriceRow {
                origin: Origin::Import,
                ..row
            })
            .collect();
        self.change(Change::SetPrices(rows)).await.map(drop)
    }

    /// The state after the last durable entry.
    pub fn state(&self) -> Arc<State> {
        self.shared().state()
    }

    /// The last durable entry.
    pub fn last_seq(&self) -> u64 {
        self.shared().tail.borrow().last_seq
    }

    /// Whether the ledger can write.
    pub fn health(&self) -> Health {
        self.shared().health()
    }

    /// Tells when [`Ledger::health`] changes.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.shared().health.subscribe()
    }

    /// Counts up while the writer lives: a second call, a second later, gives a larger number.
    pub fn heartbeat(&self) -> u64 {
        self.shared().heartbeat()
    }

    /// The waste rules in force, for the sentences about findings.
    pub fn waste_rules(&self) -> &WasteRules {
        &self.shared().rules.waste
    }

    pub(crate) async fn change(&self, change: Change) -> Result<Changed, LedgerError> {
        self.quick(|reply| Quick::Change(change, self.actor(), reply))
            .await
    }

    pub(crate) async fn quick<T>(&self, op: impl FnOnce(Reply<T>) -> Quick) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.shared().lanes.push_quick(op(reply))?;
        answer.await.unwrap_or_else(|_| Err(self.unanswered()))
    }

    /// The writer dropped a request without an answer.
    fn unanswered(&self) -> LedgerError {
        if self.shared().tail.borrow().closed {
            return LedgerError::Closed;
        }
        let unknown = "the writer failed; whether this was written is not known: ask again with the same key";
        LedgerError::Unavailable(unknown.to_owned())
    }

    pub(crate) async fn bulk<T>(&self, op: impl FnOnce(Reply<T>) -> Bulk) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.shared().lanes.push_bulk(op(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(self.unanswered()))
    }
}

pub(crate) fn check_batch(field: &'static str, len: usize) -> Result<(), LedgerError> {
    check_length(field, len, MAX_BATCH)
}

fn check_length(field: &'static str, len: usize, most: usize) -> Result<(), LedgerError> {
    if len > most {
        let allowed = format!("at most {most} at once");
        return Err(Refusal::invalid(field, format!("{len} of them"), allowed).into());
    }
    Ok(())
}

/// Runs a read away from the threads that must not wait.
pub(crate) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or(Err(LedgerError::Closed))
}
