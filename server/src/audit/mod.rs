//! The audit log of this program: the crate `audit`, stood on the record's own store and the server's signing keys. Its records are
//! AuditEvents of the tenant they are about, found and backed up as every resource is, and written by nobody else.
//!
//! | module | its one job |
//! |---|---|
//! | `storage` | where records and the newest checkpoints are kept |
//! | `verify` | `vesta audit verify` |

mod storage;
pub mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{Log, Settings};
use interaction::Service;
use keys::SigningAlgorithm;
use smart::jwt::Signer;

use crate::authorization::signer;
use crate::config::Config;
use crate::open::OpenError;

/// The type of the records.
pub const TYPE: &str = "AuditEvent";
/// The directory of the newest checkpoints in the data directory; no tenant can have this name.
const DIRECTORY: &str = "audit_checkpoints";

/// The log of a server.
#[derive(Clone)]
pub struct Audit {
    /// What takes events.
    pub log: Log,
    signer: Arc<dyn Signer>,
    directory: PathBuf,
}

impl Audit {
    /// What a configuration asks for; `None` where it leaves the log off. Its task lives on the runtime it is called on.
    ///
    /// # Errors
    /// Signing keys that cannot be had.
    pub async fn open(config: &Config, service: &Service) -> Result<Option<Audit>, OpenError> {
        if !config.is_audited() {
            return Ok(None);
        }
        let signer = signer::open(config, SigningAlgorithm::Rs256).await?;
        let directory = directory(config);
        let storage = Arc::new(storage::Kept { service: service.clone(), directory: directory.clone() });
        let clock = Arc::clone(&service.clock);
        let log = Log::start(
            storage,
            Arc::clone(&signer),
            Settings::default(),
            Arc::new(move || clock().0),
            Arc::new(|| uuid::Uuid::now_v7().simple().to_string()),
        );
        Ok(Some(Audit { log, signer, directory }))
    }
}

/// Where the newest checkpoints of a configuration are.
fn directory(config: &Config) -> PathBuf {
    config.data.join(DIRECTORY)
}

/// The file of a tenant's newest checkpoint.
fn file(directory: &Path, tenant: &str) -> PathBuf {
    directory.join(format!("{tenant}.jwt"))
}
