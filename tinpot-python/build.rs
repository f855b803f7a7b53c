//! Links the tests with libpython, and notes what CPython is embedded. A binary that embeds Python
//! needs the former in its own build script.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "embed")]
    {
        pyo3_build_config::add_libpython_rpath_link_args();
        note();
    }
}

/// Notes the interpreter that belongs to libpython, and the name of its interface for compiled
/// modules.
#[cfg(feature = "embed")]
fn note() {
    let Some(python) = pyo3_build_config::get().executable() else { return };
    println!("cargo::rustc-env=TINPOT_EMBED_PYTHON={python}");
    let script = "import sys; i = sys.implementation; \
                  print('%s%s-%s' % (i.cache_tag, sys.abiflags, getattr(i, '_multiarch', '')))";
    let output = std::process::Command::new(python).args(["-I", "-c", script]).output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    if let Some(abi) = text.filter(|text| !text.trim().is_empty()) {
        println!("cargo::rustc-env=TINPOT_EMBED_ABI={}", abi.trim());
    }
}
