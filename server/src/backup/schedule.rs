//! The backups that a server makes by itself, every so often. One that fails is told in the log, and tried again.

use std::path::PathBuf;
use std::time::Duration;

use archive::Archive;
use store::{Store, Tenant};
use tokio::time::MissedTickBehavior;

/// Backs up the tenants that `tenants` names, into a directory for each, every `interval`; the first time at once. Until
/// `stop` completes: then once more, so that what is stopped in good order loses nothing.
pub async fn keep(
    store: Store,
    tenants: impl Fn() -> Vec<Tenant>,
    directory: PathBuf,
    interval: Duration,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let mut ticks = tokio::time::interval(interval.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopping = tokio::select! {
            _ = ticks.tick() => false,
            () = &mut stop => true,
        };
        for tenant in tenants() {
            back_up(&store, &tenant, Archive::at(directory.join(tenant.as_str()))).await;
        }
        if stopping {
            return;
        }
    }
}

async fn back_up(store: &Store, tenant: &Tenant, archive: Archive) {
    let name = tenant.as_str();
    match crate::http::long::run(true, archive.append(store, tenant)).await {
        Ok(appended) if appended.commits > 0 => {
            let (commits, bytes) = (appended.commits, appended.bytes);
            tracing::info!(tenant = name, commits, bytes, "backed up");
        }
        Ok(_) => tracing::debug!(tenant = name, "nothing new to back up"),
        Err(error) => tracing::error!(tenant = name, %error, "the backup failed"),
    }
}
