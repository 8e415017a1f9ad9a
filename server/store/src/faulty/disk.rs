//! The disk below a [`super::FaultyLog`]: what is durable, what only the running process sees, and which faults wait.
//! It outlives the log, as a real one outlives a process, and counts every fault that was met.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tillside_engine::ids::{CustomerId, Sequence};

use super::fault::{Damage, Fault, FaultKind, MarkDamage, ReadFault};
use crate::error::StoreError;
use crate::frame;
use crate::log::Position;
use crate::mark::Found;
use crate::profiles::{self, ProfileRead, Profiles};
use crate::table::{Cursor, Key, StoredRow, Table, Tables};

type RowMap = BTreeMap<Vec<u8>, Vec<u8>>;

/// A row put or, without a value, removed.
type Change = (Table, Vec<u8>, Option<Vec<u8>>);

/// A batch that outlives its builder.
pub(super) type Changes = Vec<Change>;

#[derive(Clone, Debug, Default)]
struct Rows(BTreeMap<Table, RowMap>);

impl Rows {
    fn apply(&mut self, changes: &[Change]) {
        for (table, key, value) in changes {
            let rows = self.0.entry(*table).or_default();
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
    }

    fn get(&self, table: Table, key: &[u8]) -> Option<&Vec<u8>> {
        self.0.get(&table)?.get(key)
    }
}

/// The mark's two slots: a write goes to the older one, so a torn write leaves the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Slots {
    newest: Option<Slot>,
    previous: Option<Slot>,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Whole(Position),
    Torn,
}

impl Slots {
    fn write(&mut self, position: Position) {
        self.previous = self.newest.filter(|slot| matches!(slot, Slot::Whole(_)));
        self.newest = Some(Slot::Whole(position));
    }

    fn find(&self) -> Found {
        match (self.newest, self.previous) {
            (Some(Slot::Whole(position)), _) | (_, Some(Slot::Whole(position))) => {
                Found::At(position)
            }
            (None, None) => Found::Missing,
            _ => Found::Unreadable,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Disk {
    /// What survives a crash.
    durable: Rows,
    /// What the running process reads.
    visible: Rows,
    /// Batches that are visible and not durable, oldest first.
    unsynced: VecDeque<Changes>,
    mark: Slots,
    /// The mark file as it was last synced: with an honest disk the same, else older.
    mark_synced: Slots,
    faults: VecDeque<Option<Fault>>,
    full: bool,
    /// A read that meets a fault, after this many that do not.
    read_fault: Option<(usize, ReadFault)>,
    /// Syncs return without syncing.
    lies: bool,
    /// A planted bug: every so many batches one row is not written.
    loses_a_row_every: Option<usize>,
    appends: usize,
    in_use: bool,
    met: BTreeMap<FaultKind, u64>,
}

impl Disk {
    fn meet(&mut self, kind: FaultKind) {
        *self.met.entry(kind).or_default() += 1;
    }

    fn take(&mut self, changes: Changes) {
        self.visible.apply(&changes);
        self.unsynced.push_back(changes);
    }

    fn sync(&mut self) {
        while let Some(changes) = self.unsynced.pop_front() {
            self.durable.apply(&changes);
        }
    }

    /// What a read of this value gives.
    fn read(&mut self, table: Table, value: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        match &mut self.read_fault {
            None => return Ok(value),
            Some((left, _)) if *left > 0 => {
                *left -= 1;
                return Ok(value);
            }
            Some(_) => {}
        }
        match self.read_fault.take() {
            Some((_, ReadFault::Short)) => {
                self.meet(FaultKind::ShortRead);
                let half = value.len() / 2;
                Ok(value[..half].to_vec())
            }
            _ => {
                self.meet(FaultKind::ReadError);
                let message = "injected: input/output error".to_owned();
                Err(StoreError::Read { table, message })
            }
        }
    }
}

/// The disk below a [`super::FaultyLog`]; a clone is another handle of the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk(Arc<Mutex<Disk>>);

impl FaultyDisk {
    /// Makes the append after the next `appends` ones meet `fault`.
    pub fn inject_after(&self, appends: usize, fault: Fault) {
        let mut disk = self.lock();
        if disk.faults.len() <= appends {
            disk.faults.resize(appends + 1, None);
        }
        disk.faults[appends] = Some(fault);
    }

    /// Makes the read of a row after the next `reads` ones meet `fault`.
    pub fn inject_read_after(&self, reads: usize, fault: ReadFault) {
        self.lock().read_fault = Some((reads, fault));
    }

    /// Takes back every fault that was asked for and not met.
    pub fn heal(&self) {
        let mut disk = self.lock();
        disk.faults.clear();
        disk.read_fault = None;
    }

    /// Takes back a fault of reads that was asked for and not met.
    pub fn heal_reads(&self) {
        self.lock().read_fault = None;
    }

    /// Ends [`Fault::FullDisk`].
    pub fn make_room(&self) {
        self.lock().full = false;
    }

    /// From now on syncs do nothing (`true`) or sync everything (`false`, from the next append on).
    pub fn lie_about_syncs(&self, lies: bool) {
        self.lock().lies = lies;
    }

    /// Plants a bug no disk has: one row of every `batches`th batch is not written, and the write succeeds. It is for
    /// showing that a test finds it.
    pub fn lose_a_row_every(&self, batches: usize) {
        self.lock().loses_a_row_every = Some(batches.max(1));
    }

    /// The machine loses power: of the batches that were never synced the first `kept` survive, the rest is lost. The
    /// mark is on another part of the disk: with `mark_kept` it survives as last written, else as last synced.
    pub fn crash(&self, kept: usize, mark_kept: bool) {
        let mut disk = self.lock();
        let kept = kept.min(disk.unsynced.len());
        let survivors: Vec<_> = disk.unsynced.drain(..kept).collect();
        survivors
            .iter()
            .for_each(|changes| disk.durable.apply(changes));
        if !disk.unsynced.is_empty() {
            disk.meet(FaultKind::LostTail);
        }
        disk.unsynced.clear();
        disk.visible = disk.durable.clone();
        if !mark_kept {
            disk.mark = disk.mark_synced;
        }
        disk.in_use = false;
    }

    /// Reads the tables, and single customers, as the running process sees them.
    pub fn tables(&self) -> FaultyDisk {
        self.clone()
    }

    /// Batches that a crash may lose.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// Another disk with the same content: a backup. On it nothing was met yet.
    pub fn copy(&self) -> FaultyDisk {
        let disk = Disk {
            in_use: false,
            met: BTreeMap::new(),
            ..self.lock().clone()
        };
        FaultyDisk(Arc::new(Mutex::new(disk)))
    }

    /// Puts the content of a backup here. What was met here stays counted.
    pub fn restore(&self, backup: &FaultyDisk) {
        let backup = backup.lock().clone();
        let mut disk = self.lock();
        let met = std::mem::take(&mut disk.met);
        *disk = Disk { met, ..backup };
    }

    /// How often each kind of fault was met.
    pub fn met(&self) -> BTreeMap<FaultKind, u64> {
        self.lock().met.clone()
    }

    /// Keys of a table's rows, in order.
    pub fn keys(&self, table: Table) -> Vec<Vec<u8>> {
        let disk = self.lock();
        let rows = disk.visible.0.get(&table).into_iter().flatten();
        rows.map(|(key, _)| key.clone()).collect()
    }

    /// A row as it is stored.
    pub fn row(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.lock().visible.get(table, key).cloned()
    }

    /// Puts a row behind the log's back; `None` removes it.
    pub fn put_row(&self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let mut disk = self.lock();
        let change = [(table, key.to_vec(), value)];
        disk.durable.apply(&change);
        disk.visible.apply(&change);
    }

    /// Damages a row; `None` is the last row of the table. Answers whether there was such a row and it is another now.
    pub fn damage(&self, table: Table, key: Option<&[u8]>, damage: Damage) -> bool {
        let Some(key) = key.map(<[u8]>::to_vec).or_else(|| self.keys(table).pop()) else {
            return false;
        };
        let Some(before) = self.row(table, &key) else {
            return false;
        };
        let after = damaged(table, &key, before.clone(), damage);
        let changed = after.as_ref() != Some(&before);
        if changed {
            self.put_row(table, &key, after);
            self.lock().meet(damage.into());
        }
        changed
    }

    /// Damages the mark. Answers whether it is another now.
    pub fn damage_mark(&self, damage: MarkDamage) -> bool {
        let mut disk = self.lock();
        let Slots { newest, previous } = disk.mark;
        if newest.is_none() || (previous.is_none() && damage == MarkDamage::Older) {
            return false;
        }
        disk.mark = match damage {
            MarkDamage::Lost => Slots::default(),
            MarkDamage::Older => Slots {
                newest: previous,
                previous: None,
            },
            MarkDamage::Torn => Slots {
                newest: Some(Slot::Torn),
                previous,
            },
            MarkDamage::Unreadable => Slots {
                newest: Some(Slot::Torn),
                previous: None,
            },
        };
        disk.mark_synced = disk.mark;
        disk.meet(damage.into());
        true
    }

    /// Cuts the last record of the log after `bytes` bytes: a write torn inside.
    pub fn tear_last_record(&self, bytes: usize) {
        self.damage(Table::Log, None, Damage::Torn { bytes });
    }

    /// Removes a record of the log: a hole.
    pub fn drop_record(&self, sequence: Sequence) {
        self.damage(Table::Log, Some(&sequence.to_bytes()), Damage::Dropped);
    }

    /// Flips one bit of a row's value; `None` is the last row of the table.
    pub fn flip_bit(&self, table: Table, key: Option<&[u8]>, bit: usize) {
        self.damage(table, key, Damage::FlippedBit { bit });
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the log asks of its disk.
impl FaultyDisk {
    /// False where another log has it.
    pub(super) fn occupy(&self) -> bool {
        !std::mem::replace(&mut self.lock().in_use, true)
    }

    pub(super) fn vacate(&self) {
        self.lock().in_use = false;
    }

    pub(super) fn find_mark(&self) -> Found {
        self.lock().mark.find()
    }

    /// Writes and syncs both slots of the mark, as an opening does.
    pub(super) fn sync_mark(&self, position: Position) {
        let mut disk = self.lock();
        disk.mark.write(position);
        disk.mark.write(position);
        disk.mark_synced = disk.mark;
    }

    pub(super) fn read_row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut disk = self.lock();
        let value = disk.visible.get(table, key).cloned();
        value.map(|value| disk.read(table, value)).transpose()
    }

    /// Writes rows that are no batch; they meet no injected faults, and a crash loses them like any unsynced ones.
    pub(super) fn write_rows(&self, changes: Changes, sync: bool) {
        let mut disk = self.lock();
        disk.take(changes);
        if sync && !disk.lies {
            disk.sync();
        }
    }

    /// Writes and syncs a batch, then the mark; an error is what the medium says.
    pub(super) fn write(&self, mut changes: Changes, after: Position) -> Result<(), &'static str> {
        let mut disk = self.lock();
        let fault = disk.faults.pop_front().flatten();
        if disk.full || fault == Some(Fault::FullDisk) {
            disk.full = true;
            disk.meet(FaultKind::FullDisk);
            return Err("injected: no space left on device");
        }
        match fault {
            None => {}
            Some(Fault::FullDisk | Fault::FailAppend) => {
                disk.meet(FaultKind::FailedAppend);
                return Err("injected: input/output error");
            }
            Some(Fault::FailSync { kept }) => {
                if kept {
                    disk.meet(FaultKind::FailedSyncKept);
                    disk.take(changes);
                    disk.sync();
                } else {
                    disk.meet(FaultKind::FailedSyncLost);
                }
                return Err("injected: sync failed");
            }
            Some(Fault::FailSyncPart { changes: part }) => {
                let part = part.clamp(1, changes.len().saturating_sub(1).max(1));
                changes.truncate(part);
                disk.meet(FaultKind::FailedSyncPart);
                disk.take(changes);
                disk.sync();
                return Err("injected: sync failed half way");
            }
        }
        disk.appends += 1;
        if let Some(every) = disk.loses_a_row_every
            && disk.appends.is_multiple_of(every)
            && let Some(at) = changes
                .iter()
                .position(|(table, ..)| !matches!(table, Table::Log | Table::Meta))
        {
            changes.remove(at);
        }
        disk.take(changes);
        if !disk.lies {
            disk.sync();
        }
        disk.mark.write(after);
        if !disk.lies {
            disk.mark_synced = disk.mark;
        }
        Ok(())
    }
}

fn damaged(table: Table, key: &[u8], mut value: Vec<u8>, damage: Damage) -> Option<Vec<u8>> {
    match damage {
        Damage::Dropped => return None,
        Damage::Torn { bytes } => value.truncate(bytes.min(value.len().saturating_sub(1))),
        Damage::FlippedBit { bit } => {
            let at = bit / 8 % value.len().max(1);
            if let Some(byte) = value.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Damage::Version(version) => value = frame::with_version(table, key, &value, version),
    }
    Some(value)
}

impl Tables for FaultyDisk {
    fn cursor(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Box<dyn Cursor + '_>, StoreError> {
        let inside = |key: &[u8]| key >= from && to.is_none_or(|to| key < to);
        let rows: Vec<_> = {
            let disk = self.lock();
            let rows = disk.visible.0.get(&table).into_iter().flatten();
            rows.filter(|(key, _)| inside(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        Ok(Box::new(MemoryCursor {
            disk: self,
            table,
            rows: rows.into_iter(),
            current: Default::default(),
        }))
    }

    fn last_key(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        let disk = self.lock();
        let last = disk.visible.0.get(&table).and_then(RowMap::last_key_value);
        Ok(last.map(|(key, _)| key.clone()))
    }

    fn value(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_row(table, key)
    }
}

impl Profiles for FaultyDisk {
    fn read(&self, id: CustomerId) -> Result<ProfileRead, StoreError> {
        // One guard for all rows: one moment.
        let disk = self.lock();
        profiles::assemble(id, |table, key| Ok(disk.visible.get(table, key)))
    }
}

/// Rows copied when the scan began, as a snapshot; faults meet each row as it is read.
struct MemoryCursor<'d> {
    disk: &'d FaultyDisk,
    table: Table,
    rows: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    current: (Vec<u8>, Vec<u8>),
}

impl Cursor for MemoryCursor<'_> {
    fn next(&mut self) -> Result<Option<StoredRow<'_>>, StoreError> {
        let Some((key, value)) = self.rows.next() else {
            return Ok(None);
        };
        self.current = (key, self.disk.lock().read(self.table, value)?);
        Ok(Some((&self.current.0, &self.current.1)))
    }
}
