//! The suite every platform passes.
