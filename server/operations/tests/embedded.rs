//! The suite of operations on the embedded engine.

mod operations;

const ENGINE: engines::Engine = engines::Engine::Embedded;
