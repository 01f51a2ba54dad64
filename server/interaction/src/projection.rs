//! `_summary` (<https://hl7.org/fhir/R4/search.html#summary>) and `_elements`
//! (<https://hl7.org/fhir/R4/search.html#elements>) on what an interaction gives back.

use ::search::Summary;

use crate::{Failure, Outcome, Service};

/// Which part of each resource to give back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    /// `_summary`.
    pub summary: Option<Summary>,
    /// `_elements`, top-level names as written.
    pub elements: Vec<String>,
}

impl Projection {
    /// Reads `_summary` and `_elements` among the parameters; leaves all others alone.
    ///
    /// # Errors
    /// [`crate::Status::BadRequest`] for a value that is none of theirs, or for both together.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<Projection, Failure> {
        let _ = parameters;
        todo!()
    }

    /// Whether everything is given back.
    pub fn is_whole(&self) -> bool {
        matches!(self.summary, None | Some(Summary::False)) && self.elements.is_empty()
    }

    /// Applies it to the resource an interaction other than a search or a history gave.
    ///
    /// # Errors
    /// [`crate::Status::Internal`] when the stored bytes cannot be read.
    pub fn apply(&self, service: &Service, outcome: Outcome) -> Result<Outcome, Failure> {
        let _ = (service, outcome);
        todo!()
    }
}
