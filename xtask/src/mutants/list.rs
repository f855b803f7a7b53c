//! The list: one way to break the protocol each.

use super::{Edit, Mutant};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "lease-from-the-last-beat",
        breaks: "the worker's lease counts from the last beat that it sent, not from the one that was echoed",
        edits: &[Edit {
            file: "protocol/worker/lease.rs",
            old: "self.lease_until = self.lease_until.max(*sent_at + terms.lease);",
            new: "let last = self.beats.back().map_or(*sent_at, |(_, at)| *at);\n\
                  let from = if MUTANT { last + terms.lease } else { *sent_at };\n\
                  self.lease_until = self.lease_until.max(from + terms.lease);",
        }],
    },
    Mutant {
        name: "numbers-begin-again",
        breaks: "executions of a later epoch have the numbers of earlier ones",
        edits: &[Edit {
            file: "protocol/coordinator/recovery.rs",
            old: "self.last_execution = opened.last_number;",
            new: "self.last_execution = if MUTANT { 0 } else { opened.last_number };",
        }],
    },
    Mutant {
        name: "no-fencing",
        breaks: "the worker does not end what could be retried elsewhere when its lease expires",
        edits: &[Edit {
            file: "protocol/worker/lease.rs",
            old: "exposed.map(|held| held.dispatch.grace).max().map(|grace| self.stop_at(grace))",
            new: "exposed.filter(|_| !MUTANT).map(|held| held.dispatch.grace).max().map(|grace| self.stop_at(grace))",
        }],
    },
    Mutant {
        name: "not-told-retryable",
        breaks: "the worker is not told that another attempt may follow",
        edits: &[Edit {
            file: "protocol/coordinator/schedule.rs",
            old: "retryable: active.tries < execution.retry.retries,",
            new: "retryable: active.tries < execution.retry.retries && !MUTANT,",
        }],
    },
    Mutant {
        name: "impatient-coordinator",
        breaks: "the coordinator gives a silent worker up before that one's lease is over",
        edits: &[Edit {
            file: "protocol/coordinator/worker.rs",
            old: "let terms = worker.terms.unwrap_or(configured);",
            new: "let mut terms = worker.terms.unwrap_or(configured);\n\
                  if MUTANT {\n    terms.patience /= 3;\n}",
        }],
    },
    Mutant {
        name: "no-wait-after-a-restart",
        breaks: "a new coordinator gives up at once what it takes over",
        edits: &[
            Edit {
                file: "protocol/coordinator/recovery.rs",
                old: "worker.expires = worker.expires.max(now + lease);",
                new: "worker.expires = if MUTANT { now } else { worker.expires.max(now + lease) };",
            },
            Edit {
                file: "protocol/coordinator/worker.rs",
                old: "self.timers.insert((expires, Timer::Expiry(number)));",
                new: "self.timers.insert((if MUTANT { now } else { expires }, Timer::Expiry(number)));",
            },
        ],
    },
    Mutant {
        name: "absence-means-never-ran",
        breaks: "what a beat does not list is granted to another worker",
        edits: &[Edit {
            file: "protocol/coordinator/report.rs",
            old: "Message::Beat(beat) => self.beat(now, from, plain, beat, out),",
            new: "Message::Beat(beat) => {\n\
                      if MUTANT && let Some(worker) = self.workers.get(from) {\n\
                          let held = worker.load.in_flight.iter().filter(|(fence, _)| !beat.held.contains(fence));\n\
                          let absent: Vec<_> = held.map(|(fence, id)| (*fence, *id)).collect();\n\
                          for (fence, id) in absent { self.released(now, from, fence, id, out); }\n\
                      }\n\
                      self.beat(now, from, plain, beat, out)\n\
                  }",
        }],
    },
    Mutant {
        name: "stale-reports-count",
        breaks: "a report counts although the attempt was given up",
        edits: &[
            Edit {
                file: "protocol/coordinator/worker.rs",
                old: "for (fence, execution) in worker.load.in_flight {\n            self.granted.remove(&fence);",
                new: "for (fence, execution) in worker.load.in_flight {\n            if !MUTANT { self.granted.remove(&fence); }",
            },
            Edit {
                file: "protocol/coordinator/report.rs",
                old: "ActiveState::Granted(grant) if grant.fence == fence => Some((id, grant)),",
                new: "ActiveState::Granted(grant) if MUTANT || grant.fence == fence => Some((id, grant)),",
            },
        ],
    },
    Mutant {
        name: "acknowledged-before-the-commit",
        breaks: "a result is acknowledged before it is committed",
        edits: &[Edit {
            file: "coordinator/core/effects.rs",
            old: "pub(super) fn keeps_alive(message: &Message) -> bool {\n    match message {\n",
            new: "pub(super) fn keeps_alive(message: &Message) -> bool {\n    match message {\n        Message::ResultAck(_) if MUTANT => true,\n",
        }],
    },
    Mutant {
        name: "dispatched-before-the-commit",
        breaks: "an attempt is dispatched before its grant is committed",
        edits: &[Edit {
            file: "coordinator/core/effects.rs",
            old: "        Message::WhoIsThere(_) => true,\n        _ => false,\n",
            new: "        Message::WhoIsThere(_) => true,\n        Message::Dispatch(_) if MUTANT => true,\n        _ => false,\n",
        }],
    },
    Mutant {
        name: "dropped-before-the-commit",
        breaks: "a worker is asked to forget an attempt before its end is committed",
        edits: &[Edit {
            file: "coordinator/core/effects.rs",
            old: "Message::BeatAck(ack) => ack.drop.is_empty() && ack.cancel.is_empty(),",
            new: "Message::BeatAck(ack) => (ack.drop.is_empty() || MUTANT) && ack.cancel.is_empty(),",
        }],
    },
    Mutant {
        name: "duplicates-start",
        breaks: "a dispatch that was seen before starts the attempt again",
        edits: &[
            Edit {
                file: "protocol/worker.rs",
                old: "if fence.number <= self.settled {",
                new: "if fence.number <= self.settled && !MUTANT {",
            },
            Edit {
                file: "protocol/worker.rs",
                old: "if let Some(answer) = self.seen.get(&fence.number) {",
                new: "if let Some(answer) = self.seen.get(&fence.number).filter(|_| !MUTANT) {",
            },
        ],
    },
    Mutant {
        name: "no-tombstone",
        breaks: "a cancel that comes before its dispatch leaves no trace",
        edits: &[Edit {
            file: "protocol/worker/attempt.rs",
            old: "self.seen.entry(fence.number).or_insert(None);",
            new: "if !MUTANT { self.seen.entry(fence.number).or_insert(None); }",
        }],
    },
    Mutant {
        name: "results-are-sent-once",
        breaks: "a result is not sent again",
        edits: &[Edit {
            file: "protocol/worker.rs",
            old: "self.resend_due.push_back((now + self.config.resend_interval, fence));",
            new: "if !MUTANT { self.resend_due.push_back((now + self.config.resend_interval, fence)); }",
        }],
    },
    Mutant {
        name: "results-are-not-kept",
        breaks: "a worker forgets a result once it has sent it",
        edits: &[Edit {
            file: "protocol/worker.rs",
            old: "            self.send_report(now, fence, out);\n        }\n        self.start_waiting(now, out);",
            new: "            self.send_report(now, fence, out);\n            if MUTANT { self.held.remove(&fence); }\n        }\n        self.start_waiting(now, out);",
        }],
    },
    Mutant {
        name: "probed-and-denied",
        breaks: "a worker denies an attempt that it holds when a new coordinator asks for it",
        edits: &[Edit {
            file: "protocol/worker/attempt.rs",
            old: "    pub(super) fn probed(&mut self, now: Tick, fence: Fence, out: &mut Vec<WorkerEffect>) {\n        match self.held.get(&fence) {",
            new: "    pub(super) fn probed(&mut self, now: Tick, fence: Fence, out: &mut Vec<WorkerEffect>) {\n        match self.held.get(&fence).filter(|_| !MUTANT) {",
        }],
    },
    Mutant {
        name: "one-retry-too-many",
        breaks: "the last attempt is followed by another",
        edits: &[Edit {
            file: "protocol/coordinator.rs",
            old: "policy.delay_after(id, active.tries)",
            new: "policy.delay_after(id, active.tries - u32::from(MUTANT && active.tries > 1))",
        }],
    },
    Mutant {
        name: "impatient-retries",
        breaks: "a retry waits half as long as the policy says",
        edits: &[Edit {
            file: "protocol/coordinator.rs",
            old: "Some(delay) => self.requeue(now, id, fence, Some(end), delay, out),",
            new: "Some(delay) => self.requeue(now, id, fence, Some(end), if MUTANT { delay / 2 } else { delay }, out),",
        }],
    },
    Mutant {
        name: "poison-is-retried",
        breaks: "what takes its workers with it is tried again",
        edits: &[Edit {
            file: "protocol/coordinator.rs",
            old: "_ if poisoned && !cancelling => {",
            new: "_ if poisoned && !cancelling && !MUTANT => {",
        }],
    },
    Mutant {
        name: "cancelled-and-retried",
        breaks: "an attempt that ends while it is being cancelled is retried",
        edits: &[Edit {
            file: "protocol/coordinator.rs",
            old: "!matches!(end.outcome, Outcome::Succeeded(_) | Outcome::Cancelled) && !cancelling;",
            new: "!matches!(end.outcome, Outcome::Succeeded(_) | Outcome::Cancelled) && (!cancelling || MUTANT);",
        }],
    },
    Mutant {
        name: "evicted-and-forgotten",
        breaks: "an execution that leaves the window is not counted among those in the store",
        edits: &[Edit {
            file: "protocol/coordinator/queue_head.rs",
            old: "        self.bytes -= bytes;\n        self.beyond += 1;\n",
            new: "        self.bytes -= bytes;\n        if !MUTANT { self.beyond += 1; }\n",
        }],
    },
    Mutant {
        name: "sure-of-another-store",
        breaks: "a worker swears that an attempt of another store never ran",
        edits: &[Edit {
            file: "protocol/worker/attempt.rs",
            old: "let how = if same_store {",
            new: "let how = if same_store || MUTANT {",
        }],
    },
    Mutant {
        name: "nothing-expires-beyond-the-window",
        breaks: "executions that left the window are not looked after when they expire",
        edits: &[Edit {
            file: "protocol/coordinator/queue.rs",
            old: "        if evicted_expires {",
            new: "        if evicted_expires && !MUTANT {",
        }],
    },
    Mutant {
        name: "paused-and-granted",
        breaks: "a worker with room is given what waits in a paused queue",
        edits: &[Edit {
            file: "protocol/coordinator/schedule.rs",
            old: "self.offers(worker, key) && !self.is_paused(queue, team_of_key(&key.action))",
            new: "self.offers(worker, key) && (!self.is_paused(queue, team_of_key(&key.action)) || MUTANT)",
        }],
    },
    Mutant {
        name: "pauses-are-not-remembered",
        breaks: "a new coordinator does not know which queues are paused",
        edits: &[Edit {
            file: "protocol/coordinator/recovery.rs",
            old: "self.restore_paused(opened.paused);",
            new: "self.restore_paused(opened.paused.into_iter().filter(|_| !MUTANT));",
        }],
    },
    Mutant {
        name: "log-with-gaps",
        breaks: "lines are taken although lines before them are missing",
        edits: &[Edit {
            file: "protocol/log.rs",
            old: "if chunk.first_seq > next {",
            new: "if chunk.first_seq > next && !MUTANT {",
        }],
    },
    Mutant {
        name: "log-with-repeats",
        breaks: "lines that come again are taken again",
        edits: &[Edit {
            file: "protocol/log.rs",
            old: "if chunk.first_seq == next &&",
            new: "if (chunk.first_seq == next || MUTANT) &&",
        }],
    },
    Mutant {
        name: "keys-are-not-remembered",
        breaks: "keys of executions that are being committed are not known",
        edits: &[Edit {
            file: "coordinator/idempotency.rs",
            old: "self.ids.get(key).copied()",
            new: "self.ids.get(key).copied().filter(|_| !MUTANT)",
        }],
    },
    Mutant {
        name: "calls-have-many-keys",
        breaks: "a call that is sent again has another key, and makes another child",
        edits: &[Edit {
            file: "coordinator/submit.rs",
            old: "execution.idempotency_key.get_or_insert_with(|| call.id.to_string().into());",
            new: "let salt = if MUTANT { id.as_u128() } else { 0 };\n\
                  execution.idempotency_key.get_or_insert_with(|| if salt > 0 { format!(\"{} {salt}\", call.id).into() } else { call.id.to_string().into() });",
        }],
    },
    Mutant {
        name: "waits-hold-slots-at-the-worker",
        breaks: "an attempt that waits for a child keeps its slot on the worker",
        edits: &[Edit {
            file: "protocol/worker/children.rs",
            old: "let parks = call.wait && *waits == 0;",
            new: "let parks = call.wait && *waits == 0 && !MUTANT;",
        }],
    },
    Mutant {
        name: "waits-hold-slots-at-the-coordinator",
        breaks: "an attempt that waits for a child keeps its slot as far as the coordinator knows",
        edits: &[Edit {
            file: "protocol/coordinator/children.rs",
            old: "        if waits {\n            self.park(now, &worker, id.fence, out);",
            new: "        if waits && !MUTANT {\n            self.park(now, &worker, id.fence, out);",
        }],
    },
    Mutant {
        name: "children-outlive-their-callers",
        breaks: "what an attempt waits for goes on when the attempt has ended",
        edits: &[
            Edit {
                file: "protocol/coordinator/children.rs",
                old: "        self.cancel_below(now, below, false, out);\n        if self.children.inherited",
                new: "        if !MUTANT { self.cancel_below(now, below, false, out); }\n        if self.children.inherited",
            },
            Edit {
                file: "protocol/coordinator/cascade.rs",
                old: "        execution.parent.is_some_and(waits)",
                new: "        execution.parent.is_some_and(waits) && !MUTANT",
            },
        ],
    },
    Mutant {
        name: "orphans-are-granted",
        breaks: "a child whose caller has ended is granted before its cancel is decided",
        edits: &[Edit {
            file: "protocol/coordinator/cascade.rs",
            old: "let waits = |parent: Parent| parent.waits && ",
            new: "let waits = |parent: Parent| !MUTANT && parent.waits && ",
        }],
    },
    Mutant {
        name: "a-cancel-stops-at-the-caller",
        breaks: "the children of a cancelled execution go on",
        edits: &[Edit {
            file: "protocol/coordinator.rs",
            old: "        if may_have_children {",
            new: "        if may_have_children && !MUTANT {",
        }],
    },
    Mutant {
        name: "callers-are-told-before-the-commit",
        breaks: "a caller hears of a child that is not committed",
        edits: &[Edit {
            file: "coordinator/core/effects.rs",
            old: "        Message::WhoIsThere(_) => true,\n",
            new: "        Message::WhoIsThere(_) => true,\n        Message::Called(_) if MUTANT => true,\n",
        }],
    },
    Mutant {
        name: "calls-are-sent-once",
        breaks: "a call whose answer was lost is not sent again",
        edits: &[Edit {
            file: "protocol/worker/children.rs",
            old: "        self.children.due.insert((send_at, id));\n        if parks",
            new: "        if !MUTANT { self.children.due.insert((send_at, id)); }\n        if parks",
        }],
    },
    Mutant {
        name: "ends-of-children-are-missed",
        breaks: "a child that ended between its look-up and the wait for it is waited for forever",
        edits: &[Edit {
            file: "protocol/coordinator/children.rs",
            old: "if waits && !self.active.contains_key(&execution) {",
            new: "if waits && !self.active.contains_key(&execution) && !MUTANT {",
        }],
    },
    Mutant {
        name: "calls-without-a-bottom",
        breaks: "calls may be nested as deep as they like",
        edits: &[Edit {
            file: "protocol/coordinator/children.rs",
            old: "if depth > most {",
            new: "if depth > most && !MUTANT {",
        }],
    },
    Mutant {
        name: "cancels-are-told-before-the-commit",
        breaks: "an attempt is cancelled before its cancel is committed",
        edits: &[Edit {
            file: "coordinator/core/effects.rs",
            old: "ack.cancel.is_empty(),",
            new: "(ack.cancel.is_empty() || MUTANT),",
        }],
    },
    Mutant {
        name: "deaf-to-the-lease",
        breaks: "a worker goes by its own lease, whatever the coordinator tells",
        edits: &[Edit {
            file: "protocol/worker/lease.rs",
            old: "let lease = lease.unwrap_or(self.config.worker_lease);",
            new: "let lease = lease.filter(|_| !MUTANT).unwrap_or(self.config.worker_lease);",
        }],
    },
    Mutant {
        name: "what-never-ran-counts",
        breaks: "an attempt that the executor could not start is reported as failed",
        edits: &[Edit {
            file: "protocol/worker.rs",
            old: "} else if let Some(why) = not_started {",
            new: "} else if let Some(why) = not_started.filter(|_| !MUTANT) {",
        }],
    },
    Mutant {
        name: "what-ran-is-given-back",
        breaks: "an attempt that failed is given back, as if it had never run",
        edits: &[Edit {
            file: "protocol/worker.rs",
            old: "outcome.reason_not_started().map(str::to_owned);",
            new: "outcome.reason_not_started().map(str::to_owned)\n\
                  .or_else(|| (MUTANT && outcome.failure().is_some()).then(String::new));",
        }],
    },
    Mutant {
        name: "anyone-is-heard",
        breaks: "a worker is heard on attempts of others, on both lanes",
        edits: &[Edit {
            file: "protocol/holder.rs",
            old: "if holder == peer =>",
            new: "if MUTANT || holder == peer =>",
        }],
    },
    Mutant {
        name: "anyone-writes-lines",
        breaks: "lines are taken from workers that do not hold the attempt",
        edits: &[Edit {
            file: "coordinator/watch_registry.rs",
            old: "let granted = fences.get(&fence);",
            new: "let granted = fences.get(&fence);\n\
                  let from = match granted {\n\
                      Some((holder, _)) if MUTANT => &holder.worker,\n\
                      _ => from,\n\
                  };",
        }],
    },
    Mutant {
        name: "anyone-reports",
        breaks: "reports are taken from workers that do not hold the attempt",
        edits: &[Edit {
            file: "protocol/coordinator/report.rs",
            old: "heard(self.granted(fence).map(|(id, grant)| (&grant.worker, id)), from)",
            new: "heard(self.granted(fence).map(|(id, grant)| (if MUTANT { from } else { &grant.worker }, id)), from)",
        }],
    },
    Mutant {
        name: "dead-by-hearsay",
        breaks: "a worker of any name declares others dead, at once",
        edits: &[
            Edit {
                file: "protocol/coordinator/worker.rs",
                old: "if dead.name() != by.name() {",
                new: "if dead.name() != by.name() && !MUTANT {",
            },
            Edit {
                file: "protocol/coordinator/worker.rs",
                old: "let silence = self.config.beat_interval * BEATS_OF_THE_DEAD;",
                new: "let silence = self.config.beat_interval * if MUTANT { 0 } else { BEATS_OF_THE_DEAD };",
            },
        ],
    },
    Mutant {
        name: "a-claim-stops-the-coordinator",
        breaks: "a coordinator stops when a worker claims that a later epoch is at work",
        edits: &[Edit {
            file: "coordinator/core.rs",
            old: "self.superseded = epoch.filter(|epoch| *epoch != self.machine.epoch());",
            new: "self.superseded = epoch.filter(|epoch| MUTANT || *epoch != self.machine.epoch());",
        }],
    },
    Mutant {
        name: "an-epoch-needs-no-echo",
        breaks: "a worker follows a later epoch although none of its beats was echoed",
        edits: &[Edit {
            file: "protocol/worker/epoch.rs",
            old: "if is_ours && self.epoch.is_none_or(",
            new: "if (is_ours || MUTANT) && self.epoch.is_none_or(",
        }],
    },
    Mutant {
        name: "secrets-for-any-worker",
        breaks: "a worker gets the secrets of attempts that another worker holds",
        edits: &[
            Edit {
                file: "protocol/coordinator/report.rs",
                old: "Message::SecretGet(get) => Some(get.fence),",
                new: "Message::SecretGet(get) => Some(get.fence).filter(|_| !MUTANT),",
            },
            Edit {
                file: "protocol/coordinator/secrets.rs",
                old: "let Some(execution) = self.caller(from, fence).cloned() else {",
                new: "let held = self.granted.get(&fence).and_then(|id| self.active.get(id));\n\
                      let held = held.map(|active| active.execution.clone()).filter(|_| MUTANT);\n\
                      let Some(execution) = held.or(self.caller(from, fence).cloned()) else {",
            },
            Edit {
                file: "protocol/coordinator/secrets.rs",
                old: "if self.caller(&worker, fence).is_some() {\n            self.answer_secret(&worker, fence, name, state, out);",
                new: "if MUTANT || self.caller(&worker, fence).is_some() {\n            self.answer_secret(&worker, fence, name, state, out);",
            },
        ],
    },
];
