use proptest::prelude::*;

use super::*;

fn set(text: &str) -> ScopeSet {
    let (set, unread) = ScopeSet::read(text).unwrap();
    assert!(unread.is_empty(), "{unread:?}");
    set
}

#[test]
fn every_subset_of_the_letters_is_read_in_order_only() {
    for bits in 0u8..32 {
        let letters: String = ['c', 'r', 'u', 'd', 's']
            .iter()
            .enumerate()
            .filter(|(i, _)| bits & (1 << i) != 0)
            .map(|(_, l)| l)
            .collect();
        let read: Result<Scope, _> = format!("patient/Observation.{letters}").parse();
        if bits == 0 {
            assert_eq!(read, Err(ScopeError::Permissions));
        } else {
            assert_eq!(read.unwrap().resources().unwrap().permissions.to_string(), letters);
        }
        let reversed: String = letters.chars().rev().collect();
        if letters.len() > 1 {
            let read: Result<Scope, _> = format!("patient/Observation.{reversed}").parse();
            assert_eq!(read, Err(ScopeError::Permissions), "{reversed}");
        }
    }
}

#[test]
fn versions_1_and_2_mean_the_same() {
    for (v1, v2) in [("read", "rs"), ("write", "cud"), ("*", "cruds")] {
        for level in ["patient", "user", "system"] {
            for name in ["*", "Observation"] {
                let (v1, v2) = (format!("{level}/{name}.{v1}"), format!("{level}/{name}.{v2}"));
                let (one, two): (Scope, Scope) = (v1.parse().unwrap(), v2.parse().unwrap());
                assert_eq!(one.meaning(), two.meaning());
                assert_eq!((one.text(), two.text()), (v1.as_str(), v2.as_str()));
                assert_eq!((one.is_v1(), two.is_v1()), (true, false));
                assert_eq!(set(&format!("{v1} {v2}")).to_string(), v1);
            }
        }
    }
}

#[test]
fn what_is_no_scope_is_refused_with_the_reason() {
    use ScopeError::{Filter, Permissions, ResourceType, Unknown};
    for (text, error) in [
        ("", Unknown),
        ("Launch", Unknown),
        ("launch/", Unknown),
        ("launch/patient.r", Unknown),
        ("offline-access", Unknown),
        ("admin/*.cruds", Unknown),
        ("patient", Unknown),
        ("patient/Obs\"ervation.r", Unknown),
        ("patient/Observation.r\\", Unknown),
        ("patient/Observatión.r", Unknown),
        ("patient/", Permissions),
        ("patient/Observation", Permissions),
        ("patient/Observation.", Permissions),
        ("patient/Observation.rr", Permissions),
        ("patient/Observation.sr", Permissions),
        ("patient/Observation.Read", Permissions),
        ("patient/Observation.r.s", Permissions),
        ("patient/Observation.reads", Permissions),
        ("patient/observation.r", ResourceType),
        ("patient/.r", ResourceType),
        ("patient/**.r", ResourceType),
        ("patient/../Observation.r", ResourceType),
        ("patient/Obs/ervation.r", ResourceType),
        ("patient/Observation.r?", Filter),
        ("patient/Observation.r?category", Filter),
        ("patient/Observation.r?category=", Filter),
        ("patient/Observation.r?=x", Filter),
        ("patient/Observation.r?category=x&", Filter),
        ("patient/Observation.r?category=%zz", Filter),
        ("patient/Observation.r?category=%ff", Filter),
        ("patient/Observation.r?category=%0a", Filter),
        ("patient/Observation.r?_include=*", Filter),
        ("patient/Observation.r?_include:iterate=Observation:subject", Filter),
        ("patient/Observation.r?_revinclude=x", Filter),
        ("patient/Observation.r?_elements=id", Filter),
        ("patient/Observation.r?category=a&_count=1", Filter),
    ] {
        assert_eq!(text.parse::<Scope>(), Err(error), "{text}");
    }
}

#[test]
fn unknown_scopes_are_told_and_limits_are_kept() {
    let (known, unread) = ScopeSet::read("openid  nonsense patient/X.q openid").unwrap();
    assert_eq!(known.to_string(), "openid");
    assert_eq!(unread, [("nonsense", ScopeError::Unknown), ("patient/X.q", ScopeError::Permissions)]);
    assert_eq!(ScopeSet::read(&"a".repeat(MAX_SCOPE_LENGTH + 1)), Err(ScopeError::TooLong));
    assert_eq!(ScopeSet::read(&"a ".repeat(MAX_SCOPES + 1)), Err(ScopeError::TooLong));
    assert!(ScopeSet::read(&"a ".repeat(MAX_SCOPES)).is_ok());
}

#[test]
fn a_filter_is_decoded_sorted_and_written_again() {
    let text = "patient/Observation.rs?code=http://loinc.org|8480-6&category=a%26b";
    let scope: Scope = text.parse().unwrap();
    let filter = &scope.resources().unwrap().filter;
    assert_eq!(
        filter[..],
        [("category".into(), "a&b".into()), ("code".into(), "http://loinc.org|8480-6".into())]
    );
    let written = "category=a%26b&code=http://loinc.org|8480-6";
    assert_eq!(scope.resources().unwrap().query().as_deref(), Some(written));
    assert_eq!(scope.text(), text);
}

#[track_caller]
fn check_narrowed(asked: &str, permitted: &str, expected: &str) {
    assert_eq!(set(asked).narrowed(&set(permitted)).to_string(), expected, "{asked} by {permitted}");
}

#[test]
fn narrowing_keeps_what_both_permit_as_it_was_asked_for() {
    check_narrowed("openid launch/patient", "openid", "openid");
    check_narrowed("patient/Observation.read", "patient/*.rs", "patient/Observation.read");
    check_narrowed("patient/Observation.rs", "patient/*.read", "patient/Observation.rs");
    check_narrowed("patient/*.*", "patient/*.read", "patient/*.read");
    check_narrowed("patient/*.cruds", "patient/*.read", "patient/*.rs");
    check_narrowed("patient/*.*", "patient/*.r", "patient/*.r");
    check_narrowed("patient/*.rs", "patient/Goal.r patient/Patient.rs", "patient/Goal.r patient/Patient.rs");
    check_narrowed("patient/Goal.rs", "patient/Goal.r patient/Goal.s", "patient/Goal.r patient/Goal.s");
    check_narrowed("patient/Goal.cud", "patient/*.rs", "");
    check_narrowed("patient/Goal.rs", "user/*.rs system/*.rs", "");
    check_narrowed("user/Goal.rs", "patient/*.rs", "");
    check_narrowed(
        "patient/Observation.rs",
        "patient/Observation.rs?category=a",
        "patient/Observation.rs?category=a",
    );
    check_narrowed("patient/Observation.rs?category=a", "patient/*.rs", "patient/Observation.rs?category=a");
    check_narrowed(
        "patient/*.read",
        "patient/Observation.rs?category=a",
        "patient/Observation.rs?category=a",
    );
    check_narrowed(
        "patient/Observation.rs?category=a",
        "patient/Observation.rs?code=b",
        "patient/Observation.rs?category=a&code=b",
    );
    // Two values of one parameter must both hold: that is how filters of a search add up.
    check_narrowed(
        "patient/Observation.rs?category=a",
        "patient/Observation.rs?category=b",
        "patient/Observation.rs?category=a&category=b",
    );
}

fn scopes() -> impl Strategy<Value = ScopeSet> {
    let letters = prop::sample::select(vec!["c", "r", "rs", "cud", "cruds", "read", "write", "*", "s"]);
    let level = prop::sample::select(vec!["patient", "user"]);
    let name = prop::sample::select(vec!["*", "Observation", "Goal"]);
    let query = prop::sample::select(vec!["", "", "?category=a", "?category=b", "?category=a&code=c"]);
    let one = (level, name, letters, query)
        .prop_map(|(l, n, p, q)| format!("{l}/{n}.{p}{q}").parse::<Scope>().unwrap());
    prop::collection::vec(one, 0..5).prop_map(|scopes| scopes.into_iter().collect())
}

proptest! {
    /// Whatever is left is within both, narrowing twice changes nothing, and what both ask for in one scope is kept.
    #[test]
    fn narrowing_never_adds(asked in scopes(), permitted in scopes()) {
        let narrowed = asked.narrowed(&permitted);
        for scope in narrowed.iter() {
            prop_assert!(asked.covers(scope) && permitted.covers(scope), "{scope:?}");
            prop_assert_eq!(scope.text().parse::<Scope>().unwrap(), scope.clone());
        }
        prop_assert_eq!(narrowed.narrowed(&permitted).to_string(), narrowed.to_string());
        for scope in asked.iter().filter(|scope| permitted.covers(scope)) {
            prop_assert!(narrowed.has(scope.meaning()));
        }
        for one in asked.iter().filter_map(Scope::resources) {
            for two in permitted.iter().filter_map(Scope::resources) {
                if let Some(common) = one.intersection(two) {
                    prop_assert!(narrowed.covers(&common.into()));
                }
            }
        }
    }

    /// No text makes it panic, and what is read is written so that it reads the same.
    #[test]
    fn any_text_is_read_or_refused(text in "[ -~]{0,60}", tail in "[a-z?=&%|:/.*]{0,20}") {
        for text in [text, format!("patient/Observation.rs?{tail}"), format!("user/{tail}")] {
            if let Ok(scope) = text.parse::<Scope>()
                && let Some(resources) = scope.resources()
            {
                let again: Scope = resources.to_string().parse().unwrap();
                prop_assert_eq!(again.meaning(), scope.meaning());
            }
        }
    }
}
