//! Pages: the path of a URL is the path of its file.

pub mod datastore;
pub mod datastores;
pub mod not_found;
pub mod sign_in;
