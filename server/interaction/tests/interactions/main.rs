//! The interactions over a real embedded store with the embedded definitions: exchanges written as requests, each with the
//! whole answer.

mod batch;
mod capabilities;
mod history;
mod record;
mod search;
mod server;
mod transaction;
