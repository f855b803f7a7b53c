//! The dependency rules: the arrows of the architecture, as a table.

use crate::run::output;

/// A crate and the packages that nothing below it may bring in, however indirectly.
struct Rule {
    krate: &'static str,
    forbidden: &'static [&'static str],
    /// The only packages that it may name itself, if given.
    direct: Option<&'static [&'static str]>,
}

/// The packages that belong to one sibling each, and never to the core.
const PLUGGED_IN: &[&str] = &[
    // MQTT and TLS
    "rumqttc",
    "rumqttc-v5-next",
    "rumqttd",
    "mqtt5",
    "rustls",
    "ring",
    "openssl",
    "native-tls",
    // ZeroMQ
    "omq-tokio",
    // Python
    "pyo3",
    "pyo3-ffi",
    // HTTP
    "axum",
    "axum-core",
    "hyper",
    "http",
    "tower",
    "reqwest",
    // passwords
    "argon2",
    // databases
    "rusqlite",
    "libsqlite3-sys",
    "sqlx",
    "tokio-postgres",
    // tokio's `net`, `process` and `signal`: a host decides about sockets and signals
    "mio",
    "socket2",
    // for people, not for libraries
    "clap",
    "anyhow",
    "tracing-subscriber",
];

/// The crates that assemble the others; none of those may know them.
const ASSEMBLIES: &[&str] = &["tinpot", "tinpot-server", "tinpot-conformance", "tinpot-cli"];

const RULES: &[Rule] = &[
    Rule {
        krate: "tinpot-core",
        forbidden: PLUGGED_IN,
        direct: Some(&[
            "aho-corasick",
            "async-trait",
            "bytes",
            "futures-util",
            "jsonschema-regex",
            "regex",
            "rustix",
            "schemars",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
            "uuid",
        ]),
    },
    Rule {
        krate: "tinpot-mqtt",
        forbidden: &[
            "tinpot-access",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "pyo3",
            "axum",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-http-transport",
        forbidden: &[
            "tinpot-access",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-tower",
            "tinpot-sqlite",
            "tinpot-zmq",
            "rumqttc",
            "pyo3",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-zmq",
        forbidden: &[
            "tinpot-access",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "axum",
            "rustls",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-moor",
        forbidden: &[
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "axum",
            "rustls",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-python",
        forbidden: &[
            "tinpot-access",
            "tinpot-mqtt",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "axum",
            "rusqlite",
            "clap",
            "pyo3",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-http",
        forbidden: &[
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-sqlite",
        forbidden: &[
            "tinpot-access",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "rumqttc",
            "pyo3",
            "axum",
            "mio",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-access",
        forbidden: &[
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "axum",
            "rusqlite",
            "mio",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-metrics",
        forbidden: &[
            "tinpot-access",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "axum",
            "rusqlite",
            "mio",
            "clap",
            "protobuf",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-otel",
        forbidden: &[
            "tinpot-access",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "tinpot-metrics",
            "rumqttc",
            "pyo3",
            "axum",
            "hyper",
            "rusqlite",
            "mio",
            "clap",
            "prost",
            "tonic",
        ],
        direct: None,
    },
    // Shared: both the plugged-in crates and the crates above them may know it.
    Rule {
        krate: "tinpot-bundle",
        forbidden: &[
            "tinpot-access",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "axum",
            "rusqlite",
            "mio",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-contain",
        forbidden: &[
            "tinpot-access",
            "tinpot-bundle",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "axum",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-venv",
        forbidden: &[
            "tinpot-access",
            "tinpot-bundle",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-process",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "axum",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    Rule {
        krate: "tinpot-process",
        forbidden: &[
            "tinpot-access",
            "tinpot-mqtt",
            "tinpot-python",
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-tower",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "axum",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    // In the layer of tinpot-http, above access and bundles.
    Rule {
        krate: "tinpot-tower",
        forbidden: &[
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-mqtt",
            "tinpot-process",
            "tinpot-python",
            "tinpot-sqlite",
            "rumqttc",
            "pyo3",
            "rusqlite",
            "mio",
            "clap",
        ],
        direct: None,
    },
    // Files, and nothing that knows what they are for.
    Rule {
        krate: "tinpot-ui",
        forbidden: &["tinpot-core", "tinpot-http", "tokio", "axum", "http"],
        direct: Some(&["flate2", "rust-embed", "sha2"]),
    },
    // A router on a socket: nothing that knows what is served.
    Rule {
        krate: "tinpot-serve",
        forbidden: &[
            "tinpot-http-transport",
            "tinpot-metrics",
            "tinpot-mqtt",
            "tinpot-process",
            "tinpot-python",
            "tinpot-sqlite",
            "tinpot-tower",
            "tinpot-zmq",
            "rumqttc",
            "pyo3",
            "rusqlite",
            "clap",
        ],
        direct: None,
    },
    // Everything but the command line. ZeroMQ needs a newer Rust than the others.
    Rule {
        krate: "tinpot-server",
        forbidden: &["tinpot", "tinpot-cli", "tinpot-zmq", "clap", "pyo3"],
        direct: None,
    },
    // A coordinator that follows scripts: no server.
    Rule {
        krate: "tinpot-conformance",
        forbidden: &[
            "tinpot-http",
            "tinpot-http-transport",
            "tinpot-zmq",
            "tinpot-process",
            "tinpot-python",
            "tinpot-server",
            "tinpot-sqlite",
            "tinpot-tower",
            "axum",
            "clap",
            "pyo3",
            "rusqlite",
        ],
        direct: None,
    },
    // The core, unless a feature asks for more.
    Rule { krate: "tinpot", forbidden: PLUGGED_IN, direct: Some(&["tinpot-core"]) },
];

/// Holds the dependency tree of each crate, with its default features, against its rule.
pub(crate) fn check() -> Result<String, String> {
    let mut report = Vec::new();
    let mut broken = Vec::new();
    for rule in RULES {
        let all = packages(rule.krate, &[])?;
        let is_forbidden = |name: &str| {
            rule.forbidden.contains(&name)
                || (ASSEMBLIES.contains(&name) && !ASSEMBLIES.contains(&rule.krate))
        };
        for name in all.iter().filter(|name| is_forbidden(name)) {
            broken.push(format!(
                "   {} pulls in {name}; why: cargo tree -e normal -p {} -i {name}",
                rule.krate, rule.krate
            ));
        }
        if let Some(allowed) = rule.direct {
            for name in packages(rule.krate, &["--depth", "1"])? {
                if name != rule.krate && !allowed.contains(&name.as_str()) {
                    broken.push(format!(
                        "   {} names {name}, which is not on its list in {}",
                        rule.krate,
                        file!()
                    ));
                }
            }
        }
        report.push(format!("{}: {} packages", rule.krate, all.len() - 1));
    }
    if broken.is_empty() { Ok(report.join("\n")) } else { Err(broken.join("\n")) }
}

/// The names of the packages in a crate's tree, itself included.
///
/// `--locked`, because the first thing that reads the tree should also notice a stale `Cargo.lock`.
fn packages(krate: &str, extra: &[&str]) -> Result<Vec<String>, String> {
    let mut arguments = vec!["tree", "--locked", "-e", "normal", "-p", krate];
    arguments.extend(["--prefix", "none", "-f", "{p}"]);
    arguments.extend(extra);
    Ok(names(&output("cargo", &arguments)?))
}

fn names(tree: &str) -> Vec<String> {
    let mut names: Vec<_> =
        tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_a_tree() {
        let tree = "tinpot-core v0.1.0 (/x)\nserde v1.0.1\nuuid v1.2.3\nserde v1.0.1 (*)\n";
        assert_eq!(names(tree), ["serde", "tinpot-core", "uuid"]);
    }

    #[test]
    fn every_crate_of_the_workspace_layers_has_a_rule() {
        let of = |krate: &str| {
            RULES.iter().filter(|rule| rule.krate == format!("tinpot-{krate}")).count()
        };
        assert_eq!(["core", "mqtt", "python", "http", "sqlite", "ui", "server"].map(of), [1; 7]);
    }
}
