//! In-memory implementations of what the authorization server stands on: for tests, benches and a first look. Nothing here
//! outlives the process.

mod keys;

pub use keys::{MemoryKey, MemorySigner};
