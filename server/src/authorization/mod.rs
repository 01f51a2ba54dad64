//! From what an authorization server granted to what the store lets through.

pub mod decision;
