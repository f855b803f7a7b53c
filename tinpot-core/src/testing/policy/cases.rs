//! The cases.

use super::Subject;
use super::questions::{Question, questions};
use crate::access::{Decision, Right};
use crate::model::visible::Target;

/// The number of grants that are added.
const GRANTS: u64 = 20;

/// Without a grant, everything is hidden.
pub async fn strangers_see_nothing(subject: &dyn Subject) {
    let Some(stranger) = subject.stranger() else { return };
    let (seed, questions) = questions(subject);
    for Question { right, .. } in &questions {
        let whole = Target::team(&stranger.team);
        let decision = subject.policy().decide(&stranger, *right, &whole);
        assert_eq!(decision, Decision::Hide, "{right} on the team (seed {seed})");
    }
    for question in &questions {
        let decision = subject.policy().decide(&stranger, question.right, &question.target());
        assert_eq!(decision, Decision::Hide, "{question:?} (seed {seed})");
        let visible = subject.policy().visible(&stranger);
        assert!(!visible.shows(&question.target()), "{question:?} (seed {seed})");
    }
}

/// A right is denied where the target may be seen, and the target is hidden where it may not.
pub async fn denials_are_of_what_may_be_seen(subject: &dyn Subject) {
    let (seed, questions) = questions(subject);
    for question in questions {
        let decide = |right| subject.policy().decide(&question.caller, right, &question.target());
        let seen = question.right.sight().is_some_and(|sight| decide(sight) == Decision::Allow);
        match decide(question.right) {
            Decision::Allow => {}
            Decision::Deny => assert!(seen, "denied, but not seen: {question:?} (seed {seed})"),
            Decision::Hide => assert!(!seen, "hidden, but seen: {question:?} (seed {seed})"),
        }
    }
}

/// The objects of another team are hidden.
pub async fn other_teams_are_hidden(subject: &dyn Subject) {
    let of_workers = [Right::SeeWorker, Right::DrainWorker];
    let (seed, questions) = questions(subject);
    for question in questions {
        let target = question.target();
        if *question.caller.team == *target.team || question.right.is_about_server() {
            continue;
        }
        if of_workers.contains(&question.right) {
            continue;
        }
        let decision = subject.policy().decide(&question.caller, question.right, &target);
        assert_eq!(decision, Decision::Hide, "{question:?} (seed {seed})");
    }
}

/// `visible` shows exactly the executions on which `decide` allows `Read`.
pub async fn views_agree_with_decisions(subject: &dyn Subject) {
    let (seed, questions) = questions(subject);
    for question in questions {
        let decision = subject.policy().decide(&question.caller, Right::Read, &question.target());
        let visible = subject.policy().visible(&question.caller);
        assert_eq!(
            visible.shows(&question.target()),
            decision == Decision::Allow,
            "{question:?}: visible {visible:?}, decided {decision:?} (seed {seed})"
        );
        assert_eq!(visible.team, question.caller.team, "the team of what {question:?} sees");
        assert_eq!(visible.caller, question.caller.id, "the owner of what {question:?} sees");
    }
}

/// As long as the revision is the same, so are the answers.
pub async fn the_same_question_has_the_same_answer(subject: &dyn Subject) {
    let (seed, questions) = questions(subject);
    let answers = || -> Vec<Decision> {
        let decide = |question: &Question| {
            subject.policy().decide(&question.caller, question.right, &question.target())
        };
        questions.iter().map(decide).collect()
    };
    let revision = subject.policy().revision().current();
    let first = answers();
    assert!(first == answers(), "answers differ without a change (seed {seed})");
    assert_eq!(subject.policy().revision().current(), revision, "the revision without a change");
}

/// Another grant adds rights and takes none away, and raises the revision.
pub async fn another_grant_takes_no_right_away(subject: &dyn Subject) {
    let (seed, questions) = questions(subject);
    let policy = subject.policy();
    let allowed = |question: &&Question| {
        policy.decide(&question.caller, question.right, &question.target()) == Decision::Allow
    };
    for number in 0..GRANTS {
        let before: Vec<&Question> = questions.iter().filter(allowed).collect();
        let mut revision = policy.revision();
        let old = revision.current();
        if !subject.grant_another(number) {
            assert_eq!(revision.current(), old, "the revision without another grant");
            return;
        }
        let new = revision.wait_for(|new| *new > old);
        let new = crate::testing::case::within("a new revision after a grant", new).await;
        assert!(new.is_ok(), "the revision cannot grow: {new:?}");
        let lost = before.iter().find(|question| !allowed(question));
        assert!(lost.is_none(), "grant {number} took {lost:?} away (seed {seed})");
    }
}
