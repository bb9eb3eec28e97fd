//! Server-sent events (WHATWG HTML, section 9.2), as a client reads them.

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use super::http::request::within;
use super::http::{chunk, has_media};
use crate::interpreter::Problem;

/// The events of an answer.
#[derive(Debug)]
pub(super) struct Events {
    response: Response,
    lines: Lines,
    /// The largest event, in bytes.
    event_bytes_max: usize,
}

/// Tells whether an answer is a stream of events.
pub(super) fn is_stream(response: &Response) -> bool {
    has_media(response.headers().get(CONTENT_TYPE), "text/event-stream")
}

impl Events {
    pub(super) fn of(response: Response, event_bytes_max: usize) -> Self {
        Self {
            response,
            lines: Lines::default(),
            event_bytes_max,
        }
    }

    /// Gives the next event's data; none when the stream has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Problem> {
        loop {
            if let Some(data) = self.lines.next() {
                return Ok(Some(data));
            }
            within("event", self.lines.bytes(), self.event_bytes_max)?;
            match chunk(&mut self.response).await? {
                Some(more) => self.lines.add(&more),
                None => return Ok(None),
            }
        }
    }
}

/// What has come and is not a whole event yet.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    data: Option<String>,
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    fn bytes(&self) -> usize {
        self.rest.len() + self.data.as_ref().map_or(0, String::len)
    }

    /// Gives the data of the next event that is whole. An event without data is none.
    fn next(&mut self) -> Option<String> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Some(data);
                }
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            if name != "data" {
                continue;
            }
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
    }

    /// Takes the next whole line; it ends with CR, LF or both.
    fn line(&mut self) -> Option<String> {
        let end = self
            .rest
            .iter()
            .position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let next = self.rest.get(end + 1);
        if self.rest[end] == b'\r' && next.is_none() {
            // The other half of the line's end may be under way.
            return None;
        }
        let both = self.rest[end] == b'\r' && next == Some(&b'\n');
        let line = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest.drain(..end + 1 + usize::from(both));
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let text = ": hi\r\n\r\nevent: x\ndata: one\ndata:two\nid: 3\n\ndata\n\nretry: 1\n\ndata: {\"é\":1}\r\n\r\nrest";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for part in text.as_bytes().chunks(size) {
                lines.add(part);
                while let Some(data) = lines.next() {
                    found.push(data);
                }
            }
            assert_eq!(found, ["one\ntwo", "", "{\"é\":1}"], "in parts of {size}");
        }
    }
}
