//! `_summary` (<https://hl7.org/fhir/R4/search.html#summary>) and `_elements`
//! (<https://hl7.org/fhir/R4/search.html#elements>) on what an interaction gives back.

use ::search::Summary;
use fhirpath::tree::Subset;
use fhirpath::{Issue, IssueType, Tree};

use crate::{Failure, Outcome, OutcomeBody, Service, Status};

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
    /// BadRequest for a value that is none of theirs, for a repeated parameter, and for both together.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<Projection, Failure> {
        let mut projection = Projection::default();
        for (name, value) in parameters {
            match name.as_str() {
                "_summary" if projection.summary.is_some() => return Err(refuse(name, "is given twice")),
                "_summary" => {
                    let summary = summary(value)
                        .ok_or_else(|| refuse(name, "is one of true, text, data, count and false"))?;
                    projection.summary = Some(summary);
                }
                "_elements" => {
                    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                    projection.elements.extend(names.map(str::to_owned));
                    if projection.elements.is_empty() {
                        return Err(refuse(name, "names at least one element"));
                    }
                }
                _ => {}
            }
        }
        let both = projection.summary.is_some_and(|summary| summary != Summary::False)
            && !projection.elements.is_empty();
        if both { Err(refuse("_elements", "cannot be combined with _summary")) } else { Ok(projection) }
    }

    /// Whether everything is given back.
    pub fn is_whole(&self) -> bool {
        self.subset().is_none()
    }

    /// Applies it to the resource an interaction other than a search or a history gave.
    ///
    /// # Errors
    /// BadRequest for `_summary=count`, Internal when the bytes cannot be read.
    pub fn apply(&self, service: &Service, outcome: Outcome) -> Result<Outcome, Failure> {
        if self.summary == Some(Summary::Count) {
            return Err(refuse("_summary", "can be count only where a Bundle is asked for"));
        }
        match (self.subset(), outcome.body) {
            (Some(subset), OutcomeBody::Resource(bytes)) => {
                let mut part = Vec::with_capacity(bytes.len());
                write(service, &subset, &bytes, &mut part)?;
                Ok(Outcome { body: OutcomeBody::Resource(part.into()), ..outcome })
            }
            (_, body) => Ok(Outcome { body, ..outcome }),
        }
    }

    /// What the tree is to write; `None` for everything. A count leaves no resources to write.
    pub(crate) fn subset(&self) -> Option<Subset> {
        match self.summary {
            Some(Summary::True) => Some(Subset::Summary),
            Some(Summary::Text) => Some(Subset::Text),
            Some(Summary::Data) => Some(Subset::Data),
            Some(Summary::False | Summary::Count) | None if self.elements.is_empty() => None,
            Some(Summary::False | Summary::Count) | None => Some(Subset::Elements(self.elements.clone())),
        }
    }
}

/// Appends the part of a stored resource.
pub(crate) fn write(
    service: &Service,
    subset: &Subset,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let limits = fhirpath::tree::Limits::DEFAULT;
    let tree = Tree::parse_json(&service.definitions.schema, bytes.to_vec(), &limits)
        .map_err(|_| Failure::internal(&"a stored resource cannot be read"))?;
    tree.write_subset(subset, out);
    Ok(())
}

fn summary(value: &str) -> Option<Summary> {
    Some(match value {
        "true" => Summary::True,
        "false" => Summary::False,
        "text" => Summary::Text,
        "data" => Summary::Data,
        "count" => Summary::Count,
        _ => return None,
    })
}

fn refuse(name: &str, why: &str) -> Failure {
    let issue = Issue::error(IssueType::Value, format!("{name} {why}.")).at(format!("http.{name}"));
    Failure::of(Status::BadRequest, vec![issue])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parameters: &[(&str, &str)], expected: Result<Option<Subset>, &str>) {
        let parameters: Vec<(String, String)> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = Projection::from_parameters(&parameters).map(|projection| projection.subset());
        let found = found.map_err(|failure| {
            assert_eq!(failure.status, Status::BadRequest);
            failure.issues.first().unwrap().details.clone()
        });
        assert_eq!(found, expected.map_err(str::to_owned), "{parameters:?}");
    }

    #[test]
    fn parameters_of_a_projection() {
        check(&[], Ok(None));
        check(&[("_summary", "false"), ("_count", "3")], Ok(None));
        check(&[("_summary", "true")], Ok(Some(Subset::Summary)));
        check(&[("_summary", "text")], Ok(Some(Subset::Text)));
        check(&[("_summary", "data")], Ok(Some(Subset::Data)));
        check(
            &[("_elements", "a, b"), ("_elements", "c")],
            Ok(Some(Subset::Elements(vec!["a".into(), "b".into(), "c".into()]))),
        );
        check(&[("_summary", "yes")], Err("_summary is one of true, text, data, count and false."));
        check(&[("_summary", "true"), ("_summary", "text")], Err("_summary is given twice."));
        check(&[("_elements", "")], Err("_elements names at least one element."));
        check(
            &[("_summary", "text"), ("_elements", "a")],
            Err("_elements cannot be combined with _summary."),
        );
    }
}
