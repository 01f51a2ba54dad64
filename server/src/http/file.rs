//! A file of a job, as it is read: whole, a range of it (RFC 9110 14), or compressed on its way.

use std::io::{Read, SeekFrom};
use std::ops::RangeInclusive;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bulk::Reading;
use bytes::Bytes;
use fhirpath::{Issue, IssueType};
use flate2::Compression;
use flate2::read::GzEncoder;

use super::negotiate::Format;
use super::respond;

/// Bytes of a file that are sent at once.
const CHUNK: usize = 64 << 10;
/// Pieces of a file that wait to be sent.
const WAITING: usize = 4;
pub(super) const NDJSON: HeaderValue = HeaderValue::from_static("application/fhir+ndjson");

/// The media type of a file, by its name; rows are in parts, and are no FHIR.
pub(super) fn media_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit_once('.') {
        Some((_, "csv")) => "text/csv;charset=utf-8",
        Some((_, "json")) => "application/json",
        Some((_, "parquet")) => "application/vnd.apache.parquet",
        Some((stem, "ndjson")) if stem.contains(".part") => "application/x-ndjson",
        _ => return NDJSON,
    })
}

/// Sends a file, or the range of it that is asked for; whole ones compressed where that is accepted.
///
/// # Errors
/// It cannot be read.
pub(super) fn send(
    mut reading: Box<dyn Reading>,
    (length, media_type): (u64, HeaderValue),
    method: &Method,
    headers: &HeaderMap,
) -> std::io::Result<Response> {
    let mut response = respond::empty(StatusCode::OK);
    let map = response.headers_mut();
    map.insert(header::CONTENT_TYPE, media_type);
    map.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    map.insert(header::VARY, HeaderValue::from_static("accept-encoding, origin"));
    let range = headers.get(header::RANGE).and_then(|value| range(value.to_str().ok()?, length));
    let (first, bytes) = match range {
        None => (0, length),
        Some(Err(())) => {
            let text = HeaderValue::try_from(format!("bytes */{length}"));
            let details = format!("The file has {length} bytes.");
            let issues = [Issue::error(IssueType::Value, details).at("http.Range")];
            let body = interaction::outcome_body(&issues);
            let mut response =
                respond::body(StatusCode::RANGE_NOT_SATISFIABLE, Format::Json.content_type(), body);
            response.headers_mut().extend(text.map(|text| (header::CONTENT_RANGE, text)));
            return Ok(response);
        }
        Some(Ok(range)) => {
            let text = format!("bytes {}-{}/{length}", range.start(), range.end());
            map.extend(HeaderValue::try_from(text).map(|text| (header::CONTENT_RANGE, text)));
            (*range.start(), range.end() - range.start() + 1)
        }
    };
    let is_whole = bytes == length;
    let is_gzip = is_whole && headers.get(header::RANGE).is_none() && accepts_gzip(headers);
    match is_gzip {
        true => _ = map.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip")),
        false => _ = map.insert(header::CONTENT_LENGTH, bytes.into()),
    }
    if map.contains_key(header::CONTENT_RANGE) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if *method == Method::HEAD {
        return Ok(response);
    }
    reading.seek(SeekFrom::Start(first))?;
    let part = reading.take(bytes);
    *response.body_mut() = match is_gzip {
        true => stream(GzEncoder::new(part, Compression::fast())),
        false => stream(part),
    };
    Ok(response)
}

/// What `Range` asks of a file: one range of bytes. `None` for what is not understood, which is ignored (RFC 9110 14.2).
fn range(text: &str, length: u64) -> Option<Result<RangeInclusive<u64>, ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1);
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => {
            let suffix: u64 = suffix.parse().ok()?;
            end.filter(|_| suffix > 0).map(|end| length.saturating_sub(suffix)..=end)
        }
        (first, last) => {
            let first: u64 = first.parse().ok()?;
            let last: u64 = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
            if last < first {
                return None;
            }
            end.filter(|end| first <= *end).map(|end| first..=last.min(end))
        }
    };
    Some(range.ok_or(()))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|text| text.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// A body that is read as it is sent.
fn stream(mut reader: impl Read + Send + 'static) -> Body {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(WAITING);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = match reader.read(&mut chunk) {
                Ok(0) => return,
                Ok(read) => Ok(read),
                Err(error) => Err(error),
            };
            let is_last = read.is_err();
            let piece = read.map(|read| {
                chunk.truncate(read);
                Bytes::from(chunk)
            });
            // Nobody reads on: the client is gone.
            if sender.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    });
    Body::from_stream(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, length, expected) in [
            ("bytes=0-3", 10, Some(Ok(0..=3))),
            ("bytes=4-", 10, Some(Ok(4..=9))),
            ("bytes=-3", 10, Some(Ok(7..=9))),
            ("bytes=-30", 10, Some(Ok(0..=9))),
            ("bytes=8-99", 10, Some(Ok(8..=9))),
            ("bytes=10-", 10, Some(Err(()))),
            ("bytes=-0", 10, Some(Err(()))),
            ("bytes=0-", 0, Some(Err(()))),
            ("bytes=3-2", 10, None),
            ("bytes=0-1,3-4", 10, None),
            ("lines=0-1", 10, None),
        ] {
            assert_eq!(range(text, length), expected, "{text} of {length}");
        }
    }
}
