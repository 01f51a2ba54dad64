//! `vesta serve`: opens the data, listens, says where, and stops in good order.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::audit::Audit;
use crate::authorization::{self, Authorization};
use crate::backup;
use crate::config::{Config, EngineKind};
use crate::export::{Exporter, Home, Published};
use crate::http::listen::Listeners;
use crate::http::tls::Certificate;
use crate::http::{App, listen};
use crate::open::{self, OpenError};
use crate::reindex;
use crate::running::Running;
use crate::tenants::{Table, watch};
use store::Tenant;

/// Between looks for exports whose time is over, and for those that a server that is gone has left.
const LOOK: Duration = Duration::from_secs(10);

/// The server could not start or run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}{}", advice(error))]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The data or the definitions.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system refuses threads or sockets.
    #[error("cannot serve: {0}")]
    Io(#[from] std::io::Error),
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; choose another port with --bind 127.0.0.1:PORT",
        std::io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        _ => "",
    }
}

/// Serves until the process is told to stop.
///
/// # Errors
/// [`ServeError`].
pub fn serve(config: &Config) -> Result<(), ServeError> {
    let started = Instant::now();
    let listener =
        TcpListener::bind(config.bind).map_err(|error| ServeError::Bind { address: config.bind, error })?;
    let address = listener.local_addr()?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.threads > 0 {
        runtime.worker_threads(config.threads);
    }
    let runtime = runtime.enable_all().build()?;
    let certificate = Certificate::of(config)?;
    // The program's own commands know the server by its directory, not by the name of its certificate.
    let program = match certificate {
        Some(_) => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?),
        None => None,
    };
    let mark = config.tenants.as_deref().map(watch::mark);
    let table = Table::of(config).map_err(OpenError::from)?;
    let service = runtime.block_on(open::open(config, table.as_ref(), open::base_url(config, address)))?;
    let audit = runtime.block_on(Audit::open(config, &service))?;
    let log = audit.as_ref().map(|audit| audit.log.clone());
    let authorization =
        runtime.block_on(Authorization::open(config))?.map(|server| server.recording(log.clone()));
    let sweeps = authorization.clone();
    let published = Published::new(config).map_err(OpenError::Published)?;
    let exporter = Exporter::new(runtime.block_on(Home::of_server(config))?, published, config);
    let app = Arc::new(App::new(service, table.as_ref(), authorization, audit, exporter, config, address));
    let reachable = match &program {
        Some(listener) => listener.local_addr()?,
        None => reachable(address),
    };
    let running = Running {
        address: reachable.to_string(),
        token: app.admin_token().to_owned(),
        pid: std::process::id(),
    };
    // Kept until the server has stopped. Other commands open Cosmos DB themselves, while it runs.
    let _notice = match config.store {
        EngineKind::Embedded => Some(running.announce(&config.data)?),
        EngineKind::Cosmos => None,
    };
    runtime.block_on(async {
        let stop = stop_signal()?;
        if let (Some(path), Some(mark)) = (config.tenants.clone(), mark.flatten()) {
            tokio::spawn(watch::watch(Arc::clone(&app), config.clone(), path, Some(mark)));
        }
        // Cosmos DB has nothing to be done.
        let indexing = match config.store {
            EngineKind::Embedded => Some(tokio::spawn(reindex::keep(Arc::clone(&app)))),
            EngineKind::Cosmos => None,
        };
        if let Some(authorization) = sweeps {
            tokio::spawn(authorization::sweep(Arc::clone(&app), authorization));
        }
        if let Some(certificate) = &certificate {
            tokio::spawn(Arc::clone(certificate).watch());
        }
        let tenants: Vec<_> = app.directory.tenants().into_iter().map(|(tenant, _)| tenant).collect();
        app.exporter.resume(app.directory.service(), &tenants).await;
        tokio::spawn(look_after_exports(Arc::clone(&app)));
        app.importer.resume(app.directory.service(), &tenants).await;
        tokio::spawn(Arc::clone(&app.importer).sweep(|| store::Timestamp::now().0));
        announce(config, &app, address, started);
        let (serving, served) = oneshot::channel::<()>();
        let backups = backups(config, &app, served);
        let tokio_listener = |listener: TcpListener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        };
        let listeners = Listeners {
            clients: tokio_listener(listener)?,
            certificate,
            program: program.map(tokio_listener).transpose()?,
        };
        listen::run(listeners, Arc::clone(&app), config, stop).await;
        if let Some(log) = log {
            log.stop().await;
        }
        if let Some(indexing) = indexing {
            indexing.abort();
        }
        drop(serving);
        if let Some(backups) = backups {
            backups.await.map_err(std::io::Error::other)?;
        }
        Ok::<(), ServeError>(())
    })?;
    tracing::info!("stopped");
    Ok(())
}

/// Looks after the exports while the server runs.
async fn look_after_exports(app: Arc<App>) {
    loop {
        let tenants: Vec<_> = app.directory.tenants().into_iter().map(|(tenant, _)| tenant).collect();
        app.exporter.look(app.directory.service(), &tenants).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// Begins the backups that are configured; they end with one more when `served` ends.
fn backups(config: &Config, app: &Arc<App>, served: oneshot::Receiver<()>) -> Option<JoinHandle<()>> {
    let directory = config.backup_directory.clone()?;
    let interval = Duration::from_secs(config.backup_interval_s);
    let store = app.directory.service().store.clone();
    let app = Arc::clone(app);
    let tenants = move || {
        let all = app.directory.tenants().into_iter().map(|(tenant, _)| tenant);
        let is_on = app.directory.authorization().is_some();
        let reserved = |tenant: &Tenant| authorization::reserved(tenant).filter(|_| is_on);
        all.flat_map(|tenant| [reserved(&tenant), Some(tenant)]).flatten().collect()
    };
    Some(tokio::spawn(backup::keep(store, tenants, directory, interval, async {
        // The other end is dropped, and never sent to.
        let _ = served.await;
    })))
}

/// The address by which this machine reaches a listener on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    match (address.ip().is_unspecified(), address.ip()) {
        (false, _) => address,
        (true, IpAddr::V4(_)) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        (true, IpAddr::V6(_)) => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
    }
}

fn announce(config: &Config, app: &App, address: SocketAddr, started: Instant) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), ready_ms = started.elapsed().as_millis(), "ready");
    if config.authorization {
        if config.tls_certificate.is_none() && !config.bind.ip().is_loopback() {
            eprintln!(
                "UNENCRYPTED: passwords, tokens and records pass {address} in plain text (--insecure-plain)."
            );
        }
    } else if config.bind.ip().is_loopback() {
        eprintln!(
            "Open server: whoever can use this machine can read and change every record; other machines cannot reach it."
        );
    } else {
        eprintln!(
            "OPEN SERVER: whoever can reach {address} can read and change every record (--insecure-open)."
        );
    }
    let mut out = std::io::stdout().lock();
    // Nobody reads a closed standard output.
    let _ = writeln!(out, "Vesta {} serves FHIR R4 at {}", env!("CARGO_PKG_VERSION"), app.base())
        .and_then(|()| out.flush());
}

/// Completes at Ctrl-C or SIGTERM.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}
