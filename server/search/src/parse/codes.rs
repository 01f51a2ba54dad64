//! Codes that a value stands for by terminology (<https://hl7.org/fhir/R4/search.html#token>): those of a value set (`:in`),
//! and those above or below a code (`:above`, `:below`). What terminology does not know is refused, never empty.

use conformance::SearchParameter;
use conformance::terminology::model::{self, Compose};
use conformance::terminology::{Contained, ExpandRequest, Terminology, ValueSetSource};
use fhirpath::{Issue, IssueType};
use store::Predicate;

use super::Reader;
use super::fault::{Fault, shown};
use super::split::{split, unescape};
use super::token;

impl Reader<'_> {
    /// The codes of a value set, by its canonical.
    pub(super) fn of_value_set(
        &self,
        parameter: &SearchParameter,
        text: &str,
    ) -> Result<Vec<Predicate>, Fault> {
        let canonical = unescape(text);
        if !crate::reference::is_absolute(&canonical) {
            let text = format!(
                "{} is not the canonical URL of a value set; one by its id is not supported here.",
                shown(&canonical)
            );
            return Err(Fault::bad(IssueType::NotSupported, text));
        }
        self.codes(parameter, ValueSetSource::Canonical(canonical.into_owned()))
    }

    /// A code, and those below it (`is-a`) or above it (`generalizes`).
    pub(super) fn related(
        &self,
        parameter: &SearchParameter,
        operator: &str,
        text: &str,
    ) -> Result<Vec<Predicate>, Fault> {
        let parts: Vec<String> = split(text, b'|').map(|part| unescape(part).into_owned()).collect();
        let [system, code] = parts.as_slice() else {
            let text = format!("{} is not system|code, which a hierarchy of codes needs.", shown(text));
            return Err(Fault::value(text));
        };
        if system.is_empty() || code.is_empty() {
            let text = format!("{} is not system|code, which a hierarchy of codes needs.", shown(text));
            return Err(Fault::value(text));
        }
        let filter =
            model::Filter { property: "concept".to_owned(), op: operator.to_owned(), value: code.clone() };
        let include = model::Include {
            system: Some(system.clone()),
            filter: vec![filter],
            ..model::Include::default()
        };
        let compose = Compose { include: vec![include], ..Compose::default() };
        let set = model::ValueSet { compose: Some(compose), ..model::ValueSet::default() };
        self.codes(parameter, ValueSetSource::Given(Box::new(set)))
    }

    fn codes(&self, parameter: &SearchParameter, source: ValueSetSource) -> Result<Vec<Predicate>, Fault> {
        let terminology = self.terminology()?;
        let request = ExpandRequest { exclude_nested: true, ..ExpandRequest::new(source) };
        let expansion = terminology.expand(&request).map_err(|error| {
            let mut issue = Issue::from(error);
            issue.details = format!("The codes that {} asks for: {}.", parameter.code, issue.details);
            Fault::Bad(issue)
        })?;
        let systems = self.context.index.systems(parameter, 0);
        let mut predicates = Vec::with_capacity(expansion.total);
        self.charge(expansion.total)?;
        collect(&expansion.contains, &mut |concept| {
            predicates.extend(token::of(Some((*concept.system).into()), Some(concept.code.clone()), systems));
        });
        Ok(predicates)
    }

    fn terminology(&self) -> Result<&Terminology, Fault> {
        self.context.terminology.ok_or_else(|| {
            let text = "Searches by value sets and hierarchies of codes are not supported here.";
            Fault::bad(IssueType::NotSupported, text)
        })
    }
}

fn collect(concepts: &[Contained], found: &mut dyn FnMut(&Contained)) {
    for concept in concepts {
        found(concept);
        collect(&concept.contains, found);
    }
}
