//! Tells cargo what is put into the program besides its source: macros read these folders, and cargo does not see that.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    // Browser files are put into release builds, and are made before those. Naming a folder that is not there would have
    // cargo build everything each time.
    if std::path::Path::new("site").is_dir() {
        println!("cargo:rerun-if-changed=site");
    }
}
