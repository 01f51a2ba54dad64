//! The parameters of `$everything`, read and checked.

use fhirpath::{IssueType, primitive};
use interaction::{Failure, Service};

use crate::Invocation;
use crate::parameters::{refuse, shown, simple};

/// What is asked.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// First microsecond of care that is asked for.
    pub(super) start: Option<i64>,
    /// Last microsecond of care that is asked for.
    pub(super) end: Option<i64>,
    /// Only what was committed at this time or later, microseconds.
    pub(super) since: Option<i64>,
    /// Only these types; all, if it is empty.
    pub(super) types: Vec<String>,
    /// Page size, if one is asked for.
    pub(super) count: Option<usize>,
    /// The text of a page link's position.
    pub(super) cursor: Option<String>,
    /// The parameters of page links.
    pub(super) honoured: Vec<(String, String)>,
}

impl Request {
    /// Reads the parameters of a call on a type.
    ///
    /// # Errors
    /// BadRequest for a parameter that the operation does not have, that is given twice, or whose value is none of its.
    pub(super) fn read(
        service: &Service,
        resource_type: &str,
        invocation: &Invocation,
    ) -> Result<Request, Failure> {
        let mut request = Request::default();
        for (name, value) in simple(service, invocation)? {
            let taken = request.take(service, resource_type, &name, &value);
            taken.map_err(|(code, details)| {
                let name = shown(&name);
                refuse(code, format!("{name} {details}."), format!("http.{name}"))
            })?;
            if name != "_cursor" {
                request.honoured.push((name, value));
            }
        }
        Ok(request)
    }

    fn take(
        &mut self,
        service: &Service,
        resource_type: &str,
        name: &str,
        value: &str,
    ) -> Result<(), (IssueType, String)> {
        let bad = |details: &str| (IssueType::Value, details.to_owned());
        let span = || primitive::span(value).ok_or(bad("is not a date (2026-11-22) or a time with a zone"));
        let given_twice = match name {
            "start" if resource_type != "Encounter" => self.start.replace(span()?.0).is_some(),
            "end" if resource_type != "Encounter" => self.end.replace(span()?.1).is_some(),
            "_since" => self.since.replace(span()?.0).is_some(),
            "_cursor" => self.cursor.replace(value.to_owned()).is_some(),
            "_count" => {
                let count: usize = value.parse().map_err(|_| bad("is not a whole number"))?;
                if count == 0 {
                    return Err(bad("is at least 1"));
                }
                self.count.replace(count.min(service.limits.max_count)).is_some()
            }
            "_type" => {
                for name in value.split(',') {
                    if !service.definitions.schema.is_resource(name) {
                        return Err(bad(&format!(
                            "names {}, which is no resource type of FHIR R4",
                            shown(name)
                        )));
                    }
                    self.types.push(name.to_owned());
                }
                false
            }
            _ => return Err((IssueType::NotSupported, "is not a parameter of $everything here".to_owned())),
        };
        if given_twice { Err(bad("is given twice")) } else { Ok(()) }
    }

    /// Whether a type is asked for.
    pub(super) fn wants(&self, resource_type: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|name| name == resource_type)
    }
}
