//! The layout page.
