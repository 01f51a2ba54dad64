//! How validation and terminology reach the definitions that users stored in the server. It is a question only: what
//! answers it is the server's affair.

use std::sync::Arc;

use fhirpath::Tree;

/// Definitions that users stored: profiles, CodeSystems, ValueSets, ConceptMaps.
pub trait Resources: Send + Sync {
    /// The resource of a type (`ValueSet`) with a canonical URL; of several versions the one asked for, else the
    /// latest. `None`: there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    fn by_canonical(
        &self,
        resource_type: &str,
        url: &str,
        version: Option<&str>,
    ) -> Result<Option<Arc<Tree>>, Unavailable>;

    /// A number that changes whenever an answer of [`Resources::by_canonical`] may have changed: what was made of
    /// answers under another number is made anew.
    fn generation(&self) -> u64;
}

/// The store cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct Unavailable(
    /// Why, without anything of what is stored.
    pub String,
);
