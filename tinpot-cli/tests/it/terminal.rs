//! The same with a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::Server;

/// Runs a command on a terminal of its own, and returns its exit code and output.
pub(crate) fn on_terminal(command: Command) -> (Option<i32>, String) {
    typing(command, 80, &[])
}

/// Runs a command on a terminal of that width. A user waits for each text in its output, and then
/// types the keys.
pub(crate) fn typing(
    mut command: Command,
    columns: u16,
    keys: &[(&str, &str)],
) -> (Option<i32>, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("ours");
    unlockpt(&terminal).expect("open");
    let path = ptsname(&terminal, Vec::new()).expect("a name");
    let other = File::options()
        .read(true)
        .write(true)
        .open(path.to_str().expect("text"))
        .expect("its other end");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&other, size).expect("ours");
    let end = || other.try_clone().expect("a descriptor");
    let mut child =
        command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the command starts");
    // The command has the last copies of the other end, so that reading ends with the command.
    drop(command);
    drop(other);
    let (mut terminal, mut text) = (File::from(terminal), Vec::new());
    let mut buffer = [0; 4096];
    let mut keys = keys.iter().peekable();
    while let Ok(read @ 1..) = terminal.read(&mut buffer) {
        text.extend_from_slice(&buffer[..read]);
        if let Some((_, keys)) =
            keys.next_if(|(part, _)| String::from_utf8_lossy(&text).contains(part))
        {
            terminal.write_all(keys.as_bytes()).expect("it is there");
        }
    }
    assert!(keys.next().is_none(), "{}", String::from_utf8_lossy(&text));
    (child.wait().expect("it ends").code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_progress_bar_is_drawn_on_a_terminal_only() {
    let server = Server::shared();
    let arguments = ["run", "slow", "--seconds", "0.4"];
    let (code, text) = on_terminal(server.tinpot(&arguments));
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains('░') && text.contains("working") && text.contains("\r\x1b[K"),
        "{text:?}"
    );
    assert!(text.contains("succeeded in"), "{text:?}");
    let ran = server.run(&arguments);
    ran.ok();
    assert!(
        !ran.stderr.contains(['░', '\r', '\x1b']) && !ran.stderr.contains("succeeded"),
        "{ran:?}"
    );
}

#[test]
fn colours_need_a_terminal_and_respect_no_color() {
    let server = Server::shared();
    server.run(&["run", "fail", "--detach"]).ok();
    let (_, text) = on_terminal(server.tinpot(&["actions", "list"]));
    assert!(text.contains("\x1b[1mNAME"), "{text:?}");
    let mut command = server.tinpot(&["actions", "list"]);
    command.env("NO_COLOR", "1");
    let (_, text) = on_terminal(command);
    assert!(!text.contains('\x1b'), "{text:?}");
    let (_, text) = on_terminal(server.tinpot(&["run", "colours"]));
    assert!(text.contains("\x1b[31mred\x1b[0m"), "{text:?}");
    assert!(!text.contains("owned") && !text.contains("\x1b[2J"), "{text:?}");
    let mut command = server.tinpot(&["run", "colours"]);
    command.env("NO_COLOR", "1");
    let (_, text) = on_terminal(command);
    assert!(text.contains("red text") && !text.contains("\x1b[31m"), "{text:?}");
    let (code, text) = on_terminal(server.tinpot(&["run", "fail"]));
    assert_eq!(code, Some(1));
    assert!(text.contains("\x1b[31merror:\x1b[0m"), "{text:?}");
}

#[test]
fn quiet_and_json_draw_nothing() {
    let server = Server::shared();
    let (code, text) =
        on_terminal(server.tinpot(&["run", "slow", "--seconds", "0.2", "-q", "--json"]));
    assert_eq!(
        (code, text.contains('░'), text.contains("line 1")),
        (Some(0), false, false),
        "{text:?}"
    );
}

#[test]
fn a_missing_secret_is_asked_for_and_not_shown() {
    let server = Server::shared();
    let login = ["run", "login", "--user", "a"];
    let prompt = "--token (secret, not shown): ";
    let (code, text) = typing(server.tinpot(&login), 80, &[(prompt, "open sesame\n")]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("a has a token of 11 characters"), "{text}");
    assert!(!text.contains("sesame"), "{text}");
    let (code, text) = typing(server.tinpot(&login), 80, &[(prompt, "open\x03")]);
    assert_eq!(code, Some(130), "Ctrl-C: {text}");
    assert!(!text.contains("execution"), "nothing ran: {text}");
    // A rerun with other parameters asks as well: the record hides the secret.
    let id = server.run(&["run", "login", "--user", "a", "--token", "x", "--detach"]);
    let rerun = ["executions", "rerun", id.ok().trim(), "--user", "b"];
    let (code, text) = typing(server.tinpot(&rerun), 80, &[(prompt, "other\n")]);
    assert_eq!((code, text.contains("b has a token of 5 characters")), (Some(0), true), "{text}");
    // Without a terminal the server refuses the submission.
    assert!(server.run(&login).failed(2).contains("--token is required"));
}
