//! `pyproject.toml`: dependencies, and groups of them (PEP 735).

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{texts, versions};
use crate::versions::Versions;

/// The depth at which groups may include others.
const MAX_DEPTH: usize = 20;

/// The part of a project that concerns its environment.
#[derive(Debug)]
pub(super) struct Project {
    dependencies: Vec<String>,
    pub(super) python: Option<Versions>,
    /// The groups that `[tool.tinpot]` selects.
    pub(super) groups: Vec<String>,
    known: BTreeMap<String, Value>,
    needs_uv: bool,
}

/// Returns true if the file says what packages or what Python it needs.
pub(super) fn asks(text: &str) -> bool {
    // One that is wrong asks too, so that its error is seen.
    let Ok(table) = text.parse::<Table>() else { return true };
    let tinpot = table.get("tool").and_then(|tool| tool.get("tinpot"));
    table.contains_key("project") || tinpot.is_some_and(|tinpot| tinpot.get("groups").is_some())
}

/// Reads a `pyproject.toml`.
pub(super) fn read(text: &str) -> Result<Project, String> {
    let table = parse(text)?;
    let project = table.get("project");
    let of = |key: &str| project.and_then(|project| project.get(key));
    if texts("project.dynamic", of("dynamic"))?.iter().any(|name| name == "dependencies") {
        let message = "the dependencies are dynamic, so that only a build of the project knows \
                       them: add a uv.lock or use a requirements.txt";
        return Err(message.to_owned());
    }
    let tool = |name: &str| table.get("tool").and_then(|tool| tool.get(name));
    let groups = tool("tinpot").and_then(|tinpot| tinpot.get("groups"));
    let known = table.get("dependency-groups").and_then(Value::as_table).cloned();
    Ok(Project {
        dependencies: texts("project.dependencies", of("dependencies"))?,
        python: versions(of("requires-python"))?,
        groups: texts("tool.tinpot.groups", groups)?,
        known: known.into_iter().flatten().map(|(name, group)| (normal(&name), group)).collect(),
        needs_uv: tool("uv").is_some_and(|uv| uv.get("sources").or(uv.get("index")).is_some()),
    })
}

/// Returns the versions of Python of a `pylock.toml`.
pub(super) fn python_of_lock(text: &str) -> Result<Option<Versions>, String> {
    versions(parse(text)?.get("requires-python"))
}

fn parse(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| format!("not TOML: {error}"))
}

impl Project {
    /// Returns the dependencies and those of the selected groups, one per line.
    pub(super) fn list(&self) -> Result<String, String> {
        if self.needs_uv {
            let message = "the table [tool.uv] says where packages come from: add a uv.lock with \
                           `uv lock`";
            return Err(message.to_owned());
        }
        let mut list = self.dependencies.clone();
        for group in &self.groups {
            self.add_group(group, &mut list, 0)?;
        }
        Ok(list.join("\n"))
    }

    fn add_group(&self, name: &str, list: &mut Vec<String>, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("the dependency group {name:?} includes itself"));
        }
        let Some(group) = self.known.get(&normal(name)) else {
            let known: Vec<_> = self.known.keys().map(String::as_str).collect();
            return Err(format!("no dependency group {name:?} (there is {})", known.join(", ")));
        };
        let wrong = || format!("the dependency group {name:?} must be a list of requirements");
        for entry in group.as_array().ok_or_else(wrong)? {
            match (entry.as_str(), entry.get("include-group").and_then(Value::as_str)) {
                (Some(requirement), _) => list.push(requirement.to_owned()),
                (None, Some(other)) => self.add_group(other, list, depth + 1)?,
                (None, None) => return Err(wrong()),
            }
        }
        Ok(())
    }
}

/// Returns a name as names of packages and groups are compared.
fn normal(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
    name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::{asks, read};

    #[test]
    fn groups_include_others() {
        let text = "[project]\nname = 'x'\nrequires-python = '>=3.9'\ndependencies = ['a>1']\n\
                    [dependency-groups]\nOne_group = ['b', {include-group = 'two'}]\ntwo = ['c']\n\
                    [tool.tinpot]\ngroups = ['one-group']\n";
        let project = read(text).expect("a project");
        assert_eq!(project.list().expect("a list"), "a>1\nb\nc");
        let circle = text.replace("'c'", "{include-group = 'one-group'}");
        let error = read(&circle).expect("a project").list().expect_err("a circle");
        assert!(error.contains("includes itself"), "{error}");
        let missing = text.replace("['one-group']", "['three']");
        let error = read(&missing).expect("a project").list().expect_err("no group");
        assert!(
            error.contains("no dependency group \"three\" (there is one-group, two)"),
            "{error}"
        );
    }

    #[test]
    fn file_of_tools_asks_for_nothing() {
        assert!(!asks("[tool.ruff]\nline-length = 100\n"));
        assert!(asks("[project]\nname = 'x'\n") && asks("[project"));
        let dynamic = "[project]\nname = 'x'\ndynamic = ['dependencies']\n";
        assert!(read(dynamic).expect_err("an error").contains("dynamic"));
    }
}
