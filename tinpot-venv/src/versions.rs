//! Versions of Python that an app or a file accepts, such as `>=3.12,<4`.

use std::fmt;

/// Clauses that a version must all fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    text: String,
    clauses: Vec<Clause>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    operator: String,
    version: Vec<u32>,
    /// If true, the version ended with `.*`.
    is_prefix: bool,
}

impl Versions {
    /// Reads a text such as `>=3.12,<4`, whose form was checked: what is no number counts as 0.
    pub fn parse(text: &str) -> Self {
        let clause = |clause: &str| {
            let clause = clause.trim();
            let version = clause.trim_start_matches(['<', '>', '=', '!', '~']);
            let operator = &clause[..clause.len() - version.len()];
            let (version, is_prefix) = match version.trim().strip_suffix(".*") {
                Some(version) => (version, true),
                None => (version.trim(), false),
            };
            let number = |part: &str| {
                let digits = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                digits.parse().unwrap_or_default()
            };
            Clause {
                operator: operator.to_owned(),
                version: version.split('.').map(number).collect(),
                is_prefix,
            }
        };
        Self { text: text.to_owned(), clauses: text.split(',').map(clause).collect() }
    }

    /// Returns true if a version fulfils all clauses.
    pub fn accepts(&self, version: [u32; 3]) -> bool {
        self.clauses.iter().all(|clause| clause.accepts(version))
    }
}

impl Clause {
    fn accepts(&self, version: [u32; 3]) -> bool {
        let mut wanted = [0; 3];
        for (at, number) in self.version.iter().take(3).enumerate() {
            wanted[at] = *number;
        }
        let begins = |count: usize| version[..count.min(3)] == wanted[..count.min(3)];
        let count = self.version.len();
        match &*self.operator {
            ">=" => version >= wanted,
            "<=" => version <= wanted,
            ">" => version > wanted,
            "<" => version < wanted,
            "!=" if self.is_prefix => !begins(count),
            "!=" => version != wanted,
            "~=" => version >= wanted && begins(count.saturating_sub(1).max(1)),
            "==" if !self.is_prefix => version == wanted,
            // `3.12` and `==3.12.*` mean every version that begins so.
            _ => begins(count),
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Versions;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = [3, 11, 7];
        for text in [
            ">=3.9", ">=3.11.7", "<3.12", ">=3.9,<4", "3.11", "==3.11.*", "~=3.11.2", "~=3.9",
            "!=3.10.*", ">3", "<=3.11.7",
        ] {
            assert!(Versions::parse(text).accepts(version), "{text}");
        }
        for text in [
            ">=3.12",
            "<3.11",
            ">=3.9,<3.11",
            "3.1",
            "==3.11",
            "~=3.10.2",
            "!=3.11.*",
            ">3.11.7",
            "2",
            "==3.11.6",
        ] {
            assert!(!Versions::parse(text).accepts(version), "{text}");
        }
    }
}
