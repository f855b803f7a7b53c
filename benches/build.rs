//! A program that embeds Python has to know where libpython is at run time.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "embed")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
