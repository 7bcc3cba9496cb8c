//! The fold: rollup rows in, one sum per group out.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::keyer::Keyer;
use super::{Grouping, IdFilter, MAX_GROUPINGS, Query, Report, Row, order};
use crate::Name;
use crate::rollup::{Agg, Dimension, Dims};

/// A group's keys; unused places are 0.
pub(super) type GroupKey = [u32; MAX_GROUPINGS];

/// A report in the making.
pub struct Fold {
    query: Query,
    filter: IdFilter,
    keyers: Vec<Keyer>,
    index: HashMap<GroupKey, usize, BuildHasherDefault<IdHasher>>,
    groups: Vec<(GroupKey, Agg)>,
    /// The group of the last row: rows of one group often follow each other.
    last: usize,
    unpriced: BTreeSet<(u32, u32)>,
}

impl Fold {
    /// An empty fold. The query has been validated: groupings beyond [`MAX_GROUPINGS`] are ignored.
    pub fn new(query: &Query, filter: IdFilter) -> Fold {
        let keyers = (query.group_by.iter().take(MAX_GROUPINGS))
            .map(|&grouping| Keyer::new(grouping, query))
            .collect();
        Fold {
            query: query.clone(),
            filter,
            keyers,
            index: HashMap::default(),
            groups: Vec::new(),
            last: 0,
            unpriced: BTreeSet::new(),
        }
    }

    /// Adds a rollup row. Rows outside the filter are passed over; the window is the caller's to keep.
    pub fn add(&mut self, bucket: u32, dims: &Dims, agg: &Agg) {
        if !self.filter.matches(dims) || agg.is_empty() {
            return;
        }
        let mut key = GroupKey::default();
        for (part, keyer) in key.iter_mut().zip(&mut self.keyers) {
            *part = keyer.key(bucket, dims);
        }
        if agg.unpriced_requests > 0 {
            self.unpriced.insert((
                dims[Dimension::Provider as usize],
                dims[Dimension::Model as usize],
            ));
        }
        match self.groups.get_mut(self.last) {
            Some((last, sum)) if *last == key => sum.add(agg),
            _ => self.add_to_group(key, agg),
        }
    }

    fn add_to_group(&mut self, key: GroupKey, agg: &Agg) {
        let groups = &mut self.groups;
        self.last = *self.index.entry(key).or_insert_with(|| {
            groups.push((key, Agg::empty()));
            groups.len() - 1
        });
        self.groups[self.last].1.add(agg);
    }

    /// Sorts the groups and gives them their names. `name` is asked once per id.
    pub fn finish(self, name: &dyn Fn(Dimension, u32) -> Name) -> Report {
        let mut total = Agg::empty();
        for (_, agg) in &self.groups {
            total.add(agg);
        }
        let mut names = Names {
            name,
            known: HashMap::new(),
        };
        let unpriced = (self.unpriced.iter())
            .map(|&(provider, model)| {
                let provider = names.get(Dimension::Provider, provider);
                let model = names.get(Dimension::Model, model);
                if provider.is_empty() {
                    model.to_string()
                } else {
                    format!("{provider}/{model}")
                }
            })
            .collect::<BTreeSet<String>>();
        let groups = join_places(&self.query.group_by, self.groups, &mut names);
        let mut rows = order::sorted(&self.query, groups, &mut names);
        if rows.is_empty() && self.query.group_by.is_empty() {
            rows.push(Row {
                keys: Vec::new(),
                agg: Agg::empty(),
            });
        }
        Report {
            rows,
            total,
            unpriced: unpriced.into_iter().collect(),
        }
    }
}

/// Places that say the same in the columns of a report are one group: of those with the same text the first one seen
/// stands for all.
fn join_places(
    columns: &[Grouping],
    groups: Vec<(GroupKey, Agg)>,
    names: &mut Names<'_>,
) -> Vec<(GroupKey, Agg)> {
    if !columns.iter().any(|column| matches!(column, Grouping::Place(_))) {
        return groups;
    }
    let mut firsts: HashMap<(usize, Name), u32> = HashMap::new();
    let mut index: HashMap<GroupKey, usize, BuildHasherDefault<IdHasher>> = HashMap::default();
    let mut joined: Vec<(GroupKey, Agg)> = Vec::new();
    for (mut key, agg) in groups {
        for (at, &column) in columns.iter().take(MAX_GROUPINGS).enumerate() {
            if matches!(column, Grouping::Place(_)) {
                let text = names.of_column(column, Dimension::Place, key[at]);
                key[at] = *firsts.entry((at, text)).or_insert(key[at]);
            }
        }
        let at = *index.entry(key).or_insert_with(|| {
            joined.push((key, Agg::empty()));
            joined.len() - 1
        });
        joined[at].1.add(&agg);
    }
    joined
}

/// Names by id, each looked up once.
pub(super) struct Names<'a> {
    name: &'a dyn Fn(Dimension, u32) -> Name,
    known: HashMap<(Dimension, u32), Name>,
}

impl Names<'_> {
    /// The text of an id in a column: of a place, only the part that the column shows.
    pub(super) fn of_column(&mut self, column: Grouping, dimension: Dimension, id: u32) -> Name {
        let name = self.get(dimension, id);
        match column {
            Grouping::Place(part) => part.of_text(&name).into(),
            _ => name,
        }
    }

    pub(super) fn get(&mut self, dimension: Dimension, id: u32) -> Name {
        let name = self.name;
        self.known
            .entry((dimension, id))
            .or_insert_with(|| {
                if id == 0 {
                    Name::from("")
                } else {
                    name(dimension, id)
                }
            })
            .clone()
    }
}

/// Hashes ids that we gave out ourselves: no stranger chooses them, so a multiplication is enough.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The table takes its slot from the low bits and its tag from the high ones.
        self.0 ^ (self.0 >> 32)
    }
}
