//! The `vesta` binary: nothing but the calls into the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    vesta::memory::bound();
    vesta::cli::run()
}
