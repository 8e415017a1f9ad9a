//! Orders in parts, over gRPC, over crashes and under contention: held whole or not at all, and placed and ended by any part.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use tillside_proto::v1;
use tillside_proto::v1::catalog_service_client::CatalogServiceClient;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_tests::{Server, binary};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use v1::FulfillmentMethod::{Pickup, ShipToHome};
use v1::ReservationState as At;

/// A Monday; in Rome it is ten.
const START: &str = "2026-11-02T09:00:00Z";

fn start(data: &Path) -> Result<Server> {
    Server::start(data, &["--simulated-clock", START])
}

/// Never the same, also after a restart.
fn request_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("request {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn quantity(pieces: i64) -> Option<v1::Quantity> {
    Some(v1::Quantity {
        thousandths: pieces * 1000,
        unit: 0,
    })
}

#[derive(Clone)]
struct Desk {
    catalog: CatalogServiceClient<Channel>,
    fulfillment: FulfillmentServiceClient<Channel>,
    inventory: InventoryServiceClient<Channel>,
}

impl Desk {
    async fn at(server: &Server) -> Result<Desk> {
        let channel = server.channel().await?;
        Ok(Desk {
            catalog: CatalogServiceClient::new(channel.clone()),
            fulfillment: FulfillmentServiceClient::new(channel.clone()),
            inventory: InventoryServiceClient::new(channel),
        })
    }

    /// Stores A and B to the north of the shopper and a warehouse W, which sends; p1 only at A, p2 only at B and W.
    async fn chain(&mut self, pieces: i64, split_parts_max: i32) -> Result<()> {
        let place = |id: &str, north: f64, kind: v1::LocationKind| v1::Store {
            store_id: id.into(),
            location: Some(v1::LatLng {
                latitude: 43.77 + north,
                longitude: 11.25,
            }),
            terms: Some(v1::LocationTerms {
                kind: kind.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let store = v1::LocationKind::Store;
        let request = v1::PutStoresRequest {
            request_id: request_id(),
            stores: vec![
                place("A", 0.01, store),
                place("B", 0.02, store),
                place("W", 0.5, v1::LocationKind::Warehouse),
            ],
        };
        self.catalog.put_stores(request).await?;
        let product = |sku: &str| v1::Product {
            sku: sku.into(),
            ..Default::default()
        };
        let request = v1::PutProductsRequest {
            request_id: request_id(),
            products: vec![product("p1"), product("p2")],
        };
        self.catalog.put_products(request).await?;
        for (sku, store) in [("p1", "A"), ("p2", "B"), ("p2", "W")] {
            let request = v1::SetStockCountRequest {
                request_id: request_id(),
                sku: sku.into(),
                store_id: store.into(),
                on_hand: quantity(pieces),
                ..Default::default()
            };
            self.inventory.set_stock_count(request).await?;
        }
        let request = v1::SetRoutingPolicyRequest {
            request_id: request_id(),
            policy: Some(v1::RoutingPolicy {
                split_parts_max,
                ..Default::default()
            }),
            ..Default::default()
        };
        self.catalog.set_routing_policy(request).await?;
        Ok(())
    }

    async fn reserve(
        &mut self,
        request: v1::ReserveFulfillmentRequest,
    ) -> Result<v1::Reservation, Status> {
        let answer = self.fulfillment.reserve_fulfillment(request).await?;
        Ok(answer.into_inner())
    }

    async fn get(&mut self, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::GetReservationRequest {
            reservation_id: id.into(),
        };
        Ok(self
            .fulfillment
            .get_reservation(request)
            .await?
            .into_inner())
    }

    async fn confirm(&mut self, request_id: &str, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::ConfirmReservationRequest {
            request_id: request_id.into(),
            reservation_id: id.into(),
            ..Default::default()
        };
        let answer = self.fulfillment.confirm_reservation(request).await?;
        Ok(answer.into_inner())
    }

    async fn cancel(&mut self, order_id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::CancelOrderRequest {
            request_id: request_id(),
            order_id: order_id.into(),
        };
        Ok(self.fulfillment.cancel_order(request).await?.into_inner())
    }

    async fn ready(&mut self, id: &str) -> Result<v1::Reservation, Status> {
        let request = v1::MarkReadyForPickupRequest {
            request_id: request_id(),
            reservation_id: id.into(),
            ..Default::default()
        };
        let answer = self.fulfillment.mark_ready_for_pickup(request).await?;
        Ok(answer.into_inner())
    }

    /// (reserved, committed) in pieces.
    async fn level(&mut self, sku: &str, store: &str) -> Result<(i64, i64)> {
        let request = v1::GetAvailabilityRequest {
            sku: sku.into(),
            store_id: store.into(),
        };
        let level = self.inventory.get_availability(request).await?.into_inner();
        Ok((
            level.reserved_thousandths / 1000,
            level.committed_thousandths / 1000,
        ))
    }

    async fn is_sound(&mut self) -> Result<()> {
        let request = v1::CheckInvariantsRequest::default();
        let answer = self.inventory.check_invariants(request).await?.into_inner();
        assert_eq!(answer.violations, Vec::<String>::new());
        Ok(())
    }
}

/// One of each product, wherever they are.
fn basket(order: &str) -> v1::ReserveFulfillmentRequest {
    let location = v1::LatLng {
        latitude: 43.77,
        longitude: 11.25,
    };
    let line = |sku: &str| v1::FulfillmentLine {
        sku: sku.into(),
        ..Default::default()
    };
    v1::ReserveFulfillmentRequest {
        request_id: request_id(),
        order_id: order.into(),
        origin: Some(v1::Place {
            place: Some(v1::place::Place::Location(location)),
            ..Default::default()
        }),
        lines: vec![line("p1"), line("p2")],
        allow_split: true,
        ..Default::default()
    }
}

/// What each part is: its store, method, state and lines.
fn told(order: &v1::Reservation) -> Vec<(String, v1::FulfillmentMethod, At, Vec<String>)> {
    let legs = order.parts.iter().flat_map(|part| &part.legs);
    let of_leg = |leg: &v1::ReservationLeg| {
        let lines = leg.lines.iter().map(|line| line.line_id.clone());
        (
            leg.store_id.clone(),
            leg.method(),
            leg.state(),
            lines.collect(),
        )
    };
    legs.map(of_leg).collect()
}

fn states(order: &v1::Reservation) -> Vec<At> {
    told(order).into_iter().map(|part| part.2).collect()
}

fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    (status.code(), info.map(|i| i.reason).unwrap_or_default())
}

fn precondition(reason: &str) -> (Code, String) {
    (Code::FailedPrecondition, reason.to_owned())
}

#[tokio::test]
async fn a_split_is_held_whole_over_a_crash_and_placed_by_any_part() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    desk.chain(5, 2).await?;
    let whole = v1::ReserveFulfillmentRequest {
        allow_split: false,
        ..basket("o1")
    };
    let refused = desk.reserve(whole).await.expect_err("nobody has it all");
    assert_eq!(reason(&refused), precondition("SPLIT_NOT_RESERVED"));
    assert!(refused.message().contains("allow_split"), "{refused}");
    let request = basket("o1");
    let held = desk.reserve(request.clone()).await?;
    let one = |n: &str| vec![n.to_owned()];
    assert_eq!(
        told(&held),
        [
            ("A".to_owned(), Pickup, At::Held, one("1")),
            ("B".to_owned(), Pickup, At::Held, one("2")),
        ]
    );
    let ids = held.part_reservation_ids.clone();
    assert_eq!(ids[0], held.reservation_id);
    for (part, id) in held.parts.iter().zip(&ids) {
        assert_eq!(
            (&part.reservation_id, &part.part_reservation_ids),
            (id, &ids)
        );
        assert_eq!((part.expire_time, part.parts.len()), (held.expire_time, 0));
    }
    // A retry is answered as the first call was.
    assert_eq!(desk.reserve(request.clone()).await?, held);
    drop(desk);
    server.kill()?;

    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    assert_eq!(desk.reserve(request).await?, held);
    assert_eq!(desk.get(&ids[0]).await?, held);
    assert_eq!(desk.level("p1", "A").await?, (1, 0));
    assert_eq!(desk.level("p2", "B").await?, (1, 0));
    let longer = v1::ExtendReservationRequest {
        request_id: request_id(),
        reservation_id: ids[1].clone(),
        hold_duration: Some(prost_types::Duration {
            seconds: 7200,
            nanos: 0,
        }),
        ..Default::default()
    };
    let extended = desk
        .fulfillment
        .extend_reservation(longer)
        .await?
        .into_inner();
    let until: Vec<_> = extended.parts.iter().map(|part| part.expire_time).collect();
    assert_eq!(until, [extended.expire_time; 2]);
    assert_ne!(extended.expire_time, held.expire_time);
    let placed = desk.confirm("place", &ids[1]).await?;
    assert_eq!(placed.reservation_id, ids[1]);
    assert_eq!(states(&placed), [At::Confirmed, At::Confirmed]);
    let codes: Vec<_> = placed.parts.iter().map(|part| &part.pickup_code).collect();
    assert_eq!(codes, [&placed.pickup_code; 2]);
    assert_eq!(placed.pickup_code.len(), 8);
    drop(desk);
    server.kill()?;

    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    assert_eq!(
        desk.confirm("place", &ids[1]).await?,
        placed,
        "with the code"
    );
    let now = desk.get(&ids[0]).await?;
    assert_eq!(
        (states(&now), now.pickup_code),
        (vec![At::Confirmed; 2], String::new())
    );
    // Each store does its own work, with the one code.
    desk.ready(&ids[0]).await?;
    let handover = v1::ConfirmHandoverRequest {
        request_id: request_id(),
        reservation_id: ids[0].clone(),
        pickup_code: placed.pickup_code,
        ..Default::default()
    };
    desk.fulfillment.confirm_handover(handover).await?;
    assert_eq!(
        states(&desk.get(&ids[1]).await?),
        [At::Fulfilled, At::Confirmed]
    );
    let refused = desk.cancel("o1").await.expect_err("a part is gone");
    assert_eq!(reason(&refused), precondition("RESERVATION_ENDED"));
    let info = refused.get_details_error_info().context("ErrorInfo")?;
    let named = info.metadata.get("part_reservation_id");
    assert_eq!(named, Some(&ids[0]));
    assert_eq!(desk.level("p2", "B").await?, (0, 1));
    desk.is_sound().await?;
    drop(desk);
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_repeat_replaces_all_parts_and_a_cancellation_ends_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let mut desk = Desk::at(&server).await?;
    // One piece of each: only the order itself can have it again.
    desk.chain(1, 2).await?;
    let first = desk.reserve(basket("o1")).await?;
    let again = desk.reserve(basket("o1")).await?;
    assert_eq!(
        states(&desk.get(&first.reservation_id).await?),
        [At::Released; 2]
    );
    assert_eq!(states(&again), [At::Held; 2]);
    // To one part and back.
    let single = v1::ReserveFulfillmentRequest {
        lines: basket("o1").lines[..1].to_vec(),
        ..basket("o1")
    };
    let single = desk.reserve(single).await?;
    assert!(single.parts.is_empty() && single.part_reservation_ids.is_empty());
    assert_eq!(desk.level("p2", "B").await?, (0, 0));
    let parts = desk.reserve(basket("o1")).await?;
    assert_eq!(
        desk.get(&single.reservation_id).await?.legs[0].state(),
        At::Released
    );
    let other = desk.reserve(basket("o2")).await.expect_err("it is held");
    assert_eq!(reason(&other), precondition("INSUFFICIENT_STOCK"));
    let cancelled = desk.cancel("o1").await?;
    assert_eq!(cancelled.part_reservation_ids, parts.part_reservation_ids);
    assert_eq!(states(&cancelled), [At::Released; 2]);
    // And by one of them.
    let parts = desk.reserve(basket("o2")).await?;
    let request = v1::ReleaseReservationRequest {
        request_id: request_id(),
        reservation_id: parts.part_reservation_ids[1].clone(),
    };
    let released = desk
        .fulfillment
        .release_reservation(request)
        .await?
        .into_inner();
    assert_eq!(states(&released), [At::Released; 2]);
    desk.is_sound().await?;
    Ok(())
}

#[tokio::test]
async fn what_two_stores_have_together_is_never_sold_by_halves() -> Result<()> {
    const ORDERS: usize = 24;
    const PIECES: i64 = 5;
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    desk.chain(PIECES, 2).await?;
    // A rush for B's goods alone makes the two stores run out at different times.
    let mut shoppers = tokio::task::JoinSet::new();
    for n in 0..ORDERS {
        let mut desk = desk.clone();
        shoppers.spawn(async move {
            let mut request = basket(&format!("o{n}"));
            if n % 3 == 0 {
                request.lines.remove(0);
            }
            let both = request.lines.len() == 2;
            loop {
                request.request_id = request_id();
                match desk.reserve(request.clone()).await {
                    Ok(held) => break (both, Some(held)),
                    Err(status) if status.code() == Code::Aborted => {}
                    Err(status) => {
                        assert_eq!(reason(&status), precondition("INSUFFICIENT_STOCK"));
                        break (both, None);
                    }
                }
            }
        });
    }
    let (mut halves, mut singles) = (0, 0);
    while let Some(done) = shoppers.join_next().await {
        match done? {
            (true, Some(held)) => {
                assert_eq!(states(&held), [At::Held; 2]);
                halves += 1;
            }
            (false, Some(_)) => singles += 1,
            (_, None) => {}
        }
    }
    assert_eq!(
        halves + singles,
        PIECES,
        "everything B has is held, and no more"
    );
    drop(desk);
    server.kill()?;
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    assert_eq!(desk.level("p1", "A").await?, (halves, 0));
    assert_eq!(desk.level("p2", "B").await?, (PIECES, 0));
    desk.is_sound().await?;
    Ok(())
}

#[tokio::test]
async fn a_mixed_order_is_held_although_nothing_is_to_be_split() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    // Never split: what the lines themselves force is not splitting.
    desk.chain(5, 1).await?;
    let mut mixed = basket("o1");
    mixed.methods = vec![Pickup.into(), ShipToHome.into()];
    mixed.lines[0].methods = vec![Pickup.into()];
    mixed.lines[1].methods = vec![ShipToHome.into()];
    let whole = v1::ReserveFulfillmentRequest {
        request_id: request_id(),
        allow_split: false,
        ..mixed.clone()
    };
    let refused = desk.reserve(whole).await.expect_err("no way serves both");
    assert_eq!(reason(&refused), precondition("SPLIT_NOT_RESERVED"));
    let held = desk.reserve(mixed).await?;
    let one = |n: &str| vec![n.to_owned()];
    assert_eq!(
        told(&held),
        [
            ("A".to_owned(), Pickup, At::Held, one("1")),
            ("W".to_owned(), ShipToHome, At::Held, one("2")),
        ]
    );
    // Lines that could go one way and lie in two stores stay whole.
    let refused = desk.reserve(basket("o2")).await.expect_err("a split");
    assert_eq!(reason(&refused), precondition("INSUFFICIENT_STOCK"));
    drop(desk);
    server.kill()?;

    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    let ids = &held.part_reservation_ids;
    desk.confirm("place", &ids[0]).await?;
    let shipped = v1::MarkShippedRequest {
        request_id: request_id(),
        reservation_id: ids[1].clone(),
        ..Default::default()
    };
    desk.fulfillment.mark_shipped(shipped).await?;
    desk.ready(&ids[0]).await?;
    // What is on its way keeps neither the payment nor the wait from what is picked up.
    let pay = v1::ConfirmReservationRequest {
        request_id: request_id(),
        reservation_id: ids[0].clone(),
        payment_state: v1::PaymentState::Paid.into(),
        ..Default::default()
    };
    let paid = desk
        .fulfillment
        .confirm_reservation(pay)
        .await?
        .into_inner();
    assert_eq!(states(&paid), [At::Ready, At::Shipped]);
    let paid: Vec<_> = paid.parts.iter().map(|p| p.payment_state()).collect();
    assert_eq!(paid, [v1::PaymentState::Paid; 2]);
    let wait = v1::ExtendReservationRequest {
        request_id: request_id(),
        reservation_id: ids[1].clone(),
        ..Default::default()
    };
    desk.fulfillment.extend_reservation(wait).await?;
    desk.is_sound().await?;
    Ok(())
}

#[tokio::test]
async fn a_part_that_moves_is_replaced_among_the_parts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    desk.chain(5, 2).await?;
    let held = desk.reserve(basket("o1")).await?;
    let ids = held.part_reservation_ids;
    desk.confirm("place", &ids[0]).await?;
    // A has p2 as well by now.
    let count = v1::SetStockCountRequest {
        request_id: request_id(),
        sku: "p2".into(),
        store_id: "A".into(),
        on_hand: quantity(1),
        ..Default::default()
    };
    desk.inventory.set_stock_count(count).await?;
    let short = v1::ReportPickExceptionRequest {
        request_id: request_id(),
        reservation_id: ids[1].clone(),
        lines: vec![v1::PickedLine {
            line_id: "2".into(),
            quantity_found: None,
            reason: v1::PickExceptionReason::NotFound.into(),
        }],
        move_to_next: true,
        ..Default::default()
    };
    let told = desk
        .fulfillment
        .report_pick_exception(short)
        .await?
        .into_inner();
    let moved = told.moved_to.context("it moved")?;
    let now = [ids[0].clone(), moved.reservation_id.clone()];
    assert_eq!(moved.part_reservation_ids, now);
    drop(desk);
    server.kill()?;
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    let first = desk.get(&ids[0]).await?;
    assert_eq!(first.part_reservation_ids, now);
    assert_eq!(states(&first), [At::Confirmed; 2]);
    let old = desk.get(&ids[1]).await?;
    assert_eq!((old.legs[0].state(), old.parts.len()), (At::Released, 0));
    let cancelled = desk.cancel("o1").await?;
    assert_eq!(states(&cancelled), [At::Released; 2]);
    desk.is_sound().await?;
    Ok(())
}

#[tokio::test]
async fn the_command_line_holds_and_shows_parts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let mut desk = Desk::at(&server).await?;
    desk.chain(5, 2).await?;
    let tillside = async |args: &[&str]| -> Result<(bool, String)> {
        let output = tokio::process::Command::new(binary("tillside")?)
            .args(["--server", &format!("http://{}", server.grpc)])
            .args(args)
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let all = text + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.success(), all))
    };
    let (_, plan) = tillside(&["plan", "--at", "43.77,11.25", "p1", "p2"]).await?;
    assert!(plan.contains("part, pickup"), "{plan}");
    let reserve = ["reserve", "--order", "o1", "--at", "43.77,11.25"];
    let (held, text) = tillside(&[&reserve[..], &["p1", "p2"]].concat()).await?;
    assert!(!held && text.contains("allow_split"), "{text}");
    let (held, text) = tillside(&[&reserve[..], &["--allow-split", "p1", "p2"]].concat()).await?;
    let id = |n: usize| format!("r-{n}");
    assert!(
        held && text.contains(&format!("{}, {}", id(1), id(2))),
        "{text}"
    );
    let (_, confirmed) = tillside(&["confirm", &id(2)]).await?;
    let rows = confirmed.lines().filter(|line| line.contains("confirmed"));
    assert_eq!(rows.count(), 2, "{confirmed}");
    let (_, list) = tillside(&["orders", "list", "--order", "o1"]).await?;
    assert!(list.contains("1 of 2") && list.contains("2 of 2"), "{list}");
    Ok(())
}
