//! How RocksDB is set up, each setting with its reason. One writer, one sync a batch, everything in memory while
//! serving: reads come at start (scans) and for retries (single records of the log).

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, Env,
    LogLevel, MemtableFactory, Options,
};

use crate::table::Table;

const MIB: usize = 1 << 20;
/// Files of one flush each that are merged at once: a quarter of the default's merges, for at most 16 memtables more on disk.
const LEVEL0_FILES: i32 = 16;
/// Of condensed histories: each merge writes the whole table anew, and a sale in seven of ten adds to it. One more file is one
/// more filter to ask where a customer is not in memory.
const LEVEL0_FILES_OF_HISTORIES: i32 = 8;
/// How long deleted rows of a quiet part of a table may take room: three days.
const DELETED_KEPT_SECONDS: u64 = 3 * 86_400;

/// Options of the database.
pub(super) fn database(env: Option<&Env>) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    if let Some(env) = env {
        options.set_env(env);
    }
    // After a kill the last write-ahead log may end in half a write: opening goes up to it. (Absolute consistency would
    // refuse to open after every kill.) That it may also drop synced writes after a read error is what our own
    // checksums, the counters row and the file `acknowledged` are for.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // Its own list of files (MANIFEST) has no end that could be told from a cut. Cut where one table's flush was listed and
    // another's was not, the other would come back without its last rows although the log is whole. With the needed
    // write-ahead logs listed too, one that is gone by then stops the opening.
    options.set_track_and_verify_wals_in_manifest(true);
    // A recycled log file is already allocated, so a sync has no file size to write: a third less time a sync. One is begun
    // whenever a memtable is full, and several are done with at once when the table that held them is flushed: with four kept
    // new ones were still made under load, and a hold waited for that (99th percentile 9.0 ms, with sixteen 7.2, one run each).
    // Eight take half the room of sixteen.
    options.set_recycle_log_file_num(8);
    // Tables that change seldom would keep old write-ahead logs alive for ever; past this they are flushed. It also
    // bounds what an opening has to replay.
    options.set_max_total_wal_size(128 * MIB as u64);
    // One write-ahead log holds every table's part of a batch and is never off, so after a crash all tables come back at
    // the same batch; RocksDB refuses to open where one is ahead of the log. Flushing all tables together would give
    // nothing more and would write seventeen files whenever one memtable is full.
    options.set_atomic_flush(false);
    // There is one writer, and memtables that are vectors need it said.
    options.set_allow_concurrent_memtable_write(false);
    // One thread for flushes and one for compactions a core, at least two: more only take the cores from the runtimes.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    options.set_max_background_jobs((cores as i32 + 1).clamp(3, 8));
    // Written files reach the disk in small steps, so that a sync of the log never waits behind a whole one.
    options.set_bytes_per_sync(MIB as u64);
    // File handles stay below the usual limit of 1024 a process, with room for connections; files beyond it are opened
    // again when they are read.
    options.set_max_open_files(256);
    // RocksDB's own notes: enough for a diagnosis, bounded.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * MIB);
    // The list of files is written anew past this; as it is by default it could grow to a gigabyte.
    options.set_max_manifest_file_size(16 * MIB);
    // A log that is no longer needed is reused or removed at once, never archived: nobody reads old ones.
    options.set_wal_ttl_seconds(0);
    options.set_wal_size_limit_mb(0);
    // Statistics nobody reads, gathered every ten minutes on a thread that wakes for it.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

/// Background threads that yield to the threads that answer: 99.9th percentiles more than halve under load.
pub(super) fn background() -> Option<Env> {
    let mut env = Env::new().ok()?;
    // Compactions may wait. Flushes keep their priority: a late one stops the writer.
    env.lower_thread_pool_cpu_priority();
    Some(env)
}

/// Every table with its options; `cache` is shared by all.
pub(super) fn tables(cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    Table::ALL
        .iter()
        .map(|table| ColumnFamilyDescriptor::new(table.name(), self::table(*table, cache)))
        .collect()
}

fn table(table: Table, cache: &Cache) -> Options {
    let mut options = Options::default();
    // Rows are small and alike: lz4 halves them for almost no time.
    options.set_compression_type(DBCompressionType::Lz4);
    // A small memtable stays near the processor's caches, where inserts are cheap, and a flush is short. One being
    // flushed and one behind it are room for a slow disk before the writer has to wait.
    let hot = matches!(
        table,
        Table::Log
            | Table::Stock
            | Table::Histories
            | Table::BusinessKeys
            | Table::AnsweredRequests
    );
    options.set_write_buffer_size(if hot { 16 * MIB } else { 4 * MIB });
    options.set_max_write_buffer_number(4);
    // These are in the engine's memory whole and never read here while serving, and most of their keys are scattered. A skip list
    // would look for the place of each; a vector appends and is sorted when it is flushed, by a background thread: the
    // append of a ten-line sale takes a third of the time. (A snapshot's scan sorts a copy, a few megabytes.)
    if matches!(
        table,
        Table::Stock | Table::BusinessKeys | Table::AnsweredRequests | Table::Identifiers
    ) {
        options.set_memtable_factory(MemtableFactory::Vector);
        // Nobody looks for a key among the newest files, so they may be many before they are merged: their keys are
        // scattered, and each merge writes the whole table anew.
        options.set_level_zero_file_num_compaction_trigger(LEVEL0_FILES);
        options.set_level_zero_slowdown_writes_trigger(3 * LEVEL0_FILES);
        options.set_level_zero_stop_writes_trigger(4 * LEVEL0_FILES);
    }
    if table == Table::Histories {
        options.set_level_zero_file_num_compaction_trigger(LEVEL0_FILES_OF_HISTORIES);
    }
    options.set_target_file_size_base(32 * MIB as u64);
    // Each level a tenth of the next, counted from the last: dead rows are at most about a tenth of a table's bytes.
    options.set_level_compaction_dynamic_level_bytes(true);
    // What is deleted gives its room back within this even where nothing else is written near it: a file that has not
    // met a compaction for so long gets one.
    options.set_ttl(DELETED_KEPT_SECONDS);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    let openings = matches!(table, Table::StockOpenings | Table::PointsOpenings);
    if openings || matches!(table, Table::Personal | Table::Relations | Table::Histories) {
        // Customers who are not in memory are read one by one, and so are openings: a block is what is read from the disk,
        // checked and decompressed for one row, and a page is the least a disk gives. The filter spares the files without the
        // row.
        blocks.set_block_size(4 << 10);
        blocks.set_bloom_filter(10.0, false);
    } else {
        // Half the index of 4 kB blocks, and longer runs for lz4; the scans at start read all of it anyway.
        blocks.set_block_size(16 << 10);
    }
    options.set_block_based_table_factory(&blocks);
    options
}
