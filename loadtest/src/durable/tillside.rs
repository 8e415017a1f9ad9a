//! The real server over real gRPC, filled with the same stores, products and levels.

use super::{
    basket::{Basket, PRODUCTS, STORES},
    process::Server,
};
use crate::wire::{Connection, frame};
use anyhow::Context as _;
use http::Uri;
use prost_types::Timestamp;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};
use tillside_client::{ClientConfig, IngestOptions, Tillside, v1};

/// Things of one call.
const CHUNK: usize = 500;

/// Starts `program` with data in `directory` and fills it.
pub(super) async fn start(program: &Path, directory: &Path) -> anyhow::Result<Server> {
    anyhow::ensure!(
        program.is_file(),
        "there is no {}; build it, or name it with --server-program",
        program.display()
    );
    std::fs::create_dir_all(directory)?;
    let address = super::process::free_address()?;
    let mut start = Command::new(program);
    start
        .arg("--data-dir")
        .arg(directory.join("data"))
        .args(["--listen", &address.to_string()])
        .args(["--http-listen", "127.0.0.1:0"])
        .args(["--log-level", "warn"]);
    let server = Server::start("tillside-server", start, address).await?;
    fill(address).await.context("Filling the server")?;
    Ok(server)
}

async fn fill(address: SocketAddr) -> anyhow::Result<()> {
    let client = Tillside::connect(ClientConfig::new(format!("http://{address}"))).await?;
    let stores = (0..STORES)
        .map(|store| v1::Store {
            store_id: store.to_string(),
            display_name: format!("Store {store}"),
            location: Some(v1::LatLng {
                latitude: 41.0 + f64::from(store) * 0.03,
                longitude: 12.0 + f64::from(store) * 0.02,
            }),
            time_zone: "Europe/Rome".to_owned(),
            state: v1::StoreState::Open.into(),
            ..Default::default()
        })
        .collect();
    client
        .put_stores(v1::PutStoresRequest {
            stores,
            ..Default::default()
        })
        .await?;
    let products: Vec<v1::Product> = (0..PRODUCTS)
        .map(|sku| v1::Product {
            sku: format!("P{sku}"),
            display_name: format!("Product {sku}"),
            unit: v1::Unit::Ea.into(),
            vat_rate_basis_points: 2200,
            ..Default::default()
        })
        .collect();
    for products in products.chunks(CHUNK) {
        client
            .put_products(v1::PutProductsRequest {
                products: products.to_vec(),
                ..Default::default()
            })
            .await?;
    }
    let info = client
        .get_server_info(v1::GetServerInfoRequest::default())
        .await?
        .value;
    let counted = Timestamp {
        seconds: info.now.map_or(0, |now| now.seconds) - 60,
        nanos: 0,
    };
    let rejected = std::sync::Arc::new(std::sync::atomic::AtomicI32::new(0));
    let mut stream = client.ingest(&IngestOptions::default(), {
        let rejected = std::sync::Arc::clone(&rejected);
        move |(), answer: v1::IngestEventsResponse| {
            rejected.fetch_add(answer.rejected, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let quantity = v1::Quantity {
        thousandths: 900_000_000_000,
        unit: v1::Unit::Ea.into(),
    };
    for store in 0..STORES {
        let counts: Vec<v1::Event> = (0..PRODUCTS)
            .map(|sku| v1::Event {
                event_id: format!("count-{store}-{sku}"),
                source: "durable-compare".to_owned(),
                occurred_time: Some(counted),
                offline: false,
                payload: Some(v1::event::Payload::StockCount(v1::StockCounted {
                    sku: format!("P{sku}"),
                    store_id: store.to_string(),
                    on_hand: Some(quantity),
                    safety_stock: None,
                })),
                ..Default::default()
            })
            .collect();
        for counts in counts.chunks(CHUNK) {
            stream.send(counts, ()).await?;
        }
    }
    stream.finish().await?;
    let rejected = rejected.load(std::sync::atomic::Ordering::Relaxed);
    anyhow::ensure!(rejected == 0, "{rejected} counts were refused");
    Ok(())
}

/// A connection; calls share it.
#[derive(Clone)]
pub(super) struct Grpc {
    connection: Connection,
    uri: Uri,
}

impl Grpc {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let connection = Connection::open(address).await?;
        let uri = connection.uri(crate::workload::Op::Reserve.path());
        Ok(Self { connection, uri })
    }

    pub(super) async fn reserve(&mut self, basket: &Basket) -> anyhow::Result<()> {
        self.connection
            .call(self.uri.clone(), frame(&basket.request()))
            .await
            .map(drop)
            .map_err(|status| anyhow::anyhow!("{}", crate::wire::reason(&status)))
    }
}

/// The server's program beside this one.
pub(super) fn program_beside() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("tillside-server"))
}
