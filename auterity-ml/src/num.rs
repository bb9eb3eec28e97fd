//! Conversions between numbers, each with the reason why nothing is lost.

/// An index or count of events, cases or labels, which their limits keep below 2^32.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the limits on events and labels are below 2^32"
)]
pub(crate) fn u32_of(number: usize) -> u32 {
    debug_assert!(u32::try_from(number).is_ok(), "{number} is over the limits");
    number as u32
}

/// The nearest float of a count: exact below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "a count beyond 2^53 loses less than its last digits"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The nearest float of a number of microseconds: exact below 285 years.
#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 285 years a microsecond does not matter"
)]
pub(crate) fn float_of_micros(micros: i64) -> f64 {
    micros as f64
}

/// The nearest float of a sum of microseconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sum beyond 285 years loses less than its last digits"
)]
pub(crate) fn float_of_sum(micros: i128) -> f64 {
    micros as f64
}

/// The largest index that is not above a number from 0 to 2^52.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "callers give parts of lengths, which are neither negative nor that large"
)]
pub(crate) fn index_of(number: f64) -> usize {
    number as usize
}
