//! The searches that a guide asks of a server, and what is known of their parameters: from its CapabilityStatement and its
//! SearchParameters (<https://hl7.org/fhir/R4/searchparameter.html>).

use serde_json::Value;

use super::must_support::{Definition, Discriminator, MustSupport, capitalised, id, path, types};
use crate::http::text;
use crate::navigation::list;

/// A search that a server shall or should do: by these parameters together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    pub names: Vec<String>,
    /// Whether it shall.
    pub required: bool,
}

/// A search parameter of a resource type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameter {
    pub name: String,
    /// Where its values are.
    pub paths: Vec<String>,
    /// The same with the resource type.
    full: Vec<String>,
    /// The type of the element, or what the parameter is said to be where the profile has no such element.
    pub kind: String,
    /// The comparators that a server shall have: `gt`, `le`.
    pub comparators: Vec<String>,
    /// Whether a server shall take several values with a comma.
    pub multiple_or: bool,
    /// The values that the profile names.
    pub values: Vec<String>,
}

/// The searches of a resource of the CapabilityStatement: each parameter alone, then their combinations.
pub(super) fn searches(capability: &Value) -> Vec<Search> {
    const COMBINATION: &str =
        "http://hl7.org/fhir/StructureDefinition/capabilitystatement-search-parameter-combination";
    let alone = list(capability.get("searchParam")).into_iter().filter_map(|one| {
        let required = required(expectation(one)?)?;
        Some(Search { names: vec![text(one, "name")?.to_owned()], required })
    });
    let extensions = list(capability.get("extension")).into_iter();
    let together = extensions.filter(|one| text(one, "url") == Some(COMBINATION)).filter_map(|one| {
        let required = required(expectation(one)?)?;
        let parts = list(one.get("extension")).into_iter();
        let names = parts.filter_map(|part| text(part, "valueString")).map(str::to_owned).collect();
        Some(Search { names, required })
    });
    alone.chain(together).collect()
}

/// What a server is expected to do about a part of a CapabilityStatement.
fn expectation(part: &Value) -> Option<&str> {
    const EXPECTATION: &str = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-expectation";
    let extensions = list(part.get("extension"));
    let found = extensions.into_iter().find(|one| text(one, "url") == Some(EXPECTATION))?;
    text(found, "valueCode")
}

fn required(expectation: &str) -> Option<bool> {
    match expectation {
        "SHALL" => Some(true),
        "SHOULD" => Some(false),
        _ => None,
    }
}

impl Definition<'_> {
    /// A parameter of this type, by its SearchParameter.
    pub fn parameter(&self, name: &str, json: &Value, must: &MustSupport) -> Parameter {
        let full = paths(text(json, "expression").unwrap_or_default(), self.kind);
        let prefix = format!("{}.", self.kind);
        let element = self.elements.iter().copied().find(|one| full.iter().any(|path| path == id(one)));
        let kind = element.and_then(|one| types(one).first().copied()).and_then(|one| text(one, "code"));
        let comparators = list(json.get("comparator")).into_iter().filter_map(Value::as_str);
        let expected = json.get("_comparator").and_then(Value::as_array);
        let shall = |at: usize| {
            expected.and_then(|all| all.get(at)).and_then(expectation).is_some_and(|said| said == "SHALL")
        };
        let mut parameter = Parameter {
            name: name.to_owned(),
            paths: full.iter().map(|path| path.strip_prefix(&prefix).unwrap_or(path).to_owned()).collect(),
            kind: kind.or_else(|| text(json, "type")).unwrap_or_default().to_owned(),
            comparators: comparators
                .enumerate()
                .filter(|(at, _)| shall(*at))
                .map(|(_, name)| name.to_owned())
                .collect(),
            multiple_or: json.get("_multipleOr").and_then(expectation) == Some("SHALL"),
            values: Vec::new(),
            full,
        };
        parameter.values = self.values_of(element, &parameter, must);
        parameter
    }

    /// The values that the profile names for a parameter: by slices, by fixed codes, by value sets.
    fn values_of(&self, element: Option<&Value>, parameter: &Parameter, must: &MustSupport) -> Vec<String> {
        let Some(element) = element else { return Vec::new() };
        let short = path(element).split_once('.').map_or("", |(_, short)| short);
        let mandatory = self.slice_values(element, short, must, true);
        let sliced =
            if mandatory.is_empty() { self.slice_values(element, short, must, false) } else { mandatory };
        if !sliced.is_empty() {
            return sliced;
        }
        let coded = format!("{short}.coding.code");
        let fixed: Vec<String> = must
            .elements
            .iter()
            .filter(|one| one.path == coded)
            .filter_map(|one| one.fixed.clone())
            .collect();
        if !fixed.is_empty() {
            return fixed;
        }
        let coded = format!("{}.coding.code", path(element));
        let at = self.elements.iter().filter(|one| path(one) == coded);
        let fixed: Vec<String> = at.filter_map(|one| text(one, "fixedCode")).map(str::to_owned).collect();
        if !fixed.is_empty() {
            return fixed;
        }
        let own = codes(&self.codes.of_own_binding(element));
        let is_status = parameter.paths.iter().any(|path| path.to_ascii_lowercase().contains("status"));
        if own.is_empty() && (parameter.multiple_or || is_status) {
            return codes(&self.codes.of_binding(element));
        }
        own
    }

    fn slice_values(&self, element: &Value, short: &str, must: &MustSupport, mandatory: bool) -> Vec<String> {
        let least = |one: &Value| one.get("min").and_then(Value::as_u64).unwrap_or_default();
        let is_optional = |slice: &str| {
            self.elements.iter().any(|one| id(one) == slice && least(one) == 0) && least(element) > 0
        };
        let coding = format!("{short}.coding");
        let of = must.slices.iter().filter(|slice| slice.path == short || slice.path == coding);
        let counts = of.filter(|slice| !(mandatory && is_optional(&slice.id)));
        let found = counts.flat_map(|slice| match &slice.discriminator {
            Discriminator::Coding { code, .. } | Discriminator::Concept { code, .. } => vec![code.clone()],
            Discriminator::Binding { codes: all, .. } => codes(all),
            Discriminator::Values(all) => {
                all.iter().filter(|(path, _)| path == "coding.code").map(|(_, code)| code.clone()).collect()
            }
            Discriminator::Type { .. } | Discriminator::Identifier { .. } => Vec::new(),
        });
        found.collect()
    }

    /// Whether the guide demands the elements that a search is by: only then is the search a test that has to pass.
    pub fn is_demanded(&self, search: &Search, parameters: &[Parameter], must: &MustSupport) -> bool {
        search.names.iter().all(|name| {
            let Some(parameter) = parameters.iter().find(|one| one.name == *name) else { return false };
            let prefixed = |path: &str| format!("{}.{path}", self.kind);
            let supported = must.elements.iter().any(|element| {
                let known = [Some(prefixed(&element.path)), element.original.as_deref().map(prefixed)];
                parameter
                    .full
                    .iter()
                    .any(|path| known.iter().flatten().any(|one| one == path || *one == format!("{path}[x]")))
            });
            let sliced = must.slices.iter().any(|slice| match &slice.discriminator {
                Discriminator::Type { name, .. } => {
                    let base = slice.path.replacen("[x]", "", 1);
                    let typed = slice.path.replacen("[x]", name, 1);
                    parameter.full.iter().any(|path| *path == prefixed(&base) || *path == prefixed(&typed))
                }
                _ => false,
            });
            let mandatory = self.elements.iter().any(|element| {
                element.get("min").and_then(Value::as_u64).unwrap_or_default() > 0
                    && parameter.full.iter().any(|full| full == path(element))
            });
            name == "_id" || supported || sliced || mandatory
        })
    }
}

fn codes(pairs: &[(String, String)]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, code) in pairs {
        if !found.contains(code) {
            found.push(code.clone());
        }
    }
    found
}

/// The paths of an expression: each side of `|`, a cast as the name that JSON has for it.
fn paths(expression: &str, kind: &str) -> Vec<String> {
    let sides = split(expression);
    let found = sides.into_iter().map(|side| {
        let mut side = side.trim();
        while let Some(inner) = side.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            side = inner.trim();
        }
        let side = side.split(".where(resolve()").next().unwrap_or_default();
        let side = side.replace("url = '", "url='");
        let side = cast(&side);
        match side.strip_prefix("Resource.") {
            Some(rest) => format!("{kind}.{rest}"),
            None => side,
        }
    });
    found.filter(|path| path.starts_with(&format!("{kind}."))).collect()
}

/// `Condition.onset as dateTime` and `Condition.onset.as(dateTime)` are `Condition.onsetDateTime`.
fn cast(path: &str) -> String {
    for (open, close) in [(".as(", ")"), (".ofType(", ")"), (" as ", "")] {
        let Some((before, after)) = path.split_once(open) else { continue };
        let (name, rest) = match close {
            "" => (after.trim_end_matches(')'), ""),
            close => after.split_once(close).unwrap_or((after, "")),
        };
        return format!("{}{}{rest}", before.trim_start_matches('('), capitalised(name.trim()));
    }
    path.to_owned()
}

/// The sides of `|` outside parentheses and quotes.
fn split(expression: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0_u32, 0, Vec::new());
    let whole = expression.trim();
    let whole = match whole.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) if !inner.contains(['(', ')']) => inner,
        _ => whole,
    };
    for (at, letter) in whole.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                out.push(whole.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(whole.get(start..).unwrap_or_default());
    out
}
