//! Serves the account over HTTP/1.1: each request is checked, may meet a fault, and is answered by the emulator.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use azure_core::http::headers::{HeaderName as CoreName, HeaderValue as CoreValue};
use azure_core::http::{Method as CoreMethod, Request as CoreRequest, Url};
use azure_data_cosmos_driver::in_memory_emulator::InMemoryEmulatorHttpClient;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use crate::fault::Faults;
use crate::signature::{self, Denied};
use crate::{Effect, Operation, control};

/// An account and its faults.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) emulator: InMemoryEmulatorHttpClient,
    pub(crate) faults: Faults,
    address: SocketAddr,
    requests: AtomicU64,
    /// One more than the greatest number of a physical partition.
    partitions: AtomicU32,
}

/// The client gets no answer: its connection ends.
#[derive(Debug)]
pub(crate) struct NoAnswer;

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a fault ends the connection")
    }
}

impl std::error::Error for NoAnswer {}

impl From<Infallible> for NoAnswer {
    fn from(never: Infallible) -> NoAnswer {
        match never {}
    }
}

type Answer = Response<Full<Bytes>>;

/// Serves until `stopped` ends.
pub(crate) async fn run(
    listener: std::net::TcpListener,
    served: Arc<Served>,
    mut stopped: oneshot::Receiver<()>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        // Small answers must not wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request| Arc::clone(&served).serve(request));
            // A client that goes away is no fault of ours.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Served {
    pub(crate) fn new(emulator: InMemoryEmulatorHttpClient, address: SocketAddr) -> Served {
        Served {
            emulator,
            faults: Faults::default(),
            address,
            requests: AtomicU64::new(0),
            partitions: AtomicU32::new(4),
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.partitions.load(Relaxed)
    }

    pub(crate) fn met_partitions(&self, numbers: &[u32]) {
        let most = numbers.iter().max().map_or(0, |number| number + 1);
        self.partitions.fetch_max(most, Relaxed);
    }

    /// What was received is done, though the client does not wait for the answer: so it is with a service.
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, NoAnswer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
        tokio::spawn(async move { self.answer(head, body).await }).await.map_err(|_| NoAnswer)?
    }

    async fn answer(&self, head: hyper::http::request::Parts, body: Bytes) -> Result<Answer, NoAnswer> {
        let path = head.uri.path();
        if let Some(answer) = control::answer(self, &head.method, path, &body).await {
            return Ok(answer);
        }
        match signature::check(&head.method, path, &head.headers) {
            Ok(()) => {}
            Err(Denied::Unauthorized) => return Ok(refused(401, 0, None)),
            Err(Denied::Forbidden) => return Ok(refused(403, 5300, None)),
        }
        let operation = Operation::of(&head.method, path, &head.headers);
        if operation != Operation::Metadata {
            self.requests.fetch_add(1, Relaxed);
        }
        let key = head.headers.get("x-ms-documentdb-partitionkey").and_then(|key| key.to_str().ok());
        match self.faults.meet(operation, key.unwrap_or_default()) {
            None => self.done(&head, body).await,
            Some(Effect::Refused { status, substatus, retry_after_ms }) => {
                Ok(refused(status, substatus, retry_after_ms))
            }
            Some(Effect::Dropped) => Err(NoAnswer),
            Some(Effect::Late { ms }) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                self.done(&head, body).await
            }
            Some(Effect::Lost) => {
                self.done(&head, body).await?;
                Err(NoAnswer)
            }
            Some(Effect::Misanswered { status }) => {
                self.done(&head, body).await?;
                Ok(refused(status, 0, None))
            }
            Some(Effect::AnsweredLate { ms }) => {
                let answer = self.done(&head, body).await;
                tokio::time::sleep(Duration::from_millis(ms)).await;
                answer
            }
        }
    }

    /// Has the emulator do it. What it refuses as no request of an account's ends the connection.
    async fn done(&self, head: &hyper::http::request::Parts, body: Bytes) -> Result<Answer, NoAnswer> {
        let request = self.request(head, body).ok_or(NoAnswer)?;
        let answer = self.emulator.execute_request(&request).await.map_err(|_| NoAnswer)?;
        let answer = answer.try_into_raw_response().await.map_err(|_| NoAnswer)?;
        let (status, headers, body) = answer.deconstruct();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = StatusCode::from_u16(u16::from(status)).map_err(|_| NoAnswer)?;
        for (name, value) in headers.iter() {
            // hyper counts the body itself.
            if name.as_str().eq_ignore_ascii_case("content-length") {
                continue;
            }
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).map_err(|_| NoAnswer)?;
            let value = HeaderValue::from_str(value.as_str()).map_err(|_| NoAnswer)?;
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }

    fn request(&self, head: &hyper::http::request::Parts, body: Bytes) -> Option<CoreRequest> {
        let target = head.uri.path_and_query()?.as_str();
        let url = Url::parse(&format!("http://{}{target}", self.address)).ok()?;
        let mut request = CoreRequest::new(url, core_method(&head.method)?);
        for (name, value) in &head.headers {
            let value = CoreValue::from(value.to_str().ok()?.to_owned());
            request.headers_mut().insert(CoreName::from(name.as_str().to_owned()), value);
        }
        request.set_body(body);
        Some(request)
    }
}

fn core_method(method: &Method) -> Option<CoreMethod> {
    Some(match *method {
        Method::GET => CoreMethod::Get,
        Method::POST => CoreMethod::Post,
        Method::PUT => CoreMethod::Put,
        Method::PATCH => CoreMethod::Patch,
        Method::DELETE => CoreMethod::Delete,
        Method::HEAD => CoreMethod::Head,
        _ => return None,
    })
}

/// An error as the service writes it.
pub(crate) fn refused(status: u16, substatus: u32, retry_after_ms: Option<u64>) -> Answer {
    let body = format!(r#"{{"code":"{status}","message":"refused by the emulator"}}"#);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    // What is refused is charged too; so the service does with 429.
    headers.insert("x-ms-request-charge", HeaderValue::from_static("0.38"));
    if substatus != 0 {
        headers.insert("x-ms-substatus", HeaderValue::from(substatus));
    }
    if let Some(ms) = retry_after_ms {
        headers.insert("x-ms-retry-after-ms", HeaderValue::from(ms));
    }
    response
}
