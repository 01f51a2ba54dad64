//! `_list` (<https://hl7.org/fhir/R4/search.html#list>): what stored lists name, by the id of the list; and the functional
//! lists, whose members are found by what they say of themselves.
//!
//! | list | type | members |
//! |---|---|---|
//! | `$current-problems` | Condition | active, recurring or relapsed; neither refuted nor entered in error, nor of one encounter only |
//! | `$current-medications` | MedicationRequest | active, of any intent but a proposal or a plan |
//! | | MedicationStatement | active, or intended |
//! | `$current-allergies` | AllergyIntolerance | active; neither refuted nor entered in error |
//! | `$current-drug-allergies` | AllergyIntolerance | these, of the category medication |

use fhirpath::IssueType;
use fhirpath::primitive::is_id;
use store::Filter;

use super::criterion::alternatives;
use super::fault::{Fault, shown};
use super::near::did_you_mean;
use super::split::unescape;
use super::{Name, Reader, all_of, any_of};

/// A criterion, parameter and value.
type Criterion = (&'static str, &'static str);

const CURRENT_ALLERGIES: &[Criterion] = &[
    ("clinical-status", "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical|active"),
    ("verification-status:not", "refuted,entered-in-error"),
];

/// The functional lists: name, type of the members, what holds of each.
const FUNCTIONAL: [(&str, &str, &[&[Criterion]]); 5] = [
    (
        "$current-problems",
        "Condition",
        &[&[
            ("clinical-status", "active,recurrence,relapse"),
            ("verification-status:not", "refuted,entered-in-error"),
            ("category:not", "encounter-diagnosis"),
        ]],
    ),
    (
        "$current-medications",
        "MedicationRequest",
        &[&[("status", "active"), ("intent:not", "proposal,plan")]],
    ),
    ("$current-medications", "MedicationStatement", &[&[("status", "active,intended")]]),
    ("$current-allergies", "AllergyIntolerance", &[CURRENT_ALLERGIES]),
    ("$current-drug-allergies", "AllergyIntolerance", &[CURRENT_ALLERGIES, &[("category", "medication")]]),
];

impl Reader<'_> {
    /// The filter of `_list`.
    pub(super) fn list(
        &self,
        resource_type: Option<&str>,
        name: Name<'_>,
        value: &str,
    ) -> Result<Filter, Fault> {
        if name.modifier.is_some() || name.chained.is_some() {
            return Err(Fault::unknown(IssueType::Invalid, "_list takes no modifier and no chain."));
        }
        let (mut ids, mut filters) = (Vec::new(), Vec::new());
        for text in alternatives(value)? {
            let text = unescape(text);
            if text.starts_with('$') {
                filters.push(self.functional_list(resource_type, &text)?);
                continue;
            }
            let id = text.strip_prefix("List/").unwrap_or(&text);
            if !is_id(id) {
                return Err(Fault::value(format!("{} is not the id of a list.", shown(&text))));
            }
            self.charge(1)?;
            ids.push(id.into());
        }
        if !ids.is_empty() {
            let item = self.referring("List", "item")?;
            filters.push(Filter::Has {
                resource_type: "List".into(),
                parameter: self.context.index.id(item),
                filter: Box::new(Filter::Ids(ids)),
            });
        }
        Ok(any_of(filters))
    }

    /// The members of a functional list, of the type searched or of all its types.
    fn functional_list(&self, resource_type: Option<&str>, list: &str) -> Result<Filter, Fault> {
        let of_list: Vec<_> = FUNCTIONAL.iter().filter(|(name, ..)| *name == list).collect();
        if of_list.is_empty() {
            let near = did_you_mean(list, FUNCTIONAL.iter().map(|(name, ..)| *name));
            let text = format!("{} is no functional list of this server.{near}", shown(list));
            return Err(Fault::bad(IssueType::NotSupported, text));
        }
        let is_searched = |member: &str| resource_type.is_none_or(|name| name == member);
        let mut filters = Vec::new();
        for (_, member, criteria) in of_list.iter().filter(|(_, member, _)| is_searched(member)) {
            let criteria = criteria.iter().copied().flatten();
            let filter = criteria.map(|(code, value)| self.criterion(Some(member), code, value));
            let mut all: Vec<Filter> = filter.collect::<Result<_, _>>()?;
            if resource_type.is_none() {
                all.insert(0, Filter::Type((*member).into()));
            }
            filters.push(all_of(all));
        }
        if filters.is_empty() {
            let types: Vec<&str> = of_list.iter().map(|(_, member, _)| *member).collect();
            let text = format!(
                "The functional list {list} has {}, which is not what is searched.",
                types.join(", ")
            );
            return Err(Fault::value(text));
        }
        Ok(any_of(filters))
    }
}
