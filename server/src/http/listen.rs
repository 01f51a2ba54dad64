//! Connections: accepted up to a bound, served with HTTP/1.1 (a proxy in front speaks the others), and drained when the
//! server stops. The connections are run here and not by `axum::serve`, which bounds neither their number nor the time that a
//! request's head may take, waits for ever for the last one when it stops, and sends pipelined answers one by one.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower_service::Service as _;

use super::oauth::Peer;
use super::tls::Certificate;
use super::{App, respond};
use crate::config::Config;

/// A client has this long to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// And this long for what goes before the first one.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where connections come from.
pub struct Listeners {
    /// Clients.
    pub clients: TcpListener,
    /// With what their connections are encrypted; without it, they are not.
    pub certificate: Option<Arc<Certificate>>,
    /// The program's own commands, unencrypted on this machine; without it, they come as clients do.
    pub program: Option<TcpListener>,
}

/// Who is at the other end of a connection.
#[derive(Clone)]
enum Whose {
    Client(Option<Arc<Certificate>>),
    Program,
}

impl Listeners {
    async fn accept(&self) -> std::io::Result<(TcpStream, Peer, Whose)> {
        let program = async {
            match &self.program {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let (accepted, whose) = tokio::select! {
            accepted = self.clients.accept() => (accepted?, Whose::Client(self.certificate.clone())),
            accepted = program => (accepted?, Whose::Program),
        };
        Ok((accepted.0, Peer(accepted.1.ip()), whose))
    }
}

/// Serves until `stop` completes and the requests under way are answered, or their time is over.
pub async fn run(listeners: Listeners, app: Arc<App>, config: &Config, stop: impl Future<Output = ()>) {
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
            accepted = listeners.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer, whose)) => {
                let site = Site { router: router.clone(), app: Arc::clone(&app), peer, whose };
                let connection = site.connection(stream, stopped.clone());
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
    drop(listeners);
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

/// What answers the requests of one connection.
#[derive(Clone)]
struct Site {
    router: Router,
    app: Arc<App>,
    peer: Peer,
    whose: Whose,
}

impl Site {
    async fn connection(self, stream: TcpStream, stopped: watch::Receiver<bool>) {
        // Small answers are written whole; waiting for more to send would only delay them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let app = Arc::clone(&self.app);
        app.metrics.connections.fetch_add(1, Relaxed);
        match &self.whose {
            Whose::Client(Some(certificate)) => {
                let handshake = certificate.acceptor().accept(stream);
                match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                    Ok(Ok(stream)) => self.serve(stream, stopped).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS connection came about"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
            Whose::Client(None) | Whose::Program => self.serve(stream, stopped).await,
        }
        app.metrics.connections.fetch_sub(1, Relaxed);
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin, mut stopped: watch::Receiver<bool>) {
        let service = hyper::service::service_fn(move |request| self.clone().answer(request));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).pipeline_flush(true);
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

    async fn answer(mut self, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if matches!(self.whose, Whose::Program)
            && !self.app.admin.is_known(request.headers().get(header::AUTHORIZATION))
        {
            let text = "This is for the vesta commands that run on the server's data directory.\n";
            return Ok(respond::text(StatusCode::UNAUTHORIZED, text));
        }
        if self.app.directory.authorization().is_some() || self.app.audit.is_some() {
            request.extensions_mut().insert(self.peer);
        }
        self.router.call(request).await
    }
}
