//! The output of programs.

use tinpot_core::Stream;

use crate::support::{Apps, call, start};

#[tokio::test]
async fn five_thousand_lines_before_a_quick_exit_are_kept() {
    let script = "import sys\nsys.stdout.write(''.join('line %d\\n' % i for i in range(5000)))\n\
                  sys.stderr.write(''.join('error %d\\n' % i for i in range(5000)))\n\
                  sys.stdout.flush()\nimport os\nos._exit(0)\n";
    let executor = Apps::python("lines", script);
    let executor = executor.start().await;
    for _ in 0..5 {
        let ended = call(&executor, "lines").await;
        let expected = |word: &str| (0..5000).map(|i| format!("{word} {i}")).collect::<Vec<_>>();
        assert_eq!(ended.stdout(), expected("line"));
        assert_eq!(ended.stream(Stream::Stderr), expected("error"));
    }
}

#[tokio::test]
async fn lines_come_as_they_are_written() {
    let apps =
        Apps::shell("live", "echo one; while ! [ -e $0.go ]; do sleep 0.01; done; echo two\n");
    let executor = apps.start().await;
    let running = start(&executor, "live", serde_json::json!({}));
    running.until_line("one").await;
    running.ask(std::time::Duration::ZERO);
    assert_eq!(running.end().await.stdout(), ["one"]);
}

#[tokio::test]
async fn unfinished_lines_are_shown_until_they_end() {
    let apps = Apps::new();
    let go = apps.path("go");
    let script = format!(
        "printf 'copying: 20%%'; while ! [ -e {} ]; do sleep 0.01; done\n\
         printf '\\rcopying: done\\n'; printf 'Continue?' >&2; exec sleep 1000\n",
        go.display()
    );
    let apps = apps.app("meter", "main.sh", "", &script);
    let executor = apps.start().await;
    let running = start(&executor, "meter", serde_json::json!({}));
    running.until_shown("copying: 20%").await;
    std::fs::write(go, "").expect("a file");
    running.until_line("copying: done").await;
    running.until_shown("Continue?").await;
    running.ask(std::time::Duration::ZERO);
    let ended = running.end().await;
    assert_eq!(ended.stdout(), ["copying: done"]);
    assert_eq!(ended.stream(Stream::Stderr), ["Continue?"]);
    assert_eq!(ended.progress.expect("a progress").message, "");
}

#[tokio::test]
async fn odd_output_becomes_lines() {
    let script = "printf 'a\\377b\\n\\n\\r\\nlast'\nprintf 'x\\0y' >&2\n";
    let apps = Apps::new()
        .app("odd", "main.sh", "", script)
        // Longer than any line, and than MiniTower's runner can read.
        .app("long", "main.sh", "", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next\n")
        .app("big", "main.sh", "", "head -c 20000000 /dev/zero | tr '\\0' x | fold -w 99\n");
    let executor = apps.start().await;
    let odd = call(&executor, "odd").await;
    assert_eq!(odd.stdout(), ["a\u{fffd}b", "", "", "last"]);
    assert_eq!(odd.stream(Stream::Stderr), ["x\0y"]);
    let long = call(&executor, "long").await;
    let [cut, next] = &long.stdout()[..] else { panic!("{} lines", long.lines.len()) };
    assert!(cut.ends_with("bytes of this line are not kept") && *next == "next");
    let big = call(&executor, "big").await;
    let bytes: usize = big.stdout().iter().map(|line| line.len()).sum();
    assert_eq!(bytes, 20_000_000);
}

#[tokio::test]
async fn standard_input_is_empty() {
    let apps = Apps::shell("input", "cat; echo end\n");
    let executor = apps.start().await;
    assert_eq!(call(&executor, "input").await.stdout(), ["end"]);
}
