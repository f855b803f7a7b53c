//! Times that a user names: an age, a day, or a date with or without a time.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// A point in time, as the API takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment(Timestamp);

impl Moment {
    /// Returns the time as the core counts it.
    pub(crate) fn timestamp(&self) -> tinpot_core::Timestamp {
        tinpot_core::Timestamp(self.0.as_microsecond().try_into().unwrap_or_default())
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The end of a period that a day names.
#[derive(Clone, Copy, PartialEq)]
enum End {
    First,
    Last,
}

/// Parses the start of a period. A day is its first moment.
///
/// # Errors
/// Fails with the accepted forms.
pub(crate) fn since(text: &str) -> Result<Moment, String> {
    parse(text, End::First, &Zoned::now().with_time_zone(super::local()))
}

/// Parses the end of a period. A day is its last moment.
///
/// # Errors
/// Fails with the accepted forms.
pub(crate) fn until(text: &str) -> Result<Moment, String> {
    parse(text, End::Last, &Zoned::now().with_time_zone(super::local()))
}

fn parse(text: &str, end: End, now: &Zoned) -> Result<Moment, String> {
    let text = text.trim();
    let moment = day(text, end, now)
        .or_else(|| age(text, now))
        .or_else(|| with_time(text, now))
        .or_else(|| text.parse().ok());
    moment.map(Moment).ok_or_else(|| {
        "must be an age like 30m, 1h or 2d, today, yesterday, a date like 2026-12-24, or a time \
         like 18:00, 2026-12-24T18:00 or 2026-12-24T18:00:00Z"
            .to_owned()
    })
}

/// Returns the first or last moment of a day.
fn day(text: &str, end: End, now: &Zoned) -> Option<Timestamp> {
    let date = match text.to_ascii_lowercase().as_str() {
        "now" => return Some(now.timestamp()),
        "today" => now.date(),
        "yesterday" => now.date().yesterday().ok()?,
        // A date with a time is not a day.
        _ if text.len() == "2026-12-24".len() => text.parse::<Date>().ok()?,
        _ => return None,
    };
    let zone = now.time_zone();
    match end {
        End::First => Some(date.to_zoned(zone.clone()).ok()?.timestamp()),
        // The API has microseconds.
        End::Last => {
            let next = date.tomorrow().ok()?.to_zoned(zone.clone()).ok()?;
            next.timestamp().checked_sub(1.microsecond()).ok()
        }
    }
}

/// Returns the moment that is so long ago.
fn age(text: &str, now: &Zoned) -> Option<Timestamp> {
    let text = text.to_ascii_lowercase();
    let text = text.trim_end_matches("ago").trim();
    let span: Span = text.parse().ok()?;
    Some(now.checked_sub(span.abs()).ok()?.timestamp())
}

/// Returns a time of today, or a date with a time, on the clock of this machine.
fn with_time(text: &str, now: &Zoned) -> Option<Timestamp> {
    let at = |at: DateTime, zone: &TimeZone| Some(at.to_zoned(zone.clone()).ok()?.timestamp());
    // Text with an offset is no local time, and jiff would ignore the offset.
    let time_of_day = text.split(['T', 't', ' ']).next_back().unwrap_or_default();
    if time_of_day.contains(['Z', 'z', '+', '-', '[']) || !time_of_day.contains(':') {
        return None;
    }
    match text.parse::<Time>() {
        Ok(time) if time_of_day.len() == text.len() => {
            at(now.date().to_datetime(time), now.time_zone())
        }
        _ => at(text.parse().ok()?, now.time_zone()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Zoned;
    use jiff::civil::date;
    use jiff::tz::{Offset, TimeZone};

    use super::{End, parse};

    fn now() -> Zoned {
        let zone = TimeZone::fixed(Offset::constant(2));
        date(2026, 11, 29).at(7, 30, 0, 0).to_zoned(zone).expect("a time")
    }

    #[test]
    fn ages_days_and_times_are_moments_of_the_local_clock() {
        for (text, first, last) in [
            ("1h", "2026-11-29T04:30:00Z", "2026-11-29T04:30:00Z"),
            ("90 minutes", "2026-11-29T04:00:00Z", "2026-11-29T04:00:00Z"),
            ("1h30m", "2026-11-29T04:00:00Z", "2026-11-29T04:00:00Z"),
            ("2 days ago", "2026-11-27T05:30:00Z", "2026-11-27T05:30:00Z"),
            ("1w", "2026-11-22T05:30:00Z", "2026-11-22T05:30:00Z"),
            ("PT15M", "2026-11-29T05:15:00Z", "2026-11-29T05:15:00Z"),
            ("now", "2026-11-29T05:30:00Z", "2026-11-29T05:30:00Z"),
            ("today", "2026-11-28T22:00:00Z", "2026-11-29T21:59:59.999999Z"),
            ("Yesterday", "2026-11-27T22:00:00Z", "2026-11-28T21:59:59.999999Z"),
            ("2026-11-28", "2026-11-27T22:00:00Z", "2026-11-28T21:59:59.999999Z"),
            ("06:15", "2026-11-29T04:15:00Z", "2026-11-29T04:15:00Z"),
            ("2026-11-28T10:00", "2026-11-28T08:00:00Z", "2026-11-28T08:00:00Z"),
            ("2026-11-28 10:00:30", "2026-11-28T08:00:30Z", "2026-11-28T08:00:30Z"),
            ("2026-11-28T10:00:00Z", "2026-11-28T10:00:00Z", "2026-11-28T10:00:00Z"),
            ("2026-11-28T10:00:00.5-05:00", "2026-11-28T15:00:00.5Z", "2026-11-28T15:00:00.5Z"),
        ] {
            let shown = |end| parse(text, end, &now()).map(|moment| moment.to_string());
            assert_eq!(shown(End::First).as_deref(), Ok(first), "since {text}");
            assert_eq!(shown(End::Last).as_deref(), Ok(last), "until {text}");
        }
    }

    #[test]
    fn a_text_that_is_no_time_is_refused_with_the_forms() {
        for text in ["", "soon", "25:00", "2026-13-01", "2026-02-30T10:00", "1", "h"] {
            let why = parse(text, End::First, &now()).expect_err(text);
            assert!(why.contains("yesterday") && why.contains("2026-12-24T18:00:00Z"), "{why}");
        }
    }
}
