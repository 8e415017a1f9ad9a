//! What a ten-line sale costs the sequencer in microseconds: applying, encoding, building the write, and the durable
//! append, for several sizes of batch; then how long a restart takes. Times are of the thread's processor, so that
//! a busy machine does not blur them; `wait` is what the append took beyond that, which is the disk.
//!
//! `append_cost [CUSTOMERS] [STOCK_ROWS] [SALES]`, by default 50,000, 1,000,000 and 40,000.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rocksdb::WriteBatch;
use rustix::time::{ClockId, clock_gettime};
use smallvec::smallvec;
use tillside_engine::apply::{Touched, apply};
use tillside_engine::catalog::{CategoryId, Product};
use tillside_engine::ctx::Ctx;
use tillside_engine::customer::{Personal, Relation};
use tillside_engine::event::Event;
use tillside_engine::ids::{BusinessKey, CustomerId, IdentifierHash, Sequence, SkuId, StoreId};
use tillside_engine::sale::{ItemRef, Sale, SaleKind, SaleLine, StoreRef};
use tillside_engine::state::State;
use tillside_engine::units::{Currency, Money, Time, Unit};
use tillside_store::{BatchBuilder, Log, OpenOptions, RocksLog, load, state_digest};

const STORES: u64 = 2_000;
const PRODUCTS: u64 = 20_000;
const LINES: usize = 10;
const NOW: i64 = 1_790_000_000_000;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let mut number = |default| numbers.next().unwrap_or(Ok(default));
    let (customers, stock_rows, sales) = (number(50_000)?, number(1_000_000)?, number(40_000)?);
    let directory = tempfile::tempdir()?;
    let mut run = Run::open(directory.path())?;
    let started = Instant::now();
    run.fill(customers, stock_rows)?;
    println!(
        "{customers} customers and {stock_rows} stock rows written in {:.1} s\n",
        started.elapsed().as_secs_f64()
    );
    println!(
        "{LINES}-line sales, {customers} customers, {STORES} x {PRODUCTS} cells; microseconds a sale"
    );
    println!(
        "batch    apply   record     rows    build   append     wait      all   bytes  sales/s"
    );
    for size in [64, 128, 256, 512, 8, 1] {
        let sales = if size < 64 { sales / 20 } else { sales };
        run.measure(size, sales.max(size), customers)?;
    }
    let digest = state_digest(&run.state);
    drop(run);
    restart(directory.path(), &digest)
}

fn restart(directory: &std::path::Path, expect: &tillside_store::StateDigest) -> Outcome {
    let started = Instant::now();
    let log = RocksLog::open(directory, OpenOptions::default())?;
    let opened = started.elapsed();
    let loaded = load(&log)?;
    println!(
        "\nrestart: opened in {opened:.1?}, read in {:.1?}, derived in {:.1?}",
        loaded.reading, loaded.deriving
    );
    for (table, rows) in &loaded.rows {
        println!("  {:<14} {rows:>10} rows", table.name());
    }
    let started = Instant::now();
    let memory = state_digest(&loaded.state);
    println!("digest of memory in {:.1?}", started.elapsed());
    let started = Instant::now();
    let disk = log.snapshot_digest_handle().digest()?;
    println!(
        "digest of disk in {:.1?}; equal: {}",
        started.elapsed(),
        disk == memory && memory == *expect
    );
    Ok(())
}

struct Run {
    log: RocksLog,
    state: State,
    builder: BatchBuilder,
    touched: Touched,
    chance: u64,
}

#[derive(Default)]
struct Spent {
    apply: Duration,
    record: Duration,
    rows: Duration,
    build: Duration,
    append: Duration,
    wait: Duration,
}

/// Time this thread has run on a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

impl Run {
    fn open(directory: &std::path::Path) -> Result<Self, Box<dyn std::error::Error>> {
        let log = RocksLog::open(directory, OpenOptions::default())?;
        let builder = BatchBuilder::after(log.position());
        Ok(Run {
            log,
            state: State::default(),
            builder,
            touched: Touched::default(),
            chance: 7,
        })
    }

    /// SplitMix64.
    fn below(&mut self, end: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % end
    }

    fn key(&mut self) -> u128 {
        u128::from(self.below(u64::MAX)) << 64 | u128::from(self.below(u64::MAX))
    }

    /// Applies commands, each a list of events, and records them.
    fn commands(&mut self, commands: &[Vec<Event>], spent: &mut Spent) {
        let first = self.state.counters().sequence.0 + 1;
        let ctx = |index: usize| {
            let sequence = first + index as u64;
            Ctx {
                seq: Sequence(sequence),
                now: Time(NOW + sequence as i64),
            }
        };
        let start = processor_time();
        for (index, events) in commands.iter().enumerate() {
            apply(&self.state, events, &ctx(index), &mut self.touched);
        }
        let applied = processor_time();
        for (index, events) in commands.iter().enumerate() {
            let ctx = ctx(index);
            self.builder.record(ctx.seq, ctx.now, events, None);
        }
        spent.apply += applied - start;
        spent.record += processor_time() - applied;
    }

    fn append(&mut self, spent: &mut Spent) -> Result<usize, Box<dyn std::error::Error>> {
        let start = processor_time();
        self.builder.rows(&self.state, &self.touched);
        self.touched.clear();
        let encoded = processor_time();
        let batch = self.builder.batch();
        // Built once more apart, only to see its share of the append.
        let mut write = WriteBatch::with_capacity_bytes(batch.bytes() * 2);
        batch
            .records()
            .chain(batch.rows())
            .for_each(|(_, key, value)| write.put(key, value.unwrap_or_default()));
        let built = processor_time();
        drop(write);
        let (writing, clock) = (processor_time(), Instant::now());
        self.log.append(batch)?;
        let appended = processor_time() - writing;
        spent.append += appended;
        spent.wait += clock.elapsed().saturating_sub(appended);
        spent.rows += encoded - start;
        spent.build += built - encoded;
        let bytes = batch.bytes();
        self.builder.clear();
        Ok(bytes)
    }

    fn fill(&mut self, customers: u64, stock_rows: u64) -> Outcome {
        let mut spent = Spent::default();
        for id in 0..PRODUCTS as u32 {
            let category = CategoryId(id % 300);
            let product = Product {
                sku: format!("sku-{id}").into(),
                display_name: format!("Product {id}").into(),
                category: Some(category),
                brand: "".into(),
                unit: Unit::Each,
                gtins: vec![8_000_000_000_000 + u64::from(id)],
                plu: "".into(),
                list_price: Some(Money {
                    currency: Currency::EUR,
                    minor: 199,
                }),
                vat_rate_basis_points: 1000,
                promotion_restricted: false,
                version: Sequence(1),
            };
            let mut events = vec![Event::ProductPut {
                id: SkuId(id),
                product: Arc::new(product),
            }];
            if id < 300 {
                events.push(Event::CategoryAdded {
                    id: category,
                    path: format!("category {id}").into(),
                });
            }
            self.commands(&[events], &mut spent);
        }
        self.append(&mut spent)?;
        for id in 1..=customers {
            let mut personal = Personal {
                customer_id: format!("c-{id}"),
                ..Personal::default()
            };
            personal.contacts.given_name = "Maria".into();
            personal.contacts.family_name = "Esposito".into();
            let put = Event::CustomerPut {
                id: CustomerId(id),
                personal: Some(Arc::new(personal)),
                relation: Arc::new(Relation::default()),
                identifiers: vec![IdentifierHash(self.key()), IdentifierHash(self.key())],
                created: true,
            };
            self.commands(&[vec![put]], &mut spent);
            if id % 512 == 0 || id == customers {
                self.append(&mut spent)?;
            }
        }
        let per_product = stock_rows.div_ceil(PRODUCTS).min(STORES) as u32;
        for sku in 0..PRODUCTS as u32 {
            let count = |store| Event::StockCounted {
                sku: SkuId(sku),
                store: StoreId(store),
                on_hand: 24_000,
                safety: Some(2_000),
                as_of: Time(NOW - 1_000_000),
            };
            let counts: Vec<Event> = (0..per_product).map(count).collect();
            self.commands(&[counts], &mut spent);
            if sku % 16 == 15 {
                self.append(&mut spent)?;
            }
        }
        Ok(())
    }

    fn sale(&mut self, customers: u64) -> Vec<Event> {
        let store = StoreId(self.below(STORES) as u32);
        let lines = (0..LINES)
            .map(|_| SaleLine {
                item: ItemRef::Known(SkuId(self.below(PRODUCTS) as u32)),
                quantity: 1_000,
                net: Money {
                    currency: Currency::EUR,
                    minor: 199 + self.below(1_000) as i64,
                },
                stock_delta: -1_000,
                settles: None,
                offer_ids: smallvec![],
            })
            .collect();
        let time = Time(NOW - self.below(100_000) as i64);
        let sale = Sale {
            kind: SaleKind::Sale,
            store: StoreRef::Known(store),
            workstation: "3".into(),
            business_day: "2026-11-22".into(),
            number: self.below(10_000) as i64,
            time,
            customer: Some(CustomerId(1 + self.below(customers))),
            points: 23,
            lines,
            tenders: vec![(
                "card".into(),
                Money {
                    currency: Currency::EUR,
                    minor: 4_312,
                },
            )],
            fiscal_document: "0123-0045".into(),
            fiscal_device: "99MEX012345".into(),
            operator: "17".into(),
            offline: false,
            training: false,
        };
        let keys = smallvec![BusinessKey(self.key()), BusinessKey(self.key())];
        vec![
            Event::Received {
                keys,
                occurred: time,
                future: false,
            },
            Event::SaleRecorded {
                sale: Arc::new(sale),
            },
        ]
    }

    fn measure(&mut self, size: u64, sales: u64, customers: u64) -> Outcome {
        let (mut spent, mut bytes, batches) = (Spent::default(), 0, sales / size);
        for _ in 0..batches {
            let commands: Vec<_> = (0..size).map(|_| self.sale(customers)).collect();
            self.commands(&commands, &mut spent);
            bytes += self.append(&mut spent)?;
        }
        let count = (batches * size) as f64;
        let micros = |d: Duration| d.as_secs_f64() * 1e6 / count;
        let (apply, record, rows, build) = (
            micros(spent.apply),
            micros(spent.record),
            micros(spent.rows),
            micros(spent.build),
        );
        let (append, wait) = (micros(spent.append), micros(spent.wait));
        // The write is built inside the append too, so it is not counted twice.
        let all = apply + record + rows + append + wait;
        println!(
            "{size:>5} {apply:>8.2} {record:>8.2} {rows:>8.2} {build:>8.2} {append:>8.2} {wait:>8.2} {all:>8.2} {:>7.0} {:>8.0}",
            bytes as f64 / count,
            1e6 / all
        );
        Ok(())
    }
}
