//! Who a call is for and what it may see: arguments of every store and interaction call, so that no path can
//! forget them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::{Filter, Key};

/// A tenant. Comes from the token or the host, never from a body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

const DEFAULT: &str = "default";

impl Tenant {
    /// The tenant of a name: 1 to 63 of `a-z 0-9 -`, beginning with a letter or digit. `None` for any other text.
    pub fn new(name: &str) -> Option<Tenant> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let starts = name.bytes().next().is_some_and(ok);
        (starts && name.len() <= 63 && name.bytes().all(|b| ok(b) || b == b'-')).then(|| Tenant(name.into()))
    }

    /// The one tenant of a server that has no others.
    pub fn default_tenant() -> Tenant {
        Tenant(DEFAULT.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the one of a server that has no others.
    pub fn is_default(&self) -> bool {
        &*self.0 == DEFAULT
    }
}

/// What may be done with a resource: the letters of SMART's scopes
/// (<https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// To make a new one, under an id of the server's.
    Create,
    /// To read one by its id, with its versions and its history.
    Read,
    /// To replace or patch one, or to make one under an id of the client's.
    Update,
    /// To delete one.
    Delete,
    /// To find it among those of its type, and the history of the type.
    Search,
}

/// Of one type, for which resources each permission is given. What a filter asks of other resources (chains in either
/// direction), it asks of all there are: the rule is the server's, not the caller's.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// What a new resource must fulfil.
    pub create: Filter,
    /// What each version that is read must fulfil, and the current one.
    pub read: Filter,
    /// What a resource must fulfil before a change and after it.
    pub update: Filter,
    /// What may be deleted.
    pub delete: Filter,
    /// What may be found.
    pub search: Filter,
}

impl Rules {
    /// The same filter for each permission.
    pub fn all(filter: Filter) -> Rules {
        let [create, read, update, delete] = [filter.clone(), filter.clone(), filter.clone(), filter.clone()];
        Rules { create, read, update, delete, search: filter }
    }

    fn of(&self, permission: Permission) -> &Filter {
        match permission {
            Permission::Create => &self.create,
            Permission::Read => &self.read,
            Permission::Update => &self.update,
            Permission::Delete => &self.delete,
            Permission::Search => &self.search,
        }
    }
}

/// What a caller may see and do. The only way to get one is to decide. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    decision: Decision,
    /// By which permission resources are looked at; by none in particular, single ones are read and others searched.
    looking: Option<Permission>,
}

#[derive(Debug, Clone)]
enum Decision {
    Unrestricted,
    Granted(Arc<Granted>),
}

/// By type; of those that are not named nothing is permitted.
#[derive(Debug)]
struct Granted {
    types: FxHashMap<Box<str>, OfType>,
}

#[derive(Debug, Clone)]
struct OfType {
    rules: Rules,
    /// What may be read or found.
    seen: Filter,
}

impl Access {
    /// Everything, for an open server and for the server's own work.
    pub fn unrestricted() -> Access {
        Access { decision: Decision::Unrestricted, looking: None }
    }

    /// What the rules of types permit, and nothing of other types.
    pub fn granted(types: impl IntoIterator<Item = (Box<str>, Rules)>) -> Access {
        let with_sight = |(name, rules): (Box<str>, Rules)| {
            let seen = either(&rules.read, &rules.search);
            (name, OfType { rules, seen })
        };
        let types = types.into_iter().map(with_sight).collect();
        Access { decision: Decision::Granted(Arc::new(Granted { types })), looking: None }
    }

    /// The same of one who looks at resources in order to do something with them: reads and searches then see what that
    /// permission is given for.
    #[must_use]
    pub fn to(&self, permission: Permission) -> Access {
        Access { looking: Some(permission), ..self.clone() }
    }

    /// The same, which also permits to create these resources: what the server adds to a caller's writes.
    #[must_use]
    pub fn creating(&self, keys: &[Key]) -> Access {
        let Decision::Granted(granted) = &self.decision else { return self.clone() };
        let mut types = granted.types.clone();
        for key in keys {
            let nothing = || OfType { rules: Rules::all(Filter::None), seen: Filter::None };
            let of_type = types.entry(key.resource_type().into()).or_insert_with(nothing);
            let this = Filter::Ids(vec![key.id().into()]);
            of_type.rules.create = either(&of_type.rules.create, &this);
        }
        Access { decision: Decision::Granted(Arc::new(Granted { types })), looking: self.looking }
    }

    /// Whether its filter is [`Filter::All`] for every type and permission.
    pub fn sees_everything(&self) -> bool {
        matches!(self.decision, Decision::Unrestricted)
    }

    /// Whether there may be resources of a type that a permission is given for. It depends on the decision alone, so it
    /// tells nothing of what is there.
    pub fn permits(&self, permission: Permission, resource_type: &str) -> bool {
        *self.filter(permission, resource_type) != Filter::None
    }

    /// The same of any type.
    pub fn permits_any(&self, permission: Permission) -> bool {
        match &self.decision {
            Decision::Unrestricted => true,
            Decision::Granted(granted) => {
                granted.types.values().any(|of_type| *of_type.rules.of(permission) != Filter::None)
            }
        }
    }

    /// What a resource of a type must fulfil.
    pub fn filter(&self, permission: Permission, resource_type: &str) -> &Filter {
        match &self.decision {
            Decision::Unrestricted => &Filter::All,
            Decision::Granted(granted) => {
                granted.types.get(resource_type).map_or(&Filter::None, |of_type| of_type.rules.of(permission))
            }
        }
    }

    /// What a resource of a type must fulfil that is looked at by its id.
    pub(crate) fn looked_at(&self, resource_type: &str) -> &Filter {
        self.filter(self.looking.unwrap_or(Permission::Read), resource_type)
    }

    /// What a resource of a type must fulfil that is found.
    pub(crate) fn searched(&self, resource_type: &str) -> &Filter {
        self.filter(self.looking.unwrap_or(Permission::Search), resource_type)
    }

    /// What a resource of a type must fulfil that a chain leads through, or whose references are told: that it may be read
    /// or found.
    pub(crate) fn seen(&self, resource_type: &str) -> &Filter {
        match &self.decision {
            Decision::Unrestricted => &Filter::All,
            Decision::Granted(granted) => {
                granted.types.get(resource_type).map_or(&Filter::None, |of_type| &of_type.seen)
            }
        }
    }
}

/// What fulfils one or the other.
fn either(one: &Filter, other: &Filter) -> Filter {
    match (one, other) {
        (Filter::All, _) | (_, Filter::All) => Filter::All,
        (Filter::None, only) | (only, Filter::None) => only.clone(),
        (one, other) if one == other => one.clone(),
        (one, other) => Filter::Or(vec![one.clone(), other.clone()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_not_permitted() {
        let ids = Filter::Ids(vec!["a".into()]);
        let rules = Rules { read: ids.clone(), search: Filter::All, ..Rules::all(Filter::None) };
        let access = Access::granted([("Patient".into(), rules)]);
        assert!(!access.sees_everything());
        for (permission, expected) in [
            (Permission::Create, &Filter::None),
            (Permission::Read, &ids),
            (Permission::Update, &Filter::None),
            (Permission::Delete, &Filter::None),
            (Permission::Search, &Filter::All),
        ] {
            assert_eq!(access.filter(permission, "Patient"), expected, "{permission:?}");
            assert_eq!(access.to(permission).looked_at("Patient"), expected, "{permission:?}");
            assert_eq!(access.permits(permission, "Patient"), *expected != Filter::None, "{permission:?}");
            assert_eq!(access.permits_any(permission), *expected != Filter::None, "{permission:?}");
            assert_eq!(access.filter(permission, "Observation"), &Filter::None, "{permission:?}");
            assert_eq!(
                Access::unrestricted().filter(permission, "Observation"),
                &Filter::All,
                "{permission:?}"
            );
        }
        assert_eq!(access.seen("Patient"), &Filter::All);
        assert_eq!(access.seen("Observation"), &Filter::None);
        assert_eq!(either(&ids, &Filter::None), ids);
        assert_eq!(either(&ids, &ids), ids);
    }
}
