//! Pages for people: server-rendered, styled inline, without scripts. Everything that comes from data is escaped.

mod fhirpath;
mod frame;
mod inferno;
mod resource;
mod root;

/// The FHIR base that a page is about.
#[derive(Debug, Clone, Copy)]
pub struct Base<'b> {
    /// Its URL.
    pub url: &'b str,
    /// Its path on this server.
    pub path: &'b str,
}

pub use fhirpath::{Evaluated, FHIRPATH, Form, fhirpath};
pub use inferno::{INFERNO, inferno};
pub use resource::resource;
pub use root::{closed, root};
