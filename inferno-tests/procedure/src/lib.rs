//! The test procedure of ONC's (g)(10) criterion, as the Inferno test kit 8.0.0 asks it
//! (<https://github.com/onc-healthit/onc-certification-g10-test-kit>): launches, tokens, scopes and what they let through,
//! against any server. Written on its own: no code of the server is in it, so that it cannot share its mistakes.
//!
//! | module | its one job |
//! |---|---|
//! | `inputs` | what a tester types into Inferno |
//! | `groups` | the tests, a file for each group of the kit |
//! | `launch` | an app: authorization requests, tokens |
//! | `browser` | a user: follows redirects, fills forms |
//! | `http` | requests |
//! | `jwt` | signed assertions, id_tokens |
//! | `hello` | which versions of TLS are spoken |
//! | `report` | what was seen, and what of the kit it covers |

mod browser;
pub mod groups;
mod hello;
mod http;
mod inputs;
mod jwt;
mod launch;
mod report;

pub use http::Wrong;
pub use inputs::{Client, Ehr, Inputs, Secret, User};
pub use jwt::Key;
pub use report::{Covered, KitTest, Report, Seen};
