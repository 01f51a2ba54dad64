//! Connections: accepted up to a bound, served with HTTP/1.1 (a proxy in front speaks the others), and drained when the
//! server stops. The connections are run here and not by `axum::serve`, which bounds neither their number nor the time that a
//! request's head may take, waits for ever for the last one when it stops, and sends pipelined answers one by one.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::App;
use crate::config::Config;

/// A client has this long to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until `stop` completes and the requests under way are answered, or their time is over.
pub async fn run(listener: TcpListener, app: Arc<App>, config: &Config, stop: impl Future<Output = ()>) {
    let bound = u32::try_from(config.max_connections).unwrap_or(u32::MAX).clamp(1, 1 << 20);
    let slots = Arc::new(Semaphore::new(bound as usize));
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    let router = super::router::router(&app);
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), Arc::clone(&app), stopped.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, most often: others are being served, and close theirs.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    app.stop();
    tracing::info!("stopping");
    // Its receivers are gone only when no connection is left.
    let _ = stopping.send(true);
    let drained =
        tokio::time::timeout(Duration::from_secs(config.stop_timeout_s), slots.acquire_many(bound)).await;
    if drained.is_err() {
        tracing::warn!(connections = app.metrics.connections.load(Relaxed), "cut off after stop_timeout_s");
    }
}

async fn connection(stream: TcpStream, router: Router, app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    // Small answers are written whole; waiting for more to send would only delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    app.metrics.connections.fetch_add(1, Relaxed);
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).pipeline_flush(true);
    {
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
    app.metrics.connections.fetch_sub(1, Relaxed);
}
