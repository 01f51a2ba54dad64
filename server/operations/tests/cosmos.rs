//! The suite of operations on the Cosmos engine, over the emulator.

mod operations;

const ENGINE: engines::Engine = engines::Engine::Cosmos;
