//! The same world on disk: every change recorded and written as the sequencer does it, but many to a batch.

use std::path::Path;

use smallvec::smallvec;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::ids::{CustomerId, Sequence, SkuId, StoreId};
use tillside_engine::sale::{ItemRef, Sale, SaleKind, SaleLine, StoreRef};
use tillside_engine::state::State;
use tillside_engine::units::{Currency, Money, Time};
use tillside_store::{BatchBuilder, Log as _, OpenOptions, RocksLog};

use crate::world::{NOW, Numbers, SEED, Size, events};

/// Events of one command, and commands of one batch: a few megabytes.
const EVENTS_PER_COMMAND: usize = 64;
const COMMANDS_PER_BATCH: usize = 64;
/// Lines of a receipt.
const LINES: usize = 10;

/// Makes the world in an empty directory, each customer with `receipts` receipts of ten lines behind it.
pub fn fill(directory: &Path, size: Size, receipts: u64) -> anyhow::Result<(RocksLog, State)> {
    let log = RocksLog::open(directory, OpenOptions::default())?;
    anyhow::ensure!(
        log.last_sequence() == Sequence(0),
        "{} holds a world already; name an empty directory",
        directory.display()
    );
    let mut writer = Writer {
        builder: BatchBuilder::after(log.position()),
        log,
        state: State::default(),
        touched: Touched::default(),
        commands: 0,
    };
    let mut numbers = Numbers::new(SEED);
    let all = events(size).chain((0..size.customers * receipts).map(|number| {
        let customer = CustomerId(number % size.customers + 1);
        past_receipt(&mut numbers, size, customer, number)
    }));
    let mut command = Vec::with_capacity(EVENTS_PER_COMMAND);
    for event in all {
        command.push(event);
        if command.len() == EVENTS_PER_COMMAND {
            writer.command(&command)?;
            command.clear();
        }
    }
    writer.command(&command)?;
    writer.append()?;
    Ok((writer.log, writer.state))
}

struct Writer {
    log: RocksLog,
    state: State,
    builder: BatchBuilder,
    touched: Touched,
    commands: usize,
}

impl Writer {
    fn command(&mut self, events: &[Event]) -> anyhow::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let ctx = Ctx {
            seq: Sequence(self.state.snapshot_sequence().0 + 1),
            now: NOW,
        };
        apply(&self.state, events, &ctx, &mut self.touched);
        self.builder.record(ctx.seq, ctx.now, events, None);
        self.commands += 1;
        if self.commands == COMMANDS_PER_BATCH {
            self.append()?;
        }
        Ok(())
    }

    fn append(&mut self) -> anyhow::Result<()> {
        self.builder.rows(&self.state, &self.touched);
        self.log.append(self.builder.batch())?;
        self.log.upkeep()?;
        self.builder.clear();
        self.touched.clear();
        self.commands = 0;
        Ok(())
    }
}

/// A receipt that says what somebody bought and moves no stock: a later count has seen it.
fn past_receipt(numbers: &mut Numbers, size: Size, customer: CustomerId, number: u64) -> Event {
    let money = |minor| Money {
        currency: Currency::EUR,
        minor,
    };
    let line = |_| SaleLine {
        item: ItemRef::Known(SkuId(numbers.below(u64::from(size.products)) as u32)),
        quantity: 1_000,
        net: money(199),
        stock_delta: 0,
        settles: None,
        offer_ids: smallvec![],
    };
    let lines = (0..LINES).map(line).collect();
    let sale = Sale {
        kind: SaleKind::Sale,
        store: StoreRef::Known(StoreId((number % u64::from(size.stores)) as u32)),
        workstation: "1".into(),
        business_day: "2026-11-20".into(),
        number: number as i64,
        time: Time(NOW.0 - 3 * 86_400_000),
        customer: Some(customer),
        points: 19,
        lines,
        tenders: Vec::new(),
        fiscal_document: "".into(),
        fiscal_device: "".into(),
        operator: "".into(),
        offline: false,
        training: false,
    };
    Event::SaleRecorded {
        sale: std::sync::Arc::new(sale),
    }
}
