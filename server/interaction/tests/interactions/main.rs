//! The interactions over a real embedded store with the embedded definitions: exchanges written as requests, each with the
//! whole answer.

// The lints spare test functions by themselves, but not what they share.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod batch;
mod capabilities;
mod history;
mod record;
mod search;
mod server;
mod transaction;
