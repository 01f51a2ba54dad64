//! The control paths, by which other processes order faults and splits; see the crate's page.

use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};
use serde_json::json;

use crate::SPLIT_LOCK;
use crate::fault::Fault;
use crate::host::Served;

/// The answer, if the path is one of control.
pub(crate) async fn answer(
    served: &Served,
    method: &Method,
    path: &str,
    body: &Bytes,
) -> Option<Response<Full<Bytes>>> {
    let path = path.strip_prefix("/__")?;
    let segments: Vec<&str> = path.split('/').collect();
    Some(match (method, segments.as_slice()) {
        (&Method::GET, ["faults"]) => {
            let all: Vec<_> = served
                .faults
                .all()
                .iter()
                .map(|one| json!({"fault": one.fault(), "happened": one.happened()}))
                .collect();
            text(StatusCode::OK, json!(all).to_string())
        }
        (&Method::POST, ["faults"]) => match serde_json::from_slice::<Fault>(body) {
            Ok(fault) => {
                served.faults.add(fault);
                text(StatusCode::CREATED, "{}".into())
            }
            Err(error) => problem(&error.to_string()),
        },
        (&Method::DELETE, ["faults"]) => {
            served.faults.clear();
            text(StatusCode::OK, "{}".into())
        }
        (&Method::POST, ["split", database, container, partition]) => {
            let Ok(partition) = partition.parse() else { return Some(problem("a partition has a number")) };
            match split(served, database, container, partition).await {
                Ok(children) => text(StatusCode::OK, json!(children).to_string()),
                Err(error) => problem(&error.to_string()),
            }
        }
        _ => problem("there is no such control"),
    })
}

/// Splits a physical partition in the middle; the numbers of the two it became.
pub(crate) async fn split(
    served: &Served,
    database: &str,
    container: &str,
    partition: u32,
) -> io::Result<Vec<u32>> {
    let store = served.emulator.store();
    let at = store.midpoint_split_epk(database, container, partition).map_err(io::Error::other)?;
    let done = store.split_partition_and_wait(database, container, partition, at, SPLIT_LOCK).await;
    done.map_err(io::Error::other)
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

fn problem(sentence: &str) -> Response<Full<Bytes>> {
    text(StatusCode::BAD_REQUEST, json!({"message": sentence}).to_string())
}
