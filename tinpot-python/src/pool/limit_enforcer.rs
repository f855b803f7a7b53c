//! Enforces the limits of one attempt that the interpreter cannot enforce, or may ignore.

use std::sync::Arc;
use std::time::Duration;

use tinpot_contain::{OutputMeter, ProcessTree};
use tinpot_core::Failure;

use crate::limits::{Limits, exceeded};

/// The extra processor time of an attempt that ignores its limit, and the interval of the checks.
const CPU_GRACE: Duration = Duration::from_secs(2);
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The limits in force for one attempt. They are lifted when this is dropped.
#[derive(Debug)]
pub(super) struct LimitEnforcer {
    limits: Limits,
    processes: Arc<ProcessTree>,
    meter: Arc<OutputMeter>,
    /// The total processor time after which an attempt that ignores its limit is killed.
    cpu_until: Option<Duration>,
    /// The memory limit of the cgroup, and the number of kills for lack of memory before the
    /// attempt.
    memory: Option<(u64, u64)>,
}

impl LimitEnforcer {
    pub(super) fn begin(
        limits: Limits,
        processes: &Arc<ProcessTree>,
        meter: &Arc<OutputMeter>,
    ) -> Self {
        meter.begin(limits.output_bytes.unwrap_or(u64::MAX));
        let cpu_until = limits
            .cpu
            .and_then(|cpu| processes.cpu_time()?.checked_add(cpu)?.checked_add(CPU_GRACE));
        let memory = limits.memory_bytes.and_then(|bytes| {
            let cgroup = processes.cgroup().filter(|cgroup| cgroup.has_memory())?;
            if let Err(error) = cgroup.limit_memory(Some(bytes)) {
                tracing::warn!(%error, "cannot limit the memory of an attempt");
                return None;
            }
            Some((bytes, cgroup.memory_kills()))
        });
        Self { limits, processes: processes.clone(), meter: meter.clone(), cpu_until, memory }
    }

    /// Resolves when the attempt has to be killed.
    pub(super) async fn exceeded(&self) {
        tokio::select! {
            () = self.meter.exceeded() => {}
            () = self.cpu_exceeded() => {}
        }
    }

    async fn cpu_exceeded(&self) {
        let Some(until) = self.cpu_until else { return std::future::pending().await };
        while self.processes.cpu_time().is_none_or(|used| used < until) {
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Returns the failure of an attempt that has ended, if it exceeded a limit. `by_us` is true if
    /// it was killed for that.
    pub(super) fn verdict(&self, by_us: bool) -> Option<Failure> {
        if let Some(limit) = self.limits.output_bytes.filter(|_| self.meter.is_exceeded()) {
            return Some(exceeded("max_output", format_args!("{limit} bytes")));
        }
        if let Some((limit, before)) = self.memory
            && self.processes.cgroup().is_some_and(|cgroup| cgroup.memory_kills() > before)
        {
            return Some(exceeded("memory", format_args!("{limit} bytes")));
        }
        let cpu = self.limits.cpu.filter(|_| by_us)?;
        Some(exceeded("cpu_seconds", cpu.as_secs_f64()))
    }
}

impl Drop for LimitEnforcer {
    fn drop(&mut self) {
        self.meter.begin(u64::MAX);
        if self.memory.is_some()
            && let Some(cgroup) = self.processes.cgroup()
        {
            // The cgroup may be gone with the interpreter.
            let _ = cgroup.limit_memory(None);
        }
    }
}
