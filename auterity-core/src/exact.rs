//! What reading JSON would change without a word.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::Violation;

/// Characters of a number that a message shows.
const SHOWN_MAX: usize = 40;

/// Checks that reading a valid JSON text loses nothing: each name occurs once in its
/// object, and whole numbers fit 64 bits. JSON itself allows both; a reader keeps the last
/// of two members and rounds the number.
///
/// # Errors
/// The first place where something would be lost.
pub fn check_exact(text: &[u8]) -> Result<(), Violation> {
    let mut scan = Scan {
        text,
        at: 0,
        levels: Vec::new(),
    };
    while let Some(byte) = scan.text.get(scan.at).copied() {
        match byte {
            b'"' => scan.string()?,
            b'-' | b'0'..=b'9' => scan.number()?,
            _ => scan.mark(byte),
        }
    }
    Ok(())
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    levels: Vec<Level<'t>>,
}

/// An array or object that the scan is in.
enum Level<'t> {
    Array {
        index: usize,
    },
    Object {
        names: HashSet<Cow<'t, str>>,
        /// The member that the scan is in, as it is written.
        name: &'t [u8],
        /// Whether the next text is a name.
        expects_name: bool,
    },
}

impl Scan<'_> {
    fn mark(&mut self, byte: u8) {
        self.at += 1;
        match (byte, self.levels.last_mut()) {
            (b'{', _) => self.levels.push(Level::Object {
                names: HashSet::new(),
                name: &[],
                expects_name: true,
            }),
            (b'[', _) => self.levels.push(Level::Array { index: 0 }),
            (b'}' | b']', _) => drop(self.levels.pop()),
            (b',', Some(Level::Array { index })) => *index += 1,
            (b',', Some(Level::Object { expects_name, .. })) => *expects_name = true,
            _ => {}
        }
    }

    fn string(&mut self) -> Result<(), Violation> {
        let begin = self.at;
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'\\') => self.at += 2,
                Some(b'"') | None => break,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let written = self.text.get(begin..self.at).unwrap_or_default();
        let Some(Level::Object {
            names,
            name,
            expects_name,
        }) = self.levels.last_mut()
        else {
            return Ok(());
        };
        if !*expects_name {
            return Ok(());
        }
        (*name, *expects_name) = (written, false);
        if names.insert(read(written)) {
            return Ok(());
        }
        let message = format!("the name {} occurs twice", String::from_utf8_lossy(written));
        Err(self.violation(message))
    }

    fn number(&mut self) -> Result<(), Violation> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let length = rest.iter().take_while(|byte| is_part(byte)).count();
        self.at += length;
        let written = String::from_utf8_lossy(rest.get(..length).unwrap_or_default());
        let is_whole = !written.contains(['.', 'e', 'E']);
        if !is_whole || written.parse::<u64>().is_ok() || written.parse::<i64>().is_ok() {
            return Ok(());
        }
        let mut shown: String = written.chars().take(SHOWN_MAX).collect();
        if shown.len() < written.len() {
            shown.push('…');
        }
        let message = format!(
            "the number {shown} is too large to be kept exactly; put it in quotes to keep it as a text"
        );
        Err(self.violation(message))
    }

    fn violation(&self, message: String) -> Violation {
        let mut pointer = String::new();
        for level in &self.levels {
            pointer.push('/');
            match level {
                Level::Array { index } => pointer.push_str(&index.to_string()),
                Level::Object { name, .. } => {
                    pointer.push_str(&read(name).replace('~', "~0").replace('/', "~1"));
                }
            }
        }
        Violation { pointer, message }
    }
}

/// Gives the text that a JSON string stands for.
fn read(written: &[u8]) -> Cow<'_, str> {
    match serde_json::from_slice::<&str>(written) {
        Ok(plain) => Cow::Borrowed(plain),
        // It has escapes.
        Err(_) => Cow::Owned(serde_json::from_slice(written).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reading_would_change_is_found_at_its_place() {
        let table = [
            (r#"{"a":1,"a":2}"#, "/a", "occurs twice"),
            (r#"{"a":1,"\u0061":2}"#, "/a", "occurs twice"),
            (r#"[0,{"x/y":{"b":[],"b":1}}]"#, "/1/x~1y/b", "occurs twice"),
            ("123456789012345678901234567890", "", "too large"),
            (r#"{"n":[1,-9223372036854775809]}"#, "/n/1", "too large"),
            (r#" { "n" : 18446744073709551616 } "#, "/n", "too large"),
        ];
        for (text, pointer, message) in table {
            let found = check_exact(text.as_bytes()).expect_err(text);
            assert_eq!(found.pointer, pointer, "{text}");
            assert!(found.message.contains(message), "{}", found.message);
        }
    }

    #[test]
    fn what_is_kept_as_it_is_passes() {
        for text in [
            "",
            "null",
            r#"{"a":{"a":1},"b":[{"a":1},{"a":"a"}],"c":"a","d":["a","a"]}"#,
            r#"["\"a\":1,\"a\":2", "{", "18446744073709551616"]"#,
            "[18446744073709551615,-9223372036854775808,1e300,0.1,-0,1E2]",
        ] {
            assert_eq!(check_exact(text.as_bytes()), Ok(()), "{text}");
        }
    }
}
