//! What one tenant can learn of another, on the Cosmos engine, where both share a container.

mod leaks;
mod support;

const ENGINE: engines::Engine = engines::Engine::Cosmos;
