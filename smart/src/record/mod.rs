//! The records that the authorization server keeps. Clients and users are made by whoever manages the server; the others
//! come and go with requests.

mod client;
mod flow;
mod grant;
mod policy;
mod user;

pub use client::{Authentication, Client, ClientError, IdTokenAlgorithm};
pub(crate) use flow::{Code, Failures, Pending, Session, SigningIn, Used};
pub(crate) use grant::Launch;
pub(crate) use grant::{AccessToken, Grant, RefreshToken};
pub use grant::{FhirContext, LaunchContext};
pub use policy::{Policy, PolicyError, PolicyRule};
pub use user::{SessionUser, User};
