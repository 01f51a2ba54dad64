//! `_list` (<https://hl7.org/fhir/R4/search.html#list>): what stored lists name, by the id of the list.

use fhirpath::IssueType;
use fhirpath::primitive::is_id;
use store::{Filter, ParameterId};

use super::criterion::alternatives;
use super::fault::{Fault, shown};
use super::split::unescape;
use super::{Name, Reader};

impl Reader<'_> {
    /// The filter of `_list`.
    pub(super) fn list(&self, name: Name<'_>, value: &str) -> Result<Filter, Fault> {
        if name.modifier.is_some() || name.chained.is_some() {
            return Err(Fault::unknown(IssueType::Invalid, "_list takes no modifier and no chain."));
        }
        let mut ids = Vec::new();
        for text in alternatives(value)? {
            let text = unescape(text);
            if text.starts_with('$') {
                let text = format!(
                    "The functional list {} is not supported; name stored lists by their ids.",
                    shown(&text)
                );
                return Err(Fault::bad(IssueType::NotSupported, text));
            }
            let id = text.strip_prefix("List/").unwrap_or(&text);
            if !is_id(id) {
                return Err(Fault::value(format!("{} is not the id of a list.", shown(&text))));
            }
            self.charge(1)?;
            ids.push(id.into());
        }
        let item = self.referring("List", "item")?;
        Ok(Filter::Has {
            resource_type: "List".into(),
            parameter: ParameterId(item.index),
            filter: Box::new(Filter::Ids(ids)),
        })
    }
}
