//! The `vesta` binary.

fn main() {}
