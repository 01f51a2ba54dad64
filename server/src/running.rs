//! The file by which a server tells the other commands on its data directory where it is: `running.json`, readable by the
//! owner alone, there while the server runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use store::Tenant;

const NAME: &str = "running.json";

/// A server that has a data directory open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// Address it listens on (`127.0.0.1:8080`), as this machine reaches it.
    pub address: String,
    /// What its administrative requests are authorised by.
    pub token: String,
    /// Its process.
    pub pid: u32,
}

/// The file, removed when the server stops.
pub struct Notice {
    path: PathBuf,
}

impl Running {
    /// The server that has this directory open, if one left word.
    pub fn find(directory: &Path) -> Option<Running> {
        serde_json::from_slice(&std::fs::read(directory.join(NAME)).ok()?).ok()
    }

    /// Leaves word in the directory.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn announce(&self, directory: &Path) -> std::io::Result<Notice> {
        let path = directory.join(NAME);
        // A file that a killed server left may have other permissions: it is made anew.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        options.open(&path)?.write_all(&text)?;
        Ok(Notice { path })
    }

    /// Its FHIR base URL on this machine; that of a tenant, where it has a table of them.
    pub fn base(&self, tenant: Option<&Tenant>) -> String {
        let place = tenant.map(|tenant| format!("/t/{}", tenant.as_str())).unwrap_or_default();
        format!("http://{}{place}{}", self.address, crate::open::BASE_PATH)
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // If it stays, the next command finds nobody at the address and says so.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_while_running() {
        let directory = tempfile::tempdir().unwrap();
        let running = Running { address: "127.0.0.1:9".to_owned(), token: "secret".to_owned(), pid: 1 };
        assert!(Running::find(directory.path()).is_none());
        std::fs::write(directory.path().join(NAME), "left by a killed server").unwrap();
        let notice = running.announce(directory.path()).unwrap();
        assert_eq!(Running::find(directory.path()).unwrap().base(None), "http://127.0.0.1:9/fhir");
        assert_eq!(running.base(Tenant::new("a").as_ref()), "http://127.0.0.1:9/t/a/fhir");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &std::fs::metadata(directory.path().join(NAME)).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(notice);
        assert!(Running::find(directory.path()).is_none());
    }
}
