//! Tables on terminals of every width.

use crate::support::Server;
use crate::terminal::typing;

/// Returns the lines of a command on a terminal of that width.
fn lines(server: &Server, columns: u16, arguments: &[&str]) -> Vec<String> {
    let mut command = server.tinpot(arguments);
    command.env("NO_COLOR", "1");
    let (code, text) = typing(command, columns, &[]);
    assert_eq!(code, Some(0), "{text}");
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn a_table_fits_the_terminal_and_is_whole_without_one() {
    let server = Server::start();
    let text = "why ".repeat(50);
    let ids: Vec<String> = (0..3)
        .map(|_| {
            let id = server.run(&["run", "fail", "--text", &text, "--detach", "-q"]);
            let id = id.ok().trim().to_owned();
            server.wait_for(&id, "failed");
            id
        })
        .collect();
    for list in [&["executions", "list"][..], &["actions", "list"], &["workers", "list"]] {
        for columns in [20, 40, 80, 100, 132, 400] {
            let lines = lines(&server, columns, list);
            assert!(lines.len() >= 2, "{lines:?}");
            let long = lines.iter().find(|line| line.chars().count() > columns.into());
            assert_eq!(long, None, "{list:?} at {columns}");
        }
    }
    let narrow = lines(&server, 100, &["executions", "list"]);
    assert!(narrow[1].ends_with('…') && narrow[1].contains("ValueError"), "{narrow:?}");
    // What stands for an id is accepted as one.
    let short = narrow[1].split_whitespace().nth(1).expect("an id");
    assert!(short.len() < 36 && ids.iter().any(|id| id.starts_with(short)), "{narrow:?}");
    server.run(&["executions", "show", short]).ok();
    let wide = lines(&server, 400, &["executions", "list"]);
    let id = wide[1].split_whitespace().nth(1).expect("an id");
    assert!(wide[1].contains(text.trim_end()) && ids.iter().any(|whole| whole == id), "{wide:?}");
    let piped = server.run(&["executions", "list"]);
    assert!(piped.ok().contains(text.trim_end()) && piped.ok().contains(&ids[0]), "{piped:?}");
}
