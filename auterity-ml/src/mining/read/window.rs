//! A window that moves over the text of a log: decompressed, decoded, within limits.

use std::io::{Cursor, ErrorKind as IoErrorKind, Read};

use encoding_rs::{Decoder, Encoding, UTF_8, WINDOWS_1252};
use flate2::read::MultiGzDecoder;

use super::Limits;
use crate::{Error, ErrorKind};

const CHUNK: usize = 256 << 10;
/// How much of the beginning is looked at to tell an encoding.
const HEAD: usize = 64 << 10;

/// The part of a text that is in memory.
pub(crate) struct Window<'a> {
    reader: Box<dyn Read + 'a>,
    compressed: bool,
    decoder: Option<Decoder>,
    encoding: &'static Encoding,
    /// Bytes that are not decoded yet.
    raw: Vec<u8>,
    buffer: Vec<u8>,
    position: usize,
    end: usize,
    ended: bool,
    /// The line of the byte at `counted`.
    line: u64,
    counted: usize,
    bytes: u64,
    bytes_max: u64,
    row_bytes_max: usize,
}

impl<'a> Window<'a> {
    /// Opens a source, which may be compressed.
    pub(crate) fn open(mut source: impl Read + 'a, limits: &Limits) -> Result<Self, Error> {
        let mut head = [0; 2];
        let got = read_up_to(&mut source, &mut head).map_err(|error| broken(error, false))?;
        let whole = Cursor::new(head).take(got as u64).chain(source);
        let compressed = head == [0x1f, 0x8b];
        let reader: Box<dyn Read + 'a> = if compressed {
            Box::new(MultiGzDecoder::new(whole))
        } else {
            Box::new(whole)
        };
        let mut window = Self {
            reader,
            compressed,
            decoder: None,
            encoding: UTF_8,
            raw: Vec::new(),
            buffer: Vec::new(),
            position: 0,
            end: 0,
            ended: false,
            line: 1,
            counted: 0,
            bytes: 0,
            bytes_max: limits.bytes_max,
            row_bytes_max: limits.row_bytes_max,
        };
        while window.end < HEAD && window.fill()? {}
        Ok(window)
    }

    /// Finds out the encoding, and decodes what is in memory and what comes.
    pub(crate) fn decode(&mut self, asked: Option<&str>) -> Result<(), Error> {
        let data = &self.buffer[self.position..self.end];
        let (encoding, mark) = match (Encoding::for_bom(data), asked) {
            (Some(found), _) => found,
            (None, Some(label)) => (by_label(label)?, 0),
            (None, None) => (guess(data), 0),
        };
        self.position += mark;
        self.encoding = encoding;
        if encoding != UTF_8 {
            self.decoder = Some(encoding.new_decoder_without_bom_handling());
            let undecoded = self.buffer[self.position..self.end].to_vec();
            self.position = 0;
            self.counted = 0;
            self.end = 0;
            self.append_decoded(&undecoded, self.ended);
        }
        Ok(())
    }

    /// The text from the present position as far as it is in memory.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.position..self.end]
    }

    /// Moves on.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.position += bytes;
        debug_assert!(self.position <= self.end);
    }

    /// Reads more after what is in memory; tells whether there was more.
    ///
    /// # Errors
    /// `Unreadable` if the source breaks; `Limit` if it is too long, or if what begins at
    /// the present position is.
    pub(super) fn fill(&mut self) -> Result<bool, Error> {
        if self.ended {
            return Ok(false);
        }
        if self.row_bytes_max < self.end - self.position {
            let message = format!(
                "a row or tag that begins here is longer than {} bytes",
                self.row_bytes_max
            );
            return Err(Error::new(ErrorKind::Limit, message).at_line(self.line_at(0)));
        }
        self.compact();
        match self.decoder {
            None => self.read_plain(),
            Some(_) => self.read_decoded(),
        }
    }

    fn read_plain(&mut self) -> Result<bool, Error> {
        // A row that does not fit doubles the memory, so that it is not searched too often.
        let room = CHUNK.max(self.end);
        if self.buffer.len() < self.end + room {
            self.buffer.resize(self.end + room, 0);
        }
        let (from, to) = (self.end, self.end + room);
        let got = read_some(&mut self.reader, &mut self.buffer[from..to]);
        let got = got.map_err(|error| self.broken(error))?;
        self.end += got;
        self.count(got)
    }

    fn read_decoded(&mut self) -> Result<bool, Error> {
        let mut raw = std::mem::take(&mut self.raw);
        raw.resize(CHUNK, 0);
        let got = read_some(&mut self.reader, &mut raw);
        let got = got.map_err(|error| self.broken(error))?;
        self.append_decoded(&raw[..got], got == 0);
        self.raw = raw;
        self.count(got)
    }

    fn count(&mut self, got: usize) -> Result<bool, Error> {
        self.ended = got == 0;
        self.bytes += got as u64;
        if self.bytes_max < self.bytes {
            let message = format!(
                "the log is longer than {} bytes after decompression",
                self.bytes_max
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(!self.ended)
    }

    fn append_decoded(&mut self, raw: &[u8], last: bool) {
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        let room = decoder
            .max_utf8_buffer_length(raw.len())
            .unwrap_or(raw.len() * 4);
        if self.buffer.len() < self.end + room {
            self.buffer.resize(self.end + room, 0);
        }
        let (_, _, written, _) = decoder.decode_to_utf8(raw, &mut self.buffer[self.end..], last);
        self.end += written;
    }

    fn compact(&mut self) {
        self.line();
        self.counted = 0;
        self.buffer.copy_within(self.position..self.end, 0);
        self.end -= self.position;
        self.position = 0;
    }

    /// The line of the present position. Each byte is counted once, so that this may be
    /// asked often.
    pub(super) fn line(&mut self) -> u64 {
        self.line = self.line_at(0);
        self.counted = self.position;
        self.line
    }

    /// The line of the byte that many bytes after the present position.
    pub(super) fn line_at(&self, offset: usize) -> u64 {
        let to = (self.position + offset).min(self.end);
        let passed = self.buffer.get(self.counted..to).unwrap_or_default();
        self.line + memchr::memchr_iter(b'\n', passed).count() as u64
    }

    /// The number of bytes that were read, after decompression.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn encoding(&self) -> &'static str {
        self.encoding.name()
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.compressed
    }

    fn broken(&self, error: std::io::Error) -> Error {
        broken(error, self.compressed).at_line(self.line_at(self.end - self.position))
    }
}

fn by_label(label: &str) -> Result<&'static Encoding, Error> {
    Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        let message = format!("no encoding is called {label}: use a name such as windows-1252");
        Error::new(ErrorKind::Invalid, message)
    })
}

/// The encoding that XML declares; else UTF-8 if the beginning is, or windows-1252.
fn guess(data: &[u8]) -> &'static Encoding {
    let head = &data[..data.len().min(HEAD)];
    if let Some(declared) = declared(head) {
        return declared;
    }
    match std::str::from_utf8(head) {
        Ok(_) => UTF_8,
        // A character that the end of the head cuts is none that is wrong.
        Err(error) if error.error_len().is_none() => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}

fn declared(head: &[u8]) -> Option<&'static Encoding> {
    let declaration = head.strip_prefix(b"<?xml")?;
    let end = memchr::memmem::find(declaration, b"?>")?;
    let at = memchr::memmem::find(&declaration[..end], b"encoding")?;
    let value = declaration[at + 8..end]
        .trim_ascii_start()
        .strip_prefix(b"=")?;
    let value = value.trim_ascii_start();
    let (quote, rest) = value.split_first()?;
    let label = &rest[..memchr::memchr(*quote, rest)?];
    // UTF-16 cannot be what declares itself in single bytes.
    Encoding::for_label(label).map(Encoding::output_encoding)
}

fn broken(error: std::io::Error, compressed: bool) -> Error {
    let message = match error.kind() {
        IoErrorKind::UnexpectedEof if compressed => {
            "the compressed log is cut off here: copy it again".to_owned()
        }
        _ if compressed => format!("the compressed log is damaged here: {error}"),
        _ => format!("the log cannot be read on: {error}"),
    };
    Error::new(ErrorKind::Unreadable, message).with_source(error)
}

/// Reads until the buffer is full or the source ends.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match read_some(source, &mut buffer[got..])? {
            0 => break,
            more => got += more,
        }
    }
    Ok(got)
}

fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == IoErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
