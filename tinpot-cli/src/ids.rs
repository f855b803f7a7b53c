//! Ids of executions on the command line: whole, or as much as tells them apart, or their numbers.

use serde::Deserialize;

use crate::client::{Client, encoded, query};
use crate::exit::{CliError, Code};
use crate::output::clean;
use crate::times::Clock;

/// The length of an id with its hyphens.
const LENGTH: usize = 36;
/// The number of its digits.
const DIGITS: usize = 32;
/// The shortest part of an id to look for, in digits: fewer are a slip.
const DIGITS_MIN: usize = 4;
/// The number of executions to list when a part of an id fits several.
const LISTED_MAX: usize = 8;
/// The number of latest executions among which the end of an id is looked for.
const RECENT: usize = 1000;
/// The length of the start of an id that holds its whole time of creation.
const TIME: usize = 13;

#[derive(Deserialize)]
struct Page {
    executions: Vec<Candidate>,
}

/// An execution that an abbreviated id may mean.
#[derive(Debug, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) execution_id: String,
    pub(crate) action_name: String,
    pub(crate) status: String,
    accepted_at: String,
}

/// Returns the whole id of the execution that `text` names: by its number, by its id, by the start
/// of the id, or by its end, as the web UI shows it.
///
/// # Errors
/// Fails if no execution has such an id, or several have; the message lists these.
pub(crate) fn resolve(client: &Client, text: &str, clock: &Clock) -> Result<String, CliError> {
    if text.trim().is_empty() {
        return Err(CliError::usage("the id of an execution must not be empty"));
    }
    let part = text.trim().trim_start_matches(['…', '.']).to_ascii_lowercase();
    let digits = part.chars().filter(char::is_ascii_hexdigit).count();
    let is_part = part.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if !is_part || part.len() >= LENGTH || digits == 0 || digits > DIGITS {
        // The server answers for what is no part of an id.
        return Ok(text.trim().to_owned());
    }
    if digits == DIGITS {
        return Ok(dashed(&part));
    }
    let number = number_in(text.trim());
    if let Some(number) = number
        && let Some(found) = with_number(client, number)?
    {
        return Ok(found);
    }
    if digits < DIGITS_MIN {
        return Err(match number {
            Some(number) => {
                let message = format!("no execution has the number {number}");
                CliError::new(Code::NotFound, message)
            }
            None => CliError::usage(format!(
                "a part of an id must have at least {DIGITS_MIN} digits (got {text:?})"
            )),
        });
    }
    let mut found = starting_with(client, &part)?;
    let mut how = "starts with";
    if found.is_empty() {
        found = recent(client, RECENT)?;
        found.retain(|candidate| candidate.execution_id.ends_with(&part));
        how = "ends with";
    }
    match found.as_slice() {
        [one] => Ok(one.execution_id.clone()),
        [] => {
            let message = format!(
                "no execution has an id that starts with {part:?}, and none of the latest {RECENT} \
                 has one that ends with it; `tinpot executions list` lists them"
            );
            Err(CliError::new(Code::NotFound, message))
        }
        several => {
            let mut message = format!("more than one execution has an id that {how} {part:?}:");
            for candidate in several.iter().take(LISTED_MAX) {
                message.push_str(&format!(
                    "\n  {}  {}  {}  {}",
                    candidate.execution_id,
                    clock.short(&candidate.accepted_at),
                    candidate.status,
                    clean(&candidate.action_name, false),
                ));
            }
            if several.len() > LISTED_MAX {
                message.push_str("\n  …");
            }
            Err(CliError::usage(message))
        }
    }
}

/// Returns the number that a text can be. The start of an id begins with a zero, and a number does
/// not.
fn number_in(text: &str) -> Option<u64> {
    let is_number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Returns the id of the execution with a number.
fn with_number(client: &Client, number: u64) -> Result<Option<String>, CliError> {
    let pairs = [("number", number.to_string())];
    let page: Page = client.read(&format!("/api/executions{}", query(&pairs)))?;
    Ok(page.executions.into_iter().next().map(|found| found.execution_id))
}

/// Returns an id with its hyphens.
fn dashed(digits: &str) -> String {
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..DIGITS].map(|range| &digits[range]);
    [a, b, c, d, e].join("-")
}

/// Returns the path of an execution in the API.
pub(crate) fn path(id: &str, rest: &str) -> String {
    format!("/api/executions/{}{rest}", encoded(id))
}

/// Returns executions whose ids have that start, at most one more than a message lists.
fn starting_with(client: &Client, part: &str) -> Result<Vec<Candidate>, CliError> {
    let digits: String = part.chars().filter(|c| *c != '-').collect();
    // Executions are listed by id, so those with the same start follow each other. `before`
    // excludes the id that it names: the last one with this start.
    let before = dashed(&format!("{digits:f<DIGITS$}"));
    let pairs = [("before", before), ("limit", (LISTED_MAX + 1).to_string())];
    let page: Page = client.read(&format!("/api/executions{}", query(&pairs)))?;
    let fits = |candidate: &Candidate| {
        let id = candidate.execution_id.chars().filter(|c| *c != '-');
        digits.chars().eq(id.take(digits.len()))
    };
    Ok(page.executions.into_iter().filter(fits).collect())
}

/// Returns the latest executions, newest first.
pub(crate) fn recent(client: &Client, number: usize) -> Result<Vec<Candidate>, CliError> {
    let pairs = [("limit", number.to_string())];
    let page: Page = client.read(&format!("/api/executions{}", query(&pairs)))?;
    Ok(page.executions)
}

/// Returns the shortest length at which the ids differ, but at least that of their time of
/// creation.
pub(crate) fn abbreviated(ids: &[&str]) -> usize {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let same = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let longest = sorted.windows(2).map(|pair| same(pair[0], pair[1])).max().unwrap_or(0);
    (longest + 1).clamp(TIME, LENGTH)
}

#[cfg(test)]
mod tests {
    use super::{abbreviated, number_in};

    #[test]
    fn a_number_is_told_from_the_start_of_an_id() {
        assert_eq!(number_in("4711"), Some(4711));
        for no_number in ["0190", "0", "…4711", "4711a", "-1", "+1", "", "99999999999999999999"] {
            assert_eq!(number_in(no_number), None, "{no_number}");
        }
    }

    #[test]
    fn ids_are_cut_where_they_still_differ() {
        let ids = [
            "01890000-0000-7000-8000-000000000000",
            "01890000-0000-7000-8001-000000000000",
            "01890000-0001-7000-8000-000000000000",
        ];
        assert_eq!(abbreviated(&ids[..1]), 13);
        assert_eq!(abbreviated(&ids[1..]), 13);
        assert_eq!(abbreviated(&ids), 23);
    }
}
