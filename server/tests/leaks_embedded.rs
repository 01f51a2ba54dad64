//! What one tenant can learn of another, on the embedded engine.

mod leaks;
mod support;

const ENGINE: engines::Engine = engines::Engine::Embedded;
