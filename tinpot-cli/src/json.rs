//! JSON for people and programs, made from the text of the server so that numbers and the order of
//! names stay as they are.

use serde_json::json;

use crate::client::Completion;

/// Returns JSON with line breaks and two spaces per level.
pub(crate) fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut chars = text.chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.peek().is_some_and(|c| c.is_ascii_whitespace()) {
                    chars.next();
                }
                if chars.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    out.extend(chars.next());
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// Returns JSON in one line.
pub(crate) fn line(text: &str) -> String {
    // Line breaks can only stand between tokens: within a string, JSON escapes them.
    text.trim().replace(['\n', '\r'], " ")
}

/// Returns the end of an execution, for programs.
pub(crate) fn ended(id: &str, completion: &Completion) -> String {
    let result = completion.result.as_ref().map_or("null", |result| result.get());
    let rest = json!({
        "execution_id": id, "status": completion.status, "successful": completion.successful,
        "error": completion.error, "kind": completion.kind, "traceback": completion.traceback,
    });
    let rest = rest.to_string();
    format!("{},\"result\":{}}}", rest.trim_end_matches('}'), line(result))
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn pretty_json_is_the_same_document() {
        let text = r#"{"b": [1.50, {}, [ ], "a\"{,:\\"], "a":{"x":null}}"#;
        let pretty = pretty(text);
        let expected = "{\n  \"b\": [\n    1.50,\n    {},\n    [],\n    \"a\\\"{,:\\\\\"\n  ],\n  \"a\": {\n    \"x\": null\n  }\n}";
        assert_eq!(pretty, expected);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&pretty), read(text));
    }
}
