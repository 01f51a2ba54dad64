//! A small HTTP/1.1 client over keep-alive connections: as little work as possible beside the server's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request, ready to send.
#[derive(Clone)]
pub struct Request(Vec<u8>);

impl Request {
    pub fn get(path: &str) -> Request {
        Request(
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/fhir+json\r\n\r\n")
                .into_bytes(),
        )
    }

    pub fn post(path: &str, body: Vec<u8>) -> Request {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(&body);
        Request(request)
    }
}

/// What a load saw.
pub struct Load {
    pub per_second: f64,
}

/// `connections` connections for a time.
pub fn load(
    address: &str,
    connections: usize,
    time: Duration,
    requests: &(dyn Fn(usize) -> Request + Sync),
) -> Load {
    let started = Instant::now();
    let done = run(address, connections, &|_| started.elapsed() < time, requests);
    Load { per_second: done as f64 / started.elapsed().as_secs_f64() }
}

/// `connections` connections for a number of requests.
pub fn count(address: &str, connections: usize, count: usize, requests: &(dyn Fn(usize) -> Request + Sync)) {
    run(address, connections, &|n| n < count, requests);
}

/// One request; its body.
pub fn once(address: &str, request: &Request) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = Connection::open(address).await;
        let length = connection.ask(request).await;
        connection.buffer[connection.buffer.len() - length..].to_vec()
    })
}

fn run(
    address: &str,
    connections: usize,
    go_on: &(dyn Fn(usize) -> bool + Sync),
    requests: &(dyn Fn(usize) -> Request + Sync),
) -> usize {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let one = async || {
        let mut connection = Connection::open(address).await;
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if !go_on(n) {
                return;
            }
            connection.ask(&requests(n)).await;
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    runtime.block_on(join_all((0..connections).map(|_| one()).collect()));
    done.load(Ordering::Relaxed)
}

/// Polls all until all are ready.
async fn join_all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(move |context| {
        waiting.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket option");
        Connection { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Sends and reads the whole answer, which stays in the buffer; the length of its body.
    async fn ask(&mut self, request: &Request) -> usize {
        self.stream.write_all(&request.0).await.expect("the server reads");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("the server answers");
            assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(&self.buffer));
            let Some(head) = find(&self.buffer, b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.buffer[..head]).expect("a head in ASCII");
            let length = length(text);
            assert!(text.as_bytes()[9] == b'2', "{}", String::from_utf8_lossy(&self.buffer));
            while self.buffer.len() < head + 4 + length {
                let read = self.stream.read_buf(&mut self.buffer).await.expect("the server answers");
                assert!(read > 0, "the server closed in the middle of a body");
            }
            return length;
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn length(head: &str) -> usize {
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .expect("a content-length")
}
