//! Both logs do what every log must.

use std::fs;

use rocksdb::{DB, Options};
use tempfile::TempDir;
use tillside_store::conformance::{self, Place};
use tillside_store::faulty::{FaultyDisk, FaultyLog, ReadFault};
use tillside_store::{OpenError, OpenOptions, RocksLog, Table};

impl Directory {
    /// The database without anything of ours around it.
    fn database(&self) -> DB {
        let path = self.0.path().join("rocksdb");
        let options = Options::default();
        let tables = DB::list_cf(&options, &path).expect("a database");
        DB::open_cf(&options, &path, tables).expect("a database")
    }
}

impl Place for Directory {
    type Log = RocksLog;

    fn open_with(&self, accept_loss_after: Option<u64>) -> Result<RocksLog, OpenError> {
        let options = OpenOptions {
            accept_loss_after,
            ..OpenOptions::default()
        };
        RocksLog::open(self.0.path(), options)
    }

    fn row(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let db = self.database();
        let family = db.cf_handle(table.name()).expect("a table");
        db.get_cf(family, key).expect("a sound database")
    }

    fn put_row(&self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let db = self.database();
        let family = db.cf_handle(table.name()).expect("a table");
        match value {
            Some(value) => db.put_cf(family, key, value),
            None => db.delete_cf(family, key),
        }
        .expect("a sound database");
    }

    fn shorten_reads(&self) {
        // Opening it writes what is only in the write-ahead log into files of rows.
        drop(self.database());
        let mut shortened = 0;
        for entry in fs::read_dir(self.0.path().join("rocksdb")).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|e| e == "sst") {
                let file = fs::OpenOptions::new().write(true).open(path);
                let file = file.expect("a file");
                let length = file.metadata().expect("a file").len();
                file.set_len(length / 2).expect("a shorter file");
                shortened += 1;
            }
        }
        assert!(shortened > 0, "no file of rows");
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

    fn open_with(&self, accept_loss_after: Option<u64>) -> Result<FaultyLog, OpenError> {
        FaultyLog::open(&self.0, accept_loss_after)
    }

    fn row(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.0.row(table, key)
    }

    fn put_row(&self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        self.0.put_row(table, key, value);
    }

    fn shorten_reads(&self) {
        self.0.inject_read_after(3, ReadFault::Short);
    }
}

#[test]
fn the_rocksdb_log_conforms() {
    conformance::check(|| Directory(tempfile::tempdir().expect("a temporary directory")));
}

#[test]
fn the_faulty_log_conforms() {
    conformance::check(|| Memory(FaultyDisk::default()));
}
