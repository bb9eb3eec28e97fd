//! What a scalar's text stands for: the core schema of YAML 1.2.

use serde_json::Number;

use super::node::NodeValue;

/// Why a scalar has no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

/// Reads a plain scalar without a tag.
pub(super) fn plain(text: &str) -> Result<NodeValue, Refusal> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(NodeValue::Null),
        "true" | "True" | "TRUE" => return Ok(NodeValue::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(NodeValue::Bool(false)),
        _ => {}
    }
    match number(text)? {
        Some(number) => Ok(NodeValue::Number(number)),
        None => Ok(NodeValue::Text(text.to_owned())),
    }
}

/// Reads a scalar with a tag of the core schema, such as `!!str`.
pub(super) fn tagged(text: &str, tag: &str) -> Result<NodeValue, Refusal> {
    let value = match tag {
        "str" => return Ok(NodeValue::Text(text.to_owned())),
        "null" | "bool" | "int" | "float" => plain(text)?,
        _ => return Err(unknown_tag(&format!("!!{tag}"))),
    };
    let fits = match (&value, tag) {
        (NodeValue::Null, "null") | (NodeValue::Bool(_), "bool") => true,
        (NodeValue::Number(number), "int") => !number.is_f64(),
        (NodeValue::Number(_), "float") => true,
        _ => false,
    };
    if fits {
        Ok(value)
    } else {
        Err(Refusal {
            code: "bad_tag",
            message: format!("the value does not fit its tag !!{tag}"),
            hint: "remove the tag, or change the value",
        })
    }
}

pub(super) fn unknown_tag(tag: &str) -> Refusal {
    Refusal {
        code: "unknown_tag",
        message: format!("the tag {tag} has no meaning in a definition"),
        hint: "remove the tag",
    }
}

/// Reads a number, if the text is of that form.
fn number(text: &str) -> Result<Option<Number>, Refusal> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, text.get(1..).unwrap_or_default()),
        [b'+', ..] => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(Refusal {
            code: "number_not_finite",
            message: format!("{text} is no number that JSON can hold"),
            hint: "write a finite number, or put the text in quotes",
        });
    }
    let is_all =
        |text: &str, test: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|b| test(&b));
    if is_all(digits, u8::is_ascii_digit) {
        return integer(text, digits, 10, negative).map(Some);
    }
    if let Some(hex) = text
        .strip_prefix("0x")
        .filter(|hex| is_all(hex, u8::is_ascii_hexdigit))
    {
        return integer(text, hex, 16, false).map(Some);
    }
    let octal = |byte: &u8| (b'0'..=b'7').contains(byte);
    if let Some(digits) = text
        .strip_prefix("0o")
        .filter(|digits| is_all(digits, octal))
    {
        return integer(text, digits, 8, false).map(Some);
    }
    if !is_float(digits) {
        return Ok(None);
    }
    let parsed: f64 = text.parse().map_err(|_| too_large(text))?;
    match Number::from_f64(parsed) {
        Some(number) => Ok(Some(number)),
        None => Err(too_large(text)),
    }
}

fn integer(text: &str, digits: &str, radix: u32, negative: bool) -> Result<Number, Refusal> {
    let magnitude = u64::from_str_radix(digits, radix).map_err(|_| too_large(text))?;
    if !negative {
        return Ok(Number::from(magnitude));
    }
    match 0_i64.checked_sub_unsigned(magnitude) {
        Some(value) => Ok(Number::from(value)),
        None => Err(too_large(text)),
    }
}

fn too_large(text: &str) -> Refusal {
    const SHOWN_MAX: usize = 40;
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Refusal {
        code: "number_too_large",
        message: format!("the number {shown} is too large to be kept exactly"),
        hint: "put it in quotes to keep it as a text",
    }
}

/// Tells whether a text without sign is `digits[.digits][e[sign]digits]`, with a
/// digit on at least one side of the point.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !is_digits(whole) || !is_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return false;
    }
    match exponent {
        Some(exponent) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !digits.is_empty() && is_digits(digits)
        }
        None => mantissa.contains('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeValue, plain, tagged};

    fn shown(text: &str) -> String {
        match plain(text) {
            Ok(NodeValue::Null) => "null".to_owned(),
            Ok(NodeValue::Bool(value)) => format!("bool {value}"),
            Ok(NodeValue::Number(number)) => format!("number {number}"),
            Ok(NodeValue::Text(text)) => format!("text {text}"),
            Ok(_) => "other".to_owned(),
            Err(refusal) => refusal.code.to_owned(),
        }
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let table = [
            ("", "null"),
            ("~", "null"),
            ("NULL", "null"),
            ("nUll", "text nUll"),
            ("true", "bool true"),
            ("FALSE", "bool false"),
            ("yes", "text yes"),
            ("on", "text on"),
            ("12", "number 12"),
            ("+12", "number 12"),
            ("-12", "number -12"),
            ("0012", "number 12"),
            ("0x1F", "number 31"),
            ("0o17", "number 15"),
            ("-0x1F", "text -0x1F"),
            ("9007199254740993", "number 9007199254740993"),
            ("18446744073709551615", "number 18446744073709551615"),
            ("18446744073709551616", "number_too_large"),
            ("-9223372036854775808", "number -9223372036854775808"),
            ("-9223372036854775809", "number_too_large"),
            ("1e400", "number_too_large"),
            ("-1e400", "number_too_large"),
            ("1e3", "number 1000.0"),
            (".5", "number 0.5"),
            ("5.", "number 5.0"),
            ("1.25E-2", "number 0.0125"),
            (".", "text ."),
            ("-", "text -"),
            ("1e", "text 1e"),
            ("e1", "text e1"),
            ("1.0.3", "text 1.0.3"),
            ("1_000", "text 1_000"),
            ("12:30", "text 12:30"),
            (".inf", "number_not_finite"),
            ("-.Inf", "number_not_finite"),
            (".NaN", "number_not_finite"),
            ("-.nan", "text -.nan"),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn tags_are_checked() {
        assert!(matches!(tagged("5", "str"), Ok(NodeValue::Text(text)) if text == "5"));
        assert!(matches!(tagged("5", "int"), Ok(NodeValue::Number(_))));
        assert!(tagged("5.5", "int").is_err());
        assert!(tagged("yes", "bool").is_err());
        assert!(tagged("x", "binary").is_err());
    }
}
