//! Tells cargo what is put into the program besides its source: macros read these folders, and cargo does not see that.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    // Browser files are put into release builds of the server alone, and are made from the browser side's own build: that one
    // must not wait for them. Naming a folder that is not there would have cargo build everything each time.
    let is_server = env::var_os("CARGO_FEATURE_SSR").is_some();
    let is_release = env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    if is_server && is_release && Path::new("site").is_dir() {
        println!("cargo:rerun-if-changed=site");
    }
}
