//! The layers inside the core: plain data below, and no circle of imports.
//!
//! Modules are compared with their siblings only: a module and its submodules are one unit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the core.
const CORE: &str = "tinpot-core/src";
/// The layer that imports nothing above it.
const MODEL: &str = "model";
/// Modules that may import anything: they test the rest.
const EXEMPT: &[&str] = &["testing"];

type Module = Vec<String>;

/// An import of one module by another, and the file in which it stands.
struct Import {
    from: Module,
    to: Module,
    file: PathBuf,
}

/// Checks that the model imports nothing above it and that no siblings import each other in a circle.
pub(crate) fn check() -> Result<String, String> {
    let mut files = Vec::new();
    collect(Path::new(CORE), &mut files)?;
    let sources = files
        .iter()
        .map(|file| Ok((file.clone(), module_of(file), read(file)?)))
        .collect::<Result<Vec<_>, String>>()?;
    let modules: BTreeSet<Module> = sources.iter().map(|(_, module, _)| module.clone()).collect();
    let exports = root_exports(&read(&Path::new(CORE).join("lib.rs"))?);
    let mut imports = Vec::new();
    for (file, module, text) in &sources {
        let exempt = module.first().is_none_or(|first| EXEMPT.contains(&first.as_str()));
        if exempt {
            continue;
        }
        for path in paths(without_tests(text)) {
            if let Some(to) = resolve(&path, module, &modules, &exports) {
                imports.push(Import { from: module.clone(), to, file: file.clone() });
            }
        }
    }
    let mut faults = upward(&imports);
    faults.extend(circles(&imports));
    if faults.is_empty() {
        Ok(format!("{} modules, {} imports, no circle", modules.len(), imports.len()))
    } else {
        Err(faults.join("\n"))
    }
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

fn module_of(file: &Path) -> Module {
    let inside = file.strip_prefix(CORE).unwrap_or(file).with_extension("");
    let parts = inside.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "lib").collect()
}

/// Unit tests stand at the end of a file and may import anything.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests").map_or(text, |at| &text[..at])
}

/// Returns which module each name at the root of the crate comes from.
fn root_exports(lib: &str) -> BTreeMap<String, Module> {
    let mut exports = BTreeMap::new();
    for path in paths(lib) {
        if path.first().is_some_and(|first| first == "self")
            && let Some((name, module)) = path[1..].split_last()
        {
            exports.insert(name.clone(), module.to_vec());
        }
    }
    exports
}

/// Returns the paths in a text that begin with `crate`, `super` or `self`, with braces expanded.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':')) {
                expand(&code[at..], Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Adds the path at the start of `text` to `found`, once per name in its braces. Returns its length.
fn expand(text: &str, mut prefix: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        if let Some(inside) = rest.strip_prefix('{') {
            let mut inner = 1;
            loop {
                let skipped = inside[inner - 1..]
                    .find(|c: char| c.is_alphanumeric() || c == '_' || c == '}' || c == '{')
                    .unwrap_or(inside.len() - (inner - 1));
                inner += skipped;
                if inner > inside.len() || inside[inner - 1..].starts_with('}') {
                    return at + inner + 1;
                }
                inner += expand(&inside[inner - 1..], prefix.clone(), found).max(1);
            }
        }
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if length == 0 {
            break;
        }
        prefix.push(rest[..length].to_owned());
        at += length;
        match text[at..].strip_prefix("::") {
            Some(_) => at += 2,
            None => break,
        }
    }
    found.push(prefix);
    at
}

/// Returns the module that a path names something of.
fn resolve(
    path: &[String],
    from: &Module,
    modules: &BTreeSet<Module>,
    exports: &BTreeMap<String, Module>,
) -> Option<Module> {
    let mut base = match path.first()?.as_str() {
        "crate" => Module::new(),
        _ => from.clone(),
    };
    let mut rest = &path[1..];
    if path[0] == "super" {
        base.pop();
        while rest.first().is_some_and(|part| part == "super") {
            base.pop();
            rest = &rest[1..];
        }
    }
    if base.is_empty()
        && let Some(module) = rest.first().and_then(|name| exports.get(name))
        && !modules.contains(&vec![rest[0].clone()])
    {
        return Some(module.clone());
    }
    for part in rest {
        base.push(part.clone());
        if !modules.contains(&base) {
            base.pop();
            break;
        }
    }
    Some(base)
}

/// Returns the imports of the model that leave it.
fn upward(imports: &[Import]) -> Vec<String> {
    let in_model = |module: &Module| module.first().is_some_and(|first| first == MODEL);
    imports
        .iter()
        .filter(|import| in_model(&import.from) && !in_model(&import.to) && !import.to.is_empty())
        .map(|import| {
            format!("   {}: the model imports {}", import.file.display(), import.to.join("::"))
        })
        .collect()
}

/// Returns the circles among siblings, each named once.
fn circles(imports: &[Import]) -> Vec<String> {
    let mut levels: BTreeMap<Module, BTreeMap<String, BTreeMap<String, &Path>>> = BTreeMap::new();
    for Import { from, to, file } in imports {
        let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if let (Some(a), Some(b)) = (from.get(common), to.get(common)) {
            let level = levels.entry(from[..common].to_vec()).or_default();
            level.entry(a.clone()).or_default().entry(b.clone()).or_insert(file);
        }
    }
    let mut faults = Vec::new();
    for (parent, edges) in &levels {
        let mut done = BTreeSet::new();
        for start in edges.keys() {
            let Some(circle) = circle_from(start, edges, &done) else {
                done.insert(start.clone());
                continue;
            };
            let steps = circle.windows(2).map(|pair| {
                let file = edges[&pair[0]][&pair[1]];
                format!("      {} imports {} in {}", pair[0], pair[1], file.display())
            });
            let within = if parent.is_empty() { "the core".to_owned() } else { parent.join("::") };
            faults.push(format!(
                "   a circle of imports in {within}:\n{}",
                steps.collect::<Vec<_>>().join("\n")
            ));
            done.extend(circle);
        }
    }
    faults
}

/// Returns a circle through `start`: its modules in order, the first one again at the end.
fn circle_from(
    start: &String,
    edges: &BTreeMap<String, BTreeMap<String, &Path>>,
    done: &BTreeSet<String>,
) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
    let mut open = vec![start];
    while let Some(module) = open.pop() {
        for next in edges.get(module).into_iter().flat_map(|targets| targets.keys()) {
            if next == start {
                let mut circle = vec![start.clone()];
                let mut at = module;
                while at != start {
                    circle.push(at.clone());
                    at = came_from[at];
                }
                circle.push(start.clone());
                circle.reverse();
                return Some(circle);
            }
            if !done.contains(next) && !came_from.contains_key(next) {
                came_from.insert(next, module);
                open.push(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        paths(text).into_iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn braces_are_expanded_and_comments_are_skipped() {
        let text =
            "use crate::a::{b::C, D, e::{F, G}};\n// crate::not::this\nlet x = super::y::z();";
        assert_eq!(
            names(text),
            ["crate::a::b::C", "crate::a::D", "crate::a::e::F", "crate::a::e::G", "super::y::z"]
        );
    }

    #[test]
    fn a_circle_among_siblings_is_named_and_a_parent_with_its_child_is_none() {
        let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
        let import = |from, to| Import { from: module(from), to: module(to), file: "f.rs".into() };
        let fine = [import("a::x", "a"), import("a", "a::x"), import("a", "b")];
        assert!(circles(&fine).is_empty());
        let circle = [import("a::x", "b"), import("b", "c::y"), import("c", "a")];
        let faults = circles(&circle);
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0].contains("a imports b") && faults[0].contains("c imports a"),
            "{faults:?}"
        );
    }
}
