//! Sealed frames: sessions between one worker and one coordinator, whose frames are encrypted and
//! authenticated.
//!
//! No clock, no I/O, and no cipher: time is passed, frames are returned, and a [`Suite`] has the
//! cryptography. The bytes are specified in `docs/protocol.md`.

mod header;
mod session;
mod suite;
mod window;

pub use self::header::{FrameKind, HEADER_BYTES, Header, TAG_BYTES, is_plain};
pub use self::session::{Opening, Sealing, Session, SessionId, Side};
pub use self::suite::{Digest, Ephemeral, PublicKey, SecretKey, SessionKeys, Signature, Suite};
pub use self::window::{WINDOW, Window};
