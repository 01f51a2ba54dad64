//! Where a request comes from: the address of the connection, or, where that is a proxy of ours, the one that the proxy names
//! (`Forwarded`, RFC 7239, or `X-Forwarded-For`). What anybody else writes there is not read.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{self, HeaderMap, HeaderName};

use crate::config::Networks;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request comes from: of those that it came through, the last that is no proxy.
pub fn origin(proxies: &Networks, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !proxies.contain(peer) {
        return peer;
    }
    let mut address = peer;
    for named in named(headers).into_iter().rev() {
        // Behind what cannot be read, nothing is known.
        let Some(named) = named else { break };
        address = named;
        if !proxies.contain(named) {
            break;
        }
    }
    address
}

/// The addresses that a request came through, the first first; `None` for what is none.
fn named(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let of = |name: HeaderName| -> Vec<String> {
        let texts = headers.get_all(name).into_iter();
        texts.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    let forwarded = of(header::FORWARDED);
    if forwarded.is_empty() {
        let hops = of(X_FORWARDED_FOR);
        return hops.iter().flat_map(|text| text.split(',')).map(address).collect();
    }
    forwarded.iter().flat_map(|text| text.split(',')).map(of_element).collect()
}

/// `for=` of one element (RFC 7239 section 4).
fn of_element(element: &str) -> Option<IpAddr> {
    let pair = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pair.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.next().and_then(|(_, value)| address(value.trim().trim_matches('"')))
}

/// An address, with a port or without (RFC 7239 section 6).
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyType as _;
    use axum::http::HeaderValue;

    #[track_caller]
    fn check(peer: &str, headers: &[(&'static str, &'static str)], expected: &str) {
        let proxies = Networks::read(&["10.0.0.0/8".to_owned(), "fd00::1".to_owned()]).unwrap();
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers: HeaderMap = headers.iter().map(pair).collect();
        let found = origin(&proxies, peer.parse().unwrap(), &headers);
        assert_eq!(found.to_string(), expected, "{peer} {headers:?}");
    }

    #[test]
    fn only_what_our_proxies_say_is_heeded() {
        let x = "x-forwarded-for";
        check("192.0.2.1", &[(x, "198.51.100.7")], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &[(x, "198.51.100.7")], "198.51.100.7");
        check("fd00::1", &[(x, "2001:db8::7")], "2001:db8::7");
        // What the client itself wrote stands before what the proxy wrote.
        check("10.0.0.1", &[(x, "127.0.0.1, 198.51.100.7")], "198.51.100.7");
        check("10.0.0.1", &[(x, "203.0.113.1, 198.51.100.7, 10.2.3.4")], "198.51.100.7");
        check("10.0.0.1", &[(x, "10.9.9.9")], "10.9.9.9");
        check("10.0.0.1", &[(x, "198.51.100.7, nonsense")], "10.0.0.1");
        check("10.0.0.1", &[(x, "198.51.100.7:4711")], "198.51.100.7");
        let forwarded = "forwarded";
        check("10.0.0.1", &[(forwarded, "for=198.51.100.7;proto=https"), (x, "203.0.113.9")], "198.51.100.7");
        check("10.0.0.1", &[(forwarded, "for=1.2.3.4, For=\"[2001:db8::17]:4711\";by=x")], "2001:db8::17");
        check("10.0.0.1", &[(forwarded, "for=198.51.100.7, for=_hidden")], "10.0.0.1");
    }
}
