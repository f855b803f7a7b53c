//! The proxies in front of the server, and the headers that they add to requests.
//!
//! Any client can send the headers in which proxies name the client, the scheme and the host.
//! Headers that do not come from a proxy are removed here, before anything reads them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::address_range::AddressRange;
use crate::authenticator::PeerAddress;
use crate::public_url::PublicUrl;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTOCOL: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The maximum number of proxies in a chain.
const HOPS: usize = 16;

/// A mark that a server adds to the extensions of a request that came over HTTPS. It takes
/// precedence over the header `X-Forwarded-Proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverTls;

/// The address of the client of a request, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// The proxies in front of a server, and the URL by which people reach them.
#[derive(Debug)]
pub(crate) struct Proxies {
    ranges: Vec<AddressRange>,
    public: Option<PublicUrl>,
    /// True after the warning about headers that were removed: any client can cause it.
    has_warned: AtomicBool,
}

impl Proxies {
    pub(crate) fn new(ranges: Vec<AddressRange>, public: Option<PublicUrl>) -> Self {
        Self { ranges, public, has_warned: AtomicBool::new(false) }
    }

    /// Returns true if the peer may state where requests come from. Every program on this machine
    /// may.
    fn trusts(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || self.is_proxy(peer)
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// Removes the headers of a request that cannot be trusted.
    pub(crate) fn settle(&self, request: &mut Request) {
        let peer = request.extensions().get().map(|PeerAddress(peer)| peer.ip().to_canonical());
        let is_over_tls = request.extensions().get::<OverTls>().is_some();
        if let Some(peer) = peer {
            let headers = request.headers_mut();
            let mut client = peer;
            if self.trusts(peer) {
                client = self.client(headers).unwrap_or(peer);
            } else {
                for name in [FOR, HOST, PROTOCOL] {
                    if headers.remove(&name).is_some() {
                        self.warn(peer, &name);
                    }
                }
            }
            request.extensions_mut().insert(ClientAddress(client));
        }
        let headers = request.headers_mut();
        if let Some(public) = &self.public {
            let named = [HOST, header::HOST].into_iter().filter_map(|name| text(headers, &name));
            if named.into_iter().any(|host| public.is_host(host)) {
                headers.insert(PROTOCOL, HeaderValue::from_static(public.scheme()));
            }
            // Like a proxy that forwards the header Host.
            if !headers.contains_key(HOST)
                && let Ok(authority) = HeaderValue::from_str(public.authority())
            {
                headers.insert(HOST, authority);
            }
        }
        if is_over_tls {
            headers.insert(PROTOCOL, HeaderValue::from_static("https"));
        }
    }

    /// Warns once: an operator may have forgotten to name the proxy.
    fn warn(&self, peer: IpAddr, name: &HeaderName) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "ignoring {name}, as {peer} is not a known proxy: if it is one, name it with \
                 --proxy-from, and set --public-url to the URL by which people reach it"
            );
        }
    }

    /// Returns the last address that a proxy has seen and that is not a proxy itself: addresses
    /// before it are unverified claims of the client.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lists = headers.get_all(FOR).iter().rev();
        let named = lists.flat_map(|list| list.to_str().unwrap_or("?").rsplit(',').map(str::trim));
        let mut client = None;
        for name in named.take(HOPS) {
            let Ok(address) = name.parse::<IpAddr>() else { break };
            let address = address.to_canonical();
            client = Some(address);
            if !self.is_proxy(address) {
                break;
            }
        }
        client
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn settled(proxies: &Proxies, peer: &str, headers: &[(&str, &str)]) -> Request {
        let request = headers
            .iter()
            .fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        let mut request = request.body(Body::empty()).expect("a request");
        let peer = (peer.parse::<IpAddr>().expect("an address"), 1).into();
        request.extensions_mut().insert(PeerAddress(peer));
        proxies.settle(&mut request);
        request
    }

    fn client(proxies: &Proxies, peer: &str, headers: &[(&str, &str)]) -> String {
        let request = settled(proxies, peer, headers);
        request.extensions().get::<ClientAddress>().expect("a client").0.to_string()
    }

    #[test]
    fn the_client_is_the_last_one_that_is_no_proxy() {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().expect("a range")], None);
        let list = [("x-forwarded-for", "1.2.3.4, 198.51.100.7, 10.0.0.2")];
        assert_eq!(client(&proxies, "10.0.0.1", &list), "198.51.100.7");
        assert_eq!(client(&proxies, "127.0.0.1", &list), "198.51.100.7");
        assert_eq!(client(&proxies, "203.0.113.9", &list), "203.0.113.9", "a stranger's word");
        let two = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "10.0.0.3")];
        assert_eq!(client(&proxies, "10.0.0.1", &two), "1.2.3.4");
        let odd = [("x-forwarded-for", "1.2.3.4, unknown")];
        assert_eq!(client(&proxies, "10.0.0.1", &odd), "10.0.0.1");
        assert_eq!(client(&proxies, "::ffff:10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn only_a_proxy_says_the_scheme_and_the_host() {
        let url = "https://tinpot.example.org".parse().expect("a URL");
        let proxies = Proxies::new(vec!["10.0.0.1".parse().expect("a range")], Some(url));
        let said = [
            ("host", "10.9.9.9:8000"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
        ];
        let header = |request: &Request, name: HeaderName| {
            text(request.headers(), &name).map(str::to_owned).unwrap_or_default()
        };
        let has_warned = || proxies.has_warned.load(Ordering::Relaxed);
        settled(&proxies, "203.0.113.9", &said[..1]);
        settled(&proxies, "10.0.0.1", &said);
        assert!(!has_warned());
        let foreign = settled(&proxies, "203.0.113.9", &said);
        assert!(has_warned(), "a proxy may have been forgotten");
        let of_foreign = (header(&foreign, PROTOCOL), header(&foreign, HOST));
        assert_eq!(of_foreign, (String::new(), "tinpot.example.org".to_owned()));
        let trusted = settled(&proxies, "10.0.0.1", &said);
        let of_trusted = (header(&trusted, PROTOCOL), header(&trusted, HOST));
        assert_eq!(of_trusted, ("https".to_owned(), "a.example".to_owned()));
        // The host of the public URL tells its scheme, even if no proxy does.
        let public = settled(&proxies, "203.0.113.9", &[("host", "tinpot.example.org")]);
        assert_eq!(header(&public, PROTOCOL), "https");
        let local = settled(&proxies, "127.0.0.1", &[("host", "127.0.0.1:8000")]);
        assert_eq!(header(&local, PROTOCOL), "");
    }
}
