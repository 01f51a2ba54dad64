//! A MeasureReport against its Measure (<https://hl7.org/fhir/R4/measurereport.html>): its groups and populations are those of
//! the Measure. Scores are not computed.

use std::sync::Arc;

use fhirpath::{Element, IssueType, Tree};

use super::walk::Walk;

impl<'w> Walk<'w> {
    /// A MeasureReport whose Measure is stored.
    pub fn measure_report(&mut self, report: Element<'w>) {
        let Some(canonical) = report.get("measure").and_then(Element::value) else { return };
        let (url, version) = match canonical.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (canonical.as_ref(), None),
        };
        let stored = self.v.stored.as_ref().map(|stored| stored.resources.clone());
        let found: Option<Arc<Tree>> =
            stored.and_then(|resources| resources.by_canonical("Measure", url, version).ok().flatten());
        let Some(measure) = found else { return };
        let groups: Vec<Element<'_>> = measure.root().all("group").collect();
        let kind = report.get("type").and_then(Element::value).unwrap_or_default();
        for (number, group) in report.all("group").enumerate() {
            let wanted = match groups.as_slice() {
                // The only one needs no code.
                [one] if number == 0 && group.get("code").is_none() => Some(*one),
                several => several.iter().copied().find(|it| is_same_code(*it, group)),
            };
            let Some(wanted) = wanted else {
                self.error(IssueType::BusinessRule, group, "MEASURE_MR_GRP_UNK_CODE", || {
                    "The Measure has no group of this code.".to_owned()
                });
                continue;
            };
            for population in group.all("population") {
                if !wanted.all("population").any(|it| is_same_code(it, population)) {
                    self.error(IssueType::BusinessRule, population, "MEASURE_MR_GRP_POP_UNK_CODE", || {
                        "The Measure has no population of this code in the group.".to_owned()
                    });
                }
                if kind != "subject-list" && population.get("subjectResults").is_some() {
                    self.error(IssueType::BusinessRule, population, "MEASURE_MR_GRP_POP_NO_SUBJECTS", || {
                        "Only a report of the type subject-list lists subjects.".to_owned()
                    });
                }
            }
        }
    }
}

/// Whether two parts have a code in common, or the same text.
fn is_same_code(one: Element<'_>, other: Element<'_>) -> bool {
    let (Some(one), Some(other)) = (one.get("code"), other.get("code")) else { return false };
    let text = |it: Element<'_>, name: &str| it.get(name)?.value().map(std::borrow::Cow::into_owned);
    let same_coding = one.all("coding").any(|a| {
        other
            .all("coding")
            .any(|b| text(a, "system") == text(b, "system") && text(a, "code") == text(b, "code"))
    });
    same_coding || (text(one, "text").is_some() && text(one, "text") == text(other, "text"))
}
