//! Server processes, two places that clients know them by, and what they work on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use cosmos_emulator::Account;

use crate::support::{Answer, Server, exchange, said, vesta};

/// What the servers work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A data directory; one server has both places.
    Embedded,
    /// An account; each place has a server of its own.
    Cosmos,
}

/// The servers.
pub struct Cluster {
    account: Option<Account>,
    directory: PathBuf,
    places: [RwLock<SocketAddr>; 2],
    servers: Mutex<Vec<Server>>,
    started: AtomicU64,
    kills: AtomicU64,
}

impl Cluster {
    pub fn start(kind: Kind, directory: &Path) -> Cluster {
        let account = (kind == Kind::Cosmos).then(|| Account::start().unwrap());
        let nowhere = || RwLock::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        let cluster = Cluster {
            account,
            directory: directory.to_owned(),
            places: [nowhere(), nowhere()],
            servers: Mutex::default(),
            started: AtomicU64::new(0),
            kills: AtomicU64::new(0),
        };
        if kind == Kind::Cosmos {
            let output = cluster.command(&["cosmos", "init"]).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        }
        let first = cluster.prepare_server();
        let second = (kind == Kind::Cosmos).then(|| cluster.prepare_server());
        *cluster.places[0].write().unwrap() = first.address;
        *cluster.places[1].write().unwrap() = second.as_ref().map_or(first.address, |server| server.address);
        cluster.servers.lock().unwrap().extend([Some(first), second].into_iter().flatten());
        cluster
    }

    /// A command on what the cluster works on.
    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let mut command = vesta(arguments);
        match &self.account {
            None => command.arg("--data").arg(&self.directory),
            Some(account) => command
                .arg("--data")
                .arg(self.directory.join(number.to_string()))
                .args(["--store", "cosmos"])
                .env("VESTA_COSMOS_CONNECTION_STRING", account.connection_string()),
        };
        command
    }

    /// Starts a server that nobody knows yet.
    pub fn prepare_server(&self) -> Server {
        let mut command = self.command(&["serve", "--bind", "127.0.0.1:0"]);
        Server::start_command(&mut command)
    }

    /// Kills the server of a place, and gives the place to another.
    pub fn kill(&self, place: usize, next: Server) {
        let mut servers = self.servers.lock().unwrap();
        let address = next.address;
        std::mem::replace(&mut servers[place], next).kill();
        *self.places[place].write().unwrap() = address;
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// How many servers were killed.
    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::Relaxed)
    }

    /// Sends a request to a place. An error is a server that was killed.
    pub fn send(
        &self,
        place: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        let address = *self.places[place].read().unwrap();
        exchange(address, method, &format!("/fhir{path}"), headers, body.as_bytes())
    }

    /// `vesta check` finds nothing wrong.
    pub fn check_store(&self) {
        let output = self.command(&["check"]).output().unwrap();
        assert!(output.status.success(), "vesta check: {}", said(&output));
    }
}
