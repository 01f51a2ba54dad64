//! Who a call is for and what it may see: arguments of every store and interaction call, so that no path can
//! forget them.

use std::sync::Arc;

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

/// What a caller may see and do. The only way to get one is to decide.
#[derive(Debug, Clone)]
pub struct Access {
    decision: Decision,
}

#[derive(Debug, Clone)]
enum Decision {
    Unrestricted,
    /// Of every type, only what fulfils a filter.
    #[cfg(test)]
    Only(crate::Filter),
}

impl Access {
    /// Everything, for an open server and for the server's own work.
    pub fn unrestricted() -> Access {
        Access { decision: Decision::Unrestricted }
    }

    /// Of every type, only what fulfils a filter: to test that every call heeds it.
    #[cfg(test)]
    pub(crate) fn only(filter: crate::Filter) -> Access {
        Access { decision: Decision::Only(filter) }
    }

    /// Whether its filter is [`crate::Filter::All`] for every type.
    pub fn sees_everything(&self) -> bool {
        match &self.decision {
            Decision::Unrestricted => true,
            #[cfg(test)]
            Decision::Only(_) => false,
        }
    }

    /// The filter that every query for a type runs under besides its own.
    pub fn filter(&self, resource_type: &str) -> crate::Filter {
        let _ = resource_type;
        match &self.decision {
            Decision::Unrestricted => crate::Filter::All,
            #[cfg(test)]
            Decision::Only(filter) => filter.clone(),
        }
    }
}
