//! Tickets: the right of one attempt to read its bundle and the uploads of its parameters, which
//! workers show to the server that keeps them.
//!
//! A ticket is the fence, a digest and a keyed digest of both: that of the bundle, or without one that
//! of the first upload. Nothing is stored: the key proves that this coordinator made the ticket, and
//! the machine knows whether the attempt lives.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::Coordinator;
use super::command::Command;
use crate::access::SecretSealer;
use crate::model::deployed::BundleTicket;
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::fence::Fence;
use crate::protocol::Dispatch;

/// The purpose of the keyed digests.
const PURPOSE: &str = "bundle ticket";
/// The longest text that can be a ticket.
const TICKET_BYTES: usize = 256;

/// The attempt that reads a bundle or uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleReader {
    /// The attempt.
    pub fence: Fence,
    /// The bundle that it may read, if its action is deployed.
    pub bundle: Option<Digest>,
    /// The uploads that it may read: those to which its parameters refer.
    pub uploads: BTreeSet<Digest>,
}

/// Makes tickets, and recognizes them.
#[derive(Clone, Debug)]
pub(super) struct Tickets(Arc<dyn SecretSealer>);

impl Tickets {
    pub(super) fn new(key: Arc<dyn SecretSealer>) -> Self {
        Self(key)
    }

    /// Returns the ticket for a dispatch; `None` if its attempt has nothing to fetch.
    pub(super) fn of(&self, dispatch: &Dispatch) -> Option<BundleTicket> {
        let first = match &dispatch.bundle {
            Some(bundle) => Some(bundle.bundle),
            None => dispatch.uploads.first().copied(),
        };
        first.map(|digest| self.mint(dispatch.fence, &digest))
    }

    /// Returns the ticket of an attempt.
    fn mint(&self, fence: Fence, digest: &Digest) -> BundleTicket {
        let mut text = claim(fence, digest);
        for byte in self.0.digest(PURPOSE, text.as_bytes()) {
            // Cannot fail: it writes to a string.
            let _ = write!(text, "{byte:02x}");
        }
        BundleTicket::new(text)
    }

    /// Returns the attempt of a ticket, and its digest; `None` if this key did not make it.
    fn read(&self, text: &str) -> Option<(Fence, Digest)> {
        if text.len() > TICKET_BYTES {
            return None;
        }
        let mut parts = text.rsplitn(3, '.');
        let (_, digest, fence) = (parts.next()?, parts.next()?, parts.next()?);
        let (fence, digest) = (fence.parse().ok()?, digest.parse().ok()?);
        let expected = self.mint(fence, &digest);
        is_same(expected.expose(), text).then_some((fence, digest))
    }
}

/// Returns the part of a ticket that the keyed digest is of.
fn claim(fence: Fence, digest: &Digest) -> String {
    format!("{fence}.{digest}.")
}

/// Compares texts in a time that does not depend on the place of the first difference.
fn is_same(a: &str, b: &str) -> bool {
    let difference = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

impl Coordinator {
    /// Returns the attempt of a [ticket](crate::BundleTicket), which may read its bundle and its
    /// uploads now.
    ///
    /// # Errors
    /// `Forbidden` if the ticket is not one of this coordinator, or if its attempt has ended;
    /// `Closed` after the shutdown.
    pub async fn admit_ticket(&self, ticket: &str) -> Result<BundleReader> {
        let refused = |why: &str| Err(Error::new(ErrorKind::Forbidden, why));
        let read = self.shared.tickets.as_ref().and_then(|tickets| tickets.read(ticket));
        let Some((fence, digest)) = read else {
            return refused("the ticket is not one of this server");
        };
        let execution = self.ask(|reply| Command::ExecutionOf { fence, reply }).await?;
        if let Some(execution) = execution {
            let bundle = execution.bundle.as_ref().map(|bundle| bundle.bundle);
            let uploads: BTreeSet<_> = execution.uploads.iter().copied().collect();
            if bundle == Some(digest) || (bundle.is_none() && uploads.contains(&digest)) {
                return Ok(BundleReader { fence, bundle, uploads });
            }
        }
        refused("the attempt of the ticket has ended")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{TICKET_BYTES, Tickets};
    use crate::model::digest::Digest;
    use crate::model::fence::{Epoch, Fence};
    use crate::testing::secret_sealer::ToySealer;

    #[test]
    fn a_ticket_is_good_as_it_was_made_and_in_no_other_form() {
        let tickets = Tickets::new(Arc::new(ToySealer::new(1, &[])));
        let fence = |number| Fence { epoch: Epoch { instance: 42, number: 7 }, number };
        let (fences, bundles) =
            ([fence(1), fence(u64::MAX)], [1, 2].map(|n| Digest::from([n; 32])));
        let made = tickets.mint(fences[1], &bundles[1]);
        let text = made.expose();
        assert!(text.len() <= TICKET_BYTES, "{}", text.len());
        let read = tickets.read(text).expect("a ticket");
        assert_eq!(read, (fences[1], bundles[1]));

        let other = Tickets::new(Arc::new(ToySealer::new(2, &[])));
        assert_eq!(other.read(text), None);
        let mac = text.rsplit_once('.').expect("parts").1;
        for forged in [
            format!("{}.{}.{mac}", fences[0], bundles[1]),
            format!("{}.{}.{mac}", fences[1], bundles[0]),
            text.to_uppercase(),
            text[..text.len() - 1].to_owned(),
            format!("{text}0"),
            format!("0{text}"),
            String::new(),
            "..".to_owned(),
            "x".repeat(1 << 20),
        ] {
            assert_eq!(tickets.read(&forged), None, "{}", &forged[..forged.len().min(300)]);
        }
    }
}
