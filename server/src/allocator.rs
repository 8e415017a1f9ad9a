//! One setting of the allocator that has no name in its crate.
//!
//! Writing frees and takes megabytes many times a second (a memtable, a batch). By default memory that was free for a
//! second goes back to the system, and each page of it is cleared when it is touched again: on the sequencer's thread that
//! took a tenth of its time. So free memory is kept for longer. It is bounded by what was in use shortly before.

use std::ffi::{c_int, c_long};

// Linked for the functions below, whichever allocator the binary names.
use mimalloc as _;

/// Its place in mimalloc's list of options.
const PURGE_DELAY: c_int = 15;
/// What that option is by default: how it is told from any other.
const DEFAULT_MS: c_long = 1_000;
/// Long enough for a memtable to be filled, flushed and freed under light load, too.
const KEPT_MS: c_long = 10_000;

unsafe extern "C" {
    fn mi_option_get(option: c_int) -> c_long;
    fn mi_option_set(option: c_int, value: c_long);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_where_it_is_expected() {
        keep_freed_memory();
        // SAFETY: as above.
        assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, KEPT_MS);
    }
}
