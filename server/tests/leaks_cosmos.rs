//! What one tenant can learn of another, on the Cosmos engine, where both share a container.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod leaks;
mod support;

const ENGINE: engines::Engine = engines::Engine::Cosmos;
