//! The place from which a worker fetches the bundles of deployed apps.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tinpot_bundle::{Body, Digest};
use tinpot_core::{Error, ErrorKind, Result};
use tinpot_http_transport::Downloads;
use tinpot_process::{FetchBlob, FetchOptions};

use super::BrokerSettings;

/// The place from which a worker fetches the bundles of deployed apps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct BundleSettings {
    /// The URL of the coordinator's HTTP server, from which a worker with a broker fetches deployed
    /// apps and uploads: https:// or http://. By default, that which the worker learned when it joined;
    /// a worker that uses HTTP asks the server that it uses. Without it, the worker runs no deployed
    /// apps, and nothing with uploads among its parameters.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_BUNDLE_SERVER", value_name = "URL"))]
    pub bundle_server: Option<String>,
    /// A PEM file with the certificate authorities that the certificate of --bundle-server may be signed
    /// by, in place of those of the system.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_BUNDLE_CA", value_name = "FILE"))]
    pub bundle_ca: Option<PathBuf>,
}

impl BundleSettings {
    /// Returns the URL that the settings name.
    fn named(&self) -> Option<&str> {
        // An environment variable that is set to nothing counts as not set.
        self.bundle_server.as_deref().map(str::trim).filter(|url| !url.is_empty())
    }

    /// Returns the URL to keep with the key of a worker that joins.
    pub(crate) fn to_keep(&self) -> Option<String> {
        self.named().map(str::to_owned)
    }

    /// Returns the source of bundles of a worker; `None` if it has no URL of a server. `learned` is
    /// what the worker learned when it joined.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or a certificate that cannot be used.
    pub(crate) fn source(
        &self,
        broker: &BrokerSettings,
        learned: Option<&str>,
    ) -> Result<Option<Arc<dyn FetchBlob>>> {
        let ca = self.bundle_ca.as_deref().filter(|path| !path.as_os_str().is_empty());
        let mut ca = ca.map(super::broker::read).transpose()?;
        let url = match self.named().or(learned) {
            Some(url) => url,
            None if broker.is_server() => {
                ca = ca.map_or_else(|| broker.ca_certificates(), |ca| Ok(Some(ca)))?;
                broker.url.as_str()
            }
            None => return Ok(None),
        };
        let downloads = Downloads::new(url, ca.as_deref())
            .map_err(|error| error.with_context("--bundle-server (TINPOT_BUNDLE_SERVER)"))?;
        Ok(Some(Arc::new(ServerBlobs(downloads))))
    }
}

/// The bundles that a server keeps.
#[derive(Debug)]
struct ServerBlobs(Downloads);

#[async_trait]
impl FetchBlob for ServerBlobs {
    async fn fetch(&self, digest: &Digest, options: FetchOptions) -> Result<Body> {
        let Some(ticket) = &options.ticket else {
            let message =
                "the coordinator gives no tickets for bundles: it is of an earlier version";
            return Err(Error::new(ErrorKind::Forbidden, message));
        };
        self.0.blob(digest, ticket, options.start).await
    }
}
