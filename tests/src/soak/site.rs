//! The programs, and how they are broken and repaired.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{Api, Direction, Durable, Fault, Mosquitto, Program, Proxy, Random, actions, wait_for};

/// Short leases, with a margin that a busy machine does not use up.
const TIMES: [(&str, &str); 4] = [
    ("TINPOT_HEARTBEAT_INTERVAL", "0.5"),
    ("TINPOT_WORKER_LEASE", "4"),
    ("TINPOT_COORDINATOR_LEASE", "6.5"),
    ("TINPOT_KILL_AFTER", "1"),
];
const WORKERS: usize = 3;
/// The programs behind proxies: the workers, then the coordinator.
const COORDINATOR: usize = WORKERS;

/// The processes of the soak.
pub(super) struct Site {
    broker: Mosquitto,
    broker_is_up: bool,
    proxies: Vec<Proxy>,
    durable: Durable,
    /// The programs that are not killed; the last is the coordinator.
    programs: Vec<Option<Program>>,
    repairs: Vec<(Instant, Repair)>,
    logs: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Repair {
    Broker,
    Start(usize),
    Network(usize),
    Resume(usize),
}

impl Site {
    pub(super) fn start(directory: &Path) -> Self {
        let broker = Mosquitto::start();
        let proxies: Vec<Proxy> = (0..=WORKERS).map(|_| Proxy::start(broker.port())).collect();
        let durable = Durable::at(directory, &proxies[COORDINATOR].url(), &TIMES);
        let mut site = Self {
            broker,
            broker_is_up: true,
            proxies,
            durable,
            programs: (0..=WORKERS).map(|_| None).collect(),
            repairs: Vec::new(),
            logs: directory.to_owned(),
        };
        (0..=WORKERS).for_each(|program| site.start_program(program));
        let api = site.api();
        wait_for("all workers", || match api.try_get("/api/workers") {
            Ok((200, body)) if body["workers"].as_array().map(Vec::len) == Some(WORKERS) => Ok(()),
            other => Err(other),
        });
        site
    }

    pub(super) fn api(&self) -> Api {
        self.durable.api()
    }

    fn start_program(&mut self, place: usize) {
        let program = if place == COORDINATOR {
            self.durable.begin(None)
        } else {
            let (name, url) = (format!("worker-{place}"), self.proxies[place].url());
            let state = self.logs.join("state");
            let mut env = TIMES.to_vec();
            env.extend([
                ("MQTT_BROKER", url.as_str()),
                ("ACTIONS_DIR", actions()),
                ("WORKER_NAME", &name),
                ("CONCURRENCY", "4"),
            ]);
            if place > 0 {
                // Their successors prove that they are dead, where cgroups show it; the first one's lease has to end.
                env.push(("TINPOT_STATE_DIR", state.to_str().expect("a path in UTF-8")));
            }
            Program::start_in(&self.logs, &name, "worker", &env)
        };
        self.programs[place] = Some(program);
    }

    /// Breaks things at random until then, and repairs them all; how often what was broken.
    pub(super) fn break_until(
        &mut self,
        end: Instant,
        random: &mut Random,
    ) -> Result<String, String> {
        let mut faults = BTreeMap::<&str, usize>::new();
        let mut next = Instant::now();
        while Instant::now() < end {
            if Instant::now() >= next {
                if let Some(fault) = self.break_something(random) {
                    *faults.entry(fault).or_default() += 1;
                }
                next += random.time(Duration::from_millis(500), Duration::from_millis(3500));
            }
            self.repair(Instant::now());
            self.no_program_ended_by_itself()?;
            let wake = self.repairs.iter().map(|(at, _)| *at).chain([next, end]).min();
            std::thread::sleep(wake.unwrap_or(end).saturating_duration_since(Instant::now()));
        }
        self.repair(Instant::now() + Duration::from_secs(3600));
        self.no_program_ended_by_itself()?;
        let told = faults.iter().map(|(fault, count)| format!("{fault} {count}×"));
        Ok(told.collect::<Vec<_>>().join(", "))
    }

    fn no_program_ended_by_itself(&mut self) -> Result<(), String> {
        for (place, program) in self.programs.iter_mut().enumerate() {
            if let Some(program) = program
                && let Some(status) = program.ended()
            {
                return Err(format!(
                    "program {place} ended by itself, {status}: {}",
                    program.output()
                ));
            }
        }
        Ok(())
    }

    /// Breaks one thing, and notes when it is to be repaired; what it was, unless it is broken already.
    fn break_something(&mut self, random: &mut Random) -> Option<&'static str> {
        let millis = Duration::from_millis;
        let (program, outage) =
            (random.below(WORKERS as u64) as usize, random.time(millis(0), millis(3000)));
        let (fault, repair, outage) = match random.below(20) {
            0..6 => ("a worker killed", Repair::Start(program), outage),
            6..10 => ("the coordinator killed", Repair::Start(COORDINATOR), outage),
            10..13 => ("the broker killed", Repair::Broker, outage),
            // A pause within what the leases allow for.
            13..15 => ("a worker stopped", Repair::Resume(program), outage / 3),
            15 => ("the coordinator stopped", Repair::Resume(COORDINATOR), outage),
            _ => {
                let program = random.below(self.proxies.len() as u64) as usize;
                ("the network broken", Repair::Network(program), outage * 2)
            }
        };
        let is_broken = match repair {
            Repair::Broker => !self.broker_is_up,
            Repair::Start(program) | Repair::Resume(program) => {
                self.programs[program].is_none()
                    || self.repairs.iter().any(|(_, other)| *other == Repair::Resume(program))
            }
            Repair::Network(_) => self.repairs.iter().any(|(_, other)| *other == repair),
        };
        if is_broken {
            return None;
        }
        match repair {
            Repair::Broker => {
                self.broker.kill();
                self.broker_is_up = false;
            }
            Repair::Start(program) => {
                if let Some(mut program) = self.programs[program].take() {
                    program.kill();
                }
            }
            Repair::Resume(program) => {
                if let Some(program) = &self.programs[program] {
                    program.signal(Signal::STOP);
                }
            }
            Repair::Network(program) => break_network(&self.proxies[program], random),
        }
        self.repairs.push((Instant::now() + outage, repair));
        Some(fault)
    }

    /// Repairs what is due at that time.
    fn repair(&mut self, now: Instant) {
        let (due, later) =
            std::mem::take(&mut self.repairs).into_iter().partition(|(at, _)| *at <= now);
        self.repairs = later;
        for (_, repair) in Vec::<(Instant, Repair)>::from_iter(due) {
            match repair {
                Repair::Broker => {
                    self.broker.restart();
                    self.broker_is_up = true;
                }
                Repair::Start(program) => self.start_program(program),
                Repair::Resume(program) => {
                    if let Some(program) = &self.programs[program] {
                        program.signal(Signal::CONT);
                    }
                }
                Repair::Network(program) => {
                    self.proxies[program].set_both(Fault::Pass);
                    self.proxies[program].take_connections(true);
                }
            }
        }
    }

    /// Ends everything in order, and looks at the database.
    pub(super) fn end(mut self) -> Result<(), String> {
        for mut program in self.programs.drain(..).flatten() {
            program.terminate();
            let status = program.wait();
            if !status.success() {
                return Err(format!("a program ended with {status}: {}", program.output()));
            }
        }
        let check = "import sqlite3, sys\nprint(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])";
        let checked =
            Command::new("python3").args(["-c", check]).arg(self.durable.store()).output();
        let checked = checked.map_err(|e| format!("python3 does not run: {e}"))?;
        let text = String::from_utf8_lossy(&checked.stdout);
        if text.trim() != "ok" {
            let error = String::from_utf8_lossy(&checked.stderr);
            return Err(format!("the database is not in order: {text}{error}"));
        }
        Ok(())
    }
}

fn break_network(proxy: &Proxy, random: &mut Random) {
    let direction = if random.below(2) == 0 { Direction::ToBroker } else { Direction::FromBroker };
    match random.below(8) {
        0 => proxy.reset(),
        1 => proxy.half_close(direction),
        2 => {
            proxy.take_connections(false);
            proxy.reset();
        }
        3 => proxy.set_both(Fault::Stall),
        4 => proxy.set_both(Fault::BlackHole),
        5 => proxy.set(direction, Fault::BlackHole),
        6 => proxy.set(direction, Fault::Stall),
        _ => proxy.set_both(Fault::Delay(random.time(Duration::ZERO, Duration::from_secs(1)))),
    }
}
