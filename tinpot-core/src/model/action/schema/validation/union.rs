//! Which alternative of a union was meant, when none of them fits.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;

use super::super::dereference::WHOLE;

/// The alternative that comes closest: one of the right type, whose constants (`"kind": "circle"`) fit, and of those the one with the least
/// wrong. `None` when not even the type of any is right.
pub(super) fn closest<'a>(
    alternatives: &'a [Vec<ValidationError<'static>>],
    here: &str,
) -> Option<&'a [ValidationError<'static>]> {
    alternatives
        .iter()
        .filter(|errors| !errors.iter().any(|error| is_of_other_type(error, here)))
        .min_by_key(|errors| {
            let other_kind = errors.iter().filter(|error| is_of_other_kind(error, here)).count();
            (other_kind, errors.len())
        })
        .map(Vec::as_slice)
}

fn is_of_other_type(error: &ValidationError<'_>, here: &str) -> bool {
    let of_type = match error.kind() {
        Kind::Type { .. } | Kind::FalseSchema => true,
        Kind::Custom { keyword, .. } => keyword == WHOLE,
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            closest(context, here).is_none()
        }
        _ => false,
    };
    of_type && error.instance_path().as_str() == here
}

/// A constant right below is how alternatives are told apart.
fn is_of_other_kind(error: &ValidationError<'_>, here: &str) -> bool {
    let place = error.instance_path().as_str();
    let depth = place[here.len().min(place.len())..].matches('/').count();
    depth <= 1 && matches!(error.kind(), Kind::Constant { .. } | Kind::Enum { .. })
}
