//! The files: one for each hour of routings, or less where there are many. Old ones go by age and by size. A record is its
//! length, its checksum and its bytes; what a crash cut off at the end of a file is left out when it is read.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tillside_engine::routing_replay::PastRouting;
use tillside_engine::units::Time;

use super::record;

/// Routings of one file span at most so long.
const SEGMENT_MS_MAX: i64 = 3_600_000;
/// And take at most so many bytes.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// How long they are kept: yesterday is whole at any time of today.
const KEPT_MS: i64 = 48 * 3_600_000;
/// Bytes of all files: a busy chain's day; beyond it the oldest go first.
const KEPT_BYTES_MAX: u64 = 512 << 20;
/// A record is some kilobytes at most (32 candidates, 200 lines); a length beyond it is damage.
const RECORD_BYTES_MAX: u32 = 1 << 20;
const SUFFIX: &str = ".routings";

/// Writes the files.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    open: Option<Open>,
    /// Said once, until writing works again.
    failing: bool,
}

#[derive(Debug)]
struct Open {
    file: BufWriter<File>,
    start: Time,
    bytes: u64,
}

impl Segments {
    pub(super) fn new(directory: PathBuf) -> Self {
        Segments {
            directory,
            open: None,
            failing: false,
        }
    }

    /// Writes a routing; false where the disk does not take it.
    pub(super) fn write(&mut self, routing: &PastRouting) -> bool {
        let result = self.append(routing);
        self.note(result)
    }

    /// Hands over what is buffered.
    pub(super) fn flush(&mut self) {
        if let Some(open) = &mut self.open {
            let result = open.file.flush();
            self.note(result);
        }
    }

    fn note(&mut self, result: io::Result<()>) -> bool {
        match result {
            Ok(()) => self.failing = false,
            Err(error) => {
                // The file may end in the middle of a record: the next one goes to a new file.
                self.open = None;
                if !self.failing {
                    tracing::warn!(directory = %self.directory.display(), %error, "routings cannot be kept for trying out policies; everything else goes on");
                }
                self.failing = true;
            }
        }
        !self.failing
    }

    fn append(&mut self, routing: &PastRouting) -> io::Result<()> {
        let full = |open: &Open| {
            open.bytes >= SEGMENT_BYTES_MAX || routing.time.0 - open.start.0 >= SEGMENT_MS_MAX
        };
        if self.open.as_ref().is_none_or(full) {
            if let Some(mut last) = self.open.take() {
                last.file.flush()?;
            }
            self.open = Some(self.begin(routing.time)?);
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let payload = record::encode(routing);
        let length = payload.len() as u32;
        open.file.write_all(&length.to_le_bytes())?;
        open.file
            .write_all(&crc32c::crc32c(&payload).to_le_bytes())?;
        open.file.write_all(&payload)?;
        open.bytes += 8 + u64::from(length);
        Ok(())
    }

    fn begin(&self, start: Time) -> io::Result<Open> {
        fs::create_dir_all(&self.directory)?;
        self.make_room(start)?;
        // A restart within the same millisecond goes on in a file of its own.
        let mut number = 0;
        loop {
            let path = self
                .directory
                .join(format!("{:015}-{number}{SUFFIX}", start.0.max(0)));
            match File::create_new(&path) {
                Ok(file) => {
                    return Ok(Open {
                        file: BufWriter::with_capacity(1 << 16, file),
                        start,
                        bytes: 0,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1_000 => {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn make_room(&self, now: Time) -> io::Result<()> {
        let mut found = list(&self.directory)?;
        // The newest first.
        found.reverse();
        let mut bytes = SEGMENT_BYTES_MAX;
        for segment in found {
            bytes += segment.bytes;
            if bytes > KEPT_BYTES_MAX || segment.start.0 < now.0 - KEPT_MS - SEGMENT_MS_MAX {
                fs::remove_file(&segment.path)?;
            }
        }
        Ok(())
    }
}

struct Segment {
    path: PathBuf,
    start: Time,
    bytes: u64,
}

/// The files by time.
fn list(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let start = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX)?.split('-').next()?.parse().ok());
        if let Some(start) = start {
            found.push(Segment {
                path: entry.path(),
                start: Time(start),
                bytes: entry.metadata()?.len(),
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Reads the routings since a time, in the order they were noted.
pub(super) fn read(
    directory: &Path,
    since: Time,
    mut each: impl FnMut(PastRouting),
) -> io::Result<()> {
    for segment in list(directory)? {
        if segment.start.0 < since.0 - SEGMENT_MS_MAX {
            continue;
        }
        let mut file = match File::open(&segment.path) {
            // It was the oldest meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => BufReader::with_capacity(1 << 16, file?),
        };
        let mut payload = Vec::new();
        while read_record(&mut file, &mut payload)? {
            if let Some(routing) = record::decode(&payload).filter(|r| r.time >= since) {
                each(routing);
            }
        }
    }
    Ok(())
}

/// The next record; false at the end, or where the rest cannot be told apart.
fn read_record(file: &mut BufReader<File>, payload: &mut Vec<u8>) -> io::Result<bool> {
    let mut word = [0; 4];
    let mut next = |into: &mut [u8]| match file.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    if !next(&mut word)? {
        return Ok(false);
    }
    let length = u32::from_le_bytes(word);
    if length > RECORD_BYTES_MAX || !next(&mut word)? {
        return Ok(false);
    }
    payload.resize(length as usize, 0);
    Ok(next(payload)? && crc32c::crc32c(payload) == u32::from_le_bytes(word))
}
