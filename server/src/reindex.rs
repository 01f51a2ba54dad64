//! Brings the index to the search parameters that tenants stored, while they are served: a little for each tenant in turn.
//! The store remembers how far it is; a process that is started again goes on from there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use interaction::Service;
use store::Tenant;

use crate::http::App;

/// How long nothing is done when there was nothing to do.
const IDLE: Duration = Duration::from_millis(500);
/// How long after a step the writes that wait for it come first.
const PAUSE: Duration = Duration::from_millis(2);
/// How often the log says how far it is.
const SAID: Duration = Duration::from_secs(5);

/// Works until the task is ended.
pub async fn keep(app: Arc<App>) {
    let mut said = Instant::now();
    loop {
        let mut worked = false;
        for (tenant, _) in app.directory.tenants() {
            let service = app.directory.service();
            match service.index_own_parameters(&tenant).await {
                Ok(left) => {
                    worked |= left;
                    if left && said.elapsed() > SAID {
                        said = Instant::now();
                        say(service, &tenant).await;
                    }
                }
                // It is tried again; a store that fails says so at every request as well.
                Err(failure) => {
                    let why = failure.issues.first().map_or("", |issue| issue.details.as_str());
                    tracing::debug!(tenant = tenant.as_str(), why, "search parameters cannot be indexed");
                }
            }
        }
        tokio::time::sleep(if worked { PAUSE } else { IDLE }).await;
    }
}

async fn say(service: &Service, tenant: &Tenant) {
    if let Ok(own) = service.store.own_parameters(tenant).await
        && let Some((done, total)) = own.progress
    {
        tracing::info!(tenant = tenant.as_str(), done, total, "indexing by new search parameters");
    }
}
