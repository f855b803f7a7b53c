//! Files that are sent to the server: blobs of bundles, and bytes for parameters.

use std::fs::File;
use std::io::{Read, Seek};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Client, RequestError, encoded, is_cut};
use crate::input::Large;

impl Client {
    /// Sends a file by PUT, and returns the body of the answer.
    pub(crate) fn upload(&self, path: &str, file: &File) -> Result<String, RequestError> {
        let request = self.signed(self.agent.put(self.url(path)));
        let request = request.header("content-type", "application/octet-stream");
        // A server that refuses it answers before the content is sent.
        let answer = request.header("expect", "100-continue").send(file);
        if let Err(error) = &answer
            && is_cut(error)
        {
            let detail = format!("the server {} ended the connection during the upload", self.base);
            return Err(RequestError { status: None, detail, errors: Vec::new() });
        }
        self.text(answer)
    }

    /// Uploads bytes for a parameter of an action, which a submission then refers to.
    ///
    /// # Errors
    /// Fails with the answer of a server that refuses them; fails if the file changes meanwhile.
    pub(crate) fn upload_parameter(&self, action: &str, large: &Large) -> Result<(), RequestError> {
        let Large { file, name, digest, bytes } = large;
        let about = |detail: &str| format!("cannot upload {name} ({bytes} bytes): {detail}");
        let path = format!("/api/actions/{}/uploads", encoded(action));
        let digest = BASE64.encode(digest.as_bytes());
        // What is sent is what was read, even if the file grows.
        let answer = self.sent(|client| {
            let mut file = file.try_clone()?;
            file.rewind()?;
            let request = client.signed(client.agent.post(client.url(&path)));
            let request = request
                .header("content-type", "application/octet-stream")
                .header("content-length", bytes.to_string())
                .header("content-digest", format!("sha-256=:{digest}:"))
                // A server that refuses it answers before the content is sent.
                .header("expect", "100-continue");
            request.send(ureq::SendBody::from_owned_reader(file.take(*bytes)))
        });
        if let Err(error) = &answer
            && is_cut(error)
        {
            let detail = format!(
                "the server {} ended the connection; it, or a proxy in front of it, may admit fewer",
                self.base
            );
            // No answer says why: the server may have been stopped.
            return Err(RequestError { status: None, detail: about(&detail), errors: Vec::new() });
        }
        self.text(answer).map(drop).map_err(|mut refused| {
            refused.detail = about(&refused.detail);
            refused
        })
    }
}
