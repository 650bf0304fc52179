//! Pages and their parts.
