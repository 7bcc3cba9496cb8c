//! The rows of one origin, and how a model finds its own among them.

use std::collections::HashMap;
use std::sync::Arc;

use super::cost::Priced;
use super::row::PriceRow;
use crate::model::{ModelId, canonical_provider};

/// Rows of one origin with an index by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    entries: Vec<Entry>,
    /// The one spelling of each name → positions.
    index: HashMap<String, Vec<usize>>,
}

#[derive(Debug, Clone)]
struct Entry {
    row: Arc<PriceRow>,
    /// In its canonical spelling.
    provider: String,
    /// Lower case, otherwise as given: tells `us.anthropic.…` from `eu.anthropic.…`.
    raw: String,
    /// Other names of the same model, as given.
    also: Vec<String>,
}

/// How well a row suits a model; less is better.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Fit {
    /// The very provider that the call names.
    Provider,
    /// The vendor whose model it is; the call names nobody, or one who passes it on.
    Vendor,
    /// The row holds for every provider.
    Any,
    /// Nobody says whose model it is, and the layer knows that very name from one provider alone.
    Only,
}

impl Layer {
    pub(super) fn new(rows: impl IntoIterator<Item = (PriceRow, Vec<String>)>) -> Layer {
        let mut layer = Layer::default();
        for (row, also) in rows {
            layer.push(row, also);
        }
        layer.index_all();
        layer
    }

    fn push(&mut self, row: PriceRow, also: Vec<String>) {
        self.entries.push(Entry {
            provider: canonical_provider(&row.provider),
            raw: row.model.trim().to_ascii_lowercase(),
            also,
            row: Arc::new(row),
        });
    }

    fn index_all(&mut self) {
        self.index.clear();
        for (at, entry) in self.entries.iter().enumerate() {
            for name in std::iter::once(&entry.raw).chain(&entry.also) {
                let places = self.index.entry(ModelId::new("", name).name).or_default();
                if !places.contains(&at) {
                    places.push(at);
                }
            }
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &PriceRow> {
        self.entries.iter().map(|entry| &*entry.row)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// This layer with rows added; one with the same provider, model and day is replaced.
    pub(super) fn with(&self, rows: Vec<PriceRow>) -> Layer {
        let mut layer = self.clone();
        let mut places: HashMap<(_, _, _), usize> = HashMap::new();
        for (at, entry) in layer.entries.iter().enumerate() {
            places.insert(place(&entry.row), at);
        }
        for row in rows {
            match places.get(&place(&row)) {
                Some(&at) => layer.entries[at].row = Arc::new(row),
                None => {
                    places.insert(place(&row), layer.entries.len());
                    layer.push(row, Vec::new());
                }
            }
        }
        layer.index_all();
        layer
    }

    /// This layer without a model's rows, whatever their day; `None` when it has none of them.
    pub(super) fn without(&self, provider: &str, model: &str) -> Option<Layer> {
        let provider = canonical_provider(provider);
        let name = ModelId::new("", model).name;
        let mut layer = self.clone();
        layer
            .entries
            .retain(|entry| entry.provider != provider || ModelId::new("", &entry.raw).name != name);
        if layer.len() == self.len() {
            return None;
        }
        layer.index_all();
        Some(layer)
    }

    /// The rows of the model that suits best, by rising day. Empty when none does.
    pub(super) fn find(&self, id: &ModelId, raw: &str) -> Vec<Arc<Priced>> {
        for name in id.names() {
            let places = self.index.get(name).map(Vec::as_slice).unwrap_or_default();
            // A name with a tag is of a local runner's kind: the same one may run anywhere.
            let anybodys = id.provider.is_empty() && id.vendor.is_none() && !id.local && !name.contains(':');
            let mut providers = places
                .iter()
                .map(|&at| &self.entries[at].provider)
                .filter(|name| !name.is_empty());
            let only = providers
                .next()
                .filter(|first| anybodys && providers.all(|other| other == *first));
            let suits = |&at: &usize| {
                let entry = &self.entries[at];
                let respelt = entry.raw != raw && entry.also.iter().all(|also| also != raw);
                // Then the plainer name: one without a region before it.
                Some((
                    fit(entry, id, only)?,
                    respelt,
                    entry.raw.len(),
                    entry.raw.as_str(),
                    entry.provider.as_str(),
                ))
            };
            let Some(best) = places.iter().filter_map(suits).min() else {
                continue;
            };
            let mut rows: Vec<Arc<Priced>> = places
                .iter()
                .filter(|at| suits(at) == Some(best))
                .map(|&at| Arc::new(Priced::new(Arc::clone(&self.entries[at].row))))
                .collect();
            rows.sort_by_key(|priced| priced.row.from_day);
            return rows;
        }
        Vec::new()
    }
}

fn place(row: &PriceRow) -> (String, String, Option<i32>) {
    (
        canonical_provider(&row.provider),
        row.model.trim().to_ascii_lowercase(),
        row.from_day,
    )
}

fn fit(entry: &Entry, id: &ModelId, only: Option<&String>) -> Option<Fit> {
    if entry.provider.is_empty() {
        Some(Fit::Any)
    } else if entry.provider == id.provider {
        Some(Fit::Provider)
    } else if id.vendor == Some(entry.provider.as_str()) {
        Some(Fit::Vendor)
    } else if only == Some(&entry.provider) {
        Some(Fit::Only)
    } else {
        None
    }
}
