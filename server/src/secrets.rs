//! Secrets as they are configured: given, `file:PATH` or `keyvault:URL`. Never shown by `Debug`, `vesta config` or the log.

pub use keys::{SecretError, SecretSource, Watched, entra, read};
