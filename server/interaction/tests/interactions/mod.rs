//! The interactions over a real store with the embedded definitions: exchanges written as requests, each with the whole
//! answer. The crate that has this module says on which engine.

// The lints spare test functions by themselves, but not what they share.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod batch;
mod capabilities;
mod code_tables;
mod history;
mod own_parameters;
mod patch;
mod provenance;
mod record;
mod search;
mod server;
mod transaction;
mod validation;
