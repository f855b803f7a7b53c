//! Values of flags and variables as text.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use super::{REQUEST_BYTES, RESULT_BYTES, UPLOAD_BYTES};

/// Parses a time in seconds, fractions allowed, from a millisecond to a year.
///
/// # Errors
/// Fails if the text is not a number in that range.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=31_536_000.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "must be a number of seconds from 0.001 to 31536000".to_owned())
}

/// Parses an address to listen on: an IP address, or a name that this machine resolves. Of several
/// addresses an IPv4 one is taken, as clients do that get the name.
///
/// # Errors
/// Fails if the text is neither.
pub fn host(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Ok(address);
    }
    // Other texts would wait for a name server in vain.
    let is_name = !text.is_empty()
        && text.split('.').all(|part| !part.starts_with('-'))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    if !is_name {
        return Err("must be an IP address or a host name".to_owned());
    }
    let found = (text, 0).to_socket_addrs();
    let found = found.map_err(|e| format!("must be an IP address or a host name: {e}"))?;
    let first = found.map(|address| address.ip()).min_by_key(|address| !address.is_ipv4());
    first.ok_or_else(|| "must be an IP address or a host name with an address".to_owned())
}

/// Parses a size in bytes, with an optional unit of 1024 each: K, M, G or T.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let units = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    // Python takes sizes up to 2^62.
    bytes
        .filter(|bytes| (1..=1 << 62).contains(bytes))
        .ok_or_else(|| "must be a number of bytes, or one with K, M, G or T, like 256M".to_owned())
}

/// Parses the size of a request.
pub(super) fn request_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|bytes| match bytes > REQUEST_BYTES as u64 {
        true => Err("must be at most 15M, the size that one message carries".to_owned()),
        false => Ok(bytes),
    })
}

/// Parses the size of an upload.
pub(super) fn upload_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|bytes| match bytes > UPLOAD_BYTES {
        true => Err("must be at most 1G: workers fetch no larger upload".to_owned()),
        false => Ok(bytes),
    })
}

/// Parses the origin of pages, or `*`. Lists in variables may have empty entries.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let origin = text.trim();
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_host = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@,*".contains(&byte))
    };
    match origin.is_empty() || origin == "*" || host.is_some_and(is_host) {
        true => Ok(origin.to_owned()),
        false => {
            Err("must be an origin like https://portal.example.org, without a path, or *"
                .to_owned())
        }
    }
}

/// Parses a host of requests. Lists in variables may have empty entries.
pub(super) fn allowed_host(text: &str) -> Result<String, String> {
    let host = text.trim();
    match host.is_empty() || host.parse::<tinpot_http::AllowedHost>().is_ok() {
        true => Ok(host.to_owned()),
        false => Err("must be a host like tinpot.example.org, *.example.org:8443 or *, without \
                      http:// and without a path"
            .to_owned()),
    }
}

/// Parses a range of addresses. Lists in variables may have empty entries.
pub(super) fn address_range(text: &str) -> Result<String, String> {
    let range = text.trim();
    match range.is_empty() || range.parse::<tinpot_http::AddressRange>().is_ok() {
        true => Ok(range.to_owned()),
        false => {
            Err("must be an address like 10.0.0.5, or a range like 10.1.0.0/16, without bits \
                      behind its length"
                .to_owned())
        }
    }
}

/// Parses a certificate and its user. Lists in variables may have empty entries.
pub(super) fn certificate_principal(text: &str) -> Result<String, String> {
    let one = text.trim();
    match one.is_empty() || one.parse::<tinpot_http::CertificatePrincipal>().is_ok() {
        true => Ok(one.to_owned()),
        false => {
            Err("must be like spiffe://example.org/ci=deployer, or sha256: and the fingerprint \
                      of the certificate, = and a user"
                .to_owned())
        }
    }
}

/// Parses a prefix of topics and its user. Lists in variables may have empty entries.
pub(super) fn gateway_client(text: &str) -> Result<String, String> {
    pair(text).ok_or_else(|| "must be PREFIX=USER, like home=ada".to_owned())
}

/// Parses a prefix of topics and a name of actions. Lists in variables may have empty entries.
pub(super) fn gateway_actions(text: &str) -> Result<String, String> {
    pair(text).ok_or_else(|| "must be PREFIX=NAME, like home=water-*".to_owned())
}

/// Returns two texts with a = between them, or nothing at all.
fn pair(text: &str) -> Option<String> {
    let one = text.trim();
    let parts = one.split_once('=').map(|(left, right)| (left.trim(), right.trim()));
    let fits = parts.is_some_and(|(left, right)| !left.is_empty() && !right.is_empty());
    (one.is_empty() || fits).then(|| one.to_owned())
}

/// Parses a time in seconds, of at most a day.
pub(super) fn day_in_seconds(text: &str) -> Result<Duration, String> {
    let time = seconds(text).ok().filter(|time| *time <= Duration::from_secs(86_400));
    time.ok_or_else(|| "must be a number of seconds from 0.001 to 86400".to_owned())
}

/// Parses the public URL. An environment variable that is set to nothing counts as not set.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let url = text.trim();
    match url.is_empty() || url.parse::<tinpot_http::PublicUrl>().is_ok() {
        true => Ok(url.to_owned()),
        false => {
            Err("must be like https://tinpot.example.org or https://example.org/tinpot".to_owned())
        }
    }
}

/// Parses a source of frames, which stands in a header: an origin, with `*.` in front of its host for
/// those below it. Lists in variables may have empty entries.
pub(super) fn frame_source(text: &str) -> Result<String, String> {
    let source = text.trim();
    let fits = |byte: u8| byte.is_ascii_graphic() && !b";,\"<>".contains(&byte);
    match source.bytes().all(fits) {
        true => Ok(source.to_owned()),
        false => Err("must be an origin like https://wiki.example.org".to_owned()),
    }
}

/// Parses the size of a result.
pub(super) fn result_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|bytes| match bytes > RESULT_BYTES as u64 {
        true => Err("must be at most 15M, the size that one message carries".to_owned()),
        false => Ok(bytes),
    })
}
