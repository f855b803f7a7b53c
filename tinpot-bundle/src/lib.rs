#![doc = include_str!("../README.md")]

mod action;
mod apps;
mod archive;
mod blob;
mod digest;
mod failpoint;
mod globs;
mod limits;
mod manifest;
mod pack;
#[cfg(feature = "testing")]
pub mod testing;
mod towerfile;
mod unpack;
mod uploads;
#[cfg(feature = "worker")]
pub mod worker;

pub use self::apps::{
    App, Apps, Collected, Collection, Deploy, DeployOptions, Deployment, FileChange, IMPORT_ACTION,
    IMPORT_FAILED, ImportedApp, MAX_VERSIONS, PastApp, PastVersion, TextChange, Uses, Version,
};
pub use self::archive::{Inspection, inspect};
pub use self::blob::{
    Blob, BlobInfo, BlobStore, Body, ByteRange, FileBlobStore, MAX_LIST, MemoryBlobStore,
    PutOptions, body,
};
pub use self::digest::{Digest, Hasher};
pub use self::limits::Limits;
pub use self::manifest::{
    Artifact, BundleEntries, BundleEntry, MAX_MANIFEST_BYTES, Manifest, content_digest,
};
pub use self::pack::{PackEntry, PackOptions, Packed, list, pack, read_towerfile, select};
pub use self::towerfile::{
    Extras, Kind, MAX_TOWERFILE_BYTES, ParameterType, RunLimits, RunRetry, Runtime, TOWERFILE,
    Towerfile, TowerfileParameter, actions_towerfile, check_app_name, may_have_actions,
};
pub use self::unpack::unpack;
pub use self::uploads::{Upload, Uploads};
pub use tinpot_core::RetryOn;
