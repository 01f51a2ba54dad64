//! TLS of the built program: which versions it speaks, whose certificate it shows, and that it reads a changed one again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream, SupportedProtocolVersion};
use support::{directory, done, vesta};

struct Served {
    child: Child,
    address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(data: &Path, certificates: &Path) -> Served {
    let (chain, key) = (certificates.join("server.pem"), certificates.join("server-key.pem"));
    let mut command = vesta(&["serve", "--authorization", "--bind", "127.0.0.1:0", "--data"]);
    command.arg(data).arg("--tls-certificate").arg(chain).arg("--tls-key").arg(key);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().split("https://").nth(1).and_then(|rest| rest.strip_suffix("/fhir"));
    Served { child, address: address.unwrap_or_else(|| panic!("no base URL in {line:?}")).parse().unwrap() }
}

/// GETs a path with one version of TLS: the version spoken, the server's certificate, the answer.
fn get(
    address: SocketAddr,
    authority: &Path,
    version: &'static SupportedProtocolVersion,
    name: &str,
    path: &str,
) -> std::io::Result<(String, Vec<u8>, String)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let spoken = format!("{:?}", connection.protocol_version().unwrap());
    let certificate = connection.peer_certificates().unwrap()[0].to_vec();
    Ok((spoken, certificate, String::from_utf8_lossy(&answer).into_owned()))
}

#[test]
fn only_tls_1_2_and_1_3_are_spoken_with_a_certificate_that_is_read_again() {
    let (data, certificates) = (directory(), directory());
    let at = certificates.path().to_str().unwrap();
    let told = done(&["dev-cert", at, "--name", "ehr.example.org"]);
    assert!(told.contains("--tls-certificate") && told.contains("update-ca-certificates"), "{told}");
    let authority = certificates.path().join("ca.pem");
    let served = serve(data.path(), certificates.path());
    let see = |version, name: &str| get(served.address, &authority, version, name, "/auth/login");

    let (spoken, first, page) = see(&TLS13, "localhost").unwrap();
    assert_eq!(spoken, "TLSv1_3");
    let cookie = page.lines().find(|line| line.starts_with("set-cookie")).unwrap_or_default();
    assert!(cookie.starts_with("set-cookie: __Host-vesta-session="), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    assert_eq!(see(&TLS12, "127.0.0.1").unwrap().0, "TLSv1_2");
    assert_eq!(see(&TLS13, "ehr.example.org").unwrap().1, first);
    assert!(see(&TLS13, "other.example.org").is_err());
    let (_, _, statement) = get(served.address, &authority, &TLS13, "localhost", "/fhir/metadata").unwrap();
    assert!(statement.contains(&format!("https://{}/auth/token", served.address)), "{statement}");

    for old in [1, 2] {
        // A ClientHello of TLS 1.0 and of 1.1 (RFC 4346 section 7.4.1.2), answered by the alert protocol_version.
        // Ciphers and, lest anything else be missed, the extension signature_algorithms.
        let rest = [0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
        let body = [&[3, old][..], &[7; 32], &rest].concat();
        let length = u8::try_from(body.len()).unwrap();
        let hello = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
        let mut socket = TcpStream::connect(served.address).unwrap();
        socket.write_all(&hello).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert_eq!((answer.first(), answer.get(5..7)), (Some(&21), Some(&[2, 70][..])), "TLS 1.{}", old - 1);
    }
    // Plain HTTP gets nothing on this port.
    assert!(support::exchange(served.address, "GET", "/healthz", &[], b"").is_err());

    // The program's own commands find their way past it, and only they.
    let listed = done(&["user", "list", "--authorization", "--data", data.path().to_str().unwrap()]);
    assert_eq!(listed, "");
    let sample = ["demo", "--patients", "1", "--authorization", "--data", data.path().to_str().unwrap()];
    assert!(done(&sample).contains("Loaded "), "a running server takes a sample");
    let running: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data.path().join("running.json")).unwrap()).unwrap();
    let inner = running["address"].as_str().unwrap().parse().unwrap();
    for path in ["/fhir/metadata", "/auth/login", "/"] {
        support::exchange(inner, "GET", path, &[], b"").unwrap().expect(401);
    }

    // A new certificate of the same authority is shown before long; a broken one is not.
    done(&["dev-cert", at]);
    let asked = Instant::now();
    while see(&TLS13, "localhost").unwrap().1 == first {
        assert!(asked.elapsed() < Duration::from_secs(20), "the certificate is not read again");
        std::thread::sleep(Duration::from_millis(200));
    }
    std::fs::write(certificates.path().join("server.pem"), "nothing").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    see(&TLS13, "localhost").unwrap();
}
