//! The commands in the documentation, run as they stand there.
//!
//! A comment before a block says what to do with it: `<!-- file: PATH -->` writes it, `<!-- run
//! -->` runs it in a shell, `<!-- run, exits with: N -->`, `<!-- run until it prints that -->`
//! again and again until its output is right, `<!-- background until: TEXT -->` starts it and
//! leaves it running, `<!-- not run: REASON -->` leaves it out. Blocks of shell and Python without
//! such a comment fail the test. A block of `text` after one that ran is its output: lines in
//! order, with `…` for any text; the output may have further lines between them.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The time limit of every wait. A generous limit costs nothing unless a test fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// The port in the pages.
const PORT: &str = "8000";
/// The port of a broker in the pages.
const BROKER_PORT: &str = "1883";
/// The page about MQTT clients.
const MQTT: &str = "mqtt.md";
/// The command by which a page runs the program before it is installed; the tests have just built it.
const BUILT_AND_RUN: &str = "cargo run --release -p tinpot-cli --";

#[derive(Debug)]
struct Block {
    /// The line it starts at.
    line: usize,
    language: String,
    /// The comment before it.
    word: Option<String>,
    text: String,
}

/// Returns the blocks of a page in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let (mut word, mut open): (Option<String>, Option<Block>) = (None, None);
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => block.text.push_str(&format!("{line}\n")),
            (None, Some(language)) => {
                let language = language.split([' ', ',']).next().unwrap_or_default().to_owned();
                let text = String::new();
                open = Some(Block { line: number + 1, language, word: word.take(), text });
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => {
                let comment = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
                word = comment.map(str::to_owned);
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// Checks that `printed` matches the page line by line; a line of `…` alone stands for any number
/// of lines.
fn prints(printed: &str, expected: &str) -> Result<(), String> {
    let mut lines = printed.lines().map(str::trim_end);
    let mut any = false;
    for wanted in expected.lines() {
        if wanted == "…" {
            any = true;
            continue;
        }
        let fit = if std::mem::take(&mut any) {
            lines.any(|line| fits(line, wanted))
        } else {
            lines.next().is_some_and(|line| fits(line, wanted))
        };
        if !fit {
            return Err(format!("no such line, or not there: {wanted:?} in\n{printed}"));
        }
    }
    match lines.next() {
        Some(more) if !any => Err(format!("it prints more: {more:?} in\n{printed}")),
        _ => Ok(()),
    }
}

/// Returns true if the line matches; `…` stands for any text.
fn fits(line: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A directory, ports, and the programs started there.
struct Page {
    folder: tempfile::TempDir,
    port: u16,
    broker_port: u16,
    running: Vec<Child>,
}

impl Page {
    fn new() -> Self {
        // Both at one time, so that they differ.
        let free = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
        let [port, broker_port] = free.map(|free| free.local_addr().expect("an address").port());
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, port, broker_port, running: Vec::new() }
    }

    fn shell(&self, text: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_tinpot"));
        let mut path = vec![program.parent().expect("a folder").to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        // A distribution puts mosquitto where only root's PATH leads.
        path.push("/usr/sbin".into());
        let mut command = Command::new("bash");
        let text = text.replace(BUILT_AND_RUN, "tinpot").replace(PORT, &self.port.to_string());
        let text = text.replace(BROKER_PORT, &self.broker_port.to_string());
        command.args(["-euo", "pipefail", "-c", &text]);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PATH", std::env::join_paths(path).expect("a path"));
        command.env("PORT", self.port.to_string());
        command.env("TINPOT_SERVER", format!("http://127.0.0.1:{}", self.port));
        // The package that a wheel would install.
        command.env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../tinpot-python/python"));
        command.env("HOME", self.folder.path()).env_remove("XDG_CONFIG_HOME");
        // A process group of its own, so that all of it can be killed.
        command.process_group(0);
        command
    }

    /// Runs a command, and returns its output and exit code.
    fn run(&self, text: &str) -> (String, i32) {
        let both = format!("exec 2>&1\n{text}");
        let output = self.shell(&both).output().expect("bash");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1))
    }

    /// Starts a program in the background, and waits until it has printed `until`.
    fn start(&mut self, text: &str, until: &str) -> Result<(), String> {
        let mut command = self.shell(&format!("exec 2>&1\n{text}"));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("bash");
        let (mut output, printed) =
            (child.stdout.take().expect("a pipe"), Arc::<Mutex<String>>::default());
        let sink = printed.clone();
        self.running.push(child);
        // The thread ends with the program.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                sink.lock().expect("a lock").push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while !printed.lock().expect("a lock").contains(until) {
            if Instant::now() > deadline {
                return Err(format!(
                    "never printed {until:?}:\n{}",
                    printed.lock().expect("a lock")
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Runs a block; `printed` is the expected output.
    fn perform(&mut self, block: &Block, printed: Option<&str>) -> Result<(), String> {
        let right = |(output, code): (String, i32), wanted: i32| {
            if code != wanted {
                return Err(format!("exit code {code}, not {wanted}:\n{output}"));
            }
            printed.map_or(Ok(()), |printed| prints(&output, printed))
        };
        let word = block.word.as_deref().unwrap_or_default();
        match word.split_once(": ").map_or((word, ""), |(word, rest)| (word, rest)) {
            ("file", path) => {
                let path = self.folder.path().join(path);
                fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
                let text = block.text.replace(BROKER_PORT, &self.broker_port.to_string());
                fs::write(path, text).expect("a file");
                Ok(())
            }
            ("run", "") => right(self.run(&block.text), 0),
            ("run, exits with", code) => {
                right(self.run(&block.text), code.parse().expect("a number"))
            }
            ("run until it prints that", "") => {
                let deadline = Instant::now() + PATIENCE;
                loop {
                    match right(self.run(&block.text), 0) {
                        Err(why) if Instant::now() > deadline => return Err(why),
                        Err(_) => std::thread::sleep(Duration::from_millis(100)),
                        Ok(()) => return Ok(()),
                    }
                }
            }
            ("background until", until) => self.start(&block.text, until),
            ("not run", reason) if !reason.is_empty() => Ok(()),
            ("", _) if !matches!(&*block.language, "sh" | "bash" | "python") => Ok(()),
            (other, _) => Err(format!("what is to be done with this: {other:?}?")),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        for child in &mut self.running {
            if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
            }
            let _ = child.wait();
        }
    }
}

fn perform(path: &Path) {
    let text = fs::read_to_string(path).expect("a page");
    let blocks = blocks(&text);
    let mut page = Page::new();
    for (index, block) in blocks.iter().enumerate() {
        let next =
            blocks.get(index + 1).filter(|next| next.language == "text" && next.word.is_none());
        if let Err(why) = page.perform(block, next.map(|next| &*next.text)) {
            panic!("{}:{}: {why}", path.display(), block.line);
        }
    }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn the_commands_of_the_readme_run() {
    perform(&docs().join("../README.md"));
}

/// The table of parameters in the README: command and API give each message.
#[test]
fn messages_in_the_readme_are_current() {
    let text = fs::read_to_string(docs().join("../README.md")).expect("a page");
    let blocks = blocks(&text);
    let mut page = Page::new();
    // The file goes before the server, so that the test need not wait for a reload.
    for wanted in ["file: ", "background"] {
        let of_word = |block: &&Block| block.word.as_ref().is_some_and(|w| w.starts_with(wanted));
        page.perform(blocks.iter().find(of_word).expect("such a block"), None).expect("done");
    }
    let mut seen = 0;
    for row in text.lines().filter(|line| line.starts_with("| `") && line.ends_with("` |")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, _, given, message] = cells[..] else { continue };
        let given = given.trim_matches('`');
        let message = message.trim_matches('`');
        let post = format!(
            "tinpot whoami --header | curl -s -H @- localhost:8000/api/actions/update/execute -H 'content-type: application/json' -d '{{\"parameters\": {given}}}'"
        );
        let answer: serde_json::Value =
            serde_json::from_str(&page.run(&post).0).expect("an answer in JSON");
        assert_eq!(answer["detail"], message, "{row}");
        let (printed, code) = page.run(&format!("tinpot run update -d '{given}'"));
        assert!(code == 2 && printed.contains(&format!("--{message}")), "{printed}");
        seen += 1;
    }
    assert_eq!(seen, 4, "the rows of the table");
}

#[test]
fn the_commands_of_the_tutorial_run() {
    perform(&docs().join("tutorial.md"));
}

#[test]
fn the_commands_of_the_how_tos_run() {
    let pages = fs::read_dir(docs().join("how-to")).expect("a folder");
    let pages = pages.map(|page| page.expect("a page").path());
    for page in pages.filter(|page| !page.ends_with(MQTT)) {
        perform(&page);
    }
}

/// Apart from the others, since it starts a broker.
#[test]
fn mosquitto_pub_runs_an_action_as_its_page_says() {
    perform(&docs().join("how-to").join(MQTT));
}

/// The pages, and the files of the repository that they may link to.
#[test]
fn links_of_the_documentation_resolve() {
    let mut pages = vec![docs().join("../README.md"), docs().join("../ARCHITECTURE.md")];
    for folder in [docs(), docs().join("how-to")] {
        let entries = fs::read_dir(folder).expect("a folder");
        pages.extend(
            entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()),
        );
    }
    let mut broken = Vec::new();
    for page in
        pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md"))
    {
        let text = fs::read_to_string(page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.is_empty() || target.contains(' ');
            if !elsewhere && !page.parent().expect("a folder").join(target).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Returns true if a test has this name: the crate, the module and the function.
fn is_a_test(name: &str) -> bool {
    let mut parts = name.split("::");
    let (Some(of), Some(module), function) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let folder = if of == "tests" { "tests".to_owned() } else { format!("tinpot-{of}/tests") };
    let file = docs().join(format!("../{folder}/it/{module}.rs"));
    let Ok(text) = fs::read_to_string(file) else { return false };
    function.is_none_or(|function| {
        text.contains(&format!("\nfn {function}("))
            || text.contains(&format!("\nasync fn {function}("))
    })
}

#[test]
fn each_attack_of_the_list_is_a_test() {
    let text = fs::read_to_string(docs().join("security.md")).expect("a page");
    let (_, list) = text.split_once("## Attacks that must fail").expect("a list");
    let rows: Vec<&str> = list.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    for (number, row) in (1..).zip(&rows) {
        assert!(row.starts_with(&format!("| {number} | ")), "{row}");
        let tests: Vec<&str> =
            row.split('`').skip(1).step_by(2).filter(|t| t.contains("::")).collect();
        assert!(!tests.is_empty(), "{row}");
        for test in tests {
            assert!(is_a_test(test), "{test} is no test");
        }
    }
    assert_eq!(rows.len(), 35);
}

#[test]
fn output_is_compared_line_by_line() {
    assert_eq!(prints("a\nb 12 c\n", "a\nb … c\n"), Ok(()));
    assert_eq!(prints("a\nb\nc\nd\n", "a\n…\nc\n…\n"), Ok(()));
    assert!(prints("a\nb\n", "b\na\n").is_err());
    assert!(prints("a\nb\n", "a\n").is_err() && prints("a\nb\n", "b\n").is_err());
    assert!(prints("a\n", "a\n…\nb\n").is_err());
    assert!(prints("ab\n", "a\n").is_err());
    assert!(fits("x=1, y=2", "x=…, y=…") && fits("x", "…") && !fits("xy", "…x"));
}
