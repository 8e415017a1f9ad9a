//! The life of an order over gRPC, with the server killed in the middle of each of its states.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tillside_proto::v1;
use tillside_proto::v1::ReservationState as State;
use tillside_proto::v1::catalog_service_client::CatalogServiceClient;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::ingest_service_client::IngestServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_proto::v1::simulation_service_client::SimulationServiceClient;
use tillside_tests::Server;
use tillside_tests::shelf::pieces;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const START: &str = "2026-11-02T09:00:00Z";
const HOUR: i64 = 3600;

/// A server with two stores that each have ten coffees and ten teas, and a client that never repeats a request id.
struct Shop {
    data: PathBuf,
    server: Server,
    channel: Channel,
    requests: u32,
    _folder: tempfile::TempDir,
}

fn at(seconds_after_start: i64) -> Option<prost_types::Timestamp> {
    let mut time: prost_types::Timestamp = START.parse().expect("a literal");
    time.seconds += seconds_after_start;
    Some(time)
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn start(data: &Path) -> Result<Server> {
    Server::start(data, &["--simulated-clock", START])
}

fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map_or_else(String::new, |info| info.reason)
}

fn state(reservation: &v1::Reservation) -> State {
    reservation.legs[0].state()
}

impl Shop {
    async fn open() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let server = start(&data)?;
        let channel = server.channel().await?;
        let mut shop = Shop {
            data,
            server,
            channel,
            requests: 0,
            _folder: folder,
        };
        shop.patience(None, None).await?;
        let product = |sku: &str| v1::Product {
            sku: sku.into(),
            ..Default::default()
        };
        let request_id = shop.id();
        CatalogServiceClient::new(shop.channel.clone())
            .put_products(v1::PutProductsRequest {
                request_id,
                products: vec![product("COFFEE"), product("TEA")],
            })
            .await?;
        for (sku, store_id) in [
            ("COFFEE", "NEAR"),
            ("COFFEE", "FAR"),
            ("TEA", "NEAR"),
            ("TEA", "FAR"),
        ] {
            let request = v1::SetStockCountRequest {
                request_id: shop.id(),
                sku: sku.into(),
                store_id: store_id.into(),
                on_hand: pieces(10),
                ..Default::default()
            };
            InventoryServiceClient::new(shop.channel.clone())
                .set_stock_count(request)
                .await?;
        }
        shop.advance(1).await?;
        Ok(shop)
    }

    fn id(&mut self) -> String {
        self.requests += 1;
        format!("request {}", self.requests)
    }

    /// Ends the process as a power cut would, and starts it again.
    async fn restart(self) -> Result<Self> {
        self.server.kill()?;
        let server = start(&self.data)?;
        let channel = server.channel().await?;
        Ok(Shop {
            server,
            channel,
            ..self
        })
    }

    /// Puts the stores with their patience, in seconds.
    async fn patience(&mut self, acknowledge: Option<i64>, no_show: Option<i64>) -> Result<()> {
        let store = |id: &str, latitude, longitude| v1::Store {
            store_id: id.into(),
            location: Some(v1::LatLng {
                latitude,
                longitude,
            }),
            pick_acknowledge_timeout: acknowledge.and_then(seconds),
            no_show_grace: no_show.and_then(seconds),
            ..Default::default()
        };
        let stores = vec![
            store("NEAR", 43.7765, 11.2480),
            store("FAR", 43.7900, 11.3000),
        ];
        let request_id = self.id();
        CatalogServiceClient::new(self.channel.clone())
            .put_stores(v1::PutStoresRequest { request_id, stores })
            .await?;
        Ok(())
    }

    async fn advance(&self, seconds_after_start: i64) -> Result<()> {
        SimulationServiceClient::new(self.channel.clone())
            .advance_clock(v1::AdvanceClockRequest {
                now: at(seconds_after_start),
            })
            .await?;
        Ok(())
    }

    fn fulfillment(&self) -> FulfillmentServiceClient<Channel> {
        FulfillmentServiceClient::new(self.channel.clone())
    }

    async fn hold(&mut self, order_id: &str, coffees: i64, teas: i64) -> Result<v1::Reservation> {
        let line = |line_id: &str, sku: &str, n| v1::FulfillmentLine {
            line_id: line_id.into(),
            sku: sku.into(),
            quantity: pieces(n),
            ..Default::default()
        };
        let mut lines = vec![line("coffee", "COFFEE", coffees)];
        if teas > 0 {
            lines.push(line("tea", "TEA", teas));
        }
        let location = v1::LatLng {
            latitude: 43.7760,
            longitude: 11.2478,
        };
        let request = v1::ReserveFulfillmentRequest {
            request_id: self.id(),
            order_id: order_id.into(),
            origin: Some(v1::Place {
                place: Some(v1::place::Place::Location(location)),
                ..Default::default()
            }),
            lines,
            ..Default::default()
        };
        Ok(self
            .fulfillment()
            .reserve_fulfillment(request)
            .await?
            .into_inner())
    }

    async fn confirm(&mut self, id: &str) -> Result<v1::Reservation> {
        let request = v1::ConfirmReservationRequest {
            request_id: self.id(),
            reservation_id: id.into(),
            payment_state: v1::PaymentState::Authorised.into(),
            handover_kind: v1::HandoverKind::Curbside.into(),
            ..Default::default()
        };
        Ok(self
            .fulfillment()
            .confirm_reservation(request)
            .await?
            .into_inner())
    }

    async fn confirmed(&mut self, order_id: &str, coffees: i64) -> Result<v1::Reservation> {
        let held = self.hold(order_id, coffees, 0).await?;
        self.confirm(&held.reservation_id).await
    }

    async fn pick(&mut self, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::StartPickingRequest {
            request_id: self.id(),
            reservation_id: id.into(),
            ..Default::default()
        };
        let answer = self.fulfillment().start_picking(request).await?;
        Ok(answer.into_inner())
    }

    async fn ready(&mut self, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::MarkReadyForPickupRequest {
            request_id: self.id(),
            reservation_id: id.into(),
            ..Default::default()
        };
        let answer = self.fulfillment().mark_ready_for_pickup(request).await?;
        Ok(answer.into_inner())
    }

    async fn hand_over(
        &mut self,
        id: &str,
        pickup_code: &str,
        lines: &[(&str, i64)],
    ) -> Result<v1::Reservation, Status> {
        let line = |(line_id, n): &(&str, i64)| v1::HandedOverLine {
            line_id: (*line_id).into(),
            quantity: pieces(*n),
        };
        let request = v1::ConfirmHandoverRequest {
            request_id: self.id(),
            reservation_id: id.into(),
            pickup_code: pickup_code.into(),
            lines: lines.iter().map(line).collect(),
            ..Default::default()
        };
        let answer = self.fulfillment().confirm_handover(request).await?;
        Ok(answer.into_inner())
    }

    async fn cancel(&mut self, order_id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::CancelOrderRequest {
            request_id: self.id(),
            order_id: order_id.into(),
        };
        Ok(self.fulfillment().cancel_order(request).await?.into_inner())
    }

    async fn put_back(&mut self, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::ConfirmPutBackRequest {
            request_id: self.id(),
            reservation_id: id.into(),
            ..Default::default()
        };
        let answer = self.fulfillment().confirm_put_back(request).await?;
        Ok(answer.into_inner())
    }

    async fn get(&self, id: &str) -> Result<v1::Reservation> {
        let request = v1::GetReservationRequest {
            reservation_id: id.into(),
        };
        let answer = self.fulfillment().get_reservation(request).await?;
        Ok(answer.into_inner())
    }

    async fn list(&self, request: v1::ListReservationsRequest) -> Result<Vec<String>> {
        let mut request = request;
        let mut ids = Vec::new();
        loop {
            let answer = self
                .fulfillment()
                .list_reservations(request.clone())
                .await?;
            let page = answer.into_inner();
            ids.extend(page.reservations.into_iter().map(|r| r.reservation_id));
            if page.next_page_token.is_empty() {
                return Ok(ids);
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn watch(
        &self,
        resume_sequence: u64,
    ) -> Result<tonic::Streaming<v1::WatchReservationsResponse>> {
        let request = v1::WatchReservationsRequest {
            store_id: "NEAR".into(),
            resume_sequence,
        };
        let answer = self.fulfillment().watch_reservations(request).await?;
        Ok(answer.into_inner())
    }

    /// (on hand, reserved, committed, damaged) of coffee in a store, in pieces.
    async fn coffee(&self, store_id: &str) -> Result<(i64, i64, i64, i64)> {
        let request = v1::GetAvailabilityRequest {
            sku: "COFFEE".into(),
            store_id: store_id.into(),
        };
        let level = InventoryServiceClient::new(self.channel.clone())
            .get_availability(request)
            .await?
            .into_inner();
        Ok((
            level.on_hand_thousandths / 1000,
            level.reserved_thousandths / 1000,
            level.committed_thousandths / 1000,
            level.damaged_thousandths / 1000,
        ))
    }

    /// A receipt of the till that names the reservation; answers its warnings' reasons.
    async fn receipt(&mut self, id: &str, coffees: i64) -> Result<Vec<String>> {
        let line = v1::TransactionLine {
            item: Some(v1::transaction_line::Item::Sku("COFFEE".into())),
            quantity: pieces(coffees),
            reservation_id: id.into(),
            ..Default::default()
        };
        let transaction = v1::RetailTransaction {
            key: Some(v1::TransactionKey {
                store_id: "NEAR".into(),
                ..Default::default()
            }),
            lines: vec![line],
            ..Default::default()
        };
        let event = v1::Event {
            event_id: self.id(),
            source: "till".into(),
            payload: Some(v1::event::Payload::Transaction(transaction)),
            ..Default::default()
        };
        let answer = IngestServiceClient::new(self.channel.clone())
            .ingest_batch(v1::IngestBatchRequest {
                events: vec![event],
            })
            .await?
            .into_inner();
        let ack = answer.acks.first().context("an acknowledgement")?;
        anyhow::ensure!(ack.status() == v1::AckStatus::Accepted, "{ack:?}");
        Ok(ack.warnings.iter().map(|w| w.reason.clone()).collect())
    }
}

#[tokio::test]
async fn an_order_survives_a_kill_in_each_of_its_states() -> Result<()> {
    let mut shop = Shop::open().await?;
    let held = shop.hold("order", 3, 1).await?;
    let id = held.reservation_id.clone();
    let confirm = v1::ConfirmReservationRequest {
        request_id: "confirm".into(),
        reservation_id: id.clone(),
        payment_state: v1::PaymentState::Authorised.into(),
        handover_kind: v1::HandoverKind::Locker.into(),
        etag: held.etag.clone(),
    };
    shop = shop.restart().await?;
    assert_eq!(shop.get(&id).await?, held);
    let confirmed = shop
        .fulfillment()
        .confirm_reservation(confirm.clone())
        .await?
        .into_inner();
    assert_eq!(confirmed.pickup_code.len(), 8, "{confirmed:?}");
    assert_eq!(confirmed.handover_kind(), v1::HandoverKind::Locker);
    shop = shop.restart().await?;
    let again = shop
        .fulfillment()
        .confirm_reservation(confirm)
        .await?
        .into_inner();
    assert_eq!(
        again, confirmed,
        "the retry after the crash has the code too"
    );
    let read = shop.get(&id).await?;
    assert_eq!(read.pickup_code, "", "nobody else is told");
    assert_eq!(
        read,
        v1::Reservation {
            pickup_code: String::new(),
            ..confirmed.clone()
        }
    );
    let code = confirmed.pickup_code;
    let picking = shop.pick(&id).await?;
    assert_eq!(state(&picking), State::Picking);
    shop = shop.restart().await?;
    assert_eq!(shop.get(&id).await?, picking);
    let ready = shop.ready(&id).await?;
    assert_eq!(state(&ready), State::Ready);
    shop = shop.restart().await?;
    assert_eq!(shop.get(&id).await?, ready);
    let wrong = shop
        .hand_over(&id, "22222222", &[])
        .await
        .expect_err("another code");
    assert_eq!(
        (wrong.code(), reason(&wrong).as_str()),
        (Code::FailedPrecondition, "PICKUP_CODE_MISMATCH")
    );
    let part = shop.hand_over(&id, &code, &[("coffee", 1)]).await?;
    assert_eq!(state(&part), State::PartiallyPickedUp);
    assert_eq!(part.legs[0].lines[0].quantity_handed_over, pieces(1));
    shop = shop.restart().await?;
    assert_eq!(shop.get(&id).await?, part);
    assert_eq!(shop.coffee("NEAR").await?, (9, 0, 2, 0));
    let done = shop.hand_over(&id, &code, &[]).await?;
    assert_eq!(state(&done), State::Fulfilled);
    shop = shop.restart().await?;
    assert_eq!(shop.get(&id).await?, done);
    assert_eq!(shop.coffee("NEAR").await?, (7, 0, 0, 0));

    let cancelled = shop.confirmed("another", 2).await?.reservation_id;
    shop.ready(&cancelled).await?;
    let waiting = shop.cancel("another").await?;
    assert_eq!(state(&waiting), State::NeedsPutBack);
    shop = shop.restart().await?;
    assert_eq!(shop.get(&cancelled).await?, waiting);
    assert_eq!(shop.coffee("NEAR").await?, (7, 0, 2, 0));
    let back = shop.put_back(&cancelled).await?;
    shop = shop.restart().await?;
    assert_eq!(
        (state(&back), shop.get(&cancelled).await?),
        (State::PutBack, back)
    );
    assert_eq!(shop.coffee("NEAR").await?, (7, 0, 0, 0));

    let sent = shop.confirmed("parcel", 1).await?.reservation_id;
    let request = v1::MarkShippedRequest {
        request_id: shop.id(),
        reservation_id: sent.clone(),
        carrier: "BRT".into(),
        tracking_number: "42".into(),
        ..Default::default()
    };
    let shipped = shop.fulfillment().mark_shipped(request).await?.into_inner();
    shop = shop.restart().await?;
    assert_eq!(
        (state(&shipped), shop.get(&sent).await?),
        (State::Shipped, shipped)
    );
    assert_eq!(shop.coffee("NEAR").await?, (6, 0, 0, 0));
    assert_eq!(
        state(&shop.hand_over(&sent, "", &[]).await?),
        State::Fulfilled
    );
    Ok(())
}

#[tokio::test]
async fn a_step_at_the_wrong_time_says_what_would_have_to_be() -> Result<()> {
    let mut shop = Shop::open().await?;
    let held = shop.hold("order", 1, 0).await?;
    let id = held.reservation_id.clone();
    let early = shop.pick(&id).await.expect_err("not confirmed");
    assert_eq!(
        (early.code(), reason(&early).as_str()),
        (Code::FailedPrecondition, "RESERVATION_WRONG_STATE")
    );
    shop.confirm(&id).await?;
    let early = shop.hand_over(&id, "", &[]).await.expect_err("not ready");
    assert_eq!(reason(&early), "RESERVATION_WRONG_STATE");
    let request = v1::StartPickingRequest {
        request_id: shop.id(),
        reservation_id: id.clone(),
        etag: held.etag,
    };
    let stale = shop
        .fulfillment()
        .start_picking(request)
        .await
        .expect_err("it was confirmed since");
    assert_eq!(
        (stale.code(), reason(&stale).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    shop.ready(&id).await?;
    let no_code = shop
        .hand_over(&id, "", &[])
        .await
        .expect_err("a code is asked for");
    assert_eq!(no_code.code(), Code::InvalidArgument);
    let unknown = shop.cancel("nothing").await.expect_err("no such order");
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "UNKNOWN_ORDER")
    );
    let unknown = shop.pick("r-999").await.expect_err("no such reservation");
    assert_eq!(reason(&unknown), "UNKNOWN_RESERVATION");
    shop.advance(1000 * HOUR).await?;
    let late = shop.hold("late", 1, 0).await?.reservation_id;
    shop.advance(1001 * HOUR).await?;
    let request = v1::ExtendReservationRequest {
        request_id: shop.id(),
        reservation_id: late,
        ..Default::default()
    };
    let expired = shop
        .fulfillment()
        .extend_reservation(request)
        .await
        .expect_err("it ran out");
    assert_eq!(reason(&expired), "RESERVATION_EXPIRED");
    Ok(())
}

#[tokio::test]
async fn a_store_that_finds_too_little_gives_the_order_to_the_next_in_the_same_step() -> Result<()>
{
    let mut shop = Shop::open().await?;
    let id = shop.confirmed("order", 4).await?.reservation_id;
    let request = v1::ReportPickExceptionRequest {
        request_id: shop.id(),
        reservation_id: id.clone(),
        lines: vec![v1::PickedLine {
            line_id: "coffee".into(),
            quantity_found: pieces(1),
            reason: v1::PickExceptionReason::NotFound.into(),
        }],
        move_to_next: true,
        ..Default::default()
    };
    let told = shop
        .fulfillment()
        .report_pick_exception(request.clone())
        .await?
        .into_inner();
    let moved = told.moved_to.clone().context("it moved")?;
    assert_eq!(
        (
            moved.legs[0].store_id.as_str(),
            state(&moved),
            moved.fallback_steps
        ),
        ("FAR", State::Confirmed, 1)
    );
    assert_eq!(moved.replaces_reservation_id, id);
    let options: Vec<_> = told
        .alternatives
        .iter()
        .map(|o| o.legs[0].store_id.as_str())
        .collect();
    assert_eq!(options, ["FAR"]);
    assert_eq!(told.alternatives[0].legs[0].line_ids, ["coffee"]);
    // What was found has to be put back; what was not found, and what nobody had asked for, is not believed in any more.
    assert_eq!(shop.coffee("NEAR").await?, (1, 0, 1, 0));
    assert_eq!(shop.coffee("FAR").await?, (10, 0, 4, 0));
    shop = shop.restart().await?;
    let again = shop
        .fulfillment()
        .report_pick_exception(request)
        .await?
        .into_inner();
    assert_eq!(again, told, "the retry after a crash");
    assert_eq!(shop.coffee("FAR").await?, (10, 0, 4, 0));
    shop.put_back(&id).await?;
    let by_order = v1::ListReservationsRequest {
        order_id: "order".into(),
        ..Default::default()
    };
    assert_eq!(shop.list(by_order).await?, [id, moved.reservation_id]);
    Ok(())
}

#[tokio::test]
async fn silence_moves_an_order_and_absence_takes_it_back() -> Result<()> {
    let mut shop = Shop::open().await?;
    shop.patience(Some(HOUR), Some(2 * HOUR)).await?;
    let silent = shop.confirmed("silent", 2).await?.reservation_id;
    let seen = shop.confirmed("seen", 1).await?.reservation_id;
    let request = v1::AcknowledgePickRequest {
        request_id: shop.id(),
        reservation_id: seen.clone(),
        ..Default::default()
    };
    let acknowledged = shop
        .fulfillment()
        .acknowledge_pick(request)
        .await?
        .into_inner();
    assert!(acknowledged.legs[0].acknowledge_time.is_some());
    shop = shop.restart().await?;
    shop.advance(1 + HOUR).await?;
    let left = shop.get(&silent).await?;
    assert_eq!(
        (state(&left), left.legs[0].acknowledge_missed),
        (State::Released, true)
    );
    let moved = shop.get(&left.replaced_by_reservation_id).await?;
    assert_eq!(
        (moved.legs[0].store_id.as_str(), state(&moved)),
        ("FAR", State::Confirmed)
    );
    assert_eq!(state(&shop.get(&seen).await?), State::Confirmed);
    let ready = shop.ready(&seen).await?;
    assert_eq!(ready.legs[0].no_show_time, at(1 + 3 * HOUR));
    shop = shop.restart().await?;
    shop.advance(3 * HOUR).await?;
    assert_eq!(state(&shop.get(&seen).await?), State::Ready);
    shop.advance(1 + 3 * HOUR).await?;
    assert_eq!(state(&shop.get(&seen).await?), State::NeedsPutBack);
    assert_eq!(shop.coffee("NEAR").await?, (10, 0, 1, 0));
    let page = shop.server.page("/metrics").await?;
    for line in [
        "tillside_oversold_total 0",
        "tillside_no_shows_total 1",
        "tillside_orders_moved_total{cause=\"not_acknowledged\"}",
        "tillside_orders_ready_total{promise=\"in_time\"}",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    Ok(())
}

#[tokio::test]
async fn the_stock_of_a_pickup_falls_once_whichever_comes_first() -> Result<()> {
    let mut shop = Shop::open().await?;
    let first = shop.confirmed("handover first", 3).await?;
    let id = first.reservation_id;
    shop.ready(&id).await?;
    shop.hand_over(&id, &first.pickup_code, &[("coffee", 2)])
        .await?;
    assert_eq!(shop.receipt(&id, 2).await?, Vec::<String>::new());
    assert_eq!(shop.coffee("NEAR").await?, (8, 0, 1, 0));
    shop = shop.restart().await?;
    shop.hand_over(&id, &first.pickup_code, &[]).await?;
    assert_eq!(shop.receipt(&id, 1).await?, Vec::<String>::new());
    assert_eq!(shop.coffee("NEAR").await?, (7, 0, 0, 0));
    let paid = shop.get(&id).await?;
    assert_eq!(
        (state(&paid), paid.payment_state()),
        (State::Fulfilled, v1::PaymentState::Paid)
    );

    let second = shop.confirmed("receipt first", 2).await?;
    let id = second.reservation_id;
    shop.ready(&id).await?;
    assert_eq!(shop.receipt(&id, 2).await?, Vec::<String>::new());
    shop = shop.restart().await?;
    let done = shop.hand_over(&id, &second.pickup_code, &[]).await?;
    assert_eq!(done.legs[0].lines[0].quantity_handed_over, pieces(2));
    assert_eq!(shop.coffee("NEAR").await?, (5, 0, 0, 0));
    // A third telling is a sale of its own.
    assert_eq!(shop.receipt(&id, 1).await?, ["RESERVATION_NOT_SETTLED"]);
    assert_eq!(shop.coffee("NEAR").await?, (4, 0, 0, 0));
    Ok(())
}

#[tokio::test]
async fn a_store_lists_its_work_page_by_page() -> Result<()> {
    let mut shop = Shop::open().await?;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(
            shop.confirmed(&format!("order {n}"), 1)
                .await?
                .reservation_id,
        );
    }
    shop.ready(&ids[0]).await?;
    shop.cancel("order 1").await?;
    let of_store = |states: &[State], page_size| v1::ListReservationsRequest {
        store_id: "NEAR".into(),
        states: states.iter().map(|s| *s as i32).collect(),
        page_size,
        ..Default::default()
    };
    let id = |n: usize| ids[n].clone();
    // Least recently changed first.
    let live = [id(2), id(3), id(4), id(0)];
    assert_eq!(shop.list(of_store(&[], 0)).await?, live);
    assert_eq!(shop.list(of_store(&[], 2)).await?, live);
    assert_eq!(shop.list(of_store(&[State::Ready], 1)).await?, [id(0)]);
    let all = [State::Confirmed, State::Released];
    assert_eq!(
        shop.list(of_store(&all, 3)).await?,
        [id(2), id(3), id(4), id(1)]
    );
    shop = shop.restart().await?;
    assert_eq!(shop.list(of_store(&[], 3)).await?, live);
    let neither = v1::ListReservationsRequest::default();
    let refused = shop
        .fulfillment()
        .list_reservations(neither)
        .await
        .expect_err("of what?");
    assert_eq!(refused.code(), Code::InvalidArgument);
    Ok(())
}

#[tokio::test]
async fn a_tablet_sees_what_changes_and_goes_on_after_a_crash() -> Result<()> {
    let mut shop = Shop::open().await?;
    let mut empty = shop.watch(0).await?;
    let first = empty.message().await?.context("at once")?;
    assert!(
        first.reservations.is_empty() && first.sequence > 0,
        "{first:?}"
    );
    let id = shop.confirmed("order", 1).await?.reservation_id;
    // Hold and confirmation come in one message or in two: never twice the same, and the last is as it is now.
    let mut seen = Vec::new();
    while seen.last() != Some(&State::Confirmed) {
        let message = empty.message().await?.context("a change")?;
        seen.extend(message.reservations.iter().map(state));
    }
    assert!(seen.len() <= 2, "{seen:?}");
    drop(empty);

    let mut tablet = shop.watch(0).await?;
    let snapshot = tablet.message().await?.context("what is there")?;
    let there: Vec<_> = snapshot
        .reservations
        .iter()
        .map(|r| r.reservation_id.as_str())
        .collect();
    assert_eq!(there, [id.as_str()]);
    drop(tablet);
    // While nobody looks, much happens; who comes back is told how things are now.
    shop.ready(&id).await?;
    let other = shop.confirmed("other", 2).await?.reservation_id;
    shop.cancel("other").await?;
    shop = shop.restart().await?;
    let mut tablet = shop.watch(snapshot.sequence).await?;
    let missed = tablet.message().await?.context("what was missed")?;
    let told: Vec<_> = missed
        .reservations
        .iter()
        .map(|r| (r.reservation_id.clone(), state(r)))
        .collect();
    assert_eq!(told, [(id.clone(), State::Ready), (other, State::Released)]);
    // Another store's orders are not this tablet's.
    let far = v1::ReserveFulfillmentRequest {
        request_id: shop.id(),
        order_id: "far".into(),
        store_id: "FAR".into(),
        lines: vec![v1::FulfillmentLine {
            sku: "COFFEE".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    shop.fulfillment().reserve_fulfillment(far).await?;
    shop.cancel("order").await?;
    let next = tablet.message().await?.context("a change")?;
    assert_eq!(
        next.reservations.iter().map(state).collect::<Vec<_>>(),
        [State::NeedsPutBack]
    );
    assert!(next.sequence > missed.sequence);
    // A server that stops says so, and does not wait for its readers.
    let (stopped, last) = tokio::join!(shop.server.stop(), tablet.message());
    assert!(stopped?.success());
    let status = last.expect_err("the stream ends");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "NOT_READY")
    );
    Ok(())
}
