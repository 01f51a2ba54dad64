//! What two sets of scopes have in common: never more than either of them.

use super::{Meaning, Permissions, ResourceScope, Scope, ScopeSet};

impl ResourceScope {
    /// Whether everything that the other permits is permitted by this one.
    pub fn covers(&self, other: &ResourceScope) -> bool {
        self.level == other.level
            && (self.resource_type.is_none() || self.resource_type == other.resource_type)
            && self.permissions.contains(other.permissions)
            && self.filter.iter().all(|pair| other.filter.contains(pair))
    }

    /// What both permit, `None` if that is nothing.
    pub fn intersection(&self, other: &ResourceScope) -> Option<ResourceScope> {
        let permissions = self.permissions.and(other.permissions);
        let resource_type = match (&self.resource_type, &other.resource_type) {
            (Some(one), Some(two)) if one != two => return None,
            (Some(named), _) | (None, Some(named)) => Some(named.clone()),
            (None, None) => None,
        };
        if self.level != other.level || permissions.is_empty() {
            return None;
        }
        let mut filter = [&self.filter[..], &other.filter[..]].concat();
        filter.sort();
        filter.dedup();
        Some(ResourceScope { level: self.level, resource_type, permissions, filter })
    }
}

impl Scope {
    /// Whether everything that the other permits is permitted by this one.
    pub fn covers(&self, other: &Scope) -> bool {
        match (&self.meaning, &other.meaning) {
            (Meaning::Resources(this), Meaning::Resources(other)) => this.covers(other),
            (this, other) => this == other,
        }
    }
}

impl ScopeSet {
    /// Whether one scope of the set covers the scope.
    pub fn covers(&self, scope: &Scope) -> bool {
        self.iter().any(|own| own.covers(scope))
    }

    /// What of this set the other permits. A scope that is covered stays as it was asked for; of another, what both
    /// permit is left, in the version it was asked for in where that version can say it.
    #[must_use]
    pub fn narrowed(&self, permitted: &ScopeSet) -> ScopeSet {
        let mut narrowed = ScopeSet::default();
        for scope in self.iter() {
            if permitted.covers(scope) {
                narrowed.insert(scope.clone());
            } else if let Meaning::Resources(asked) = &scope.meaning {
                let common =
                    permitted.iter().filter_map(Scope::resources).filter_map(|own| own.intersection(asked));
                common.for_each(|common| narrowed.insert(written_like(common, scope)));
            }
        }
        narrowed
    }
}

fn written_like(scope: ResourceScope, asked: &Scope) -> Scope {
    let name = match scope.permissions {
        Permissions::V1_READ => "read",
        Permissions::V1_WRITE => "write",
        Permissions::ALL => "*",
        _ => return scope.into(),
    };
    if !asked.is_v1() || !scope.filter.is_empty() {
        return scope.into();
    }
    let resource_type = scope.resource_type.as_deref().unwrap_or("*");
    let text = format!("{}/{resource_type}.{name}", scope.level.as_str());
    Scope { text: text.into(), meaning: Meaning::Resources(scope) }
}
