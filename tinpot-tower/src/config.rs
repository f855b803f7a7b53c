//! The settings of the facade.

use std::time::Duration;

use tinpot_access::Secret;

/// The settings of MiniTower's API. The defaults are those of MiniTower.
///
/// ```
/// use tinpot_access::Secret;
/// use tinpot_tower::TowerConfig;
///
/// let config = TowerConfig::default().sign_up(false).bootstrap_token(Secret::new("first"));
/// assert_eq!(config.max_artifact_bytes, 100 * 1024 * 1024);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TowerConfig {
    /// If true, all visitors can make a team.
    pub sign_up: bool,
    /// The token with which the first team can be made; without one, there is no such route.
    pub bootstrap_token: Option<Secret>,
    /// The token with which runners register; without one, none can.
    pub registration_token: Option<Secret>,
    /// The origins whose pages may use the API.
    pub cors_origins: Vec<String>,
    /// The largest body, apart from uploads.
    pub max_body_bytes: usize,
    /// The largest upload, as it is sent.
    pub max_artifact_bytes: u64,
    /// The time after which a runner that is not heard from loses its run.
    pub lease: Duration,
}

impl Default for TowerConfig {
    fn default() -> Self {
        Self {
            sign_up: true,
            bootstrap_token: None,
            registration_token: None,
            cors_origins: Vec::new(),
            max_body_bytes: 10 * 1024 * 1024,
            max_artifact_bytes: 100 * 1024 * 1024,
            lease: Duration::from_secs(60),
        }
    }
}

impl TowerConfig {
    /// If true, all visitors can make a team.
    #[must_use]
    pub fn sign_up(mut self, is_open: bool) -> Self {
        self.sign_up = is_open;
        self
    }

    /// Sets the token with which the first team can be made.
    #[must_use]
    pub fn bootstrap_token(mut self, token: Secret) -> Self {
        self.bootstrap_token = Some(token);
        self
    }

    /// Sets the token with which runners register.
    #[must_use]
    pub fn registration_token(mut self, token: Secret) -> Self {
        self.registration_token = Some(token);
        self
    }

    /// Sets the origins whose pages may use the API. They are compared as texts.
    #[must_use]
    pub fn cors_origins(mut self, origins: impl IntoIterator<Item = String>) -> Self {
        self.cors_origins = origins.into_iter().collect();
        self
    }

    /// Limits bodies other than uploads.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Limits uploads.
    #[must_use]
    pub fn max_artifact_bytes(mut self, bytes: u64) -> Self {
        self.max_artifact_bytes = bytes;
        self
    }

    /// Sets the time after which a runner that is not heard from loses its run.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }
}
