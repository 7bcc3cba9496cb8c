//! Reports to test with, made from rows that are written down.

use super::{Report, Row};
use crate::rollup::Agg;

/// A report with these rows, in this order.
pub(crate) fn report(rows: &[(&[&str], Agg)]) -> Report {
    let mut total = Agg::empty();
    let rows = (rows.iter())
        .map(|(keys, agg)| {
            total.add(agg);
            Row {
                keys: keys.iter().map(|&key| key.to_owned()).collect(),
                agg: agg.clone(),
            }
        })
        .collect();
    Report {
        rows,
        total,
        unpriced: Vec::new(),
    }
}
