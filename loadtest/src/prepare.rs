//! The world the load is about: made from the seed, and loaded into the server where that is asked for. A server that the
//! demo loaded with the same seed has the same identifiers.

use anyhow::Context as _;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tillside_client::{ClientConfig, IngestOptions, Tillside, v1};
use tillside_retailer::{World, WorldSize};

/// Which world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WorldKind {
    /// As `tillside demo` makes it: 250 stores, 8,000 products, 50,000 customers, 500,000 receipts
    Demo,
    /// 20 stores, 400 products, 500 customers, 3,000 receipts
    Small,
}

impl WorldKind {
    fn size(self) -> WorldSize {
        match self {
            WorldKind::Demo => WorldSize::demo(),
            WorldKind::Small => WorldSize::small(),
        }
    }
}

/// Things a catalog call, events a message of the stream.
const CHUNK: usize = 250;

/// Makes the world; loads it where `load`, else checks that the server knows its first and last customer.
pub(crate) async fn world(
    server: &str,
    seed: u64,
    kind: WorldKind,
    load: bool,
) -> anyhow::Result<World> {
    let client = Tillside::connect(ClientConfig::new(server)).await?;
    let info = client
        .get_server_info(v1::GetServerInfoRequest::default())
        .await?
        .value;
    let now_seconds = info.now.map_or(0, |now| now.seconds);
    // Whole hours: stock counted "now" must not be in the server's future.
    let world = World::new(seed, kind.size(), now_seconds / 3600 * 3600)?;
    if load {
        load_all(&client, &world).await?;
    }
    for customer in [0, world.size().customers - 1] {
        let request = v1::RecognizeCustomerRequest {
            identifiers: vec![v1::Identifier {
                r#type: v1::IdentifierType::LoyaltyCard.into(),
                value: world.card(customer),
                ..Default::default()
            }],
            ..Default::default()
        };
        let known = client.recognize_customer(request).await?.value.customer;
        anyhow::ensure!(
            known.is_some_and(|known| known.customer_id == world.customer_id(customer)),
            "the server does not hold the {kind:?} world of seed {seed}; load it with --load, or by `tillside demo --seed {seed}`"
        );
    }
    Ok(world)
}

async fn load_all(client: &Tillside, world: &World) -> anyhow::Result<()> {
    let started = Instant::now();
    let stores: Vec<v1::Store> = world.stores().collect();
    for stores in stores.chunks(CHUNK) {
        client
            .put_stores(v1::PutStoresRequest {
                stores: stores.to_vec(),
                ..Default::default()
            })
            .await?;
    }
    let products: Vec<v1::Product> = world.products().collect();
    for products in products.chunks(CHUNK) {
        client
            .put_products(v1::PutProductsRequest {
                products: products.to_vec(),
                ..Default::default()
            })
            .await?;
    }
    for offer in world.offers() {
        client
            .put_offer(v1::PutOfferRequest {
                offer: Some(offer),
                ..Default::default()
            })
            .await?;
    }
    let rejected = Arc::new(AtomicU64::new(0));
    let mut stream = client.ingest(&IngestOptions::default(), {
        let rejected = Arc::clone(&rejected);
        move |(), answer: v1::IngestEventsResponse| {
            rejected.fetch_add(
                u64::try_from(answer.rejected).unwrap_or(0),
                Ordering::Relaxed,
            );
        }
    });
    let mut events = world
        .customers()
        .chain(world.stock_counts())
        .chain(world.receipts())
        .peekable();
    while events.peek().is_some() {
        let message: Vec<v1::Event> = events.by_ref().take(CHUNK).collect();
        stream.send(&message, ()).await?;
    }
    stream.finish().await.context("Loading the world")?;
    let rejected = rejected.load(Ordering::Relaxed);
    anyhow::ensure!(
        rejected == 0,
        "the server refused {rejected} events of the world"
    );
    eprintln!(
        "loaded the world in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
