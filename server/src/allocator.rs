//! What the allocator is told that has no name in its crate.
//!
//! Writing frees and takes megabytes many times a second (a memtable, a batch). By default memory that was free for a
//! second goes back to the system, and each page of it is cleared when it is touched again: on the sequencer's thread that
//! took a tenth of its time. So free memory is kept for longer. It is bounded by what was in use shortly before.
//!
//! And what was never touched has to come from the system at some time: [`make_memory_ready`] does that ahead.

use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::ptr;

// Linked for the functions below, whichever allocator the binary names.
use mimalloc as _;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Its place in mimalloc's list of options.
const PURGE_DELAY: c_int = 15;
/// What that option is by default: how it is told from any other.
const DEFAULT_MS: c_long = 1_000;
/// Long enough for a memtable to be filled, flushed and freed under light load, too.
const KEPT_MS: c_long = 10_000;

/// A huge page: what the system gives at once where it can.
const HUGE_PAGE: usize = 2 << 20;
/// The usual page.
const PAGE: usize = 4 << 10;
/// What is made ready and handed over at a time at least, where so much is asked for.
const PIECE: usize = 256 << 20;
/// Pieces at most, more or less: the allocator knows 160, its own included.
const PIECES_MAX: usize = 32;
/// The least that the allocator takes.
const PIECE_MIN: usize = 32 << 20;

unsafe extern "C" {
    fn mi_option_get(option: c_int) -> c_long;
    fn mi_option_set(option: c_int, value: c_long);
    fn mi_manage_os_memory(
        start: *mut c_void,
        size: usize,
        is_committed: bool,
        is_pinned: bool,
        is_zero: bool,
        numa_node: c_int,
    ) -> bool;
}

/// Keeps freed memory longer than by default. Does nothing where `MIMALLOC_PURGE_DELAY` says otherwise, or where a later
/// version of the allocator has another option in its place.
pub fn keep_freed_memory() {
    // SAFETY: both take any number of an option and touch nothing but a table of integers, at any time.
    unsafe {
        if mi_option_get(PURGE_DELAY) == DEFAULT_MS {
            mi_option_set(PURGE_DELAY, KEPT_MS);
        }
    }
}

/// Touches `bytes` of memory, in whole pieces of at least 32 MiB, and hands it to the allocator, which gives it out like what
/// it has from the system itself, and never gives it back. Takes long where the system has to find the memory (on a virtual
/// machine up to some milliseconds a huge page), so it is for a thread of its own: that wait is what others are spared.
///
/// # Errors
/// The system gives no more, or a piece is more than half of what it has free: the rest is for others, and a system without
/// memory ends processes. What was handed over until then is used.
pub fn make_memory_ready(bytes: u64) -> io::Result<()> {
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX) / PIECE_MIN * PIECE_MIN;
    let usual = PIECE.max(left / PIECES_MAX / PIECE_MIN * PIECE_MIN);
    while left > 0 {
        let piece = left.min(usual);
        if available().is_some_and(|available| piece as u64 > available / 2) {
            let problem = format!("{left} bytes are left to make ready, and too little is free");
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, problem));
        }
        make_piece_ready(piece)?;
        left -= piece;
    }
    Ok(())
}

/// Bytes that can still be taken: of the machine, and of the container where one bounds them. `None` where neither is told.
fn available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let of_machine = || {
        let info = read("/proc/meminfo")?;
        let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        let kilobytes = line.split_whitespace().next()?.parse::<u64>().ok()?;
        Some(kilobytes.saturating_mul(1024))
    };
    let of_container = || {
        let most = number("/sys/fs/cgroup/memory.max")?;
        Some(most.saturating_sub(number("/sys/fs/cgroup/memory.current")?))
    };
    [of_machine(), of_container()].into_iter().flatten().min()
}

/// A new mapping.
struct Piece {
    start: *mut c_void,
    mapped: usize,
    /// Where its first huge page begins.
    piece: *mut u8,
}

impl Piece {
    fn map(size: usize) -> io::Result<Piece> {
        // Room to begin at a huge page.
        let mapped = size.saturating_add(HUGE_PAGE);
        // SAFETY: a new mapping where the system likes; nothing else knows it.
        let start = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                mapped,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let piece = start
            .cast::<u8>()
            .wrapping_add(start.cast::<u8>().align_offset(HUGE_PAGE));
        Ok(Piece {
            start,
            mapped,
            piece,
        })
    }

    /// Touches `size` bytes, which is not more than was asked for.
    fn touch(&self, size: usize) {
        // Without huge pages it is as right, and slower.
        #[cfg(target_os = "linux")]
        // SAFETY: inside the mapping, and a hint: it changes nothing that can be read.
        let _ = unsafe {
            rustix::mm::madvise(self.piece.cast(), size, rustix::mm::Advice::LinuxHugepage)
        };
        for at in (0..size).step_by(PAGE) {
            // SAFETY: inside the mapping, which nobody else knows.
            unsafe { ptr::write_volatile(self.piece.wrapping_add(at), 0) };
        }
    }

    fn unmap(self) {
        // SAFETY: the mapping made above, which nobody else knows.
        let _ = unsafe { munmap(self.start, self.mapped) };
    }
}

fn make_piece_ready(size: usize) -> io::Result<()> {
    let piece = Piece::map(size)?;
    piece.touch(size);
    // SAFETY: it is inside a mapping that is never unmapped, readable and writable, all zeros, and ours alone. "Pinned" keeps
    // the allocator from giving any of it back, which would undo the work.
    let taken = unsafe { mi_manage_os_memory(piece.piece.cast(), size, true, true, true, -1) };
    if taken {
        return Ok(());
    }
    piece.unmap();
    Err(io::Error::other("the allocator takes no more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_where_it_is_expected() {
        keep_freed_memory();
        // SAFETY: as above.
        assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, KEPT_MS);
    }

    #[cfg(target_os = "linux")]
    /// How many of the piece's pages are in memory.
    fn resident(piece: &Piece, size: usize) -> usize {
        let mut pages = vec![0u8; size / PAGE];
        // SAFETY: it writes a byte for each page of a range that is mapped.
        let asked = unsafe { libc::mincore(piece.piece.cast(), size, pages.as_mut_ptr()) };
        assert_eq!(asked, 0);
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_touched_is_in_memory() {
        let piece = Piece::map(PIECE_MIN).expect("room for 32 MiB");
        assert_eq!(piece.piece as usize % HUGE_PAGE, 0);
        assert_eq!(resident(&piece, PIECE_MIN), 0);
        piece.touch(PIECE_MIN);
        assert_eq!(resident(&piece, PIECE_MIN), PIECE_MIN / PAGE);
        piece.unmap();
    }

    #[test]
    fn the_allocator_takes_whole_pieces_and_gives_them_out_once() {
        make_memory_ready(0).expect("nothing");
        make_memory_ready(PIECE_MIN as u64 - 1).expect("less than a piece is none");
        make_memory_ready(2 * PIECE_MIN as u64 + 1).expect("room for 64 MiB");
        let blocks: Vec<Vec<u8>> = (0..96).map(|i| vec![i; 1 << 20]).collect();
        for (block, i) in blocks.iter().zip(0u8..) {
            assert!(block.iter().all(|byte| *byte == i));
        }
    }

    #[test]
    fn what_the_system_does_not_give_is_an_error() {
        assert!(make_piece_ready(usize::MAX / 4).is_err());
        // More than there is anywhere: nothing of it is touched.
        if available().is_some() {
            let error = make_memory_ready(1 << 50).expect_err("a petabyte");
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        }
    }
}
