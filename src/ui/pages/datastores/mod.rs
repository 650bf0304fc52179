//! `/datastores`

mod filters;
mod list;
mod new;
mod row;
pub mod wizard;

pub use list::List;
pub use new::New;
