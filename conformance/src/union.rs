//! The union of a SearchParameter's expression, taken apart as text: which branches are about a resource type, and
//! whether two expressions say the same. It never compiles anything.

/// The branches of the outermost union, trimmed.
pub(crate) fn branches(expression: &str) -> Vec<&str> {
    let mut branches = Vec::new();
    let mut start = 0;
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in expression.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(character),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '|') if depth == 0 => {
                branches.push(expression.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    branches.push(expression.get(start..).unwrap_or_default().trim());
    branches
}

/// An expression's outermost union, split once and asked for each of its resource types.
pub(crate) struct Union<'e> {
    branches: Vec<Branch<'e>>,
}

struct Branch<'e> {
    text: &'e str,
    /// The resource type it starts from; `None` when it may concern any.
    root: Option<&'e str>,
}

impl<'e> Union<'e> {
    /// Splits. `is_type` says whether a name is a resource type.
    pub(crate) fn new(expression: &'e str, is_type: impl Fn(&str) -> bool) -> Union<'e> {
        let branch = |text: &'e str| {
            let root = root(text);
            let any = matches!(root, "Resource" | "DomainResource") || !is_type(root);
            // A group may hold a union of its own; the compiler sorts that out.
            let is_grouped_union = text.starts_with('(') && text.contains('|');
            Branch { text, root: (!any && !is_grouped_union).then_some(root) }
        };
        Union { branches: branches(expression).into_iter().map(branch).collect() }
    }

    /// The part of the expression that may concern `base`: without the branches that start from another type. Empty
    /// when nothing is left.
    pub(crate) fn concerning(&self, base: &str) -> String {
        let mut text = String::new();
        for branch in self.branches.iter().filter(|branch| branch.root.is_none_or(|root| root == base)) {
            if !text.is_empty() {
                text.push_str(" | ");
            }
            text.push_str(branch.text);
        }
        text
    }
}

/// The first name in a branch, parentheses passed over: `Observation` of `(Observation.value as Quantity)`.
fn root(branch: &str) -> &str {
    let inner = branch.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
    inner.get(..end).unwrap_or_default()
}

/// Whether two expressions say the same for `base`, apart from white space, the order of branches, and whether they
/// name the type they start from.
pub(crate) fn same(one: &str, other: &str, base: &str) -> bool {
    normal(one, base) == normal(other, base)
}

fn normal(expression: &str, base: &str) -> Vec<String> {
    let own = |branch: &str| {
        let compact: String = branch.split_whitespace().collect();
        let rest = [base, "Resource", "DomainResource"].iter().find_map(|name| compact.strip_prefix(name));
        rest.and_then(|rest| rest.strip_prefix('.')).map_or_else(|| compact.clone(), str::to_owned)
    };
    let mut branches: Vec<String> = branches(expression).into_iter().map(own).collect();
    branches.sort_unstable();
    branches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_union_is_split_outside_of_groups_and_quotes() {
        let check = |expression: &str, expected: &[&str]| assert_eq!(branches(expression), expected);
        check("Patient.name", &["Patient.name"]);
        check(" A.x|B.y | C.z ", &["A.x", "B.y", "C.z"]);
        check("(A.x | B.y).where(a | b) | C[d | e]", &["(A.x | B.y).where(a | b)", "C[d | e]"]);
        check(r"A.where(url = 'a|\'b').c | B.`d|e`", &[r"A.where(url = 'a|\'b').c", "B.`d|e`"]);
        check("A.where(url='a)|b') | B", &["A.where(url='a)|b')", "B"]);
        check("", &[""]);
    }

    #[test]
    fn only_what_concerns_a_type_is_kept() {
        let is_type = |name: &str| matches!(name, "Patient" | "Person" | "Observation" | "Condition");
        let check = |expression: &str, base: &str, expected: &str| {
            assert_eq!(Union::new(expression, is_type).concerning(base), expected);
        };
        check("Patient.name | Person.name", "Person", "Person.name");
        check("Patient.name | Person.name", "Observation", "");
        check(
            "(Observation.value as Quantity)|Condition.code",
            "Observation",
            "(Observation.value as Quantity)",
        );
        check("Resource.id | name", "Patient", "Resource.id | name");
        check("(Patient | Person).name", "Person", "(Patient | Person).name");
        check("PatientX.name | Patient.name", "Patient", "PatientX.name | Patient.name");
    }

    #[test]
    fn sameness_is_about_meaning() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(same(one, other, "Patient"), expected, "{one}")
        };
        check("Patient.a|Patient.b", "Patient.b | Patient.a", true);
        check("Patient.id", "Resource.id", true);
        check("Patient.id", "id", true);
        check("Patient.deceased as dateTime", "Patient . deceased  as dateTime", true);
        check("Patient.a", "Patient.a.b", false);
        check("Patient.a", "Person.a", false);
    }
}
