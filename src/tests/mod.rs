//! Mirrors URLs and job names.
