//! The mark of what was acknowledged: the last sequence and checksum, in a small file beside the database. A database
//! that lost its tail opens as if nothing had happened; the mark is how that is seen. It is written after each sync and
//! before the replies, and synced itself once a second: it may lag, and it never runs ahead.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tillside_engine::ids::Sequence;

use crate::error::{LogError, OpenError};
use crate::log::Position;

/// Name of the file in the data directory.
pub(crate) const FILE: &str = "acknowledged";

const MAGIC: [u8; 4] = *b"TSA1";
const SLOT_BYTES: usize = 28;
/// Each slot lies on a page of its own, so that no torn write of the disk reaches both.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
/// How often the file is synced: what a lost machine can make the mark forget.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    path: PathBuf,
    /// Writes so far; its parity is the slot of the next one.
    writes: u64,
    synced: Instant,
    dirty: bool,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file.
    Missing,
    /// No slot that can be read.
    Unreadable,
    /// The last mark.
    At(Position),
}

impl Mark {
    /// Opens the file to go on from `position`, and syncs that mark and the directory: the file is made where there is none.
    pub(crate) fn open(directory: &Path, position: Position) -> Result<Mark, LogError> {
        let path = directory.join(FILE);
        let failed = |error: io::Error| LogError::Mark {
            path: path.clone(),
            message: error.to_string(),
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let writes = newest(&file).map_or(0, |(writes, _)| writes + 1);
        File::open(directory)
            .and_then(|d| d.sync_all())
            .map_err(failed)?;
        let mut mark = Mark {
            file,
            path,
            writes,
            synced: Instant::now(),
            dirty: false,
        };
        // Both slots, one after the other: a mark from before an accepted loss must not come back when the newest is torn.
        for _ in SLOT_OFFSETS {
            mark.write(position)?;
            mark.sync()?;
        }
        Ok(mark)
    }

    /// Says that everything up to `position` may be acknowledged.
    pub(crate) fn write(&mut self, position: Position) -> Result<(), LogError> {
        let slot = slot(self.writes, position);
        self.file
            .write_all_at(&slot, SLOT_OFFSETS[(self.writes % 2) as usize])
            .map_err(|e| self.failed(&e))?;
        self.writes += 1;
        self.dirty = true;
        self.sync_when_due()
    }

    /// Syncs it if a second has passed since the last time.
    pub(crate) fn sync_when_due(&mut self) -> Result<(), LogError> {
        if self.dirty && self.synced.elapsed() >= SYNC_EVERY {
            self.sync()
        } else {
            Ok(())
        }
    }

    /// Syncs it now.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|e| self.failed(&e))?;
        self.dirty = false;
        self.synced = Instant::now();
        Ok(())
    }

    /// Never syncs again: a write has failed, and what a later sync would say is worth nothing.
    pub(crate) fn abandon(&mut self) {
        self.dirty = false;
    }

    fn failed(&self, error: &io::Error) -> LogError {
        LogError::Mark {
            path: self.path.clone(),
            message: error.to_string(),
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if self.dirty {
            // Best effort: a mark that lags is still a true lower bound.
            let _ = self.file.sync_data();
        }
    }
}

/// What the file of a directory says; nothing is made or changed.
pub(crate) fn find(directory: &Path) -> io::Result<Found> {
    match File::open(directory.join(FILE)) {
        Ok(file) => {
            Ok(newest(&file).map_or(Found::Unreadable, |(_, position)| Found::At(position)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
        Err(error) => Err(error),
    }
}

/// The slot written last, with its number.
fn newest(file: &File) -> Option<(u64, Position)> {
    SLOT_OFFSETS
        .iter()
        .filter_map(|offset| read_slot(file, *offset))
        .max_by_key(|(writes, _)| *writes)
}

fn slot(writes: u64, position: Position) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..12].copy_from_slice(&writes.to_le_bytes());
    slot[12..20].copy_from_slice(&position.sequence.0.to_le_bytes());
    slot[20..24].copy_from_slice(&position.checksum.to_le_bytes());
    let checksum = crc32c::crc32c(&slot[..24]);
    slot[24..].copy_from_slice(&checksum.to_le_bytes());
    slot
}

fn read_slot(file: &File, offset: u64) -> Option<(u64, Position)> {
    let mut bytes = [0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, offset).ok()?;
    let number = |at: usize| {
        bytes[at..]
            .first_chunk()
            .map(|chunk| u64::from_le_bytes(*chunk))
    };
    let checksum = bytes[20..]
        .first_chunk()
        .map(|chunk| u32::from_le_bytes(*chunk))?;
    let (writes, position) = (
        number(4)?,
        Position {
            sequence: Sequence(number(12)?),
            checksum,
        },
    );
    (slot(writes, position) == bytes).then_some((writes, position))
}

/// How a log was found when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Everything acknowledged is there.
    Whole,
    /// Everything acknowledged is there, so that the permission to lose something was not needed.
    FlagNotNeeded {
        /// The sequence it was given for.
        after: u64,
    },
    /// The log goes on without what was acknowledged later, as it was told to.
    LossAccepted {
        /// Where the log ends.
        after: u64,
        /// What was acknowledged; `None` where nobody knows.
        acknowledged: Option<u64>,
    },
}

/// Whether a log that ends at `end` is all that was acknowledged. `checksum_at` gives the checksum of the record at a
/// sequence of the log. A loss is accepted only for the very end that a person has seen in the refusal: a permission
/// that stays in the configuration must not cover a second loss.
pub(crate) fn check<E>(
    directory: &Path,
    found: Found,
    end: Position,
    accept_loss_after: Option<u64>,
    checksum_at: impl FnOnce(Sequence) -> Result<Option<u32>, E>,
) -> Result<Opening, OpenError>
where
    OpenError: From<E>,
{
    let (error, acknowledged) = match problem(directory, found, end, checksum_at)? {
        None => {
            return Ok(
                accept_loss_after.map_or(Opening::Whole, |after| Opening::FlagNotNeeded { after })
            );
        }
        Some(problem) => problem,
    };
    match accept_loss_after {
        Some(after) if after == end.sequence.0 => Ok(Opening::LossAccepted {
            after,
            acknowledged,
        }),
        _ => Err(error),
    }
}

/// What is wrong, and up to where changes are known to have been acknowledged.
fn problem<E>(
    directory: &Path,
    found: Found,
    end: Position,
    checksum_at: impl FnOnce(Sequence) -> Result<Option<u32>, E>,
) -> Result<Option<(OpenError, Option<u64>)>, E> {
    let log_end = end.sequence.0;
    let mark = match found {
        Found::At(mark) => mark,
        Found::Missing if log_end == 0 => return Ok(None),
        Found::Missing => return Ok(Some((unusable(directory, "is missing", log_end), None))),
        Found::Unreadable => {
            return Ok(Some((unusable(directory, "cannot be read", log_end), None)));
        }
    };
    let (path, acknowledged) = (directory.to_owned(), mark.sequence.0);
    let error = if acknowledged > log_end {
        OpenError::LogEndsEarly {
            path,
            log_end,
            acknowledged,
        }
    // Sequence 0 is before the first record: nothing was acknowledged.
    } else if acknowledged > 0 && checksum_at(mark.sequence)? != Some(mark.checksum) {
        OpenError::LogReplaced {
            path,
            log_end,
            acknowledged,
        }
    } else {
        return Ok(None);
    };
    Ok(Some((error, Some(acknowledged))))
}

fn unusable(directory: &Path, problem: &'static str, log_end: u64) -> OpenError {
    OpenError::MarkUnusable {
        path: directory.join(FILE),
        problem,
        log_end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64, checksum: u32) -> Position {
        Position {
            sequence: Sequence(sequence),
            checksum,
        }
    }

    #[test]
    fn the_latest_mark_is_read_back_and_a_torn_one_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(find(directory.path()).unwrap(), Found::Missing);
        let mut mark = Mark::open(directory.path(), at(0, 0)).unwrap();
        for sequence in 1..=5 {
            mark.write(at(sequence, sequence as u32 * 7)).unwrap();
        }
        assert_eq!(find(directory.path()).unwrap(), Found::At(at(5, 35)));
        // Opening wrote to both slots, so the fifth mark is in the first.
        mark.file.write_all_at(b"torn", 10).unwrap();
        assert_eq!(find(directory.path()).unwrap(), Found::At(at(4, 28)));
    }

    #[test]
    fn an_older_mark_does_not_come_back_after_an_opening() {
        let directory = tempfile::tempdir().unwrap();
        let mut mark = Mark::open(directory.path(), at(0, 0)).unwrap();
        for sequence in 1..=5 {
            mark.write(at(sequence, sequence as u32 * 7)).unwrap();
        }
        drop(mark);
        // A loss was accepted: the log ends at 3.
        let mark = Mark::open(directory.path(), at(3, 21)).unwrap();
        for slot in SLOT_OFFSETS {
            mark.file.write_all_at(b"torn", slot + 10).unwrap();
            assert_ne!(find(directory.path()).unwrap(), Found::At(at(4, 28)));
            assert_ne!(find(directory.path()).unwrap(), Found::At(at(5, 35)));
        }
    }

    #[test]
    fn any_flipped_bit_of_a_lone_mark_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mark = Mark::open(directory.path(), at(9, 9)).unwrap();
        mark.file.write_all_at(&[0; SLOT_BYTES], 4096).unwrap();
        let bytes = slot(0, at(9, 9));
        for bit in 0..SLOT_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            mark.file.write_all_at(&flipped, 0).unwrap();
            assert_eq!(
                find(directory.path()).unwrap(),
                Found::Unreadable,
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_shorter_or_another_log_is_refused_until_its_loss_is_accepted() {
        let directory = Path::new("data");
        let check = |found, end, accept, checksum: u32| {
            check(directory, found, end, accept, |_| {
                Ok::<_, OpenError>(Some(checksum))
            })
        };
        let accepted = |after, acknowledged| {
            Ok(Opening::LossAccepted {
                after,
                acknowledged,
            })
        };
        assert_eq!(check(Found::Missing, at(0, 0), None, 0), Ok(Opening::Whole));
        assert_eq!(
            check(Found::At(at(10, 1)), at(12, 5), None, 1),
            Ok(Opening::Whole)
        );
        let early = OpenError::LogEndsEarly {
            path: directory.into(),
            log_end: 8,
            acknowledged: 10,
        };
        for given in [None, Some(7), Some(9), Some(10)] {
            assert_eq!(
                check(Found::At(at(10, 1)), at(8, 5), given, 0),
                Err(early.clone()),
                "{given:?} is not where the log ends"
            );
        }
        assert_eq!(
            check(Found::At(at(10, 1)), at(8, 5), Some(8), 0),
            accepted(8, Some(10))
        );
        let replaced = OpenError::LogReplaced {
            path: directory.into(),
            log_end: 12,
            acknowledged: 10,
        };
        assert!(replaced.to_string().contains("--accept-loss-after 12"));
        for given in [None, Some(9), Some(10)] {
            assert_eq!(
                check(Found::At(at(10, 1)), at(12, 5), given, 2),
                Err(replaced.clone())
            );
        }
        assert_eq!(
            check(Found::At(at(10, 1)), at(12, 5), Some(12), 2),
            accepted(12, Some(10))
        );
        for found in [Found::Missing, Found::Unreadable] {
            assert!(check(found, at(3, 1), None, 0).is_err());
            assert!(check(found, at(3, 1), Some(2), 0).is_err());
            assert_eq!(check(found, at(3, 1), Some(3), 0), accepted(3, None));
        }
    }

    #[test]
    fn a_permission_that_is_not_needed_changes_nothing() {
        for (found, end) in [
            (Found::At(at(10, 1)), at(12, 5)),
            (Found::Missing, at(0, 0)),
        ] {
            for after in [0, 8, 12, 99] {
                let opening = check(Path::new("data"), found, end, Some(after), |_| {
                    Ok::<_, OpenError>(Some(1))
                });
                assert_eq!(opening, Ok(Opening::FlagNotNeeded { after }));
            }
        }
    }
}
