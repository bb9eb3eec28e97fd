use std::fmt::Write as _;

const WRITES: &str = "writing to a text cannot fail";

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets, with a sum.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The text that Prometheus reads (exposition format 0.0.4), as it is being written.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a family of samples; they follow at once.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let kind = kind.word();
        writeln!(self.text, "# HELP {name} {help}").expect(WRITES);
        writeln!(self.text, "# TYPE {name} {kind}").expect(WRITES);
    }

    /// Writes one figure with its labels.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            for letter in text.chars() {
                match letter {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect(WRITES);
    }

    /// Writes a family of one figure without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let mut out = Exposition::default();
        out.family("a_total", Kind::Counter, "What\nfor");
        out.sample("a_total", &[("x", "q\"\n\\"), ("y", "ü")], 2.0);
        out.single("b", Kind::Gauge, "b", 0.5);
        let wanted = "# HELP a_total What\\nfor\n# TYPE a_total counter\n\
            a_total{x=\"q\\\"\\n\\\\\",y=\"ü\"} 2\n\
            # HELP b b\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(out.into_text(), wanted);
    }
}
