//! Loads the world through the API: stores, products and offers by upsert, the rest as one stream of events that a thread
//! generates and encodes while the server takes them in.

use super::paint::Paint;
use anyhow::Context as _;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tillside_client::{EncodedEvents, IngestOptions, Tillside, v1};
use tillside_retailer::World;
use tokio::sync::mpsc;

/// Things a catalog call.
const PUTS_PER_CALL: usize = 250;
/// Events a message; a message also ends at [`MESSAGE_BYTES`].
const EVENTS_PER_MESSAGE: usize = 500;
const MESSAGE_BYTES: usize = 100 << 10;
/// Messages that wait, encoded, for the stream. A few: generating is faster than taking in.
const QUEUE_MESSAGES: usize = 8;

/// The parts of the stream, in order. Stock comes before receipts: a sale from before the count moves no stock.
const PHASES: [&str; 3] = ["customers", "stock levels", "receipts"];

/// What came back for one part.
#[derive(Debug, Clone, Default)]
struct Tally {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    first_rejection: Option<v1::Problem>,
    last_time: Option<Instant>,
}

/// Whether the server holds this world already, all of it.
pub(super) async fn is_loaded(
    world: &World,
    client: &Tillside,
    info: &v1::ServerInfo,
) -> anyhow::Result<bool> {
    let counts = info.counts.unwrap_or_default();
    if counts.stores == 0 && counts.customers == 0 {
        return Ok(false);
    }
    let ours = if counts.customers > 0 {
        recognised(world, client, 0).await?.as_deref() == Some(world.customer_id(0).as_str())
    } else {
        // An earlier load may have ended before the customers.
        let request = v1::GetStoreRequest {
            store_id: world.store_id(0).to_owned(),
        };
        let store = client.get_store(request).await;
        store.is_ok_and(|store| store.value.display_name == world.store_name(0))
    };
    anyhow::ensure!(
        ours,
        "the server holds another retailer, or the world of another seed; start the demo on a server of its own"
    );
    let size = world.size();
    let complete = counts.stores >= u64::from(size.stores)
        && counts.products >= u64::from(size.products)
        && counts.customers >= u64::from(size.customers)
        && counts.stock_levels >= world.stock_count_total()
        && counts.transactions >= size.receipts;
    Ok(complete
        && recognised(world, client, size.customers - 1)
            .await?
            .is_some())
}

async fn recognised(
    world: &World,
    client: &Tillside,
    customer: u32,
) -> anyhow::Result<Option<String>> {
    let request = v1::RecognizeCustomerRequest {
        identifiers: vec![crate::inputs::identifier(
            v1::IdentifierType::LoyaltyCard,
            &world.card(customer),
        )],
        view: v1::ProfileView::Basic.into(),
        ..Default::default()
    };
    let answer = client.recognize_customer(request).await?.value;
    Ok(answer.customer.map(|customer| customer.customer_id))
}

/// What the server holds, in a sentence.
pub(super) fn counts_sentence(info: &v1::ServerInfo) -> String {
    let counts = info.counts.unwrap_or_default();
    format!(
        "{} stores, {} products, {} customers, {} stock levels, {} receipts",
        HumanCount(counts.stores),
        HumanCount(counts.products),
        HumanCount(counts.customers),
        HumanCount(counts.stock_levels),
        HumanCount(counts.transactions)
    )
}

/// Loads everything. Loading again what is there changes nothing.
pub(super) async fn load(
    world: &Arc<World>,
    client: &Tillside,
    paint: &Paint,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let stores: Vec<v1::Store> = world.stores().collect();
    let products: Vec<v1::Product> = world.products().collect();
    let offers = world.offers();
    let totals = [stores.len(), products.len(), offers.len()];
    for stores in stores.chunks(PUTS_PER_CALL) {
        let request = v1::PutStoresRequest {
            stores: stores.to_vec(),
            ..Default::default()
        };
        client
            .put_stores(request)
            .await
            .context("Loading the stores")?;
    }
    for products in products.chunks(PUTS_PER_CALL) {
        let request = v1::PutProductsRequest {
            products: products.to_vec(),
            ..Default::default()
        };
        client
            .put_products(request)
            .await
            .context("Loading the products")?;
    }
    for offer in offers {
        let request = v1::PutOfferRequest {
            offer: Some(offer),
            ..Default::default()
        };
        client
            .put_offer(request)
            .await
            .context("Loading the offers")?;
    }
    say!(
        "{:>9} stores, {} products, {} offers{}",
        HumanCount(totals[0] as u64).to_string(),
        HumanCount(totals[1] as u64),
        HumanCount(totals[2] as u64),
        paint.dim(&format!("{:>6.2} s", started.elapsed().as_secs_f64()))
    );
    stream(world, client, paint).await
}

async fn stream(world: &Arc<World>, client: &Tillside, paint: &Paint) -> anyhow::Result<()> {
    let size = world.size();
    let totals = [
        u64::from(size.customers),
        world.stock_count_total(),
        size.receipts,
    ];
    let bar = progress_bar(totals.iter().sum());
    let tallies: Arc<Mutex<[Tally; 3]>> = Arc::default();
    let (messages, mut queue) = mpsc::channel(QUEUE_MESSAGES);
    let generator = std::thread::spawn({
        let world = Arc::clone(world);
        move || generate(&world, &messages)
    });
    let mut ingest = client.ingest(&IngestOptions::default(), {
        let (bar, tallies) = (bar.clone(), Arc::clone(&tallies));
        move |phase: usize, answer: v1::IngestEventsResponse| {
            let taken = tallies.lock().unwrap_or_else(PoisonError::into_inner)[phase].add(answer);
            bar.set_message(PHASES[phase]);
            bar.inc(taken);
        }
    });
    let started = Instant::now();
    while let Some((phase, events)) = queue.recv().await {
        ingest.send_encoded(events, phase).await?;
    }
    ingest.finish().await?;
    anyhow::ensure!(generator.join().is_ok(), "generating the world failed");
    bar.finish_and_clear();
    let tallies = std::mem::take(&mut *tallies.lock().unwrap_or_else(PoisonError::into_inner));
    let mut from = started;
    for ((name, total), tally) in PHASES.iter().zip(totals).zip(&tallies) {
        let until = tally.last_time.unwrap_or(from);
        say!(
            "{}",
            tally.sentence(name, total, until.duration_since(from), paint)
        );
        from = until;
    }
    let rejected = tallies
        .iter()
        .find_map(|tally| tally.first_rejection.as_ref());
    match rejected {
        Some(problem) => anyhow::bail!(
            "the server refused part of the world, first: {} {} {}",
            problem.reason,
            problem.field,
            problem.message
        ),
        None => Ok(()),
    }
}

/// Ends early, without a word, where the receiver has gone: the other side knows why.
fn generate(world: &World, messages: &mpsc::Sender<(usize, EncodedEvents)>) {
    let _ = send_all(0, world.customers(), messages)
        && send_all(1, world.stock_counts(), messages)
        && send_all(2, world.receipts(), messages);
}

fn send_all(
    phase: usize,
    events: impl Iterator<Item = v1::Event>,
    messages: &mpsc::Sender<(usize, EncodedEvents)>,
) -> bool {
    let empty = || EncodedEvents::with_capacity(MESSAGE_BYTES + MESSAGE_BYTES / 4);
    let mut message = empty();
    for event in events {
        message.push(&event);
        if message.len() == EVENTS_PER_MESSAGE || message.encoded_bytes() >= MESSAGE_BYTES {
            let full = std::mem::replace(&mut message, empty());
            if messages.blocking_send((phase, full)).is_err() {
                return false;
            }
        }
    }
    message.is_empty() || messages.blocking_send((phase, message)).is_ok()
}

impl Tally {
    /// Adds an answer; answers how many events it was about.
    fn add(&mut self, answer: v1::IngestEventsResponse) -> u64 {
        let count = |number: i32| u64::try_from(number).unwrap_or(0);
        self.accepted += count(answer.accepted);
        self.duplicates += count(answer.duplicates);
        self.rejected += count(answer.rejected);
        self.last_time = Some(Instant::now());
        if self.first_rejection.is_none() {
            self.first_rejection = answer
                .acks
                .into_iter()
                .filter(|ack| ack.status() == v1::AckStatus::Rejected)
                .find_map(|ack| ack.problem);
        }
        count(answer.accepted) + count(answer.duplicates) + count(answer.rejected)
    }

    fn sentence(&self, name: &str, total: u64, took: Duration, paint: &Paint) -> String {
        let seconds = took.as_secs_f64();
        let rate = (total as f64 / seconds.max(0.001)) as u64;
        let mut text = format!(
            "{:>9} {name:<14}{}",
            HumanCount(total).to_string(),
            paint.dim(&format!("{seconds:>6.2} s {:>9}/s", HumanCount(rate)))
        );
        if self.duplicates > 0 {
            text.push_str(&format!(
                "  {} were there already",
                HumanCount(self.duplicates)
            ));
        }
        if self.rejected > 0 {
            text.push_str(&format!("  {} refused", HumanCount(self.rejected)));
        }
        text
    }
}

/// Draws nothing where stderr is no terminal.
fn progress_bar(total: u64) -> ProgressBar {
    let template = "{msg:>13} [{bar:40}] {human_pos}/{human_len}  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(total).with_style(style)
}
