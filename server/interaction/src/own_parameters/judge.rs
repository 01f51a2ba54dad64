//! Whether a SearchParameter can be used beside those that there are, and what the store is to index by it. Reads nothing.

use ::search::SearchIndex;
use conformance::table::SearchParameterDefinition;
use conformance::{Notice, NoticeKind, SearchParameterType};
use fhirpath::{Issue, IssueType, Tree};

use super::{StoredParameter, unreadable};
use crate::Failure;

/// Longest code.
const MAX_CODE: usize = 64;

/// A SearchParameter to be judged.
pub(super) struct Candidate(SearchParameterDefinition);

impl Candidate {
    /// Reads a resource.
    ///
    /// # Errors
    /// One without URL, code or type, which the schema and the invariants ask for.
    pub(super) fn of(tree: &Tree) -> Result<Candidate, Failure> {
        let mut text = Vec::new();
        tree.write_json(&mut text);
        let mut definition: SearchParameterDefinition =
            serde_json::from_slice(&text).map_err(|error| unreadable(&error))?;
        definition.target.sort_unstable();
        // What it says of how it may be used is no part of what it selects.
        Ok(Candidate(SearchParameterDefinition {
            multiple_or: None,
            multiple_and: None,
            modifier: Vec::new(),
            comparator: Vec::new(),
            chain: Vec::new(),
            ..definition
        }))
    }

    pub(super) fn url(&self) -> &str {
        &self.0.url
    }

    /// What the store is to index, a name and a definition for each type; nothing for a parameter that there is under
    /// another name. `others` are those that are active besides.
    ///
    /// # Errors
    /// What is wrong, all of it.
    pub(super) fn judge(
        &self,
        index: &SearchIndex,
        others: &[StoredParameter],
    ) -> Result<Vec<(String, String)>, Vec<Issue>> {
        let mut issues = self.malformed();
        if !issues.is_empty() {
            return Err(issues);
        }
        let parts = self.parts();
        let known = index.definitions();
        let before = known.search_parameters.all().len();
        let extended = known
            .with_search_parameters(&parts)
            .map_err(|error| vec![Issue::error(IssueType::TooCostly, format!("{error}."))])?;
        issues.extend(extended.search_parameters.notices().iter().map(noticed));
        let added = extended.search_parameters.all().get(before..).unwrap_or_default();
        for parameter in added.iter().filter(|parameter| parameter.expression.is_some()) {
            if !SearchIndex::gives_values(parameter) {
                let types = parameter.expression.as_ref().map(fhirpath::Expression::result_types);
                let details = format!(
                    "The expression selects {}, of which the type {} has no values.",
                    types.unwrap_or_default().join(", "),
                    parameter.kind.as_str()
                );
                issues.push(Issue::error(IssueType::Value, details).at("SearchParameter.type"));
            }
            if let Some(target) = parameter.targets.iter().find(|name| !known.schema.is_resource(name)) {
                let details = format!("{target} is no resource type of FHIR R4.");
                issues.push(Issue::error(IssueType::CodeInvalid, details).at("SearchParameter.target"));
            }
        }
        let name = |base: &str| format!("{base}.{}", self.0.code);
        issues.extend(parts.iter().filter_map(|part| clash(part.base.first()?, &self.0.code, others)));
        if !issues.is_empty() {
            return Err(issues);
        }
        let parts = parts.iter().filter_map(|part| {
            let base = part.base.first()?;
            let is_added = added.iter().any(|parameter| parameter.base == *base);
            is_added.then(|| serde_json::to_string(part).map(|text| (name(base), text)))
        });
        parts
            .collect::<Result<_, _>>()
            .map_err(|error| vec![Issue::error(IssueType::Exception, error.to_string())])
    }

    /// It, for each of its types alone.
    fn parts(&self) -> Vec<SearchParameterDefinition> {
        let part = |base: &String| SearchParameterDefinition { base: vec![base.clone()], ..self.0.clone() };
        self.0.base.iter().map(part).collect()
    }

    fn malformed(&self) -> Vec<Issue> {
        let SearchParameterDefinition { code, base, kind, expression, component, .. } = &self.0;
        let mut issues = Vec::new();
        let mut refuse = |is_wrong: bool, place: &str, details: String| {
            if is_wrong {
                issues.push(Issue::error(IssueType::Value, details).at(format!("SearchParameter.{place}")));
            }
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_code = code.len() <= MAX_CODE
            && code.bytes().all(is_plain)
            && code.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let of = "has a letter first, then letters, digits, '-' and '_'";
        refuse(
            !is_code,
            "code",
            format!("A code of a search parameter {of}, {MAX_CODE} characters at most."),
        );
        refuse(base.is_empty(), "base", "It names no type to search.".to_owned());
        let is_special = SearchParameterType::from_code(kind) == Some(SearchParameterType::Special);
        refuse(
            is_special,
            "type",
            "What a parameter of the type special means is not known here.".to_owned(),
        );
        let without = "It has no expression, so there is nothing to index.".to_owned();
        refuse(expression.as_deref().is_none_or(str::is_empty), "expression", without);
        let is_composite = SearchParameterType::from_code(kind) == Some(SearchParameterType::Composite);
        let pair = "A composite has components, two or more; other parameters have none.".to_owned();
        refuse(if is_composite { component.len() < 2 } else { !component.is_empty() }, "component", pair);
        issues
    }
}

/// That another stored parameter has the code, on the type or on one that this is of.
fn clash(base: &str, code: &str, others: &[StoredParameter]) -> Option<Issue> {
    const EVERY: [&str; 2] = ["Resource", "DomainResource"];
    let is_taken = |name: &String| {
        let (other_base, other_code) = name.split_once('.').unwrap_or((name, ""));
        other_code == code && (other_base == base || EVERY.contains(&other_base) || EVERY.contains(&base))
    };
    let other = others.iter().find(|other| other.names.iter().any(is_taken))?;
    let details = format!("{base}.{code} is the code of {} already.", other.key.as_str());
    Some(Issue::error(IssueType::Conflict, details).at("SearchParameter.code"))
}

/// What the definitions say of it.
fn noticed(notice: &Notice) -> Issue {
    let (code, place) = match &notice.kind {
        NoticeKind::NoBase | NoticeKind::UnknownBase => (IssueType::CodeInvalid, "base"),
        NoticeKind::UnknownType(_) => (IssueType::CodeInvalid, "type"),
        NoticeKind::NoExpression | NoticeKind::OtherTypesOnly | NoticeKind::DoesNotCompile { .. } => {
            (IssueType::Value, "expression")
        }
        NoticeKind::OtherType { .. } | NoticeKind::OtherExpression { .. } => (IssueType::Conflict, "code"),
        NoticeKind::UnknownComponent(_) => (IssueType::NotFound, "component"),
    };
    let details = format!("{}.{}: {}.", notice.base, notice.code, notice.kind);
    Issue::error(code, details).at(format!("SearchParameter.{place}"))
}
