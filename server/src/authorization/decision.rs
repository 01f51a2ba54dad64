//! What a token permits (`smart::Access`: compartments and query strings, by type and letter) compiled to what the store asks
//! of every resource ([`store::Access`]: filters). Decides nothing about scopes, and looks nothing up.
//!
//! | whose | which resources |
//! |---|---|
//! | a patient's (`patient/` scopes) | those of the patient compartment of R4, and what `smart` adds of other types |
//! | a user's who is a Patient | the same of that patient |
//! | a user's who is a RelatedPerson | the same of the patients that this RelatedPerson, if active, is related to at the moment |
//! | a user's who is a Practitioner, PractitionerRole, Person or Organization | all |
//! | another user's | none |

use fhirpath::{Issue, IssueType};
use interaction::{Failure, Service, Status};
use smart::{Allowance, Compartment, Decision, Interaction, PATIENTLESS, Verified};
use store::{Access, Filter, ParameterId, Predicate, Rules};

/// Users who see all records.
const WORKING_HERE: [&str; 4] = ["Practitioner", "PractitionerRole", "Person", "Organization"];

/// The decision of the store for what a token permits; to be kept as long as the token counts. A type that does not know a
/// parameter of a scope's query is not permitted by that scope.
///
/// # Errors
/// Forbidden for a token that permits nothing because no type understands a scope's query, and what is wrong with it.
pub fn compile(service: &Service, granted: &Verified) -> Result<Access, Failure> {
    let mut compiler = Compiler { service, fault: None };
    let mut types = Vec::new();
    for resource_type in service.definitions.resource_types() {
        let mut filter = |interaction| match granted.access.decide(interaction, resource_type) {
            Decision::Denied => Filter::None,
            Decision::Allowed(allowances) => compiler.any(allowances, resource_type),
        };
        let rules = Rules {
            create: filter(Interaction::Create),
            read: filter(Interaction::Read),
            update: filter(Interaction::Update),
            delete: filter(Interaction::Delete),
            search: filter(Interaction::Search),
        };
        types.push((resource_type.as_str().into(), rules));
    }
    if let Some(fault) = compiler.fault {
        if types.iter().all(|(_, rules)| *rules == Rules::all(Filter::None)) {
            return Err(not_understood(fault));
        }
        tracing::debug!(client = granted.client_id, "some types do not understand the search of a scope");
    }
    let everything = Rules::all(Filter::All);
    match types.iter().all(|(_, rules)| *rules == everything) {
        true => Ok(Access::unrestricted()),
        false => Ok(Access::granted(types)),
    }
}

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
            Some(Filter::None) => Filter::None,
            Some(asked) if whose == Filter::All => asked,
            Some(asked) => Filter::And(vec![whose, asked]),
        }
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
        let target: Box<str> = format!("Patient/{id}").into();
        let refers = |parameter| Filter::Match(parameter, Predicate::Reference(vec![target.clone()]));
        self.members(resource_type, &refers, Filter::Ids(vec![id.into()]))
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

    /// Those that refer to the patient by a parameter that the compartment names, and the patient.
    fn members(&self, resource_type: &str, refers: &dyn Fn(ParameterId) -> Filter, itself: Filter) -> Filter {
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
