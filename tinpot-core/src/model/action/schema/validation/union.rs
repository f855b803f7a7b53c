//! The alternative of a union that was meant, if a value matches none.

use super::fault::{Fault, FaultKind};

/// Returns the faults of the alternative that comes closest: one of the right type, whose constants
/// (`"kind": "circle"`) fit, and of those the one with the fewest faults. Returns `None` when no
/// alternative has the right type.
pub(super) fn closest<'f, 'a>(
    alternatives: &'f [Vec<Fault<'a>>],
    here: &str,
) -> Option<&'f [Fault<'a>]> {
    alternatives
        .iter()
        .filter(|faults| !faults.iter().any(|fault| is_of_other_type(fault, here)))
        .min_by_key(|faults| {
            let other_kind = faults.iter().filter(|fault| is_of_other_kind(fault, here)).count();
            (other_kind, faults.len())
        })
        .map(Vec::as_slice)
}

fn is_of_other_type(fault: &Fault<'_>, here: &str) -> bool {
    let of_type = match &fault.kind {
        FaultKind::Type | FaultKind::FalseSchema | FaultKind::Whole => true,
        FaultKind::NoAlternative(alternatives) => closest(alternatives, here).is_none(),
        _ => false,
    };
    of_type && fault.instance_path == here
}

/// Returns true if a constant at the top of the value differs: constants tell alternatives apart.
fn is_of_other_kind(fault: &Fault<'_>, here: &str) -> bool {
    let place = &fault.instance_path;
    let depth = place[here.len().min(place.len())..].matches('/').count();
    depth <= 1 && matches!(fault.kind, FaultKind::Constant(_) | FaultKind::Enum(_))
}
