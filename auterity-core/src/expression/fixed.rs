//! Lengths of time that are the same whenever they begin: weeks, days and smaller units,
//! a day of 24 hours. For serde's `with`.

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, Serializer};

use super::duration::{self, DurationError};

const DAY_SECONDS: i64 = 86_400;

/// Parses an ISO 8601 duration such as `P30D` or `PT1M`, without years and months.
///
/// # Errors
/// The text is not of that form, is negative, or too long.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let span: Span = duration::parse(text)?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(DurationError::new(
            "years and months differ in length; say how many days",
        ));
    }
    let day = SpanRelativeTo::days_are_24_hours();
    span.to_duration(day)
        .map_err(|_| DurationError::new("the duration is too long"))
}

/// Writes a length of time as an ISO 8601 duration, whole days as days.
#[must_use]
pub fn text(duration: SignedDuration) -> String {
    let (seconds, rest) = (duration.as_secs(), duration.subsec_nanos());
    if DAY_SECONDS <= seconds && rest == 0 && seconds % DAY_SECONDS == 0 {
        return format!("P{}D", seconds / DAY_SECONDS);
    }
    duration.to_string()
}

/// Writes a length of time.
///
/// # Errors
/// What the serializer says.
pub fn serialize<S: Serializer>(value: &SignedDuration, into: S) -> Result<S::Ok, S::Error> {
    into.serialize_str(&text(*value))
}

/// Reads a length of time.
///
/// # Errors
/// The text is no duration of a fixed length.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SignedDuration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map_err(serde::de::Error::custom)
}

/// The same where there may be none.
pub mod optional {
    use super::{Deserialize, Deserializer, Serializer, SignedDuration, parse, text};

    /// Writes a length of time, if there is one.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(
        value: &Option<SignedDuration>,
        into: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => into.serialize_some(&text(*value)),
            None => into.serialize_none(),
        }
    }

    /// Reads a length of time, if there is one.
    ///
    /// # Errors
    /// The text is no duration of a fixed length.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SignedDuration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let parsed = text.map(|text| parse(&text)).transpose();
        parsed.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_lengths_come_back() {
        for (written, hours) in [("P30D", 720), ("P2W", 336), ("PT36H", 36), ("P1DT12H", 36)] {
            let parsed = parse(written).expect(written);
            assert_eq!(SignedDuration::from_hours(hours), parsed);
            assert_eq!(parsed, parse(&text(parsed)).expect("it is one"));
        }
        assert_eq!("P14D", text(parse("P2W").expect("it is one")));
        assert_eq!("PT36H", text(parse("P1DT12H").expect("it is one")));
        assert_eq!("PT0S", text(SignedDuration::ZERO));
    }

    #[test]
    fn months_years_and_other_words_are_refused() {
        for text in ["P1M", "P1Y", "P1YT1H", "", "30d", "-P1D", "P999999999999D"] {
            parse(text).expect_err(text);
        }
    }
}
