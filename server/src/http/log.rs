//! The log: what it holds and its form. Never queries, ids, bodies or the text of a panic, which can hold a patient's
//! data.

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::open::OpenError;

/// Starts the log of the process, on standard error.
///
/// # Errors
/// When `log` names no level.
pub fn start(config: &Config) -> Result<(), OpenError> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| OpenError::Log(error.to_string()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let started = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).try_init(),
    };
    started.map_err(|error| OpenError::Log(error.to_string()))?;
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
}
