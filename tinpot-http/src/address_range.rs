//! Ranges of addresses, for the configuration of proxies.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use tinpot_core::{Error, ErrorKind};

/// The number of bits of an IPv6 address before the IPv4 address that it may hold.
const MAPPED_BITS: u8 = 96;

/// A range of addresses, such as `10.1.0.0/16` or `fd00::/8`. A single address is a range as well.
///
/// ```
/// use tinpot_http::AddressRange;
///
/// let range: AddressRange = "10.1.0.0/16".parse()?;
/// assert!(range.contains("10.1.2.3".parse().unwrap()));
/// assert!(!range.contains("10.2.0.1".parse().unwrap()));
/// assert!("10.1.2.3/16".parse::<AddressRange>().is_err());
/// # Ok::<(), tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// The first address, as an IPv6 one.
    first: u128,
    /// The number of leading bits that all addresses share.
    bits: u8,
}

impl AddressRange {
    /// Returns true if the address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits_of(address) & mask(self.bits) == self.first
    }
}

/// Returns an address as an IPv6 one.
fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

impl FromStr for AddressRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            let message = format!(
                "address range must be an address or like 10.1.0.0/16 or fd00::/8{why} (got {text:?})"
            );
            Error::new(ErrorKind::InvalidInput, message)
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid(""))?;
        let before = if address.is_ipv4() { MAPPED_BITS } else { 0 };
        let bits = match length {
            None => 128,
            Some(length) => {
                let digits = length.bytes().all(|byte| byte.is_ascii_digit());
                let length = length.parse::<u8>().ok().filter(|_| digits);
                let length = length.filter(|length| *length <= 128 - before);
                length.ok_or_else(|| invalid(""))? + before
            }
        };
        let first = bits_of(address);
        if first & mask(bits) != first {
            return Err(invalid(", without bits behind its length"));
        }
        Ok(Self { first, bits })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.first);
        match address.to_ipv4_mapped().filter(|_| self.bits >= MAPPED_BITS) {
            Some(address) => write!(f, "{address}/{}", self.bits - MAPPED_BITS),
            None => write!(f, "{address}/{}", self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AddressRange;

    #[test]
    fn a_range_has_the_addresses_of_its_kind() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "::ffff:192.0.2.6"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ] {
            let parsed: AddressRange = range.parse().expect(range);
            assert!(parsed.contains(inside.parse().expect(inside)), "{range}");
            assert!(!parsed.contains(outside.parse().expect(outside)), "{range}");
        }
        let texts = ["10.0.0.0/8", "fd00::/8", "::/0", "0.0.0.0/0"];
        assert!(
            texts
                .iter()
                .all(|text| text.parse::<AddressRange>().expect(text).to_string() == **text)
        );
    }

    #[test]
    fn a_range_that_means_another_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "fd00::1/8",
            "::/129",
            "10.0.0.0/+8",
            "a/8",
            "10/8",
            "1.2.3.4/",
        ] {
            text.parse::<AddressRange>().expect_err(text);
        }
    }
}
