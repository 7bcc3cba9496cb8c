//! End-to-end tests of the real programs, one module per noun, and the laws of the house.

mod daemon;
mod other_tools;
mod tidy;
mod units;
mod usage;
