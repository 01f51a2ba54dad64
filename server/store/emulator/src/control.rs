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
        (&Method::POST, ["split", database, container]) => {
            match split_all(served, database, container).await {
                Ok(done) => text(StatusCode::OK, json!(done).to_string()),
                Err(error) => problem(&error.to_string()),
            }
        }
        _ => problem("there is no such control"),
    })
}

/// Splits a physical partition, into halves by the bytes of its documents; the numbers of the two it became.
pub(crate) async fn split(
    served: &Served,
    database: &str,
    container: &str,
    partition: u32,
) -> io::Result<Vec<u32>> {
    let store = served.emulator.store();
    let at = store.storage_split_epk(database, container, partition).map_err(io::Error::other)?;
    let done = store.split_partition_and_wait(database, container, partition, at, SPLIT_LOCK).await;
    done.map_err(io::Error::other)
}

/// Splits each physical partition that has documents of two logical ones; how many these were.
pub(crate) async fn split_all(served: &Served, database: &str, container: &str) -> io::Result<usize> {
    let mut done = 0;
    for partition in 0..served.partitions() {
        // Those that were split before are no longer there; most are empty.
        if served.emulator.store().storage_split_epk(database, container, partition).is_ok() {
            let children = split(served, database, container, partition).await?;
            served.met_partitions(&children);
            done += 1;
        }
    }
    Ok(done)
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
