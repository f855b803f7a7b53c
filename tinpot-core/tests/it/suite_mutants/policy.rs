//! A policy of grants, and its mutants.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicU64, Ordering};

use tinpot_core::testing::TestPolicy;
use tinpot_core::{Caller, Decision, Policy, Right, Target, Visible, VisiblePart, Watcher};

use super::caught;
use crate::policy::{Subjected, test_policy};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    DeniesInsteadOfHiding,
    HidesInsteadOfDenying,
    ShowsOtherTeams,
    AllowsStrangersToSeeActions,
    ShowsStrangersTheirOwn,
    ForgetsOwnersInViews,
    ForgetsQueuesInViews,
    ForgetsGroupsInViews,
    ShowsTheDefaultTeam,
    ChangesItsMind,
    LosesRightsByGrants,
    KeepsItsRevision,
}

#[derive(Debug)]
struct Faulty {
    fault: Fault,
    policy: TestPolicy,
    asked: AtomicU64,
    still: TestPolicy,
}

fn policy(fault: Fault) -> Ready<Subjected> {
    let (policy, still) = (test_policy(), test_policy());
    let grants = Some(policy.clone());
    let policy = Box::new(Faulty { fault, policy, asked: AtomicU64::new(0), still });
    ready(Subjected { policy, grants })
}

impl Policy for Faulty {
    fn decide(&self, caller: &Caller, right: Right, target: &Target<'_>) -> Decision {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let is_known = *caller.id != *"stranger";
        match (self.fault, self.policy.decide(caller, right, target)) {
            (Fault::DeniesInsteadOfHiding, Decision::Hide) if is_known => Decision::Deny,
            (Fault::HidesInsteadOfDenying, Decision::Deny) => Decision::Hide,
            (Fault::ShowsOtherTeams, Decision::Hide) if *caller.id == *"admin" => Decision::Allow,
            (Fault::AllowsStrangersToSeeActions, _) if right == Right::SeeAction => Decision::Allow,
            (Fault::ChangesItsMind, Decision::Allow) if asked % 997 == 996 => Decision::Hide,
            (Fault::LosesRightsByGrants, _) if self.policy.revision().current() > 10 => {
                Decision::Hide
            }
            (_, decision) => decision,
        }
    }

    fn visible(&self, caller: &Caller) -> Visible {
        let mut visible = self.policy.visible(caller);
        for part in &mut visible.parts {
            match self.fault {
                Fault::ForgetsOwnersInViews => part.own_only = false,
                Fault::ForgetsQueuesInViews => part.queues = VisiblePart::all().queues,
                Fault::ForgetsGroupsInViews => part.groups = VisiblePart::all().groups,
                _ => {}
            }
        }
        match self.fault {
            Fault::ShowsStrangersTheirOwn => visible.part(VisiblePart::all().own_only()),
            Fault::ShowsTheDefaultTeam => {
                visible.team = tinpot_core::DEFAULT_TEAM.into();
                visible
            }
            _ => visible,
        }
    }

    fn revision(&self) -> Watcher<u64> {
        match self.fault {
            Fault::KeepsItsRevision => self.still.revision(),
            _ => self.policy.revision(),
        }
    }
}

caught! {
    policy, policy:
    denies_instead_of_hiding(Fault::DeniesInsteadOfHiding) by denials_are_of_what_may_be_seen;
    hides_instead_of_denying(Fault::HidesInsteadOfDenying) by denials_are_of_what_may_be_seen;
    shows_other_teams(Fault::ShowsOtherTeams) by other_teams_are_hidden views_agree_with_decisions;
    allows_strangers_to_see_actions(Fault::AllowsStrangersToSeeActions) by strangers_see_nothing;
    shows_strangers_their_own(Fault::ShowsStrangersTheirOwn) by strangers_see_nothing;
    forgets_owners_in_views(Fault::ForgetsOwnersInViews) by views_agree_with_decisions;
    forgets_queues_in_views(Fault::ForgetsQueuesInViews) by views_agree_with_decisions;
    forgets_groups_in_views(Fault::ForgetsGroupsInViews) by views_agree_with_decisions;
    shows_the_default_team(Fault::ShowsTheDefaultTeam) by views_agree_with_decisions;
    changes_its_mind(Fault::ChangesItsMind) by the_same_question_has_the_same_answer;
    loses_rights_by_grants(Fault::LosesRightsByGrants) by another_grant_takes_no_right_away;
    keeps_its_revision(Fault::KeepsItsRevision) by another_grant_takes_no_right_away;
}
