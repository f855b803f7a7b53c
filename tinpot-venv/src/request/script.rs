//! Inline script metadata (PEP 723).

use super::{texts, versions};
use crate::versions::Versions;

const BEGIN: &str = "# /// script";
const END: &str = "# ///";

/// The metadata of a script.
#[derive(Debug)]
pub(super) struct Script {
    /// The metadata as TOML.
    pub(super) block: String,
    /// The metadata as comments.
    pub(super) commented: String,
    pub(super) dependencies: Vec<String>,
    pub(super) python: Option<Versions>,
    /// If true, a table of uv says more.
    pub(super) needs_uv: bool,
}

/// Returns true if a Python file begins a block of metadata, whether that is right or not.
pub fn declares(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == BEGIN)
}

/// Reads the metadata of a Python file.
pub(super) fn read(text: &str) -> Result<Script, String> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let begins: Vec<usize> = (0..lines.len()).filter(|at| lines[*at] == BEGIN).collect();
    let begin = match begins[..] {
        [] => return Err(format!("the block of metadata, which begins with `{BEGIN}`, is gone")),
        [begin] => begin,
        [first, second, ..] => {
            return Err(format!(
                "two blocks of metadata begin with `{BEGIN}`, in lines {} and {}: keep one",
                first + 1,
                second + 1
            ));
        }
    };
    let is_comment = |line: &&&str| **line == "#" || line.starts_with("# ");
    let below: Vec<&str> = lines[begin + 1..].iter().take_while(is_comment).copied().collect();
    let Some(end) = below.iter().rposition(|line| *line == END) else {
        let message = format!(
            "the block of metadata in line {} has no end: every line must be a comment, and the \
             last one `{END}`",
            begin + 1
        );
        return Err(message);
    };
    let content = below[..end].iter().map(|line| line.strip_prefix("# ").unwrap_or_default());
    let block: String = content.flat_map(|line| [line, "\n"]).collect();
    let table: toml::Table = block
        .parse()
        .map_err(|error: toml::de::Error| format!("the block of metadata is not TOML: {error}"))?;
    let tool = table.get("tool").and_then(|tool| tool.get("uv"));
    Ok(Script {
        dependencies: texts("dependencies", table.get("dependencies"))?,
        python: versions(table.get("requires-python"))?,
        needs_uv: tool.is_some(),
        commented: format!("{BEGIN}\n{}\n{END}\n", below[..end].join("\n")),
        block,
    })
}

#[cfg(test)]
mod tests {
    use super::{declares, read};

    #[test]
    fn metadata_is_read_as_the_standard_says() {
        let script = read(
            "#!/usr/bin/env python\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n\
             #   \"requests<3\",\n# ]\n#\n# ///\nimport requests\n",
        )
        .expect("metadata");
        assert_eq!(script.dependencies, ["requests<3"]);
        assert_eq!(script.python.expect("versions").to_string(), ">=3.11");
        assert!(!script.needs_uv && !declares("x = '# /// script'\n"));
    }

    #[test]
    fn wrong_metadata_is_named() {
        for (text, part) in [
            ("# /// script\n# ///\n\n# /// script\n# ///\n", "lines 1 and 4"),
            ("# /// script\n# dependencies = []\nx = 1\n", "has no end"),
            ("# /// script\n# dependencies = [\n# ///\n", "not TOML"),
            ("# /// script\n# dependencies = [1]\n# ///\n", "must be a list of texts"),
            ("# /// script\n# requires-python = 'new'\n# ///\n", "(got \"new\")"),
        ] {
            let error = read(text).expect_err("an error");
            assert!(error.contains(part), "{error}");
            assert!(declares(text));
        }
    }
}
