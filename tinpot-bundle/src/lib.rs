#![doc = include_str!("../README.md")]

mod blob;
mod digest;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::blob::{
    Blob, BlobInfo, BlobStore, Body, ByteRange, FileBlobStore, MAX_LIST, MemoryBlobStore,
    PutOptions, body,
};
pub use self::digest::{Digest, Hasher};
