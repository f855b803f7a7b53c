//! Attempts that call other actions, and may wait for them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::execution::SubmitOptions;
use crate::model::fence::Fence;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::outcome::Outcome;
use crate::model::retry::Backoff;
use crate::protocol::{Call, CallId, CallState, SecretState};
use crate::testing::Random;
use crate::testing::simulation::clock::Moment;
use crate::testing::simulation::coordinator::secret_of;
use crate::testing::simulation::events::{Happening, Host};
use crate::testing::simulation::world::{Checked, World, broken};

/// The number of keys that attempts of different executions share to ask for the same execution.
const SHARED_KEYS: u64 = 6;

/// A call that an attempt is going to make.
#[derive(Clone, Debug)]
struct PlannedCall {
    action: &'static str,
    options: SubmitOptions,
    wait: bool,
}

/// The calls of an attempt, in steps of one or more at once.
#[derive(Debug)]
pub(super) struct Script {
    steps: VecDeque<Vec<PlannedCall>>,
    /// The calls of the present step without their last answer.
    open: BTreeMap<CallId, bool>,
    /// True if the attempt fails when one of its calls is refused or one of its children does not
    /// succeed.
    strict: bool,
}

impl Script {
    /// Returns true if the attempt waits for a child.
    pub(super) fn waits(&self) -> bool {
        self.open.values().any(|wait| *wait)
    }

    /// Draws a script for an attempt at that execution.
    pub(super) fn draw(random: &mut Random, execution: ExecutionId, fence: Fence) -> Self {
        let mut steps = VecDeque::new();
        for step in 0..1 + random.below(3) {
            let call = |random: &mut Random, wait| {
                let action = ["quick", "quick", "slow", "parent"][random.below(4)];
                PlannedCall { action, options: options(random), wait }
            };
            match random.below(5) {
                // One after the other.
                0 => steps.push_back(vec![call(random, true)]),
                // Several at once, and it does not wait for all of them.
                1 | 2 => {
                    let calls = (0..1 + random.below(3)).map(|_| {
                        let wait = random.chance(0.8);
                        call(random, wait)
                    });
                    steps.push_back(calls.collect());
                }
                // It submits first and waits later. A retry may find the child of the attempt
                // before it, or of another execution.
                3 => {
                    let key = match random.below(4) {
                        0 => format!("shared {}", random.number() % SHARED_KEYS),
                        1 => format!("of {execution} {step}"),
                        _ => format!("of {fence} {step}"),
                    };
                    let mut submitted = call(random, false);
                    submitted.action = "quick";
                    submitted.options.idempotency_key = Some(key);
                    let awaited = PlannedCall { wait: true, ..submitted.clone() };
                    steps.push_back(vec![submitted]);
                    steps.push_back(vec![awaited]);
                }
                _ => steps.push_back(vec![call(random, false)]),
            }
        }
        Self { steps, open: BTreeMap::new(), strict: random.chance(0.5) }
    }
}

/// Draws the options of a call.
fn options(random: &mut Random) -> SubmitOptions {
    let mut options = SubmitOptions::new();
    if random.chance(0.2) {
        options.queue = Some("other".to_owned());
    }
    if random.chance(0.5) {
        options.priority = Some((random.number() % 5) as i32 - 3);
    }
    if random.chance(0.2) {
        options.timeout = Some(random.millis(500, 20_000));
    }
    if random.chance(0.2) {
        options.retries = Some(1 + (random.number() % 2) as u32);
        options.backoff = Some(Backoff::fixed(random.millis(1, 3_000)));
    }
    if random.chance(0.1) {
        options.delay = Some(random.millis(1, 10_000));
    }
    if random.chance(0.1) {
        options.expires_in = Some(random.millis(1, 60_000));
    }
    options
}

impl World {
    /// Makes the calls of an attempt's next step, or ends the attempt.
    pub(super) fn attempt_calls(&mut self, index: usize, fence: Fence) -> Checked {
        let node = &mut self.workers[index];
        let running = node.running.iter_mut().find(|running| running.fence == fence);
        let Some(running) = running.filter(|running| !running.asked || running.stubborn) else {
            return Ok(());
        };
        let Some(script) = running.script.as_mut().filter(|script| script.open.is_empty()) else {
            return Ok(());
        };
        let Some(step) = script.steps.pop_front() else {
            return self.end_soon(index, fence, None);
        };
        self.report.calls += step.len() as u64;
        let caller = self.store.execution(running.execution);
        let may_call_deployed = caller.is_none_or(|caller| caller.team.is_empty());
        let mut open = BTreeMap::new();
        let asks = self.random.chance(0.3);
        let mut step = step;
        for call in step.iter_mut().filter(|call| call.options.idempotency_key.is_none()) {
            call.action = self.deploys.called(call.action, may_call_deployed);
        }
        self.work(index, |machine, now, out| {
            if asks {
                machine.ask_secret(now, fence, "token".into(), out);
            }
            for PlannedCall { action, options, wait } in step {
                let (action, parameters) = (action.into(), Json::empty_object());
                let call = Call { fence, number: 0, action, parameters, options, span: None, wait };
                open.extend(machine.call(now, call, out).map(|id| (id, wait)));
            }
        })?;
        let running = self.workers[index].running.iter_mut();
        if let Some(script) = running
            .filter(|running| running.fence == fence)
            .find_map(|running| running.script.as_mut())
        {
            script.open = open;
        }
        self.slots_are_used(index)
    }

    /// Checks I20 for the answer to a request for a secret: an attempt gets the secret of its own
    /// execution.
    pub(super) fn secret_updated(
        &mut self,
        index: usize,
        fence: Fence,
        state: &SecretState,
    ) -> Checked {
        let SecretState::Given(given) = state else { return Ok(()) };
        self.count("secret");
        let running = self.workers[index].running.iter().find(|running| running.fence == fence);
        let Some(running) = running else { return Ok(()) };
        match *given.value == *secret_of(running.execution) {
            true => Ok(()),
            false => broken("I20", format!("{fence} got {}", given.value)),
        }
    }

    /// Handles the answer to a call of an attempt.
    pub(super) fn call_updated(&mut self, index: usize, id: CallId, state: &CallState) {
        self.tell(|| format!("w{index}: {id} is {state:?}"));
        let node = &mut self.workers[index];
        let Some(script) = node
            .running
            .iter_mut()
            .filter(|running| running.fence == id.fence)
            .find_map(|running| running.script.as_mut())
        else {
            return;
        };
        let fails = match state {
            CallState::Accepted { .. } if script.open.get(&id) == Some(&true) => return,
            CallState::Accepted { .. } => false,
            CallState::Ended { outcome, .. } => !matches!(outcome, Outcome::Succeeded(_)),
            CallState::Refused { .. } => true,
        };
        script.open.remove(&id);
        let (strict, over) = (script.strict, script.open.is_empty());
        if matches!(state, CallState::Refused { .. }) {
            self.report.refused_calls += 1;
        }
        if fails && strict {
            let _ =
                self.end_soon(index, id.fence, Some(Outcome::failed("a child did not succeed")));
        } else if over {
            let after = self.random.duration(Duration::from_millis(200)).as_micros() as Moment;
            let life = self.workers[index].life;
            let happening = Happening::AttemptCalls(id.fence);
            self.happens(self.now + after, Host::Worker(index), life, happening);
        }
    }

    /// Ends an attempt whose script is over, even if calls are still open.
    fn end_soon(&mut self, index: usize, fence: Fence, outcome: Option<Outcome>) -> Checked {
        let after = 1 + self.random.duration(Duration::from_millis(20)).as_micros() as Moment;
        let ends = self.now + after;
        let node = &mut self.workers[index];
        let (life, running) = (node.life, node.running.iter_mut());
        if let Some(running) = running.into_iter().find(|running| running.fence == fence)
            && ends < running.ends
        {
            running.ends = ends;
            running.outcome = outcome.unwrap_or_else(|| running.outcome.clone());
            self.happens(ends, Host::Worker(index), life, Happening::AttemptEnds(fence));
        }
        Ok(())
    }
}
