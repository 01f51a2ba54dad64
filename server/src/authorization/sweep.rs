//! Forgetting records that have expired: a task of the server, once an hour for each tenant. What is forgotten was worth nothing
//! before: every reader looks at the time.

use std::sync::Arc;
use std::time::Duration;

use store::Tenant;

use super::{Authorization, records};
use crate::http::App;

/// How often.
const EVERY: Duration = Duration::from_secs(3600);
/// Most records of a tenant that are forgotten at a time; the others follow the next time.
const LIMIT: usize = 20_000;

/// Sweeps until the server stops.
pub async fn sweep(app: Arc<App>, authorization: Authorization) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let Some(today) = records::day(jiff::Timestamp::now().as_second()) else { continue };
        for (tenant, _) in app.directory.tenants() {
            forget(&app, &authorization, &tenant, &today).await;
        }
    }
}

async fn forget(app: &App, authorization: &Authorization, tenant: &Tenant, today: &str) {
    let records = authorization.records(app.directory.service(), tenant);
    let name = tenant.as_str();
    match records.forget(today, LIMIT).await {
        Ok(0) => {}
        Ok(forgotten) => tracing::info!(tenant = name, forgotten, "records of authorization had expired"),
        Err(error) => tracing::warn!(tenant = name, %error, "expired records were not forgotten"),
    }
}
