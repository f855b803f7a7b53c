//! Apps: an upload of 100 MB next to its bare digest, deploys that change nothing, and a list of
//! 1,000 apps with 100 versions each and a million runs.
//!
//! ```sh
//! apps --program target/release/tinpot
//! ```

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use tinpot_benches::http::{Client, Request};
use tinpot_benches::process::{Process, peak_mb};
use tinpot_benches::stats::{median, percentile};
use tinpot_bundle::{
    Apps, FileBlobStore, PackOptions, PastApp, PastVersion, PutOptions, body, pack,
};
use tinpot_core::access::AuditWho;
use tinpot_core::store::Transition;
use tinpot_core::{DEFAULT_TEAM, Execution, ExecutionId, Json, Outcome, Store, Timestamp};
use tinpot_sqlite::SqliteStore;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Transitions of one commit while the store is filled.
const BATCH: usize = 5_000;
const LISTS: usize = 200;

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The command.
    #[arg(long, default_value = "target/release/tinpot")]
    program: PathBuf,
    /// The folder of the files.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// The size of an upload, in bytes.
    #[arg(long, default_value_t = 100_000_000)]
    bytes: usize,
    /// The uploads, and the deploys that change nothing.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The apps of the list.
    #[arg(long, default_value_t = 1_000)]
    apps: usize,
    /// The versions of each app.
    #[arg(long, default_value_t = 100)]
    versions: usize,
    /// The runs of all apps.
    #[arg(long, default_value_t = 1_000_000)]
    runs: usize,
}

/// A coordinator as a process.
struct Server {
    address: SocketAddr,
    process: Process,
}

impl Server {
    fn start(program: &Path, folder: &Path) -> Result<Self, AnyError> {
        let mut command = Command::new(program.canonicalize()?);
        command.args(["coordinator", "--broker=none", "--port=0"]).current_dir(folder);
        command.env("TINPOT_STORE", folder.join("tinpot.db"));
        let (process, address) = Process::listen(&mut command)?;
        Ok(Self { address, process })
    }
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.folder)?;
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    println!("| | measured |");
    println!("| --- | --- |");
    uploads(&arguments, folder.path())?;
    deploys(&arguments, folder.path())?;
    list(&arguments, folder.path()).await
}

fn uploads(arguments: &Arguments, folder: &Path) -> Result<(), AnyError> {
    let folder = folder.join("uploads");
    fs::create_dir(&folder)?;
    let server = Server::start(&arguments.program, &folder)?;
    let before = peak_mb(server.process.id()).unwrap_or_default();
    let path = folder.join("content");
    let (mut times, mut digests, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        // Each has another content: what is there needs no upload.
        let mut content = Vec::with_capacity(arguments.bytes);
        File::open("/dev/urandom")?.take(arguments.bytes as u64).read_to_end(&mut content)?;
        fs::write(&path, &content)?;
        let begun = Instant::now();
        let output = Command::new("sha256sum").arg(&path).output()?;
        let bare = milliseconds(begun);
        let output = String::from_utf8(output.stdout)?;
        let digest = output.split(' ').next().ok_or("no digest")?;
        let begun = Instant::now();
        put(server.address, digest, &content)?;
        let took = milliseconds(begun);
        times.push(took);
        digests.push(bare);
        ratios.push(took / bare);
    }
    let megabytes = arguments.bytes as f64 / 1e6;
    println!(
        "| an upload of {megabytes:.0} MB; over sha256sum alone | {:.0} ms; {:.2}× ({:.0} ms) |",
        median(&times),
        median(&ratios),
        median(&digests)
    );
    let memory = peak_mb(server.process.id()).unwrap_or_default() - before;
    println!("| the same: memory of the server, at most | +{memory:.1} MB |");
    Ok(())
}

/// Uploads a blob.
fn put(address: SocketAddr, digest: &str, content: &[u8]) -> Result<(), AnyError> {
    let mut stream = TcpStream::connect(address)?;
    let length = content.len();
    write!(
        stream,
        "PUT /api/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )?;
    stream.write_all(content)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.starts_with("HTTP/1.1 201") {
        true => Ok(()),
        false => Err(format!("the server answers {answer}").into()),
    }
}

fn deploys(arguments: &Arguments, folder: &Path) -> Result<(), AnyError> {
    let folder = folder.join("deploys");
    let app = folder.join("app");
    fs::create_dir_all(&app)?;
    write_app(&app, "hello")?;
    let server = Server::start(&arguments.program, &folder)?;
    let deploy = || -> Result<(f64, String), AnyError> {
        let mut command = Command::new(arguments.program.canonicalize()?);
        command.arg("deploy").arg(&app).current_dir(&folder);
        command.env("TINPOT_SERVER", format!("http://{}", server.address));
        let begun = Instant::now();
        let output = command.stdin(Stdio::null()).output()?;
        let took = milliseconds(begun);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if !output.status.success() {
            return Err(said.into());
        }
        Ok((took, said))
    };
    deploy()?;
    let mut times = Vec::new();
    for _ in 0..arguments.rounds {
        let (took, said) = deploy()?;
        if !said.contains("unchanged") {
            return Err(format!("the deploy says: {said}").into());
        }
        times.push(took);
    }
    println!(
        "| a deploy of an unchanged app, from the start of the command | {:.0} ms |",
        median(&times)
    );
    Ok(())
}

async fn list(arguments: &Arguments, folder: &Path) -> Result<(), AnyError> {
    let folder = folder.join("list");
    fs::create_dir(&folder)?;
    let store = SqliteStore::builder(folder.join("tinpot.db")).build();
    let (_, session) = store.open().await?;
    for first in (0..arguments.runs).step_by(BATCH) {
        let batch = (first..arguments.runs.min(first + BATCH)).flat_map(|number| {
            let id = ExecutionId::generate();
            let execution = Execution::new(id, name(number % arguments.apps), Json::empty_object());
            let end = Transition::Finish {
                execution: id,
                fence: None,
                outcome: Outcome::Succeeded(Json::null()),
                ran: None,
                log_end: None,
            };
            [Transition::Accept(Arc::new(execution)), end]
        });
        session.commit(&batch.collect::<Vec<_>>(), Timestamp::now()).await?;
    }
    let records = Arc::new(store.records());
    session.close().await?;
    let blobs = FileBlobStore::open(folder.join("tinpot.db.blobs")).await?;
    let apps = Apps::new(Arc::new(blobs), records);
    let by = AuditWho::new("operator", "", "bench");
    let source = folder.join("app");
    for number in 0..arguments.apps {
        fs::create_dir(&source)?;
        write_app(&source, &name(number))?;
        let mut packed = pack(&source, &PackOptions::default())?;
        let mut archive = Vec::new();
        packed.archive.read_to_end(&mut archive)?;
        let stored = apps.put_blob(DEFAULT_TEAM, body(archive), PutOptions::default()).await?;
        let now = Timestamp::now();
        let mut past = PastApp::new(DEFAULT_TEAM, name(number), now);
        past.versions =
            (0..arguments.versions).map(|_| PastVersion::stored(stored.digest, now)).collect();
        apps.import(&by, past).await?;
        fs::remove_dir_all(&source)?;
    }
    drop(apps);
    let server = Server::start(&arguments.program, &folder)?;
    let mut client = Client::connect(server.address)?;
    let mut times = Vec::new();
    for _ in 0..LISTS {
        let begun = Instant::now();
        let answer = client.send(&Request::get("/api/apps"))?;
        times.push(milliseconds(begun));
        let found = String::from_utf8_lossy(&answer.body).matches("\"name\":").count();
        if answer.status != 200 || found < arguments.apps {
            return Err(format!("status {}, {found} apps", answer.status).into());
        }
    }
    println!(
        "| a list of {} apps with {} versions each and {} runs, p50; p99 | {:.1} ms; {:.1} ms |",
        arguments.apps,
        arguments.versions,
        arguments.runs,
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99)
    );
    Ok(())
}

fn name(number: usize) -> String {
    format!("app-{number}")
}

fn write_app(folder: &Path, name: &str) -> std::io::Result<()> {
    let towerfile = format!("[app]\nname = {name:?}\nscript = \"main.sh\"\n");
    fs::write(folder.join("Towerfile"), towerfile)?;
    fs::write(folder.join("main.sh"), "echo hello\n")
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
