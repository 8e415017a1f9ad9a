//! Files whose rows are put in batches, all or none: where the server refuses a batch, the rows at fault are rejected and
//! the rest is sent again, so that one bad row costs one row.

use super::{Job, cells::Cells, events::Desk, rejects::Fault, source::Table, tally::Tally};
use anyhow::{Context as _, bail};
use prost::Message;
use std::{collections::BTreeMap, sync::Arc};
use tillside_client::{Error, Tillside};
use tokio::sync::mpsc;
use tonic::Code;

/// The API's bound on a batch.
const BATCH_ITEMS_MAX: usize = 1000;
/// A batch ends with the item that reaches this, to stay far below any message limit.
const BATCH_BYTES: usize = 256 << 10;
/// Batches read ahead while one is under way.
const QUEUE_BATCHES_MAX: usize = 2;

/// A kind of record that is put in batches.
pub(super) trait Kind: 'static {
    /// The record.
    type Item: Message + Clone + Send + 'static;

    /// Reads a row.
    fn read(cells: &Cells<'_>) -> Result<Self::Item, Fault>;

    /// Puts a batch, all or none.
    async fn put(client: &Tillside, items: Vec<Self::Item>) -> Result<Counts, Error>;

    /// The column that became a field of the record.
    fn column(field: &str) -> &str;
}

/// What became of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    changed: u64,
    unchanged: u64,
}

impl Counts {
    pub(super) fn new(created: i32, updated: i32, unchanged: i32) -> Self {
        let count = |count: i32| u64::try_from(count).unwrap_or(0);
        Self {
            changed: count(created) + count(updated),
            unchanged: count(unchanged),
        }
    }
}

/// A record with the row it came from.
#[derive(Debug)]
struct Entry<T> {
    item: T,
    line: u64,
    raw: Vec<u8>,
}

/// Puts a file's records; in a dry run only reads it.
pub(super) async fn put<K: Kind>(
    job: &Job,
    table: Table,
    tally: &Arc<Tally>,
) -> anyhow::Result<()> {
    let (sender, mut batches) = mpsc::channel::<Vec<Entry<K::Item>>>(QUEUE_BATCHES_MAX);
    let desk = Desk {
        tally: tally.clone(),
        rejects: job.rejects.clone(),
    };
    let reading = desk.clone();
    let reader = tokio::task::spawn_blocking(move || read::<K>(&reading, &table, &sender));
    let mut outcome = Ok(());
    while let Some(batch) = batches.recv().await {
        match &job.client {
            Some(client) => outcome = put_batch::<K>(client, &desk, batch).await,
            None => desk.tally.add_accepted(batch.len() as u64),
        }
        if outcome.is_err() || desk.rejects.failed() {
            break;
        }
    }
    drop(batches);
    let read = reader.await.context("the reading thread ended early")?;
    outcome?;
    if desk.rejects.failed() {
        return Ok(());
    }
    read
}

fn read<K: Kind>(
    desk: &Desk,
    table: &Table,
    sender: &mpsc::Sender<Vec<Entry<K::Item>>>,
) -> anyhow::Result<()> {
    let mut rows = table.rows(desk.tally.clone())?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    let send = |batch: &mut Vec<Entry<K::Item>>| {
        if sender.blocking_send(std::mem::take(batch)).is_err() {
            bail!("the server refused the batch before");
        }
        Ok(())
    };
    desk.each_row(&table.columns, &mut rows, |record, cells| {
        let item = match K::read(&cells) {
            Ok(item) => item,
            Err(fault) => return Ok(Err(fault)),
        };
        bytes += item.encoded_len();
        batch.push(Entry {
            item,
            line: record.line,
            raw: record.raw.to_vec(),
        });
        desk.tally.add_sent(1);
        if batch.len() == BATCH_ITEMS_MAX || bytes >= BATCH_BYTES {
            bytes = 0;
            send(&mut batch)?;
        }
        Ok(Ok(()))
    })
    .with_context(|| format!("Cannot read {}", table.name()))?;
    if batch.is_empty() {
        Ok(())
    } else {
        send(&mut batch)
    }
}

/// Every round sends fewer records than the one before, so it ends.
async fn put_batch<K: Kind>(
    client: &Tillside,
    desk: &Desk,
    batch: Vec<Entry<K::Item>>,
) -> anyhow::Result<()> {
    let mut work = vec![batch];
    while let Some(mut batch) = work.pop() {
        let items = batch.iter().map(|entry| entry.item.clone()).collect();
        let error = match K::put(client, items).await {
            Ok(counts) => {
                desk.tally.add_accepted(counts.changed);
                desk.tally.add_unchanged(counts.unchanged);
                continue;
            }
            Err(error) => error,
        };
        if !is_about_the_data(&error) {
            return Err(error.into());
        }
        let faults = faults::<K>(&error, batch.len());
        if faults.is_empty() {
            // Nothing says which one it is: halve until one is left.
            if let [entry] = batch.as_slice() {
                desk.reject(
                    entry.line,
                    &entry.raw,
                    &Fault::new("", error.reason(), error.to_string()),
                );
                continue;
            }
            let second = batch.split_off(batch.len() / 2);
            work.push(second);
            work.push(batch);
            continue;
        }
        let mut rest = Vec::with_capacity(batch.len() - faults.len());
        for (index, entry) in batch.into_iter().enumerate() {
            match faults.get(&index) {
                Some(fault) => desk.reject(entry.line, &entry.raw, fault),
                None => rest.push(entry),
            }
        }
        if !rest.is_empty() {
            work.push(rest);
        }
    }
    Ok(())
}

fn is_about_the_data(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::NotFound
            | Code::OutOfRange
    )
}

/// The first fault of each record that the server names, by position in the batch.
fn faults<K: Kind>(error: &Error, length: usize) -> BTreeMap<usize, Fault> {
    let mut faults = BTreeMap::new();
    for violation in error.field_violations() {
        let Some((index, field)) = position(&violation.field) else {
            continue;
        };
        if index < length {
            faults.entry(index).or_insert_with(|| {
                Fault::new(
                    K::column(field),
                    error.reason(),
                    violation.description.clone(),
                )
            });
        }
    }
    faults
}

/// `stores[3].location.latitude` is (3, `location.latitude`).
fn position(path: &str) -> Option<(usize, &str)> {
    let (_, rest) = path.split_once('[')?;
    let (index, field) = rest.split_once(']')?;
    Some((
        index.parse().ok()?,
        field.strip_prefix('.').unwrap_or(field),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_its_record() {
        fn check(path: &str, expect: Option<(usize, &str)>) {
            assert_eq!(position(path), expect, "{path:?}");
        }
        check(
            "stores[3].location.latitude",
            Some((3, "location.latitude")),
        );
        check("products[0]", Some((0, "")));
        check("products[12].gtins[1]", Some((12, "gtins[1]")));
        check("request_id", None);
        check("stores[x].store_id", None);
    }
}
