//! The whole line over real gRPC, in one process: what a till, a web shop and an importer see. Details of the rules are
//! tested where the rules live; here it matters that everything is connected.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tillside_proto::v1::{
    self, catalog_service_client::CatalogServiceClient,
    checkout_service_client::CheckoutServiceClient, customer_service_client::CustomerServiceClient,
    fulfillment_service_client::FulfillmentServiceClient,
    ingest_service_client::IngestServiceClient, inventory_service_client::InventoryServiceClient,
    offer_service_client::OfferServiceClient, operations_service_client::OperationsServiceClient,
    simulation_service_client::SimulationServiceClient,
};
use tillside_server::config::{Config, Settings};
use tillside_server::server::{self, Addresses, Ended};
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

/// A server on free ports, on threads of its own.
struct Running {
    addresses: Addresses,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<Ended>>,
}

impl Running {
    async fn start(dir: &Path, simulated: bool) -> Running {
        let settings = Settings {
            data_dir: Some(dir.join("data")),
            listen: Some("127.0.0.1:0".into()),
            http_listen: Some("127.0.0.1:0".into()),
            simulated_clock: simulated.then(|| "2026-11-23T09:00:00Z".into()),
            runtimes: Some(2),
            preface_timeout_ms: Some(200),
            drain_deadline_ms: Some(5_000),
            log_level: Some("warn".into()),
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

fn id(n: u32) -> String {
    format!("request-{n}")
}

fn card(value: &str) -> v1::Identifier {
    v1::Identifier {
        r#type: v1::IdentifierType::LoyaltyCard.into(),
        value: value.into(),
        ..Default::default()
    }
}

fn pieces(n: i64) -> Option<v1::Quantity> {
    Some(v1::Quantity {
        thousandths: n * 1000,
        unit: v1::Unit::Ea.into(),
    })
}

fn at_store(id: &str) -> Option<v1::Place> {
    Some(v1::Place {
        place: Some(v1::place::Place::StoreId(id.into())),
        ..Default::default()
    })
}

fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .map_or_else(String::new, |info| info.reason.clone())
}

const CARD: &str = "0400000000015";

async fn load_catalog(channel: &Channel) {
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let store = |id: &str, longitude| v1::Store {
        store_id: id.into(),
        display_name: format!("Store {id}"),
        location: Some(v1::LatLng {
            latitude: 45.0,
            longitude,
        }),
        ..Default::default()
    };
    let stores = vec![store("1", 9.0), store("2", 9.1), store("10", 12.0)];
    let put = catalog
        .put_stores(v1::PutStoresRequest {
            request_id: id(1),
            stores: stores.clone(),
        })
        .await
        .expect("stores");
    assert_eq!(put.get_ref().created, 3);
    let again = catalog
        .put_stores(v1::PutStoresRequest {
            request_id: id(2),
            stores,
        })
        .await
        .expect("stores");
    assert_eq!(again.get_ref().unchanged, 3);
    let product = |sku: &str, gtin: &str, cents| v1::Product {
        sku: sku.into(),
        display_name: format!("Product {sku}"),
        category_path: vec!["Food".into(), "Dairy".into()],
        gtins: vec![gtin.into()],
        list_price: Some(v1::Money {
            currency_code: "EUR".into(),
            minor_units: cents,
        }),
        vat_rate_basis_points: 1000,
        ..Default::default()
    };
    let products = vec![
        product("A", "8001234567897", 199),
        product("B", "96385074", 500),
    ];
    catalog
        .put_products(v1::PutProductsRequest {
            request_id: id(3),
            products,
        })
        .await
        .expect("products");
    let page = catalog
        .list_stores(v1::ListStoresRequest {
            page_size: 2,
            ..Default::default()
        })
        .await
        .expect("a page")
        .into_inner();
    assert_eq!(
        page.stores
            .iter()
            .map(|s| s.store_id.as_str())
            .collect::<Vec<_>>(),
        ["1", "2"]
    );
    let rest = v1::ListStoresRequest {
        page_size: 2,
        page_token: page.next_page_token,
    };
    let page = catalog
        .list_stores(rest)
        .await
        .expect("a page")
        .into_inner();
    assert_eq!(
        (
            page.stores[0].store_id.as_str(),
            page.next_page_token.as_str()
        ),
        ("10", "")
    );
    let scanned = v1::GetProductRequest {
        item: Some(v1::get_product_request::Item::ScannedCode(
            "8001234567897".into(),
        )),
        ..Default::default()
    };
    assert_eq!(
        catalog
            .get_product(scanned)
            .await
            .expect("A")
            .get_ref()
            .product
            .as_ref()
            .expect("A")
            .sku,
        "A"
    );
}

async fn count(
    channel: &Channel,
    request_id: String,
    sku: &str,
    store: &str,
    on_hand: i64,
) -> v1::StockLevel {
    let mut inventory = InventoryServiceClient::new(channel.clone());
    let request = v1::SetStockCountRequest {
        request_id,
        sku: sku.into(),
        store_id: store.into(),
        on_hand: pieces(on_hand),
        ..Default::default()
    };
    inventory
        .set_stock_count(request)
        .await
        .expect("a count")
        .into_inner()
}

#[tokio::test]
async fn a_till_recognises_and_is_told_the_servers_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::start(dir.path(), false).await;
    let channel = server.channel().await;
    let mut customers = CustomerServiceClient::new(channel.clone());
    let enrol = v1::CreateCustomerRequest {
        request_id: id(1),
        identifiers: vec![card(CARD)],
        contacts: Some(v1::Contacts {
            given_name: "Maria".into(),
            family_name: "Rossi".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let created = customers
        .create_customer(enrol.clone())
        .await
        .expect("enrolled")
        .into_inner();
    assert!(created.created);
    let again = customers
        .create_customer(enrol.clone())
        .await
        .expect("the first answer again")
        .into_inner();
    assert_eq!(again, created);
    let other = v1::CreateCustomerRequest {
        segments: vec!["gold".into()],
        ..enrol
    };
    let reused = customers
        .create_customer(other)
        .await
        .expect_err("another payload");
    assert_eq!(
        (reused.code(), reason(&reused).as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );

    let recognise = |identifier: v1::Identifier| v1::RecognizeCustomerRequest {
        identifiers: vec![identifier],
        ..Default::default()
    };
    let answer = customers
        .recognize_customer(recognise(card("400000000015")))
        .await
        .expect("an answer");
    assert!(
        answer.metadata().get("tillside-server-time-us").is_some(),
        "{:?}",
        answer.metadata()
    );
    let answer = answer.into_inner();
    assert_eq!(answer.outcome(), v1::RecognitionOutcome::Matched);
    assert_eq!(answer.customer.expect("Maria").display_name, "Maria R.");
    let unknown = customers
        .recognize_customer(recognise(card("0400000000022")))
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(unknown.outcome(), v1::RecognitionOutcome::Unknown);

    let wrong = customers
        .recognize_customer(v1::RecognizeCustomerRequest {
            view: 9,
            ..recognise(card("0400000000012"))
        })
        .await;
    let wrong = wrong.expect_err("a wrong check digit");
    let details = wrong.get_error_details();
    let fields: Vec<_> = details
        .bad_request()
        .expect("violations")
        .field_violations
        .iter()
        .map(|v| v.field.clone())
        .collect();
    assert_eq!(fields, ["identifiers[0].value", "view"]);
    assert!(
        wrong.metadata().get("tillside-server-time-us").is_some(),
        "errors carry the time as well"
    );

    let mut late = tonic::Request::new(recognise(card(CARD)));
    late.metadata_mut()
        .insert("grpc-timeout", "0n".parse().expect("a value"));
    // tonic's channel keeps the deadline itself and says CANCELLED if it is first; here the server has to answer.
    let untimed = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let origin = format!("http://{}", server.addresses.grpc);
    let mut untimed =
        CustomerServiceClient::with_origin(untimed, origin.parse().expect("an address"));
    let status = untimed
        .recognize_customer(late)
        .await
        .expect_err("too late");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    drop(untimed);
    drop((customers, channel));
    server.stop().await;
}

#[tokio::test]
async fn a_basket_is_held_at_the_nearest_store_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::start(dir.path(), true).await;
    let channel = server.channel().await;
    load_catalog(&channel).await;
    assert_eq!(
        count(&channel, id(10), "A", "2", 2)
            .await
            .available_online_thousandths,
        2000
    );
    count(&channel, id(11), "B", "2", 1).await;
    count(&channel, id(12), "A", "1", 1).await;
    let mut fulfillment = FulfillmentServiceClient::new(channel.clone());
    let line = |sku: &str, n| v1::FulfillmentLine {
        sku: sku.into(),
        quantity: pieces(n),
        ..Default::default()
    };
    let basket = vec![line("A", 1), line("B", 1)];
    let plan = v1::PlanFulfillmentRequest {
        origin: at_store("1"),
        lines: basket.clone(),
        ..Default::default()
    };
    let plan = fulfillment
        .plan_fulfillment(plan)
        .await
        .expect("a plan")
        .into_inner();
    assert_eq!(plan.outcome(), v1::PlanOutcome::Matched);
    assert_eq!(plan.options[0].legs[0].store_id, "2");

    let reserve = |n, order: &str, lines: &[v1::FulfillmentLine]| v1::ReserveFulfillmentRequest {
        request_id: id(n),
        order_id: order.into(),
        origin: at_store("1"),
        lines: lines.to_vec(),
        ..Default::default()
    };
    let held = fulfillment
        .reserve_fulfillment(reserve(20, "o-1", &basket))
        .await
        .expect("a hold")
        .into_inner();
    assert_eq!(held.legs[0].state(), v1::ReservationState::Held);
    let gone = fulfillment
        .reserve_fulfillment(reserve(21, "o-2", &basket))
        .await
        .expect_err("nothing left");
    assert_eq!(
        (gone.code(), reason(&gone).as_str()),
        (Code::FailedPrecondition, "INSUFFICIENT_STOCK")
    );
    let again = fulfillment
        .reserve_fulfillment(reserve(20, "o-1", &basket))
        .await
        .expect("the first answer")
        .into_inner();
    assert_eq!(again, held);
    let own = fulfillment
        .reserve_fulfillment(reserve(22, "o-1", &basket))
        .await
        .expect("its own hold is in nobody's way")
        .into_inner();
    assert_ne!(own.reservation_id, held.reservation_id);

    let confirm = v1::ConfirmReservationRequest {
        request_id: id(23),
        reservation_id: own.reservation_id.clone(),
        ..Default::default()
    };
    let confirmed = fulfillment
        .confirm_reservation(confirm)
        .await
        .expect("confirmed")
        .into_inner();
    assert_eq!(confirmed.legs[0].state(), v1::ReservationState::Confirmed);
    let unknown = v1::GetReservationRequest {
        reservation_id: "r-999".into(),
    };
    let unknown = fulfillment
        .get_reservation(unknown)
        .await
        .expect_err("none");
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "UNKNOWN_RESERVATION")
    );

    let short = v1::ReserveFulfillmentRequest {
        hold_duration: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..reserve(24, "o-3", &[line("A", 1)])
    };
    let short = fulfillment
        .reserve_fulfillment(short)
        .await
        .expect("a hold")
        .into_inner();
    let mut clock = SimulationServiceClient::new(channel.clone());
    let later = |seconds| v1::AdvanceClockRequest {
        now: Some(prost_types::Timestamp { seconds, nanos: 0 }),
    };
    let now = short.expire_time.expect("it expires").seconds;
    clock.advance_clock(later(now)).await.expect("later");
    let get = v1::GetReservationRequest {
        reservation_id: short.reservation_id,
    };
    let expired = fulfillment
        .get_reservation(get)
        .await
        .expect("it is remembered")
        .into_inner();
    assert_eq!(expired.legs[0].state(), v1::ReservationState::Expired);
    let back = clock
        .advance_clock(later(now - 1))
        .await
        .expect_err("backwards");
    assert_eq!(back.code(), Code::InvalidArgument);
    drop((fulfillment, clock, channel));
    server.stop().await;
}

fn receipt(event_id: &str, number: i64, sku: &str) -> v1::Event {
    let line = v1::TransactionLine {
        item: Some(v1::transaction_line::Item::Sku(sku.into())),
        quantity: pieces(1),
        net_amount: Some(v1::Money {
            currency_code: "EUR".into(),
            minor_units: 199,
        }),
        ..Default::default()
    };
    let key = v1::TransactionKey {
        store_id: "1".into(),
        workstation_id: "7".into(),
        business_day_date: "2026-11-21".into(),
        sequence_number: number,
    };
    let transaction = v1::RetailTransaction {
        key: Some(key),
        lines: vec![line],
        customer_identifiers: vec![card(CARD)],
        ..Default::default()
    };
    v1::Event {
        event_id: event_id.into(),
        source: "pos".into(),
        occurred_time: Some(prost_types::Timestamp {
            seconds: 1_763_715_600,
            nanos: 0,
        }),
        payload: Some(v1::event::Payload::Transaction(transaction)),
        ..Default::default()
    }
}

#[tokio::test]
async fn receipts_are_taken_once_and_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::start(dir.path(), false).await;
    let channel = server.channel().await;
    load_catalog(&channel).await;
    let mut ingest = IngestServiceClient::new(channel.clone());
    let message = |position, events: Vec<v1::Event>, omit_accepted| v1::IngestEventsRequest {
        position,
        events,
        omit_accepted,
    };
    let messages = vec![
        message(
            1,
            vec![
                receipt("e-1", 1, "A"),
                v1::Event {
                    event_id: "bad".into(),
                    ..Default::default()
                },
            ],
            false,
        ),
        message(
            2,
            vec![
                receipt("e-1", 1, "A"),
                receipt("e-2", 1, "A"),
                receipt("e-3", 3, "Z"),
            ],
            true,
        ),
        message(3, Vec::new(), false),
    ];
    let mut answers = ingest
        .ingest_events(futures_util::stream::iter(messages))
        .await
        .expect("a stream")
        .into_inner();
    let first = answers
        .message()
        .await
        .expect("no error")
        .expect("an answer");
    assert_eq!(
        (first.durable_position, first.accepted, first.rejected),
        (1, 1, 1)
    );
    assert_eq!(
        first.acks[1].problem.as_ref().expect("why").reason,
        "INVALID_FIELD"
    );
    let second = answers
        .message()
        .await
        .expect("no error")
        .expect("an answer");
    assert_eq!(
        (second.durable_position, second.accepted, second.duplicates),
        (2, 1, 2)
    );
    assert_eq!(
        second.acks.len(),
        3,
        "a warning is never left out: {:?}",
        second.acks
    );
    assert_eq!(second.acks[2].warnings[0].reason, "UNKNOWN_SKU");
    let third = answers
        .message()
        .await
        .expect("no error")
        .expect("an answer");
    assert_eq!((third.durable_position, third.rejected), (3, 1));
    assert!(answers.message().await.expect("no error").is_none());
    let quarantined = ingest
        .list_quarantined_lines(v1::ListQuarantinedLinesRequest::default())
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(quarantined.lines[0].item, "Z");
    let people = ingest
        .list_provisional_customers(v1::ListProvisionalCustomersRequest::default())
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(
        (
            people.customers[0].masked_identifier.as_str(),
            people.customers[0].purchase_count
        ),
        ("*********0015", 2)
    );

    let info = |channel: Channel| async move {
        let request = v1::GetServerInfoRequest {
            include_state_digest: true,
        };
        OperationsServiceClient::new(channel)
            .get_server_info(request)
            .await
            .expect("info")
            .into_inner()
    };
    let before = info(channel.clone()).await;
    assert_eq!(before.counts.as_ref().expect("counts").transactions, 2);
    drop((ingest, channel, answers));
    server.stop().await;
    let server = Running::start(dir.path(), false).await;
    let after = info(server.channel().await).await;
    assert_eq!(
        (after.state_digest, after.counts),
        (before.state_digest, before.counts)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_checkout_asks_the_three_questions_and_holds_the_latest_basket() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::start(dir.path(), true).await;
    let channel = server.channel().await;
    load_catalog(&channel).await;
    count(&channel, id(10), "A", "1", 1).await;
    let mut offers = OfferServiceClient::new(channel.clone());
    let offer = v1::Offer {
        offer_id: "o".into(),
        target_skus: vec!["A".into()],
        reward: Some(v1::Reward {
            reward: Some(v1::reward::Reward::PercentOffBasisPoints(1000)),
        }),
        value: Some(v1::Money {
            currency_code: "EUR".into(),
            minor_units: 50,
        }),
        ..Default::default()
    };
    offers
        .put_offer(v1::PutOfferRequest {
            request_id: id(11),
            offer: Some(offer),
            validate_only: false,
        })
        .await
        .expect("an offer");
    let mut checkouts = CheckoutServiceClient::new(channel.clone());
    let line = |sku: &str| v1::BasketLine {
        item: Some(v1::basket_line::Item::Sku(sku.into())),
        ..Default::default()
    };
    let evaluate = |n, revision, lines: Vec<v1::BasketLine>| v1::EvaluateCheckoutRequest {
        checkout_id: "c-1".into(),
        revision,
        store_id: "1".into(),
        lines,
        fulfillment: Some(v1::CheckoutFulfillment {
            hold: true,
            ..Default::default()
        }),
        request_id: id(n),
        ..Default::default()
    };
    let first = checkouts
        .evaluate_checkout(evaluate(20, 1, vec![line("A"), line("?")]))
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(
        first.recognition.expect("recognition").outcome(),
        v1::RecognitionOutcome::Unknown
    );
    let ranked = &first.decision.expect("a decision").ranked_offers[0];
    assert_eq!(
        (
            ranked.offer_id.as_str(),
            ranked.line_rewards[0]
                .amount
                .as_ref()
                .expect("an amount")
                .minor_units
        ),
        ("o", 20)
    );
    assert_eq!(first.plan.expect("a plan").options[0].legs[0].store_id, "1");
    assert_eq!(first.unknown_line_ids, ["2"]);
    assert!(first.reservation.is_some() && first.hold_problem.is_none());

    let too_much = v1::BasketLine {
        quantity: pieces(5),
        ..line("A")
    };
    let third = checkouts
        .evaluate_checkout(evaluate(21, 3, vec![too_much]))
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(
        third.hold_problem.expect("nothing is held").reason,
        "INSUFFICIENT_STOCK"
    );
    let second = checkouts
        .evaluate_checkout(evaluate(22, 2, vec![line("A")]))
        .await
        .expect("an answer")
        .into_inner();
    assert!(second.superseded && second.reservation.is_none());
    let fourth = checkouts
        .evaluate_checkout(evaluate(23, 4, vec![line("A")]))
        .await
        .expect("an answer")
        .into_inner();
    assert!(
        fourth.reservation.is_some(),
        "the stock of the first hold was given back: {:?}",
        fourth.hold_problem
    );
    let close = v1::CloseCheckoutRequest {
        request_id: id(24),
        checkout_id: "c-1".into(),
        result: v1::CheckoutResult::Completed.into(),
    };
    let closed = checkouts
        .close_checkout(close)
        .await
        .expect("closed")
        .into_inner();
    assert_eq!(
        closed.reservation.expect("confirmed").legs[0].state(),
        v1::ReservationState::Confirmed
    );
    drop((checkouts, offers, channel));
    server.stop().await;
}

async fn http_get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn operators_see_health_readiness_and_metrics_and_silent_peers_are_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Running::start(dir.path(), false).await;
    let channel = server.channel().await;
    let mut health = HealthClient::new(channel.clone());
    let check = |service: &str| HealthCheckRequest {
        service: service.into(),
    };
    assert_eq!(
        health
            .check(check(""))
            .await
            .expect("health")
            .get_ref()
            .status,
        1
    );
    assert_eq!(
        health
            .check(check("tillside.v1.CustomerService"))
            .await
            .expect("health")
            .get_ref()
            .status,
        1
    );
    assert_eq!(
        health
            .check(check("no.Such"))
            .await
            .expect_err("unknown")
            .code(),
        Code::NotFound
    );
    let mut watch = health.watch(check("")).await.expect("a watch").into_inner();
    assert_eq!(
        watch
            .message()
            .await
            .expect("no error")
            .expect("a status")
            .status,
        1
    );
    let clock = SimulationServiceClient::new(channel.clone())
        .advance_clock(v1::AdvanceClockRequest::default())
        .await;
    assert_eq!(
        clock.expect_err("no simulated clock").code(),
        Code::Unimplemented
    );
    assert!(
        http_get(server.addresses.http, "/readyz")
            .await
            .ends_with("ready\n")
    );
    let metrics = http_get(server.addresses.http, "/metrics").await;
    assert!(
        metrics.contains("tillside_requests_total{method=\"Health/Check\",code=\"OK\"}"),
        "{metrics}"
    );

    let mut silent = tokio::net::TcpStream::connect(server.addresses.grpc)
        .await
        .expect("a connection");
    let mut buffer = Vec::new();
    let closed = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut buffer);
    let closed = tokio::time::timeout(Duration::from_secs(10), closed)
        .await
        .expect("it is closed long before");
    assert!(closed.is_ok() || buffer.is_empty());

    server.stop().await;
    assert_eq!(
        watch
            .message()
            .await
            .expect("no error")
            .expect("the last status")
            .status,
        2
    );
    assert!(
        watch.message().await.expect("no error").is_none(),
        "a watch never holds up a stop"
    );
}
