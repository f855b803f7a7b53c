//! Archives made by hand, byte for byte.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The bytes of a tar file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tarball(pub(crate) Vec<u8>);

impl Tarball {
    /// Starts with a Towerfile and its script.
    pub(crate) fn app() -> Self {
        let towerfile = b"[app]\nname = \"hello\"\nscript = \"main.sh\"\n";
        Self::default().file("Towerfile", towerfile).file("main.sh", b"echo hello\n")
    }

    /// Adds a header and its content.
    pub(crate) fn entry(
        mut self,
        kind: u8,
        path: impl AsRef<[u8]>,
        link: impl AsRef<[u8]>,
        content: &[u8],
    ) -> Self {
        self.header(kind, path.as_ref(), link.as_ref(), content.len() as u64, 0o644);
        self.content(content);
        self
    }

    pub(crate) fn header(&mut self, kind: u8, path: &[u8], link: &[u8], bytes: u64, mode: u32) {
        let mut block = [0_u8; 512];
        block[..path.len()].copy_from_slice(path);
        block[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
        block[108..116].copy_from_slice(b"0001750\0");
        block[116..124].copy_from_slice(b"0001750\0");
        block[124..136].copy_from_slice(format!("{bytes:011o}\0").as_bytes());
        block[136..148].copy_from_slice(b"14000000000\0");
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        self.sign(block);
    }

    /// Adds a block with the right checksum.
    pub(crate) fn sign(&mut self, mut block: [u8; 512]) {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
    }

    pub(crate) fn content(&mut self, content: &[u8]) {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    pub(crate) fn file(self, path: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.entry(b'0', path, "", content)
    }

    pub(crate) fn link(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(b'2', path, target, b"")
    }

    /// Adds an extended header.
    pub(crate) fn pax(self, kind: u8, key: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let rest = key.len() + value.len() + 3;
        let bytes = (1..8)
            .map(|digits| rest + digits)
            .find(|bytes| bytes.to_string().len() == bytes - rest);
        let mut record = format!("{} {key}=", bytes.expect("a length")).into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        self.entry(kind, "pax", "", &record)
    }

    /// Ends the archive, and compresses it.
    pub(crate) fn gzip(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        gzip(&self.0)
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).expect("memory");
    gzip.finish().expect("memory")
}
