//! Reservations of a store or an order: a page at a time, or as they change.

use std::sync::Arc;

use tillside_engine::ids::{ReservationId, Sequence, StoreId};
use tillside_engine::order_index::Changed;
use tillside_engine::reject::Rejection;
use tillside_engine::reservation::Reservation;
use tillside_engine::state::lock;
use tillside_proto::v1;
use tokio::sync::watch;
use tonic::{Response, Status};

use crate::app::App;
use crate::convert::checks::{Checks, Path};
use crate::convert::fulfillment::wire_reservation;
use crate::convert::orders::{ALL, HOLDING, Wanted};
use crate::convert::paging::{Page, page, token};
use crate::errors;
use crate::gate::{Gate, Phase};

/// Reservations looked at for one page: a page of rare ones may be short, and says where the next one goes on.
const LOOKED_AT_MAX: usize = 10_000;
/// Reservations of one message to a reader.
const TOLD_MAX: usize = 200;
/// Before every change.
const BEGINNING: Changed = (Sequence(0), ReservationId(0));

/// Where a list goes on: in the part of those that hold stock or have ended, after a change.
type Place = (bool, Changed);

impl App {
    pub(super) fn list_reservations(
        &self,
        request: &v1::ListReservationsRequest,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        let root = Path::ROOT;
        let mut checks = Checks::default();
        checks.optional_id(root.field("store_id"), &request.store_id);
        checks.optional_id(root.field("order_id"), &request.order_id);
        checks.require(
            request.store_id.is_empty() != request.order_id.is_empty(),
            root.field("store_id"),
            "or order_id is required, and not both",
        );
        let by_store = !request.store_id.is_empty();
        let default = if by_store { &HOLDING[..] } else { &ALL[..] };
        let wanted = Wanted::of(&mut checks, &request.states, default);
        let page = page(&mut checks, request.page_size, &request.page_token);
        let after = place(&mut checks, &page);
        checks.finish()?;
        let (found, next) = if by_store {
            let store = self.state.stores.number(&request.store_id);
            let unknown = || Rejection::UnknownStore {
                field: "store_id".into(),
                store_id: request.store_id.as_str().into(),
            };
            let store = store.ok_or_else(|| errors::rejected(&unknown()))?;
            self.page_of_store(store, &wanted, after, page.size)
        } else {
            self.page_of_order(&request.order_id, &wanted, after, page.size)
        };
        let now = self.now();
        let next = next
            .map(|(ended, (sequence, id))| format!("{}:{}:{}", u8::from(ended), sequence.0, id.0));
        Ok(Response::new(v1::ListReservationsResponse {
            reservations: found
                .iter()
                .map(|r| wire_reservation(&self.state, r, now))
                .collect(),
            next_page_token: token(next.as_deref()),
        }))
    }

    fn page_of_store(
        &self,
        store: StoreId,
        wanted: &Wanted,
        after: Place,
        size: usize,
    ) -> (Vec<Arc<Reservation>>, Option<Place>) {
        let (live, ended) = wanted.parts();
        let now = self.now();
        let (mut found, mut looked_at) = (Vec::new(), 0);
        for (part, is_wanted) in [(false, live), (true, ended)] {
            let is_behind = after.0 && !part;
            if !is_wanted || is_behind {
                continue;
            }
            let from = if part == after.0 { after.1 } else { BEGINNING };
            // The places first: nothing is looked up under the lock.
            let places: Vec<Changed> = {
                let index = lock(&self.state.order_index);
                let places = index.of_store(store, part, from);
                places.take(LOOKED_AT_MAX - looked_at).collect()
            };
            for changed in places {
                looked_at += 1;
                let reservation = self.state.reservation(changed.1);
                if let Some(reservation) = reservation.filter(|r| wanted.has(r, now)) {
                    found.push(reservation);
                }
                if found.len() == size || looked_at == LOOKED_AT_MAX {
                    return (found, Some((part, changed)));
                }
            }
        }
        (found, None)
    }

    /// An order's reservations by number. There are few, unless somebody replaces a hold over and over.
    fn page_of_order(
        &self,
        order_id: &str,
        wanted: &Wanted,
        after: Place,
        size: usize,
    ) -> (Vec<Arc<Reservation>>, Option<Place>) {
        let now = self.now();
        let latest = self.state.orders.get(order_id).map(|id| *id);
        let mut ids: Vec<ReservationId> = {
            let index = lock(&self.state.order_index);
            let earlier = index.earlier_of(order_id);
            earlier.filter(|id| *id > after.1.1).collect()
        };
        ids.extend(latest.filter(|id| *id > after.1.1));
        let mut found = Vec::new();
        for id in ids {
            let reservation = self.state.reservation(id);
            if let Some(reservation) = reservation.filter(|r| wanted.has(r, now)) {
                found.push(reservation);
            }
            if found.len() == size {
                return (found, Some((false, (Sequence(0), id))));
            }
        }
        (found, None)
    }
}

fn place(checks: &mut Checks, page: &Page) -> Place {
    let Some(text) = &page.after else {
        return (false, BEGINNING);
    };
    let mut parts = text.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let mut number = || parts.next().flatten();
    match (number(), number(), number()) {
        (Some(ended @ 0..=1), Some(sequence), Some(id)) => {
            (ended == 1, (Sequence(sequence), ReservationId(id)))
        }
        _ => {
            checks.refuse(
                Path::ROOT.field("page_token"),
                "is not a next_page_token of this list; leave it out to start over",
            );
            (false, BEGINNING)
        }
    }
}

/// Somebody who follows a store's reservations.
pub(super) struct Watcher {
    app: Arc<App>,
    gate: Arc<Gate>,
    store: StoreId,
    changes: watch::Receiver<()>,
    /// What was told last.
    told: Changed,
    /// While what holds stock is told for the first time: everything up to this change.
    opening: Option<Sequence>,
    /// Nothing was told yet: the first message comes at once, be it empty.
    is_new: bool,
}

impl Watcher {
    pub(super) fn new(
        app: &Arc<App>,
        gate: &Arc<Gate>,
        request: &v1::WatchReservationsRequest,
    ) -> Result<Self, Status> {
        let mut checks = Checks::default();
        checks.id(Path::ROOT.field("store_id"), &request.store_id);
        checks.finish()?;
        let store = app.state.stores.number(&request.store_id);
        let unknown = || Rejection::UnknownStore {
            field: "store_id".into(),
            store_id: request.store_id.as_str().into(),
        };
        let store = store.ok_or_else(|| errors::rejected(&unknown()))?;
        // Follow first, then look: what becomes durable in between wakes this reader.
        let changes = app.feed.follow(store);
        let durable = app.feed.durable();
        let resumes = request.resume_sequence;
        // A sequence of another server's data may lie ahead of everything here: then all is told anew.
        let is_known = resumes != 0 && resumes <= durable.0;
        Ok(Watcher {
            app: Arc::clone(app),
            gate: Arc::clone(gate),
            store,
            changes,
            told: if is_known {
                (Sequence(resumes), ReservationId(u64::MAX))
            } else {
                BEGINNING
            },
            opening: (!is_known).then_some(durable),
            is_new: true,
        })
    }

    /// The next message; an error is the last one.
    pub(super) async fn next(&mut self) -> Result<v1::WatchReservationsResponse, Status> {
        loop {
            self.changes.borrow_and_update();
            let (reservations, sequence) = self.changed();
            if !reservations.is_empty() || self.is_new {
                self.is_new = false;
                return Ok(v1::WatchReservationsResponse {
                    reservations,
                    sequence,
                });
            }
            let gate = &self.gate;
            tokio::select! {
                // The feed lives as long as the server.
                changed = self.changes.changed() => drop(changed),
                () = gate.ending() => {
                    let why = "the server is stopping; call again with resume_sequence set to the last sequence";
                    return Err(match gate.phase() {
                        Phase::Failed => errors::storage_failed(),
                        _ => errors::not_ready(why),
                    });
                }
            }
        }
    }

    /// What changed since it was last looked at, and up to where that is all.
    fn changed(&mut self) -> (Vec<v1::Reservation>, u64) {
        let app = &self.app;
        // Whoever looks now sees more than what is on disk; what is not yet there comes with the next look.
        let until = self.opening.unwrap_or_else(|| app.feed.durable());
        let mut places: Vec<Changed> = {
            let index = lock(&app.state.order_index);
            let part = |ended| {
                let places = index.of_store(self.store, ended, self.told);
                places
                    .take_while(|(sequence, _)| *sequence <= until)
                    .take(TOLD_MAX + 1)
            };
            let ended = part(true).filter(|_| self.opening.is_none());
            part(false).chain(ended).collect()
        };
        places.sort_unstable();
        let more = places.len() > TOLD_MAX;
        places.truncate(TOLD_MAX);
        let now = app.now();
        let told = places.iter().filter_map(|(_, id)| {
            // One that has changed since comes again with that change.
            let reservation = app.state.reservation(*id).filter(|r| r.version <= until)?;
            Some(wire_reservation(&app.state, &reservation, now))
        });
        let told: Vec<_> = told.collect();
        if let (true, Some(last)) = (more, places.last()) {
            self.told = *last;
            // The last command may have changed more than fits in here: whoever comes back gets all of it again.
            return (told, last.0.0.saturating_sub(1));
        }
        self.told = (until, ReservationId(u64::MAX));
        self.opening = None;
        (told, until.0)
    }
}
