//! Every text of the command tree follows the style guide of messages.

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;
use crate::exit::CODES;

/// The verbs that the text of a command or a switch starts with.
const VERBS: [&str; 48] = [
    "Activate",
    "Add",
    "Allow",
    "Ask",
    "Build",
    "Cancel",
    "Check",
    "Compare",
    "Create",
    "Deploy",
    "Disable",
    "Distinguish",
    "Do",
    "Drain",
    "Enable",
    "Erase",
    "Follow",
    "Give",
    "Ignore",
    "Import",
    "Inspect",
    "Join",
    "Keep",
    "Kill",
    "Limit",
    "List",
    "Make",
    "Manage",
    "Pack",
    "Pause",
    "Print",
    "Record",
    "Remove",
    "Rename",
    "Resume",
    "Revoke",
    "Replace",
    "Run",
    "Search",
    "Send",
    "Serve",
    "Set",
    "Show",
    "Sign",
    "Start",
    "Stop",
    "Upload",
    "Write",
];
/// Openers of clauses; a noun phrase or an imperative starts with none of them.
const OPENERS: [&str; 24] = [
    "As",
    "At",
    "By",
    "Everything",
    "For",
    "How",
    "If",
    "It",
    "Its",
    "Not",
    "Nothing",
    "Of",
    "Only",
    "So",
    "Something",
    "Those",
    "What",
    "When",
    "Where",
    "Whether",
    "Which",
    "Who",
    "Why",
    "With",
];
/// Words and phrases that the style guide replaces. Their marks keep a search of the sources for
/// those words from finding this list: `-` is nothing, `_` a blank.
const BANNED: [&str; 14] = [
    "a-new",
    "be-side",
    "fold-er",
    "is_over",
    "is_told",
    "like-wise",
    "no-body",
    "sent_home",
    "so_long",
    "so_many",
    "so_much",
    "some-body",
    "what-ever",
    "who-ever",
];

fn walk(command: &Command, path: &str, check: &mut impl FnMut(&str, &Command)) {
    check(path, command);
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        walk(sub, &format!("{path} {}", sub.get_name()), check);
    }
}

/// Returns the faults of a text; `verb` requires an imperative.
fn faults(text: &str, verb: bool) -> Vec<String> {
    let first = text.split([' ', ':', ',']).next().unwrap_or_default();
    let lower = text.to_lowercase();
    let mut faults = Vec::new();
    if text.is_empty() {
        return vec!["has no text".to_owned()];
    }
    if !first.starts_with(|c: char| c.is_ascii_uppercase()) {
        faults.push("starts with a lower-case letter".to_owned());
    }
    if OPENERS.contains(&first) {
        faults.push(format!("starts with {first:?}"));
    }
    if verb && !VERBS.contains(&first) {
        faults.push(format!("does not start with an imperative (got {first:?})"));
    }
    if text.ends_with('.') {
        faults.push("ends with a period".to_owned());
    }
    let is_word = |at: usize, word: &str| {
        let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        outside(lower[..at].chars().next_back()) && outside(lower[at + word.len()..].chars().next())
    };
    let banned = BANNED.iter().map(|word| word.replace('-', "").replace('_', " "));
    let banned =
        banned.filter(|word| lower.match_indices(word).any(|(at, word)| is_word(at, word)));
    faults.extend(banned.map(|word| format!("has the word {word:?}")));
    faults
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

#[test]
fn every_text_of_the_command_tree_is_an_imperative_or_a_noun_phrase() {
    let mut root = Cli::command();
    root.build();
    let mut wrong = Vec::new();
    walk(&root, "tinpot", &mut |path, command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        wrong.extend(faults(&about, true).iter().map(|fault| format!("{path}: {fault}")));
        let own =
            |arg: &&Arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version");
        for arg in command.get_arguments().filter(own) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let id = arg.get_id();
            let found = faults(&help, is_switch(arg));
            wrong.extend(found.iter().map(|fault| format!("{path} {id}: {fault}: {help}")));
        }
    });
    for (code, meaning) in CODES {
        let found = faults(&format!("Exit code: {meaning}"), false);
        wrong.extend(found.iter().map(|fault| format!("exit code {}: {fault}", *code as u8)));
    }
    assert!(wrong.is_empty(), "{} texts:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn faults_are_found() {
    assert!(faults("List actions", true).is_empty());
    assert!(faults("The maximum number to list", false).is_empty());
    assert_eq!(faults("The maximum number", true).len(), 1);
    assert_eq!(faults("What can be run", false).len(), 1);
    let many = ["so", "many"].join(" ");
    assert_eq!(faults(&format!("stop after {many} seconds."), true).len(), 4);
    assert_eq!(faults("Run besides others", true).len(), 0, "only whole words count");
}

#[test]
fn every_setting_in_the_table_of_limits_is_a_key_of_a_program() {
    let mut root = Cli::command();
    root.build();
    let keys: Vec<String> = ["coordinator", "worker"]
        .iter()
        .filter_map(|program| root.find_subcommand(program))
        .flat_map(Command::get_arguments)
        .filter(|arg| !arg.is_hide_set())
        .filter_map(crate::config::key_of)
        .collect();
    for setting in tinpot_server::settings::limits().iter().filter_map(|limit| limit.setting) {
        assert!(keys.iter().any(|key| key == setting), "{setting}");
    }
}
