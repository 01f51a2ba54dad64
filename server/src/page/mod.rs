//! Pages for people: server-rendered, styled inline, without scripts. Everything that comes from data is escaped.

mod frame;
mod resource;
mod root;

pub use resource::resource;
pub use root::root;
