//! Page links (<https://hl7.org/fhir/R4/http.html#paging>): the engine's position in a result, signed together with the tenant
//! and the query it belongs to, so that a client can neither make one up nor use it elsewhere.

use fhirpath::{Issue, IssueType};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use store::Cursor;

use crate::parameters::{encode, from_hex, to_hex};
use crate::{Caller, Failure, Service, Status};

/// Bytes of the signature in a link.
const SIGNATURE: usize = 16;

/// Parameters that may differ between the pages of one result.
const PRESENTATION: [&str; 5] = ["_explain", "_count", "_summary", "_elements", "_total"];

/// A result whose pages link to each other.
pub struct Pages<'a> {
    service: &'a Service,
    caller: &'a Caller,
    /// `Observation`, `Patient/1/_history`; empty for the base itself.
    path: &'a str,
    honoured: &'a [(String, String)],
}

impl<'a> Pages<'a> {
    /// Those of a path below the base with the parameters that were honoured.
    pub fn new(
        service: &'a Service,
        caller: &'a Caller,
        path: &'a str,
        honoured: &'a [(String, String)],
    ) -> Pages<'a> {
        Pages { service, caller, path, honoured }
    }

    /// The URL of the page at a cursor, or of the first page.
    pub fn url(&self, count: usize, cursor: Option<&str>) -> String {
        let mut query = String::new();
        for (name, value) in self.honoured.iter().filter(|(name, _)| name != "_count") {
            encode(&mut query, name, value);
        }
        // A count alone has no pages.
        if count > 0 || self.honoured.iter().any(|(name, _)| name == "_count") {
            encode(&mut query, "_count", &count.to_string());
        }
        if let Some(cursor) = cursor {
            encode(&mut query, "_cursor", cursor);
        }
        let slash = if self.path.is_empty() { "" } else { "/" };
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{slash}{}{mark}{query}", self.service.base, self.path)
    }

    /// The text of a position.
    pub fn sign(&self, position: &Cursor) -> String {
        let mut text = String::with_capacity(2 * (position.0.len() + SIGNATURE));
        to_hex(self.mac(&position.0).finalize().into_bytes().get(..SIGNATURE).unwrap_or_default(), &mut text);
        to_hex(&position.0, &mut text);
        text
    }

    /// The position of a text.
    ///
    /// # Errors
    /// BadRequest for a text that this server did not make for this result.
    pub fn position(&self, text: &str) -> Result<Cursor, Failure> {
        let bytes = from_hex(text).unwrap_or_default();
        let checked = bytes
            .split_at_checked(SIGNATURE)
            .filter(|(signature, position)| self.mac(position).verify_truncated_left(signature).is_ok());
        let (_, position) = checked.ok_or_else(|| {
            let issue = Issue::error(
                IssueType::Value,
                "This is not a page link of this search; take links as they stand from the Bundle before.",
            );
            Failure::of(Status::BadRequest, vec![issue.at("http._cursor")])
        })?;
        Ok(Cursor(position.into()))
    }

    fn mac(&self, position: &[u8]) -> Hmac<Sha256> {
        // A key of 32 bytes always fits; a zero block is what the constructor without failure takes.
        let mut block = hmac::digest::generic_array::GenericArray::default();
        for (to, from) in block.iter_mut().zip(self.service.store.secret()) {
            *to = from;
        }
        let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block);
        let mut part = |bytes: &[u8]| {
            mac.update(&(bytes.len() as u64).to_le_bytes());
            mac.update(bytes);
        };
        part(self.caller.tenant.as_str().as_bytes());
        part(self.path.as_bytes());
        for (name, value) in self.honoured.iter().filter(|(name, _)| !PRESENTATION.contains(&name.as_str())) {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        // Tells the end of the parameters from a further one.
        part(&[]);
        part(position);
        mac
    }
}
