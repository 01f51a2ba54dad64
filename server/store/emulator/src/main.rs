//! `cosmos-emulator --port PORT`: an account for several processes. Prints its connection string, and serves until it is
//! killed. Nothing is kept.
#![allow(clippy::print_stdout, reason = "the connection string is what the program is for")]

use clap::Parser;
use cosmos_emulator::{Account, Options};

/// A Cosmos DB account in memory, for tests.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on 127.0.0.1; 0 for any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Answer 429 beyond the request units that a container has.
    #[arg(long)]
    throttling: bool,
}

fn main() -> std::io::Result<()> {
    let Arguments { port, throttling } = Arguments::parse();
    let account = Account::start_with(&Options { port, throttling })?;
    println!("{}", account.connection_string());
    loop {
        std::thread::park();
    }
}
