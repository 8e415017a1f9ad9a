//! Windows, slots, methods and the routing policy, over gRPC and over a crash: a slot is held with the stock and given back
//! with it, the ladder is answered with its reasons, and a new policy is tried on the routings of the past.

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

/// A Monday; in Rome it is ten.
const START: &str = "2026-11-02T09:00:00Z";

fn at(text: &str) -> Option<prost_types::Timestamp> {
    Some(text.parse().expect("a literal"))
}

fn minutes(n: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration {
        seconds: n * 60,
        nanos: 0,
    })
}

fn start(data: &Path) -> Result<Server> {
    Server::start(data, &["--simulated-clock", START])
}

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

    /// Never the same, also for a desk after a restart.
    fn request_id(&mut self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("request {}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Stores a kilometre and more apart, to the north of the shopper, with two products of one and two euros.
    async fn chain(&mut self, stores: Vec<v1::Store>) -> Result<()> {
        let request_id = self.request_id();
        self.catalog
            .put_stores(v1::PutStoresRequest { request_id, stores })
            .await?;
        let product = |sku: &str, cents| v1::Product {
            sku: sku.into(),
            list_price: Some(v1::Money {
                currency_code: "EUR".into(),
                minor_units: cents,
            }),
            category_path: vec!["Dry".into()],
            ..v1::Product::default()
        };
        let request = v1::PutProductsRequest {
            request_id: self.request_id(),
            products: vec![product("p1", 100), product("p2", 200)],
        };
        self.catalog.put_products(request).await?;
        Ok(())
    }

    async fn count(&mut self, sku: &str, store: &str, pieces: i64) -> Result<()> {
        let request = v1::SetStockCountRequest {
            request_id: self.request_id(),
            sku: sku.into(),
            store_id: store.into(),
            on_hand: Some(v1::Quantity {
                thousandths: pieces * 1000,
                unit: 0,
            }),
            ..v1::SetStockCountRequest::default()
        };
        self.inventory.set_stock_count(request).await?;
        Ok(())
    }

    /// Pieces of p1 on their way to A, expected at noon in Greenwich.
    async fn announce(&mut self, id: &str, pieces: i64) -> Result<()> {
        let delivery = v1::InboundDelivery {
            delivery_id: id.into(),
            store_id: "A".into(),
            expected_time: at("2026-11-02T12:00:00Z"),
            lines: vec![v1::InboundLine {
                sku: "p1".into(),
                quantity: Some(v1::Quantity {
                    thousandths: pieces * 1000,
                    unit: 0,
                }),
                ..v1::InboundLine::default()
            }],
            ..v1::InboundDelivery::default()
        };
        let request = v1::ScheduleInboundRequest {
            request_id: self.request_id(),
            delivery: Some(delivery),
            ..v1::ScheduleInboundRequest::default()
        };
        self.inventory.schedule_inbound(request).await?;
        Ok(())
    }

    async fn reserve(
        &mut self,
        order: &str,
        store: &str,
        slot: Option<prost_types::Timestamp>,
    ) -> Result<v1::Reservation, Status> {
        let request = v1::ReserveFulfillmentRequest {
            request_id: self.request_id(),
            order_id: order.into(),
            store_id: store.into(),
            lines: lines(&["p1"]),
            pickup_slot_start_time: slot,
            ..v1::ReserveFulfillmentRequest::default()
        };
        let answer = self.fulfillment.reserve_fulfillment(request).await?;
        Ok(answer.into_inner())
    }

    async fn slots(&mut self, with_room: bool) -> Result<Vec<(String, i32)>> {
        let request = v1::ListPickupSlotsRequest {
            store_id: "A".into(),
            page_size: 3,
            with_room,
            ..v1::ListPickupSlotsRequest::default()
        };
        let answer = self
            .fulfillment
            .list_pickup_slots(request)
            .await?
            .into_inner();
        assert_eq!(answer.store_time_zone, "Europe/Rome");
        let told = |slot: &v1::PickupSlot| {
            let start = slot.window.as_ref().and_then(|w| w.start_time);
            (start.map(|s| s.to_string()).unwrap_or_default(), slot.held)
        };
        Ok(answer.slots.iter().map(told).collect())
    }

    async fn plan(&mut self, methods: &[v1::FulfillmentMethod]) -> Result<v1::FulfillmentPlan> {
        let request = v1::PlanFulfillmentRequest {
            origin: here(),
            lines: lines(&["p1", "p2"]),
            methods: methods.iter().map(|m| i32::from(*m)).collect(),
            max_options: 10,
            ..v1::PlanFulfillmentRequest::default()
        };
        let answer = self.fulfillment.plan_fulfillment(request).await?;
        Ok(answer.into_inner())
    }

    async fn set_policy(
        &mut self,
        policy: v1::RoutingPolicy,
        validate_only: bool,
    ) -> Result<v1::SetRoutingPolicyResponse, Status> {
        let request = v1::SetRoutingPolicyRequest {
            request_id: self.request_id(),
            policy: Some(policy),
            validate_only,
            dry_run_duration: None,
        };
        Ok(self.catalog.set_routing_policy(request).await?.into_inner())
    }
}

fn here() -> Option<v1::Place> {
    let location = v1::LatLng {
        latitude: 43.77,
        longitude: 11.25,
    };
    Some(v1::Place {
        place: Some(v1::place::Place::Location(location)),
        ..Default::default()
    })
}

fn lines(skus: &[&str]) -> Vec<v1::FulfillmentLine> {
    let line = |sku: &&str| v1::FulfillmentLine {
        sku: (*sku).into(),
        ..v1::FulfillmentLine::default()
    };
    skus.iter().map(line).collect()
}

/// Two pieces of a product.
fn two(sku: &str) -> Vec<v1::FulfillmentLine> {
    let mut lines = lines(&[sku]);
    lines[0].quantity = Some(v1::Quantity {
        thousandths: 2000,
        unit: 0,
    });
    lines
}

fn store(id: &str, north_of_shopper: f64, terms: v1::LocationTerms) -> v1::Store {
    v1::Store {
        store_id: id.into(),
        location: Some(v1::LatLng {
            latitude: 43.77 + north_of_shopper,
            longitude: 11.25,
        }),
        terms: Some(terms),
        ..v1::Store::default()
    }
}

/// Open on Mondays from nine to twelve, an order an hour, half an hour to prepare.
fn slotted(id: &str, north_of_shopper: f64) -> v1::Store {
    let terms = v1::LocationTerms {
        preparation_duration: minutes(30),
        pickup_slots: Some(v1::PickupSlotRules {
            length: minutes(60),
            capacity: 1,
        }),
        ..v1::LocationTerms::default()
    };
    v1::Store {
        opening_hours: vec![v1::OpeningHours {
            day: v1::DayOfWeek::Monday.into(),
            open_minute: 540,
            close_minute: 720,
        }],
        ..store(id, north_of_shopper, terms)
    }
}

fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    (status.code(), info.map(|i| i.reason).unwrap_or_default())
}

#[tokio::test]
async fn a_slot_is_held_with_the_stock_over_a_crash_and_given_back_with_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    desk.chain(vec![slotted("A", 0.01)]).await?;
    desk.count("p1", "A", 9).await?;
    let read = desk
        .catalog
        .get_store(v1::GetStoreRequest {
            store_id: "A".into(),
        })
        .await?
        .into_inner();
    let slots = read.terms.and_then(|terms| terms.pickup_slots);
    assert_eq!(slots.map(|slots| slots.capacity), Some(1));
    // At ten with half an hour of work, the first slot is at eleven; the next one is in a week.
    let (today, next, after) = (
        "2026-11-02T10:00:00Z",
        "2026-11-09T08:00:00Z",
        "2026-11-09T09:00:00Z",
    );
    let told = |slots: &[(&str, i32)]| -> Vec<(String, i32)> {
        slots.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect()
    };
    assert_eq!(
        desk.slots(false).await?,
        told(&[(today, 0), (next, 0), (after, 0)])
    );
    let held = desk.reserve("o1", "A", at(today)).await?;
    let slot = held.legs[0].pickup_slot.context("the slot")?;
    assert_eq!(
        (slot.start_time, slot.end_time),
        (at(today), at("2026-11-02T11:00:00Z"))
    );
    assert_eq!(held.legs[0].pickup_window, Some(slot));
    let full = desk
        .reserve("o2", "A", at(today))
        .await
        .expect_err("it is full");
    assert_eq!(
        reason(&full),
        (Code::FailedPrecondition, "SLOT_FULL".to_owned())
    );
    let info = full.get_details_error_info().context("ErrorInfo")?;
    assert_eq!(
        info.metadata
            .get("next_slot_start_time")
            .map(String::as_str),
        Some(next)
    );
    drop(desk);
    server.kill()?;

    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    assert_eq!(
        desk.slots(false).await?,
        told(&[(today, 1), (next, 0), (after, 0)])
    );
    assert_eq!(desk.slots(true).await?[0].0, next);
    // Without a slot of its own, the next order takes the next one.
    let second = desk.reserve("o2", "A", None).await?;
    let slot = second.legs[0].pickup_slot.context("the slot")?;
    assert_eq!(slot.start_time, at(next));
    desk.fulfillment
        .release_reservation(v1::ReleaseReservationRequest {
            request_id: "release".into(),
            reservation_id: held.reservation_id,
        })
        .await?;
    assert_eq!(
        desk.slots(false).await?,
        told(&[(today, 0), (next, 1), (after, 0)])
    );
    let wrong = desk
        .reserve("o3", "A", at("2026-11-02T10:30:00Z"))
        .await
        .expect_err("no slot begins then");
    assert_eq!(wrong.code(), Code::InvalidArgument);
    drop(desk);
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn the_ladder_answers_with_its_reasons_and_a_policy_is_tried_before_it_holds() -> Result<()> {
    use v1::FulfillmentMethod::{Pickup, ShipToHome};
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    let warehouse = v1::LocationTerms {
        kind: v1::LocationKind::Warehouse.into(),
        ..v1::LocationTerms::default()
    };
    let closed = v1::Store {
        opening_hours: vec![v1::OpeningHours {
            day: v1::DayOfWeek::Tuesday.into(),
            open_minute: 540,
            close_minute: 720,
        }],
        ..store("A", 0.01, v1::LocationTerms::default())
    };
    let plain = store("B", 0.02, v1::LocationTerms::default());
    desk.chain(vec![closed, plain, store("W", 0.5, warehouse)])
        .await?;
    for sku in ["p1", "p2"] {
        desk.count(sku, "A", 5).await?;
        desk.count(sku, "W", 5).await?;
    }
    // A is closed: the next window is told, and the warehouse can send.
    let plan = desk.plan(&[Pickup, ShipToHome]).await?;
    let steps: Vec<_> = plan
        .options
        .iter()
        .map(v1::FulfillmentOption::step)
        .collect();
    assert_eq!(
        steps,
        [
            v1::FallbackStep::PickupNearTime,
            v1::FallbackStep::ShipToHome
        ]
    );
    assert!(plan.options[0].near_time && !plan.options[1].near_time);
    // Four of five are left: what was read may be promised.
    assert!(!plan.options.iter().any(|option| option.legs[0].hold_first));
    let next = plan.next_pickup.context("the next pickup")?;
    let window = next.pickup_window.context("its window")?;
    assert_eq!(
        (next.store_id.as_str(), window.start_time),
        ("A", at("2026-11-03T08:00:00Z"))
    );
    assert_eq!(plan.steps.len(), 6);
    assert_eq!(plan.policy_etag, "0");
    // A policy with weights, checked and tried: nothing has changed yet.
    let costs = |method: v1::FulfillmentMethod, parcel, km| v1::MethodCost {
        method: method.into(),
        parcel_minor_units: parcel,
        kilometer_minor_units: km,
        transit_duration_min: minutes(24 * 60),
        transit_duration_max: minutes(48 * 60),
        ..v1::MethodCost::default()
    };
    let forbidding = v1::RoutingPolicy {
        method_costs: vec![costs(ShipToHome, 590, 1)],
        rules: vec![v1::RoutingRule {
            rule_id: "no pickups".into(),
            methods: vec![Pickup.into()],
            effect: Some(v1::routing_rule::Effect::Forbidden(true)),
            ..v1::RoutingRule::default()
        }],
        ..v1::RoutingPolicy::default()
    };
    let tried = desk.set_policy(forbidding.clone(), true).await?;
    let run = tried.dry_run.context("a dry run")?;
    assert_eq!(
        (run.routings, run.covered_share, run.changed_share),
        (1, 1.0, 1.0)
    );
    let (before, after) = (
        run.before.context("figures")?,
        run.after.context("figures")?,
    );
    assert!(after.mean_distance_meters > before.mean_distance_meters);
    assert_eq!((before.places_used, after.places_used), (1, 1));
    assert_eq!(after.mean_cost.map(|cost| cost.minor_units), Some(590 + 56));
    assert_eq!(desk.plan(&[Pickup]).await?.policy_etag, "0");
    // Set, it holds, survives a crash, and is replaced only at the version it was read.
    let set = desk.set_policy(forbidding.clone(), false).await?;
    assert!(set.dry_run.is_none());
    let etag = set.policy.context("the policy")?.etag;
    drop(desk);
    server.kill()?;
    let server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    let plan = desk.plan(&[Pickup, ShipToHome]).await?;
    assert_eq!(plan.policy_etag, etag);
    assert_eq!(plan.steps[0].result(), v1::StepResult::RuleForbids);
    assert_eq!(plan.steps[0].rule_id, "no pickups");
    let option = &plan.options[0];
    assert_eq!(option.legs[0].store_id, "W");
    let total = option.cost.as_ref().and_then(|cost| cost.total.as_ref());
    assert_eq!(total.map(|t| t.minor_units), Some(590 + 56));
    let delivery = option.legs[0]
        .delivery_window
        .as_ref()
        .context("a delivery window")?;
    assert_eq!(delivery.start_time, at("2026-11-03T09:00:00Z"));
    let old = v1::RoutingPolicy {
        etag: "0".into(),
        ..v1::RoutingPolicy::default()
    };
    let late = desk.set_policy(old, false).await.expect_err("an old etag");
    assert_eq!(reason(&late), (Code::Aborted, "ETAG_MISMATCH".to_owned()));
    // What is sent can be held as well.
    let request = v1::ReserveFulfillmentRequest {
        request_id: "ship".into(),
        order_id: "o1".into(),
        origin: here(),
        lines: lines(&["p1"]),
        methods: vec![Pickup.into(), ShipToHome.into()],
        ..v1::ReserveFulfillmentRequest::default()
    };
    let held = desk
        .fulfillment
        .reserve_fulfillment(request)
        .await?
        .into_inner();
    assert_eq!(held.legs[0].method(), ShipToHome);
    assert!(held.legs[0].delivery_window.is_some() && held.legs[0].pickup_window.is_none());
    // Routings from before the crash count for the next trial too, but for what the crash caught on its way to the file.
    let again = v1::RoutingPolicy::default();
    let run = desk.set_policy(again, true).await?.dry_run;
    assert!(run.context("a dry run")?.routings >= 3);
    drop(desk);
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_split_is_planned_and_never_half_held() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let mut desk = Desk::at(&server).await?;
    desk.chain(vec![
        store("A", 0.01, v1::LocationTerms::default()),
        store("B", 0.02, v1::LocationTerms::default()),
    ])
    .await?;
    desk.count("p1", "A", 5).await?;
    desk.count("p2", "B", 5).await?;
    let plan = desk.plan(&[]).await?;
    assert!(plan.options.is_empty(), "nobody allowed to split");
    let splitting = v1::RoutingPolicy {
        split_parts_max: 2,
        ..v1::RoutingPolicy::default()
    };
    desk.set_policy(splitting, false).await?;
    let plan = desk.plan(&[]).await?;
    assert_eq!(plan.outcome(), v1::PlanOutcome::Partial);
    assert_eq!(plan.options[0].step(), v1::FallbackStep::Split);
    let legs: Vec<_> = (plan.options[0].legs.iter())
        .map(|leg| (leg.store_id.as_str(), leg.line_ids.clone()))
        .collect();
    assert_eq!(
        legs,
        [("A", vec!["1".to_owned()]), ("B", vec!["2".to_owned()])]
    );
    let request = v1::ReserveFulfillmentRequest {
        request_id: "both".into(),
        order_id: "o1".into(),
        origin: here(),
        lines: lines(&["p1", "p2"]),
        ..v1::ReserveFulfillmentRequest::default()
    };
    let refused = desk
        .fulfillment
        .reserve_fulfillment(request)
        .await
        .expect_err("a split");
    assert_eq!(
        reason(&refused),
        (Code::FailedPrecondition, "SPLIT_NOT_RESERVED".to_owned())
    );
    Ok(())
}

/// Goods that are on their way are offered, claimed by a hold that a crash does not forget, and at risk once they do not
/// come, with the stores that have them.
#[tokio::test]
async fn what_is_on_its_way_is_promised_and_claimed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    let terms = v1::LocationTerms::default();
    desk.chain(vec![
        store("A", 0.01, terms.clone()),
        store("B", 0.2, terms),
    ])
    .await?;
    desk.count("p1", "A", 1).await?;
    desk.announce("d1", 2).await?;
    let ask = || v1::PlanFulfillmentRequest {
        origin: here(),
        lines: two("p1"),
        ..v1::PlanFulfillmentRequest::default()
    };
    let plan = desk.fulfillment.plan_fulfillment(ask()).await?.into_inner();
    let [option] = &plan.options[..] else {
        panic!("one way expected: {plan:#?}");
    };
    assert!(option.near_time);
    assert_eq!(option.step(), v1::FallbackStep::PickupNearTime);
    assert_eq!(option.legs[0].incoming_time, at("2026-11-02T12:00:00Z"));
    assert!(option.legs[0].hold_first);
    let reserve = |order: &str, request_id: String| v1::ReserveFulfillmentRequest {
        request_id,
        order_id: order.into(),
        origin: here(),
        lines: two("p1"),
        ..v1::ReserveFulfillmentRequest::default()
    };
    let request_id = desk.request_id();
    let first = desk
        .fulfillment
        .reserve_fulfillment(reserve("o1", request_id));
    let first = first.await?.into_inner();
    let awaited = |reservation: &v1::Reservation| {
        let awaited = reservation.legs[0].lines[0].quantity_awaited.as_ref();
        awaited.map(|quantity| quantity.thousandths)
    };
    assert_eq!(awaited(&first), Some(1000), "one is on the shelf");
    let request_id = desk.request_id();
    let refused = desk
        .fulfillment
        .reserve_fulfillment(reserve("o2", request_id));
    let refused = refused.await.expect_err("one is left, and two are wanted");
    assert_eq!(
        reason(&refused),
        (Code::FailedPrecondition, "INSUFFICIENT_STOCK".to_owned())
    );
    let confirm = v1::ConfirmReservationRequest {
        request_id: desk.request_id(),
        reservation_id: first.reservation_id.clone(),
        ..v1::ConfirmReservationRequest::default()
    };
    desk.fulfillment.confirm_reservation(confirm).await?;

    server.kill()?;
    server = start(&data)?;
    let mut desk = Desk::at(&server).await?;
    let get = || v1::GetReservationRequest {
        reservation_id: first.reservation_id.clone(),
    };
    let found = desk.fulfillment.get_reservation(get()).await?.into_inner();
    assert_eq!(awaited(&found), Some(1000));
    let shortages = v1::ListShortagesRequest::default();
    let told = desk.inventory.list_shortages(shortages.clone()).await?;
    assert_eq!(told.into_inner().reservations_count, 0);
    // It does not come.
    desk.count("p1", "B", 5).await?;
    let cancel = v1::CancelInboundRequest {
        request_id: desk.request_id(),
        delivery_id: "d1".into(),
    };
    desk.inventory.cancel_inbound(cancel).await?;
    let told = desk.inventory.list_shortages(shortages.clone()).await?;
    let told = told.into_inner();
    let [risk] = &told.reservations[..] else {
        panic!("one at risk expected: {told:#?}");
    };
    assert_eq!(risk.missing_thousandths, 1000);
    let others: Vec<_> = (risk.alternatives.iter())
        .map(|option| option.legs[0].store_id.as_str())
        .collect();
    assert_eq!(others, ["B"]);
    // Another delivery comes instead.
    desk.announce("d2", 2).await?;
    let receive = v1::ReceiveInboundRequest {
        request_id: desk.request_id(),
        delivery_id: "d2".into(),
        ..v1::ReceiveInboundRequest::default()
    };
    desk.inventory.receive_inbound(receive).await?;
    let found = desk.fulfillment.get_reservation(get()).await?.into_inner();
    assert_eq!(awaited(&found), None);
    let told = desk.inventory.list_shortages(shortages).await?;
    assert_eq!(told.into_inner().reservations_count, 0);
    Ok(())
}

/// What a store keeps back makes no oversale of a promise that a delivery covers.
#[tokio::test]
async fn a_promise_of_a_delivery_beside_a_buffer_is_no_oversale() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let mut desk = Desk::at(&server).await?;
    let terms = v1::LocationTerms::default();
    desk.chain(vec![store("A", 0.01, terms)]).await?;
    let rules = v1::SetStockRulesRequest {
        request_id: desk.request_id(),
        safety_buffers: vec![v1::SafetyBuffer {
            store_id: "A".into(),
            quantity: two("p1")[0].quantity,
            ..v1::SafetyBuffer::default()
        }],
        ..v1::SetStockRulesRequest::default()
    };
    desk.inventory.set_stock_rules(rules).await?;
    desk.announce("d1", 4).await?;
    let request = v1::ReserveFulfillmentRequest {
        request_id: desk.request_id(),
        order_id: "o1".into(),
        origin: here(),
        lines: two("p1"),
        ..v1::ReserveFulfillmentRequest::default()
    };
    desk.fulfillment.reserve_fulfillment(request).await?;
    let page = server.page("/metrics").await?;
    assert!(page.contains("tillside_oversold_total 0"), "{page}");
    Ok(())
}

#[tokio::test]
async fn the_command_line_draws_a_plan_and_writes_it_for_a_map() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let mut desk = Desk::at(&server).await?;
    desk.chain(vec![
        slotted("A", 0.01),
        store("B", 0.02, v1::LocationTerms::default()),
    ])
    .await?;
    desk.count("p1", "A", 5).await?;
    desk.count("p1", "B", 5).await?;
    let map = folder.path().join("plan.geojson");
    let output = tokio::process::Command::new(binary("tillside")?)
        .args(["--server", &format!("http://{}", server.grpc)])
        .args(["plan", "--at", "43.77,11.25", "--by", "any", "--geojson"])
        .arg(&map)
        .arg("p1")
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("slot Mon 2026-11-02 11:00–12:00") && text.contains("1.1 km"),
        "{text}"
    );
    let map: serde_json::Value = serde_json::from_slice(&std::fs::read(&map)?)?;
    let features = map["features"].as_array().context("features")?;
    assert_eq!(map["type"], "FeatureCollection");
    // The shopper, and a point and a line for each of the two ways.
    assert_eq!(features.len(), 5);
    Ok(())
}
