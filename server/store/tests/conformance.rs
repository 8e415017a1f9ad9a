//! Both logs do what every log must.

use tempfile::TempDir;
use tillside_store::conformance::{self, Place};
use tillside_store::faulty::{FaultyDisk, FaultyLog};
use tillside_store::{OpenError, OpenOptions, RocksLog};

impl Place for Directory {
    type Log = RocksLog;

    fn open(&self) -> Result<RocksLog, OpenError> {
        RocksLog::open(self.0.path(), OpenOptions::default())
    }

    fn digest(&self, log: &RocksLog) -> String {
        log.snapshot_digest_handle()
            .digest()
            .expect("a snapshot that can be read")
            .hex
    }
}

struct Directory(TempDir);

struct Memory(FaultyDisk);

impl Place for Memory {
    type Log = FaultyLog;

    fn open(&self) -> Result<FaultyLog, OpenError> {
        FaultyLog::open(&self.0, None)
    }
}

#[test]
fn the_rocksdb_log_conforms() {
    conformance::check(|| Directory(tempfile::tempdir().expect("a temporary directory")));
}

#[test]
fn the_faulty_log_conforms_while_no_fault_is_injected() {
    conformance::check(|| Memory(FaultyDisk::default()));
}
