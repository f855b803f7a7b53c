//! Links the tests with libpython. A binary that embeds Python needs the same in its own build
//! script.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "embed")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
