//! What the caller's access decision permits of a type, before anything is looked up: a type that it permits nothing of is
//! refused alike whether there are such resources or not. Which resources of a permitted type may be seen, the store decides.

use fhirpath::IssueType;
use store::{Filter, Permission};

use crate::{Caller, Failure, Status};

impl Caller {
    /// Refuses what is not permitted with any resource of a type.
    ///
    /// # Errors
    /// Forbidden.
    pub fn require(&self, permission: Permission, resource_type: &str) -> Result<(), Failure> {
        match self.access.permits(permission, resource_type) {
            true => Ok(()),
            false => Err(forbidden(format!("{} {resource_type} resources.", verb(permission)))),
        }
    }

    /// Refuses to search what may be of any type, where no type may be searched.
    ///
    /// # Errors
    /// Forbidden.
    pub(crate) fn require_any(&self, permission: Permission) -> Result<(), Failure> {
        match self.access.permits_any(permission) {
            true => Ok(()),
            false => Err(forbidden(format!("{} resources.", verb(permission)))),
        }
    }

    /// Whether the resources of a type that may be changed are only some: then an id that a client chooses may be one that is
    /// not to be seen.
    pub(crate) fn is_held_to_some(&self, permission: Permission, resource_type: &str) -> bool {
        *self.access.filter(permission, resource_type) != Filter::All
    }
}

fn verb(permission: Permission) -> &'static str {
    match permission {
        Permission::Create => "to create",
        Permission::Read => "to read",
        Permission::Update => "to change",
        Permission::Delete => "to delete",
        Permission::Search => "to search",
    }
}

fn forbidden(what: String) -> Failure {
    Failure::new(Status::Forbidden, IssueType::Forbidden, format!("This access does not permit {what}"))
}

/// The refusal of a resource that may not be so, or may not be changed.
pub(crate) fn not_permitted() -> Failure {
    let details = "This access does not permit this change: the resource as it is, or as it would be, lies outside of it.";
    Failure::new(Status::Forbidden, IssueType::Forbidden, details)
}
