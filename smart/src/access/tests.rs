use super::*;

fn context() -> Context {
    Context { patient: Some("p1".into()), user: Some("Practitioner/u1".into()), system: false }
}

fn compile(scopes: &str, context: &Context) -> Access {
    let (set, unread) = ScopeSet::read(scopes).unwrap();
    assert!(unread.is_empty(), "{unread:?}");
    Access::compile(&set, context)
}

/// What each interaction with a type may reach, in one line: `r: Patient/p1; s: Patient/p1?category=x`.
fn told(access: &Access, resource_type: &str) -> String {
    let mut lines = Vec::new();
    for interaction in Interaction::ALL {
        let Decision::Allowed(allowances) = access.decide(interaction, resource_type) else { continue };
        let ways = allowances.iter().map(|allowance| {
            let whose = match &allowance.compartment {
                Compartment::Patient(id) => format!("Patient/{id}"),
                Compartment::User(user) => user.clone(),
                Compartment::All => "all".into(),
            };
            allowance.filter.as_ref().map_or(whose.clone(), |filter| format!("{whose}?{filter}"))
        });
        lines.push(format!("{interaction:?}: {}", ways.collect::<Vec<_>>().join(" or ")));
    }
    lines.join("; ")
}

#[track_caller]
fn check(scopes: &str, resource_type: &str, expected: &str) {
    assert_eq!(told(&compile(scopes, &context()), resource_type), expected, "{scopes} on {resource_type}");
}

const READ_P1: &str = "Read: Patient/p1; Vread: Patient/p1; HistoryInstance: Patient/p1";

#[test]
fn each_letter_permits_its_interactions_and_no_other() {
    for (letters, expected) in [
        ("c", "Create: Patient/p1".to_owned()),
        ("r", READ_P1.to_owned()),
        ("u", "Update: Patient/p1; Patch: Patient/p1".to_owned()),
        ("d", "Delete: Patient/p1".to_owned()),
        ("s", "Search: Patient/p1; HistoryType: Patient/p1".to_owned()),
        ("read", format!("{READ_P1}; Search: Patient/p1; HistoryType: Patient/p1")),
        ("write", "Create: Patient/p1; Update: Patient/p1; Patch: Patient/p1; Delete: Patient/p1".to_owned()),
    ] {
        check(&format!("patient/Observation.{letters}"), "Observation", &expected);
        check(&format!("patient/Observation.{letters}"), "Condition", "");
        check(&format!("patient/*.{letters}"), "Condition", &expected);
    }
}

#[test]
fn every_interaction_is_permitted_by_all_letters_and_only_by_its_own() {
    let all = compile("system/*.cruds", &Context { system: true, ..Context::default() });
    for interaction in Interaction::ALL {
        assert!(matches!(all.decide(interaction, "Observation"), Decision::Allowed(_)), "{interaction:?}");
        for (letter, text) in LETTERS.iter().zip(["c", "r", "u", "d", "s"]) {
            let one = compile(&format!("user/Observation.{text}"), &context());
            let permitted = one.decide(interaction, "Observation") != Decision::Denied;
            assert_eq!(permitted, interaction.permission() == *letter, "{interaction:?} by {text}");
        }
    }
}

#[test]
fn filters_add_up_and_a_whole_type_makes_them_vanish() {
    let lab = "patient/Observation.s?category=c|lab";
    let vital = "patient/Observation.s?category=c|vital";
    let both = "Search: Patient/p1?category=c|lab or Patient/p1?category=c|vital; \
                HistoryType: Patient/p1?category=c|lab or Patient/p1?category=c|vital";
    check(&format!("{lab} {vital}"), "Observation", both);
    let whole = "Search: Patient/p1; HistoryType: Patient/p1";
    check(&format!("{lab} patient/Observation.s {vital}"), "Observation", whole);
    check(&format!("{lab} patient/*.s"), "Observation", whole);
    // A filter on one letter says nothing of another.
    check(
        &format!("{lab} patient/Observation.r"),
        "Observation",
        &format!("{READ_P1}; Search: Patient/p1?category=c|lab; HistoryType: Patient/p1?category=c|lab"),
    );
    check("patient/*.d?_tag=a", "Goal", "Delete: Patient/p1?_tag=a");
}

#[test]
fn levels_do_not_stand_in_for_each_other() {
    check("patient/Goal.d user/Goal.d", "Goal", "Delete: Patient/p1 or Practitioner/u1");
    check("system/Goal.cruds", "Goal", "");
    let nobody = Context::default();
    assert_eq!(compile("patient/*.cruds user/*.cruds system/*.cruds", &nobody), compile("", &nobody));
    let system = Context { system: true, ..Context::default() };
    assert_eq!(told(&compile("system/Goal.d patient/Goal.d user/Goal.d", &system), "Goal"), "Delete: all");
}

#[test]
fn a_patients_scope_reads_what_is_about_nobody_and_changes_none_of_it() {
    let read = "Read: all; Vread: all; HistoryInstance: all; Search: all; HistoryType: all";
    for name in shared::TYPES {
        check(&format!("patient/{name}.cruds"), name, read);
        check("patient/*.cruds", name, read);
        check("patient/Observation.cruds", name, "");
    }
    check(
        "patient/Device.s",
        "Device",
        "Search: all?patient=Patient/p1; HistoryType: all?patient=Patient/p1",
    );
    check("patient/Device.d?type=x", "Device", "Delete: all?patient=Patient/p1&type=x");
    check("patient/*.d", "Device", "Delete: all?patient=Patient/p1");
    // What a user may change is for the server's policy to say.
    check("user/Organization.d", "Organization", "Delete: Practitioner/u1");
}

#[test]
fn scopes_that_are_about_no_resources_permit_none() {
    let scopes = "launch launch/patient launch/encounter openid profile offline_access online_access";
    for interaction in Interaction::ALL {
        for resource_type in ["Patient", "Practitioner", "Observation", "Encounter", ""] {
            assert_eq!(compile(scopes, &context()).decide(interaction, resource_type), Decision::Denied);
        }
    }
}

#[test]
fn a_user_who_is_known_can_be_read_and_no_other_of_the_type() {
    let own = "Read: all?_id=u1; Vread: all?_id=u1; HistoryInstance: all?_id=u1";
    check("fhirUser", "Practitioner", own);
    check("fhirUser", "Patient", "");
    check("fhirUser user/*.d", "Practitioner", &format!("{own}; Delete: Practitioner/u1"));
    check("fhirUser user/*.d", "Goal", "Delete: Practitioner/u1");
    check("fhirUser patient/*.r", "Practitioner", "Read: all; Vread: all; HistoryInstance: all");
    let nobody = Context { patient: Some("p1".into()), ..Context::default() };
    assert_eq!(told(&compile("fhirUser", &nobody), "Practitioner"), "");
}
