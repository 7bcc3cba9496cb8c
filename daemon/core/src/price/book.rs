//! The price book: which row applies to a model at an instant, and what a call costs.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::bundled;
use super::cost::{Call, Costing, Priced};
use super::layer::Layer;
use super::row::{Origin, PriceRow, Rates};
use crate::limits::{MAX_PRICE_MEMO, MAX_PRICE_ROWS};
use crate::model::{self, ModelId};
use crate::observation::Observation;
use crate::refusal::Refusal;

/// Prices of every origin. Cheap to clone; a change leaves the clones as they were.
#[derive(Clone)]
pub struct PriceBook {
    inner: Arc<Inner>,
}

struct Inner {
    overrides: Arc<Layer>,
    imported: Arc<Layer>,
    bundled: Arc<Layer>,
    memo: RwLock<Memo>,
}

/// `None`: it was looked for and is not there.
type Models = HashMap<Box<str>, Option<Arc<Timeline>>>;

/// Provider → model → its rows; nested, so that a look-up needs no allocation.
#[derive(Default)]
struct Memo {
    known: HashMap<Box<str>, Models>,
    len: usize,
}

/// The rows of one model, by origin and day.
struct Timeline {
    overrides: Vec<Arc<Priced>>,
    imported: Vec<Arc<Priced>>,
    bundled: Vec<Arc<Priced>>,
    /// Which bundled row was in force on the day of the bundled book; later ones were announced.
    present: usize,
}

/// The last of some rows that has begun on a day.
fn in_force(rows: &[Arc<Priced>], day: i32) -> Option<usize> {
    rows.iter()
        .rposition(|priced| priced.row.from_day.is_none_or(|from| from <= day))
}

impl Timeline {
    /// The row in force on a day.
    fn on(&self, day: i32) -> Option<&Arc<Priced>> {
        if let Some(at) = in_force(&self.overrides, day) {
            return self.overrides.get(at);
        }
        let bundled = in_force(&self.bundled, day);
        if let Some(at) = in_force(&self.imported, day) {
            // A price file says what holds now. It takes the place of our present price, not of the ones before.
            let outdated = bundled.is_some_and(|at| at < self.present);
            if self.imported[at].row.from_day.is_some() || !outdated {
                return self.imported.get(at);
            }
        }
        self.bundled.get(bundled?)
    }
}

impl PriceBook {
    /// The book that ships with the program. It is read once; every call returns the same book.
    pub fn bundled() -> PriceBook {
        static BOOK: OnceLock<PriceBook> = OnceLock::new();
        BOOK.get_or_init(|| {
            PriceBook::of(
                Arc::default(),
                Arc::default(),
                Arc::new(Layer::new(bundled::rows())),
            )
        })
        .clone()
    }

    /// The day whose prices the bundled book has: "2026-11-20".
    pub fn bundled_date() -> &'static str {
        bundled::date()
    }

    fn of(overrides: Arc<Layer>, imported: Arc<Layer>, bundled: Arc<Layer>) -> PriceBook {
        PriceBook {
            inner: Arc::new(Inner {
                overrides,
                imported,
                bundled,
                memo: RwLock::default(),
            }),
        }
    }

    /// The price of a model at an instant (milliseconds since the epoch). The provider may be empty. `None`: not
    /// known. For a provider on the user's own machine it is a price of nothing.
    pub fn get(&self, provider: &str, model: &str, at_ms: i64) -> Option<Arc<PriceRow>> {
        self.with_row(provider, model, at_ms, |priced| Some(Arc::clone(&priced.row)))
    }

    /// What a call cost at the prices of its time. `None`: the model has no known price.
    pub fn cost(&self, seen: &Observation) -> Option<Costing> {
        self.with_row(&seen.provider, &seen.model, seen.at_ms, |priced| {
            priced.cost(Call::of(seen))
        })
    }

    /// Whether that provider runs on the user's own machine, so that its models cost nothing.
    pub fn is_local(provider: &str) -> bool {
        model::is_local(provider)
    }

    /// Every row: the user's own, the imported, the bundled.
    pub fn rows(&self) -> impl Iterator<Item = &PriceRow> {
        let Inner {
            overrides,
            imported,
            bundled,
            ..
        } = &*self.inner;
        overrides.rows().chain(imported.rows()).chain(bundled.rows())
    }

    /// Sets the user's own price; one for the same provider, model and first day is replaced.
    ///
    /// # Errors
    /// Names the field that is wrong; the book stays as it was.
    pub fn set(&mut self, row: PriceRow) -> Result<(), Refusal> {
        row.check()?;
        let (provider, model) = (row.provider.trim().into(), row.model.trim().into());
        let layer = self.inner.overrides.with(vec![PriceRow {
            provider,
            model,
            origin: Origin::Override,
            ..row
        }]);
        if layer.len() > MAX_PRICE_ROWS {
            return Err(Refusal::invalid(
                "model",
                "too many own prices",
                format!("at most {MAX_PRICE_ROWS}"),
            ));
        }
        *self = PriceBook::of(
            Arc::new(layer),
            Arc::clone(&self.inner.imported),
            Arc::clone(&self.inner.bundled),
        );
        Ok(())
    }

    /// Removes the user's own prices of a model, whatever their first day. False when there is none.
    pub fn remove(&mut self, provider: &str, model: &str) -> bool {
        let Some(layer) = self.inner.overrides.without(provider, model) else {
            return false;
        };
        *self = PriceBook::of(
            Arc::new(layer),
            Arc::clone(&self.inner.imported),
            Arc::clone(&self.inner.bundled),
        );
        true
    }

    /// Takes in the rows of a price file. One for the same provider, model and first day is replaced; others stay,
    /// because price files drop the models that are no longer sold. Rows that [`PriceRow::check`] refuses are left out.
    pub fn import(&mut self, rows: Vec<PriceRow>) {
        let room = MAX_PRICE_ROWS.saturating_sub(self.inner.imported.len());
        let rows = rows
            .into_iter()
            .filter(|row| row.check().is_ok())
            .take(room)
            .map(|row| PriceRow {
                origin: Origin::Import,
                ..row
            })
            .collect();
        let layer = self.inner.imported.with(rows);
        *self = PriceBook::of(
            Arc::clone(&self.inner.overrides),
            Arc::new(layer),
            Arc::clone(&self.inner.bundled),
        );
    }

    fn with_row<T>(
        &self,
        provider: &str,
        model: &str,
        at_ms: i64,
        f: impl Fn(&Priced) -> Option<T>,
    ) -> Option<T> {
        let day = i32::try_from(at_ms.div_euclid(86_400_000)).unwrap_or(if at_ms < 0 {
            i32::MIN
        } else {
            i32::MAX
        });
        {
            let memo = self.inner.memo.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = memo.known.get(provider).and_then(|models| models.get(model)) {
                return f(found.as_ref()?.on(day)?);
            }
        }
        let found = self.find(provider, model).map(Arc::new);
        let result = found.as_ref().and_then(|line| f(line.on(day)?));
        let mut memo = self.inner.memo.write().unwrap_or_else(PoisonError::into_inner);
        if memo.len >= MAX_PRICE_MEMO {
            *memo = Memo::default();
        }
        if memo
            .known
            .entry(provider.into())
            .or_default()
            .insert(model.into(), found)
            .is_none()
        {
            memo.len += 1;
        }
        result
    }

    /// The rows of a model in every layer. `None`: nobody names it.
    fn find(&self, provider: &str, model: &str) -> Option<Timeline> {
        let id = ModelId::new(provider, model);
        let raw = model.trim().to_ascii_lowercase();
        let why_free = match () {
            () if id.local => Some("runs on this machine"),
            () if id.gratis => Some("named as free by who passes it on"),
            () => None,
        };
        let bundled = match why_free {
            Some(why) => vec![Arc::new(Priced::new(Arc::new(free_of_charge(
                provider, model, why,
            ))))],
            None => self.inner.bundled.find(&id, &raw),
        };
        let present = in_force(
            &bundled,
            bundled::day(PriceBook::bundled_date()).unwrap_or(i32::MAX),
        )
        .unwrap_or(0);
        let imported = if id.local {
            Vec::new()
        } else {
            self.inner.imported.find(&id, &raw)
        };
        let imported = fill_gaps(imported, bundled.get(present));
        let overrides = fill_gaps(
            self.inner.overrides.find(&id, &raw),
            imported.last().or(bundled.get(present)),
        );
        let line = Timeline {
            overrides,
            imported,
            bundled,
            present,
        };
        let empty = line.overrides.is_empty() && line.imported.is_empty() && line.bundled.is_empty();
        (!empty).then_some(line)
    }
}

/// A price file and a user name what they care about; the rest is what the layer below knows of the same model.
fn fill_gaps(rows: Vec<Arc<Priced>>, below: Option<&Arc<Priced>>) -> Vec<Arc<Priced>> {
    let Some(below) = below else {
        return rows;
    };
    rows.iter()
        .map(|priced| Arc::new(Priced::new(Arc::new(priced.row.filled_from(&below.row)))))
        .collect()
}

/// What a model costs that nobody asks anything for.
fn free_of_charge(provider: &str, model: &str, why: &str) -> PriceRow {
    let zero = Some(super::Rate::ZERO);
    PriceRow {
        provider: if provider.trim().is_empty() {
            "local".into()
        } else {
            provider.into()
        },
        model: model.into(),
        rates: Rates {
            input: zero,
            output: zero,
            cache_read: zero,
            ..Rates::default()
        },
        source: why.into(),
        ..PriceRow::default()
    }
}

/// Only its size: there are hundreds of rows.
impl fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            overrides,
            imported,
            bundled,
            ..
        } = &*self.inner;
        f.debug_struct("PriceBook")
            .field("overrides", &overrides.len())
            .field("imported", &imported.len())
            .field("bundled", &bundled.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
