//! SMART App Launch 2.2.0 (<https://hl7.org/fhir/smart-app-launch/STU2.2/>) and the standards below it: who may see what, and
//! how a token that says so is come by. Knows no HTTP server, no store and no FHIR resource: it stands on traits.
//!
//! | module | its one job |
//! |---|---|
//! | `scope` | scopes: reading, comparing, narrowing |
//! | `access` | what scopes permit, compiled once per token |
//! | `jwt` | signed tokens and sets of keys |
//! | `server` | the authorization server, route by route |
//! | `page` | its pages for people |
//! | `record` | the records that it keeps |
//! | `storage` | where it keeps them: a trait |
//! | `services` | what else it stands on: traits |
//! | `fetch` | what may be fetched for a client |
//! | `password` | passwords and one-time codes |
//! | `secret` | random secrets and their digests |
//! | `event` | what it tells the audit log |
//! | `message` | requests and answers without HTTP |
//! | `config` | what can be set |
//! | `memory` | in-memory implementations of the traits |

mod access;
mod config;
mod event;
pub mod fetch;
pub mod jwt;
pub mod memory;
mod message;
mod page;
pub mod password;
mod record;
mod scope;
mod secret;
mod server;
mod services;
mod storage;

pub use access::{Access, Allowance, Compartment, Context, Decision, Interaction, PATIENTLESS};
pub use config::{Brand, Config, Registration, US_CORE_TYPES, Upstream};
pub use event::{Event, EventKind, Events, cleaned};
pub use fetch::{Fetch, FetchError, Fetched};
pub use message::{Body, MAX_PARAMETER_BYTES, MAX_PARAMETERS, Reply, Request};
pub use password::Passwords;
pub use record::{
    Authentication, Client, ClientError, FhirContext, IdTokenAlgorithm, LaunchContext, Policy, PolicyError,
    PolicyRule, SessionUser, User,
};
pub use scope::{
    Filter, Level, MAX_SCOPE_LENGTH, MAX_SCOPES, Meaning, Permissions, ResourceScope, Scope, ScopeError,
    ScopeSet, Unread,
};
pub use secret::NoRandom;
pub use server::{
    AuthorizationServer, CAPABILITIES, Granted, LaunchError, LaunchRequest, Launched, Policies, Route,
    ServerError, TokenError, Verified,
};
pub use services::{Choice, Clock, Directory, Job, Jobs, Services};
pub use storage::{Condition, Put, Record, Storage, StorageError, Table};
