//! [`Tower`]: what all requests share.

use std::fmt;
use std::sync::Arc;

use tinpot_access::{Directory, Login};
use tinpot_bundle::Apps;
use tinpot_core::access::Records;
use tinpot_core::{Coordinator, Sampling};
use tokio::sync::Semaphore;

use crate::api::summary::Counts;
use crate::config::TowerConfig;
use crate::gateway::Gateway;
use crate::ids::Ids;
use crate::observed::{AnsweredRequest, OnRequest};

/// The uploads that are taken at one time. Each holds a few megabytes.
pub(crate) const UPLOADS: usize = 4;

/// MiniTower's API in front of a coordinator.
///
/// The crate's documentation has an example.
#[derive(Debug)]
pub struct Tower {
    pub(crate) coordinator: Coordinator,
    pub(crate) apps: Apps,
    pub(crate) login: Login,
    pub(crate) records: Arc<dyn Records>,
    pub(crate) ids: Ids,
    pub(crate) config: TowerConfig,
    pub(crate) uploads: Semaphore,
    pub(crate) counts: Counts,
    pub(crate) on_request: OnRequest,
    pub(crate) traces: Option<Sampling>,
    pub(crate) gateway: Option<Gateway>,
}

impl Tower {
    /// Describes the API of a coordinator with these apps and users, whose directory has teams.
    ///
    /// `records` are those of the directory or of the apps: the integer ids of MiniTower's objects
    /// are kept there.
    pub fn new(
        coordinator: Coordinator,
        apps: Apps,
        login: Login,
        records: Arc<dyn Records>,
        config: TowerConfig,
    ) -> Self {
        Self {
            coordinator,
            apps,
            login,
            ids: Ids::new(records.clone()),
            records,
            config,
            uploads: Semaphore::new(UPLOADS),
            counts: Counts::default(),
            on_request: OnRequest::default(),
            traces: None,
            gateway: None,
        }
    }

    /// Calls a function with each request that was answered, for metrics. It must not block.
    #[must_use]
    pub fn on_request(
        mut self,
        observe: impl Fn(&AnsweredRequest<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.on_request = OnRequest(Some(Arc::new(observe)));
        self
    }

    /// Gives each request that submits a run a span, which is the parent of the run's.
    #[must_use]
    pub fn traces(mut self, sampling: Sampling) -> Self {
        self.traces = Some(sampling);
        self
    }

    pub(crate) fn directory(&self) -> &Directory {
        self.login.directory()
    }
}

impl fmt::Debug for OnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnRequest").field(&self.0.is_some()).finish()
    }
}
