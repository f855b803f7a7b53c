//! Tickets: the right of one attempt to read its bundle, which workers show to the server that keeps
//! bundles.
//!
//! A ticket is the fence, the digest of the bundle and a keyed digest of both. Nothing is stored: the
//! key proves that this coordinator made the ticket, and the machine knows whether the attempt
//! lives.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Coordinator;
use super::command::Command;
use crate::access::SecretSealer;
use crate::model::deployed::BundleTicket;
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::fence::Fence;

/// The purpose of the keyed digests.
const PURPOSE: &str = "bundle ticket";
/// The longest text that can be a ticket.
const TICKET_BYTES: usize = 256;

/// The attempt that reads a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BundleReader {
    /// The attempt.
    pub fence: Fence,
    /// The bundle that it may read.
    pub bundle: Digest,
}

/// Makes tickets, and recognizes them.
#[derive(Clone, Debug)]
pub(super) struct Tickets(Arc<dyn SecretSealer>);

impl Tickets {
    pub(super) fn new(key: Arc<dyn SecretSealer>) -> Self {
        Self(key)
    }

    /// Returns the ticket of an attempt.
    pub(super) fn mint(&self, fence: Fence, bundle: &Digest) -> BundleTicket {
        let mut text = claim(fence, bundle);
        for byte in self.0.digest(PURPOSE, text.as_bytes()) {
            // Cannot fail: it writes to a string.
            let _ = write!(text, "{byte:02x}");
        }
        BundleTicket::new(text)
    }

    /// Returns the attempt of a ticket; `None` if this key did not make it.
    fn read(&self, text: &str) -> Option<BundleReader> {
        if text.len() > TICKET_BYTES {
            return None;
        }
        let mut parts = text.rsplitn(3, '.');
        let (_, bundle, fence) = (parts.next()?, parts.next()?, parts.next()?);
        let (fence, bundle) = (fence.parse().ok()?, bundle.parse().ok()?);
        let expected = self.mint(fence, &bundle);
        is_same(expected.expose(), text).then_some(BundleReader { fence, bundle })
    }
}

/// Returns the part of a ticket that the keyed digest is of.
fn claim(fence: Fence, bundle: &Digest) -> String {
    format!("{fence}.{bundle}.")
}

/// Compares texts in a time that does not depend on the place of the first difference.
fn is_same(a: &str, b: &str) -> bool {
    let difference = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

impl Coordinator {
    /// Returns the attempt of a [ticket](crate::BundleTicket), which may read its bundle now.
    ///
    /// # Errors
    /// `Forbidden` if the ticket is not one of this coordinator, or if its attempt has ended;
    /// `Closed` after the shutdown.
    pub async fn admit_ticket(&self, ticket: &str) -> Result<BundleReader> {
        let refused = |why: &str| Err(Error::new(ErrorKind::Forbidden, why));
        let Some(reader) = self.shared.tickets.as_ref().and_then(|tickets| tickets.read(ticket))
        else {
            return refused("the ticket is not one of this server");
        };
        let bundle = self.ask(|reply| Command::BundleOf { fence: reader.fence, reply }).await?;
        match bundle {
            Some(bundle) if bundle.bundle == reader.bundle => Ok(reader),
            _ => refused("the attempt of the ticket has ended"),
        }
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
        assert_eq!((read.fence, read.bundle), (fences[1], bundles[1]));

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
