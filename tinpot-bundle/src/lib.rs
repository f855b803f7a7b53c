#![doc = include_str!("../README.md")]

mod blob;
mod digest;
#[cfg(feature = "testing")]
pub mod testing;
mod towerfile;

pub use self::blob::{
    Blob, BlobInfo, BlobStore, Body, ByteRange, FileBlobStore, MAX_LIST, MemoryBlobStore,
    PutOptions, body,
};
pub use self::digest::{Digest, Hasher};
pub use self::towerfile::{
    Extras, Kind, MAX_TOWERFILE_BYTES, ParameterType, RetryOn, RunLimits, RunRetry, Runtime,
    TOWERFILE, Towerfile, TowerfileParameter,
};
