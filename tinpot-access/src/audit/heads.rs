//! Heads: entries that name the end that a log had, so that a check finds a log that was cut there.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use tinpot_core::access::records::Records;
use tinpot_core::access::{AuditEvent, AuditTarget, AuditWho};
use tinpot_core::seal::{PublicKey, Suite};
use tinpot_core::{Result, Timestamp};

use super::{AUDIT_LOG, PAGE, entry};
use crate::secret::Digest;

/// The name of the entries of heads.
const HEAD: &str = "audit.head";
/// The most heads that a check of a log remembers: those of the latest million of entries.
const HEADS: usize = 1_000;

/// The end that a log had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) digest: Digest,
    /// If false, its signature is wrong.
    pub(super) is_valid: bool,
}

/// The heads of a log that are in the audit.
#[derive(Debug, Default)]
pub(super) struct Heads {
    pub(super) heads: BTreeMap<u64, Head>,
    /// The public keys of the signatures, in base64.
    pub(super) signers: Vec<String>,
}

/// Returns the event of a head, signed by the key of the suite if there is one.
pub(super) fn event(
    signer: Option<&Arc<dyn Suite>>,
    log: &str,
    number: u64,
    digest: Digest,
    now: Timestamp,
) -> AuditEvent {
    let mut detail = format!("{number} {}", digest.to_hex());
    if let Some(suite) = signer {
        let signature = suite.sign(&signed_text(log, &detail));
        // The key as worker.toml has it.
        detail = format!("{detail} {} {}", suite.public(), STANDARD.encode(signature));
    }
    let who = AuditWho::new("coordinator", "", "");
    AuditEvent::new(now, who, HEAD).target(AuditTarget::new("log", log)).detail(detail)
}

fn signed_text(log: &str, end: &str) -> Vec<u8> {
    format!("tinpot/1 audit head\0{log} {end}").into_bytes()
}

/// Returns the heads of a log.
pub(super) async fn of(records: &dyn Records, log: &str) -> Result<Heads> {
    let mut found = Heads::default();
    let mut after = 0;
    loop {
        let page = records.entries(AUDIT_LOG, after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = *last;
        for (_, bytes) in &page {
            // The check of the audit itself names entries that cannot be read.
            let Ok(entry) = entry::parse(bytes) else { continue };
            if *entry.event.what == *HEAD && *entry.event.target.id == *log {
                found.add(log, &entry.event.detail);
            }
        }
    }
}

impl Heads {
    fn add(&mut self, log: &str, detail: &str) {
        let parts: Vec<&str> = detail.split(' ').collect();
        let [number, digest, signed @ ..] = &parts[..] else { return };
        let (Ok(number), Some(digest)) = (number.parse(), Digest::from_hex(digest)) else { return };
        let is_valid = match signed {
            [] => true,
            [key, signature] => {
                if !self.signers.iter().any(|signer| signer == key) && self.signers.len() < 16 {
                    self.signers.push((*key).to_owned());
                }
                let text = signed_text(log, &format!("{number} {}", digest.to_hex()));
                let (key, signature) = (key.parse::<PublicKey>(), STANDARD.decode(signature));
                key.is_ok_and(|key| {
                    let key = UnparsedPublicKey::new(&ED25519, key.0);
                    signature.is_ok_and(|signature| key.verify(&text, &signature).is_ok())
                })
            }
            _ => false,
        };
        if self.heads.len() >= HEADS {
            self.heads.pop_first();
        }
        self.heads.insert(number, Head { digest, is_valid });
    }
}
