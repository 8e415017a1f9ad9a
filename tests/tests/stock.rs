//! Stock end to end: mirrors that follow it through restarts, deliveries and transfers, rules, numbered sources, and the
//! proof on the running server that everything adds up.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tillside_proto::v1;
use tillside_proto::v1::catalog_service_client::CatalogServiceClient;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::ingest_service_client::IngestServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_proto::v1::simulation_service_client::SimulationServiceClient;
use tillside_tests::Server;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

const START: &str = "2026-11-02T09:00:00Z";
const SKUS: [&str; 3] = ["milk", "bread", "tea"];

fn time(seconds_after_start: i64) -> prost_types::Timestamp {
    let mut time: prost_types::Timestamp = START.parse().expect("a literal");
    time.seconds += seconds_after_start;
    time
}

fn pieces(n: i64) -> Option<v1::Quantity> {
    Some(v1::Quantity {
        thousandths: n * 1000,
        unit: v1::Unit::Ea.into(),
    })
}

fn start(data: &Path) -> Result<Server> {
    Server::start(data, &["--simulated-clock", START])
}

/// A till or a connector.
struct Shop {
    channel: Channel,
    inventory: InventoryServiceClient<Channel>,
    requests: u32,
}

impl Shop {
    async fn of(server: &Server) -> Result<Self> {
        let channel = server.channel().await?;
        Ok(Shop {
            inventory: InventoryServiceClient::new(channel.clone()),
            channel,
            requests: 0,
        })
    }

    /// Request ids go on where an earlier connection stopped.
    fn request_id(&mut self, what: &str) -> String {
        self.requests += 1;
        format!("{what} {}", self.requests)
    }

    /// Two stores and three products, ten of each everywhere.
    async fn open(&mut self) -> Result<()> {
        let mut catalog = CatalogServiceClient::new(self.channel.clone());
        let store = |id: &str, latitude| v1::Store {
            store_id: id.into(),
            location: Some(v1::LatLng {
                latitude,
                longitude: 11.25,
            }),
            ..Default::default()
        };
        let stores = v1::PutStoresRequest {
            request_id: "stores".into(),
            stores: vec![store("NEAR", 43.77), store("FAR", 43.87)],
        };
        catalog.put_stores(stores).await?;
        let product = |sku: &str| v1::Product {
            sku: sku.into(),
            category_path: vec!["Food".into()],
            ..Default::default()
        };
        let products = v1::PutProductsRequest {
            request_id: "products".into(),
            products: SKUS.map(product).into(),
        };
        catalog.put_products(products).await?;
        for store in ["NEAR", "FAR"] {
            for sku in SKUS {
                let count = v1::SetStockCountRequest {
                    request_id: format!("count {sku} {store}"),
                    sku: sku.into(),
                    store_id: store.into(),
                    on_hand: pieces(10),
                    ..Default::default()
                };
                self.inventory.set_stock_count(count).await?;
            }
        }
        Ok(())
    }

    async fn adjust(&mut self, sku: &str, store: &str, n: i64) -> Result<v1::StockLevel> {
        let request = v1::AdjustStockRequest {
            request_id: self.request_id(&format!("adjust {sku} {store} {n}")),
            sku: sku.into(),
            store_id: store.into(),
            delta: pieces(n),
            ..Default::default()
        };
        Ok(self.inventory.adjust_stock(request).await?.into_inner())
    }

    async fn level(&mut self, sku: &str, store: &str) -> Result<v1::StockLevel> {
        let request = v1::GetAvailabilityRequest {
            sku: sku.into(),
            store_id: store.into(),
        };
        Ok(self.inventory.get_availability(request).await?.into_inner())
    }

    async fn reserve(&mut self, order: &str, sku: &str, n: i64) -> Result<v1::Reservation, Status> {
        let location = v1::LatLng {
            latitude: 43.77,
            longitude: 11.25,
        };
        let request = v1::ReserveFulfillmentRequest {
            request_id: self.request_id(order),
            order_id: order.into(),
            origin: Some(v1::Place {
                place: Some(v1::place::Place::Location(location)),
                ..Default::default()
            }),
            lines: vec![v1::FulfillmentLine {
                line_id: "1".into(),
                sku: sku.into(),
                quantity: pieces(n),
                ..Default::default()
            }],
            hold_duration: Some(prost_types::Duration {
                seconds: 900,
                nanos: 0,
            }),
            ..Default::default()
        };
        let mut fulfillment = FulfillmentServiceClient::new(self.channel.clone());
        Ok(fulfillment.reserve_fulfillment(request).await?.into_inner())
    }

    async fn check(&mut self) -> Result<v1::CheckInvariantsResponse> {
        let request = v1::CheckInvariantsRequest::default();
        let answer = self.inventory.check_invariants(request).await?.into_inner();
        ensure!(answer.violations.is_empty(), "{answer:?}");
        ensure!(answer.violations_count == 0, "{answer:?}");
        Ok(answer)
    }
}

/// What a web site keeps of stock: on_hand, what may be promised, and what is on its way, in pieces.
#[derive(Default)]
struct Mirror {
    levels: BTreeMap<(String, String), (i64, i64, i64)>,
    token: String,
}

impl Mirror {
    async fn watch(
        &self,
        shop: &mut Shop,
        stores: &[&str],
    ) -> Result<Streaming<v1::WatchAvailabilityResponse>, Status> {
        let request = v1::WatchAvailabilityRequest {
            store_ids: stores.iter().map(|s| (*s).into()).collect(),
            resume_token: self.token.clone(),
            heartbeat_interval: Some(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            }),
            ..Default::default()
        };
        Ok(shop
            .inventory
            .watch_availability(request)
            .await?
            .into_inner())
    }

    /// Takes one message; answers what it was about.
    async fn take(
        &mut self,
        stream: &mut Streaming<v1::WatchAvailabilityResponse>,
    ) -> Result<v1::WatchAvailabilityResponse> {
        let message = stream.message().await?.context("the stream ended")?;
        for level in &message.levels {
            let figures = (
                level.on_hand_thousandths / 1000,
                level.available_online_thousandths / 1000,
                level.incoming_thousandths / 1000,
            );
            let key = (level.sku.clone(), level.store_id.clone());
            self.levels.insert(key, figures);
        }
        if !message.resume_token.is_empty() {
            self.token.clone_from(&message.resume_token);
        }
        Ok(message)
    }

    /// Takes messages until a level is as expected.
    async fn until(
        &mut self,
        stream: &mut Streaming<v1::WatchAvailabilityResponse>,
        (sku, store): (&str, &str),
        expected: (i64, i64, i64),
    ) -> Result<()> {
        // Each heartbeat is a message, so that this ends where the change never comes.
        for _ in 0..100 {
            if self.levels.get(&(sku.into(), store.into())) == Some(&expected) {
                return Ok(());
            }
            self.take(stream).await?;
        }
        bail!(
            "{sku} in {store} is {:?}",
            self.levels.get(&(sku.into(), store.into()))
        )
    }
}

fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map_or_else(String::new, |info| info.reason)
}

#[tokio::test]
async fn a_mirror_follows_every_change_and_goes_on_after_a_kill_where_it_was() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let mut shop = Shop::of(&server).await?;
    shop.open().await?;

    let mut mirror = Mirror::default();
    let mut stream = mirror.watch(&mut shop, &["NEAR"]).await?;
    let first = mirror.take(&mut stream).await?;
    assert!(first.initial);
    assert_eq!(first.levels.len(), 3, "all of the one store, and no other");
    assert!(!mirror.token.is_empty(), "the picture is whole");

    shop.adjust("milk", "NEAR", -3).await?;
    mirror
        .until(&mut stream, ("milk", "NEAR"), (7, 7, 0))
        .await?;
    shop.adjust("milk", "FAR", -3).await?;
    shop.reserve("order", "bread", 4).await?;
    mirror
        .until(&mut stream, ("bread", "NEAR"), (10, 6, 0))
        .await?;
    // What follows quickly may come as one; what counts is the end.
    for _ in 0..50 {
        shop.adjust("tea", "NEAR", 1).await?;
    }
    mirror
        .until(&mut stream, ("tea", "NEAR"), (60, 60, 0))
        .await?;
    assert!(mirror.levels.keys().all(|(_, store)| store == "NEAR"));

    // The hold runs out by the server's own timer.
    let mut simulation = SimulationServiceClient::new(shop.channel.clone());
    let advance = v1::AdvanceClockRequest {
        now: Some(time(901)),
    };
    simulation.advance_clock(advance).await?;
    mirror
        .until(&mut stream, ("bread", "NEAR"), (10, 10, 0))
        .await?;

    // A buffer is shown for every level of its store.
    let rules = v1::SetStockRulesRequest {
        request_id: "rules".into(),
        safety_buffers: vec![v1::SafetyBuffer {
            store_id: "NEAR".into(),
            quantity: pieces(2),
            ..Default::default()
        }],
        ..Default::default()
    };
    shop.inventory.set_stock_rules(rules).await?;
    for (sku, on_hand) in [("milk", 7), ("bread", 10), ("tea", 60)] {
        let expected = (on_hand, on_hand - 2, 0);
        mirror.until(&mut stream, (sku, "NEAR"), expected).await?;
    }

    // Killed; while the mirror is away, one level changes and another does not.
    server.kill()?;
    assert!(
        stream.message().await.is_err(),
        "the stream ends with the server"
    );
    let server = start(&data)?;
    let mut shop = Shop {
        requests: 1000,
        ..Shop::of(&server).await?
    };
    shop.adjust("milk", "NEAR", 5).await?;
    shop.adjust("bread", "FAR", 5).await?;
    let mut stream = mirror.watch(&mut shop, &["NEAR"]).await?;
    let missed = mirror.take(&mut stream).await?;
    assert!(!missed.initial);
    let changed: Vec<_> = missed.levels.iter().map(|l| l.sku.as_str()).collect();
    assert_eq!(changed, ["milk"], "what changed since, and nothing else");
    mirror
        .until(&mut stream, ("milk", "NEAR"), (12, 10, 0))
        .await?;
    shop.adjust("milk", "NEAR", 1).await?;
    mirror
        .until(&mut stream, ("milk", "NEAR"), (13, 11, 0))
        .await?;
    // Where nothing changes, a heartbeat brings a token that is no older.
    let beat = mirror.take(&mut stream).await?;
    assert!(beat.levels.is_empty() && !beat.resume_token.is_empty());

    // The mirror is what the server says.
    for ((sku, store), figures) in mirror.levels.clone() {
        let level = shop.level(&sku, &store).await?;
        let said = (
            level.on_hand_thousandths / 1000,
            level.available_online_thousandths / 1000,
            level.incoming_thousandths / 1000,
        );
        assert_eq!(figures, said, "{sku} in {store}");
    }
    assert!(server.metric("tillside_availability_watchers").await? >= 1.0);

    // A server that is told to stop says so to its watchers.
    let (stopped, ended) = tokio::join!(server.stop(), async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                ended => return ended,
            }
        }
    });
    assert!(stopped?.success());
    assert_eq!(reason(&ended.expect_err("a reason")), "NOT_READY");
    Ok(())
}

#[tokio::test]
async fn a_token_that_cannot_be_honoured_is_refused_by_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let mut shop = Shop::of(&server).await?;
    shop.open().await?;
    let mut mirror = Mirror::default();
    let mut stream = mirror.watch(&mut shop, &[]).await?;
    mirror.take(&mut stream).await?;
    assert_eq!(mirror.levels.len(), 6);
    let (sequence, _) = mirror.token.rsplit_once('-').context("a token")?;
    // Of another history, from the future, and no token at all.
    for (token, expected) in [
        (format!("{sequence}-00000000"), "RESUME_TOKEN_TOO_OLD"),
        ("w1-999999-00000000".to_owned(), "RESUME_TOKEN_TOO_OLD"),
        ("yesterday".to_owned(), "INVALID_FIELD"),
    ] {
        let strange = Mirror {
            token,
            ..Mirror::default()
        };
        let status = match strange.watch(&mut shop, &[]).await {
            Err(status) => status,
            Ok(mut stream) => stream.message().await.expect_err("a refusal"),
        };
        assert_eq!(reason(&status), expected);
    }
    let unknown = mirror
        .watch(&mut shop, &["NOWHERE"])
        .await
        .expect_err("a refusal");
    assert_eq!(reason(&unknown), "UNKNOWN_STORE");
    Ok(())
}

#[tokio::test]
async fn deliveries_transfers_and_numbered_sources_add_up_before_and_after_a_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let mut shop = Shop::of(&server).await?;
    shop.open().await?;
    let line = |sku: &str, n| v1::InboundLine {
        sku: sku.into(),
        quantity: pieces(n),
        ..Default::default()
    };
    let transfer = v1::ScheduleInboundRequest {
        request_id: "transfer".into(),
        delivery: Some(v1::InboundDelivery {
            delivery_id: "T-1".into(),
            store_id: "NEAR".into(),
            from_store_id: "FAR".into(),
            expected_time: Some(time(3600)),
            lines: vec![line("milk", 4)],
            ..Default::default()
        }),
        ..Default::default()
    };
    let scheduled = shop
        .inventory
        .schedule_inbound(transfer.clone())
        .await?
        .into_inner();
    assert_eq!(scheduled.state(), v1::InboundState::Expected);
    let figures = |level: &v1::StockLevel| {
        (
            level.on_hand_thousandths / 1000,
            level.incoming_thousandths / 1000,
            level.near_time_thousandths / 1000,
        )
    };
    assert_eq!(figures(&shop.level("milk", "FAR").await?), (6, 0, 0));
    let near = shop.level("milk", "NEAR").await?;
    assert_eq!(figures(&near), (10, 4, 4));
    assert_eq!(near.incoming_time, Some(time(3600)));

    // The ERP numbers what it tells: repeated, late, and one missing.
    let mut ingest = IngestServiceClient::new(shop.channel.clone());
    let announce = |number: u64, n: i64| v1::Event {
        event_id: format!("asn {number} {n}"),
        source: "erp".into(),
        source_sequence: number,
        payload: Some(v1::event::Payload::InboundScheduled(v1::InboundScheduled {
            delivery: Some(v1::InboundDelivery {
                delivery_id: "D-1".into(),
                store_id: "NEAR".into(),
                expected_time: Some(time(30 * 86_400)),
                lines: vec![line("tea", n)],
                ..Default::default()
            }),
        })),
        ..Default::default()
    };
    let batch = v1::IngestBatchRequest {
        events: vec![
            announce(2, 20),
            announce(5, 50),
            announce(3, 30),
            announce(5, 55),
        ],
    };
    let acks = ingest.ingest_batch(batch).await?.into_inner().acks;
    let told: Vec<_> = acks
        .iter()
        .map(|ack| {
            (
                ack.status(),
                ack.warnings.first().map(|w| w.reason.as_str()),
            )
        })
        .collect();
    let accepted = v1::AckStatus::Accepted;
    assert_eq!(
        told,
        [
            (accepted, None),
            (accepted, None),
            (accepted, Some("SUPERSEDED")),
            (v1::AckStatus::Duplicate, None)
        ]
    );
    assert_eq!(figures(&shop.level("tea", "NEAR").await?), (10, 50, 0));
    let sources = v1::ListSourcesRequest::default();
    let sources = shop
        .inventory
        .list_sources(sources)
        .await?
        .into_inner()
        .sources;
    let source = sources.first().context("a source")?;
    let progress = (source.first_sequence, source.highest_sequence);
    assert_eq!((progress, source.missing, source.late), ((2, 5), 1, 1));

    shop.check().await?;
    drop(ingest);
    server.kill()?;
    let server = start(&data)?;
    let mut shop = Shop {
        requests: 1000,
        ..Shop::of(&server).await?
    };
    let again = shop
        .inventory
        .schedule_inbound(transfer)
        .await?
        .into_inner();
    assert_eq!(
        again, scheduled,
        "a retry after the crash gets the first answer"
    );
    assert_eq!(figures(&shop.level("milk", "FAR").await?), (6, 0, 0));
    let receive = |request_id: &str, lines| v1::ReceiveInboundRequest {
        request_id: request_id.into(),
        delivery_id: "T-1".into(),
        lines,
        ..Default::default()
    };
    shop.inventory
        .receive_inbound(receive("a", vec![line("milk", 1)]))
        .await?;
    assert_eq!(figures(&shop.level("milk", "NEAR").await?), (11, 3, 3));
    let all = shop
        .inventory
        .receive_inbound(receive("b", vec![]))
        .await?
        .into_inner();
    assert_eq!(all.state(), v1::InboundState::Received);
    assert_eq!(figures(&shop.level("milk", "NEAR").await?), (14, 0, 0));
    let cancel = v1::CancelInboundRequest {
        request_id: "c".into(),
        delivery_id: "T-1".into(),
    };
    let refused = shop
        .inventory
        .cancel_inbound(cancel)
        .await
        .expect_err("it came");
    assert_eq!(reason(&refused), "DELIVERY_ENDED");
    let list = v1::ListInboundRequest {
        expected_only: true,
        ..Default::default()
    };
    let open = shop
        .inventory
        .list_inbound(list)
        .await?
        .into_inner()
        .deliveries;
    let open: Vec<_> = open.iter().map(|d| d.delivery_id.as_str()).collect();
    assert_eq!(open, ["D-1"]);
    let checked = shop.check().await?;
    assert_eq!(checked.levels_checked, 6);
    assert!(checked.records_checked > 0);
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn rules_keep_stock_back_prices_differ_by_store_and_what_is_short_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let mut shop = Shop::of(&server).await?;
    shop.open().await?;
    let buffer = |store: &str, category: &[&str], sku: &str, n| v1::SafetyBuffer {
        store_id: store.into(),
        category_path: category.iter().map(|c| (*c).into()).collect(),
        sku: sku.into(),
        quantity: pieces(n),
    };
    let rules = v1::SetStockRulesRequest {
        request_id: "rules".into(),
        safety_buffers: vec![buffer("", &["Food"], "", 1), buffer("NEAR", &[], "milk", 9)],
        near_time_rules: vec![v1::NearTimeRule {
            store_id: "FAR".into(),
            horizon: Some(prost_types::Duration::default()),
        }],
    };
    let put = shop.inventory.set_stock_rules(rules).await?.into_inner();
    assert_eq!((put.created, put.updated, put.unchanged), (3, 0, 0));
    let online = |level: v1::StockLevel| level.available_online_thousandths / 1000;
    assert_eq!(online(shop.level("milk", "NEAR").await?), 1);
    assert_eq!(online(shop.level("milk", "FAR").await?), 9);
    assert_eq!(online(shop.level("tea", "NEAR").await?), 9);
    let held = shop.reserve("o1", "milk", 2).await?;
    assert_eq!(
        held.legs[0].store_id, "FAR",
        "the nearest keeps its last ones"
    );
    let list = v1::ListStockRulesRequest::default();
    let listed = shop.inventory.list_stock_rules(list).await?.into_inner();
    assert_eq!(
        (listed.safety_buffers.len(), listed.near_time_rules.len()),
        (2, 1)
    );
    let both = v1::SetStockRulesRequest {
        request_id: "both".into(),
        safety_buffers: vec![buffer("", &["Food"], "milk", 1), buffer("", &[], "", -1)],
        ..Default::default()
    };
    let refused = shop
        .inventory
        .set_stock_rules(both)
        .await
        .expect_err("two bad rules");
    let fields = refused.get_details_bad_request().context("the fields")?;
    let fields: Vec<_> = fields
        .field_violations
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["safety_buffers[0].sku", "safety_buffers[1].quantity"]
    );

    // Six of the eight that are left in FAR are sold over the counter, and then some.
    shop.adjust("milk", "FAR", -9).await?;
    let short = v1::ListShortagesRequest {
        store_id: "FAR".into(),
        ..Default::default()
    };
    let short = shop.inventory.list_shortages(short).await?.into_inner();
    assert_eq!((short.levels_count, short.reservations_count), (1, 1));
    let at_risk = &short.reservations[0];
    assert_eq!(
        (at_risk.order_id.as_str(), at_risk.missing_thousandths),
        ("o1", 1000)
    );

    let price = v1::StorePrice {
        sku: "tea".into(),
        store_id: "NEAR".into(),
        price: Some(v1::Money {
            currency_code: "EUR".into(),
            minor_units: 250,
        }),
    };
    let prices = v1::SetStorePricesRequest {
        request_id: "prices".into(),
        prices: vec![price],
    };
    let put = shop.inventory.set_store_prices(prices).await?.into_inner();
    assert_eq!(put.created, 1);
    let request = v1::GetProductRequest {
        item: Some(v1::get_product_request::Item::Sku("tea".into())),
        store_id: "NEAR".into(),
    };
    let mut catalog = CatalogServiceClient::new(shop.channel.clone());
    let product = catalog.get_product(request).await?.into_inner();
    let price = product.store_price.context("a price of the store")?;
    assert_eq!(price.minor_units, 250);
    shop.check().await?;
    Ok(())
}

#[tokio::test]
async fn the_running_server_is_proven_sound_while_tills_change_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let mut shop = Shop::of(&server).await?;
    shop.open().await?;
    let mut tills = Vec::new();
    for till in 0..8 {
        let mut shop = Shop {
            requests: 10_000 * (till + 1),
            ..Shop::of(&server).await?
        };
        tills.push(tokio::spawn(async move {
            for n in 0..60 {
                let sku = SKUS[n % 3];
                // A basket that is no longer there is an answer here, too.
                drop(shop.reserve(&format!("order {till} {n}"), sku, 1).await);
                shop.adjust(sku, "NEAR", 1).await?;
            }
            anyhow::Ok(())
        }));
    }
    let mut looks = 0;
    while tills.iter().any(|till| !till.is_finished()) {
        shop.check().await?;
        looks += 1;
    }
    for till in tills {
        till.await??;
    }
    let checked = shop.check().await?;
    assert!(looks > 0 && checked.reservations_checked > 0);
    Ok(())
}
