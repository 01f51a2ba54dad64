//! Which versions of TLS a server speaks: a greeting of an old version is written byte by byte, because no library of today
//! sends one.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::http::{Checked, Http, Wrong, ensure};

/// Refuses a server that is reached without TLS, that speaks 1.0 or 1.1, or that does not speak 1.2 or 1.3 with a certificate
/// that is trusted.
pub(crate) async fn check(http: &Http, url: &str) -> Checked {
    let parsed = Url::parse(url).map_err(|_| Wrong(format!("{url} is no URL")))?;
    ensure(parsed.scheme() == "https", || format!("{url} is not https"))?;
    // Any answer will do: it came over a connection that this client trusts, of version 1.2 or 1.3.
    http.get(url, &[]).await?;
    for (version, name) in [(1, "1.0"), (2, "1.1")] {
        let answered = greet(&parsed, version).await?;
        ensure(!answered, || format!("{url} speaks TLS {name}"))?;
    }
    Ok(())
}

/// Whether a server goes on with a greeting of the version 1.(`minor` - 1) at most.
async fn greet(url: &Url, minor: u8) -> Checked<bool> {
    let failed = |error: std::io::Error| Wrong(format!("{url} cannot be reached: {error}"));
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let mut stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    stream.write_all(&greeting(minor)).await.map_err(failed)?;
    let mut kind = [0; 1];
    // An alert is 21, the handshake going on 22; some just hang up.
    let read = tokio::time::timeout(std::time::Duration::from_secs(5), stream.read(&mut kind)).await;
    Ok(matches!(read, Ok(Ok(1))) && kind == [22])
}

/// A ClientHello (RFC 4346 section 7.4.1.2) with ciphers that every server of the time had.
fn greeting(minor: u8) -> Vec<u8> {
    const CIPHERS: [u16; 8] = [0xc014, 0xc013, 0xc00a, 0xc009, 0x0035, 0x002f, 0x000a, 0x00ff];
    const EXTENSIONS: [u8; 18] = [
        0x00, 0x0a, 0x00, 0x08, 0x00, 0x06, 0x00, 0x17, 0x00, 0x18, 0x00, 0x19, // the curves
        0x00, 0x0b, 0x00, 0x02, 0x01, 0x00, // points uncompressed
    ];
    let mut hello = vec![3, minor];
    hello.extend([0x5a; 32]);
    hello.push(0);
    hello.extend([0, 16]);
    hello.extend(CIPHERS.iter().flat_map(|cipher| cipher.to_be_bytes()));
    hello.extend([1, 0]);
    hello.extend([0, 18]);
    hello.extend(EXTENSIONS);
    let length = u8::try_from(hello.len()).unwrap_or_default();
    let mut out = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    out.extend(hello);
    out
}
