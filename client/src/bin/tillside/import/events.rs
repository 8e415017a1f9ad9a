//! Files whose rows become events: read on a thread of their own, sent over one stream, every event matched to its rows.
//!
//! What is kept per event is bounded by the stream's window: once acknowledged, its rows are forgotten.

use super::{
    Job,
    cells::{Cells, Columns},
    records::{Next, Record},
    rejects::{Fault, Rejects},
    source::{Rows, Table},
    tally::Tally,
};
use anyhow::{Context as _, bail};
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};
use tillside_client::{
    EncodedEvents, IngestOptions,
    v1::{AckStatus, Event, IngestEventsResponse, Problem},
};
use tokio::sync::mpsc;

/// A message ends with the event that reaches one of these. The API takes 1000 events a message; these keep a message near
/// a hundred receipts, which is enough to make its own cost vanish and little enough to keep acks flowing.
const MESSAGE_EVENTS_MAX: usize = 512;
const MESSAGE_BYTES: usize = 64 << 10;
/// Messages between the reading thread and the stream. The stream has its own window; this only decouples the two.
const QUEUE_MESSAGES_MAX: usize = 8;

/// Reads a file's rows into an outbox; on its own thread, so it may block.
pub(super) type Read = fn(&Columns, Rows, &mut Outbox) -> anyhow::Result<()>;

/// Streams a file's events to the server; in a dry run only reads it.
pub(super) async fn send(
    job: &Job,
    table: Table,
    tally: &Arc<Tally>,
    read: Read,
) -> anyhow::Result<()> {
    let (sender, mut messages) = mpsc::channel::<Message>(QUEUE_MESSAGES_MAX);
    let desk = Desk {
        tally: tally.clone(),
        rejects: job.rejects.clone(),
    };
    let mut outbox = Outbox {
        source: job.source.clone(),
        desk: desk.clone(),
        message: Message::default(),
        sender,
    };
    let reader = tokio::task::spawn_blocking(move || {
        let rows = table.rows(outbox.desk.tally.clone())?;
        read(&table.columns, rows, &mut outbox)
            .with_context(|| format!("Cannot read {}", table.name()))?;
        outbox.flush()
    });
    let sent = match &job.client {
        Some(client) => {
            let acks = desk.clone();
            let mut ingest = client.ingest(&IngestOptions::default(), move |rows, answer| {
                acks.acknowledge(&rows, answer);
            });
            loop {
                let Some(message) = messages.recv().await else {
                    break ingest.finish().await;
                };
                if let Err(error) = ingest.send_encoded(message.events, message.rows).await {
                    break Err(error);
                }
                // An error in the rejects file shows as an error of `Rejects::finish`.
                if desk.rejects.failed() {
                    break ingest.finish().await;
                }
            }
        }
        None => {
            while let Some(message) = messages.recv().await {
                desk.tally.add_accepted(message.rows.lines.len() as u64);
            }
            Ok(())
        }
    };
    // The reader notices at its next message that nobody listens any more.
    drop(messages);
    let read = reader.await.context("the reading thread ended early")?;
    sent?;
    if desk.rejects.failed() {
        return Ok(());
    }
    read
}

/// Events on their way, with the rows they came from.
#[derive(Debug, Default)]
struct Message {
    events: EncodedEvents,
    rows: SentRows,
}

/// The rows behind a message's events: all rows one after the other, and where each row and each event ends.
#[derive(Debug, Default)]
struct SentRows {
    raw: Vec<u8>,
    lines: Vec<SentLine>,
    events: Vec<SentEvent>,
}

#[derive(Debug)]
struct SentLine {
    /// Line number in the file.
    line: u64,
    /// End of the row in `SentRows::raw`.
    raw_end: usize,
}

#[derive(Debug)]
struct SentEvent {
    /// Hash of the event id: acknowledgements name only some events, in order.
    id_hash: u64,
    /// End of the event's rows in `SentRows::lines`.
    lines_end: usize,
}

impl SentRows {
    /// Line number and text of the rows from `first` to before `end`.
    fn range(&self, first: usize, end: usize) -> impl Iterator<Item = (u64, &[u8])> {
        (first..end).map(|index| {
            let start = index
                .checked_sub(1)
                .map_or(0, |before| self.lines[before].raw_end);
            (
                self.lines[index].line,
                &self.raw[start..self.lines[index].raw_end],
            )
        })
    }

    fn event_lines_end(&self) -> usize {
        self.events.last().map_or(0, |event| event.lines_end)
    }
}

/// Where rows are counted and rejected, whoever finds out.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) tally: Arc<Tally>,
    pub(super) rejects: Arc<Rejects>,
}

impl Desk {
    /// Notes a row that is not taken.
    pub(super) fn reject(&self, line: u64, raw: &[u8], fault: &Fault) {
        self.tally.add_rejected(1);
        self.rejects.write(&self.tally.file, line, fault, raw);
    }

    /// Calls `take` with every row until the end of the file; rows it faults are rejected.
    pub(super) fn each_row(
        &self,
        columns: &Columns,
        rows: &mut Rows,
        mut take: impl FnMut(Record<'_>, Cells<'_>) -> anyhow::Result<Result<(), Fault>>,
    ) -> anyhow::Result<()> {
        loop {
            match rows.next()? {
                Next::Record(record) => {
                    self.tally.add_rows(1);
                    let outcome = match columns.cells(record) {
                        Ok(cells) => take(record, cells)?,
                        Err(fault) => Err(fault),
                    };
                    if let Err(fault) = outcome {
                        self.reject(record.line, record.raw, &fault);
                    }
                }
                Next::Bad { line, raw, reason } => {
                    self.tally.add_rows(1);
                    self.reject(line, raw, &Fault::new("", reason.0, reason.1));
                }
                Next::End => return Ok(()),
            }
        }
    }

    /// Counts a message's rows by what became of their events. Events that the answer does not name were accepted.
    fn acknowledge(&self, rows: &SentRows, answer: IngestEventsResponse) {
        let mut accepted = rows.lines.len();
        let mut cursor = 0;
        for ack in answer.acks {
            for warning in &ack.warnings {
                self.tally.add_warning(&warning.reason);
            }
            let status = ack.status();
            let Some(index) = position_from(rows, cursor, &ack.event_id) else {
                continue;
            };
            cursor = index + 1;
            let first = index
                .checked_sub(1)
                .map_or(0, |before| rows.events[before].lines_end);
            let end = rows.events[index].lines_end;
            match status {
                AckStatus::Duplicate => self.tally.add_unchanged((end - first) as u64),
                AckStatus::Rejected => {
                    let fault = fault_of(ack.problem.unwrap_or_default());
                    for (line, raw) in rows.range(first, end) {
                        self.reject(line, raw, &fault);
                    }
                }
                _ => continue,
            }
            accepted -= end - first;
        }
        self.tally.add_accepted(accepted as u64);
    }
}

fn position_from(rows: &SentRows, cursor: usize, event_id: &str) -> Option<usize> {
    let hash = hash_of(event_id.as_bytes());
    let rest = rows.events.get(cursor..)?;
    rest.iter()
        .position(|event| event.id_hash == hash)
        .map(|at| cursor + at)
}

/// A fault in the server's words.
pub(super) fn fault_of(problem: Problem) -> Fault {
    Fault {
        column: problem.field,
        reason: problem.reason,
        message: problem.message,
    }
}

/// A hash that is equal for equal bytes within this run, nothing more.
pub(super) fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Where a reading thread puts rows and the events it makes of them.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Name of the system the events come from.
    pub(super) source: Arc<str>,
    /// Where rows are counted and rejected.
    pub(super) desk: Desk,
    message: Message,
    sender: mpsc::Sender<Message>,
}

impl Outbox {
    /// Adds a row to the event that is being put together.
    pub(super) fn add_row(&mut self, record: Record<'_>) {
        let rows = &mut self.message.rows;
        rows.raw.extend_from_slice(record.raw);
        rows.lines.push(SentLine {
            line: record.line,
            raw_end: rows.raw.len(),
        });
    }

    /// Text of the rows that were added since the last event.
    pub(super) fn open_rows(&self) -> &[u8] {
        let rows = &self.message.rows;
        let start = match rows.event_lines_end() {
            0 => 0,
            end => rows.lines[end - 1].raw_end,
        };
        &rows.raw[start..]
    }

    /// Rejects the rows that were added since the last event.
    pub(super) fn reject_open_rows(&mut self, fault: &Fault) {
        let rows = &mut self.message.rows;
        let first = rows.event_lines_end();
        for (line, raw) in rows.range(first, rows.lines.len()) {
            self.desk.reject(line, raw, fault);
        }
        rows.lines.truncate(first);
        rows.raw
            .truncate(rows.lines.last().map_or(0, |line| line.raw_end));
    }

    /// Takes an event made of all rows that were added since the last one; sends the message where it is long enough.
    pub(super) fn push(&mut self, event: &Event) -> anyhow::Result<()> {
        let message = &mut self.message;
        if message.events.is_empty() {
            message.events = EncodedEvents::with_capacity(MESSAGE_BYTES + MESSAGE_BYTES / 4);
        }
        message.events.push(event);
        message.rows.events.push(SentEvent {
            id_hash: hash_of(event.event_id.as_bytes()),
            lines_end: message.rows.lines.len(),
        });
        self.desk.tally.add_sent(1);
        if message.events.len() >= MESSAGE_EVENTS_MAX
            || message.events.encoded_bytes() >= MESSAGE_BYTES
        {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends what there is.
    fn flush(&mut self) -> anyhow::Result<()> {
        let message = std::mem::take(&mut self.message);
        if message.events.is_empty() {
            return Ok(());
        }
        if self.sender.blocking_send(message).is_err() {
            bail!("the stream to the server ended");
        }
        Ok(())
    }
}

/// An event id of the parts: `kind:part:part`, or `kind:` and a digest where that is longer than an id may be.
pub(super) fn event_id(kind: &str, parts: &[&str]) -> String {
    const ID_BYTES_MAX: usize = 128;
    let mut id = kind.to_owned();
    for part in parts {
        id.push(':');
        id.push_str(part);
    }
    if id.len() > ID_BYTES_MAX {
        id = format!("{kind}:{}", digest(id.as_bytes()));
    }
    id
}

/// 128 bits of BLAKE3 in hex: the same for the same content, on every machine and in every version.
pub(super) fn digest(content: &[u8]) -> String {
    let mut hex = blake3::hash(content).to_hex().to_string();
    hex.truncate(32);
    hex
}
