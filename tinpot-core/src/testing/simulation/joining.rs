//! Joins: workers that have tokens, a network that loses and repeats frames, and an adversary that
//! owns the network and a token of its own.
//!
//! I20: a key is enrolled by the owner of its token and of the key, for the name that it asked for,
//! and within the token; a token enrols as many keys as it has uses, and no join without a use is
//! lost; a worker believes no other coordinator.

use std::sync::Arc;
use std::time::Duration;

use super::Violation;
use crate::model::time::Timestamp;
use crate::protocol::Tick;
use crate::protocol::seal::{
    Desk, Enrolled, EnrolledKeys, JoinRefusal, JoinRequest, JoinTerms, Joined, KeyId, Suite,
    WorkerLimits,
};
use crate::testing::{Random, ToySuite};

const NAMESPACE: &str = "tinpot";
const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Timestamp = Timestamp(2_000_000);
/// The identities of the keys.
const COORDINATOR: u64 = 1_000;
const ADVERSARY: u64 = 2_000;
/// The rounds in which frames are lost, and those in which none is.
const ROUNDS: u64 = 12;
const QUIET: u64 = 6;

struct Worker {
    key: u64,
    name: String,
    request: JoinRequest,
    answer: Option<Result<Joined, JoinRefusal>>,
}

struct Joining {
    seed: u64,
    round: u64,
    random: Random,
    suite: ToySuite,
    enrolled: EnrolledKeys,
    desk: Desk,
    workers: Vec<Worker>,
    uses: u32,
    /// All frames that were on the network, of either kind.
    requests: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
}

/// Runs the joins of a seed.
pub(super) fn run(seed: u64) -> Result<(), Violation> {
    let mut joining = Joining::new(seed);
    for round in 0..ROUNDS + QUIET {
        joining.round = round;
        let loses = if round < ROUNDS { 0.5 } else { 0.0 };
        joining.workers_ask(loses)?;
        joining.adversary_acts()?;
        joining.check()?;
    }
    joining.check_end()
}

impl Joining {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x6a6f_696e);
        let suite = ToySuite::new(COORDINATOR, seed);
        let desk = Desk::new(Arc::new(suite.clone()), NAMESPACE);
        let enrolled = EnrolledKeys::default();
        let number = 1 + (random.number() % 4) as u32;
        let uses = 1 + (random.number() % 4) as u32;
        let tokens = [("web-*", uses, LATER), ("lab", 1, LATER), ("web-*", 9, NOW)];
        for (identity, (names, uses, expires)) in (3_000..).zip(tokens) {
            let mut limits = WorkerLimits::new(names);
            limits.queues = Some(vec![names.to_owned()]);
            let mut terms = JoinTerms::new(limits, expires);
            terms.uses = uses;
            enrolled.allow_joins(&suite, suite.owned_by(identity).public(), terms);
        }
        let (workers, requests, answers) = Default::default();
        let mut joining = Self {
            seed,
            round: 0,
            random,
            suite,
            enrolled,
            desk,
            workers,
            uses,
            requests,
            answers,
        };
        for key in 1..=u64::from(number) {
            let name = format!("web-{key}");
            // Before, the same key has asked for a name that the token does not allow.
            let before = joining.request(3_000, key, "db");
            joining.requests.push(before.frame().to_vec());
            let request = joining.request(3_000, key, &name);
            joining.workers.push(Worker { key, name, request, answer: None });
        }
        joining
    }

    fn request(&self, token: u64, key: u64, name: &str) -> JoinRequest {
        let token = self.suite.owned_by(token);
        let key = Arc::new(self.suite.owned_by(key));
        let request =
            JoinRequest::new(&token, key, self.suite.public(), NAMESPACE, name, "simulated");
        match request {
            Ok(request) => request,
            Err(_) => unreachable!("the toy suite has randomness, and names are short"),
        }
    }

    fn broken<T>(&self, what: impl Into<String>) -> Result<T, Violation> {
        let at = Duration::from_secs(self.round);
        Err(Violation { seed: self.seed, at, invariant: "I20", what: what.into() })
    }

    fn workers_ask(&mut self, loses: f64) -> Result<(), Violation> {
        for at in 0..self.workers.len() {
            if self.workers[at].answer.is_some() {
                continue;
            }
            let frame = self.workers[at].request.frame().to_vec();
            self.requests.push(frame.clone());
            if self.random.chance(loses) {
                continue;
            }
            if let Some(answer) = self.coordinator_answers(&frame)
                && !self.random.chance(loses)
            {
                self.arrives(at, &answer)?;
            }
        }
        Ok(())
    }

    /// Passes a frame to the coordinator.
    fn coordinator_answers(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let admission = self.desk.admit(Tick(self.round * 1_000_000), frame, |_| true).ok()?;
        let decided = match self.enrolled.token(&admission.token()) {
            Some(token) => {
                let claim = admission.verify(&self.suite, &token).ok()?;
                self.enrolled.join(NOW, &claim)
            }
            None => Err(JoinRefusal::Unknown),
        };
        let answer = match decided {
            Ok(limits) => self.desk.enrolled(&admission, limits, None).ok()?,
            Err(why) => self.desk.refused(&admission, why),
        };
        self.answers.push(answer.clone());
        Some(answer)
    }

    /// Passes a frame to a worker.
    fn arrives(&mut self, at: usize, frame: &[u8]) -> Result<(), Violation> {
        let Some(worker) = self.workers.get_mut(at) else { return Ok(()) };
        let Ok(answer) = worker.request.answer(frame) else { return Ok(()) };
        if let Ok(joined) = &answer {
            let (key, name) = (worker.key, worker.name.clone());
            let is_own = joined.coordinator_keys == [self.suite.public()] && joined.name == name;
            if !is_own || self.find(key).is_none() {
                return self.broken(format!("{name} has joined elsewhere: {joined:?}"));
            }
        }
        self.workers[at].answer.get_or_insert(answer);
        Ok(())
    }

    /// Returns the names and the queues of a key that is enrolled.
    fn find(&self, key: u64) -> Option<(String, Option<Vec<String>>)> {
        let public = self.suite.owned_by(key).public();
        let grant = self.enrolled.find(&KeyId::of(&self.suite, &public))?;
        Some((grant.names.clone(), grant.queues.clone()))
    }

    fn pick(&mut self, most: usize) -> usize {
        self.random.number() as usize % most.max(1)
    }

    fn adversary_acts(&mut self) -> Result<(), Violation> {
        for _ in 0..3 {
            let (request, at) = (self.pick(self.requests.len()), self.pick(self.workers.len()));
            let mut frame = self.requests[request].clone();
            match self.random.number() % 7 {
                // It repeats what was on the network, maybe with a changed byte.
                0 => drop(self.coordinator_answers(&frame)),
                1 => {
                    let place = self.pick(frame.len());
                    frame[place] ^= 1 << (self.random.number() % 8);
                    self.coordinator_answers(&frame);
                }
                2 => {
                    let answer = self.pick(self.answers.len());
                    if let Some(answer) = self.answers.get(answer).cloned() {
                        self.arrives(at, &answer)?;
                    }
                }
                // It has a token of its own, and asks for the name of another.
                3 => {
                    let name = if self.random.chance(0.5) { "web-1" } else { "lab" };
                    let own = self.request(3_001, ADVERSARY, name);
                    self.coordinator_answers(own.frame());
                }
                // It names the token or the key of another, and signs with what it has.
                4 => {
                    let claimed = self.request(3_000, ADVERSARY, "web-9");
                    self.forge(claimed.frame(), true);
                }
                5 => {
                    let key = self.workers[at].key;
                    let claimed = self.request(3_001, key, "lab");
                    self.forge(claimed.frame(), false);
                }
                // It answers as a coordinator of its own, or with a token that has ended.
                _ => {
                    let own = self.suite.owned_by(ADVERSARY);
                    let mut desk = Desk::new(Arc::new(own), NAMESPACE);
                    let asked = self.workers[at].request.frame().to_vec();
                    if let Ok(admission) = desk.admit(Tick(self.round), &asked, |_| true) {
                        let refused = desk.refused(&admission, JoinRefusal::Used);
                        self.arrives(at, &refused)?;
                    }
                    let late = self.request(3_002, ADVERSARY + 1, "web-8");
                    self.coordinator_answers(late.frame());
                }
            }
        }
        Ok(())
    }

    /// Sends a join with one of its two signatures by the adversary: it cannot make the other.
    fn forge(&mut self, claimed: &[u8], of_token: bool) {
        let mut frame = claimed.to_vec();
        let (at, text) = (if of_token { 24 } else { 88 }, b"tinpot/1 join\0".as_slice());
        let forged = self.suite.owned_by(ADVERSARY).sign(&[text, &claimed[152..]].concat());
        frame[at..at + 64].copy_from_slice(&forged);
        self.coordinator_answers(&frame);
    }

    fn check(&self) -> Result<(), Violation> {
        let own = |key: u64, names: &str, queue: &str| match self.find(key) {
            Some(found) => found == (names.to_owned(), Some(vec![queue.to_owned()])),
            None => true,
        };
        for worker in &self.workers {
            if !own(worker.key, &worker.name, "web-*") {
                return self.broken(format!("{} is {:?}", worker.name, self.find(worker.key)));
            }
        }
        if !own(ADVERSARY, "lab", "lab") || self.find(ADVERSARY + 1).is_some() {
            return self.broken("the adversary has joined with the token of others");
        }
        let joined = self.workers.iter().filter(|worker| self.find(worker.key).is_some()).count();
        if joined > self.uses as usize {
            return self.broken(format!("{joined} keys have joined with {} uses", self.uses));
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), Violation> {
        let mut joined = 0;
        for worker in &self.workers {
            joined += usize::from(self.find(worker.key).is_some());
            let told = match &worker.answer {
                Some(Ok(_)) => self.find(worker.key).is_some(),
                Some(Err(JoinRefusal::Used)) => self.find(worker.key).is_none(),
                _ => false,
            };
            if !told {
                return self.broken(format!("{} received {:?}", worker.name, worker.answer));
            }
        }
        let expected = self.workers.len().min(self.uses as usize);
        if joined != expected {
            return self.broken(format!("{joined} keys have joined, and not {expected}"));
        }
        Ok(())
    }
}
