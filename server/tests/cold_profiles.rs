//! A server with memory for about ten customers beside one that has room for all, over real gRPC: every answer is the same,
//! and so is every row on disk. And while customers come and go, nobody is ever seen as they were before.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tillside_proto::v1::{
    self, catalog_service_client::CatalogServiceClient,
    checkout_service_client::CheckoutServiceClient, customer_service_client::CustomerServiceClient,
    ingest_service_client::IngestServiceClient, offer_service_client::OfferServiceClient,
    operations_service_client::OperationsServiceClient,
};
use tillside_server::config::{Config, Settings};
use tillside_server::server::{self, Addresses, Ended};
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic::{Request, Status};

const SEED: u64 = 20_261_123;
/// What about ten customers take.
const FEW_BYTES: u64 = 12_000;
const PEOPLE: u64 = 60;

struct Running {
    addresses: Addresses,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<Ended>>,
}

impl Running {
    /// With the identifier key of `keys`: the same key gives the same rows.
    async fn start(dir: &Path, keys: &Path, hot_profiles_max_bytes: u64) -> Running {
        let settings = Settings {
            data_dir: Some(dir.join("data")),
            keys_dir: Some(keys.join("keys")),
            listen: Some("127.0.0.1:0".into()),
            http_listen: Some("127.0.0.1:0".into()),
            simulated_clock: Some("2026-11-23T09:00:00Z".into()),
            runtimes: Some(2),
            log_level: Some("warn".into()),
            hot_profiles_max_bytes: Some(hot_profiles_max_bytes),
            ..Settings::default()
        };
        let config = Config::from_settings(settings).expect("good settings");
        let (stop, stopped) = oneshot::channel::<()>();
        let (serving, addresses) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let told = move |at| {
                serving
                    .send(at)
                    .map_err(|_| anyhow::anyhow!("the test is gone"))
            };
            runtime.block_on(server::run(
                config,
                told,
                async move { drop(stopped.await) },
            ))
        });
        Running {
            addresses: addresses.await.expect("the server serves"),
            stop,
            thread,
        }
    }

    async fn channel(&self) -> Channel {
        let endpoint =
            Channel::from_shared(format!("http://{}", self.addresses.grpc)).expect("an address");
        endpoint.connect().await.expect("a connection")
    }

    async fn stop(self) {
        self.stop.send(()).expect("the server is there");
        let ended = tokio::task::spawn_blocking(move || self.thread.join())
            .await
            .expect("a thread");
        assert_eq!(
            ended.expect("no panic").expect("a clean end"),
            Ended::Stopped
        );
    }
}

fn identifier(kind: v1::IdentifierType, value: String) -> v1::Identifier {
    v1::Identifier {
        r#type: kind.into(),
        value,
        ..Default::default()
    }
}

fn card(n: u64) -> v1::Identifier {
    identifier(v1::IdentifierType::LoyaltyCard, format!("CARD{n}"))
}

fn email(n: u64) -> v1::Identifier {
    identifier(v1::IdentifierType::Email, format!("person{n}@example.it"))
}

fn line(minor_units: i64) -> v1::TransactionLine {
    v1::TransactionLine {
        item: Some(v1::transaction_line::Item::Sku("A".into())),
        quantity: Some(v1::Quantity {
            thousandths: 1000,
            unit: v1::Unit::Ea.into(),
        }),
        net_amount: Some(v1::Money {
            currency_code: "EUR".into(),
            minor_units,
        }),
        ..Default::default()
    }
}

fn sale(number: u64, whose: Vec<v1::Identifier>) -> v1::Event {
    let transaction = v1::RetailTransaction {
        key: Some(v1::TransactionKey {
            store_id: "1".into(),
            workstation_id: "7".into(),
            business_day_date: "2026-11-21".into(),
            sequence_number: number as i64,
        }),
        lines: vec![line(100 + number as i64)],
        customer_identifiers: whose,
        ..Default::default()
    };
    v1::Event {
        event_id: format!("e-{number}"),
        source: "pos".into(),
        occurred_time: Some(prost_types::Timestamp {
            seconds: 1_763_715_600 + number as i64,
            nanos: 0,
        }),
        payload: Some(v1::event::Payload::Transaction(transaction)),
        ..Default::default()
    }
}

fn enrolment(n: u64, request: &str) -> v1::CreateCustomerRequest {
    v1::CreateCustomerRequest {
        request_id: request.into(),
        customer_id: format!("c-{n}"),
        identifiers: vec![card(n), email(n)],
        consents: vec![v1::Consent {
            purpose: v1::ConsentPurpose::Profiling.into(),
            granted: true,
            decided_time: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 0,
            }),
            notice_version: "1".into(),
        }],
        ..Default::default()
    }
}

async fn load_catalog(channel: &Channel) {
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let store = v1::Store {
        store_id: "1".into(),
        location: Some(v1::LatLng {
            latitude: 45.0,
            longitude: 9.0,
        }),
        ..Default::default()
    };
    let stores = v1::PutStoresRequest {
        request_id: "stores".into(),
        stores: vec![store],
    };
    catalog.put_stores(stores).await.expect("a store");
    let product = v1::Product {
        sku: "A".into(),
        display_name: "Apples".into(),
        category_path: vec!["Fruit".into()],
        ..Default::default()
    };
    let products = v1::PutProductsRequest {
        request_id: "products".into(),
        products: vec![product],
    };
    catalog.put_products(products).await.expect("a product");
}

/// What one of the calls below answered, to be compared.
#[derive(Debug, PartialEq)]
enum Said {
    Recognised(v1::RecognizeCustomerResponse),
    Profile(v1::CustomerProfile),
    Created(v1::CreateCustomerResponse),
    Decision(v1::Decision),
    Checkout(Box<v1::EvaluateCheckoutResponse>),
    Taken(Vec<v1::EventAck>),
    Listed(v1::ListProvisionalCustomersResponse),
    Refused(tonic::Code, String),
}

fn said<T>(answer: Result<tonic::Response<T>, Status>, of: impl FnOnce(T) -> Said) -> Said {
    match answer {
        Ok(answer) => of(answer.into_inner()),
        Err(status) => Said::Refused(status.code(), status.message().to_owned()),
    }
}

/// A call drawn from `rng`, the same for the same numbers.
async fn one_call(channel: &Channel, rng: &mut StdRng, step: u64) -> Said {
    let n = rng.random_range(1..=PEOPLE);
    let other = rng.random_range(1..=PEOPLE);
    let request_id = format!("r-{step}");
    let mut customers = CustomerServiceClient::new(channel.clone());
    let view = [
        v1::ProfileView::Basic,
        v1::ProfileView::Checkout,
        v1::ProfileView::Full,
    ][rng.random_range(0..3)];
    let basket = v1::BasketLine {
        line_id: "1".into(),
        item: Some(v1::basket_line::Item::Sku("A".into())),
        quantity: line(0).quantity,
        ..Default::default()
    };
    match rng.random_range(0..12) {
        0 => said(
            customers.create_customer(enrolment(n, &request_id)).await,
            Said::Created,
        ),
        1 => {
            let contacts = v1::Contacts {
                town: format!("town {}", rng.random_range(0..9)),
                ..Default::default()
            };
            let update = v1::UpdateCustomerRequest {
                request_id,
                customer_id: format!("c-{n}"),
                update: Some(v1::CustomerUpdate {
                    contacts: Some(contacts),
                    ..Default::default()
                }),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["contacts.town".into()],
                }),
                ..Default::default()
            };
            said(customers.update_customer(update).await, Said::Profile)
        }
        2 => {
            let get = v1::GetCustomerRequest {
                customer_id: format!("c-{n}"),
                view: view.into(),
            };
            said(customers.get_customer(get).await, Said::Profile)
        }
        3 => {
            let request = v1::NextBestOfferRequest {
                identifiers: vec![card(n)],
                store_id: "1".into(),
                lines: vec![basket],
                ..Default::default()
            };
            let mut offers = OfferServiceClient::new(channel.clone());
            said(offers.next_best_offer(request).await, Said::Decision)
        }
        4 => {
            let request = v1::EvaluateCheckoutRequest {
                checkout_id: format!("checkout-{step}"),
                revision: 1,
                identifiers: vec![email(n)],
                store_id: "1".into(),
                lines: vec![basket],
                view: view.into(),
                ..Default::default()
            };
            let mut checkout = CheckoutServiceClient::new(channel.clone());
            said(checkout.evaluate_checkout(request).await, |answer| {
                Said::Checkout(Box::new(answer))
            })
        }
        5 | 6 => {
            // Several people, the first twice in a row, strangers among them.
            let whose = [n, n, other, n + 1, PEOPLE + other];
            let events = whose
                .into_iter()
                .zip(0..)
                .map(|(n, i)| sale(step * 10 + i, vec![card(n)]))
                .collect();
            let mut ingest = IngestServiceClient::new(channel.clone());
            said(
                ingest.ingest_batch(v1::IngestBatchRequest { events }).await,
                |answer| Said::Taken(answer.acks),
            )
        }
        7 => {
            let messages: Vec<_> = (0..8)
                .map(|position| v1::IngestEventsRequest {
                    position,
                    events: [n, other]
                        .into_iter()
                        .zip(0..)
                        .map(|(n, i)| {
                            sale(step * 100 + 1_000_000 + position * 2 + i, vec![card(n)])
                        })
                        .collect(),
                    omit_accepted: false,
                })
                .collect();
            let mut ingest = IngestServiceClient::new(channel.clone());
            let answers = ingest.ingest_events(futures_util::stream::iter(messages));
            let mut answers = answers.await.expect("a stream").into_inner();
            let mut acks = Vec::new();
            while let Some(answer) = answers.message().await.expect("no error") {
                acks.extend(answer.acks);
            }
            Said::Taken(acks)
        }
        8 => {
            let request = v1::ListProvisionalCustomersRequest {
                page_size: rng.random_range(1..30),
                ..Default::default()
            };
            let mut ingest = IngestServiceClient::new(channel.clone());
            said(
                ingest.list_provisional_customers(request).await,
                Said::Listed,
            )
        }
        shape => {
            let identifiers = match shape {
                9 => vec![card(n), email(other)],
                10 => vec![email(n)],
                _ => vec![card(n)],
            };
            let mut request = Request::new(v1::RecognizeCustomerRequest {
                identifiers,
                view: view.into(),
                ..Default::default()
            });
            if rng.random_bool(0.3) {
                // tonic's own service answers what names an encoding.
                let value = "identity".parse().expect("a value");
                request.metadata_mut().insert("grpc-encoding", value);
            }
            said(
                customers.recognize_customer(request).await,
                Said::Recognised,
            )
        }
    }
}

async fn info(channel: &Channel) -> (Option<v1::EntityCounts>, String) {
    let request = v1::GetServerInfoRequest {
        include_state_digest: true,
    };
    let mut operations = OperationsServiceClient::new(channel.clone());
    let info = operations.get_server_info(request).await;
    let info = info.expect("an answer").into_inner();
    (info.counts, info.state_digest)
}

/// A metric of the process; both servers count into the same.
fn metric(http: SocketAddr, name: &str) -> f64 {
    let mut stream = std::net::TcpStream::connect(http).expect("a connection");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("metrics");
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with([' ', '{']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
async fn memory_for_few_answers_as_memory_for_all() {
    println!("seed {SEED}");
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let keys = dirs[0].path();
    let mut servers = Vec::new();
    for (dir, budget) in dirs.iter().zip([FEW_BYTES, 0]) {
        servers.push(Running::start(dir.path(), keys, budget).await);
    }
    for part in 0..3 {
        let mut channels = Vec::new();
        for server in &servers {
            let channel = server.channel().await;
            if part == 0 {
                load_catalog(&channel).await;
            }
            channels.push(channel);
        }
        for step in part * 400..(part + 1) * 400 {
            let mut rngs = [(); 2].map(|()| StdRng::seed_from_u64(SEED + step));
            let few = one_call(&channels[0], &mut rngs[0], step).await;
            let all = one_call(&channels[1], &mut rngs[1], step).await;
            assert_eq!(few, all, "step {step}");
        }
        let (counts, digest) = info(&channels[0]).await;
        assert_eq!((counts, digest), info(&channels[1]).await, "part {part}");
        let customers = counts.map_or(0, |c| c.customers);
        assert!(customers > PEOPLE / 2, "{counts:?}");
        let http = servers[0].addresses.http;
        let resident = metric(http, "tillside_profiles_resident");
        assert!(resident < customers as f64 / 2.0, "{resident}");
        assert!(metric(http, "tillside_profile_resident_bytes") <= FEW_BYTES as f64);
        for name in ["profile_evictions", "profile_loads", "commands_parked"] {
            assert!(
                metric(http, &format!("tillside_{name}_total")) > 0.0,
                "{name}"
            );
        }
        assert_eq!(metric(http, "tillside_profile_stale_reads_total"), 0.0);
        assert_eq!(metric(http, "tillside_profile_read_failures_total"), 0.0);
        drop(channels);
        // Across a start, which brings only some of them back into memory.
        for server in servers.drain(..) {
            server.stop().await;
        }
        for (dir, budget) in dirs.iter().zip([FEW_BYTES, 0]) {
            servers.push(Running::start(dir.path(), keys, budget).await);
        }
    }
    for server in servers {
        server.stop().await;
    }
}

const SHOPPERS: u64 = 40;
const SALES_EACH: u64 = 30;

/// Asks for everybody again and again until all have bought everything; nobody may ever have bought less than before.
async fn watch(channel: Channel) {
    let mut customers = CustomerServiceClient::new(channel);
    let mut bought = vec![0; SHOPPERS as usize];
    while bought.iter().any(|n| *n < SALES_EACH as i64) {
        for (before, n) in bought.iter_mut().zip(0..) {
            let request = v1::RecognizeCustomerRequest {
                identifiers: vec![card(n)],
                view: v1::ProfileView::Checkout.into(),
                ..Default::default()
            };
            let answer = customers.recognize_customer(request).await;
            let profile = answer.expect("an answer").into_inner().customer;
            let profile = profile.expect("a customer");
            assert_eq!(profile.customer_id, format!("c-{n}"));
            assert!(
                profile.purchase_count >= *before,
                "{n}: {before}, then {profile:?}"
            );
            *before = profile.purchase_count;
        }
    }
}

#[tokio::test]
async fn nobody_is_seen_as_before_while_they_come_and_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::start(dir.path(), dir.path(), FEW_BYTES).await;
    let channel = server.channel().await;
    load_catalog(&channel).await;
    let mut customers = CustomerServiceClient::new(channel.clone());
    for n in 0..SHOPPERS {
        let request = enrolment(n, &format!("r-{n}"));
        customers.create_customer(request).await.expect("enrolled");
    }
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(tokio::spawn(watch(server.channel().await)));
    }
    for writer in 0..3 {
        let channel = server.channel().await;
        tasks.push(tokio::spawn(async move {
            let mut ingest = IngestServiceClient::new(channel);
            for turn in (writer..SALES_EACH).step_by(3) {
                let sales = (0..SHOPPERS).map(|n| sale(turn * SHOPPERS + n, vec![card(n)]));
                let events: Vec<_> = sales.collect();
                for events in events.chunks(7) {
                    let request = v1::IngestBatchRequest {
                        events: events.to_vec(),
                    };
                    let answer = ingest.ingest_batch(request).await.expect("taken");
                    let acks = answer.into_inner().acks;
                    assert!(acks.iter().all(|a| a.status() == v1::AckStatus::Accepted));
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    server.stop().await;
}
