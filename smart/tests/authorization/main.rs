//! The authorization server through its published interface: flows of apps, backend services and people, the attacks that each check is
//! for, and the pages. Everything it stands on is in memory, and time stands still unless a test moves it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // what fails here fails the test

mod admin;
mod attacks;
mod backend;
mod flows;
mod html;
mod management;
mod pages;
mod support;
mod tokens;
mod upstream;
