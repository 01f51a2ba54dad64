//! In-memory implementations of what the authorization server stands on: for tests, benches and a first look. Nothing here
//! outlives the process.

mod keys;
mod storage;

pub use keys::{MemoryKey, MemorySigner};
pub use storage::MemoryStorage;
