//! The suite of interactions on the embedded engine.

mod interactions;

const ENGINE: engines::Engine = engines::Engine::Embedded;
