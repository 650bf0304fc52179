//! Mirrors URLs and job names.

pub(crate) mod support;
