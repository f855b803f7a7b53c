//! The context of an action: log levels, steps, progress, artifacts, and all kinds of functions.

use serde_json::json;
use tinpot_core::{Artifact, Level, LogEvent, SpanOutcome, Stream};

use crate::support::{Actions, Ended, start};

async fn run(source: &str, action: &str) -> Ended {
    let actions = Actions::of(source);
    let pool = actions.pool().await;
    start(&pool, action, json!({})).end().await
}

/// Every text line in order, with its stream's first letter, its level, and the number of its step.
fn told(ended: &Ended) -> Vec<String> {
    let text = ended.chunks.iter().filter(|chunk| chunk.stream.is_text());
    let line = |chunk: &tinpot_core::LogChunk, line: &String| {
        let span = chunk.span.map_or(0, |span| span.number);
        let stream = match chunk.stream {
            Stream::Stdout => "out",
            Stream::Stderr => "err",
            _ => "log",
        };
        format!("{stream} {:?} {span} {line}", chunk.level).to_lowercase()
    };
    text.flat_map(|chunk| chunk.lines.iter().map(move |text| line(chunk, text))).collect()
}

fn events(ended: &Ended) -> Vec<LogEvent> {
    let lines = ended.stream(Stream::Event);
    lines.iter().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

#[tokio::test]
async fn prints_and_log_calls_keep_their_order_and_level() {
    let ended = run(
        r#"
import logging, warnings

@action
def talk(ctx: Context):
    print("one")
    ctx.log("debug", "two", host="db1")
    logging.getLogger("app").warning("three")
    logging.info("four")
    warnings.warn("five")
    print("six", end="")
    ctx.error("seven\nand more")
    os.write(1, b"eight\n")
    current().info("nine")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("ten")
    ctx.log("loud", "never")
"#,
        "talk",
    )
    .await;
    let told = told(&ended);
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(
        &told[..4],
        ["out info 0 one", "log debug 0 two", "log warning 0 app: three", "log info 0 four"]
    );
    assert!(told[4].contains("userwarning: five"), "{told:?}");
    let six = told.iter().position(|line| *line == "out info 0 six").expect("six");
    assert_eq!(
        told[six + 1..six + 5],
        ["log error 0 seven", "log error 0 and more", "out info 0 eight", "log info 0 nine"]
    );
    assert_eq!(told[six + 5], "log error 0 ten");
    assert!(told.last().expect("a line").contains("zerodivisionerror"), "{told:?}");
    let with_fields = ended.chunks.iter().find_map(|chunk| chunk.fields.as_ref());
    assert_eq!(with_fields.expect("fields").as_str(), r#"{"host":"db1"}"#);
    let failure = ended.failure();
    assert!(failure.message.contains("must be debug, info, warning or error"), "{failure:?}");
}

#[tokio::test]
async fn a_function_called_by_another_is_a_step_of_it() {
    let ended = run(
        r#"
@action
def backup(host, fail=False):
    print("saving", host)
    print("careful", file=sys.stderr)
    if fail:
        raise ValueError("disk")
    return host

@action(name="clean up")
async def clean():
    with current().step("sweep") as step:
        step.info("sweeping")

@action
def deploy():
    print("before")
    assert backup("a") == "a"
    try:
        backup("b", fail=True)
    except ValueError:
        pass
    import asyncio
    asyncio.run(clean())
    print("after")
"#,
        "deploy",
    )
    .await;
    assert!(ended.outcome.value().is_some(), "{:?}", ended.outcome);
    let mut told = told(&ended);
    told.sort_by_key(|line| line.starts_with("err"));
    assert_eq!(
        told,
        [
            "out info 0 before",
            "out info 1 saving a",
            "out info 2 saving b",
            "log info 4 sweeping",
            "out info 0 after",
            "err error 1 careful",
            "err error 2 careful",
        ]
    );
    let mut shown = Vec::new();
    for event in events(&ended) {
        shown.push(match event {
            LogEvent::SpanStarted { span, parent, name, at } => {
                assert!(at.0 > 1_700_000_000_000_000);
                let parent = parent.map_or("-".to_owned(), |parent| parent.to_string());
                format!("{span} in {parent}: {name}")
            }
            LogEvent::SpanEnded { span, outcome, error, .. } => {
                assert_eq!(error.is_some(), outcome == SpanOutcome::Failed);
                format!("{span} {outcome:?} {}", error.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(
        shown,
        [
            "1.1 in -: backup",
            "1.1 Succeeded ",
            "1.2 in -: backup",
            "1.2 Failed ValueError: disk",
            "1.3 in -: clean up",
            "1.4 in 1.3: sweep",
            "1.4 Succeeded ",
            "1.3 Succeeded ",
        ]
    );
}

#[tokio::test]
async fn generators_tell_as_they_go_and_return_a_result() {
    let actions = Actions::of(
        r#"
@action
def steps():
    yield "starting"
    yield 1
    yield 2, 4, "half"
    yield {"done": 3, "total": 4}
    return "ended"

@action
async def slowly():
    yield "one"
    yield "two"
"#,
    );
    let pool = actions.pool().await;
    let ended = start(&pool, "steps", json!({})).end().await;
    assert_eq!(ended.outcome.value().expect("a value").as_str(), r#""ended""#);
    assert_eq!(ended.stdout(), ["starting"]);
    let progress = ended.progress.expect("progress");
    assert_eq!((progress.done, progress.total), (3.0, Some(4.0)));
    let ended = start(&pool, "slowly", json!({})).end().await;
    assert_eq!(ended.stdout(), ["one", "two"]);
}

#[tokio::test]
async fn methods_share_one_object_that_is_set_up_once() {
    let actions = Actions::of(
        r#"
class Database:
    def setup(self):
        print("connecting")
        self.uses = 0

    @action(group="DB")
    def use(self, by: int = 1):
        self.uses += by
        return self.uses

    @action
    @staticmethod
    def still(text: str):
        return text

    def helper(self):
        pass
"#,
    );
    let pool = actions.pool().await;
    let mut results = Vec::new();
    for _ in 0..3 {
        let ended = start(&pool, "use", json!({"by": 2})).end().await;
        results.push((
            ended.outcome.value().expect("a value").as_str().to_owned(),
            ended.stdout().len(),
        ));
    }
    assert_eq!(results, [("2".to_owned(), 1), ("4".to_owned(), 0), ("6".to_owned(), 0)]);
}

#[tokio::test]
async fn artifacts_and_a_summary_are_kept() {
    let ended = run(
        r##"
@action
def build(ctx: Context):
    path = os.path.join(ctx.tmpdir, "report.html")
    with open(path, "wb") as file:
        file.write(bytes(range(256)) * 400)
    ctx.artifact(path)
    ctx.summary("# Built")
    for wrong in ("../x", "", "a/b"):
        try:
            ctx.artifact(path, wrong)
        except ValueError:
            print("refused", repr(wrong))
    with open(path, "wb") as file:
        file.truncate(70_000_000)
    try:
        ctx.artifact(path, "large")
    except LimitError as error:
        print(error)
    return [ctx.attempt, ctx.tmpdir]
"##,
        "build",
    )
    .await;
    let lines = ended.stdout();
    assert_eq!(lines.len(), 4, "{lines:?} {:?}", ended.outcome);
    assert!(
        lines[3].contains("must have at most 67006464 of 67108864 bytes, not 70000000"),
        "{lines:?}"
    );
    let events = events(&ended);
    let [
        LogEvent::Artifact(Artifact { number: 1, name, size_bytes: 102_400, media_type, .. }),
        LogEvent::Summary { markdown },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        (name.as_str(), media_type.as_str(), markdown.as_str()),
        ("report.html", "text/html", "# Built")
    );
    let data = ended.stream(Stream::Data);
    assert_eq!(data.len(), 3);
    assert!(data.iter().all(|line| line.starts_with("1.1 ")));
    let (_, tmpdir): (u32, String) =
        ended.outcome.value().expect("a value").deserialize().expect("both");
    assert!(!std::path::Path::new(&tmpdir).exists(), "it goes away with the attempt");
}

#[tokio::test]
async fn outside_of_a_worker_the_context_prints_to_standard_error() {
    let actions = Actions::of(
        r#"
@action
def inner(ctx: Context = None):
    current().log("warning", "careful", host="x")
    current().progress(1, 2)
    with current().step("a step"):
        return 7

@action
def outer():
    # A process of its own, as from a shell.
    return subprocess.run([sys.executable, __file__], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(sys.modules["tinpot"].__file__))}).stdout

if __name__ == "__main__":
    sys.stderr = sys.stdout
    print(inner(), current().attempt, os.path.isdir(current().tmpdir))
"#,
    );
    let pool = actions.pool().await;
    let ended = start(&pool, "outer", json!({})).end().await;
    let value: String = ended.outcome.value().expect("a value").deserialize().expect("text");
    assert_eq!(value, "warning: careful host='x'\n7 1 True\n");
}

#[tokio::test]
async fn a_level_is_kept_below_a_library_that_logs_much() {
    let ended = run(
        r#"
import logging

@action
def many():
    for number in range(5000):
        logging.getLogger("lib").info("line %d", number)
"#,
        "many",
    )
    .await;
    let lines = ended.stream(Stream::Log);
    assert_eq!(lines.len(), 5000);
    assert_eq!(lines[4999], "lib: line 4999");
    assert!(ended.chunks.iter().all(|chunk| chunk.level == Level::Info));
}

#[tokio::test]
async fn progress_bars_of_tqdm_become_progress() {
    // The relevant parts of tqdm: the real one is not a dependency of the tests.
    let tqdm = r#"
import sys

class tqdm:
    def __init__(self, iterable=None, total=None, desc=None, file=None):
        self.iterable, self.total, self.desc = iterable, total, desc
        self.n, self.pos, self.postfix, self.disable, self.leave = 0, 0, None, False, True
        self.fp = sys.stderr if file is None else file
        self.sp = lambda text: self.fp.write("\r" + text)
        self.display()

    def __iter__(self):
        for item in self.iterable:
            yield item
            self.n += 1
            self.display()
        self.close()

    def display(self, msg=None, pos=None):
        self.sp(f"{self.n}/{self.total}" if msg is None else msg)
        return True

    def clear(self, nolock=False):
        self.fp.write("\r")

    def moveto(self, n):
        self.fp.write("\n" * n)

    def close(self):
        if self.disable:
            return
        self.disable = True
        self.moveto(0)
        self.fp.write("")
        if self.leave:
            self.display(pos=0)
            self.fp.write("\n")
        else:
            self.display(msg="", pos=0)
            self.fp.write("\r")
"#;
    let actions = Actions::of(
        r#"
@action
def bars():
    from tqdm.std import tqdm
    for _ in tqdm(range(2), total=2, file=sys.stdout):
        pass
    bar = tqdm(total=1)
    bar.leave = False
    bar.clear()
    bar.close()
    for _ in tqdm(range(3), total=3, desc="files: "):
        pass
    print("done")
"#,
    )
    .file("_libraries/tqdm/__init__.py", "from tqdm.std import tqdm\n")
    .file("_libraries/tqdm/std.py", tqdm);
    let builder = tinpot_python::PythonPool::builder(actions.path("")).size(1);
    let pool = builder.env("PYTHONPATH", actions.path("_libraries")).start().await;
    let pool = std::sync::Arc::new(pool.expect("a pool"));
    let ended = start(&pool, "bars", json!({})).end().await;
    assert!(ended.outcome.value().is_some(), "{:?}", ended.outcome);
    let progress = ended.progress.clone().expect("progress");
    assert_eq!((progress.done, progress.total, &*progress.message), (3.0, Some(3.0), "files"));
    assert_eq!(ended.lines, [(Stream::Stdout, "done".to_owned())], "no bar is printed");
}
