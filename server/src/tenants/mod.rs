//! Tenants: whose records a request is about, where they are kept, and what it may cost. A tenant comes from the path, the
//! host or (once there are tokens) a claim, never from a body.
//!
//! - [`moving`]: `vesta tenant move`.
//! - [`table`]: the table of tenants, a TOML file.
//! - [`edit`]: changes to that file.
//! - [`command`]: `vesta tenant add`, `vesta tenant list` and `vesta cosmos init`.
//! - [`directory`]: which tenant a request is for.
//! - [`usage`]: request units spent, and budgets.
//! - [`watch`]: reads the table again when it changes.

pub mod command;
pub mod directory;
pub mod edit;
pub mod moving;
pub mod table;
pub mod usage;
pub mod watch;

pub use directory::{Directory, Site};
pub use table::{Row, Table, TableError, Tier};
