//! Vesta's program: HTTP, configuration and wiring around the crates that know FHIR. Nothing below this crate knows
//! HTTP, and nothing here knows how an interaction works.
//!
//! - [`cli`]: the commands.
//! - [`config`]: the table of keys.
//! - [`open`]: the parts of a server put together over its store.
//! - [`tenants`]: whose records a request is about, and what it may cost.
//! - [`authorization`]: the authorization server, on the store, keys and network.
//! - [`secrets`]: keys and connection strings, from where they are kept.
//! - [`evaluate`]: FHIRPath over a file.
//! - [`validate`]: validation of files.
//! - [`export`]: Bulk Data export.
//! - [`bulk_import`]: bulk import.
//! - [`jobs`]: what its jobs and others share.
//! - [`conform`]: the test procedure of the (g)(10) criterion.
//! - [`http`]: requests in, responses out.
//! - [`memory`]: what the allocator may keep.

pub mod audit;
pub mod authorization;
pub mod backup;
mod brand;
pub mod bulk_import;
pub mod cli;
pub mod config;
pub mod conform;
mod demo;
mod dev_cert;
pub mod evaluate;
pub mod export;
pub mod http;
mod import;
pub mod jobs;
pub mod load;
mod maintain;
pub mod memory;
mod nearest;
pub mod open;
mod page;
pub mod progress;
mod reindex;
pub mod running;
pub mod secrets;
mod serve;
pub mod tenants;
pub mod validate;
