//! Every dependency must be free to ship with a program under MIT or Apache-2.0.

use crate::run::output;

/// SPDX names of the licences that may come in.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Python-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Reads the licence of each package that is compiled here, with all features.
pub(crate) fn check() -> Result<String, String> {
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
        .filter(|(_, licence)| !allowed(licence))
        .map(|(package, licence)| {
            let licence = if licence.is_empty() { "no licence named" } else { licence };
            format!("   {package}: {licence}")
        })
        .collect();
    if refused.is_empty() {
        Ok(format!("{} packages", packages.len()))
    } else {
        Err(format!("{}\n   the allowed ones are listed in {}", refused.join("\n"), file!()))
    }
}

/// Whether an SPDX expression can be satisfied with what is allowed.
fn allowed(expression: &str) -> bool {
    // `A/B` is how old manifests wrote `A OR B`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words };
    parser.either().unwrap_or(false) && parser.words.is_empty()
}

/// Recursive descent over the words that are left; `None` when they make no sense.
struct Parser<'a> {
    words: &'a [&'a str],
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
        Some(ALLOWED.contains(licence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT Apache-2.0", "MIT OR", "OR MIT"]
        {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
