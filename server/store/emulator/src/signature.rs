//! Whether a request may pass: its signature by the account's key, or its token of Microsoft Entra ID. The rules of
//! <https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources>.

use azure_core::credentials::Secret;
use hyper::Method;
use hyper::header::HeaderMap;

use crate::{KEY, TOKEN};

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// 401: no signature, or one by another key.
    Unauthorized,
    /// 403: a token cannot do this.
    Forbidden,
}

/// Checks `Authorization`.
pub(crate) fn check(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Denied> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text("authorization").and_then(percent_decoded).ok_or(Denied::Unauthorized)?;
    if let Some(token) = authorization.strip_prefix("type=aad&ver=1.0&sig=") {
        return token_may(token, method, path);
    }
    let signature = authorization.strip_prefix("type=master&ver=1.0&sig=").ok_or(Denied::Unauthorized)?;
    let date = text("x-ms-date").ok_or(Denied::Unauthorized)?;
    let path = percent_decoded(path).ok_or(Denied::Unauthorized)?;
    let (kind, link) = resource(&path);
    let signed = format!(
        "{}\n{kind}\n{link}\n{}\n\n",
        method.as_str().to_ascii_lowercase(),
        date.to_ascii_lowercase()
    );
    match azure_core::hmac::hmac_sha256(&signed, &Secret::from(KEY)) {
        Ok(expected) if expected == signature => Ok(()),
        _ => Err(Denied::Unauthorized),
    }
}

fn token_may(token: &str, method: &Method, path: &str) -> Result<(), Denied> {
    if token != TOKEN {
        return Err(Denied::Unauthorized);
    }
    if method != Method::GET && !path.contains("/docs") {
        return Err(Denied::Forbidden);
    }
    Ok(())
}

/// Type and link of the resource that a path names: `docs`, `dbs/d/colls/c/docs/x`. A list is signed as its parent.
fn resource(path: &str) -> (&str, &str) {
    let path = path.trim_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    let last = segments.last().copied().unwrap_or_default();
    if segments.len() % 2 == 1 {
        (last, path.strip_suffix(last).unwrap_or_default().trim_end_matches('/'))
    } else {
        (segments.iter().rev().nth(1).copied().unwrap_or_default(), path)
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                rest = tail;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_signed_as_its_parent() {
        let check = |path: &str, expected: (&str, &str)| assert_eq!(resource(path), expected, "{path}");
        check("/", ("", ""));
        check("/dbs", ("dbs", ""));
        check("/dbs/d", ("dbs", "dbs/d"));
        check("/dbs/d/colls", ("colls", "dbs/d"));
        check("/dbs/d/colls/c/docs/x", ("docs", "dbs/d/colls/c/docs/x"));
        check("/dbs/d/colls/c/pkranges", ("pkranges", "dbs/d/colls/c"));
    }

    #[test]
    fn only_the_key_and_the_token_pass() {
        let check = |authorization: &str, method: Method, path: &str, expected: Result<(), Denied>| {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", authorization.parse().unwrap());
            headers.insert("x-ms-date", "Thu, 27 Apr 2017 00:51:12 GMT".parse().unwrap());
            assert_eq!(super::check(&method, path, &headers), expected, "{authorization} {method} {path}");
        };
        let signed = "type%3dmaster%26ver%3d1.0%26sig%3d";
        let own = azure_core::hmac::hmac_sha256(
            "get\ndbs\ndbs/a b\nthu, 27 apr 2017 00:51:12 gmt\n\n",
            &Secret::from(KEY),
        )
        .unwrap();
        let own = format!("{signed}{}", own.replace('+', "%2b").replace('/', "%2f").replace('=', "%3d"));
        check(&own, Method::GET, "/dbs/a%20b", Ok(()));
        check(&own, Method::DELETE, "/dbs/a%20b", Err(Denied::Unauthorized));
        check(&own, Method::GET, "/dbs/b", Err(Denied::Unauthorized));
        let token = format!("type%3Daad%26ver%3D1.0%26sig%3D{TOKEN}");
        check(&token, Method::GET, "/dbs/d/colls/c", Ok(()));
        check(&token, Method::POST, "/dbs/d/colls/c/docs", Ok(()));
        check(&token, Method::POST, "/dbs/d/colls", Err(Denied::Forbidden));
        check("type%3Daad%26ver%3D1.0%26sig%3Dother", Method::GET, "/", Err(Denied::Unauthorized));
        check("", Method::GET, "/", Err(Denied::Unauthorized));
    }
}
