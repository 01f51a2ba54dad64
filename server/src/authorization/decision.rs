//! What a token permits (`smart::Access`: compartments and query strings, by type and letter) compiled to what the store asks
//! of every resource ([`store::Access`]: filters), and what access policies leave of it. Decides nothing about scopes, and looks
//! nothing up.
//!
//! | whose | which resources |
//! |---|---|
//! | a patient's (`patient/` scopes) | those of the patient compartment of R4, and what `smart` adds of other types |
//! | a user's who is a Patient | the same of that patient |
//! | a user's who is a RelatedPerson | the same of the patients that this RelatedPerson, if active, is related to at the moment |
//! | a user's who is a Practitioner, PractitionerRole, Person or Organization | all |
//! | another user's | none |
//!
//! A policy of the app or of the user takes away from that: what no rule of it names is not permitted either. So does what patients
//! withhold.

use std::collections::HashMap;

use fhirpath::{Issue, IssueType};
use interaction::{Failure, Service, Status};
use smart::{
    Allowance, Compartment, Decision, Interaction, PATIENTLESS, Policies, Policy, PolicyRule, Verified,
};
use store::{Access, Filter, ParameterId, Predicate, Rules};

use super::consent::{Part, Withheld};

/// What only rules that say so are about: the labels of
/// <http://terminology.hl7.org/CodeSystem/v3-Confidentiality> for restricted and very restricted.
pub const RESTRICTED: &str = "_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R,\
                          http://terminology.hl7.org/CodeSystem/v3-Confidentiality|V";
/// Users who see all records.
const WORKING_HERE: [&str; 4] = ["Practitioner", "PractitionerRole", "Person", "Organization"];

/// The decision of the store for what a token permits: what its scopes and the policies of app and user all permit, less what
/// patients withhold; to be kept as long as the token counts. A type that does not know a parameter of a scope's query is not
/// permitted by that scope.
///
/// # Errors
/// Forbidden for a token that permits nothing because no type understands a scope's query, and what is wrong with it.
pub fn compile(service: &Service, granted: &Verified, withheld: &[Withheld]) -> Result<Access, Failure> {
    anew(service, &granted.access, &granted.policies, user_of(granted), withheld)
}

/// [`compile`] of what is left of a token: what its scopes permit, the policies, and the user's resource.
///
/// # Errors
/// As [`compile`].
pub fn anew(
    service: &Service,
    access: &smart::Access,
    policies: &Policies,
    user: Option<&str>,
    withheld: &[Withheld],
) -> Result<Access, Failure> {
    let policies: Vec<&Policy> = policies.client.iter().chain(&policies.user).collect();
    held(service, access, &policies, user, withheld)
}

/// The same in an emergency, when the user's policy and what patients withhold are put aside; `None` where they may not be.
/// Scopes and the app's policy hold.
///
/// # Errors
/// As [`compile`].
pub fn emergency(service: &Service, granted: &Verified) -> Result<Option<Access>, Failure> {
    let Policies { client, user } = &granted.policies;
    match user {
        Some(policy) if policy.break_glass => {
            let client: Vec<&Policy> = client.iter().collect();
            held(service, &granted.access, &client, user_of(granted), &[]).map(Some)
        }
        _ => Ok(None),
    }
}

fn user_of(granted: &Verified) -> Option<&str> {
    granted.user.as_ref().map(|user| user.fhir_user.as_str())
}

/// What a policy and the patients leave to a user of everything.
pub fn of_user(service: &Service, policy: Option<&Policy>, user: &str, withheld: &[Withheld]) -> Access {
    if policy.is_none() && withheld.is_empty() {
        return Access::unrestricted();
    }
    let compiler = Compiler { service, fault: None };
    let types = service.definitions.resource_types().iter().map(|resource_type| {
        let policy = policy.map(|policy| compiler.policy(policy, resource_type, Some(user)));
        let withheld = compiler.withheld(withheld, resource_type);
        let rules = rules_of(|interaction| {
            let left = policy.as_ref().map_or(Filter::All, |policy| policy.filter(interaction));
            less(left, &withheld, interaction)
        });
        (resource_type.as_str().into(), rules)
    });
    Access::granted(types.collect::<Vec<_>>())
}

fn held(
    service: &Service,
    access: &smart::Access,
    policies: &[&Policy],
    user: Option<&str>,
    withheld: &[Withheld],
) -> Result<Access, Failure> {
    let mut compiler = Compiler { service, fault: None };
    let mut types = Vec::new();
    for resource_type in service.definitions.resource_types() {
        let policies: Vec<PolicyOfType<'_>> =
            policies.iter().map(|policy| compiler.policy(policy, resource_type, user)).collect();
        let withheld = compiler.withheld(withheld, resource_type);
        let rules = rules_of(|interaction| {
            let scopes = match access.decide(interaction, resource_type) {
                Decision::Denied => Filter::None,
                Decision::Allowed(allowances) => compiler.any(allowances, resource_type),
            };
            let left =
                policies.iter().fold(scopes, |so_far, policy| both(so_far, policy.filter(interaction)));
            less(left, &withheld, interaction)
        });
        types.push((resource_type.as_str().into(), rules));
    }
    if let Some(fault) = compiler.fault {
        if types.iter().all(|(_, rules)| *rules == Rules::all(Filter::None)) {
            return Err(not_understood(fault));
        }
        tracing::debug!("some types do not understand the search of a scope");
    }
    let everything = Rules::all(Filter::All);
    match types.iter().all(|(_, rules)| *rules == everything) {
        true => Ok(Access::unrestricted()),
        false => Ok(Access::granted(types)),
    }
}

fn rules_of(mut filter: impl FnMut(Interaction) -> Filter) -> Rules {
    Rules {
        create: filter(Interaction::Create),
        read: filter(Interaction::Read),
        update: filter(Interaction::Update),
        delete: filter(Interaction::Delete),
        search: filter(Interaction::Search),
    }
}

const PROVENANCE: &str = "Provenance";

/// The types of a patient's records that US Core asks the Provenance of.
const WITH_PROVENANCE: &[&str] = &[
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "Coverage",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Goal",
    "Immunization",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Patient",
    "Procedure",
    "QuestionnaireResponse",
    "RelatedPerson",
    "ServiceRequest",
];

struct Compiler<'a> {
    service: &'a Service,
    /// What is wrong with a scope's query, for the first type that does not understand it.
    fault: Option<Vec<Issue>>,
}

fn not_understood(fault: Vec<Issue>) -> Failure {
    let what =
        "The access token has a scope whose search is not understood, and no other; ask for one without it.";
    let own = Issue::error(IssueType::Forbidden, what);
    Failure::of(Status::Forbidden, [own].into_iter().chain(fault).collect())
}

impl Compiler<'_> {
    /// What fulfils at least one of some allowances.
    fn any(&mut self, allowances: &[Allowance], resource_type: &str) -> Filter {
        any_of(allowances.iter().map(|allowance| self.allowance(allowance, resource_type)).collect())
    }

    fn allowance(&mut self, allowance: &Allowance, resource_type: &str) -> Filter {
        let whose = match &allowance.compartment {
            Compartment::All => Filter::All,
            Compartment::Patient(id) => self.patient(id, resource_type),
            Compartment::User(user) => self.user(user, resource_type),
        };
        if whose == Filter::None {
            return Filter::None;
        }
        match allowance.filter.as_deref().map(|query| self.query(query, resource_type)) {
            None => whose,
            Some(asked) => both(whose, asked),
        }
    }

    /// The rules of a policy, as they are of one type.
    fn policy<'p>(&self, policy: &'p Policy, resource_type: &'p str, user: Option<&str>) -> PolicyOfType<'p> {
        let rules = policy.rules(resource_type);
        PolicyOfType(rules.map(|rule| (rule, self.rule(rule, resource_type, user))).collect())
    }

    /// What fulfils a rule: nothing of a type that does not understand its criteria.
    fn rule(&self, rule: &PolicyRule, resource_type: &str, user: Option<&str>) -> Filter {
        let criteria = |query: &str| interaction::criteria(self.service, resource_type, query).ok();
        let asked = rule.query(user).and_then(|query| match query.as_str() {
            "" => Some(Filter::All),
            query => criteria(query),
        });
        let whose = match (&rule.compartment, rule.patient()) {
            (None, _) => Filter::All,
            (Some(_), Some(id)) => self.patient(id, resource_type),
            (Some(_), None) => Filter::None,
        };
        let labelled = match rule.restricted {
            true => Some(Filter::All),
            false => criteria(RESTRICTED).map(|restricted| Filter::Not(Box::new(restricted))),
        };
        match (asked, labelled) {
            (Some(asked), Some(labelled)) => both(both(whose, asked), labelled),
            _ => Filter::None,
        }
    }

    /// What patients withhold of a type.
    fn withheld(&self, withheld: &[Withheld], resource_type: &str) -> Filter {
        let mut patients: HashMap<&Part, Vec<&str>> = HashMap::new();
        for Withheld { patient, part } in withheld {
            patients.entry(part).or_default().push(patient);
        }
        let denied = patients.into_iter().map(|(part, patients)| {
            both(self.patients(&patients, resource_type), self.denied(part, resource_type))
        });
        any_of(denied.collect())
    }

    /// What a part withholds. What it has within decides instead of it; where two of those differ, the one that withholds.
    fn denied(&self, part: &Part, resource_type: &str) -> Filter {
        let of = |within: &dyn Fn(&Part) -> Filter| any_of(part.within.iter().map(within).collect());
        let denied = of(&|within| self.denied(within, resource_type));
        let decided = match part.denies {
            true => any_of(vec![negated(of(&|within| self.permitted(within, resource_type))), denied]),
            false => denied,
        };
        both(self.covered(part, resource_type), decided)
    }

    fn permitted(&self, part: &Part, resource_type: &str) -> Filter {
        both(self.covered(part, resource_type), negated(self.denied(part, resource_type)))
    }

    fn covered(&self, part: &Part, resource_type: &str) -> Filter {
        if !part.types.is_empty() && !part.types.iter().any(|name| name == resource_type) {
            return Filter::None;
        }
        if part.labels.is_empty() {
            return Filter::All;
        }
        let labelled = format!("_security={}", part.labels.join(","));
        let unknown = if part.denies { Filter::All } else { Filter::None };
        interaction::criteria(self.service, resource_type, &labelled).unwrap_or(unknown)
    }

    /// The criteria of a scope; a type that does not understand them has nothing that fulfils them.
    fn query(&mut self, query: &str, resource_type: &str) -> Filter {
        interaction::criteria(self.service, resource_type, query).unwrap_or_else(|failure| {
            self.fault.get_or_insert(failure.issues);
            Filter::None
        })
    }

    /// What a user may see.
    fn user(&self, user: &str, resource_type: &str) -> Filter {
        let below = user.strip_prefix(&self.service.base).and_then(|rest| rest.strip_prefix('/'));
        match below.unwrap_or(user).split_once('/') {
            Some((kind, _)) if WORKING_HERE.contains(&kind) => Filter::All,
            Some(("Patient" | "RelatedPerson", _)) if PATIENTLESS.contains(&resource_type) => Filter::All,
            Some(("Patient", id)) => self.patient(id, resource_type),
            Some(("RelatedPerson", id)) => self.related(id, resource_type),
            _ => Filter::None,
        }
    }

    /// The members of a patient's compartment (<https://hl7.org/fhir/R4/compartmentdefinition-patient.html>).
    fn patient(&self, id: &str, resource_type: &str) -> Filter {
        self.patients(&[id], resource_type)
    }

    /// The members of the compartments of some patients.
    fn patients(&self, ids: &[&str], resource_type: &str) -> Filter {
        let targets: Vec<Box<str>> = ids.iter().map(|id| format!("Patient/{id}").into()).collect();
        let refers = |parameter| Filter::Match(parameter, Predicate::Reference(targets.clone()));
        self.members(resource_type, &refers, Filter::Ids(ids.iter().map(|id| (*id).into()).collect()))
    }

    /// The same of each patient to whom a RelatedPerson is related at the moment of the question.
    fn related(&self, id: &str, resource_type: &str) -> Filter {
        let parameter = |code| self.parameter("RelatedPerson", code);
        let (Some(patient), Some(active)) = (parameter("patient"), parameter("active")) else {
            return Filter::None;
        };
        let inactive = Predicate::Token { system: None, code: Some("false".into()) };
        let person = Filter::And(vec![
            Filter::Ids(vec![id.into()]),
            Filter::Not(Box::new(Filter::Match(active, inactive))),
        ]);
        let of_person = Filter::Has {
            resource_type: "RelatedPerson".into(),
            parameter: patient,
            filter: Box::new(person),
        };
        let refers =
            |parameter| Filter::Chain { parameter, targets: vec![("Patient".into(), of_person.clone())] };
        self.members(resource_type, &refers, of_person.clone())
    }

    /// Those that refer to the patient by a parameter that the compartment names, and the patient. Who may see a record may see
    /// where it came from, though the compartment has only the Provenance of the Patient itself.
    fn members(&self, resource_type: &str, refers: &dyn Fn(ParameterId) -> Filter, itself: Filter) -> Filter {
        let in_compartment = self.in_compartment(resource_type, refers, itself.clone());
        let target = (resource_type == PROVENANCE).then(|| self.parameter(PROVENANCE, "target")).flatten();
        let Some(parameter) = target else { return in_compartment };
        let members = |name: &&str| {
            let of_type = self.in_compartment(name, refers, itself.clone());
            (of_type != Filter::None).then(|| (Box::from(*name), of_type))
        };
        let targets = WITH_PROVENANCE.iter().filter_map(members).collect();
        any_of(vec![in_compartment, Filter::Chain { parameter, targets }])
    }

    fn in_compartment(
        &self,
        resource_type: &str,
        refers: &dyn Fn(ParameterId) -> Filter,
        itself: Filter,
    ) -> Filter {
        let codes = self.service.definitions.compartments.parameters("Patient", resource_type);
        let parameters =
            codes.unwrap_or_default().iter().filter_map(|code| self.parameter(resource_type, code));
        let itself = (resource_type == "Patient").then_some(itself);
        any_of(itself.into_iter().chain(parameters.map(refers)).collect())
    }

    fn parameter(&self, resource_type: &str, code: &str) -> Option<ParameterId> {
        let found = self.service.definitions.search_parameters.get(resource_type, code)?;
        found.is_indexed().then_some(ParameterId(found.index))
    }
}

/// What fulfils each rule of a policy that is of a type.
struct PolicyOfType<'p>(Vec<(&'p PolicyRule, Filter)>);

impl PolicyOfType<'_> {
    /// What fulfils at least one rule that permits an interaction.
    fn filter(&self, interaction: Interaction) -> Filter {
        let permitting = self.0.iter().filter(|(rule, _)| rule.permits(interaction.permission()));
        any_of(permitting.map(|(_, filter)| filter.clone()).collect())
    }
}

/// What is left of some when others are withheld. Whoever may not see what is there may still add to it.
fn less(left: Filter, withheld: &Filter, interaction: Interaction) -> Filter {
    match interaction {
        Interaction::Create => left,
        _ => both(left, negated(withheld.clone())),
    }
}

/// The complement, in its simplest form.
fn negated(filter: Filter) -> Filter {
    match filter {
        Filter::None => Filter::All,
        Filter::All => Filter::None,
        other => Filter::Not(Box::new(other)),
    }
}

/// The conjunction, in its simplest form.
fn both(one: Filter, other: Filter) -> Filter {
    match (one, other) {
        (Filter::None, _) | (_, Filter::None) => Filter::None,
        (Filter::All, only) | (only, Filter::All) => only,
        (one, other) => Filter::And(vec![one, other]),
    }
}

/// The disjunction, in its simplest form.
fn any_of(mut filters: Vec<Filter>) -> Filter {
    filters.retain(|filter| *filter != Filter::None);
    match (filters.len(), filters.pop()) {
        (_, None) => Filter::None,
        (1, Some(only)) => only,
        (_, Some(last)) => {
            filters.push(last);
            if filters.contains(&Filter::All) { Filter::All } else { Filter::Or(filters) }
        }
    }
}
