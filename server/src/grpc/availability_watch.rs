//! One watcher's stream: the first picture or what was missed, then what changes. Levels are read from memory when they are
//! sent, and sent only after a barrier of the sequencer, so that a mirror never holds what a crash could take back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxBuildHasher, FxHashSet};
use tillside_engine::changed_cells::{Changed, changed_cells};
use tillside_engine::ids::{CellKey, SkuId, StoreId};
use tillside_proto::v1;
use tillside_store::{Position, ReadOn};
use tokio::sync::mpsc;
use tonic::Status;

use crate::app::App;
use crate::availability::Watch;
use crate::convert::stock::wire_level;
use crate::errors;
use crate::gate::{Gate, Phase};

/// Levels of one message.
const LEVELS_PER_MESSAGE: usize = 500;
/// Messages that may wait for a slow reader.
pub(super) const MESSAGES_MAX: usize = 2;
/// Records of the log that are read to catch up; a mirror that missed more starts anew.
const RECORDS_MAX: u64 = 1_000_000;
/// Levels named one by one while catching up; beyond it all are looked at.
const CELLS_MAX: usize = 200_000;
/// At least this long between two looks: what changes meanwhile is sent as one.
const PAUSE: Duration = Duration::from_millis(20);
/// Products looked at between two rests, so that other calls of the runtime are not held up.
const PRODUCTS_PER_STEP: usize = 64;

type Sent = Result<v1::WatchAvailabilityResponse, Status>;

/// Where a token says that its watcher was.
pub(super) fn parse_token(token: &str) -> Option<Position> {
    let (sequence, checksum) = token.strip_prefix("w1-")?.split_once('-')?;
    Some(Position {
        sequence: tillside_engine::ids::Sequence(sequence.parse().ok()?),
        checksum: u32::from_str_radix(checksum, 16).ok()?,
    })
}

fn token(position: Position) -> String {
    format!("w1-{}-{:08x}", position.sequence.0, position.checksum)
}

/// What has to be looked at again.
#[derive(Debug, Default)]
struct Missed {
    everything: bool,
    stores: FxHashSet<StoreId>,
    skus: FxHashSet<SkuId>,
    cells: FxHashSet<CellKey>,
}

impl Missed {
    fn note(&mut self, changed: Changed) {
        match changed {
            Changed::Everything => self.everything = true,
            Changed::Store(store) => drop(self.stores.insert(store)),
            Changed::Product(sku) => drop(self.skus.insert(sku)),
            Changed::Cell(cell) => drop(self.cells.insert(cell)),
        }
        if self.cells.len() > CELLS_MAX {
            self.cells = HashSet::with_hasher(FxBuildHasher);
            self.everything = true;
        }
    }

    fn needs_walk(&self) -> bool {
        self.everything || !self.stores.is_empty() || !self.skus.is_empty()
    }

    fn has(&self, cell: CellKey) -> bool {
        self.everything || self.stores.contains(&cell.store()) || self.skus.contains(&cell.sku())
    }
}

/// The stream ended: with a status for its reader, or because the reader has gone.
enum Ended {
    With(Box<Status>),
    Gone,
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Ended::With(Box::new(status))
    }
}

pub(super) struct Watching {
    pub(super) app: Arc<App>,
    pub(super) watch: Watch,
    pub(super) answers: mpsc::Sender<Sent>,
    pub(super) heartbeat: Duration,
    /// Everything up to here was sent.
    told: Position,
}

impl Watching {
    pub(super) fn new(
        app: Arc<App>,
        watch: Watch,
        answers: mpsc::Sender<Sent>,
        heartbeat: Duration,
    ) -> Self {
        Watching {
            app,
            watch,
            answers,
            heartbeat,
            told: Position::default(),
        }
    }

    /// Runs until the reader has gone or the server ends.
    pub(super) async fn run(mut self, from: Option<Position>, gate: Arc<Gate>) {
        let answers = self.answers.clone();
        let ended = tokio::select! {
            biased;
            ended = self.tell(from) => ended,
            () = answers.closed() => Ended::Gone,
            () = gate.ending() => Ended::from(match gate.phase() {
                Phase::Failed => errors::storage_failed(),
                _ => errors::not_ready("the server is stopping; call again with the last resume_token"),
            }),
        };
        if let Ended::With(status) = ended {
            // The stream's last word; nobody may be listening.
            drop(answers.send(Err(*status)).await);
        }
    }

    async fn tell(&mut self, from: Option<Position>) -> Ended {
        match self.tell_on(from).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn tell_on(&mut self, from: Option<Position>) -> Result<std::convert::Infallible, Ended> {
        match from {
            Some(token) => self.catch_up(token).await?,
            None => {
                // What changes from here on is pending afterwards.
                let through = self.barrier().await?;
                let all = Missed {
                    everything: true,
                    ..Missed::default()
                };
                self.send_missed(all, through, true).await?;
            }
        }
        loop {
            let woken = tokio::time::timeout(self.heartbeat, self.watch.woken()).await;
            let pending = self.watch.take();
            if pending.behind {
                self.catch_up(self.told).await?;
            } else if !pending.cells.is_empty() {
                let through = self.later(pending.through);
                let cells = pending.cells;
                let changed = Missed {
                    cells,
                    ..Missed::default()
                };
                self.send_missed(changed, through, false).await?;
            } else if woken.is_err() {
                let through = self.later(pending.through);
                self.send(Vec::new(), Some(through), false).await?;
            }
            if pending.closed {
                return Err(errors::storage_failed().into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn later(&self, through: Position) -> Position {
        if through.sequence > self.told.sequence {
            through
        } else {
            self.told
        }
    }

    async fn barrier(&self) -> Result<Position, Ended> {
        let position = self.app.sequencer.barrier().await;
        position.map_err(|error| Status::from(error).into())
    }

    /// Sends what changed after `after`, as the log tells it.
    async fn catch_up(&mut self, after: Position) -> Result<(), Ended> {
        metrics::counter!("tillside_availability_catch_ups_total").increment(1);
        // What is pending from here on comes after what is read now; what was pending is read with it.
        drop(self.watch.take());
        self.barrier().await?;
        let (app, filter) = (Arc::clone(&self.app), self.watch.filter().clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut missed = Missed::default();
            let mut note = |changed: Changed| match changed {
                Changed::Cell(cell) if !filter.takes(cell) => {}
                changed => missed.note(changed),
            };
            let read = app.log.read_on(after, RECORDS_MAX, &mut |record| {
                for event in &record.events {
                    changed_cells(event, &app.state, &mut note);
                }
            });
            read.map(|read| (read, missed))
        });
        let read = reading
            .await
            .map_err(|_| errors::defect("reading the log panicked"))?;
        let (read, missed) = read.map_err(|error| {
            tracing::error!(%error, "the log cannot be read for a watcher of stock");
            errors::resume_token_too_old()
        })?;
        let ReadOn::Through(through) = read else {
            return Err(errors::resume_token_too_old().into());
        };
        self.send_missed(missed, through, false).await
    }

    /// Sends the levels of `missed`; with the last of them the token of `through`.
    async fn send_missed(
        &mut self,
        missed: Missed,
        through: Position,
        initial: bool,
    ) -> Result<(), Ended> {
        let mut cells: Vec<CellKey> = Vec::new();
        if missed.needs_walk() {
            let app = Arc::clone(&self.app);
            let only = self.watch.filter().skus.clone();
            let mut skus: Box<dyn Iterator<Item = SkuId> + Send> = match only {
                Some(skus) => Box::new(skus.into_iter()),
                None => Box::new((0..app.state.products.len() as u32).map(SkuId)),
            };
            loop {
                let step: Vec<SkuId> = skus.by_ref().take(PRODUCTS_PER_STEP).collect();
                if step.is_empty() {
                    break;
                }
                for sku in step {
                    let Some(product) = app.state.stock.product(sku) else {
                        continue;
                    };
                    let here = product.iter().map(|(store, _)| CellKey::new(sku, store));
                    let filter = self.watch.filter();
                    cells.extend(here.filter(|cell| filter.takes(*cell) && missed.has(*cell)));
                }
                while cells.len() > LEVELS_PER_MESSAGE {
                    let rest = cells.split_off(LEVELS_PER_MESSAGE);
                    self.send(std::mem::replace(&mut cells, rest), None, initial)
                        .await?;
                }
                tokio::task::yield_now().await;
            }
        }
        let already = |cell: &CellKey| missed.needs_walk() && missed.has(*cell);
        let named = missed.cells.iter().filter(|cell| !already(cell));
        cells.extend(named.copied());
        while cells.len() > LEVELS_PER_MESSAGE {
            let rest = cells.split_off(LEVELS_PER_MESSAGE);
            self.send(std::mem::replace(&mut cells, rest), None, initial)
                .await?;
        }
        self.send(cells, Some(through), initial).await
    }

    /// Reads levels, waits until what was read is durable, and sends them; with `through` where that is all of it.
    async fn send(
        &mut self,
        cells: Vec<CellKey>,
        through: Option<Position>,
        initial: bool,
    ) -> Result<(), Ended> {
        let state = &self.app.state;
        let (sequence, now) = (state.snapshot_sequence(), self.app.now());
        let levels: Vec<v1::StockLevel> = cells
            .into_iter()
            .filter_map(|cell| {
                let (sku, at) = (cell.sku(), cell.store());
                let (product, store) = (state.products.get(sku)?, state.stores.get(at)?);
                let beside = state.beside(sku, at, now);
                Some(wire_level(
                    &product,
                    &store,
                    &state.level(sku, at),
                    &beside,
                    sequence,
                ))
            })
            .collect();
        if !levels.is_empty() {
            self.barrier().await?;
        }
        metrics::counter!("tillside_availability_levels_sent_total").increment(levels.len() as u64);
        let message = v1::WatchAvailabilityResponse {
            levels,
            resume_token: through.map_or_else(String::new, token),
            initial,
        };
        self.answers
            .send(Ok(message))
            .await
            .map_err(|_| Ended::Gone)?;
        if let Some(through) = through {
            self.told = through;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tillside_engine::ids::Sequence;

    #[test]
    fn a_token_reads_back_and_nothing_else_does() {
        let position = Position {
            sequence: Sequence(42),
            checksum: 0x00ab_cdef,
        };
        assert_eq!(parse_token(&token(position)), Some(position));
        for bad in [
            "",
            "42",
            "w1-",
            "w1-x-1",
            "w1-1-",
            "w2-1-1",
            "w1-1-fffffffff",
        ] {
            assert_eq!(parse_token(bad), None, "{bad}");
        }
    }
}
