//! The rows the log gives beside the rows of the tables: a row that was lost, added or changed behind the server's back
//! has a right checksum of its own, or none to check.

use tillside_engine::state::Counters;

use super::Report;
use crate::digest::{RowSink, first_key};
use crate::error::{RESTORE, StoreError};
use crate::load::read_meta;
use crate::rocks::read_only::ReadOnlyLog;
use crate::table::{Cursor, Table, Tables};

/// Compares rows as they come with those of the same table.
pub(super) struct Compare<'a> {
    log: &'a ReadOnlyLog,
    report: &'a mut Report,
    counters: Counters,
    table: Table,
    cursor: Option<Box<dyn Cursor + 'a>>,
    /// The next stored row.
    stored: Option<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Compare<'a> {
    pub(super) fn new(log: &'a ReadOnlyLog, report: &'a mut Report) -> Self {
        Compare {
            log,
            report,
            counters: Counters::default(),
            table: Table::Meta,
            cursor: None,
            stored: None,
        }
    }

    /// The counters, which are in no table of rows.
    pub(super) fn counters(&mut self, replayed: &Counters) {
        self.counters = *replayed;
        match read_meta(self.log) {
            Ok(meta) => {
                let stored = meta.map(|meta| meta.counters).unwrap_or_default();
                if stored != *replayed {
                    let problem = format!(
                        "has {stored:?}, and the log gives {replayed:?}: it was changed outside the server. {RESTORE}"
                    );
                    self.report.add("table meta", None, problem);
                }
            }
            Err(error) => self.report.add_store(&error),
        }
    }

    fn step(&mut self) {
        let next = match &mut self.cursor {
            Some(cursor) => cursor
                .next()
                .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))),
            None => Ok(None),
        };
        self.stored = next.unwrap_or_else(|error| self.failed(&error));
    }

    fn failed(&mut self, error: &StoreError) -> Option<(Vec<u8>, Vec<u8>)> {
        self.report.add_store(error);
        self.cursor = None;
        None
    }

    fn differs(&mut self, key: &[u8], what: &str) {
        let place = format!("table {}", self.table.name());
        let key = self.table.key_text(key);
        let problem = format!("row {key} {what}. {RESTORE}");
        self.report.add(place, Some(key), problem);
    }
}

impl RowSink for Compare<'_> {
    fn start(&mut self, table: Table) {
        self.table = table;
        match self
            .log
            .cursor(table, &first_key(table, &self.counters), None)
        {
            Ok(cursor) => self.cursor = Some(cursor),
            Err(error) => drop(self.failed(&error)),
        }
        self.step();
    }

    fn row(&mut self, key: &[u8], value: &[u8]) {
        while let Some((stored, _)) = &self.stored
            && stored.as_slice() < key
        {
            let stored = stored.clone();
            self.differs(&stored, "is there, but nothing in the log put it there");
            self.step();
        }
        // After a failed read nothing can be said about the rows that follow.
        if self.cursor.is_none() {
            return;
        }
        match &self.stored {
            Some((stored, found)) if stored == key => {
                if found != value {
                    self.differs(key, "is not what the log makes of it");
                }
                self.step();
            }
            _ => self.differs(key, "is missing, although the log has put it there"),
        }
    }

    fn end(&mut self) {
        while let Some((stored, _)) = self.stored.take() {
            self.differs(&stored, "is there, but nothing in the log put it there");
            self.step();
        }
        self.cursor = None;
    }
}
