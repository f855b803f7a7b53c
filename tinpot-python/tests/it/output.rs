//! The content of the log.

use serde_json::json;
use tinpot_core::Stream;

use crate::support::{AMPLE, Actions, call, start};

#[tokio::test]
async fn c_code_and_subprocesses_are_captured_in_order() {
    let actions = Actions::of(
        r#"
@action
def write():
    print("print")
    os.write(1, b"os.write\n")
    subprocess.run(["echo", "subprocess"])
    ctypes.CDLL(None).printf(b"printf\n")
    os.system("echo shell")
    sys.stdout.buffer.write(b"buffer\n")
    sys.stdout.buffer.flush()
    sys.__stdout__.write("dunder\n")
    print("no end", end="")
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "write").await;
    let expected =
        ["print", "os.write", "subprocess", "printf", "shell", "buffer", "dunder", "no end"];
    assert_eq!(ended.stdout(), expected, "{:?}", ended.outcome);
}

#[tokio::test]
async fn output_buffered_by_c_code_belongs_to_its_attempt() {
    let actions = Actions::of(
        r#"
@action
def write(): ctypes.CDLL(None).printf(b"no end")
@action
def nothing(): pass
"#,
    );
    let pool = actions.pool().await;
    assert_eq!(call(&pool, "write").await.stdout(), ["no end"]);
    assert_eq!(call(&pool, "nothing").await.lines, []);
}

#[tokio::test]
async fn streams_are_distinguished_and_invalid_bytes_survive() {
    let actions = Actions::of(
        r#"
@action
def write():
    print("a\rb\x00c")
    print("warn", file=sys.stderr)
    os.write(1, b"bad \xff byte\n\n")
    print("\udc80")
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "write").await;
    assert_eq!(ended.stdout(), ["b\0c", "bad \u{fffd} byte", "", "\\udc80"]);
    assert_eq!(ended.stream(Stream::Stderr), ["warn"]);
}

#[tokio::test]
async fn words_of_a_command_on_its_end_reach_the_log() {
    let actions = Actions::of(
        r#"
@action
def serve(): run_command("trap 'echo cleaned up; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
"#,
    );
    let pool = actions.pool().await;
    let running = start(&pool, "serve", json!({}));
    running.until_line("ready").await;
    running.ask(AMPLE);
    let ended = running.end().await;
    assert!(ended.stdout().contains(&"cleaned up"), "{:?}", ended.lines);
}

#[tokio::test]
async fn endless_line_is_cut_and_the_attempt_continues() {
    let actions = Actions::of(
        r#"
@action
def write():
    for _ in range(1600):
        os.write(1, b"x" * 65536)
    print()
    print("after")
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "write").await;
    let [long, after] = ended.stdout()[..] else { panic!("{} lines", ended.lines.len()) };
    assert!(long.len() < 70_000 && long.contains("bytes of this line are not kept"));
    assert_eq!(after, "after");
}

#[tokio::test]
async fn streams_that_an_action_replaces_or_closes_are_there_again() {
    let actions = Actions::of(
        r#"
import io
@action
def replace(): sys.stdout = io.StringIO()
@action
def close(): sys.stdout.close()
@action
def write(): print("here")
"#,
    );
    let pool = actions.pool().await;
    for action in ["replace", "close"] {
        call(&pool, action).await;
        assert_eq!(call(&pool, "write").await.stdout(), ["here"], "after {action}");
    }
}

#[tokio::test]
async fn one_process_keeps_the_order_of_both_streams() {
    let actions = Actions::of(
        r#"
import traceback
@action
def recover():
    for number in range(200):
        print("before", number)
        try:
            1 / 0
        except ZeroDivisionError:
            traceback.print_exc()
        sys.stderr.buffer.write(b"bytes\n")
        sys.stderr.buffer.flush()
        current().info("logged")
        print("warning", file=sys.stderr)
        print("no end", end="")
        print("after it", file=sys.stderr)
        subprocess.run(["true"], stderr=sys.stderr)
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "recover").await;
    assert_eq!(ended.value(), json!(null));
    let per_round = ended.lines.len() / 200;
    for (number, round) in ended.lines.chunks(per_round).enumerate() {
        let seen: Vec<(Stream, &str)> = round.iter().map(|(s, line)| (*s, &**line)).collect();
        let before = format!("before {number}");
        assert_eq!(seen[0], (Stream::Stdout, &*before));
        assert_eq!(seen[1], (Stream::Stderr, "Traceback (most recent call last):"));
        let end = &seen[seen.len() - 6..];
        let expected = [
            (Stream::Stderr, "ZeroDivisionError: division by zero"),
            (Stream::Stderr, "bytes"),
            (Stream::Log, "logged"),
            (Stream::Stderr, "warning"),
            (Stream::Stdout, "no end"),
            (Stream::Stderr, "after it"),
        ];
        assert_eq!(end, expected, "round {number}");
    }
}

#[tokio::test]
async fn redirected_descriptors_get_no_marks() {
    let actions = Actions::of(
        r#"
@action
def redirect(ctx: Context):
    names = [os.path.join(ctx.tmpdir, name) for name in ("out.txt", "errors.txt")]
    out, errors = [os.open(name, os.O_CREAT | os.O_WRONLY) for name in names]
    os.dup2(out, 1)
    os.dup2(errors, 2)
    print("to the file")
    print("also to a file", file=sys.stderr)
    ctx.info("to the log")
    with ctx.step("a step"):
        print("in it")
    sys.stderr.flush()
    return [open(name).read() for name in names]
"#,
    );
    let pool = actions.pool().await;
    let ended = call(&pool, "redirect").await;
    assert_eq!(ended.value(), json!(["to the file\nin it\n", "also to a file\n"]));
    assert_eq!(ended.stream(Stream::Log), ["to the log"]);
}

#[tokio::test]
async fn unfinished_line_is_shown_while_it_is_written() {
    let actions = Actions::of(
        r#"
@action
def dots():
    print("working ..", end="", flush=True)
    while not os.path.exists(GO): time.sleep(0.005)
    print(". done")
@action
def meter():
    sys.stderr.write("\r 10%\r 20%")
    sys.stderr.flush()
    while not os.path.exists(GO): time.sleep(0.005)
    sys.stderr.write("\r100%\n")
@action
def command():
    run_command("printf '\\r10%%\\r20%%' >&2; while ! test -e $GO; do sleep 0.005; done; printf '\\r100%%\\r\\n' >&2", env={"GO": GO})
@action
def subprocess_():
    subprocess.run("printf '10%%\\r20%%\\r'; while ! test -e $GO; do sleep 0.005; done; printf '100%%\\n'", shell=True, env={"GO": GO})
@action
def counted(ctx: Context):
    ctx.progress(3, 4, "of the action")
    print("working", end="", flush=True)
    while not os.path.exists(GO): time.sleep(0.005)
@action(concurrency=2)
async def shared():
    print("20%", end="")
    while not os.path.exists(GO): await asyncio.sleep(0.005)
    print("\r100%")
import asyncio
GO = os.path.join(os.path.dirname(__file__), "go")
"#,
    );
    let pool = actions.pool().await;
    for (action, unfinished, whole, left) in [
        ("dots", (0.0, None, "working .."), "working ... done", (0.0, None, "")),
        ("meter", (0.0, None, " 20%"), "100%", (0.0, None, "")),
        ("command", (0.0, None, "20%"), "100%", (0.0, None, "")),
        ("subprocess_", (0.0, None, "20%"), "100%", (0.0, None, "")),
        ("counted", (3.0, Some(4.0), "working"), "working", (3.0, Some(4.0), "of the action")),
        ("shared", (0.0, None, "20%"), "100%", (0.0, None, "")),
    ] {
        let running = start(&pool, action, json!({}));
        running.until_progress(unfinished).await;
        std::fs::write(actions.path("go"), "").expect("a file");
        let ended = running.end().await;
        assert_eq!(ended.value(), json!(null), "{action}");
        assert_eq!(ended.lines.last().map(|(_, line)| &**line), Some(whole), "{action}");
        let last = ended.progress.expect("progress");
        assert_eq!((last.done, last.total, &*last.message), left, "{action}");
        std::fs::remove_file(actions.path("go")).expect("a file");
    }
}

#[tokio::test]
async fn secrets_are_masked_as_python_writes_them() {
    let actions = Actions::of(
        r#"
import base64, html, json, pprint, shlex, urllib.parse
from xml.sax import saxutils
@action
def show(ctx: Context):
    secret = os.environ["TINPOT_SECRET_TOKEN"] = "Grüße-'aus'/Köln & \"2026\"+\\"
    ctx.secret("token")
    forms = [
        secret, json.dumps(secret), json.dumps({"a": [secret]}, ensure_ascii=False), ascii(secret), repr(secret),
        json.dumps(json.dumps(secret)), repr([secret]), pprint.pformat({secret: 1}), repr(secret.encode()),
        urllib.parse.quote(secret), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret),
        urllib.parse.urlencode({"q": secret}), base64.b64encode(secret.encode()).decode(),
        base64.urlsafe_b64encode(f"user:{secret}".encode()).decode(), secret.encode().hex(), shlex.quote(secret),
        secret.encode().hex().upper(), html.escape(secret), saxutils.escape(secret), saxutils.quoteattr(secret),
        secret.encode("ascii", "xmlcharrefreplace").decode(), urllib.parse.quote(json.dumps({"a": secret})),
        f"postgres://user:{urllib.parse.quote_plus(secret)}@host/db", "%s" % secret,
    ]
    for form in forms:
        print(form)
        print(form, file=sys.stderr)
        ctx.info(form, field=form)
    with ctx.step(secret):
        run_command(["echo", secret])
    try:
        return forms
    finally:
        ctx.progress(1, 2, forms[1])
"#,
    );
    let pool = actions.pool().await;
    let shown = call(&pool, "show").await;
    let message = shown.progress.as_ref().expect("progress").message.clone();
    assert_eq!(message, "\"***\"");
    // The worker masks the outcome, which is not a part of these tests.
    let fields = shown.chunks.iter().filter_map(|chunk| chunk.fields.as_ref());
    let texts = shown.lines.iter().map(|(_, line)| line.clone());
    let texts: Vec<String> = texts.chain(fields.map(|fields| fields.as_str().to_owned())).collect();
    assert!(texts.len() >= 100, "{texts:?}");
    for text in &texts {
        let is_masked = text.contains("***") || text.contains("span_ended");
        let leaks = ["Gr", "4hlLS", "2026", "47722d"].iter().any(|part| text.contains(part));
        assert!(is_masked && !leaks, "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_carried_is_cut_or_written_as_text() {
    let actions = Actions::of(
        r#"
import asyncio
def nested():
    value = []
    for _ in range(500): value = [value]
    return value
def write(ctx):
    ctx.info("epoch 1", loss=float("nan"))
    ctx.info("😀" * 20_000)
    ctx.info("\x00" * 20_000, **{f"field {number}": "\x01" * 4000 for number in range(20)})
    ctx.info("x" * 61_000, a="y" * 4_000)
    ctx.info("epoch 2", nested=nested(), a=object, b=b"\xff", c="\udcff", d=10 ** 5000)
    ctx.progress(1, float("inf"))
    ctx.progress(float("nan"))
    ctx.summary("\x02" * 40_000)
    print("€" * 30_000)
    print("y" * 1_000_000, file=sys.stderr)
    print("last", end="")
@action
def plain(ctx: Context): write(ctx)
@action(concurrency=2)
async def shared(ctx: Context): write(ctx)
"#,
    );
    let pool = actions.pool().await;
    for action in ["plain", "shared"] {
        let ended = call(&pool, action).await;
        assert_eq!(ended.value(), json!(null));
        let short = |line: &str| {
            let head: String = line.chars().take(9).collect();
            let cut = line.split_once("[tinpot] ").map_or("", |(_, word)| word);
            (head, cut.to_owned())
        };
        let seen: Vec<_> =
            ended.lines.iter().map(|(stream, line)| (*stream, short(line))).collect();
        let is = |stream, head: &str, cut: &str| (stream, (head.to_owned(), cut.to_owned()));
        let kept = |bytes| format!("{bytes} bytes of this line are not kept");
        let expected = [
            is(Stream::Log, "epoch 1", ""),
            is(Stream::Log, "😀😀😀😀😀😀😀😀😀", &kept(80_000 - 61_436)),
            is(Stream::Log, "\0\0\0\0\0\0\0\0\0", &kept(9_760)),
            is(Stream::Log, "xxxxxxxxx", ""),
            is(Stream::Log, "epoch 2", ""),
            is(Stream::Log, "[tinpot] ", "total must be a number from 0, not inf"),
            is(Stream::Log, "[tinpot] ", "no progress: done must be a number, not nan"),
            is(Stream::Event, "{\"summary", ""),
            is(Stream::Stdout, "€€€€€€€€€", &kept(24_594)),
            is(Stream::Stderr, "yyyyyyyyy", &kept(1_000_000 - 65_408)),
            is(Stream::Stdout, "last", ""),
        ];
        assert_eq!(seen, expected, "{action}");
        let fields: Vec<&str> =
            ended.chunks.iter().filter_map(|chunk| Some(chunk.fields.as_ref()?.as_str())).collect();
        assert_eq!(fields.len(), 4, "{fields:?}");
        assert_eq!(fields[0], r#"{"loss":"nan"}"#);
    }
}

#[tokio::test]
async fn threads_of_coroutines_write_to_the_log_of_their_attempt() {
    let actions = Actions::of(
        r#"
import asyncio
@action(concurrency=10)
async def fetch(number: int):
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, print, "from an executor", number)
    await asyncio.to_thread(print, "from a thread", number)
    process = await asyncio.create_subprocess_exec("echo", "from a subprocess")
    await process.wait()
    print("from the coroutine", number)
    print("a warning", number, file=sys.stderr)
"#,
    );
    let pool = actions.pool().await;
    let all: Vec<_> =
        (0..5).map(|number| start(&pool, "fetch", json!({ "number": number }))).collect();
    for (number, running) in all.into_iter().enumerate() {
        let ended = running.end().await;
        let lines: Vec<&str> = ended.lines.iter().map(|(_, line)| &**line).collect();
        let expected = ["from an executor", "from a thread", "from the coroutine", "a warning"];
        assert_eq!(lines, expected.map(|line| format!("{line} {number}")));
    }
}
