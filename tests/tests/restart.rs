//! Acknowledged changes survive kill -9, retries get the first answer, and holds expire by the server's own clock.

use std::path::Path;

use anyhow::{Context, Result};
use tillside_proto::v1;
use tillside_proto::v1::catalog_service_client::CatalogServiceClient;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_proto::v1::operations_service_client::OperationsServiceClient;
use tillside_proto::v1::simulation_service_client::SimulationServiceClient;
use tillside_tests::Server;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const START: &str = "2026-11-02T09:00:00Z";

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

/// Two stores in Florence, one near the station with `near` pieces, one further with `far`.
async fn florence(channel: &Channel, near: i64, far: i64) -> Result<()> {
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let store = |id: &str, latitude, longitude| v1::Store {
        store_id: id.into(),
        location: Some(v1::LatLng {
            latitude,
            longitude,
        }),
        ..Default::default()
    };
    let stores = vec![
        store("NEAR", 43.7765, 11.2480),
        store("FAR", 43.7900, 11.3000),
    ];
    catalog
        .put_stores(v1::PutStoresRequest {
            request_id: "stores".into(),
            stores,
        })
        .await?;
    let products = vec![v1::Product {
        sku: "0042".into(),
        display_name: "Caffe".into(),
        ..Default::default()
    }];
    catalog
        .put_products(v1::PutProductsRequest {
            request_id: "products".into(),
            products,
        })
        .await?;
    let mut inventory = InventoryServiceClient::new(channel.clone());
    for (store, n) in [("NEAR", near), ("FAR", far)] {
        let count = v1::SetStockCountRequest {
            request_id: format!("count {store}"),
            sku: "0042".into(),
            store_id: store.into(),
            on_hand: pieces(n),
            ..Default::default()
        };
        inventory.set_stock_count(count).await?;
    }
    Ok(())
}

fn reserve_request(request_id: &str, order_id: &str, n: i64) -> v1::ReserveFulfillmentRequest {
    let location = v1::LatLng {
        latitude: 43.7760,
        longitude: 11.2478,
    };
    v1::ReserveFulfillmentRequest {
        request_id: request_id.into(),
        order_id: order_id.into(),
        origin: Some(v1::Place {
            place: Some(v1::place::Place::Location(location)),
            ..Default::default()
        }),
        lines: vec![v1::FulfillmentLine {
            line_id: "1".into(),
            sku: "0042".into(),
            quantity: pieces(n),
            methods: Default::default(),
        }],
        hold_duration: Some(prost_types::Duration {
            seconds: 900,
            nanos: 0,
        }),
        ..Default::default()
    }
}

async fn reserve(
    channel: &Channel,
    request_id: &str,
    order_id: &str,
    n: i64,
) -> Result<v1::Reservation, Status> {
    let mut fulfillment = FulfillmentServiceClient::new(channel.clone());
    Ok(fulfillment
        .reserve_fulfillment(reserve_request(request_id, order_id, n))
        .await?
        .into_inner())
}

async fn available(channel: &Channel, store: &str) -> Result<i64> {
    let request = v1::GetAvailabilityRequest {
        sku: "0042".into(),
        store_id: store.into(),
    };
    let level = InventoryServiceClient::new(channel.clone())
        .get_availability(request)
        .await?
        .into_inner();
    Ok(level.available_online_thousandths / 1000)
}

async fn digest(channel: &Channel) -> Result<String> {
    let request = v1::GetServerInfoRequest {
        include_state_digest: true,
    };
    Ok(OperationsServiceClient::new(channel.clone())
        .get_server_info(request)
        .await?
        .into_inner()
        .state_digest)
}

async fn advance(channel: &Channel, seconds_after_start: i64) -> Result<()> {
    let request = v1::AdvanceClockRequest {
        now: Some(time(seconds_after_start)),
    };
    SimulationServiceClient::new(channel.clone())
        .advance_clock(request)
        .await?;
    Ok(())
}

fn start(data: &Path) -> Result<Server> {
    Server::start(data, &["--simulated-clock", START])
}

#[tokio::test]
async fn a_hold_survives_a_kill_and_a_retry_gets_the_first_answer() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let channel = server.channel().await?;
    florence(&channel, 3, 5).await?;
    let held = reserve(&channel, "r1", "order-1", 3).await?;
    assert_eq!(held.legs[0].store_id, "NEAR");
    let elsewhere = reserve(&channel, "r2", "order-2", 1).await?;
    assert_eq!(
        elsewhere.legs[0].store_id, "FAR",
        "the nearest has none left"
    );
    assert_eq!(
        (
            available(&channel, "NEAR").await?,
            available(&channel, "FAR").await?
        ),
        (0, 4)
    );
    let before = digest(&channel).await?;
    drop(channel);
    server.kill()?;

    let server = start(&data)?;
    let channel = server.channel().await?;
    assert_eq!(digest(&channel).await?, before);
    assert_eq!(
        reserve(&channel, "r1", "order-1", 3).await?,
        held,
        "the retry after the crash gets the first answer"
    );
    assert_eq!(digest(&channel).await?, before, "and changes nothing");
    let reused = reserve(&channel, "r1", "order-1", 2)
        .await
        .expect_err("the id with another payload");
    assert_eq!(reused.code(), Code::InvalidArgument);
    assert_eq!(
        reused.get_details_error_info().context("ErrorInfo")?.reason,
        "REQUEST_ID_REUSED"
    );
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_hold_expires_at_its_very_second_and_its_stock_is_free() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let channel = server.channel().await?;
    florence(&channel, 2, 0).await?;
    let held = reserve(&channel, "r1", "order-1", 2).await?;
    advance(&channel, 899).await?;
    assert_eq!(available(&channel, "NEAR").await?, 0);
    advance(&channel, 900).await?;
    assert_eq!(available(&channel, "NEAR").await?, 2);
    let mut fulfillment = FulfillmentServiceClient::new(channel.clone());
    let request = v1::GetReservationRequest {
        reservation_id: held.reservation_id.clone(),
    };
    let read = fulfillment.get_reservation(request).await?.into_inner();
    assert_eq!(read.legs[0].state(), v1::ReservationState::Expired);
    let request = v1::ConfirmReservationRequest {
        request_id: "c1".into(),
        reservation_id: held.reservation_id,
        ..Default::default()
    };
    let refused = fulfillment
        .confirm_reservation(request)
        .await
        .expect_err("too late");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused
            .get_details_error_info()
            .context("ErrorInfo")?
            .reason,
        "RESERVATION_EXPIRED"
    );
    Ok(())
}

#[tokio::test]
async fn the_last_units_are_sold_once_to_many_clients() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let channel = server.channel().await?;
    florence(&channel, 7, 6).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..64 {
        let channel = channel.clone();
        tasks.spawn(async move {
            reserve(
                &channel,
                &format!("r{client}"),
                &format!("order-{client}"),
                1,
            )
            .await
        });
    }
    let mut held = 0;
    while let Some(answer) = tasks.join_next().await {
        match answer? {
            Ok(_) => held += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
                assert_eq!(
                    status.get_details_error_info().context("ErrorInfo")?.reason,
                    "INSUFFICIENT_STOCK"
                );
            }
        }
    }
    assert_eq!(held, 13, "exactly the stock");
    assert_eq!(
        (
            available(&channel, "NEAR").await?,
            available(&channel, "FAR").await?
        ),
        (0, 0)
    );
    Ok(())
}

#[test]
fn a_second_server_on_the_same_data_is_refused_with_a_clear_sentence() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let _server = start(&data)?;
    let (status, printed) = Server::run_to_end(&data, tillside_tests::LOOPBACK)?;
    assert!(!status.success());
    assert!(printed.contains("another process"), "{printed}");
    Ok(())
}

#[test]
fn a_bind_outside_loopback_is_refused_and_the_flag_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (status, printed) = Server::run_to_end(&folder.path().join("data"), "0.0.0.0:0")?;
    assert!(!status.success());
    assert!(printed.contains("--allow-plaintext-bind"), "{printed}");
    Ok(())
}
