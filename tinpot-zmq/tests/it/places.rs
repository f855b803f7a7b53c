//! Addresses that cannot be used, and what is left behind at them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use futures::StreamExt;
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{ErrorKind, Transport};
use tinpot_zmq::{ZmqAddress, ZmqServer};
use tokio::net::TcpListener;

use crate::support::{Folder, any_port, connect, is_up, reason, serve, within};

async fn refused(address: ZmqAddress) -> tinpot_core::Error {
    ZmqServer::builder(address).bind().await.unwrap_err()
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A frame goes from a worker to the coordinator and back.
async fn works(server: &ZmqServer) {
    let (coordinator, worker) = (server.transport(), connect(server.address()).await);
    is_up(&worker).await;
    let mut requests = coordinator.listen(&Address::Coordinator, Lane::Control).await.unwrap();
    let mut answers = worker.listen(&Address::AllWorkers, Lane::Control).await.unwrap();
    worker.send(&Address::Coordinator, Lane::Control, "hello".into()).await.unwrap();
    assert_eq!(within("the request", requests.next()).await.unwrap().bytes, "hello");
    coordinator.send(&Address::AllWorkers, Lane::Control, "welcome".into()).await.unwrap();
    assert_eq!(within("the answer", answers.next()).await.unwrap().bytes, "welcome");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_folder_is_created_for_the_owner_only() {
    let folder = Folder::new();
    let server = serve(folder.address("run/zmq")).await;
    assert_eq!((mode(&folder.path("run")), mode(&folder.path("run/zmq"))), (0o700, 0o660));
    works(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_others_can_enter_is_refused() {
    let folder = Folder::new();
    folder.folder("open", 0o755);
    let error = refused(folder.address("open/zmq")).await;
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(text.contains("can enter") && text.contains("mode 755"), "{text}");
    assert!(text.contains("with mode 750"), "{text}");
    folder.folder("group", 0o750);
    works(&serve(folder.address("group/zmq")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_was_left_behind_is_replaced_and_nothing_else() {
    let folder = Folder::new();
    drop(UnixListener::bind(folder.path("stale")).unwrap());
    assert!(folder.path("stale").exists());
    works(&serve(folder.address("stale")).await).await;

    let _alive = UnixListener::bind(folder.path("alive")).unwrap();
    let error = refused(folder.address("alive")).await;
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("another program listens at"), "{error}");
    assert!(folder.path("alive").exists());

    fs::write(folder.path("file"), "precious").unwrap();
    let error = refused(folder.address("file")).await;
    assert!(error.to_string().contains("exists and is no socket"), "{error}");
    assert_eq!(fs::read_to_string(folder.path("file")).unwrap(), "precious");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_is_refused_until_the_first_has_ended() {
    let folder = Folder::new();
    for address in [folder.address("zmq"), any_port()] {
        let first = serve(address).await;
        let address = first.address().clone();
        let error = refused(address.clone()).await;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        let why = address.path().map_or("already in use", |_| "another program listens at");
        assert!(error.to_string().contains(why), "{error}");
        works(&first).await;
        let end = first.transport();
        end.close().await;
        // Closing the last end leaves the address, and no socket behind.
        assert!(address.path().is_none_or(|path| !path.exists()));
        let again = within("the address is free again", async {
            loop {
                match ZmqServer::builder(address.clone()).bind().await {
                    Ok(server) => return server,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        works(&again.await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reason_names_what_is_wrong_with_the_address() {
    let folder = Folder::new();
    let why = reason(&connect(&folder.address("nothing")).await).await;
    assert!(why.contains("there is no such socket: is the coordinator running?"), "{why}");
    drop(UnixListener::bind(folder.path("stale")).unwrap());
    let why = reason(&connect(&folder.address("stale")).await).await;
    assert!(why.contains("refused"), "{why}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("zmq+tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
    let why = reason(&connect(&address).await).await;
    assert!(why.contains("is no ZeroMQ peer") || why.contains("closed the connection"), "{why}");
    server.abort();
}
