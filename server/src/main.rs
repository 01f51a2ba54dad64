//! The `vesta` binary: nothing but the call into the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    vesta::cli::run()
}
