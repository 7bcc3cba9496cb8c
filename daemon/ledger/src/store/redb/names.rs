//! The dictionary: names become small ids, so that a path of a hundred bytes costs three in an entry.
//!
//! Id 0 is the empty name and has no row. Ids are given once and never used again, so a cache never lies.
//! The cache is bounded per kind: agents, models and tools are few, but sessions and paths grow with
//! history, and memory must not.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use redb::{ReadableTable, Table};
use tokmon_core::Name;

use super::super::{Result, StoreError};
use super::codec::{seal, unseal};
use super::tables::{KINDS, name_bytes, pair};

/// Most names of one kind in memory, about 2 MB. When it is full it is emptied: what is in use comes back at
/// once, and no order of use has to be kept.
const CACHED: usize = 8_192;

/// Names in memory.
#[derive(Default)]
pub(super) struct Cache {
    kinds: RwLock<[Kind; KINDS]>,
}

#[derive(Default)]
struct Kind {
    names: HashMap<u32, Name>,
    ids: HashMap<Name, u32>,
}

impl Cache {
    fn name(&self, kind: u8, id: u32) -> Option<Name> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds[kind as usize].names.get(&id).cloned()
    }

    fn id(&self, kind: u8, name: &str) -> Option<u32> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds[kind as usize].ids.get(name).copied()
    }

    /// Remembers committed names.
    fn keep(&self, names: impl IntoIterator<Item = (u8, Name, u32)>) {
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, name, id) in names {
            let kind = &mut kinds[kind as usize];
            if kind.names.len() >= CACHED {
                *kind = Kind::default();
            }
            kind.names.insert(id, name.clone());
            kind.ids.insert(name, id);
        }
    }

    /// Forgets everything: the file may be another one.
    pub(super) fn clear(&self) {
        *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }
}

/// Looks names up, in memory first.
pub(super) struct Names<'a, D, R> {
    pub(super) cache: &'a Cache,
    pub(super) dict: D,
    pub(super) rev: R,
}

impl<D, R> Names<'_, D, R>
where
    D: ReadableTable<&'static [u8], &'static [u8]>,
    R: ReadableTable<u64, &'static [u8]>,
{
    /// The name of an id that a row holds: it must be there.
    pub(super) fn name(&self, kind: u8, id: u32) -> Result<Name> {
        match self.find_name(kind, id)? {
            Some(name) => Ok(name),
            None => Err(StoreError::Damaged(format!(
                "name {id} of kind {kind} is missing"
            ))),
        }
    }

    /// The name of an id.
    pub(super) fn find_name(&self, kind: u8, id: u32) -> Result<Option<Name>> {
        if id == 0 {
            return Ok(Some(Name::from("")));
        }
        if let Some(name) = self.cache.name(kind, id) {
            return Ok(Some(name));
        }
        let key = pair(u32::from(kind), id);
        let Some(row) = self.rev.get(key)? else {
            return Ok(None);
        };
        let name: Name = read_name(key, row.value())?.into();
        self.cache.keep([(kind, name.clone(), id)]);
        Ok(Some(name))
    }

    /// The id of a name.
    pub(super) fn find_id(&self, kind: u8, name: &str) -> Result<Option<u32>> {
        if name.is_empty() {
            return Ok(Some(0));
        }
        if let Some(id) = self.cache.id(kind, name) {
            return Ok(Some(id));
        }
        let key = name_bytes(kind, name);
        let Some(row) = self.dict.get(key.as_slice())? else {
            return Ok(None);
        };
        let id = read_id(&key, row.value())?;
        self.cache.keep([(kind, name.into(), id)]);
        Ok(Some(id))
    }
}

/// Reads a row of the reverse dictionary.
pub(super) fn read_name(key: u64, value: &[u8]) -> Result<&str> {
    let bytes = unseal(&key.to_le_bytes(), value, "a name")?;
    std::str::from_utf8(bytes).map_err(|_| StoreError::Damaged("a name is not UTF-8".to_owned()))
}

/// Reads a row of the dictionary.
pub(super) fn read_id(key: &[u8], value: &[u8]) -> Result<u32> {
    let body = unseal(key, value, "the id of a name")?;
    match <[u8; 4]>::try_from(body) {
        Ok(bytes) => Ok(u32::from_le_bytes(bytes)),
        Err(_) => Err(StoreError::Damaged(
            "the id of a name has the wrong length".to_owned(),
        )),
    }
}

type Dict<'txn> = Table<'txn, &'static [u8], &'static [u8]>;
type Rev<'txn> = Table<'txn, u64, &'static [u8]>;

/// Gives ids to names inside a write transaction. New ones are remembered only when it has committed.
pub(super) struct Interner<'a, 'txn> {
    names: Names<'a, Dict<'txn>, Rev<'txn>>,
    /// The name that came last: the records of a file share most of their names.
    last: [Option<(Name, u32)>; KINDS],
    fresh: HashMap<(u8, Name), u32>,
    next: [Option<u32>; KINDS],
    value: Vec<u8>,
}

impl<'a, 'txn> Interner<'a, 'txn> {
    pub(super) fn new(cache: &'a Cache, dict: Dict<'txn>, rev: Rev<'txn>) -> Interner<'a, 'txn> {
        Interner {
            names: Names { cache, dict, rev },
            last: Default::default(),
            fresh: HashMap::new(),
            next: [None; KINDS],
            value: Vec::new(),
        }
    }

    /// The id of a name, new or known.
    pub(super) fn id(&mut self, kind: u8, name: &Name) -> Result<u32> {
        if name.is_empty() {
            return Ok(0);
        }
        if let Some((last, id)) = &self.last[kind as usize]
            && last == name
        {
            return Ok(*id);
        }
        let id = self.find_or_add(kind, name)?;
        self.last[kind as usize] = Some((name.clone(), id));
        Ok(id)
    }

    fn find_or_add(&mut self, kind: u8, name: &Name) -> Result<u32> {
        if let Some(id) = self.names.cache.id(kind, name) {
            return Ok(id);
        }
        if let Some(&id) = self.fresh.get(&(kind, name.clone())) {
            return Ok(id);
        }
        if let Some(id) = self.names.find_id(kind, name)? {
            return Ok(id);
        }
        let id = self.next_id(kind)?;
        let (key, rev_key) = (name_bytes(kind, name), pair(u32::from(kind), id));
        seal(&key, &mut self.value, |out| {
            out.extend_from_slice(&id.to_le_bytes())
        });
        self.names.dict.insert(key.as_slice(), self.value.as_slice())?;
        seal(&rev_key.to_le_bytes(), &mut self.value, |out| {
            out.extend_from_slice(name.as_bytes());
        });
        self.names.rev.insert(rev_key, self.value.as_slice())?;
        self.fresh.insert((kind, name.clone()), id);
        Ok(id)
    }

    fn next_id(&mut self, kind: u8) -> Result<u32> {
        let kind_u32 = u32::from(kind);
        let last = match self.next[kind as usize] {
            Some(id) => id,
            None => {
                let mut rows = self
                    .names
                    .rev
                    .range(pair(kind_u32, 0)..=pair(kind_u32, u32::MAX))?;
                match rows.next_back() {
                    Some(row) => (row?.0.value() & u64::from(u32::MAX)) as u32,
                    None => 0,
                }
            }
        };
        let id = last.checked_add(1).ok_or_else(|| {
            StoreError::Conflict("there are four thousand million names already".to_owned())
        })?;
        self.next[kind as usize] = Some(id);
        Ok(id)
    }

    /// The names that are new, to be remembered once they are committed.
    pub(super) fn finish(self) -> Fresh {
        Fresh(self.fresh)
    }
}

/// New names of a transaction.
#[must_use]
pub(super) struct Fresh(HashMap<(u8, Name), u32>);

impl Fresh {
    /// Call after the commit.
    pub(super) fn keep(self, cache: &Cache) {
        if !self.0.is_empty() {
            cache.keep(self.0.into_iter().map(|((kind, name), id)| (kind, name, id)));
        }
    }
}
