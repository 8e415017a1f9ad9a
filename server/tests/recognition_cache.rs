//! A recognition shows at once whatever changed before it: encoded profiles are kept, but never outlive what they show.

use tillside_proto::v1::{
    self, catalog_service_client::CatalogServiceClient,
    customer_service_client::CustomerServiceClient, ingest_service_client::IngestServiceClient,
};
use tillside_server::config::{Config, Settings};
use tillside_server::server::{self, Addresses, Ended};
use tokio::sync::oneshot;
use tonic::transport::Channel;

const CARD: &str = "0400000000015";

fn card() -> Vec<v1::Identifier> {
    vec![v1::Identifier {
        r#type: v1::IdentifierType::LoyaltyCard.into(),
        value: CARD.into(),
        ..Default::default()
    }]
}

/// The profile in the recognition, which must be the one that GetCustomer reads without any cache, however often asked.
async fn recognised(
    customers: &mut CustomerServiceClient<Channel>,
    view: v1::ProfileView,
) -> v1::CustomerProfile {
    let get = v1::GetCustomerRequest {
        customer_id: "c-1".into(),
        view: view.into(),
    };
    let expect = customers
        .get_customer(get)
        .await
        .expect("a customer")
        .into_inner();
    for _ in 0..3 {
        let request = v1::RecognizeCustomerRequest {
            identifiers: card(),
            view: view.into(),
            ..Default::default()
        };
        // tonic's own service answers what names an encoding.
        let mut plain = tonic::Request::new(request.clone());
        plain
            .metadata_mut()
            .insert("grpc-encoding", "identity".parse().expect("a value"));
        for request in [tonic::Request::new(request), plain] {
            let answer = customers
                .recognize_customer(request)
                .await
                .expect("an answer")
                .into_inner();
            assert_eq!(answer.outcome(), v1::RecognitionOutcome::Matched);
            assert_eq!(answer.matched_identifiers, [0]);
            assert!((answer.match_confidence - 1.0).abs() < f64::EPSILON);
            assert_eq!(answer.customer.as_ref(), Some(&expect));
        }
    }
    expect
}

async fn put_product(channel: &Channel, request_id: &str, name: &str) {
    let product = v1::Product {
        sku: "A".into(),
        display_name: name.into(),
        ..Default::default()
    };
    let request = v1::PutProductsRequest {
        request_id: request_id.into(),
        products: vec![product],
    };
    let mut catalog = CatalogServiceClient::new(channel.clone());
    catalog.put_products(request).await.expect("a product");
}

async fn sell(channel: &Channel, number: i64) {
    let line = v1::TransactionLine {
        item: Some(v1::transaction_line::Item::Sku("A".into())),
        quantity: Some(v1::Quantity {
            thousandths: 1000,
            unit: v1::Unit::Ea.into(),
        }),
        net_amount: Some(v1::Money {
            currency_code: "EUR".into(),
            minor_units: 199,
        }),
        ..Default::default()
    };
    let transaction = v1::RetailTransaction {
        key: Some(v1::TransactionKey {
            store_id: "1".into(),
            workstation_id: "7".into(),
            business_day_date: "2026-11-21".into(),
            sequence_number: number,
        }),
        lines: vec![line],
        customer_identifiers: card(),
        ..Default::default()
    };
    let event = v1::Event {
        event_id: format!("e-{number}"),
        source: "pos".into(),
        occurred_time: Some(prost_types::Timestamp {
            seconds: 1_763_715_600 + number,
            nanos: 0,
        }),
        payload: Some(v1::event::Payload::Transaction(transaction)),
        ..Default::default()
    };
    let message = v1::IngestEventsRequest {
        position: 1,
        events: vec![event],
        omit_accepted: false,
    };
    let mut ingest = IngestServiceClient::new(channel.clone());
    let answers = ingest
        .ingest_events(futures_util::stream::iter([message]))
        .await;
    let answer = answers.expect("a stream").into_inner().message().await;
    assert_eq!(answer.expect("no error").expect("an answer").accepted, 1);
}

fn profiling(granted: bool, seconds: i64) -> v1::Consent {
    v1::Consent {
        purpose: v1::ConsentPurpose::Profiling.into(),
        granted,
        decided_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        notice_version: "1".into(),
    }
}

async fn changes_are_seen(channel: Channel) {
    let mut customers = CustomerServiceClient::new(channel.clone());
    put_product(&channel, "p-1", "Old name").await;
    let enrol = v1::CreateCustomerRequest {
        request_id: "c-1".into(),
        customer_id: "c-1".into(),
        identifiers: card(),
        consents: vec![profiling(true, 1_700_000_000)],
        ..Default::default()
    };
    customers.create_customer(enrol).await.expect("enrolled");
    let views = [
        v1::ProfileView::Basic,
        v1::ProfileView::Full,
        v1::ProfileView::Checkout,
    ];
    let favourite = |shown: &v1::CustomerProfile| shown.favourite_products[0].display_name.clone();
    for number in 1..4 {
        sell(&channel, number).await;
        for view in views {
            let shown = recognised(&mut customers, view).await;
            let expect = if view == v1::ProfileView::Basic {
                0
            } else {
                number
            };
            assert_eq!(shown.purchase_count, expect);
        }
    }
    for name in ["New name", "Newer name"] {
        put_product(&channel, name, name).await;
        assert_eq!(
            favourite(&recognised(&mut customers, v1::ProfileView::Checkout).await),
            name
        );
    }
    for (granted, seconds) in [(false, 1_700_000_001), (true, 1_700_000_002)] {
        let update = v1::UpdateCustomerRequest {
            request_id: format!("u-{seconds}"),
            customer_id: "c-1".into(),
            update: Some(v1::CustomerUpdate {
                consents: vec![profiling(granted, seconds)],
                ..Default::default()
            }),
            ..Default::default()
        };
        customers.update_customer(update).await.expect("updated");
        let shown = recognised(&mut customers, v1::ProfileView::Checkout).await;
        assert_eq!(shown.purchase_count, if granted { 3 } else { 0 });
        assert_eq!(shown.favourite_products.len(), usize::from(granted));
    }
}

#[tokio::test]
async fn every_change_shows_in_the_next_recognition() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        data_dir: Some(dir.path().join("data")),
        listen: Some("127.0.0.1:0".into()),
        http_listen: Some("127.0.0.1:0".into()),
        runtimes: Some(2),
        log_level: Some("warn".into()),
        ..Settings::default()
    };
    let config = Config::from_settings(settings).expect("good settings");
    let (stop, stopped) = oneshot::channel::<()>();
    let (serving, addresses) = oneshot::channel::<Addresses>();
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
    let grpc = addresses.await.expect("the server serves").grpc;
    let endpoint = Channel::from_shared(format!("http://{grpc}")).expect("an address");
    changes_are_seen(endpoint.connect().await.expect("a connection")).await;
    stop.send(()).expect("the server is there");
    let ended = tokio::task::spawn_blocking(move || thread.join())
        .await
        .expect("a thread");
    assert_eq!(
        ended.expect("no panic").expect("a clean end"),
        Ended::Stopped
    );
}
