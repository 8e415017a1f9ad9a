//! A batch: the records of some commands and the rows they changed, encoded once into one buffer that is used again and
//! again. It is built on the sequencer's thread between deciding and syncing, so every microsecond here is one of every
//! command.

use tillside_engine::apply::Touched;
use tillside_engine::event::Event;
use tillside_engine::ids::Sequence;
use tillside_engine::profile::History;
use tillside_engine::reply::Reply;
use tillside_engine::state::{State, lock, read};
use tillside_engine::stock_table::Step;
use tillside_engine::units::Time;

use crate::frame;
use crate::log::Position;
use crate::record::catalog::CategoryPath;
use crate::record::keys::{Answers, IdentifierOwner, TakenAt};
use crate::record::meta::Meta;
use crate::record::{self, Row};
use crate::table::{Key, META_KEY, PolicyKey, Table};

/// Levels asked for before they are encoded: a batch's levels no longer fit the nearest cache.
const CELLS_AHEAD: usize = 8;

/// One row to put or to delete. In the buffer lie table number, key and framed value, in this order: that is also what
/// the value's checksum covers.
#[derive(Clone, Copy, Debug)]
struct Op {
    table: Table,
    key_start: usize,
    value_start: usize,
    end: usize,
}

/// A change of one row: the value is `None` where it is deleted.
pub type Change<'b> = (Table, &'b [u8], Option<&'b [u8]>);

/// What one append writes. Records and rows are apart: a log that keeps its tables elsewhere takes only the records.
#[derive(Debug, Default)]
pub struct Batch {
    encoder: Encoder,
    records: Vec<Op>,
    rows: Vec<Op>,
    before: Position,
    after: Position,
}

impl Batch {
    /// Where the log must end for this batch to follow.
    pub fn before(&self) -> Position {
        self.before
    }

    /// Where the log ends after it.
    pub fn after(&self) -> Position {
        self.after
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.rows.is_empty()
    }

    /// Records of commands, in order, as rows of [`Table::Log`].
    pub fn records(&self) -> impl ExactSizeIterator<Item = Change<'_>> {
        self.records.iter().map(|op| self.change(op))
    }

    /// Rows, each (table, key) once.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Change<'_>> {
        self.rows.iter().map(|op| self.change(op))
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.encoder.buffer.len()
    }

    fn change(&self, op: &Op) -> Change<'_> {
        let value = self.encoder.value(op);
        // A value is never empty (it has a frame), so an empty one is a delete.
        (
            op.table,
            &self.encoder.buffer[op.key_start..op.value_start],
            (!value.is_empty()).then_some(value),
        )
    }
}

/// Encodes values with their frames, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Table number, key and value of each row.
    buffer: Vec<u8>,
}

impl Encoder {
    /// Appends a framed row.
    fn put(
        &mut self,
        table: Table,
        key: impl FnOnce(&mut Vec<u8>),
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Op {
        let op = self.key(table, key);
        self.buffer.push(frame::FORMAT);
        payload(&mut self.buffer);
        let checksum = crc32c::crc32c(&self.buffer[op.key_start - 1..]);
        self.buffer.extend_from_slice(&checksum.to_le_bytes());
        Op {
            end: self.buffer.len(),
            ..op
        }
    }

    /// Appends a key without a value.
    fn key(&mut self, table: Table, key: impl FnOnce(&mut Vec<u8>)) -> Op {
        self.buffer.push(table.number());
        let key_start = self.buffer.len();
        key(&mut self.buffer);
        let value_start = self.buffer.len();
        Op {
            table,
            key_start,
            value_start,
            end: value_start,
        }
    }

    fn value(&self, op: &Op) -> &[u8] {
        &self.buffer[op.value_start..op.end]
    }

    /// A single row as (key, framed value), for whoever needs no batch.
    pub(crate) fn row<T: Row>(&mut self, key: &T::Key, entity: &T) -> (&[u8], &[u8]) {
        self.buffer.clear();
        let op = self.put(
            T::TABLE,
            |out| key.write(out),
            |out| record::write_payload(entity, out),
        );
        self.buffer[op.key_start..op.end].split_at(op.value_start - op.key_start)
    }
}

/// Builds batches, one after the other, with the same memory.
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
}

impl BatchBuilder {
    /// A builder whose first batch follows `position`.
    pub fn after(position: Position) -> Self {
        BatchBuilder {
            batch: Batch {
                before: position,
                after: position,
                ..Batch::default()
            },
        }
    }

    /// Adds a command: what happened, and the reply where a retry may ask for it. Personal records are left out.
    ///
    /// # Panics
    /// If `sequence` is not the one after the last: a hole would make every later start refuse the log.
    pub fn record(
        &mut self,
        sequence: Sequence,
        now: Time,
        events: &[Event],
        reply: Option<&Reply>,
    ) {
        let last = self.batch.after;
        assert_eq!(
            sequence.0,
            last.sequence.0 + 1,
            "commands are recorded in order, without a gap"
        );
        let op = self.batch.encoder.put(
            Table::Log,
            |out| sequence.write(out),
            |out| record::log::write(now, events, reply, last.checksum, out),
        );
        let checksum = frame::checksum(self.batch.encoder.value(&op));
        self.batch.after = Position { sequence, checksum };
        self.batch.records.push(op);
    }

    /// Adds every touched row once, as it is in `state` now, and the counters. Called once a batch, after the last of its
    /// commands is applied and recorded.
    pub fn rows(&mut self, state: &State, touched: &Touched) {
        let mut rows = Rows {
            encoder: &mut self.batch.encoder,
            ops: &mut self.batch.rows,
        };
        rows.sales(state, touched);
        rows.catalog(state, touched);
        rows.customers(state, touched);
        rows.offers(state, touched);
        rows.fulfilment(state, touched);
        rows.requests(state, touched);
        rows.inventory(state, touched);
        self.meta(state);
    }

    fn meta(&mut self, state: &State) {
        let first = self
            .batch
            .records
            .first()
            .map_or(self.batch.after.checksum, |op| {
                frame::checksum(self.batch.encoder.value(op))
            });
        let meta = Meta {
            counters: state.counters(),
            first_checksum: first,
            last_checksum: self.batch.after.checksum,
        };
        let op = self.batch.encoder.put(
            Table::Meta,
            |out| out.extend_from_slice(META_KEY),
            |out| record::write_payload(&meta, out),
        );
        self.batch.rows.push(op);
    }

    /// The batch so far.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Gives the batch away and begins the one that follows it, in the memory of `spare`.
    pub fn take(&mut self, spare: Batch) -> Batch {
        let Batch {
            mut encoder,
            mut records,
            mut rows,
            ..
        } = spare;
        encoder.buffer.clear();
        records.clear();
        rows.clear();
        let end = self.batch.after;
        let next = Batch {
            encoder,
            records,
            rows,
            before: end,
            after: end,
        };
        std::mem::replace(&mut self.batch, next)
    }

    /// Empties it after it was appended, keeping the memory; the next batch follows this one.
    pub fn clear(&mut self) {
        let appended = self.take(Batch::default());
        drop(self.take(appended));
    }
}

/// The rows of a batch while they are added.
struct Rows<'b> {
    encoder: &'b mut Encoder,
    ops: &'b mut Vec<Op>,
}

impl Rows<'_> {
    fn put<T: Row>(&mut self, key: &T::Key, entity: &T) {
        let op = self.encoder.put(
            T::TABLE,
            |out| key.write(out),
            |out| record::write_payload(entity, out),
        );
        self.ops.push(op);
    }

    fn delete<T: Row>(&mut self, key: &T::Key) {
        let op = self.encoder.key(T::TABLE, |out| key.write(out));
        self.ops.push(op);
    }

    fn put_or_delete<T: Row>(&mut self, key: &T::Key, entity: Option<&T>) {
        match entity {
            Some(entity) => self.put(key, entity),
            None => self.delete::<T>(key),
        }
    }

    fn sales(&mut self, state: &State, touched: &Touched) {
        let mut ahead = touched.cells.iter().skip(CELLS_AHEAD);
        for cell in &touched.cells {
            if let Some(later) = ahead.next() {
                state.stock.ask(*later, Step::Level);
            }
            // Encoded under the guard: this is the only thread that ever takes a writing one, so nobody waits for it.
            state.stock.read(*cell, |level| self.put(cell, level));
        }
        for id in &touched.histories {
            if let Some(customer) = state.customers.get(id) {
                // A history that says nothing has no row: a customer without sales never had one either.
                let history =
                    Some(&customer.history).filter(|history| **history != History::default());
                self.put_or_delete(id, history);
            }
        }
        for (key, sequence) in &touched.business_keys {
            self.put(key, &TakenAt(*sequence));
        }
        let quarantine = read(&state.quarantine);
        for key in &touched.quarantine {
            self.put_or_delete(key, quarantine.get(key).map(|line| &**line));
        }
    }

    fn catalog(&mut self, state: &State, touched: &Touched) {
        for id in &touched.stores {
            if let Some(store) = state.stores.get(*id) {
                self.put(id, &*store);
            }
        }
        for id in &touched.categories {
            if let Some(path) = state.category_path(*id) {
                self.put(id, &CategoryPath(path));
            }
        }
        for id in &touched.products {
            if let Some(product) = state.products.get(*id) {
                self.put(id, &*product);
            }
        }
    }

    fn customers(&mut self, state: &State, touched: &Touched) {
        for id in &touched.customers {
            if let Some(customer) = state.customer(*id) {
                self.put(id, &*customer.personal);
                self.put(id, &*customer.relation);
            }
        }
        for (hash, customer) in &touched.identifiers {
            self.put(hash, &IdentifierOwner(*customer));
        }
    }

    fn offers(&mut self, state: &State, touched: &Touched) {
        for id in &touched.offers {
            if let Some(offer) = state.offers.get(id) {
                self.put(id, &**offer.value());
            }
        }
        for id in &touched.outcomes {
            if let Some(counts) = state.outcomes.get(id) {
                self.put(id, counts.value());
            }
        }
    }

    fn fulfilment(&mut self, state: &State, touched: &Touched) {
        for id in &touched.reservations {
            self.put_or_delete(id, state.reservation(*id).as_deref());
        }
        for id in &touched.checkouts {
            let checkout = state.checkouts.get(id).map(|c| c.value().clone());
            self.put_or_delete(id, checkout.as_deref());
        }
        if touched.routing_policy {
            self.put(&PolicyKey, &*state.routing_policy.get());
        }
    }

    fn inventory(&mut self, state: &State, touched: &Touched) {
        for id in &touched.deliveries {
            let delivery = state.deliveries.get(id).map(|d| d.value().clone());
            self.put_or_delete(id, delivery.as_deref());
        }
        for key in &touched.facts {
            self.put_or_delete(key, state.fact(key).as_ref());
        }
    }

    fn requests(&mut self, state: &State, touched: &Touched) {
        let requests = lock(&state.requests);
        for sequence in &touched.requests {
            // One that was answered and forgotten in the same batch has no row.
            if let Some(answered) = requests.answered_at(*sequence) {
                self.put(sequence, &Answers::of(&answered));
            }
        }
        for sequence in &touched.forgotten_requests {
            self.delete::<Answers>(sequence);
        }
    }
}
