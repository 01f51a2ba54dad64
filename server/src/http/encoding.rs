//! Content codings (RFC 9110, section 8.4): bodies are read and sent in gzip, br and zstd. Never knows what a body says.

use std::io::Read;

use axum::body::{Body, HttpBody as _};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use fhirpath::IssueType;
use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder};
use http_body_util::BodyExt as _;

use super::refusal::Refusal;
use super::{long, negotiate};

/// Below this many bytes a body is sent as it is: it fits into the packet of its headers.
const WORTH: u64 = 1024;
/// The buffer between a body and its coding, bytes.
const BUFFER: usize = 16 << 10;
/// What is read of zstd may ask for a window of 8 MiB at most (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;
/// A middle way between speed and length, as the libraries' own pages show it for text.
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 4;
const BROTLI_LEVEL: u32 = 4;
const BROTLI_WINDOW_LOG: u32 = 20;

/// A coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// `zstd` (RFC 8878).
    Zstd,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
}

/// All of them; where a client likes several alike, the first, which costs least.
const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

/// The coding that a body was sent in; none for one that was sent as it is.
///
/// # Errors
/// 415 for any other, and for several at once.
pub(super) fn sent(headers: &HeaderMap) -> Result<Option<Coding>, Refusal> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
    let name = value.to_str().unwrap_or_default().trim();
    if name.eq_ignore_ascii_case("identity") {
        return Ok(None);
    }
    Coding::named(name).map(Some).ok_or_else(|| {
        let details = "The Content-Encoding is not read; gzip, br and zstd are, one at a time.";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueType::NotSupported, details)
            .at("http.Content-Encoding")
    })
}

/// The coding that `Accept-Encoding` likes best; none where a body is best sent as it is.
pub(super) fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let ranges = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let mut best: Option<(Coding, f32)> = None;
    for coding in ALL {
        let weight = weight(ranges, coding);
        if weight > 0.0 && best.is_none_or(|(_, other)| weight > other) {
            best = Some((coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

fn weight(ranges: &str, coding: Coding) -> f32 {
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let mut ranges = ranges.split(',');
        let range = ranges.find(|range| wanted(range.split(';').next().unwrap_or_default().trim()))?;
        Some(negotiate::weight(range))
    };
    of(&|name| Coding::named(name) == Some(coding)).or_else(|| of(&|name| name == "*")).unwrap_or(0.0)
}

/// Sends a response in a coding, where that makes it shorter. A body that comes bit by bit stays as it is.
pub(super) async fn encode(coding: Coding, response: Response) -> Response {
    if !is_worth(&response) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(plain) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        // Only a body that is whole comes here, and that does not fail.
        return Response::from_parts(head, Body::empty());
    };
    let encoded = match long::block(plain.len() > long::BODY, || coding.encode(&plain)) {
        Ok(encoded) if encoded.len() < plain.len() => encoded,
        _ => return Response::from_parts(head, Body::from(plain)),
    };
    head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(encoded))
}

fn is_worth(response: &Response) -> bool {
    let headers = response.headers();
    let is_whole =
        !headers.contains_key(header::CONTENT_ENCODING) && !headers.contains_key(header::CONTENT_RANGE);
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_text = content_type.is_some_and(|content_type| {
        let name = content_type.split(';').next().unwrap_or_default();
        name.starts_with("text/") || ["json", "xml"].iter().any(|end| name.ends_with(end))
    });
    is_whole && is_text && response.body().size_hint().exact().is_some_and(|length| length >= WORTH)
}

impl Coding {
    fn named(name: &str) -> Option<Coding> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        ALL.into_iter().find(|coding| is(coding.name()) || (*coding == Coding::Gzip && is("x-gzip")))
    }

    fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// What a body says without its coding; `None` where that is longer than `limit` bytes.
    ///
    /// # Errors
    /// 400 where the coding is broken.
    pub(super) fn decode(self, encoded: &[u8], limit: usize) -> Result<Option<Vec<u8>>, Refusal> {
        let mut body = Vec::new();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = match self {
            Coding::Zstd => zstd::Decoder::with_buffer(encoded).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                decoder.take(bound).read_to_end(&mut body)
            }),
            Coding::Brotli => brotli::Decompressor::new(encoded, BUFFER).take(bound).read_to_end(&mut body),
            Coding::Gzip => MultiGzDecoder::new(encoded).take(bound).read_to_end(&mut body),
        };
        match read {
            Ok(_) if body.len() > limit => Ok(None),
            Ok(_) => Ok(Some(body)),
            Err(_) => {
                let details =
                    format!("The body is not of its Content-Encoding, {}, or is cut off.", self.name());
                Err(Refusal::new(StatusCode::BAD_REQUEST, IssueType::Structure, details)
                    .at("http.Content-Encoding"))
            }
        }
    }

    fn encode(self, plain: &Bytes) -> std::io::Result<Vec<u8>> {
        let plain: &[u8] = plain;
        let mut encoded = Vec::with_capacity(plain.len() / 4);
        match self {
            Coding::Zstd => return zstd::encode_all(plain, ZSTD_LEVEL),
            Coding::Brotli => brotli::CompressorReader::new(plain, BUFFER, BROTLI_LEVEL, BROTLI_WINDOW_LOG)
                .read_to_end(&mut encoded)?,
            Coding::Gzip => GzEncoder::new(plain, Compression::new(GZIP_LEVEL)).read_to_end(&mut encoded)?,
        };
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn what_a_client_likes() {
        let check = |value, expected| {
            assert_eq!(accepted(&headers(header::ACCEPT_ENCODING, value)), expected, "{value}");
        };
        check("gzip, deflate, br, zstd", Some(Coding::Zstd));
        check("gzip;q=1.0, br;q=0.9", Some(Coding::Gzip));
        check("GZIP", Some(Coding::Gzip));
        check("x-gzip", Some(Coding::Gzip));
        check("deflate", None);
        check("identity", None);
        check("", None);
        check("*", Some(Coding::Zstd));
        check("*, zstd;q=0", Some(Coding::Brotli));
        check("gzip;q=0, *;q=0.5, zstd;q=0", Some(Coding::Brotli));
        check("*;q=0", None);
        assert_eq!(accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn there_and_back() {
        let plain = Bytes::from(r#"{"resourceType":"Patient"}"#.repeat(10_000));
        for coding in ALL {
            let encoded = coding.encode(&plain).unwrap();
            assert!(encoded.len() * 20 < plain.len(), "{coding:?}: {}", encoded.len());
            assert_eq!(coding.decode(&encoded, plain.len()).unwrap().as_deref(), Some(&plain[..]));
            assert_eq!(coding.decode(&encoded, plain.len() - 1).unwrap(), None, "{coding:?}: too long");
            for broken in [&encoded[..encoded.len() / 2], b"{\"resourceType\":\"Patient\"}"] {
                let refused = coding.decode(broken, plain.len()).unwrap_err();
                assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{coding:?}");
            }
        }
    }

    #[test]
    fn what_is_sent_as_it_is() {
        let check = |content_type: &'static str, length: usize, expected: bool| {
            let mut response = Response::new(Body::from(vec![b'x'; length]));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_worth(&response), expected, "{content_type}, {length}");
            response.headers_mut().insert(header::CONTENT_RANGE, HeaderValue::from_static("bytes 0-1/2"));
            assert!(!is_worth(&response), "a part of {content_type}");
        };
        check("application/fhir+json; charset=utf-8", 1024, true);
        check("application/fhir+json; charset=utf-8", 1023, false);
        check("application/fhir+ndjson", 5000, true);
        check("application/fhir+xml", 5000, true);
        check("text/html; charset=utf-8", 5000, true);
        check("application/vnd.apache.parquet", 5000, false);
        check("image/png", 5000, false);
    }
}
