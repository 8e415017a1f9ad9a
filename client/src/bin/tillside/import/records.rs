//! CSV records from a stream, framed so that one bad row stays one bad row.
//!
//! A CSV reader that meets a quote nobody closes reads the rest of the file as one field. Here a record may span at most
//! [`RECORD_LINES_MAX`] lines and [`RECORD_BYTES_MAX`] bytes; beyond that its first line alone is bad, and reading goes on
//! with the next one. Memory is bounded by the same numbers.

use csv_core::{ReadRecordResult, Reader};
use std::{
    io::{self, Read},
    ops::Range,
};

/// A receipt line or a customer with everything set has some hundred bytes.
const RECORD_BYTES_MAX: usize = 64 << 10;
/// Quoted line breaks happen in addresses; more than this is an unclosed quote.
const RECORD_LINES_MAX: usize = 32;
/// How much is read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Reads records.
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of `buffer` is filled and not consumed yet.
    start: usize,
    end: usize,
    at_end: bool,
    /// Line number, from 1, of `start`.
    line: u64,
    fields: Fields,
}

/// The fields of one record, as ranges: of the record itself where it has no quotes, else of `unquoted`.
#[derive(Default)]
struct Fields {
    ranges: Vec<Range<usize>>,
    unquoted: Vec<u8>,
    ends: Vec<usize>,
    quoted: bool,
}

/// One record.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    /// Line on which it begins, from 1.
    pub(super) line: u64,
    /// As it stands in the file, without the line break.
    pub(super) raw: &'a [u8],
    fields: &'a Fields,
}

/// What comes next in the file.
pub(super) enum Next<'a> {
    /// A record.
    Record(Record<'a>),
    /// A line that is none.
    Bad {
        /// Its number, from 1.
        line: u64,
        /// Its beginning.
        raw: &'a [u8],
        /// Why, as a stable word and as a sentence.
        reason: (&'static str, &'static str),
    },
    /// Nothing.
    End,
}

impl<'a> Record<'a> {
    /// Number of fields.
    pub(super) fn len(&self) -> usize {
        self.fields.ranges.len()
    }

    /// A field without the white space around it; empty where there is none.
    pub(super) fn field(&self, index: usize) -> &'a [u8] {
        let bytes = if self.fields.quoted {
            &self.fields.unquoted
        } else {
            self.raw
        };
        match self.fields.ranges.get(index) {
            Some(range) => bytes[range.clone()].trim_ascii(),
            None => &[],
        }
    }
}

/// Where a record ends.
enum Frame {
    /// `length` bytes of record, then a line break up to `next`, over `lines` lines.
    Whole {
        length: usize,
        next: usize,
        lines: u64,
        quoted: bool,
    },
    /// More bytes are needed to tell.
    More,
    /// The first line is no record; the next begins at `next`.
    Unclosed { length: usize, next: usize },
}

impl<R: Read> Records<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; CHUNK_BYTES + RECORD_BYTES_MAX],
            start: 0,
            end: 0,
            at_end: false,
            line: 1,
            fields: Fields::default(),
        }
    }

    /// The next record. Empty lines are skipped.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        loop {
            match frame(&self.buffer[self.start..self.end], self.at_end) {
                Frame::More if self.end - self.start > RECORD_BYTES_MAX => {
                    return self.skip_long_line();
                }
                Frame::More if self.at_end => return Ok(Next::End),
                Frame::More => self.fill()?,
                Frame::Unclosed { length, next } => {
                    let (start, line) = (self.start, self.line);
                    self.start += next;
                    self.line += 1;
                    return Ok(Next::Bad {
                        line,
                        raw: &self.buffer[start..start + length],
                        reason: ("UNCLOSED_QUOTE", "a quote opens and does not close again"),
                    });
                }
                Frame::Whole {
                    length,
                    next,
                    lines,
                    quoted,
                } => {
                    let (start, line) = (self.start, self.line);
                    self.start += next;
                    self.line += lines;
                    if length == 0 {
                        continue;
                    }
                    let raw = &self.buffer[start..start + length];
                    self.fields.split(raw, quoted);
                    return Ok(Next::Record(Record {
                        line,
                        raw,
                        fields: &self.fields,
                    }));
                }
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.end..self.buffer.len();
        loop {
            match self.input.read(&mut self.buffer[room.clone()]) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }

    /// Drops everything up to the next line break and answers the beginning of what was dropped.
    fn skip_long_line(&mut self) -> io::Result<Next<'_>> {
        const KEPT_BYTES: usize = 1024;
        let kept = self.buffer[self.start..self.start + KEPT_BYTES].to_vec();
        let line = self.line;
        loop {
            match memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                Some(at) => {
                    self.start += at + 1;
                    self.line += 1;
                    break;
                }
                None => {
                    self.start = self.end;
                    if self.at_end {
                        break;
                    }
                    self.fill()?;
                }
            }
        }
        self.fields.unquoted = kept;
        Ok(Next::Bad {
            line,
            raw: &self.fields.unquoted,
            reason: ("ROW_TOO_LONG", "the row is longer than 65536 bytes"),
        })
    }
}

/// Finds the end of the record at the beginning of `bytes`.
fn frame(bytes: &[u8], at_end: bool) -> Frame {
    let Some(first_end) = line_end(bytes, 0, at_end) else {
        return Frame::More;
    };
    let first = &bytes[..first_end.0];
    if memchr::memchr(b'"', first).is_none() {
        return Frame::Whole {
            length: without_return(first),
            next: first_end.1,
            lines: 1,
            quoted: false,
        };
    }
    let unclosed = Frame::Unclosed {
        length: without_return(first).min(RECORD_BYTES_MAX),
        next: first_end.1,
    };
    let mut inside = false;
    let mut start = 0;
    for lines in 1..=RECORD_LINES_MAX {
        let Some((end, next)) = line_end(bytes, start, at_end) else {
            return if at_end || bytes.len() > RECORD_BYTES_MAX {
                unclosed
            } else {
                Frame::More
            };
        };
        inside = ends_inside_quotes(&bytes[start..end], inside);
        if !inside {
            return Frame::Whole {
                length: without_return(&bytes[..end]),
                next,
                lines: lines as u64,
                quoted: true,
            };
        }
        start = next;
    }
    unclosed
}

/// End of the line that begins at `start`, and where the next begins. The last line may lack its break.
fn line_end(bytes: &[u8], start: usize, at_end: bool) -> Option<(usize, usize)> {
    match memchr::memchr(b'\n', &bytes[start..]) {
        Some(at) => Some((start + at, start + at + 1)),
        None if at_end && start < bytes.len() => Some((bytes.len(), bytes.len())),
        None => None,
    }
}

fn without_return(line: &[u8]) -> usize {
    line.strip_suffix(b"\r").unwrap_or(line).len()
}

/// Whether a quoted field goes on after this line. A quote opens only at the beginning of a field.
fn ends_inside_quotes(line: &[u8], mut inside: bool) -> bool {
    let mut field_begins = !inside;
    let mut bytes = line.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            // Two quotes inside are one quote of the text.
            b'"' if inside => inside = bytes.next_if(|next| **next == b'"').is_some(),
            b'"' if field_begins => inside = true,
            b',' if !inside => {
                field_begins = true;
                continue;
            }
            _ => {}
        }
        field_begins = false;
    }
    inside
}

impl Fields {
    fn split(&mut self, raw: &[u8], quoted: bool) {
        self.ranges.clear();
        self.quoted = quoted;
        if !quoted {
            let mut start = 0;
            for comma in memchr::memchr_iter(b',', raw) {
                self.ranges.push(start..comma);
                start = comma + 1;
            }
            self.ranges.push(start..raw.len());
            return;
        }
        // Unquoting only ever shortens, and a field takes at least a byte of separator but the last.
        self.unquoted.resize(raw.len() + 1, 0);
        self.ends.resize(raw.len() + 2, 0);
        let mut reader = Reader::new();
        let (mut input, mut written, mut count) = (raw, 0, 0);
        loop {
            let (result, read, wrote, ended) = reader.read_record(
                input,
                &mut self.unquoted[written..],
                &mut self.ends[count..],
            );
            input = &input[read..];
            written += wrote;
            count += ended;
            // An empty input tells the reader that the record is complete.
            match result {
                ReadRecordResult::InputEmpty => continue,
                _ => break,
            }
        }
        let mut start = 0;
        for &end in &self.ends[..count] {
            self.ranges.push(start..end);
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a few bytes at a time, so that records cross every boundary.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(text: &[u8], step: usize) -> Vec<String> {
        let mut records = Records::new(Drip(text, step));
        let mut seen = Vec::new();
        loop {
            match records.next().expect("memory does not fail") {
                Next::Record(record) => {
                    let fields: Vec<_> = (0..record.len())
                        .map(|i| String::from_utf8_lossy(record.field(i)).into_owned())
                        .collect();
                    seen.push(format!("{}:{}", record.line, fields.join("|")));
                }
                Next::Bad { line, reason, .. } => seen.push(format!("{line}!{}", reason.0)),
                Next::End => return seen,
            }
        }
    }

    fn check(text: &str, expect: &[&str]) {
        for step in [1, 3, 1 << 20] {
            assert_eq!(
                read(text.as_bytes(), step),
                expect,
                "{text:?} read {step} bytes at a time"
            );
        }
    }

    #[test]
    fn records_are_split_and_unquoted() {
        check("a,b\n1,2\n", &["1:a|b", "2:1|2"]);
        check("a,b\r\n1,2\r\n", &["1:a|b", "2:1|2"]);
        check("a, b \n\n1,", &["1:a|b", "3:1|"]);
        check("a,\"b,c\"\n\"x \"\"y\"\"\",2", &["1:a|b,c", "2:x \"y\"|2"]);
        check("\"two\nlines\",2\n3,4\n", &["1:two\nlines|2", "3:3|4"]);
        check("\"\",\"\"\n", &["1:|"]);
        check("5\" nails,2\n3,4\n", &["1:5\" nails|2", "2:3|4"]);
        check("", &[]);
    }

    #[test]
    fn an_unclosed_quote_costs_one_line_and_no_more() {
        check("1,\"a\n2,b\n3,c\n", &["1!UNCLOSED_QUOTE", "2:2|b", "3:3|c"]);
        let mut text = String::from("1,\"open\n");
        for line in 2..200 {
            text.push_str(&format!("{line},x\n"));
        }
        let seen = read(text.as_bytes(), 7);
        assert_eq!(seen[0], "1!UNCLOSED_QUOTE");
        assert_eq!(seen.len(), 199);
        assert_eq!(seen[198], "199:199|x");
    }

    #[test]
    fn a_line_without_end_costs_itself() {
        let mut text = "x".repeat(3 * RECORD_BYTES_MAX + CHUNK_BYTES);
        text.push_str("\n1,2\n");
        for step in [1000, 1 << 20] {
            assert_eq!(read(text.as_bytes(), step), ["1!ROW_TOO_LONG", "2:1|2"]);
        }
    }
}
