//! Prices: what a model's tokens cost, from when on, and what a call cost.
//!
//! A book has three layers: what the user set wins over what they imported, which wins over what is bundled. Every
//! row may start at a date, so that a call keeps the price of its time. What no row names is unpriced, never free.

mod book;
mod bundled;
mod cost;
mod layer;
mod litellm;
mod rate;
mod row;

pub use book::PriceBook;
pub use cost::{Costing, Parts};
pub use litellm::{Imported, parse_litellm};
pub use rate::{Factor, Rate};
pub use row::{Origin, Peak, PriceRow, Rates, TierRates};
