//! Where can they get it?

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::Stream;
use geo::Point;
use smallvec::SmallVec;
use tillside_engine::command::{Candidate, Command, Otherwise, PartCandidate, Reserve, WantedLine};
use tillside_engine::fulfillment_ladder::{Ladder, LadderQuery, ladder};
use tillside_engine::ids::StoreId;
use tillside_engine::limits::{CANDIDATES_MAX, SLOTS_PER_PAGE_MAX};
use tillside_engine::location_terms::{Method, Methods};
use tillside_engine::order::Sought;
use tillside_engine::order_command::OrderStep;
use tillside_engine::own_holds::Own;
use tillside_engine::pickup_slots::Slot;
use tillside_engine::reject::Rejection;
use tillside_engine::reply::Reply;
use tillside_engine::reservation::Reservation;
use tillside_engine::routing::PlanQuery;
use tillside_engine::routing_policy::RoutingPolicy;
use tillside_engine::units::Time;
use tillside_proto::v1::{self, fulfillment_service_server::FulfillmentService};
use tonic::{Request, Response, Status};

use super::open;
use super::reservation_lists::Watcher;
use crate::app::App;
use crate::convert::checks::{Checks, Path};
use crate::convert::fulfillment::{
    Wanted, hold_ms, limit_mm, lines, max_options, place, reservation_id, store, travel_zone,
    wire_reservation,
};
use crate::convert::ladder::{Ways, candidates, otherwise, parts, ways, wire_ladder};
use crate::convert::orders::{shipment, terms};
use crate::convert::values::{timestamp, window};
use crate::errors;
use crate::gate::Gate;
use crate::sequencer::{Answer, RequestStamp, SubmitError};

/// How often a reservation is planned where every candidate is taken between plan and decision.
const ATTEMPTS_MAX: usize = 3;
/// Slots of a page where the caller does not say.
const SLOTS_DEFAULT: usize = 50;

/// Handlers of `FulfillmentService`.
#[derive(Debug)]
pub struct Handlers {
    pub(super) app: Arc<App>,
    pub(super) gate: Arc<Gate>,
}

/// A hold to make.
pub(super) struct Hold<'a> {
    pub(super) order_id: Arc<str>,
    pub(super) wanted: &'a Wanted,
    pub(super) only_store: Option<StoreId>,
    pub(super) require_open_now: bool,
    pub(super) hold_ms: i64,
    /// Set for a checkout.
    pub(super) checkout_revision: Option<i64>,
    /// The pickup slot that was asked for.
    pub(super) slot_start: Option<Time>,
    /// Also in parts, where no one place has everything.
    pub(super) allow_split: bool,
}

/// Where a hold may be made.
#[derive(Default)]
struct Places {
    /// Places that have everything.
    candidates: SmallVec<[Candidate; 8]>,
    /// Places that have it together.
    parts: Vec<PartCandidate>,
    /// What to say where there is neither.
    otherwise: Otherwise,
}

/// A question to the ladder.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) max_options: usize,
    pub(super) require_open_now: bool,
    pub(super) only_store: Option<StoreId>,
    /// What the order itself holds.
    pub(super) own: Own<'a>,
    /// Also what explains the answer.
    pub(super) explain: bool,
}

impl App {
    /// Plans and holds. Candidates that were taken between plan and decision are planned anew, a few times.
    pub(super) async fn hold(
        &self,
        hold: &Hold<'_>,
        stamp: RequestStamp,
        deadline: Option<Instant>,
    ) -> Result<Answer, SubmitError> {
        // Without a candidate the command goes all the same: the sequencer answers a retry before it looks at the
        // command, also where the first try is still on its way, and gives an earlier revision's hold back.
        for _ in 0..ATTEMPTS_MAX {
            let Places {
                candidates,
                parts,
                otherwise,
            } = self.places_of(hold);
            let reserve = Reserve {
                order_id: Arc::clone(&hold.order_id),
                lines: hold.wanted.lines.clone(),
                candidates,
                hold_ms: hold.hold_ms,
                checkout_revision: hold.checkout_revision,
                sought: Some(Sought {
                    origin: hold.wanted.origin,
                    limit_mm: hold.wanted.limit_mm(),
                }),
                slot_start: hold.slot_start,
                otherwise,
                parts,
            };
            match self
                .submit(Command::Reserve(reserve), stamp, deadline)
                .await
            {
                Err(SubmitError::Rejected(Rejection::Contended)) => {}
                other => return other,
            }
        }
        Err(Rejection::Contended.into())
    }

    /// Places to try, and what to say where there is none.
    fn places_of(&self, hold: &Hold<'_>) -> Places {
        if hold.wanted.lines.is_empty() {
            return Default::default();
        }
        // What the order holds now is its own: a shopper is never blocked by it.
        let own = self.state.parts_of_order(&hold.order_id);
        let question = Question {
            wanted: hold.wanted,
            max_options: CANDIDATES_MAX,
            require_open_now: hold.require_open_now,
            only_store: hold.only_store,
            own: Own::holds(&own),
            explain: false,
        };
        let mut found = candidates(&self.ladder(&question).0);
        // A named store is taken whatever its distance, unless the caller gave a limit as well.
        let limit = hold.wanted.limit_mm.filter(|_| hold.only_store.is_some());
        let in_reach =
            |c: &Candidate| c.method.ships() || limit.is_none_or(|limit| c.distance_mm <= limit);
        found.retain(|c| in_reach(c));
        if !found.is_empty() {
            return Places {
                candidates: found,
                ..Places::default()
            };
        }
        let explained = Question {
            max_options: 1,
            explain: true,
            ..question
        };
        let ladder = self.ladder(&explained).0;
        let parts = parts(&ladder);
        if !parts.iter().all(|part| in_reach(&part.candidate)) {
            return Places::default();
        }
        Places {
            candidates: found,
            parts: if hold.allow_split { parts } else { Vec::new() },
            otherwise: otherwise(&ladder),
        }
    }

    /// Goes down the ladder, and keeps what it found aside, for judging other policies.
    pub(super) fn ladder(&self, question: &Question<'_>) -> (Ladder, Arc<RoutingPolicy>) {
        let policy = self.state.routing_policy.get();
        let Wanted {
            lines,
            ways,
            origin,
            ..
        } = question.wanted;
        let now = self.now();
        let query = LadderQuery {
            plan: PlanQuery {
                origin: *origin,
                lines,
                limit_mm: question.wanted.limit_mm(),
                max_options: question.max_options,
                require_open_now: question.require_open_now,
                only_store: question.only_store,
                now,
                own: question.own,
                travel_zone: question.wanted.travel_zone.as_deref(),
                by: Default::default(),
            },
            methods: ways.methods,
            line_methods: &ways.by_line,
            destination_point: ways.destination_point,
            destination: ways.destination.as_ref(),
            policy: &policy,
            explain: question.explain,
        };
        let ladder = ladder(&self.state, &query);
        self.routings.note(&query, &ladder);
        (ladder, policy)
    }

    pub(super) fn reservation_of(
        &self,
        answer: &Answer,
    ) -> Result<Response<v1::Reservation>, Status> {
        let wire = |reservation: &Arc<Reservation>| {
            let mut wire = wire_reservation(&self.state, reservation, self.now());
            self.add_code(answer, reservation, &mut wire);
            wire
        };
        match &answer.reply {
            Reply::Reservation(reservation) => Ok(Response::new(wire(reservation))),
            Reply::OrderParts { reservation, parts } => Ok(Response::new(v1::Reservation {
                parts: parts.iter().map(wire).collect(),
                ..wire(reservation)
            })),
            _ => Err(errors::defect("a reservation was expected")),
        }
    }
}

#[tonic::async_trait]
impl FulfillmentService for Handlers {
    async fn plan_fulfillment(
        &self,
        request: Request<v1::PlanFulfillmentRequest>,
    ) -> Result<Response<v1::FulfillmentPlan>, Status> {
        let (app, request) = (&*self.app, request.get_ref());
        let root = Path::ROOT;
        let (mut checks, mut unknown) = (Checks::default(), None);
        let origin = place(
            &app.state,
            &mut checks,
            &mut unknown,
            root.field("origin"),
            request.origin.as_ref(),
        );
        let travel_zone = travel_zone(
            &app.state,
            &mut checks,
            root.field("origin"),
            request.origin.as_ref(),
            request.allow_other_travel_zones,
        );
        let given = request.origin.as_ref().is_some_and(|o| o.place.is_some());
        checks.require(
            given,
            root.field("origin"),
            "is required: a location or a store_id",
        );
        let lines = lines(
            &app.state,
            &mut checks,
            &mut unknown,
            root,
            &request.lines,
            1,
        );
        let limit = limit_mm(
            &mut checks,
            root.field("max_distance_meters"),
            request.max_distance_meters,
        );
        let max_options = max_options(&mut checks, root.field("max_options"), request.max_options);
        let ways = ways(
            &mut checks,
            &request.methods,
            &request.lines,
            request.ship_to.as_ref(),
        );
        checks.finish()?;
        if let Some(unknown) = unknown {
            return Err(errors::rejected(&unknown));
        }
        let wanted = Wanted {
            origin: origin.unwrap_or_else(|| Point::new(0.0, 0.0)),
            lines,
            limit_mm: limit,
            travel_zone,
            ways,
        };
        let sequence = app.state.snapshot_sequence();
        let question = Question {
            wanted: &wanted,
            max_options,
            require_open_now: request.require_open_now,
            only_store: None,
            own: Own::default(),
            explain: true,
        };
        let (ladder, policy) = app.ladder(&question);
        Ok(Response::new(wire_ladder(
            &app.state,
            &ladder,
            &policy,
            &wanted.lines,
            sequence.0,
        )))
    }

    async fn reserve_fulfillment(
        &self,
        request: Request<v1::ReserveFulfillmentRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let app = &*self.app;
        let root = Path::ROOT;
        let (mut checks, mut unknown) = (Checks::default(), None);
        let (request, stamp, deadline) = open(request, &mut checks);
        let order_id = checks.id(root.field("order_id"), &request.order_id);
        let origin = place(
            &app.state,
            &mut checks,
            &mut unknown,
            root.field("origin"),
            request.origin.as_ref(),
        );
        checks.optional_id(root.field("store_id"), &request.store_id);
        let named = (!request.store_id.is_empty()).then_some(request.store_id.as_str());
        let only_store =
            named.and_then(|id| store(&app.state, &mut unknown, root.field("store_id"), id));
        let travel_zone = travel_zone(
            &app.state,
            &mut checks,
            root.field("origin"),
            request.origin.as_ref(),
            request.allow_other_travel_zones,
        );
        let given = named.is_some() || request.origin.as_ref().is_some_and(|o| o.place.is_some());
        checks.require(
            given,
            root.field("origin"),
            "is required unless store_id is set",
        );
        let lines: Vec<WantedLine> = lines(
            &app.state,
            &mut checks,
            &mut unknown,
            root,
            &request.lines,
            1,
        );
        let limit = limit_mm(
            &mut checks,
            root.field("max_distance_meters"),
            request.max_distance_meters,
        );
        let hold_ms = hold_ms(
            &mut checks,
            root.field("hold_duration"),
            request.hold_duration.as_ref(),
        );
        let ways = ways(
            &mut checks,
            &request.methods,
            &request.lines,
            request.ship_to.as_ref(),
        );
        let slot_path = root.field("pickup_slot_start_time");
        let slot_start = checks.optional_time(slot_path, request.pickup_slot_start_time.as_ref());
        checks.require(
            slot_start.is_none() || named.is_some(),
            slot_path,
            "needs store_id: slots are a store's own",
        );
        checks.require(
            slot_start.is_none() || ways.methods.has(Method::Pickup),
            slot_path,
            "needs PICKUP among the methods",
        );
        // A slot is asked for, so nothing that is sent will do.
        let ways = Ways {
            methods: if slot_start.is_some() {
                Methods::PICKUP
            } else {
                ways.methods
            },
            ..ways
        };
        checks.finish()?;
        if let Some(unknown) = unknown {
            return Err(errors::rejected(&unknown));
        }
        let at_store = || {
            only_store
                .and_then(|id| app.state.stores.get(id))
                .map(|s| s.location)
        };
        let origin = origin
            .or_else(at_store)
            .unwrap_or_else(|| Point::new(0.0, 0.0));
        let wanted = Wanted {
            origin,
            lines,
            limit_mm: limit,
            travel_zone,
            ways,
        };
        let require_open_now = request.require_open_now;
        let hold = Hold {
            order_id,
            wanted: &wanted,
            only_store,
            require_open_now,
            hold_ms,
            checkout_revision: None,
            slot_start,
            allow_split: request.allow_split,
        };
        app.reservation_of(&app.hold(&hold, stamp, deadline).await?)
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let app = &*self.app;
        let mut checks = Checks::default();
        let value = &request.get_ref().reservation_id;
        let id = reservation_id(&mut checks, value);
        checks.finish()?;
        let found = id.and_then(|id| app.state.reservation(id));
        let unknown = || {
            errors::rejected(&Rejection::UnknownReservation {
                reservation_id: value.as_str().into(),
            })
        };
        let found = found.ok_or_else(unknown)?;
        let wire = |reservation: &_| wire_reservation(&app.state, reservation, app.now());
        let parts = app.state.parts_of(&found);
        let several = (parts.len() > 1).then_some(&parts);
        Ok(Response::new(v1::Reservation {
            parts: several.into_iter().flatten().map(wire).collect(),
            ..wire(&found)
        }))
    }

    async fn confirm_reservation(
        &self,
        request: Request<v1::ConfirmReservationRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let what = |checks: &mut Checks, request: &_| OrderStep::Confirm(terms(checks, request));
        self.app.stepped(request, what).await
    }

    async fn release_reservation(
        &self,
        request: Request<v1::ReleaseReservationRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let mut checks = Checks::default();
        let (request, stamp, deadline) = open(request, &mut checks);
        let id = reservation_id(&mut checks, &request.reservation_id);
        checks.finish()?;
        let unknown = || {
            errors::rejected(&Rejection::UnknownReservation {
                reservation_id: request.reservation_id.as_str().into(),
            })
        };
        let command = Command::ReleaseReservation(id.ok_or_else(unknown)?);
        self.app
            .reservation_of(&self.app.submit(command, stamp, deadline).await?)
    }

    async fn extend_reservation(
        &self,
        request: Request<v1::ExtendReservationRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let what = |checks: &mut Checks, request: &v1::ExtendReservationRequest| {
            let path = Path::ROOT.field("hold_duration");
            OrderStep::Extend {
                hold_ms: hold_ms(checks, path, request.hold_duration.as_ref()),
            }
        };
        self.app.stepped(request, what).await
    }

    async fn acknowledge_pick(
        &self,
        request: Request<v1::AcknowledgePickRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let what = |_: &mut Checks, _: &_| OrderStep::Acknowledge;
        self.app.stepped(request, what).await
    }

    async fn start_picking(
        &self,
        request: Request<v1::StartPickingRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let what = |_: &mut Checks, _: &_| OrderStep::StartPicking;
        self.app.stepped(request, what).await
    }

    async fn mark_ready_for_pickup(
        &self,
        request: Request<v1::MarkReadyForPickupRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let what = |_: &mut Checks, _: &_| OrderStep::MarkReady;
        self.app.stepped(request, what).await
    }

    async fn report_pick_exception(
        &self,
        request: Request<v1::ReportPickExceptionRequest>,
    ) -> Result<Response<v1::ReportPickExceptionResponse>, Status> {
        self.app.report_short(request).await
    }

    async fn confirm_handover(
        &self,
        request: Request<v1::ConfirmHandoverRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        self.app.hand_over(request).await
    }

    async fn mark_shipped(
        &self,
        request: Request<v1::MarkShippedRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let what =
            |checks: &mut Checks, request: &_| OrderStep::MarkShipped(shipment(checks, request));
        self.app.stepped(request, what).await
    }

    async fn cancel_order(
        &self,
        request: Request<v1::CancelOrderRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        self.app.cancel(request).await
    }

    async fn confirm_put_back(
        &self,
        request: Request<v1::ConfirmPutBackRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        let what = |_: &mut Checks, _: &_| OrderStep::PutBack;
        self.app.stepped(request, what).await
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        self.app.list_reservations(request.get_ref())
    }

    type WatchReservationsStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchReservationsResponse, Status>> + Send>>;

    async fn watch_reservations(
        &self,
        request: Request<v1::WatchReservationsRequest>,
    ) -> Result<Response<Self::WatchReservationsStream>, Status> {
        let watcher = Watcher::new(&self.app, &self.gate, request.get_ref())?;
        let messages = futures_util::stream::unfold(Some(watcher), |watcher| async move {
            let mut watcher = watcher?;
            let message = watcher.next().await;
            let goes_on = message.is_ok().then_some(watcher);
            Some((message, goes_on))
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn list_pickup_slots(
        &self,
        request: Request<v1::ListPickupSlotsRequest>,
    ) -> Result<Response<v1::ListPickupSlotsResponse>, Status> {
        let app = &*self.app;
        let root = Path::ROOT;
        let request = request.get_ref();
        let (mut checks, mut unknown) = (Checks::default(), None);
        checks.id(root.field("store_id"), &request.store_id);
        let from = checks.optional_time(root.field("start_time"), request.start_time.as_ref());
        let size = checks.number_or(
            root.field("page_size"),
            request.page_size,
            SLOTS_DEFAULT,
            SLOTS_PER_PAGE_MAX,
        );
        let id = store(
            &app.state,
            &mut unknown,
            root.field("store_id"),
            &request.store_id,
        );
        checks.finish()?;
        if let Some(unknown) = unknown {
            return Err(errors::rejected(&unknown));
        }
        let (id, store) = id
            .and_then(|id| Some((id, app.state.stores.get(id)?)))
            .ok_or_else(|| errors::defect("a store that was found is gone"))?;
        let held = |slot: &Slot| app.state.held_slots.held(id, slot.span());
        let mut slots = store
            .pickup_slots(app.now())
            .skip_while(|slot| from.is_some_and(|from| slot.start < from))
            .filter(|slot| !request.with_room || held(slot) < slot.capacity)
            .peekable();
        let page = slots.by_ref().take(size).collect::<Vec<_>>();
        let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let wire = |slot: &Slot| v1::PickupSlot {
            window: Some(window(slot.span())),
            capacity: count(slot.capacity),
            held: count(held(slot)),
        };
        Ok(Response::new(v1::ListPickupSlotsResponse {
            slots: page.iter().map(wire).collect(),
            store_time_zone: store.time_zone_name().to_owned(),
            next_start_time: slots.peek().map(|slot| timestamp(slot.start)),
        }))
    }
}
