//! The process itself, as `/proc` and the clock of its processor time show it.

use std::fs;
use std::io::Read;

use prometheus::{CounterVec, GaugeVec};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use tinpot_core::Result;

use crate::series::{Maker, NO_LABELS};

/// The series of the process that scrapes itself.
pub(crate) struct ProcessSeries {
    cpu_seconds: CounterVec,
    open_fds: GaugeVec,
    max_fds: GaugeVec,
    virtual_memory: GaugeVec,
    resident_memory: GaugeVec,
    threads: GaugeVec,
}

impl ProcessSeries {
    pub(crate) fn new(maker: &Maker<'_>) -> Result<Self> {
        let start = maker.float_gauge("process_start_time_seconds")?;
        if let Some(seconds) = start_time() {
            start.with_label_values(NO_LABELS).set(seconds);
        }
        Ok(Self {
            cpu_seconds: maker.float_counter("process_cpu_seconds_total")?,
            open_fds: maker.float_gauge("process_open_fds")?,
            max_fds: maker.float_gauge("process_max_fds")?,
            virtual_memory: maker.float_gauge("process_virtual_memory_bytes")?,
            resident_memory: maker.float_gauge("process_resident_memory_bytes")?,
            threads: maker.float_gauge("process_threads")?,
        })
    }

    /// Sets all series to the present state. What cannot be read keeps its value.
    pub(crate) fn show(&self) {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu_seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let counter = self.cpu_seconds.with_label_values(NO_LABELS);
        counter.inc_by((cpu_seconds - counter.get()).max(0.0));
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory's own.
            set(&self.open_fds, entries.count().saturating_sub(1) as f64);
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            set(&self.max_fds, most as f64);
        }
        if let Some(stat) = Stat::read() {
            set(&self.threads, stat.threads);
            set(&self.virtual_memory, stat.virtual_bytes);
            set(&self.resident_memory, stat.resident_pages * rustix::param::page_size() as f64);
        }
    }
}

fn set(gauge: &GaugeVec, value: f64) {
    gauge.with_label_values(NO_LABELS).set(value);
}

/// Fields of `/proc/self/stat`; see proc_pid_stat(5).
struct Stat {
    threads: f64,
    start_ticks: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = read("/proc/self/stat")?;
        // The name of the program may contain spaces and parentheses; the third field follows it.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.trim().parse().ok();
        Some(Self {
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Returns when the process started, in seconds since the Unix epoch.
fn start_time() -> Option<f64> {
    let system = read("/proc/stat")?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: f64 = boot.trim().parse().ok()?;
    Some(boot + Stat::read()?.start_ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// Reads a file of the kernel's, 1 MiB of it at most.
fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(1 << 20).read_to_string(&mut text).ok()?;
    Some(text)
}
