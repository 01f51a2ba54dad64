//! Azurite, Microsoft's own emulator of Blob Storage (npm `azurite`), as a process that tests start, kill and start again.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use azure_core::credentials::Secret;
use azure_core::hmac::hmac_sha256;
use azure_core::http::Url;

const VERSION: &str = "3.35.0";
const ACCOUNT: &str = "devstoreaccount1";
/// The well-known key of every Azurite: <https://learn.microsoft.com/azure/storage/common/storage-use-azurite>.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// How long it has to start.
const START: Duration = Duration::from_secs(60);

/// An Azurite with a directory and a port of its own; killed when dropped.
#[derive(Debug)]
pub struct Azurite {
    script: PathBuf,
    directory: PathBuf,
    process: Option<Child>,
    port: u16,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Azurite {
    /// Starts one that keeps its blobs in a directory; `None`, said by the test's name, where there is no npm to install it with.
    ///
    /// # Errors
    /// It is required here (`VESTA_REQUIRE_SUITES`) and cannot be installed, or it does not start.
    pub fn start(test: &str, directory: &Path) -> io::Result<Option<Azurite>> {
        let Some(script) = installed() else {
            let why = format!("{test}: node and npm are required, and azurite {VERSION} cannot be installed");
            if std::env::var_os("VESTA_REQUIRE_SUITES").is_some() {
                return Err(io::Error::other(why));
            }
            eprintln!("skipped: {why}");
            return Ok(None);
        };
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut azurite = Azurite { script, directory: directory.to_owned(), process: None, port };
        azurite.start_again()?;
        Ok(Some(azurite))
    }

    /// Starts it after [`Azurite::stop`], with what it had.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self) -> io::Result<()> {
        let process = Command::new("node")
            .arg(&self.script)
            .args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort"])
            .arg(self.port.to_string())
            .arg("--location")
            .arg(&self.directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.process = Some(process);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if begun.elapsed() > START {
                return Err(io::Error::other("azurite does not listen"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops it, so that it keeps what it has: nothing answers any more.
    ///
    /// # Errors
    /// It cannot be told, or does not stop.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        Command::new("kill").args(["-TERM", &process.id().to_string()]).status()?;
        let asked = Instant::now();
        while process.try_wait()?.is_none() {
            if asked.elapsed() > START {
                return Err(io::Error::other("azurite does not stop"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = None;
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The URL of a container.
    pub fn container(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}/{name}", self.port)
    }

    /// A shared access signature of the account for these permissions: `sv=...&sig=...`.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn signature(&self, permissions: &str) -> io::Result<String> {
        let (version, expiry) = ("2021-12-02", "2099-01-01T00:00:00Z");
        let signed =
            [ACCOUNT, permissions, "b", "co", "", expiry, "", "https,http", version, "", ""].join("\n");
        let signature = hmac_sha256(&signed, &Secret::new(KEY)).map_err(io::Error::other)?;
        let mut url = Url::parse("http://127.0.0.1").map_err(io::Error::other)?;
        url.query_pairs_mut()
            .append_pair("sv", version)
            .append_pair("ss", "b")
            .append_pair("srt", "co")
            .append_pair("sp", permissions)
            .append_pair("se", expiry)
            .append_pair("spr", "https,http")
            .append_pair("sig", &signature);
        Ok(url.query().unwrap_or_default().to_owned())
    }

    /// Makes a container.
    ///
    /// # Errors
    /// It is not made.
    pub fn make(&self, name: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let query = self.signature("c")?;
        write!(
            stream,
            "PUT /{ACCOUNT}/{name}?restype=container&{query} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: 0\r\nx-ms-version: 2021-12-02\r\nconnection: close\r\n\r\n",
            self.port
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.starts_with("HTTP/1.1 201") {
            true => Ok(()),
            false => Err(io::Error::other(answer)),
        }
    }
}

/// The script of Azurite's Blob service, installed once into the system's directory for temporary files.
fn installed() -> Option<PathBuf> {
    let directory = std::env::temp_dir().join(format!("vesta-azurite-{VERSION}"));
    let script = directory.join("node_modules/azurite/dist/src/blob/main.js");
    if !script.exists() {
        let status = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&directory)
            .arg(format!("azurite@{VERSION}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return None;
        }
    }
    script.exists().then_some(script)
}
