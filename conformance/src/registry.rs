//! Builds the [`SearchParameters`] out of the packages' definitions, by the rules that module states.

use std::collections::BTreeMap;
use std::sync::Arc;

use fhirpath::Schema;
use fhirpath::schema::TypeKind;
use rustc_hash::FxHashMap;

use crate::DefinitionsError;
use crate::expressions::Expressions;
use crate::search_parameter::{Notice, NoticeKind, SearchParameter, SearchParameterType, SearchParameters};
use crate::table::SearchParameterDefinition;
use crate::union::{self, Union};

/// Those of some packages, the first package's first.
pub(crate) fn build(
    schema: &Arc<Schema>,
    packages: &[&[SearchParameterDefinition]],
) -> Result<SearchParameters, DefinitionsError> {
    let mut registry = Registry {
        schema,
        all: Vec::new(),
        sources: Vec::new(),
        positions: FxHashMap::default(),
        notices: Vec::new(),
    };
    for package in packages {
        registry.add_package(package)?;
    }
    let mut definitions = FxHashMap::default();
    for definition in packages.iter().flat_map(|package| package.iter()) {
        definitions.entry(definition.url.as_str()).or_insert(definition);
    }
    registry.compile(&Expressions { schema, definitions });
    Ok(registry.finish())
}

/// Those that are there and some more; the notices are of these alone. Their composites may have components from
/// those that are there.
pub(crate) fn extend(
    schema: &Arc<Schema>,
    known: &SearchParameters,
    more: &[SearchParameterDefinition],
) -> Result<SearchParameters, DefinitionsError> {
    let urls = more.iter().flat_map(|definition| &definition.component).map(|part| part.definition.as_str());
    let components: Vec<SearchParameterDefinition> =
        urls.filter_map(|url| known.by_url(url).next().map(|found| component_of(url, found))).collect();
    let mut registry = Registry {
        schema,
        all: known.all.clone(),
        sources: Vec::new(),
        positions: known.all.iter().map(|it| ((it.base.as_str(), it.code.as_str()), it.index)).collect(),
        notices: Vec::new(),
    };
    registry.add_package(more)?;
    let definitions = components.iter().map(|definition| (definition.url.as_str(), definition)).collect();
    registry.compile(&Expressions { schema, definitions });
    Ok(registry.finish())
}

/// As much of a definition as a component takes from it.
fn component_of(url: &str, parameter: &SearchParameter) -> SearchParameterDefinition {
    SearchParameterDefinition {
        url: url.to_owned(),
        code: parameter.code.clone(),
        kind: parameter.kind.as_str().to_owned(),
        target: parameter.targets.clone(),
        ..SearchParameterDefinition::default()
    }
}

struct Registry<'d> {
    schema: &'d Arc<Schema>,
    all: Vec<SearchParameter>,
    /// For each of the last of `all`, the definition it comes from; those before were compiled before.
    sources: Vec<&'d SearchParameterDefinition>,
    /// Base and code to the index.
    positions: FxHashMap<(&'d str, &'d str), u16>,
    notices: Vec<Notice>,
}

impl<'d> Registry<'d> {
    /// Adds a package's definitions once for each base, by base and code; of the same base and code, by URL.
    fn add_package(&mut self, package: &'d [SearchParameterDefinition]) -> Result<(), DefinitionsError> {
        let split = |definition: &'d SearchParameterDefinition| {
            Some(Union::new(definition.expression.as_deref()?, |name| self.is_resource(name)))
        };
        let unions: Vec<Option<Union>> = package.iter().map(split).collect();
        let mut by_base = Vec::with_capacity(package.len());
        for (definition, union) in package.iter().zip(&unions) {
            if definition.base.is_empty() {
                self.notice("-", definition, NoticeKind::NoBase);
            }
            by_base.extend(definition.base.iter().map(|base| (base.as_str(), definition, union.as_ref())));
        }
        by_base.sort_by(|(base, one, _), (other_base, other, _)| {
            (base, &one.code, &one.url).cmp(&(other_base, &other.code, &other.url))
        });
        by_base.into_iter().try_for_each(|(base, definition, union)| self.add(base, definition, union))
    }

    fn notice(&mut self, base: &str, definition: &SearchParameterDefinition, kind: NoticeKind) {
        let (url, code) = (definition.url.clone(), definition.code.clone());
        self.notices.push(Notice { url, base: base.to_owned(), code, kind });
    }

    fn add(
        &mut self,
        base: &'d str,
        definition: &'d SearchParameterDefinition,
        union: Option<&Union>,
    ) -> Result<(), DefinitionsError> {
        if !self.is_resource(base) {
            self.notice(base, definition, NoticeKind::UnknownBase);
            return Ok(());
        }
        let Some(kind) = SearchParameterType::from_code(&definition.kind) else {
            self.notice(base, definition, NoticeKind::UnknownType(definition.kind.clone()));
            return Ok(());
        };
        let text = union.map(|union| union.concerning(base));
        let notice = match (self.first(base, &definition.code), text.as_deref()) {
            (Some(first), text) => self.merge(first, base, kind, text.unwrap_or_default(), definition),
            (None, text) => {
                self.push(base, kind, text.unwrap_or_default(), definition)?;
                match text {
                    None => Some(NoticeKind::NoExpression),
                    Some("") => Some(NoticeKind::OtherTypesOnly),
                    Some(_) => None,
                }
            }
        };
        notice.into_iter().for_each(|kind| self.notice(base, definition, kind));
        Ok(())
    }

    /// Adds a parameter whose code is new to its base.
    fn push(
        &mut self,
        base: &'d str,
        kind: SearchParameterType,
        text: &str,
        definition: &'d SearchParameterDefinition,
    ) -> Result<(), DefinitionsError> {
        let index = u16::try_from(self.all.len()).map_err(|_| DefinitionsError::TooManySearchParameters)?;
        self.positions.insert((base, &definition.code), index);
        self.sources.push(definition);
        self.all.push(SearchParameter {
            index,
            base: base.to_owned(),
            code: definition.code.clone(),
            urls: vec![definition.url.clone()],
            kind,
            expression: None,
            expression_text: text.to_owned(),
            targets: definition.target.clone(),
            components: Vec::new(),
        });
        Ok(())
    }

    fn is_resource(&self, name: &str) -> bool {
        self.schema.type_id(name).is_some_and(|id| self.schema.kind(id) == TypeKind::Resource)
    }

    /// The parameter that a base has already for a code, that of every type included.
    fn first(&self, base: &str, code: &str) -> Option<u16> {
        let lineage = lineage(self.schema, base);
        lineage.into_iter().find_map(|name| self.positions.get(&(name, code)).copied())
    }

    /// Makes a later definition another name of the first, or says why not.
    fn merge(
        &mut self,
        first: u16,
        base: &str,
        kind: SearchParameterType,
        text: &str,
        definition: &SearchParameterDefinition,
    ) -> Option<NoticeKind> {
        let first = self.all.get_mut(usize::from(first))?;
        let first_url = first.urls.first().cloned().unwrap_or_default();
        if first.kind != kind {
            return Some(NoticeKind::OtherType {
                first: first.kind.as_str(),
                later: kind.as_str(),
                first_url,
            });
        }
        if !union::same(&first.expression_text, text, base) {
            let first = first.expression_text.clone();
            return Some(NoticeKind::OtherExpression { first, later: text.to_owned(), first_url });
        }
        if !first.urls.contains(&definition.url) {
            first.urls.push(definition.url.clone());
        }
        None
    }

    fn compile(&mut self, expressions: &Expressions) {
        let compiled = self.all.len().saturating_sub(self.sources.len());
        for (parameter, definition) in self.all.iter_mut().skip(compiled).zip(&self.sources) {
            if let Err(kind) = expressions.compile_into(parameter, definition) {
                let (url, base, code) =
                    (definition.url.clone(), parameter.base.clone(), parameter.code.clone());
                self.notices.push(Notice { url, base, code, kind });
            }
        }
    }

    fn finish(self) -> SearchParameters {
        let mut by_url: FxHashMap<String, Vec<u16>> = FxHashMap::default();
        for parameter in &self.all {
            for url in &parameter.urls {
                by_url.entry(url.clone()).or_default().push(parameter.index);
            }
        }
        let by_type = self.by_type();
        SearchParameters { all: self.all, by_type, by_url, notices: self.notices }
    }

    /// For each resource type its own parameters and those it inherits, by code; its own go before.
    fn by_type(&self) -> FxHashMap<String, Vec<u16>> {
        let mut own: FxHashMap<&str, Vec<&SearchParameter>> = FxHashMap::default();
        for parameter in &self.all {
            own.entry(&parameter.base).or_default().push(parameter);
        }
        let resources = self.schema.type_ids().filter(|&id| self.schema.kind(id) == TypeKind::Resource);
        let of = |name: &str| {
            let mut by_code = BTreeMap::new();
            for ancestor in lineage(self.schema, name).into_iter().rev() {
                let parameters = own.get(ancestor).into_iter().flatten();
                by_code.extend(parameters.map(|parameter| (parameter.code.as_str(), parameter.index)));
            }
            (name.to_owned(), by_code.into_values().collect())
        };
        resources.map(|id| of(self.schema.type_name(id))).collect()
    }
}

/// A resource type and those it specialises, nearest first: `Patient`, `DomainResource`, `Resource`.
fn lineage<'s>(schema: &'s Schema, name: &str) -> Vec<&'s str> {
    let chain = std::iter::successors(schema.type_id(name), |&id| schema.base(id));
    // No honest chain is longer; a package's may be circular.
    chain.take(16).map(|id| schema.type_name(id)).collect()
}

#[cfg(test)]
mod tests {
    use crate::Definitions;
    use crate::table::{ComponentDefinition, SearchParameterDefinition, Table};

    fn parameter(
        url: &str,
        code: &str,
        base: &[&str],
        kind: &str,
        expression: &str,
    ) -> SearchParameterDefinition {
        SearchParameterDefinition {
            url: url.to_owned(),
            code: code.to_owned(),
            base: base.iter().map(|&it| it.to_owned()).collect(),
            kind: kind.to_owned(),
            expression: Some(expression.to_owned()),
            target: Vec::new(),
            component: Vec::new(),
            multiple_or: None,
            multiple_and: None,
            modifier: Vec::new(),
            comparator: Vec::new(),
            chain: Vec::new(),
        }
    }

    /// R4's types without its parameters, and packages with the parameters given.
    fn with(packages: &[Vec<SearchParameterDefinition>]) -> Definitions {
        let text = include_str!("../../ig/r4-4.0.1.jsonl");
        let r4 = Table { search_parameters: Vec::new(), ..Table::read(text).unwrap() };
        let table = |it: &Vec<_>| Table { search_parameters: it.clone(), ..Table::default() };
        Definitions::from_tables(std::iter::once(r4).chain(packages.iter().map(table)).collect()).unwrap()
    }

    /// What there is afterwards: parameters, then notices.
    fn check(packages: &[Vec<SearchParameterDefinition>], expected: &[&str]) {
        let parameters = with(packages).search_parameters;
        let lines = parameters
            .all()
            .iter()
            .map(|it| format!("{}?{} {} {}", it.base, it.code, it.expression_text, it.urls.join(" ")))
            .chain(parameters.notices().iter().map(ToString::to_string));
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn one_entry_for_each_base_by_base_and_code() {
        check(
            &[vec![
                parameter("u:2", "name", &["Person", "Patient"], "string", "Person.name | Patient.name"),
                parameter("u:1", "active", &["Patient"], "token", "Patient.active"),
            ]],
            &[
                "Patient?active Patient.active u:1",
                "Patient?name Patient.name u:2",
                "Person?name Person.name u:2",
            ],
        );
    }

    #[test]
    fn the_same_in_a_later_package_is_another_name() {
        let first = parameter("u:1", "name", &["Patient"], "string", "Patient.name | Patient.contact.name");
        let later = parameter("u:2", "name", &["Patient"], "string", "Patient.contact.name|name");
        check(
            &[vec![first.clone()], vec![first, later]],
            &["Patient?name Patient.name | Patient.contact.name u:1 u:2"],
        );
    }

    #[test]
    fn of_two_in_one_package_the_first_url_stays() {
        let later = parameter("u:b", "name", &["Patient"], "string", "Patient.name.family");
        let first = parameter("u:a", "name", &["Patient"], "string", "Patient.name");
        check(
            &[vec![later, first]],
            &[
                "Patient?name Patient.name u:a",
                "u:b as Patient?name: selects Patient.name.family, but the code is there and selects Patient.name, \
                 from u:a",
            ],
        );
    }

    #[test]
    fn another_type_is_left_out() {
        let first = parameter("u:1", "name", &["Patient"], "string", "Patient.name");
        let later = parameter("u:2", "name", &["Patient"], "token", "Patient.name");
        check(
            &[vec![first], vec![later]],
            &[
                "Patient?name Patient.name u:1",
                "u:2 as Patient?name: of type token, but the code is there with type string, from u:1",
            ],
        );
    }

    #[test]
    fn a_code_of_every_type_stands_before_that_of_one() {
        let every = parameter("u:1", "_id", &["Resource"], "token", "Resource.id");
        let same = parameter("u:2", "_id", &["Patient"], "token", "Patient.id");
        let other = parameter("u:3", "_id", &["Person"], "token", "Person.identifier");
        check(
            &[vec![every], vec![same, other]],
            &[
                "Resource?_id Resource.id u:1 u:2",
                "u:3 as Person?_id: selects Person.identifier, but the code is there and selects Resource.id, from u:1",
            ],
        );
    }

    #[test]
    fn a_code_of_one_type_stays_when_every_type_gets_it() {
        let one = parameter("u:1", "x", &["Patient"], "token", "Patient.identifier");
        let every = parameter("u:2", "x", &["DomainResource"], "token", "DomainResource.language");
        let parameters = with(&[vec![one], vec![every]]).search_parameters;
        let url = |resource_type: &str| parameters.get(resource_type, "x").map(|it| it.urls[0].as_str());
        assert_eq!(url("Patient"), Some("u:1"));
        assert_eq!(url("Person"), Some("u:2"));
        assert_eq!(url("Bundle"), None);
        assert_eq!(parameters.of("Patient").count(), 1);
    }

    #[test]
    fn what_cannot_apply_is_said() {
        check(
            &[vec![
                parameter("u:1", "a", &[], "token", "Patient.active"),
                parameter("u:2", "b", &["Unicorn", "Period"], "token", "Unicorn.horn"),
                parameter("u:3", "c", &["Patient"], "sound", "Patient.active"),
                parameter("u:4", "d", &["Patient"], "token", "Person.active"),
                SearchParameterDefinition {
                    expression: None,
                    ..parameter("u:5", "e", &["Patient"], "special", "")
                },
            ]],
            &[
                "Patient?d  u:4",
                "Patient?e  u:5",
                "u:1 as -?a: applies to no resource type",
                "u:3 as Patient?c: sound is not a type of search parameter",
                "u:4 as Patient?d: no part of its expression is about the resource type",
                "u:5 as Patient?e: has no expression",
                "u:2 as Period?b: the resource type is not defined",
                "u:2 as Unicorn?b: the resource type is not defined",
            ],
        );
    }

    #[test]
    fn what_does_not_compile_stays_listed_without_expression() {
        let component = |definition: &str, expression: &str| ComponentDefinition {
            definition: definition.to_owned(),
            expression: expression.to_owned(),
        };
        let composite =
            |url: &str, code: &str, components: Vec<ComponentDefinition>| SearchParameterDefinition {
                component: components,
                ..parameter(url, code, &["Patient"], "composite", "Patient.contact")
            };
        let packages = [vec![
            parameter("u:1", "a", &["Patient"], "token", "Patient.horn"),
            parameter("u:2", "b", &["Patient"], "token", "Patient.name.gallop()"),
            parameter("u:3", "c", &["Patient"], "string", "Patient.contact.name"),
            composite("u:4", "d", vec![component("u:3", "name"), component("u:0", "name")]),
            composite("u:5", "e", vec![component("u:3", "horn")]),
            composite("u:6", "f", vec![component("u:3", "name"), component("u:3", "$this.name")]),
        ]];
        let parameters = with(&packages).search_parameters;
        let notices: Vec<String> = parameters.notices().iter().map(ToString::to_string).collect();
        assert_eq!(
            notices,
            [
                "u:1 as Patient?a: Patient.horn does not compile: 'horn' is no element of Patient (at character 8)",
                "u:2 as Patient?b: Patient.name.gallop() does not compile: there is no function 'gallop' \
                 (at character 13)",
                "u:4 as Patient?d: its component u:0 is not defined",
                "u:5 as Patient?e: horn does not compile: 'horn' is no element of Patient.contact (at character 0)",
            ]
        );
        let facts = |code: &str| {
            let found = parameters.get("Patient", code).unwrap();
            (found.is_indexed(), found.is_sortable(), found.components.len())
        };
        assert_eq!(["a", "b", "d", "e"].map(facts), [(false, false, 0); 4]);
        assert_eq!((facts("c"), facts("f")), ((true, true, 0), (true, false, 2)));
    }
}
