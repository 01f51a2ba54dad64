//! The suite of interactions on the Cosmos engine, over the emulator.

mod interactions;

const ENGINE: engines::Engine = engines::Engine::Cosmos;
