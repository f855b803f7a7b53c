//! Tells the linker where libpython is at run time, for a program that embeds Python.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "embed")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
