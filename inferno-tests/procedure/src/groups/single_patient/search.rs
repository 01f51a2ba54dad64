//! Searches: each that the guide names, for each patient, with values out of what the first one found, and in the other forms
//! that a server has to take: POST, `Patient/id`, `system|code`, comparators, several values, `_include`, `_revinclude`.

use std::rc::Rc;

use reqwest::Method;
use serde_json::Value;

use super::{Api, MAX_PAGES, name, values};
use crate::dates;
use crate::guide::{Parameter, Profile, Search};
use crate::http::{Answer, Checked, Wrong, ensure, text};
use crate::navigation::{list, values as at};
use crate::report::Outcome;

/// Names and values.
type Query = Vec<(String, String)>;

/// One search of a profile, with what was asked of it so far: each other form once.
struct Asked<'s> {
    profile: &'s Profile,
    is_first: bool,
    post: bool,
    typed: bool,
    token: bool,
    medication: bool,
    compared: Vec<String>,
}

impl Api<'_> {
    /// All searches of a profile.
    pub(super) async fn searches(&mut self, profile: &Profile) {
        for (place, search) in profile.searches.iter().enumerate() {
            let is_first = place == 0 && !profile.is_referred;
            let outcome = self.search(profile, search, is_first).await.unwrap_or_else(Outcome::Failed);
            let names = search.names.join("_").replace('-', "_");
            self.saw(profile, &format!("{names}_search_test"), outcome);
        }
    }

    async fn search(&mut self, profile: &Profile, search: &Search, is_first: bool) -> Checked<Outcome> {
        let mut asked = Asked {
            profile,
            is_first,
            post: !is_first,
            typed: !is_first,
            token: false,
            medication: !matches!(profile.kind.as_str(), "MedicationRequest" | "MedicationDispense"),
            compared: Vec::new(),
        };
        let (mut has_values, mut has_found) = (false, false);
        for patient in self.patients(profile) {
            for query in self.queries(profile, search, is_first, &patient) {
                has_values = true;
                has_found |= self.one(&mut asked, query, &patient).await?;
            }
        }
        // A search that the guide only recommends need not be shown.
        let is_demanded = profile.demanded.contains(search);
        let lacking = |why: String| {
            let outcome = if is_demanded { Outcome::Lacking } else { Outcome::Omitted };
            Ok(outcome(Wrong(why)))
        };
        match (has_values, has_found) {
            (false, _) => lacking(format!("no {} has values for {}", profile.kind, search.names.join(" + "))),
            (_, false) => lacking(format!("no {} is found by {}", profile.kind, search.names.join(" + "))),
            _ => self.several_values(profile, search, is_first).await.map(|()| Outcome::Passed),
        }
    }

    /// Whose resources are searched; one that is nobody's, for those that are found by references.
    fn patients(&self, profile: &Profile) -> Vec<String> {
        if profile.is_referred { vec![String::new()] } else { self.inputs.patients.clone() }
    }

    fn of_patient(&self, profile: &Profile, patient: &str) -> &[Value] {
        let by_patient = self.found.get(&profile.name).map_or(&[][..], Vec::as_slice);
        by_patient.iter().find(|(of, _)| of == patient).map_or(&[][..], |(_, all)| all.as_slice())
    }

    /// What to search for: the values that the profile fixes, or those of a resource that has all.
    fn queries(&self, profile: &Profile, search: &Search, is_first: bool, patient: &str) -> Vec<Query> {
        let is_patient = |name: &str| {
            !profile.is_referred && (name == "patient" || (name == "_id" && profile.kind == "Patient"))
        };
        let own = |name: &str| is_patient(name).then(|| (name.to_owned(), patient.to_owned()));
        if let Some(all) = search.names.iter().map(|name| own(name)).collect::<Option<Query>>() {
            return vec![all];
        }
        let parameter = |name: &str| profile.parameters.iter().find(|one| one.name == name);
        if is_first {
            let fixed = search.names.iter().find(|name| !is_patient(name)).and_then(|name| parameter(name));
            let Some(fixed) = fixed else { return Vec::new() };
            let query = |value: &String| {
                let each = search.names.iter();
                each.map(|name| own(name).unwrap_or_else(|| (name.clone(), value.clone()))).collect()
            };
            return fixed.values.iter().map(query).collect();
        }
        let value = |name: &String, resource: &Value| {
            own(name).or_else(|| {
                let value = values::value_of(parameter(name)?, resource, &profile.must, false)?;
                Some((name.clone(), value))
            })
        };
        let all = |resource: &Value| search.names.iter().map(|name| value(name, resource)).collect();
        self.of_patient(profile, patient).iter().find_map(all).into_iter().collect()
    }

    /// One query: whether anything was found.
    async fn one(&mut self, asked: &mut Asked<'_>, query: Query, patient: &str) -> Checked<bool> {
        let profile = asked.profile;
        let found = self.find(profile, &query).await?;
        if found.is_empty() {
            return Ok(false);
        }
        if asked.is_first {
            self.keep(profile, patient, &found);
        }
        self.check(profile, &found, &query)?;
        self.comparators(asked, &query, patient).await?;
        if !std::mem::replace(&mut asked.post, true) {
            let answer = self.post(&profile.kind, &query).await?;
            let posted = self.pages(answer).await?.iter().filter(|one| is_of(one, profile)).count();
            ensure(posted == found.len(), || {
                format!("{} by GET, {posted} by POST of {}?{}", found.len(), profile.kind, encoded(&query))
            })?;
        }
        if !asked.typed && query.iter().any(|(name, _)| name == "patient") {
            asked.typed = true;
            let typed = with(&query, "patient", &format!("Patient/{patient}"));
            let count = self.find(profile, &typed).await?.len();
            ensure(count == found.len(), || {
                format!("{} by the id, {count} by {}?{}", found.len(), profile.kind, encoded(&typed))
            })?;
        }
        self.medication(asked, &query, &found).await?;
        self.with_system(asked, &query, patient).await?;
        Ok(true)
    }

    /// Remembers what a first search found.
    fn keep(&mut self, profile: &Profile, patient: &str, found: &[Value]) {
        self.refer(profile, found);
        let by_patient = self.found.entry(profile.name.clone()).or_default();
        if !by_patient.iter().any(|(of, _)| of == patient) {
            by_patient.push((patient.to_owned(), Vec::new()));
        }
        let Some((_, all)) = by_patient.iter_mut().find(|(of, _)| of == patient) else { return };
        for one in found {
            if !all.iter().any(|known| text(known, "id") == text(one, "id")) {
                all.push(one.clone());
            }
        }
    }

    /// Refuses what was not searched for.
    fn check(&self, profile: &Profile, found: &[Value], query: &Query) -> Checked {
        for (parameter, value) in known(profile, query) {
            let fits =
                |one: &&Value| values::matches(parameter, one, value, &profile.must, &self.inputs.base);
            if let Some(other) = found.iter().find(|one| !fits(one)) {
                let query = encoded(query);
                return Err(Wrong(format!("{} is found by {}?{query}", name(other), profile.kind)));
            }
        }
        Ok(())
    }

    /// Dates compared, by each comparator that a server shall have.
    async fn comparators(&mut self, asked: &mut Asked<'_>, query: &Query, patient: &str) -> Checked {
        let profile = asked.profile;
        for (parameter, _) in known(profile, query) {
            if parameter.comparators.is_empty() || asked.compared.contains(&parameter.name) {
                continue;
            }
            // Of a resource that the query finds.
            let fits = |one: &&Value| self.check(profile, std::slice::from_ref(*one), query).is_ok();
            let own = self.of_patient(profile, patient).iter().filter(fits);
            let dates =
                own.flat_map(|one| parameter.paths.iter().flat_map(|path| at(one, path, &profile.must)));
            let Some(date) = dates.into_iter().next().cloned() else { continue };
            asked.compared.push(parameter.name.clone());
            for comparator in &parameter.comparators {
                let days = if comparator.starts_with('l') { 1 } else { -1 };
                let Some(moved) = dates::moved(&date, days) else { continue };
                let compared = with(query, &parameter.name, &format!("{comparator}{moved}"));
                let found = self.find(profile, &compared).await?;
                ensure(!found.is_empty(), || {
                    format!("nothing is found by {}?{}", profile.kind, encoded(&compared))
                })?;
                self.check(profile, &found, &compared)?;
            }
        }
        Ok(())
    }

    /// The same with the systems of codes and identifiers.
    async fn with_system(&mut self, asked: &mut Asked<'_>, query: &Query, patient: &str) -> Checked {
        let profile = asked.profile;
        let is_token =
            |one: &&Parameter| matches!(one.kind.as_str(), "Identifier" | "CodeableConcept" | "Coding");
        let tokens: Vec<&Parameter> =
            known(profile, query).into_iter().map(|(one, _)| one).filter(is_token).collect();
        if asked.token || tokens.is_empty() {
            return Ok(());
        }
        let all = |resource: &Value| {
            let one = |token: &&Parameter| {
                let value = values::value_of(token, resource, &profile.must, true)?;
                Some((token.name.clone(), value))
            };
            tokens.iter().map(one).collect::<Option<Query>>()
        };
        // The resource must be one that the query finds.
        let fits = |one: &&Value| self.check(profile, std::slice::from_ref(*one), query).is_ok();
        let own = self.of_patient(profile, patient).iter().filter(fits).find_map(all);
        let Some(values) = own else { return Ok(()) };
        asked.token = true;
        let query = values.iter().fold(query.clone(), |query, (name, value)| with(&query, name, value));
        let found = self.find(profile, &query).await?;
        ensure(!found.is_empty(), || format!("nothing is found by {}?{}", profile.kind, encoded(&query)))?;
        self.check(profile, &found, &query)
    }

    /// The medications that are referred to come along.
    async fn medication(&mut self, asked: &mut Asked<'_>, query: &Query, found: &[Value]) -> Checked {
        let profile = asked.profile;
        let reference = |one: &Value| {
            one.pointer("/medicationReference/reference").and_then(Value::as_str).map(str::to_owned)
        };
        let referred: Vec<String> =
            found.iter().filter_map(reference).filter(|reference| !reference.starts_with('#')).collect();
        if asked.medication || referred.is_empty() {
            return Ok(());
        }
        asked.medication = true;
        let query = with(query, "_include", &format!("{}:medication", profile.kind));
        let all = self.answer(&profile.kind, &query).await?;
        let included: Vec<String> =
            all.iter().filter(|one| text(one, "resourceType") == Some("Medication")).map(name).collect();
        ensure(!included.is_empty(), || format!("no Medication is in {}?{}", profile.kind, encoded(&query)))?;
        let other = included.iter().find(|one| !referred.iter().any(|reference| reference.ends_with(*one)));
        ensure(other.is_none(), || {
            format!("{} comes along, which nothing refers to", other.map_or("", String::as_str))
        })
    }

    /// Several values with a comma find what each finds.
    async fn several_values(&mut self, profile: &Profile, search: &Search, is_first: bool) -> Checked {
        let parameters = profile.parameters.iter().filter(|one| search.names.contains(&one.name));
        let several: Vec<&Parameter> =
            parameters.filter(|one| one.multiple_or && !one.values.is_empty()).collect();
        for patient in self.patients(profile) {
            let Some(query) = self.queries(profile, search, is_first, &patient).into_iter().next() else {
                continue;
            };
            if several.is_empty() || self.of_patient(profile, &patient).is_empty() {
                continue;
            }
            let all = |query: Query, one: &&Parameter| with(&query, &one.name, &one.values.join(","));
            let query = several.iter().fold(query, all);
            let found = self.find(profile, &query).await?;
            let others: Vec<&(String, String)> =
                query.iter().filter(|(name, _)| !several.iter().any(|one| one.name == *name)).collect();
            let others: Query = others.into_iter().cloned().collect();
            // What has the other values has to be among it.
            let expected = self.of_patient(profile, &patient).iter();
            let expected: Vec<&Value> = expected
                .filter(|one| self.check(profile, std::slice::from_ref(*one), &others).is_ok())
                .filter(|one| several.iter().all(|parameter| has_value(parameter, one, profile)))
                .collect();
            let is_there = |one: &&Value| found.iter().any(|found| text(found, "id") == text(one, "id"));
            if let Some(lost) = expected.into_iter().find(|one| !is_there(one)) {
                let query = encoded(&query);
                return Err(Wrong(format!("{} is not found by {}?{query}", name(lost), profile.kind)));
            }
            return Ok(());
        }
        Ok(())
    }

    /// Where resources come from comes along.
    pub(super) async fn provenance(&mut self, profile: &Profile) {
        let Some(search) = profile.searches.first().filter(|_| profile.has_provenance) else { return };
        let outcome = self.provenances(profile, search).await.unwrap_or_else(Outcome::Failed);
        self.saw(profile, "provenance_revinclude_search_test", outcome);
    }

    async fn provenances(&mut self, profile: &Profile, search: &Search) -> Checked<Outcome> {
        let mut all: Vec<Value> = Vec::new();
        for patient in self.patients(profile) {
            for query in self.queries(profile, search, true, &patient) {
                let query = with(&query, "_revinclude", "Provenance:target");
                let found = self.answer(&profile.kind, &query).await?;
                let is = |one: &&Value| text(one, "resourceType") == Some("Provenance");
                all.extend(found.iter().filter(is).cloned());
            }
        }
        let is_empty = all.is_empty();
        if let Some(provenance) = self.guide.named("provenance") {
            self.refer(provenance, &all);
        }
        for one in all {
            if !self.provenances.iter().any(|known| text(known, "id") == text(&one, "id")) {
                self.provenances.push(one);
            }
        }
        let why = || Wrong(format!("no Provenance is about any {}", profile.kind));
        Ok(if is_empty { Outcome::Lacking(why()) } else { Outcome::Passed })
    }

    /// The resources of a type that a query finds.
    pub(super) async fn find(&mut self, profile: &Profile, query: &Query) -> Checked<Vec<Value>> {
        let all = self.answer(&profile.kind, query).await?;
        Ok(all.iter().filter(|one| is_of(one, profile)).cloned().collect())
    }

    /// All resources that a query finds, page by page.
    pub(super) async fn answer(&mut self, kind: &str, query: &Query) -> Checked<Rc<Vec<Value>>> {
        let url = format!("{}/{kind}?{}", self.inputs.base, encoded(query));
        if let Some(known) = self.answers.get(&url) {
            return Ok(known.clone());
        }
        let first = self.get(&url).await.and_then(|answer| answer.expect(&[200]).cloned());
        let first = first.map_err(|wrong| Wrong(format!("{kind}?{}: {wrong}", encoded(query))))?;
        let found = Rc::new(self.pages(first).await?);
        self.answers.insert(url, found.clone());
        Ok(found)
    }

    async fn post(&self, kind: &str, query: &Query) -> Checked<Answer> {
        let url = format!("{}/{kind}/_search", self.inputs.base);
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("accept", "application/fhir+json"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        self.http.send(Method::POST, &url, &headers, Some(encoded(query))).await
    }

    async fn pages(&self, first: Answer) -> Checked<Vec<Value>> {
        let (mut answer, mut found) = (first, Vec::new());
        for _ in 0..MAX_PAGES {
            let bundle = answer.resource("Bundle")?;
            let entries = list(bundle.get("entry")).into_iter();
            found.extend(entries.filter_map(|entry| entry.get("resource").cloned()));
            let links = list(bundle.get("link"));
            let next = links.into_iter().find(|link| text(link, "relation") == Some("next"));
            match next.and_then(|link| text(link, "url")) {
                Some(next) => answer = self.get(next).await?,
                None => break,
            }
        }
        Ok(found)
    }
}

fn is_of(resource: &Value, profile: &Profile) -> bool {
    text(resource, "resourceType") == Some(&profile.kind)
}

fn has_value(parameter: &Parameter, resource: &Value, profile: &Profile) -> bool {
    let found = values::value_of(parameter, resource, &profile.must, false);
    found.is_some_and(|value| parameter.values.contains(&value))
}

/// The parameters of a query that are known, with their values.
fn known<'q>(profile: &'q Profile, query: &'q Query) -> Vec<(&'q Parameter, &'q str)> {
    let of = |(name, value): &'q (String, String)| {
        let parameter = profile.parameters.iter().find(|one| one.name == *name)?;
        Some((parameter, value.as_str()))
    };
    query.iter().filter_map(of).collect()
}

/// The query with another value, or one more.
fn with(query: &Query, name: &str, value: &str) -> Query {
    let mut query = query.clone();
    match query.iter_mut().find(|(own, _)| own == name) {
        Some((_, own)) => value.clone_into(own),
        None => query.push((name.to_owned(), value.to_owned())),
    }
    query
}

pub(super) fn encoded(query: &Query) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()
}
