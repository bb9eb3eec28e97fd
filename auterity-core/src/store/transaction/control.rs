//! Finds statements that would end a transaction which is not theirs.

/// Tells whether any statement of the text begins or ends a transaction. What stands in
/// strings, quoted names, comments and bodies of functions does not count.
pub(super) fn controls_transaction(text: &str) -> bool {
    let mut scanner = Scanner {
        rest: text,
        statement: Vec::new(),
    };
    while scanner.step() {
        if scanner.controls() {
            return true;
        }
    }
    false
}

/// Walks over a text and keeps the first two words of the present statement.
struct Scanner<'t> {
    rest: &'t str,
    statement: Vec<&'t str>,
}

impl<'t> Scanner<'t> {
    /// Takes the next word, string, comment or sign; tells whether there was any.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        match first {
            '-' if self.rest.starts_with("--") => self.skip_past(2, "\n"),
            '/' if self.rest.starts_with("/*") => self.skip_past(2, "*/"),
            '\'' | '"' | '`' => self.skip_past(1, first.encode_utf8(&mut [0; 4])),
            '$' => self.skip_dollar_quoted(),
            ';' => {
                self.statement.clear();
                self.advance(1);
            }
            _ if first.is_alphabetic() || first == '_' => {
                let word = self.take_word();
                if self.statement.len() < 2 {
                    self.statement.push(word);
                }
            }
            _ => self.advance(first.len_utf8()),
        }
        true
    }

    fn controls(&self) -> bool {
        let is = |place: usize, wanted: &[&str]| {
            self.statement
                .get(place)
                .is_some_and(|word| wanted.iter().any(|one| word.eq_ignore_ascii_case(one)))
        };
        match self.statement.len() {
            // A lone ROLLBACK is known as such only at the end of its statement.
            1 => {
                is(0, &["BEGIN", "START", "COMMIT", "END", "ABORT"])
                    || (is(0, &["ROLLBACK"]) && self.ends_here())
            }
            2 => {
                (is(0, &["PREPARE"]) && is(1, &["TRANSACTION"]))
                    || (is(0, &["ROLLBACK"]) && !is(1, &["TO"]))
            }
            _ => false,
        }
    }

    fn ends_here(&self) -> bool {
        let rest = self.rest.trim_start();
        rest.is_empty() || rest.starts_with(';')
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn take_word(&mut self) -> &'t str {
        let part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
        let end = self.rest.find(|letter| !part(letter));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn skip_past(&mut self, from: usize, end: &str) {
        let inside = self.rest.get(from..).unwrap_or_default();
        self.rest = inside.split_once(end).map_or("", |(_, rest)| rest);
    }

    /// Skips `$tag$ … $tag$`; anything else that begins with `$` is a parameter.
    fn skip_dollar_quoted(&mut self) {
        let after = self.rest.get(1..).unwrap_or_default();
        let tag = after.split_once('$').map(|(tag, _)| tag).filter(|tag| {
            let digit = tag.starts_with(|letter: char| letter.is_ascii_digit());
            !digit && tag.chars().all(|one| one.is_alphanumeric() || one == '_')
        });
        match tag {
            Some(tag) => {
                let quote = format!("${tag}$");
                self.skip_past(quote.len(), &quote);
            }
            None => self.advance(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::controls_transaction;

    #[test]
    fn statements_that_control_the_transaction_are_found() {
        for text in [
            "COMMIT",
            "begin",
            " Rollback ; ",
            "ROLLBACK WORK",
            "ROLLBACK",
            "END TRANSACTION",
            "UPDATE a SET b = 1; commit; UPDATE a SET b = 2",
            "/* a note */ -- and another\n ABORT",
            "PREPARE TRANSACTION 'x'",
            "START TRANSACTION",
            "SELECT 'it''s'; END",
        ] {
            assert!(controls_transaction(text), "{text}");
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        for text in [
            "SELECT 'x; COMMIT'",
            "UPDATE \"commit\" SET \"begin\" = $1 WHERE id = $2",
            "-- COMMIT\nSELECT 1",
            "ROLLBACK TO SAVEPOINT a",
            "DO $$ BEGIN PERFORM 1; END $$",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN RETURN 1; END $body$",
            "PREPARE find AS SELECT 1",
            "INSERT INTO commits (id) VALUES ($1); SELECT 1",
            "SELECT CASE WHEN a THEN 1 END FROM b",
            "",
        ] {
            assert!(!controls_transaction(text), "{text}");
        }
    }
}
