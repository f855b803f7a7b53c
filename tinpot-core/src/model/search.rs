//! Searches of the history: the words of a search, and the words of an execution.

use super::execution::Execution;
use super::id::ExecutionId;

/// The bounds of the words that an execution is found by, in bytes: of its parameters, and of its
/// error. Words beyond are not found. They keep an index small: it has a row for each execution.
const PARAMETERS_BYTES: usize = 4 * 1024;
const ERROR_BYTES: usize = 1024;
/// The part of the parameters that is read for that, in bytes.
const PARAMETERS_READ_BYTES: usize = 256 * 1024;
/// Longer words are cut, in an execution and in a search.
const WORD_BYTES: usize = 64;
/// The digits from which a word may be the beginning of an id. Fewer are the same in all ids of
/// some minutes.
const ID_DIGITS_MIN: usize = 9;
const ID_DIGITS: usize = 32;
/// The end of an id that is a word of its own, as pages show it.
const ID_END_DIGITS: usize = 8;

/// A search of the history, as in [`ListOptions::search`](crate::ListOptions::search).
///
/// A word is a run of letters and digits. A part of the search between blanks matches if its words
/// follow each other in the [text](search_text) of an execution; the last of them may be the
/// beginning of a longer word. An execution matches if every part does. The case of letters does
/// not matter.
///
/// ```
/// use tinpot_core::store::Search;
/// use tinpot_core::{Execution, ExecutionId, Json};
///
/// let parameters = Json::parse(r#"{"host": "web-1.example.org"}"#)?;
/// let execution = Execution::new(ExecutionId::generate(), "backup_db", parameters);
/// assert!(Search::new("WEB-1 back").matches(&execution));
/// assert!(!Search::new("web-1 restore").matches(&execution));
/// # Ok::<(), tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    parts: Vec<SearchPart>,
}

/// One part of a search: words that follow each other, the last of which may be cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchPart {
    /// The words, in lower case; at least one.
    pub words: Vec<String>,
    /// The ids that begin with this part, if it looks like the beginning of one: the first and the
    /// last. Executions with these ids match, too.
    pub ids: Option<(ExecutionId, ExecutionId)>,
}

impl Search {
    /// The most parts of a search.
    pub const PARTS_MAX: usize = 8;

    /// Reads a search. Parts without letters and digits are ignored, and so are parts beyond
    /// [`PARTS_MAX`](Self::PARTS_MAX).
    pub fn new(text: &str) -> Self {
        let parts = text.split_whitespace().filter_map(SearchPart::new);
        Self { parts: parts.take(Self::PARTS_MAX).collect() }
    }

    /// Returns the parts. Without any, every execution matches.
    pub fn parts(&self) -> &[SearchPart] {
        &self.parts
    }

    /// Returns true if the execution matches.
    pub fn matches(&self, execution: &Execution) -> bool {
        if self.parts.is_empty() {
            return true;
        }
        let text = search_text(execution);
        let words: Vec<&str> = text.split(' ').collect();
        self.parts.iter().all(|part| part.has_id(execution.id) || part.is_in(&words))
    }
}

impl SearchPart {
    fn new(text: &str) -> Option<Self> {
        let mut words = Words::default();
        words.add(text.chars(), usize::MAX);
        let words: Vec<String> = words.0.split(' ').map(str::to_owned).collect();
        (words != [""]).then(|| Self { words, ids: ids_that_begin_with(text) })
    }

    fn has_id(&self, id: ExecutionId) -> bool {
        self.ids.is_some_and(|(first, last)| (first..=last).contains(&id))
    }

    fn is_in(&self, words: &[&str]) -> bool {
        let Some((last, before)) = self.words.split_last() else { return true };
        let follow = |found: &[&str]| {
            found.iter().zip(before).all(|(found, word)| found == word)
                && found.last().is_some_and(|found| found.starts_with(&**last))
        };
        words.windows(self.words.len()).any(follow)
    }
}

fn ids_that_begin_with(text: &str) -> Option<(ExecutionId, ExecutionId)> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if !(ID_DIGITS_MIN..=ID_DIGITS).contains(&digits.len()) {
        return None;
    }
    let number = u128::from_str_radix(&digits, 16).ok()?;
    let open = 4 * (ID_DIGITS - digits.len());
    let first = number << open;
    let last = first | ((1_u128 << open) - 1);
    Some((ExecutionId::from_u128(first), ExecutionId::from_u128(last)))
}

/// Returns the words that an execution is found by, in lower case, with a blank between two: those
/// of its action, its requester, its parameters, its error and the end of its id.
///
/// The values of secrets are not among them. Of long parameters and errors, it has the beginning.
pub fn search_text(execution: &Execution) -> String {
    let mut words = Words::default();
    words.add(execution.action.chars(), usize::MAX);
    if let Some(requester) = &execution.requested_by {
        words.add(requester.chars(), usize::MAX);
    }
    let parameters = execution.shown_parameters();
    let parameters = parameters.as_str();
    let read = (0..=PARAMETERS_READ_BYTES.min(parameters.len())).rev();
    let read = { read }.find(|end| parameters.is_char_boundary(*end)).unwrap_or(0);
    words.add(Unescaped { rest: parameters[..read].chars() }, PARAMETERS_BYTES);
    if let Some(failure) = execution.outcome.as_ref().and_then(|outcome| outcome.failure()) {
        words.add(failure.kind.chars(), ERROR_BYTES);
        words.add(failure.message.chars(), ERROR_BYTES);
    }
    let id = format!("{:032x}", execution.id.as_u128());
    words.add(id[ID_DIGITS - ID_END_DIGITS..].chars(), usize::MAX);
    words.0
}

/// Words with a blank between two.
#[derive(Default)]
struct Words(String);

impl Words {
    /// Adds the words of a text: about `max` bytes of them.
    fn add(&mut self, text: impl Iterator<Item = char>, max: usize) {
        let end = self.0.len().saturating_add(max);
        let mut word_bytes = 0;
        for c in text {
            if !c.is_alphanumeric() {
                word_bytes = 0;
                if self.0.len() > end {
                    return;
                }
                continue;
            }
            // Some letters become two characters, of which one is a mark.
            for c in c.to_lowercase().filter(|c| c.is_alphanumeric()) {
                if word_bytes == 0 && !self.0.is_empty() {
                    self.0.push(' ');
                }
                word_bytes += c.len_utf8();
                if word_bytes <= WORD_BYTES {
                    self.0.push(c);
                }
            }
        }
    }
}

/// The characters of a JSON document, with the meaning of escapes in their place.
struct Unescaped<'a> {
    rest: std::str::Chars<'a>,
}

impl Unescaped<'_> {
    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest.as_str().get(..4)?;
        let unit = u32::from_str_radix(digits, 16).ok()?;
        self.rest = self.rest.as_str()[4..].chars();
        Some(unit)
    }
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        // A backslash occurs in strings only.
        let c = self.rest.next()?;
        if c != '\\' {
            return Some(c);
        }
        Some(match self.rest.next()? {
            'b' | 'f' | 'n' | 'r' | 't' => ' ',
            'u' => {
                let first = self.unit().unwrap_or(0x20);
                if (0xd800..0xdc00).contains(&first) && self.rest.as_str().starts_with("\\u") {
                    self.rest = self.rest.as_str()[2..].chars();
                    let second = self.unit().unwrap_or(0x20);
                    let low = second.wrapping_sub(0xdc00) & 0x3ff;
                    char::from_u32(0x10000 + ((first - 0xd800) << 10) + low).unwrap_or(' ')
                } else {
                    char::from_u32(first).unwrap_or(' ')
                }
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{PARAMETERS_BYTES, Search, search_text};
    use crate::model::execution::Execution;
    use crate::model::failure::Failure;
    use crate::model::id::ExecutionId;
    use crate::model::json::Json;
    use crate::model::outcome::Outcome;

    const ID: u128 = 0x019a_c3f2_7b4e_7000_8000_a1b2_c3d4_e5f6;

    fn execution(parameters: &str) -> Execution {
        let parameters = Json::parse(parameters).expect("JSON");
        Execution::new(ExecutionId::from_u128(ID), "sync.Backup_db", parameters)
    }

    #[test]
    fn words_are_those_of_all_fields_without_secrets() {
        let text = r#"{"host":"web-1","note":"Gr\u00fc\u00dfe\nan \ud835\udfd9 \"ZWEI\"","token":"hunter2","n":[1.5,true]}"#;
        let mut execution = execution(text);
        execution.secrets = vec!["/token".to_owned()];
        execution.requested_by = Some("Anna K.".into());
        execution.outcome = Some(Outcome::Failed(Failure::new("no space left").kind("OSError")));
        assert_eq!(
            search_text(&execution),
            "sync backup db anna k host web 1 note grüße an 𝟙 zwei token n 1 5 true oserror no space left c3d4e5f6"
        );
    }

    #[test]
    fn parts_match_words_in_order_and_the_beginning_of_the_last() {
        let execution = execution(r#"{"host":"web-1.example.org","port":80}"#);
        for found in [
            "",
            "  ",
            "BACK",
            "back exam",
            "web-1",
            "host=web-1",
            "web-1.exa",
            "sync.backup",
            "…c3d4e5f6",
            "c3d4",
            "019ac3f2-7b4e",
            "019AC3F27B4E7",
            "019ac3f2-7b4e-7000-8000-a1b2c3d4e5f6 backup",
            "***",
            "80 -",
        ] {
            assert!(Search::new(found).matches(&execution), "{found}");
        }
        for missing in
            ["ackup", "we-1", "web-2", "1-web", "back restore", "019ac3f2-7b4f", "019ac3f2", "8080"]
        {
            assert!(!Search::new(missing).matches(&execution), "{missing}");
        }
    }

    #[test]
    fn long_texts_and_long_words_are_bounded() {
        let many =
            format!("{{\"a\":\"{}\",\"b\":\"{}\"}}", "x".repeat(100_000), "y ".repeat(50_000));
        let text = search_text(&execution(&many));
        assert!(text.len() < PARAMETERS_BYTES + 200, "{}", text.len());
        assert!(Search::new(&"x".repeat(90)).matches(&execution(&many)));
        assert!(Search::new("1 2 3 4 5 6 7 8 9 10").parts().len() <= Search::PARTS_MAX);
    }
}
