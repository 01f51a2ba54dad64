//! The request headers that FHIR gives a meaning (<https://hl7.org/fhir/R4/http.html>).

use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName, HeaderValue};
use fhirpath::{Issue, IssueType};
use interaction::{Handling, ReadConditions, Return, VersionMatch, WriteConditions};

use super::date;
use super::refusal::Refusal;

/// `Prefer` (RFC 7240, <https://hl7.org/fhir/R4/http.html#ops>). Preferences that are not known are ignored, as the RFC says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefer {
    /// `return=`, if it is given.
    pub returns: Option<Return>,
    /// `handling=`.
    pub handling: Handling,
}

impl Prefer {
    /// Reads all `Prefer` headers; of a preference given twice the first counts.
    pub fn read(headers: &HeaderMap) -> Prefer {
        let (mut returns, mut handling) = (None, None);
        let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|text| text.split([',', ';'])) {
            let mut halves = preference.splitn(2, '=').map(str::trim);
            let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
            let value = value.trim_matches('"');
            if name.eq_ignore_ascii_case("return") {
                returns = returns.or(match value {
                    "minimal" => Some(Return::Minimal),
                    "representation" => Some(Return::Representation),
                    "OperationOutcome" => Some(Return::OperationOutcome),
                    _ => None,
                });
            } else if name.eq_ignore_ascii_case("handling") {
                handling = handling.or(match value {
                    "strict" => Some(Handling::Strict),
                    "lenient" => Some(Handling::Lenient),
                    _ => None,
                });
            }
        }
        Prefer { returns, handling: handling.unwrap_or(Handling::Strict) }
    }
}

/// The one value of a header, as text.
///
/// # Errors
/// 400 when it is given twice, or is not visible ASCII.
pub fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refuse = |details: String| {
        let issue = Issue::error(IssueType::Invalid, details).at(format!("http.{}", written(name)));
        Refusal::bad_request(vec![issue])
    };
    if values.next().is_some() {
        return Err(refuse(format!("The header {} is given more than once.", written(name))));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => {
            Err(refuse(format!("The header {} holds other characters than visible ASCII.", written(name))))
        }
    }
}

/// A header's name as documentation writes it.
fn written(name: &HeaderName) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    name.as_str().split('-').map(capital).collect::<Vec<_>>().join("-")
}

fn versions(headers: &HeaderMap, name: &HeaderName) -> Result<Option<VersionMatch>, Refusal> {
    match text(headers, name)? {
        Some(value) => Ok(Some(VersionMatch::parse(&written(name), value)?)),
        None => Ok(None),
    }
}

/// The conditions of a read. A date that cannot be read is ignored, as RFC 9110 13.1.3 says, and so is an entity tag that is
/// none of ours: it can match no version.
///
/// # Errors
/// A header given twice.
pub fn read_conditions(headers: &HeaderMap) -> Result<ReadConditions, Refusal> {
    let none_of_ours = || VersionMatch::Versions(Vec::new());
    let if_none_match = text(headers, &header::IF_NONE_MATCH)?
        .map(|value| VersionMatch::parse("If-None-Match", value).unwrap_or_else(|_| none_of_ours()));
    let if_modified_since = headers.get(header::IF_MODIFIED_SINCE).and_then(date::parse);
    Ok(ReadConditions { if_none_match, if_modified_since })
}

/// The conditions of a write.
///
/// # Errors
/// 400 for an entity tag that is none of ours.
pub fn write_conditions(headers: &HeaderMap) -> Result<WriteConditions, Refusal> {
    Ok(WriteConditions {
        if_match: versions(headers, &header::IF_MATCH)?,
        if_none_match: versions(headers, &header::IF_NONE_MATCH)?,
    })
}

/// `If-None-Exist`, without the question mark some clients begin it with.
///
/// # Errors
/// A header given twice.
pub fn if_none_exist(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let value = text(headers, &HeaderName::from_static("if-none-exist"))?;
    Ok(value.map(|text| text.strip_prefix('?').unwrap_or(text)))
}

/// `W/"3"`.
pub fn etag(version: u64) -> Option<HeaderValue> {
    // One allocation: the text is built in place and copied once by the header.
    let mut out = [0_u8; 24];
    let mut at = out.len();
    let mut put = |byte: u8| {
        at = at.saturating_sub(1);
        if let Some(slot) = out.get_mut(at) {
            *slot = byte;
        }
    };
    put(b'"');
    let mut rest = version;
    loop {
        put(b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    for byte in [b'"', b'/', b'W'] {
        put(byte);
    }
    HeaderValue::from_bytes(out.get(at..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn preferences() {
        let cases = [
            ("", None, Handling::Strict),
            ("return=minimal", Some(Return::Minimal), Handling::Strict),
            (
                "respond-async, return=OperationOutcome; handling=lenient",
                Some(Return::OperationOutcome),
                Handling::Lenient,
            ),
            ("return=\"minimal\", return=representation", Some(Return::Minimal), Handling::Strict),
            ("return=pictures, handling=rough, wait=3", None, Handling::Strict),
        ];
        for (value, returns, handling) in cases {
            assert_eq!(Prefer::read(&headers(&[("prefer", value)])), Prefer { returns, handling }, "{value}");
        }
    }

    #[test]
    fn tags() {
        for (version, expected) in [(0, "W/\"0\""), (7, "W/\"7\""), (u64::MAX, "W/\"18446744073709551615\"")]
        {
            assert_eq!(etag(version).unwrap().to_str().unwrap(), expected);
        }
    }

    #[test]
    fn conditions() {
        let bad = headers(&[("if-match", "abc")]);
        let refusal = write_conditions(&bad).unwrap_err();
        assert_eq!(
            refusal.issues.first().and_then(|issue| issue.expression.as_deref()),
            Some("http.If-Match")
        );
        let foreign = headers(&[("if-none-match", "\"abc\""), ("if-modified-since", "soon")]);
        let conditions = read_conditions(&foreign).unwrap();
        assert_eq!(conditions.if_none_match, Some(VersionMatch::Versions(Vec::new())));
        assert_eq!(conditions.if_modified_since, None);
        let twice = {
            let mut both = headers(&[("if-match", "W/\"1\"")]);
            both.append("if-match", HeaderValue::from_static("W/\"2\""));
            write_conditions(&both).unwrap_err()
        };
        assert_eq!(
            twice.issues,
            [Issue::error(IssueType::Invalid, "The header If-Match is given more than once.")
                .at("http.If-Match")]
        );
        assert_eq!(if_none_exist(&headers(&[("if-none-exist", "?a=b")])).unwrap(), Some("a=b"));
    }
}
