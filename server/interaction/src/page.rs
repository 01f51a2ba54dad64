//! Writes the Bundle of a search or a history (<https://hl7.org/fhir/R4/bundle.html>) around stored bytes. Decides nothing
//! about what is in it.

use fhirpath::Issue;
use fhirpath::tree::{Subset, write_string};
use store::{Key, Method, Version};

use crate::json::Object;
use crate::outcome::write_outcome;
use crate::time::instant;
use crate::{Failure, Service, Status, projection};

/// `Bundle.entry.search.mode` (<https://hl7.org/fhir/R4/valueset-search-entry-mode.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It was asked for.
    Match,
    /// Something that was asked for refers to it, or it to that.
    Include,
}

/// A Bundle under way.
pub struct PageWriter<'a> {
    service: &'a Service,
    subset: Option<&'a Subset>,
    out: Vec<u8>,
    entries: usize,
}

impl<'a> PageWriter<'a> {
    /// Opens a Bundle of a type. `bytes` is about how long it will be.
    pub fn open(
        service: &'a Service,
        subset: Option<&'a Subset>,
        bundle_type: &str,
        total: Option<u64>,
        links: &[(&str, String)],
        bytes: usize,
    ) -> PageWriter<'a> {
        let mut out = Vec::with_capacity(bytes + 1024);
        let mut head = Object::open(&mut out);
        head.text("resourceType", "Bundle").text("type", bundle_type);
        if let Some(total) = total {
            head.number("total", total);
        }
        head.objects("link", links, |(relation, url), out| {
            out.text("relation", relation).text("url", url);
        });
        PageWriter { service, subset, out, entries: 0 }
    }

    /// A resource that was found.
    ///
    /// # Errors
    /// Internal when the bytes of a resource of which only a part is wanted cannot be read.
    pub fn found(&mut self, version: &Version, mode: Mode) -> Result<(), Failure> {
        self.entry(&version.key);
        self.resource(version)?;
        self.out.extend_from_slice(match mode {
            Mode::Match => b",\"search\":{\"mode\":\"match\"}}",
            Mode::Include => b",\"search\":{\"mode\":\"include\"}}",
        });
        Ok(())
    }

    /// A contained resource that was found, without what contains it.
    pub(crate) fn contained(&mut self, container: &Key, id: &str, body: &[u8]) -> Result<(), Failure> {
        self.entry(container);
        self.out.pop();
        self.out.push(b'#');
        // An id needs no escapes; what is none is not repeated.
        self.out.extend(id.bytes().filter(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte)));
        self.out.push(b'"');
        self.body(body)?;
        self.out.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
        Ok(())
    }

    /// A match of texts, with how relevant it is: above 0, at most 1.
    pub(crate) fn scored(&mut self, version: &Version, score: f32) -> Result<(), Failure> {
        self.entry(&version.key);
        self.resource(version)?;
        let search = format!(",\"search\":{{\"mode\":\"match\",\"score\":{score:.6}}}}}");
        self.out.extend_from_slice(search.as_bytes());
        Ok(())
    }

    /// What the server has to say about the result.
    pub fn outcome(&mut self, issues: &[Issue]) {
        self.begin();
        self.out.extend_from_slice(b"\"resource\":");
        write_outcome(&mut self.out, issues);
        self.out.extend_from_slice(b",\"search\":{\"mode\":\"outcome\"}}");
    }

    /// A version, with the request that made it.
    pub(crate) fn version(&mut self, version: &Version) -> Result<(), Failure> {
        self.entry(&version.key);
        if !version.is_deleted() {
            self.resource(version)?;
        }
        let (method, status) = match version.method {
            Method::Delete => ("DELETE", Status::NoContent),
            Method::Post => ("POST", Status::Created),
            Method::Put if version.version == 1 => ("PUT", Status::Created),
            Method::Put => ("PUT", Status::Ok),
            Method::Patch => ("PATCH", Status::Ok),
        };
        let url = match version.method {
            Method::Post => version.key.resource_type(),
            Method::Put | Method::Patch | Method::Delete => version.key.as_str(),
        };
        // The entry's object was opened by `entry`; these are its further members.
        self.out.extend_from_slice(b",\"request\":");
        let mut request = Object::open(&mut self.out);
        request.text("method", method).text("url", url);
        request.close();
        self.out.extend_from_slice(b",\"response\":");
        let mut response = Object::open(&mut self.out);
        response
            .text("status", status.line())
            .text("etag", &etag(version.version))
            .text("lastModified", &instant(version.last_updated));
        response.close();
        self.out.push(b'}');
        Ok(())
    }

    /// The Bundle's bytes.
    pub fn close(mut self) -> Vec<u8> {
        if self.entries > 0 {
            self.out.push(b']');
        }
        self.out.push(b'}');
        self.out
    }

    fn begin(&mut self) {
        self.out.extend_from_slice(if self.entries == 0 { b",\"entry\":[{" } else { b",{" });
        self.entries += 1;
    }

    fn entry(&mut self, key: &Key) {
        self.begin();
        self.out.extend_from_slice(b"\"fullUrl\":");
        write_string(&mut self.out, &self.service.base);
        // The closing quote moves behind the key, which needs no escapes.
        self.out.pop();
        self.out.push(b'/');
        self.out.extend_from_slice(key.as_str().as_bytes());
        self.out.push(b'"');
    }

    fn resource(&mut self, version: &Version) -> Result<(), Failure> {
        self.body(&version.body)
    }

    fn body(&mut self, body: &[u8]) -> Result<(), Failure> {
        self.out.extend_from_slice(b",\"resource\":");
        match self.subset {
            Some(subset) => projection::write(self.service, subset, body, &mut self.out),
            None => {
                self.out.extend_from_slice(body);
                Ok(())
            }
        }
    }
}

/// `W/"3"`.
pub(crate) fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}
