//! The gateway: MiniTower's runners as workers.

mod answers;
mod calls;
mod lines;
mod link;
mod peer;
mod runners;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use tinpot_core::access::Records;
use tinpot_core::transport::Address;
use tinpot_core::{MemoryNetwork, MemoryTransport, Result, Timestamp};

use self::answers::RegisteredJson;
#[cfg(feature = "import")]
pub(crate) use self::calls::failed;
use self::link::Times;
pub use self::runners::RUNNER_RECORDS;
#[cfg(feature = "import")]
pub(crate) use self::runners::known_runner;
use self::runners::{Registered, Runner, Runners};
use self::token::LeaseKey;
use crate::api::runners::RunnerJson;
use crate::caller::bearer;
use crate::ids::IdOf;
use crate::route::RunnerRoute;
use crate::tower::Tower;
use crate::wire::body;
use crate::wire::error::ApiError;
use crate::wire::json;
use crate::wire::times::Time;

/// The environment of runners that name none, which is the queue of the same name.
const ENVIRONMENT: &str = "default";
/// The bounds of the lease that runners get. The original beats at most every 2 s, and stops 5 s
/// before the end.
const LEASE_MIN: Duration = Duration::from_secs(7);
const LEASE_MAX: Duration = Duration::from_secs(60 * 60);
/// The time for which a request for a run waits by default. The original's runner waits for 30 s.
const WAIT: Duration = Duration::from_secs(20);
/// The body of a registration.
const BODY_BYTES: usize = 64 * 1024;

/// MiniTower's runners as workers of a coordinator.
///
/// Each runner is a worker with one slot in the queue that has the name of its environment. It runs
/// apps with the runtime `script` of every team, which the coordinator gives it when it asks.
/// There is no second queue, and no second list of leases.
///
/// The coordinator takes the gateway's [`transport`](Self::transport), joined with others by
/// [`JoinedTransport`](tinpot_core::transport::JoinedTransport) if there are other workers. Then
/// [`Tower::gateway`](crate::Tower::gateway) takes the gateway.
#[derive(Debug)]
pub struct Gateway {
    network: MemoryNetwork,
    runners: Arc<Runners>,
    key: LeaseKey,
    times: Times,
}

impl Gateway {
    /// Opens the gateway of the runners that are known in these records.
    ///
    /// # Errors
    /// Those of the records.
    pub async fn open(records: Arc<dyn Records>) -> Result<Self> {
        Ok(Self {
            network: MemoryNetwork::new(),
            key: LeaseKey::open(&*records).await?,
            runners: Arc::new(Runners::open(records).await?),
            times: Times { lease: Duration::from_secs(60), wait: WAIT },
        })
    }

    /// Sets the lease that runners get, from 7 s to an hour; 60 s by default. The coordinator
    /// waits longer for a silent one.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.times.lease = lease.clamp(LEASE_MIN, LEASE_MAX);
        self
    }

    /// Sets the time for which a request for a run waits, 20 s by default.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.times.wait = wait;
        self
    }

    /// Returns what the host does about once a minute, and at its end.
    pub fn upkeep(&self) -> RunnerUpkeep {
        RunnerUpkeep { runners: self.runners.clone(), silence: 2 * self.times.lease }
    }

    /// Returns the coordinator's end of the transport on which the runners are.
    pub fn transport(&self) -> MemoryTransport {
        self.network.transport_of(&Address::Coordinator)
    }
}

/// The work on the list of runners that waits; made by [`Gateway::upkeep`].
#[derive(Clone, Debug)]
pub struct RunnerUpkeep {
    runners: Arc<Runners>,
    /// The time after which a runner counts as offline.
    silence: Duration,
}

impl RunnerUpkeep {
    /// Writes when runners were seen. With `prune_after`, forgets runners that never had a run and
    /// were offline for longer: their tokens end. Returns the number of those.
    ///
    /// # Errors
    /// Those of the records.
    pub async fn run(&self, prune_after: Option<Duration>) -> Result<usize> {
        self.runners.note().await?;
        match prune_after {
            Some(after) => {
                let silence = after.saturating_add(self.silence);
                self.runners.forget(silence, Timestamp::now()).await
            }
            None => Ok(0),
        }
    }
}

/// Answers a request of a runner.
pub(crate) async fn answer(
    tower: &Arc<Tower>,
    route: RunnerRoute<'_>,
    request: Request,
) -> std::result::Result<Response, ApiError> {
    let Some(gateway) = &tower.gateway else {
        return Err(ApiError::not_found("this server takes no runners"));
    };
    if route == RunnerRoute::Register {
        return register(tower, gateway, request).await;
    }
    let token = bearer(request.headers());
    let Some(runner) = token.and_then(|token| gateway.runners.find(token)) else {
        return Err(ApiError::unauthorized("authorization must be the token of a runner"));
    };
    runner.saw();
    let (RunnerRoute::Start(id)
    | RunnerRoute::Heartbeat(id)
    | RunnerRoute::Logs(id)
    | RunnerRoute::Result(id)
    | RunnerRoute::Artifact(id)) = route
    else {
        return calls::lease(tower, gateway, &runner).await;
    };
    let found = calls::find(tower, gateway, &runner, id, request.headers()).await?;
    match route {
        RunnerRoute::Start(_) => calls::start(tower, gateway, &runner, found).await,
        RunnerRoute::Heartbeat(_) => calls::heartbeat(tower, gateway, &runner, found).await,
        RunnerRoute::Logs(_) => calls::logs(tower, gateway, &runner, found, request).await,
        RunnerRoute::Result(_) => calls::result(tower, gateway, &runner, found, request).await,
        _ => calls::artifact(tower, found).await,
    }
}

async fn register(
    tower: &Tower,
    gateway: &Gateway,
    request: Request,
) -> std::result::Result<Response, ApiError> {
    let expected = tower.config.registration_token.as_ref();
    let is_it = |token: &&str| expected.is_some_and(|expected| expected.is(token));
    if bearer(request.headers()).filter(is_it).is_none() {
        return Err(ApiError::unauthorized("authorization must be the registration token"));
    }
    let fields = body::fields(request, BODY_BYTES).await?;
    let name = fields.text("name")?.unwrap_or_default();
    let environment = fields.text("environment")?.filter(|text| !text.is_empty());
    let environment = environment.unwrap_or_else(|| ENVIRONMENT.to_owned());
    let Registered { runner, token, is_new } =
        gateway.runners.register(&name, &environment).await?;
    runner.saw();
    let answer = RegisteredJson {
        runner_id: tower.runner_id(&runner).await?,
        name: &runner.name,
        token: &token,
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json::answer(status, &answer))
}

/// Returns the runners, by name.
pub(crate) async fn runners(tower: &Arc<Tower>) -> std::result::Result<Vec<RunnerJson>, ApiError> {
    let Some(gateway) = &tower.gateway else { return Ok(Vec::new()) };
    // As long as MiniTower waits.
    let silence = 2 * gateway.times.lease;
    let now = Timestamp::now();
    let mut list = Vec::new();
    for runner in gateway.runners.all() {
        let seen = runner.seen();
        let is_online =
            seen.is_some_and(|at| u128::from(now.0.saturating_sub(at.0)) < silence.as_micros());
        list.push(RunnerJson {
            runner_id: tower.runner_id(&runner).await?,
            name: runner.name.clone(),
            environment: runner.environment.clone(),
            status: if is_online { "online" } else { "offline" },
            last_seen_at: seen.map(Time),
        });
    }
    Ok(list)
}

impl Tower {
    /// Takes the gateway of runners.
    #[must_use]
    pub fn gateway(mut self, gateway: Gateway) -> Self {
        self.gateway = Some(gateway);
        self
    }

    async fn runner_id(&self, runner: &Runner) -> Result<u64> {
        self.ids.of(IdOf::Runner, &runner_key(&runner.name)).await
    }
}

/// Returns the name of the documents of a runner, whose own name may be longer than that.
pub(crate) fn runner_key(name: &str) -> String {
    token::digest(name).to_string()
}
