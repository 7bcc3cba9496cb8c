//! B-trees: tables in the order of their row ids, and indexes in the order of their keys.

use super::pages::{Encoding, Pages};
use super::record::{Layout, Value, varint};
use super::{Place, Result, Table, Trouble, unusable};
use tokmon_core::limits::MAX_DATABASE_VALUE;

/// Deepest tree: with two children a page it would hold more than can be stored.
const MAX_LEVELS: usize = 32;
/// Kinds of pages.
const INDEX_INNER: u8 = 2;
const TABLE_INNER: u8 = 5;
const INDEX_LEAF: u8 = 10;
const TABLE_LEAF: u8 = 13;

/// A row, with the columns that its [`Table`] names.
pub(crate) struct Row<'a> {
    /// Its row id.
    pub(crate) id: i64,
    table: &'a Table,
    record: &'a [u8],
    layout: Layout,
    encoding: Encoding,
    /// What is wrong with this row alone.
    problem: Option<String>,
}

impl Row<'_> {
    /// The wanted column of this number.
    ///
    /// # Errors
    /// The record is damaged or too long; other rows may be well.
    pub(crate) fn value(&self, wanted: usize) -> Result<Value<'_>> {
        if let Some(problem) = &self.problem {
            return unusable(problem.clone());
        }
        match self.table.wanted.get(wanted) {
            Some(Place::RowId) => Ok(Value::Integer(self.id)),
            Some(Place::Field(field)) => self.layout.value(self.record, *field, self.encoding),
            Some(Place::Absent) | None => Ok(Value::Null),
        }
    }
}

fn damaged<T>(page: u32) -> Result<T> {
    unusable(format!("it is damaged: page {page}"))
}

/// A page of a tree.
struct Node<'a> {
    number: u32,
    bytes: &'a [u8],
    kind: u8,
    /// Where its header begins: behind the database's own on the first page.
    start: usize,
}

impl<'a> Node<'a> {
    fn of(number: u32, bytes: &'a [u8]) -> Result<Node<'a>> {
        let start = if number == 1 { 100 } else { 0 };
        let kind = bytes[start];
        if matches!(kind, INDEX_INNER | TABLE_INNER | INDEX_LEAF | TABLE_LEAF) {
            Ok(Node {
                number,
                bytes,
                kind,
                start,
            })
        } else {
            damaged(number)
        }
    }

    fn inner(&self) -> bool {
        matches!(self.kind, INDEX_INNER | TABLE_INNER)
    }

    fn cells(&self) -> usize {
        usize::from(u16::from_be_bytes([
            self.bytes[self.start + 3],
            self.bytes[self.start + 4],
        ]))
    }

    /// The bytes of a cell, up to the end of the page.
    fn cell(&self, at: usize) -> Result<&'a [u8]> {
        let pointer = self.start + if self.inner() { 12 } else { 8 } + 2 * at;
        let cell = self
            .bytes
            .get(pointer..pointer + 2)
            .map(|bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
            .and_then(|at| self.bytes.get(at..));
        match cell {
            Some(cell) if cell.len() >= 4 => Ok(cell),
            _ => damaged(self.number),
        }
    }

    /// The page below a cell, or below all of them.
    fn child(&self, at: usize) -> Result<u32> {
        let bytes = if at < self.cells() {
            self.cell(at)?
        } else {
            &self.bytes[self.start + 8..]
        };
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// Calls `visit` for each row from `from` on; false: it wants no more.
pub(super) fn walk(
    pages: &mut Pages,
    table: &Table,
    from: i64,
    visit: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
) -> Result<bool> {
    let mut left = pages.count;
    below(pages, table, table.root, from, &mut left, 0, visit)
}

fn below(
    pages: &mut Pages,
    table: &Table,
    number: u32,
    from: i64,
    left: &mut u32,
    level: usize,
    visit: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
) -> Result<bool> {
    // Each page is in one tree once: more than there are means a circle.
    if *left == 0 || level > MAX_LEVELS {
        return damaged(number);
    }
    *left -= 1;
    let page = pages.get(number)?;
    let node = Node::of(number, &page)?;
    match node.kind {
        TABLE_INNER => {
            for at in 0..=node.cells() {
                // A child holds the row ids up to the one beside it.
                if at < node.cells() && row_id(&node.cell(at)?[4..], number)? < from {
                    continue;
                }
                if !below(pages, table, node.child(at)?, from, left, level + 1, visit)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        TABLE_LEAF => {
            for at in 0..node.cells() {
                let cell = node.cell(at)?;
                let Some((length, taken)) = varint(cell) else {
                    return damaged(number);
                };
                let cell = &cell[taken..];
                let id = row_id(cell, number)?;
                if id < from {
                    continue;
                }
                let taken = varint(cell).map_or(0, |(_, taken)| taken);
                let payload = Payload {
                    length,
                    local: local(pages.usable, length, pages.usable - 35),
                    bytes: &cell[taken..],
                    page: number,
                };
                let (layout, record, problem) = match payload.record(pages, &table.wanted) {
                    Ok((layout, record)) => (layout, record, None),
                    Err(Trouble::Unusable(problem)) => (Layout::default(), Vec::new(), Some(problem)),
                    Err(trouble) => return Err(trouble),
                };
                let row = Row {
                    id,
                    table,
                    record: &record,
                    layout,
                    encoding: pages.encoding,
                    problem,
                };
                if !visit(&row)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => damaged(number),
    }
}

fn row_id(bytes: &[u8], page: u32) -> Result<i64> {
    match varint(bytes) {
        Some((id, _)) => Ok(id.cast_signed()),
        None => damaged(page),
    }
}

/// The row id that an index of one text column has for a key.
pub(super) fn seek(pages: &mut Pages, root: u32, key: &[u8]) -> Result<Option<i64>> {
    let mut number = root;
    for _ in 0..=MAX_LEVELS {
        let page = pages.get(number)?;
        let node = Node::of(number, &page)?;
        if !matches!(node.kind, INDEX_INNER | INDEX_LEAF) {
            return damaged(number);
        }
        let (mut low, mut high) = (0, node.cells());
        while low < high {
            let middle = low.midpoint(high);
            let cell = &node.cell(middle)?[if node.inner() { 4 } else { 0 }..];
            let Some((length, taken)) = varint(cell) else {
                return damaged(number);
            };
            let most = (pages.usable - 12) * 64 / 255 - 23;
            let payload = Payload {
                length,
                local: local(pages.usable, length, most),
                bytes: &cell[taken..],
                page: number,
            };
            let encoding = pages.encoding;
            let (layout, record) = payload.record(pages, &[Place::Field(0), Place::Field(1)])?;
            let first = layout.value(&record, 0, encoding)?;
            match first.bytes().unwrap_or_default().cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(layout.value(&record, 1, encoding)?.integer()),
            }
        }
        if !node.inner() {
            return Ok(None);
        }
        number = node.child(low)?;
    }
    damaged(root)
}

/// How many bytes of a payload lie on the page itself; `most` is what may lie there at most.
fn local(usable: usize, length: u64, most: usize) -> usize {
    if length <= most as u64 {
        return usize::try_from(length).unwrap_or(most);
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let rest = (length - least as u64) % (usable as u64 - 4);
    let wanted = least + usize::try_from(rest).unwrap_or(most);
    if wanted <= most { wanted } else { least }
}

/// What a cell carries, part of it on other pages.
struct Payload<'a> {
    length: u64,
    local: usize,
    /// From its beginning to the end of the page.
    bytes: &'a [u8],
    page: u32,
}

impl Payload<'_> {
    /// The record as far as the wanted fields reach.
    fn record(&self, pages: &mut Pages, wanted: &[Place]) -> Result<(Layout, Vec<u8>)> {
        let Some(local) = self.bytes.get(..self.local) else {
            return damaged(self.page);
        };
        let header = Layout::header_length(local).unwrap_or(0);
        if header == 0 || header > self.length {
            return damaged(self.page);
        }
        let mut record = local.to_vec();
        self.load(pages, &mut record, header)?;
        let header = usize::try_from(header).unwrap_or(usize::MAX);
        let layout = Layout::read(record.get(..header).unwrap_or_default())?;
        let fields = wanted.iter().filter_map(|place| match place {
            Place::Field(field) => layout.end(*field),
            Place::RowId | Place::Absent => None,
        });
        let end = fields.max().unwrap_or(0);
        self.load(pages, &mut record, end)?;
        Ok((layout, record))
    }

    /// Loads the payload from its other pages, so that `record` has at least `end` bytes.
    fn load(&self, pages: &mut Pages, record: &mut Vec<u8>, end: u64) -> Result<()> {
        if end <= record.len() as u64 {
            return Ok(());
        }
        if end > self.length {
            return damaged(self.page);
        }
        if end > MAX_DATABASE_VALUE as u64 {
            return unusable(format!(
                "a row of {end} bytes, and at most {MAX_DATABASE_VALUE} are read"
            ));
        }
        record.truncate(self.local);
        let Some(next) = self.bytes.get(self.local..self.local + 4) else {
            return damaged(self.page);
        };
        let mut next = u32::from_be_bytes([next[0], next[1], next[2], next[3]]);
        while (record.len() as u64) < end {
            let page = pages.continuation(next)?;
            next = u32::from_be_bytes([page[0], page[1], page[2], page[3]]);
            let rest = usize::try_from(self.length - record.len() as u64).unwrap_or(usize::MAX);
            record.extend_from_slice(&page[4..pages.usable.min(rest.saturating_add(4))]);
        }
        Ok(())
    }
}
