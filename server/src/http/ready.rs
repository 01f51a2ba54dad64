//! `/readyz`: whether requests can be answered, and if not, why.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::Response;
use store::StoreError;
use tokio::sync::Mutex;

use super::{App, respond};

/// An answer holds for so long: asking a store may cost.
const HOLDS: Duration = Duration::from_secs(2);
/// The store has this long to answer.
const WAIT: Duration = Duration::from_secs(5);

/// What was found last.
#[derive(Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Option<String>)>>);

/// Says so, 200, or what keeps the server from it, 503.
pub(super) async fn answer(app: &App) -> Response {
    if app.stopping.load(std::sync::atomic::Ordering::Relaxed) {
        return respond::text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let mut last = app.readiness.0.lock().await;
    let found = match &*last {
        Some((at, found)) if at.elapsed() < HOLDS => found.clone(),
        _ => {
            let found = obstacle(app).await;
            *last = Some((Instant::now(), found.clone()));
            found
        }
    };
    match found {
        None => respond::text(StatusCode::OK, "ready\n"),
        Some(why) => respond::text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

/// The first thing that keeps any tenant from being read and written. One that is being moved waits for nobody here.
async fn obstacle(app: &App) -> Option<String> {
    let tenants = app.directory.tenants();
    let names_them = tenants.len() > 1;
    for (tenant, _) in tenants {
        let asked = app.directory.service().store.ready(&tenant);
        let why = match tokio::time::timeout(WAIT, asked).await {
            Ok(Ok(()) | Err(StoreError::Moving(_))) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the store does not answer within {} seconds", WAIT.as_secs()),
        };
        return Some(if names_them { format!("tenant {}: {why}", tenant.as_str()) } else { why });
    }
    None
}
