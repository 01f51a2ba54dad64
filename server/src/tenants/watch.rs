//! Reads the table of tenants again when its file changes, and tells the store and the directory. A table that cannot be used
//! changes nothing but the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::table::Table;
use crate::config::Config;
use crate::http::App;
use crate::open;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// When to try again what the store refused.
const AGAIN: Duration = Duration::from_secs(10);

/// Wakes the watch before its time: a tenant may have moved.
#[derive(Default)]
pub struct Alarm(Notify);

impl Alarm {
    /// Look now.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// By what a changed file is told: when it was written, and its length.
pub type Mark = Option<(SystemTime, u64)>;

/// The mark of a file, to be taken before it is read.
pub fn mark(path: &Path) -> Mark {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Watches until the server stops. `seen` is the mark of the table in use.
pub async fn watch(app: Arc<App>, config: Config, path: PathBuf, mut seen: Mark) {
    loop {
        let pause = async {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = app.alarm.0.notified() => {}
            }
        };
        pause.await;
        let found = mark(&path);
        if found == seen {
            continue;
        }
        if load(&app, &config, &path).await {
            seen = found;
        } else {
            // A store that refuses now may not later.
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Whether the file need not be read again before it changes.
async fn load(app: &App, config: &Config, path: &Path) -> bool {
    let table = match Table::read(path, config) {
        Ok(table) => table,
        Err(error) => {
            tracing::error!(%error, "the table of tenants was changed and cannot be used; the one before stays");
            return true;
        }
    };
    match open::tell_store(&app.directory.service().store, config, &table).await {
        Ok(()) => {
            app.directory.set(&table);
            tracing::info!(tenants = table.tenants.len(), "the table of tenants was read again");
            true
        }
        Err(error) => {
            tracing::error!(%error, "the store refuses the changed table of tenants; the one before stays");
            false
        }
    }
}
