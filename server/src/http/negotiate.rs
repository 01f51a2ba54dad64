//! Which format a request sends and wants (<https://hl7.org/fhir/R4/http.html#mime-type>).

use axum::http::StatusCode;
use axum::http::header::HeaderValue;
use fhirpath::IssueType;
use interaction::{PATCH_FORMATS, PatchFormat};

use super::refusal::Refusal;

/// A format that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/fhir+json`.
    Json,
    /// The same, labelled `application/json`.
    PlainJson,
    /// The same, labelled `text/json`.
    TextJson,
    /// `application/fhir+xml`.
    Xml,
    /// The same, labelled `application/xml`.
    PlainXml,
    /// The same, labelled `text/xml`.
    TextXml,
    /// A page for people.
    Html,
}

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/fhir+json`.
    Json,
    /// `application/fhir+xml`.
    Xml,
}

const OFFER: &str = "This server sends application/fhir+json (also as application/json and text/json), application/fhir+xml (also as application/xml and text/xml) and, for browsers, text/html";

impl Format {
    /// The format that `_format` names; it overrides `Accept`.
    ///
    /// # Errors
    /// 406 for one that is not offered.
    pub fn of_parameter(text: &str) -> Result<Format, Refusal> {
        // A plus sign that was not encoded arrives as a space.
        let name = text.split(';').next().unwrap_or_default().trim().replace(' ', "+").to_ascii_lowercase();
        let format = match name.as_str() {
            "json" | "application/fhir+json" => Some(Format::Json),
            "xml" => Some(Format::Xml),
            "html" | "text/html" => Some(Format::Html),
            other => of_media_type(other),
        };
        format.filter(|_| is_r4(text)).ok_or_else(|| {
            let details = format!("_format asks for a format that is not offered. {OFFER}.");
            Refusal::new(StatusCode::NOT_ACCEPTABLE, IssueType::NotSupported, details).at("http._format")
        })
    }

    /// The format that `Accept` prefers among those offered.
    ///
    /// # Errors
    /// 406 when it accepts none of them.
    pub fn of_accept(header: Option<&HeaderValue>) -> Result<Format, Refusal> {
        let Some(header) = header else { return Ok(Format::Json) };
        match header.as_bytes() {
            b"application/fhir+json" | b"*/*" => return Ok(Format::Json),
            b"application/json" => return Ok(Format::PlainJson),
            _ => {}
        }
        let text = header.to_str().unwrap_or_default();
        best(text).ok_or_else(|| {
            let details = format!("None of the formats that Accept names is offered. {OFFER}.");
            Refusal::new(StatusCode::NOT_ACCEPTABLE, IssueType::NotSupported, details).at("http.Accept")
        })
    }

    /// The `Content-Type` to send.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Format::Json => "application/fhir+json; charset=utf-8",
            Format::PlainJson => "application/json; charset=utf-8",
            Format::TextJson => "text/json; charset=utf-8",
            Format::Xml => "application/fhir+xml; charset=utf-8",
            Format::PlainXml => "application/xml; charset=utf-8",
            Format::TextXml => "text/xml; charset=utf-8",
            Format::Html => "text/html; charset=utf-8",
        })
    }

    /// Whether it is XML, under any label.
    pub fn is_xml(self) -> bool {
        matches!(self, Format::Xml | Format::PlainXml | Format::TextXml)
    }
}

fn of_media_type(name: &str) -> Option<Format> {
    match name {
        "application/fhir+json" | "application/json+fhir" | "application/*" | "*/*" => Some(Format::Json),
        "application/json" => Some(Format::PlainJson),
        "text/json" => Some(Format::TextJson),
        "application/fhir+xml" | "application/xml+fhir" => Some(Format::Xml),
        "application/xml" => Some(Format::PlainXml),
        "text/xml" => Some(Format::TextXml),
        "text/html" | "application/xhtml+xml" => Some(Format::Html),
        _ => None,
    }
}

/// The acceptable format of the highest weight; of several, the first.
fn best(accept: &str) -> Option<Format> {
    let mut best: Option<(Format, f32)> = None;
    for range in accept.split(',') {
        let name = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let weight = weight(range);
        let Some(format) = of_media_type(&name).filter(|_| weight > 0.0 && is_r4(range)) else { continue };
        if best.is_none_or(|(_, other)| weight > other) {
            best = Some((format, weight));
        }
    }
    best.map(|(format, _)| format)
}

/// The weight that a range gives itself (RFC 9110, section 12.4.2).
pub(super) fn weight(range: &str) -> f32 {
    let q = range.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
    q.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0))
}

/// Whether a media type asks for R4 or for no version (<https://hl7.org/fhir/R4/http.html#version-parameter>).
fn is_r4(range: &str) -> bool {
    let version = range.split(';').skip(1).find_map(|part| part.trim().strip_prefix("fhirVersion="));
    version.is_none_or(|version| matches!(version.trim().trim_matches('"'), "4.0" | "4.0.1"))
}

/// The format of a body, by its `Content-Type`.
///
/// # Errors
/// 415 for what is neither FHIR JSON nor FHIR XML of R4 in UTF-8.
pub fn body_format(header: Option<&HeaderValue>) -> Result<BodyFormat, Refusal> {
    let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default().trim();
    let is_one_of = |known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_r4(text) && is_utf8(text) {
        if is_one_of(&["application/fhir+json", "application/json", "text/json", "application/json+fhir"]) {
            return Ok(BodyFormat::Json);
        }
        if is_one_of(&["application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir"]) {
            return Ok(BodyFormat::Xml);
        }
    }
    let details = format!(
        "{} This server reads application/fhir+json (also as application/json or text/json) and application/fhir+xml (also as application/xml or text/xml) of FHIR 4.0 in UTF-8.",
        sent(text, name)
    );
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueType::NotSupported, details)
        .at("http.Content-Type"))
}

/// What a `Content-Type` that is not read says.
fn sent(text: &str, name: &str) -> String {
    match name {
        "" => "No Content-Type was sent.".to_owned(),
        // Echoed only if it is a plain name.
        _ if name.len() <= 60 => format!("The Content-Type {text} is not read."),
        _ => "The Content-Type is not read.".to_owned(),
    }
}

/// The formats of patches, for `Accept-Patch`.
pub fn patch_formats() -> String {
    let names: Vec<&str> = PATCH_FORMATS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The format of a patch, by its `Content-Type`.
///
/// # Errors
/// 415 for any other, with the formats there are in `Accept-Patch` (RFC 5789).
pub fn patch_format(header: Option<&HeaderValue>) -> Result<PatchFormat, Refusal> {
    let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default().trim();
    let named = PATCH_FORMATS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    if let Some((_, PatchFormat::JsonPatch)) = named.filter(|_| is_utf8(text)) {
        return Ok(PatchFormat::JsonPatch);
    }
    if body_format(header).is_ok() {
        return Ok(PatchFormat::FhirPathPatch);
    }
    let details = format!(
        "{} A patch is application/json-patch+json, or Parameters with a FHIRPath Patch as application/fhir+json or application/fhir+xml.",
        sent(text, name)
    );
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueType::NotSupported, details)
        .at("http.Content-Type")
        .accept_patch(patch_formats()))
}

fn is_utf8(content_type: &str) -> bool {
    let charset = content_type.split(';').skip(1).find_map(|part| part.trim().strip_prefix("charset="));
    charset.is_none_or(|charset| charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

/// Whether a body is a query of GraphQL.
pub fn is_graphql(header: Option<&HeaderValue>) -> bool {
    let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("application/graphql") && is_utf8(text)
}

/// Whether a body is a form.
///
/// # Errors
/// 415 for any other `Content-Type`.
pub fn check_form(header: Option<&HeaderValue>) -> Result<(), Refusal> {
    let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default().trim();
    if name.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    let details = "A search by POST takes its parameters as application/x-www-form-urlencoded.";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, IssueType::NotSupported, details)
        .at("http.Content-Type"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhirpath::Issue;

    fn accepted(text: &'static str) -> Option<Format> {
        Format::of_accept(Some(&HeaderValue::from_static(text))).ok()
    }

    #[test]
    fn accept() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let cases = [
            ("application/fhir+json", Some(Format::Json)),
            ("application/fhir+json; fhirVersion=4.0", Some(Format::Json)),
            ("application/fhir+json; fhirVersion=5.0", None),
            ("application/json", Some(Format::PlainJson)),
            ("text/json", Some(Format::TextJson)),
            ("*/*", Some(Format::Json)),
            (browser, Some(Format::Html)),
            ("application/fhir+xml", Some(Format::Xml)),
            ("application/xml", Some(Format::PlainXml)),
            ("text/xml", Some(Format::TextXml)),
            ("application/fhir+xml;q=0.4, application/fhir+json;q=0.5", Some(Format::Json)),
            ("application/fhir+xml, application/fhir+json;q=0.5", Some(Format::Xml)),
            ("application/fhir+xml; fhirVersion=3.0, text/json;q=0.1", Some(Format::TextJson)),
            ("text/html;q=0.5, application/fhir+json", Some(Format::Json)),
            ("application/fhir+json;q=0", None),
            ("image/png", None),
        ];
        for (text, expected) in cases {
            assert_eq!(accepted(text), expected, "{text}");
        }
        assert_eq!(Format::of_accept(None).ok(), Some(Format::Json));
    }

    #[test]
    fn refusals_name_the_offer() {
        let refusal = Format::of_accept(Some(&HeaderValue::from_static("image/png"))).unwrap_err();
        assert_eq!(refusal.status, StatusCode::NOT_ACCEPTABLE);
        assert_eq!(
            refusal.issues,
            [Issue::error(
                IssueType::NotSupported,
                "None of the formats that Accept names is offered. This server sends application/fhir+json (also as application/json and text/json), application/fhir+xml (also as application/xml and text/xml) and, for browsers, text/html."
            )
            .at("http.Accept")]
        );
        assert!(Format::of_parameter("ttl").is_err());
        assert_eq!(Format::of_parameter("xml").ok(), Some(Format::Xml));
        assert_eq!(Format::of_parameter("application/fhir xml").ok(), Some(Format::Xml));
        assert_eq!(Format::of_parameter("text/xml").ok(), Some(Format::TextXml));
        assert_eq!(Format::of_parameter("application/fhir json").ok(), Some(Format::Json));
    }

    #[test]
    fn patch_formats() {
        for (text, expected) in [
            ("application/json-patch+json", Some(PatchFormat::JsonPatch)),
            ("application/json-patch+json; charset=utf-8", Some(PatchFormat::JsonPatch)),
            ("application/json-patch+json; charset=latin1", None),
            ("application/fhir+json", Some(PatchFormat::FhirPathPatch)),
            ("application/json", Some(PatchFormat::FhirPathPatch)),
            ("application/fhir+xml", Some(PatchFormat::FhirPathPatch)),
            ("application/fhir+json; fhirVersion=3.0", None),
            ("application/xml-patch+xml", None),
            ("application/merge-patch+json", None),
            ("", None),
        ] {
            let found = patch_format(Some(&HeaderValue::from_static(text)));
            assert_eq!(found.ok(), expected, "{text}");
        }
        let refusal = patch_format(None).unwrap_err();
        assert_eq!(
            refusal.accept_patch.unwrap(),
            "application/json-patch+json, application/fhir+json, application/fhir+xml"
        );
    }

    #[test]
    fn content_types() {
        for (text, expected) in [
            ("application/fhir+json", Some(BodyFormat::Json)),
            ("application/fhir+json; charset=UTF-8", Some(BodyFormat::Json)),
            ("Application/JSON", Some(BodyFormat::Json)),
            ("application/fhir+json;fhirVersion=4.0", Some(BodyFormat::Json)),
            ("application/fhir+json; fhirVersion=3.0", None),
            ("application/fhir+json; charset=latin1", None),
            ("application/fhir+xml", Some(BodyFormat::Xml)),
            ("application/xml; charset=utf-8", Some(BodyFormat::Xml)),
            ("text/xml", Some(BodyFormat::Xml)),
            ("application/fhir+xml; charset=utf-16", None),
            ("text/plain", None),
            ("", None),
        ] {
            let header = HeaderValue::from_static(text);
            assert_eq!(body_format(Some(&header)).ok(), expected, "{text}");
        }
        assert!(body_format(None).is_err());
    }
}
