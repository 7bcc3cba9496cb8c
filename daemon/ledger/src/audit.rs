//! Reading the audit: acts, newest first, a page at a time.

use tokmon_core::audit::{Act, ActFilter};

use crate::answer::Page;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::page;

/// Which acts are asked for.
#[derive(Debug, Clone, Default)]
pub struct ActsQuery {
    /// First instant of acceptance, milliseconds; `None`: from the beginning.
    pub from_ms: Option<i64>,
    /// End, milliseconds, not included; `None`: everything after.
    pub to_ms: Option<i64>,
    /// Which acts count.
    pub filter: ActFilter,
    /// At most so many; 0: 100; never more than [`MAX_PAGE`](tokmon_core::limits::MAX_PAGE).
    pub page_size: usize,
    /// The token of the page before; empty: the first page.
    pub page_token: String,
}

impl Ledger {
    /// Acts, newest first. Blocks: acts are found by walking over the calls between them.
    ///
    /// # Errors
    /// `Refused` when the filter or the page token is wrong, or the store's error.
    pub fn acts(&self, query: &ActsQuery) -> Result<Page<Act>, LedgerError> {
        query.filter.validate()?;
        let wanted = page::size(query.page_size, 100);
        let before = page::parse(&query.page_token)?.map_or(u64::MAX, |(_, seq)| seq);
        let (mut items, mut more) = (Vec::new(), false);
        self.shared().slot.read(|store| {
            let first = match query.from_ms {
                Some(from_ms) => store.first_recorded_since(from_ms)?,
                None => 0,
            };
            let end = match query.to_ms {
                Some(to_ms) => store.first_recorded_since(to_ms)?,
                None => u64::MAX,
            };
            store.acts(first..end.min(before), &mut |entry| {
                if let Some(act) = Act::of(&entry).filter(|act| query.filter.matches(act)) {
                    more = items.len() == wanted;
                    if !more {
                        items.push(act);
                    }
                }
                !more
            })?;
            Ok(())
        })?;
        let next = items
            .last()
            .filter(|_| more)
            .map(|act| page::token(act.at_ms, act.seq));
        Ok(Page { items, next })
    }
}
