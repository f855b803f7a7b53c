//! The ZeroMQ server of a coordinator: workers that need no broker.

use tinpot_core::{Error, ErrorKind, Result};
use tinpot_zmq::{ZmqAddress, ZmqServer};

use crate::settings::{FRAME_BYTES, Frames};

/// Parses the address of `--listen`; `None` if it is not set.
///
/// # Errors
/// `InvalidInput` for an address that cannot be used, and for one that other machines reach while
/// frames may be plain.
pub(crate) fn address(listen: Option<&str>, frames: Frames) -> Result<Option<ZmqAddress>> {
    // An environment variable that is set to nothing counts as not set.
    let Some(text) = listen.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let address: ZmqAddress =
        text.parse().map_err(|error: Error| error.with_context("--listen (TINPOT_LISTEN)"))?;
    if !address.is_local() && frames != Frames::Require {
        let message = format!(
            "refusing to take workers at {address}: everyone who reaches it could pass for a worker; \
             add --frames require (TINPOT_FRAMES), so that workers have to join, or listen at \
             zmq+tcp://127.0.0.1:PORT or zmq+ipc:///PATH (--listen, TINPOT_LISTEN)"
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(Some(address))
}

/// Starts the server, and prints its address to standard output.
///
/// # Errors
/// `Conflict` if another program listens there; `InvalidInput` for a place that cannot be used.
pub(crate) async fn start(address: ZmqAddress) -> Result<ZmqServer> {
    let server = ZmqServer::builder(address).max_frame_bytes(FRAME_BYTES).bind().await;
    let server = server.map_err(|error| error.with_context("--listen (TINPOT_LISTEN)"))?;
    println!("Workers connect to {}", server.address());
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::address;
    use crate::settings::Frames;

    #[test]
    fn other_machines_are_taken_with_sealed_frames_only() {
        for text in ["zmq+ipc:///run/tinpot/zmq", "zmq+tcp://127.0.0.1:1", "zmq+tcp://[::1]:1"] {
            assert!(address(Some(text), Frames::Auto).unwrap().is_some(), "{text}");
        }
        assert_eq!(address(Some(" "), Frames::Auto).unwrap(), None);
        let open = Some("zmq+tcp://0.0.0.0:5555");
        for frames in [Frames::Auto, Frames::Allow, Frames::Plain] {
            let error = address(open, frames).unwrap_err().to_string();
            assert!(error.contains("add --frames require"), "{error}");
        }
        assert!(address(open, Frames::Require).unwrap().is_some());
        let error = address(Some("tcp://h:1"), Frames::Auto).unwrap_err().to_string();
        assert!(error.contains("--listen") && error.contains("zmq+tcp://host:port"), "{error}");
    }
}
