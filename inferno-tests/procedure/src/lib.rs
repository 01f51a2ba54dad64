//! The test procedure of ONC's (g)(10) criterion, as the Inferno test kit 8.0.0 asks it
//! (<https://github.com/onc-healthit/onc-certification-g10-test-kit>): launches, tokens, scopes and what they let through,
//! against any server. Written on its own: no code of the server is in it, so that it cannot share its mistakes.
//!
//! | module | its one job |
//! |---|---|
//! | `inputs` | what a tester types into Inferno |
//! | `groups` | the tests, a file for each group of the kit |
//! | `guide` | US Core: profiles, searches, must-support elements, out of its packages |
//! | `navigation` | values in a resource |
//! | `present` | which must-support elements are there |
//! | `dates` | dates as searches compare them |
//! | `judge` | who says whether a resource conforms |
//! | `launch` | an app: authorization requests, tokens |
//! | `browser` | a user: follows redirects, fills forms |
//! | `http` | requests |
//! | `jwt` | signed assertions, id_tokens |
//! | `hello` | which versions of TLS are spoken |
//! | `report` | what was seen, and what of the kit it covers |

mod browser;
mod dates;
pub mod groups;
mod guide;
mod hello;
mod http;
mod inputs;
mod judge;
mod jwt;
mod launch;
mod navigation;
mod present;
mod report;

pub use guide::Guide;
pub use http::Wrong;
pub use inputs::{Bulk, Client, Ehr, Inputs, Secret, User};
pub use judge::Judge;
pub use jwt::Key;
pub use report::{Attested, Covered, KitTest, Outcome, Report, Seen, table};
