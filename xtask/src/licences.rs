//! Every dependency must be free to ship with a program under MIT or Apache-2.0.

use std::fs;

use crate::run::output;

/// The file with the licences that may come in; cargo-deny reads it, too.
const LIST: &str = "deny.toml";

/// Reads the licence of each package that is compiled here, with all features.
pub(crate) fn check() -> Result<String, String> {
    let list = fs::read_to_string(LIST).map_err(|error| format!("{LIST}: {error}"))?;
    let names = names_of(&list);
    let mut arguments = vec!["tree", "--workspace", "--all-features", "-e", "normal,build,dev"];
    arguments.extend(["--prefix", "none", "-f", "{p}|{l}|"]);
    let tree = output("cargo", &arguments)?;
    let mut packages: Vec<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let (package, rest) = line.split_once('|')?;
            Some((package, rest.split('|').next()?.trim()))
        })
        .collect();
    packages.sort_unstable();
    packages.dedup();
    let refused: Vec<_> = packages
        .iter()
        .filter(|(_, licence)| !allowed(licence, &names))
        .map(|(package, licence)| {
            let licence = if licence.is_empty() { "no licence named" } else { licence };
            format!("   {package}: {licence}")
        })
        .collect();
    if refused.is_empty() {
        Ok(format!("{} packages", packages.len()))
    } else {
        Err(format!("{}\n   the allowed ones are listed in {}", refused.join("\n"), LIST))
    }
}

/// Returns the names of the list `allow` in the section `[licenses]`.
fn names_of(list: &str) -> Vec<&str> {
    let section = list.split("[licenses]").nth(1).unwrap_or_default();
    let after = section.split("allow = [").nth(1).unwrap_or_default();
    let inside = after.split(']').next().unwrap_or_default();
    inside.split('"').skip(1).step_by(2).collect()
}

/// Returns true if an SPDX expression can be satisfied with the allowed licences.
fn allowed(expression: &str, names: &[&str]) -> bool {
    // `A/B` is how old manifests wrote `A OR B`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, names };
    parser.either().unwrap_or(false) && parser.words.is_empty()
}

/// Recursive descent over the words that are left; `None` when they make no sense.
struct Parser<'a> {
    words: &'a [&'a str],
    names: &'a [&'a str],
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let taken = self.words.first() == Some(&word);
        if taken {
            self.words = &self.words[1..];
        }
        taken
    }

    fn either(&mut self) -> Option<bool> {
        let mut value = self.both()?;
        while self.take("OR") {
            value |= self.both()?;
        }
        Some(value)
    }

    fn both(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.take("AND") {
            value &= self.one()?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let value = self.either()?;
            return self.take(")").then_some(value);
        }
        let (licence, rest) = self.words.split_first()?;
        self.words = rest;
        // An exception only ever adds permissions.
        if self.take("WITH") {
            self.words = self.words.get(1..)?;
        }
        Some(self.names.contains(licence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_from_its_section() {
        let list =
            "[bans]\nallow = [\"x\"]\n[licenses]\nallow = [\n  \"MIT\", # ours\n  \"ISC\",\n]\n";
        assert_eq!(names_of(list), ["MIT", "ISC"]);
    }

    #[test]
    fn expressions_are_understood() {
        let names = ["Apache-2.0", "MIT", "Unicode-3.0"];
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(allowed(good, &names), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT Apache-2.0", "MIT OR", "OR MIT"]
        {
            assert!(!allowed(bad, &names), "{bad}");
        }
    }
}
