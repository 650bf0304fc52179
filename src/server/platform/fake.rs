//! A platform in memory, for tests of jobs.
