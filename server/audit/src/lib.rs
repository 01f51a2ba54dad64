//! The audit log: events in, a sequence of FHIR AuditEvents (<https://hl7.org/fhir/R4/auditevent.html>, after IHE's Basic Audit
//! Log Patterns, <https://profiles.ihe.net/ITI/BALP/>) out, linked by hashes and signed from time to time; and its verification.
//! Knows no store and no HTTP: the server implements [`Storage`], and signs with the keys of its tokens
//! ([`smart::jwt::Signer`]).
//!
//! | module | its one job |
//! |---|---|
//! | `event` | what happened |
//! | `resource` | an event as an AuditEvent |
//! | `link` | the extension that makes AuditEvents a chain, and the hash it is made of |
//! | `chain` | the next record of a chain |
//! | `checkpoint` | the signed heads of chains |
//! | `tail` | where the chains of others end |
//! | `writer` | the queue, and the task that writes what is in it |
//! | `verify` | what is wrong with stored records |
//!
//! # The chain
//!
//! Each process that writes has a chain of its own for each tenant, named by a UUID. Record `n` of a chain is
//! `AuditEvent/{chain}-{n}`, `n` in 12 digits, and carries the extension [`EXTENSION`]:
//!
//! | part | value |
//! |---|---|
//! | `chain` | `valueId`: the chain |
//! | `sequence` | `valueString`: `n`, from 0, in 12 digits |
//! | `previous` | `valueString`: `hash` of record `n - 1`, hexadecimal; of record 0, 64 zeros |
//! | `hash` | `valueString`: SHA-256 over the 32 bytes of `previous` and the canonical JSON of the record |
//! | `checkpoint` | `valueString`: on record 0 and on checkpoints, a signed JWT |
//!
//! Canonical JSON has its members sorted by name and no white space (as RFC 8785 has them), and leaves out what cannot be known
//! before: `hash`, `checkpoint`, `meta.versionId` and `meta.lastUpdated`, which the store writes.
//!
//! # Checkpoints
//!
//! The claims of a checkpoint are `tenant`, `chain`, `sequence` and `hash` of its own record, and `heads`: by chain,
//! `[sequence, hash]` of the last known record of each other chain that the signer had not named yet. So a record that is
//! changed, or cut off, or a chain that is dropped, contradicts a later signature. The newest checkpoint is also given to
//! [`Storage::keep`], to be kept outside of the store: it tells when the end of the only chain is missing.
//!
//! What is newer than the last checkpoint is linked, but not signed: it can be cut off, or written again with other hashes,
//! without a trace. That is at most [`Settings::checkpoint_events`] records or [`Settings::checkpoint_every`].

mod chain;
mod checkpoint;
mod event;
mod link;
mod resource;
mod tail;
mod verify;
mod writer;

pub use chain::Record;
pub use event::{Coding, Event, Interaction, Kind, Outcome, User};
pub use link::EXTENSION;
pub use resource::CODES;
pub use verify::{Report, Stored, Verifier};
pub use writer::{Counts, Log, Settings, Storage, StorageError};
