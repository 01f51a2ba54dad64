//! The SearchParameters of all packages (<https://hl7.org/fhir/R4/searchparameter.html>), one entry for each resource
//! type that one applies to. It compiles their expressions, and never evaluates one.
//!
//! # When packages meet
//!
//! Many parameters of US Core repeat one of R4. A code that a type already has keeps its first definition, so that
//! adding a package never changes what an existing query finds:
//!
//! - the same type and the same expression (white space, order of a union and the type's name at its start aside):
//!   the later URL becomes another name of the first;
//! - another type or another expression: the later one is left out, with a [`Notice`].
//!
//! "First" is by package in the order they are given, within a package by URL. A parameter that cannot work as its
//! package states it stays listed without an expression, with a [`Notice`] that says why.

use fhirpath::Expression;
use fhirpath::expression::CompileError;
use rustc_hash::FxHashMap;

/// All search parameters.
#[derive(Debug, Default)]
pub struct SearchParameters {
    pub(crate) all: Vec<SearchParameter>,
    /// For each resource type, `Resource` and `DomainResource`: its parameters' indices, by code.
    pub(crate) by_type: FxHashMap<String, Vec<u16>>,
    pub(crate) by_url: FxHashMap<String, Vec<u16>>,
    pub(crate) notices: Vec<Notice>,
}

/// `SearchParameter.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // https://hl7.org/fhir/R4/valueset-search-param-type.html
pub enum SearchParameterType {
    Number,
    Date,
    String,
    Token,
    Reference,
    Composite,
    Quantity,
    Uri,
    Special,
}

/// One search parameter as it applies to one resource type.
#[derive(Debug, Clone)]
pub struct SearchParameter {
    /// Position in [`SearchParameters::all`]; dense from 0. Parameters of `Resource` and `DomainResource` (`_tag`) exist once.
    pub index: u16,
    /// The type it applies to (`Observation`), or `Resource` / `DomainResource` for those of every type.
    pub base: String,
    /// What a query writes (`code-value-quantity`).
    pub code: String,
    /// Canonical URLs, the first package's first.
    pub urls: Vec<String>,
    /// How its values are indexed and matched.
    pub kind: SearchParameterType,
    /// The expression, compiled for `base`; for a composite, selects the elements that its components start from.
    /// `None` for special ones and those that a package defines without one.
    pub expression: Option<Expression>,
    /// The expression's text, as far as it concerns `base`.
    pub expression_text: String,
    /// For a reference: the types it may point to.
    pub targets: Vec<String>,
    /// For a composite: the parameters to combine, each with its expression compiled for the selected element.
    pub components: Vec<Component>,
}

/// A part of a composite parameter.
#[derive(Debug, Clone)]
pub struct Component {
    /// The code of the parameter it takes its type from.
    pub code: String,
    /// How its values are indexed and matched.
    pub kind: SearchParameterType,
    /// Selects the values, from an element that the composite's expression selects.
    pub expression: Expression,
    /// For a reference: the types it may point to.
    pub targets: Vec<String>,
}

/// Something about a SearchParameter of a package that an operator may want to know: it does less than it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url} as {base}?{code}: {kind}")]
pub struct Notice {
    /// Canonical URL of the parameter.
    pub url: String,
    /// The resource type concerned; `-` when it states none.
    pub base: String,
    /// Its code.
    pub code: String,
    /// What it is.
    pub kind: NoticeKind,
}

/// What a [`Notice`] is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoticeKind {
    /// It states no base: it applies to nothing.
    #[error("applies to no resource type")]
    NoBase,
    /// Its base is not a resource type here.
    #[error("the resource type is not defined")]
    UnknownBase,
    /// Its type is not one of `SearchParameter.type`.
    #[error("{0} is not a type of search parameter")]
    UnknownType(String),
    /// It has no expression, so there is nothing to index.
    #[error("has no expression")]
    NoExpression,
    /// None of its expression is about the base.
    #[error("no part of its expression is about the resource type")]
    OtherTypesOnly,
    /// The code is there with another type; the first stays.
    #[error("of type {later}, but the code is there with type {first}, from {first_url}")]
    OtherType {
        /// Type of the one that stays.
        first: &'static str,
        /// Type of the one left out.
        later: &'static str,
        /// URL of the one that stays.
        first_url: String,
    },
    /// The code is there with another expression; the first stays.
    #[error("selects {later}, but the code is there and selects {first}, from {first_url}")]
    OtherExpression {
        /// Expression of the one that stays.
        first: String,
        /// Expression of the one left out.
        later: String,
        /// URL of the one that stays.
        first_url: String,
    },
    /// An expression does not compile.
    #[error("{text} does not compile: {error}")]
    DoesNotCompile {
        /// The expression.
        text: String,
        /// The compiler's word.
        error: CompileError,
    },
    /// A component names a parameter that no package defines.
    #[error("its component {0} is not defined")]
    UnknownComponent(String),
}

impl SearchParameterType {
    /// The type of a code (`token`).
    pub fn from_code(code: &str) -> Option<SearchParameterType> {
        Some(match code {
            "number" => SearchParameterType::Number,
            "date" => SearchParameterType::Date,
            "string" => SearchParameterType::String,
            "token" => SearchParameterType::Token,
            "reference" => SearchParameterType::Reference,
            "composite" => SearchParameterType::Composite,
            "quantity" => SearchParameterType::Quantity,
            "uri" => SearchParameterType::Uri,
            "special" => SearchParameterType::Special,
            _ => return None,
        })
    }

    /// The code as FHIR writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            SearchParameterType::Number => "number",
            SearchParameterType::Date => "date",
            SearchParameterType::String => "string",
            SearchParameterType::Token => "token",
            SearchParameterType::Reference => "reference",
            SearchParameterType::Composite => "composite",
            SearchParameterType::Quantity => "quantity",
            SearchParameterType::Uri => "uri",
            SearchParameterType::Special => "special",
        }
    }
}

impl SearchParameter {
    /// Whether resources have values of it that an index can hold: it has an expression, and its type says how
    /// those values compare. What remains is refused by name, or handled by it (`_text`).
    pub fn is_indexed(&self) -> bool {
        self.expression.is_some() && self.kind != SearchParameterType::Special
    }

    /// Whether `_sort` may name it: values of its type have an order.
    pub fn is_sortable(&self) -> bool {
        self.is_indexed() && self.kind != SearchParameterType::Composite
    }
}

impl SearchParameters {
    /// The parameter of a code for a resource type, those of `Resource` and `DomainResource` included.
    pub fn get(&self, resource_type: &str, code: &str) -> Option<&SearchParameter> {
        let indices = self.by_type.get(resource_type)?;
        let by_code =
            |&index: &u16| self.by_index(index).map_or("", |parameter| parameter.code.as_str()).cmp(code);
        let position = indices.binary_search_by(by_code).ok()?;
        self.by_index(*indices.get(position)?)
    }

    /// All, by index.
    pub fn all(&self) -> &[SearchParameter] {
        &self.all
    }

    /// The parameter of an index.
    pub fn by_index(&self, index: u16) -> Option<&SearchParameter> {
        self.all.get(usize::from(index))
    }

    /// Those that apply to a resource type, those of `Resource` and `DomainResource` included, by code.
    pub fn of(&self, resource_type: &str) -> impl Iterator<Item = &SearchParameter> {
        let indices = self.by_type.get(resource_type).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|&index| self.by_index(index))
    }

    /// Those that a canonical URL names: one for each resource type it applies to.
    pub fn by_url(&self, url: &str) -> impl Iterator<Item = &SearchParameter> {
        let indices = self.by_url.get(url).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|&index| self.by_index(index))
    }

    /// What does less than its package says.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Definitions;

    fn embedded() -> SearchParameters {
        Definitions::embedded().unwrap().search_parameters
    }

    #[test]
    fn indices_are_dense() {
        let parameters = embedded();
        assert!(parameters.all().iter().enumerate().all(|(at, it)| usize::from(it.index) == at));
        assert!(
            parameters
                .all()
                .iter()
                .all(|it| parameters.by_index(it.index).is_some_and(|same| same.code == it.code))
        );
        assert!(parameters.by_index(u16::MAX).is_none());
    }

    #[test]
    fn a_code_is_found_for_its_types() {
        let parameters = embedded();
        let check = |resource_type: &str, code: &str, expected: Option<(&str, SearchParameterType, &str)>| {
            let found = parameters.get(resource_type, code);
            let found = found.map(|it| (it.base.as_str(), it.kind, it.expression_text.as_str()));
            assert_eq!(found, expected, "{resource_type}?{code}");
        };
        use SearchParameterType::{Date, Reference, Special, String, Token};
        check("Patient", "birthdate", Some(("Patient", Date, "Patient.birthDate")));
        check("Person", "birthdate", Some(("Person", Date, "Person.birthDate")));
        check("Observation", "birthdate", None);
        check(
            "Observation",
            "patient",
            Some(("Observation", Reference, "Observation.subject.where(resolve() is Patient)")),
        );
        check("Observation", "_id", Some(("Resource", Token, "Resource.id")));
        check("Encounter", "_id", Some(("Resource", Token, "Resource.id")));
        check("Resource", "_id", Some(("Resource", Token, "Resource.id")));
        check("Patient", "_text", Some(("DomainResource", String, "")));
        check("DomainResource", "_text", Some(("DomainResource", String, "")));
        check("Bundle", "_text", None);
        check("Bundle", "_filter", Some(("Resource", Special, "")));
        check("Patient", "", None);
        check("Nothing", "_id", None);
        check("Goal", "description", Some(("Goal", Token, "Goal.description")));
    }

    #[test]
    fn those_of_a_type_come_by_code_and_each_once() {
        let parameters = embedded();
        let codes: Vec<&str> = parameters.of("Goal").map(|it| it.code.as_str()).collect();
        assert_eq!(
            codes,
            [
                "_content",
                "_filter",
                "_id",
                "_lastUpdated",
                "_profile",
                "_query",
                "_security",
                "_source",
                "_tag",
                "_text",
                "achievement-status",
                "category",
                "description",
                "identifier",
                "lifecycle-status",
                "patient",
                "start-date",
                "subject",
                "target-date",
            ]
        );
        assert_eq!(parameters.of("Nothing").count(), 0);
    }

    #[test]
    fn urls_of_both_packages_name_one_parameter() {
        let parameters = embedded();
        let r4 = "http://hl7.org/fhir/SearchParameter/clinical-date";
        let us_core = "http://hl7.org/fhir/us/core/SearchParameter/us-core-procedure-date";
        let procedure = parameters.get("Procedure", "date").unwrap();
        assert_eq!(procedure.urls, [r4, us_core]);
        let bases: Vec<&str> = parameters.by_url(us_core).map(|it| it.base.as_str()).collect();
        assert_eq!(bases, ["Procedure"]);
        assert_eq!(parameters.by_url(r4).count(), 17);
        assert_eq!(parameters.by_url("http://nowhere").count(), 0);
    }

    #[test]
    fn codes_of_types_of_parameters() {
        for code in
            ["number", "date", "string", "token", "reference", "composite", "quantity", "uri", "special"]
        {
            assert_eq!(SearchParameterType::from_code(code).map(SearchParameterType::as_str), Some(code));
        }
        assert_eq!(SearchParameterType::from_code("Token"), None);
    }
}
