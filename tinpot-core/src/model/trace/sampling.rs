//! The spans of executions, and the choice of those that are recorded.
//!
//! The ids of spans are computed from those of executions and attempts. So a restarted coordinator
//! can end spans that it began before, and a worker computes its own without asking anyone.

use std::fmt::Display;

use uuid::Uuid;

use super::{SAMPLED, TraceContext};
use crate::model::execution::Execution;
use crate::model::fence::Fence;
use crate::model::id::ExecutionId;

/// The digits of a trace id that are random by W3C Trace Context, which decide about a share.
const RANDOM_BITS: u32 = 56;
/// The basis and the prime of the 64-bit FNV-1a hash.
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// The place of a span in its trace.
///
/// [`Sampling`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TraceSpan {
    /// The span, which is the parent of those below it.
    pub context: TraceContext,
    /// The id of its parent; `None` for the first span of a trace.
    pub parent: Option<u64>,
}

/// Decides which traces are recorded, and gives executions, attempts and their runs places in them.
///
/// ```
/// use tinpot_core::{Execution, ExecutionId, Json, Sampling};
///
/// let mut execution = Execution::new(ExecutionId::generate(), "deploy", Json::empty_object());
/// let span = Sampling::always().of_execution(&execution);
/// // Without a parent, the trace has the id of the execution.
/// assert_eq!(span.context.trace_id(), execution.id.as_u128());
/// assert!(span.parent.is_none() && span.context.is_sampled());
///
/// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
/// execution.traceparent = Some(parent.into());
/// let span = Sampling::always().parent_based().of_execution(&execution);
/// assert_eq!(span.parent, Some(0x00f0_67aa_0ba9_02b7));
/// assert!(!span.context.is_sampled());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The traces whose random digits are below it are recorded.
    below: u64,
    follows_parent: bool,
}

impl Sampling {
    /// Records every trace.
    pub fn always() -> Self {
        Self::share(1.0)
    }

    /// Records no trace.
    pub fn never() -> Self {
        Self::share(0.0)
    }

    /// Records this share of the traces, from 0 to 1. The id of a trace decides, so that all programs
    /// with the same share record the same traces.
    pub fn share(share: f64) -> Self {
        let below = (share.clamp(0.0, 1.0) * (1_u64 << RANDOM_BITS) as f64) as u64;
        Self { below, follows_parent: false }
    }

    /// Records a trace with a parent if the parent is recorded, and decides only about others.
    #[must_use]
    pub fn parent_based(mut self) -> Self {
        self.follows_parent = true;
        self
    }

    /// Returns the span of a request, with a random id.
    pub fn of_request(&self, parent: Option<TraceContext>) -> TraceSpan {
        let span = Uuid::new_v4().as_u128() as u64;
        self.below(parent, Uuid::new_v4().as_u128(), span)
    }

    /// Returns the span of an execution, below the trace context of its submitter.
    pub fn of_execution(&self, execution: &Execution) -> TraceSpan {
        let given = execution.traceparent.as_deref().and_then(|text| text.parse().ok());
        self.below(given, execution.id.as_u128(), id_of("execution", execution.id, &""))
    }

    /// Returns the span of an attempt, below that of its execution.
    pub fn of_attempt(&self, execution: &Execution, fence: Fence) -> TraceSpan {
        let above = self.of_execution(execution).context;
        let span = id_of("attempt", execution.id, &fence);
        TraceSpan { context: TraceContext { span, ..above }, parent: Some(above.span) }
    }

    /// Returns the span of what a worker does for an attempt, below the trace context that it was
    /// sent.
    pub fn of_run(
        &self,
        parent: Option<TraceContext>,
        execution: ExecutionId,
        fence: Fence,
    ) -> TraceSpan {
        self.below(parent, execution.as_u128(), id_of("run", execution, &fence))
    }

    /// Returns the place of a span below its parent, or at the head of a new trace.
    fn below(&self, parent: Option<TraceContext>, trace: u128, span: u64) -> TraceSpan {
        let trace = parent.map_or(trace, |parent| parent.trace);
        let is_sampled = match parent {
            Some(parent) if self.follows_parent => parent.is_sampled(),
            _ => (trace as u64) & ((1 << RANDOM_BITS) - 1) < self.below,
        };
        let others = parent.map_or(0, |parent| parent.flags & !SAMPLED);
        let flags = others | if is_sampled { SAMPLED } else { 0 };
        let context = TraceContext { trace, span, flags };
        TraceSpan { context, parent: parent.map(|parent| parent.span) }
    }
}

/// Returns the id of a span: a hash, which is not zero.
fn id_of(kind: &str, execution: ExecutionId, of: &dyn Display) -> u64 {
    let text = format!("{kind} {of} ");
    let bytes = text.bytes().chain(execution.as_u128().to_be_bytes());
    let hash = bytes.fold(FNV.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV.1));
    // The last bytes have changed only the low bits.
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Sampling, TraceSpan};
    use crate::model::execution::Execution;
    use crate::model::fence::{Epoch, Fence};
    use crate::model::id::ExecutionId;
    use crate::model::json::Json;
    use crate::model::trace::TraceContext;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";

    fn execution(traceparent: Option<&str>) -> Execution {
        let id = ExecutionId::generate();
        let mut execution = Execution::new(id, "deploy", Json::empty_object());
        execution.traceparent = traceparent.map(Into::into);
        execution
    }

    fn fence(number: u64) -> Fence {
        Fence { epoch: Epoch { instance: 7, number: 1 }, number }
    }

    #[test]
    fn spans_form_a_line_from_the_parent_down() {
        let (sampling, execution) = (Sampling::never().parent_based(), execution(Some(PARENT)));
        let parent: TraceContext = PARENT.parse().expect("a trace context");
        let whole = sampling.of_execution(&execution);
        let attempt = sampling.of_attempt(&execution, fence(1));
        // What travels is text.
        let sent = attempt.context.to_string().parse().expect("a trace context");
        let run = Sampling::always().of_run(Some(sent), execution.id, fence(1));
        let line = [whole, attempt, run];
        let above = [parent.span_id(), whole.context.span_id(), attempt.context.span_id()];
        assert_eq!(line.map(|span| span.parent), above.map(Some));
        for TraceSpan { context, .. } in line {
            assert_eq!(context.trace_id(), parent.trace_id());
            assert!(context.to_string().ends_with("-03"), "{context}");
        }
        // Computed again, as after a restart.
        assert_eq!(sampling.of_attempt(&execution, fence(1)), attempt);
    }

    #[test]
    fn every_span_has_another_id() {
        let sampling = Sampling::always();
        let mut ids = HashSet::new();
        for _ in 0..100 {
            let execution = execution(Some(PARENT));
            assert!(ids.insert(sampling.of_execution(&execution).context.span_id()));
            assert!(ids.insert(sampling.of_request(None).context.span_id()));
            for number in 1..50 {
                let attempt = sampling.of_attempt(&execution, fence(number)).context;
                let run = sampling.of_run(None, execution.id, fence(number)).context;
                assert!(ids.insert(attempt.span_id()) && ids.insert(run.span_id()));
            }
        }
    }

    #[test]
    fn a_share_of_the_traces_is_recorded() {
        let share = Sampling::share(0.25);
        let is_sampled = |traceparent: Option<&str>| {
            share.of_execution(&execution(traceparent)).context.is_sampled()
        };
        let count = (0..2_000).filter(|_| share.of_request(None).context.is_sampled()).count();
        assert!((350..650).contains(&count), "{count}");
        // The parent does not decide, and its id does.
        assert!(!is_sampled(Some(PARENT)));
        assert!(is_sampled(Some(&PARENT.replace("da6a3ce929d0e0e4736", "da600000000000000ff"))));
        for (sampling, all) in [(Sampling::always(), true), (Sampling::never(), false)] {
            assert!((0..100).all(|_| sampling.of_request(None).context.is_sampled() == all));
        }
    }
}
