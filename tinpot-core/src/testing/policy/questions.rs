//! Questions to a policy, generated from a seed.

use super::Subject;
use crate::access::{Caller, Right};
use crate::model::id::ExecutionId;
use crate::model::visible::{DEFAULT_TEAM, Target};
use crate::testing::Random;

/// The number of questions of a case.
const QUESTIONS: usize = 10_000;

/// A question about an execution: it has all parts of a target.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) caller: Caller,
    pub(super) right: Right,
    team: String,
    action: String,
    group: Option<String>,
    queue: String,
    owner: String,
}

impl Question {
    pub(super) fn target(&self) -> Target<'_> {
        Target::team(&self.team)
            .action(&self.action)
            .group(self.group.as_deref())
            .queue(&self.queue)
            .owner(&self.owner)
    }
}

/// Returns questions about the callers and the names of a subject, and the seed that made them.
pub(super) fn questions(subject: &dyn Subject) -> (u64, Vec<Question>) {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    // Without one, the random half of an id.
    let seed = seed.unwrap_or_else(|| ExecutionId::generate().as_u128() as u64);
    let mut random = Random::new(seed);
    let names = subject.names();
    let callers: Vec<Caller> = subject.callers().into_iter().chain(subject.stranger()).collect();
    assert!(!callers.is_empty(), "the subject has no callers");
    let questions = (0..QUESTIONS).map(|_| {
        let caller = pick(&mut random, &callers).clone();
        let own_team = random.chance(0.8);
        let own = random.chance(0.4);
        Question {
            right: *pick(&mut random, Right::ALL),
            team: match own_team {
                true => caller.team.to_string(),
                false => name(&mut random, &names.teams, DEFAULT_TEAM),
            },
            action: name(&mut random, &names.actions, "no-such-action"),
            group: random.chance(0.8).then(|| name(&mut random, &names.groups, "no-such-group")),
            queue: name(&mut random, &names.queues, "no-such-queue"),
            owner: match own {
                true => caller.id.to_string(),
                false => pick(&mut random, &callers).id.to_string(),
            },
            caller,
        }
    });
    (seed, questions.collect())
}

/// Returns one of the names or, now and then, one that is not among them.
fn name(random: &mut Random, names: &[String], unknown: &str) -> String {
    match names.is_empty() || random.chance(0.1) {
        true => unknown.to_owned(),
        false => pick(random, names).clone(),
    }
}

fn pick<'a, T>(random: &mut Random, values: &'a [T]) -> &'a T {
    &values[(random.number() % values.len() as u64) as usize]
}
