//! End-to-end tests of the real programs, one module per noun, and the laws of the house.

mod api;
mod audit;
mod bad_input;
mod budget;
mod capture;
mod daemon;
mod databases;
mod doctor;
mod hook;
mod ledger;
mod other_tools;
mod otlp;
mod price;
mod quota;
mod report;
mod session;
mod setup;
mod statusline;
mod task;
mod tidy;
mod token;
mod units;
mod usage;
mod witness;
