//! References that must be supported: one of each element, to each profile, leads to a resource that conforms.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::{Api, none_found};
use crate::guide::Profile;
use crate::http::{Wrong, text};
use crate::navigation::{list, values};
use crate::report::Outcome;

impl Api<'_> {
    pub(super) async fn references(&mut self, profile: &Profile, all: &[Value]) -> Outcome {
        if all.is_empty() {
            return none_found(profile);
        }
        let mut unresolved: Vec<(String, String)> = Vec::new();
        for element in profile.must.elements.iter().filter(|one| one.is_reference) {
            let nothing = vec![String::new()];
            let targets = if element.targets.is_empty() { &nothing } else { &element.targets };
            for target in targets {
                let (mut any, mut resolves) = (false, false);
                let mut tried: BTreeSet<&str> = BTreeSet::new();
                'resources: for resource in all {
                    for reference in values(resource, &element.path, &profile.must) {
                        let Some(to) = text(reference, "reference") else { continue };
                        any = true;
                        if !to.starts_with('#') && !tried.insert(to) {
                            continue;
                        }
                        if self.leads(resource, to, target).await {
                            resolves = true;
                            break 'resources;
                        }
                    }
                }
                if any && !resolves {
                    unresolved.push((element.path.clone(), target.clone()));
                }
            }
        }
        // Another of the choice is there.
        let is_chosen = |target: &str| {
            let of =
                profile.must.choices.iter().find(|choice| choice.targets.iter().any(|one| one == target));
            of.is_some_and(|choice| {
                choice.targets.iter().any(|one| !unresolved.iter().any(|(_, known)| known == one))
            })
        };
        let left: Vec<String> = unresolved
            .iter()
            .filter(|(_, target)| !is_chosen(target))
            .map(|(path, target)| format!("{path} to {target}"))
            .collect();
        match left.is_empty() {
            true => Outcome::Passed,
            false => {
                Outcome::Lacking(Wrong(format!("no reference leads where it must: {}", left.join(", "))))
            }
        }
    }

    /// Whether a reference leads to a resource that conforms.
    async fn leads(&mut self, resource: &Value, reference: &str, target: &str) -> bool {
        if let Some(id) = reference.strip_prefix('#') {
            let contained = list(resource.get("contained"));
            let found = contained.into_iter().find(|one| text(one, "id") == Some(id)).cloned();
            return id.is_empty()
                || found.is_some_and(|one| target.is_empty() || self.judge.errors(&one, target).is_empty());
        }
        let Some(found) = self.resolve(reference).await else { return false };
        target.is_empty() || self.errors(&found, target).is_empty()
    }

    /// What a reference leads to.
    pub(super) async fn resolve(&mut self, reference: &str) -> Option<Rc<Value>> {
        if let Some(known) = self.resolved.get(reference) {
            return known.clone();
        }
        let is_absolute = reference.starts_with("http://") || reference.starts_with("https://");
        let url = match is_absolute {
            true => reference.to_owned(),
            false => format!("{}/{reference}", self.inputs.base),
        };
        // Nobody else is shown the token.
        let is_own = url.starts_with(&self.inputs.base);
        let answer = match is_own {
            true => self.get(&url).await,
            false => self.http.get(&url, &[("accept", "application/fhir+json")]).await,
        };
        let mut parts = reference.split("/_history").next().unwrap_or_default().rsplit('/');
        let (id, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let found = answer.and_then(|answer| answer.resource(kind)).ok();
        let found = found.filter(|one| text(one, "id") == Some(id)).map(Rc::new);
        self.resolved.insert(reference.to_owned(), found.clone());
        found
    }
}
