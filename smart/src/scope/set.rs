//! Several scopes: in the order they were asked for, each meaning once.

use std::fmt;

use super::{MAX_SCOPE_LENGTH, MAX_SCOPES, Meaning, Scope, ScopeError};

/// Scopes in the order they were asked for, each meaning once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeSet {
    scopes: Vec<Scope>,
}

/// Words that are no scopes, with the reason.
pub type Unread<'t> = Vec<(&'t str, ScopeError)>;

impl ScopeSet {
    /// Reads scopes between spaces (RFC 6749 section 3.3), and gives what it could not read, with the reason. Such
    /// scopes are not granted; that is no error (same section).
    ///
    /// # Errors
    /// [`ScopeError::TooLong`].
    pub fn read(text: &str) -> Result<(ScopeSet, Unread<'_>), ScopeError> {
        if text.len() > MAX_SCOPE_LENGTH || text.split_ascii_whitespace().count() > MAX_SCOPES {
            return Err(ScopeError::TooLong);
        }
        let (mut set, mut unread) = (ScopeSet::default(), Vec::new());
        for word in text.split_ascii_whitespace() {
            match word.parse() {
                Ok(scope) => set.insert(scope),
                Err(error) => unread.push((word, error)),
            }
        }
        Ok((set, unread))
    }

    /// Adds a scope unless its meaning is there.
    pub fn insert(&mut self, scope: Scope) {
        if !self.has(&scope.meaning) {
            self.scopes.push(scope);
        }
    }

    /// Whether a scope of just that meaning is there.
    pub fn has(&self, meaning: &Meaning) -> bool {
        self.scopes.iter().any(|scope| scope.meaning == *meaning)
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.scopes.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Those that hold.
    #[must_use]
    pub fn filtered(&self, holds: impl Fn(&Scope) -> bool) -> ScopeSet {
        ScopeSet { scopes: self.scopes.iter().filter(|scope| holds(scope)).cloned().collect() }
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> ScopeSet {
        let mut set = ScopeSet::default();
        scopes.into_iter().for_each(|scope| set.insert(scope));
        set
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.scopes.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", scope.text)?;
        }
        Ok(())
    }
}
