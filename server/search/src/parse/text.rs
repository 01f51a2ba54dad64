//! `_text` and `_content` (<https://hl7.org/fhir/R4/search.html#text>): words in the narrative, or in all of a resource.

use fhirpath::IssueType;
use store::{Filter, Part, TextQuery};

use super::criterion::alternatives;
use super::fault::Fault;
use super::split::unescape;
use super::{Name, Reader};

impl Reader<'_> {
    /// The filter of `_text` or `_content`.
    pub(super) fn text(
        &self,
        resource_type: Option<&str>,
        part: Part,
        name: Name<'_>,
        value: &str,
    ) -> Result<Filter, Fault> {
        if name.modifier.is_some() || name.chained.is_some() {
            return Err(Fault::unknown(
                IssueType::Invalid,
                format!("{} takes no modifier and no chain.", name.code),
            ));
        }
        // The narrative is an element of DomainResource: Bundle, Binary and Parameters have none.
        if self.find(resource_type, name.code).is_none() {
            return Err(self.no_such_parameter(resource_type, name.code));
        }
        let mut queries = Vec::new();
        let mut before = 0;
        for text in alternatives(value)? {
            self.charge(1)?;
            queries.push(TextQuery::parse(part, &unescape(text)).map_err(|error| {
                let code = if error.is_limit() { IssueType::TooCostly } else { IssueType::Value };
                Fault::bad(code, format!("{error}.")).within(before + error.at(), "the value")
            })?);
            before += text.chars().count() + 1;
        }
        Ok(TextQuery::any(queries).map_or(Filter::None, Filter::Text))
    }
}
