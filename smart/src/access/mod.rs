//! The access decision: the scopes of a token, compiled once, asked per interaction and resource type. It is the only
//! reader of scopes on the way to data. What is not permitted by a scope is denied; scopes only ever add up.

mod shared;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use shared::TYPES as PATIENTLESS;

use crate::scope::{Level, Meaning, Permissions, ResourceScope, Scope, ScopeSet};

/// An interaction of the RESTful API (<https://hl7.org/fhir/R4/http.html>) on one type. A batch or a transaction is decided
/// entry by entry, an operation by the interactions it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interaction {
    /// `POST [type]`.
    Create,
    /// `GET [type]/[id]`.
    Read,
    /// `GET [type]/[id]/_history/[vid]`.
    Vread,
    /// `GET [type]/[id]/_history`.
    HistoryInstance,
    /// `PUT [type]/[id]`.
    Update,
    /// `PATCH [type]/[id]`.
    Patch,
    /// `DELETE [type]/[id]`.
    Delete,
    /// `GET [type]?..`, and each type of a search on the whole system.
    Search,
    /// `GET [type]/_history`, and each type of the history of the whole system.
    HistoryType,
}

impl Interaction {
    /// All there are.
    pub const ALL: [Interaction; 9] = [
        Interaction::Create,
        Interaction::Read,
        Interaction::Vread,
        Interaction::HistoryInstance,
        Interaction::Update,
        Interaction::Patch,
        Interaction::Delete,
        Interaction::Search,
        Interaction::HistoryType,
    ];

    /// The letter of a scope that permits it.
    pub fn permission(self) -> Permissions {
        match self {
            Interaction::Create => Permissions::CREATE,
            Interaction::Read | Interaction::Vread | Interaction::HistoryInstance => Permissions::READ,
            Interaction::Update | Interaction::Patch => Permissions::UPDATE,
            Interaction::Delete => Permissions::DELETE,
            Interaction::Search | Interaction::HistoryType => Permissions::SEARCH,
        }
    }
}

/// Of whom the token is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The id of the patient in context; `patient/` scopes permit nothing without.
    pub patient: Option<String>,
    /// The user's own resource, `Practitioner/123`; `user/` scopes permit nothing without.
    pub user: Option<String>,
    /// Whether it is the client's own token (client_credentials); `system/` scopes permit nothing else.
    pub system: bool,
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Nothing.
    Denied,
    /// What at least one of these allows; there is at least one.
    Allowed(&'a [Allowance]),
}

/// One way to be allowed: both parts must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Where the resource must be, before and after a change.
    pub compartment: Compartment,
    /// A query string of search parameters that the resource must match, before and after a change (`category=..`).
    pub filter: Option<String>,
}

/// Whose records are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compartment {
    /// Only what is in this patient's compartment; the id.
    Patient(String),
    /// What this user may see by the policy of the server; the reference to the user's resource.
    User(String),
    /// All records.
    All,
}

/// What a token permits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// By type; types that are not named have [`Access::others`].
    types: BTreeMap<Box<str>, Rules>,
    others: Rules,
}

/// By letter, in the order of `cruds`.
type Rules = [Vec<Allowance>; 5];

const LETTERS: [Permissions; 5] =
    [Permissions::CREATE, Permissions::READ, Permissions::UPDATE, Permissions::DELETE, Permissions::SEARCH];

impl Access {
    /// Compiles scopes for their context.
    pub fn compile(scopes: &ScopeSet, context: &Context) -> Access {
        let mut access = Access::default();
        let knows_user = scopes.has(&Meaning::FhirUser);
        let scopes = scopes.iter().filter_map(Scope::resources);
        let (named, wild): (Vec<&ResourceScope>, Vec<_>) =
            scopes.partition(|scope| scope.resource_type.is_some());
        for scope in &wild {
            add(&mut access.others, scope, None, context);
        }
        let shared = shared::TYPES.iter().chain(shared::BY_PATIENT).copied();
        let names = named.iter().filter_map(|scope| scope.resource_type.as_deref());
        for name in names.chain(shared) {
            let rules = access.types.entry(name.into()).or_default();
            let own = named.iter().filter(|scope| scope.resource_type.as_deref() == Some(name));
            *rules = Rules::default();
            own.chain(&wild).for_each(|scope| add(rules, scope, Some(name), context));
        }
        if let Some(user) = context.user.as_deref().filter(|_| knows_user) {
            access.add_user(user);
        }
        access
    }

    /// `fhirUser` reads the user's own resource, and nothing else of its type.
    fn add_user(&mut self, user: &str) {
        let Some((resource_type, id)) = user.split_once('/') else { return };
        let others = &self.others;
        let rules = self.types.entry(resource_type.into()).or_insert_with(|| others.clone());
        for (letter, allowances) in LETTERS.iter().zip(rules) {
            if *letter == Permissions::READ {
                let filter = Some(format!("_id={id}"));
                insert(allowances, Allowance { compartment: Compartment::All, filter });
            }
        }
    }

    /// Whether an interaction with a type is permitted, and with which of its resources.
    pub fn decide(&self, interaction: Interaction, resource_type: &str) -> Decision<'_> {
        let rules = self.types.get(resource_type).unwrap_or(&self.others);
        let place = LETTERS.iter().position(|letter| *letter == interaction.permission());
        match place.and_then(|place| rules.get(place)) {
            Some(allowances) if !allowances.is_empty() => Decision::Allowed(allowances),
            _ => Decision::Denied,
        }
    }
}

fn add(rules: &mut Rules, scope: &ResourceScope, resource_type: Option<&str>, context: &Context) {
    for (letter, allowances) in LETTERS.iter().zip(rules) {
        if scope.permissions.contains(*letter)
            && let Some(allowance) = allowance(scope, *letter, resource_type, context)
        {
            insert(allowances, allowance);
        }
    }
}

fn allowance(
    scope: &ResourceScope,
    letter: Permissions,
    resource_type: Option<&str>,
    context: &Context,
) -> Option<Allowance> {
    let filter = scope.query();
    let compartment = match scope.level {
        Level::Patient => {
            let patient = context.patient.as_deref()?;
            if resource_type.is_some_and(|name| shared::TYPES.contains(&name)) {
                let reads = Permissions::V1_READ.contains(letter);
                return reads.then_some(Allowance { compartment: Compartment::All, filter });
            }
            if resource_type.is_some_and(|name| shared::BY_PATIENT.contains(&name)) {
                let own = format!("patient=Patient/{patient}");
                let filter = filter.map_or(own.clone(), |filter| format!("{own}&{filter}"));
                return Some(Allowance { compartment: Compartment::All, filter: Some(filter) });
            }
            Compartment::Patient(patient.to_owned())
        }
        Level::User => Compartment::User(context.user.clone()?),
        Level::System if context.system => Compartment::All,
        Level::System => return None,
    };
    Some(Allowance { compartment, filter })
}

/// Adds what is not already allowed by another, and drops what the new one allows too.
fn insert(allowances: &mut Vec<Allowance>, new: Allowance) {
    let within = |wide: &Allowance, narrow: &Allowance| {
        wide.compartment == narrow.compartment && (wide.filter.is_none() || wide.filter == narrow.filter)
    };
    if !allowances.iter().any(|known| within(known, &new)) {
        allowances.retain(|known| !within(&new, known));
        allowances.push(new);
    }
}
