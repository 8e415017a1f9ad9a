//! What is decided about an order in parts is decided about all of them: with each or with none. A refusal names the part
//! that is in the way. What one part does is the business of whoever asks; here it is only put together.

use std::sync::Arc;

use crate::ctx::Ctx;
use crate::decide::Decided;
use crate::event::Event;
use crate::ids::ReservationId;
use crate::order_parts::Parts;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::reservation::{Reservation, ReservationState};
use crate::state::State;

/// What becomes of one part: how it is then, and how that is recorded. `None`: it stays as it is.
pub(super) type OneStep = Option<(Arc<Reservation>, Event)>;

/// Takes the same step with every part, or with none. `named` is the one that the caller asked for.
pub(super) fn each(
    named: Arc<Reservation>,
    parts: Parts,
    step: impl Fn(&Arc<Reservation>) -> Result<OneStep, Rejection>,
) -> Decided {
    let several = parts.len() > 1;
    let (mut named, mut events) = (named, Vec::new());
    let mut after = Parts::with_capacity(parts.len());
    for part in parts {
        let part = match step(&part) {
            Ok(None) => part,
            Ok(Some((changed, event))) => {
                events.push(event);
                changed
            }
            Err(rejection) if several => return Err(of_part(&part, rejection)),
            Err(rejection) => return Err(rejection),
        };
        if part.id == named.id {
            named = Arc::clone(&part);
        }
        after.push(part);
    }
    Ok((told(named, after), events))
}

/// Takes a step that is about what still goes on of an order: parts that have ended are left as they are. Refused where it
/// can be taken with none, and with a part that is still only held, for then nothing is placed yet.
pub(super) fn each_that_goes_on(
    named: Arc<Reservation>,
    parts: Parts,
    step: impl Fn(&Arc<Reservation>) -> Result<OneStep, Rejection>,
) -> Decided {
    let goes_on = |part: &Arc<Reservation>| step(part).is_ok();
    let some = parts.iter().any(goes_on);
    each(named, parts, |part| match step(part) {
        Err(_) if some && part.state != ReservationState::Held => Ok(None),
        other => other,
    })
}

/// The answer about a reservation, with the other parts where there are any.
pub(super) fn told(reservation: Arc<Reservation>, parts: Parts) -> Reply {
    if parts.len() > 1 {
        let parts = parts.into_vec();
        return Reply::OrderParts { reservation, parts };
    }
    Reply::Reservation(reservation)
}

/// A refusal that says which part is in the way.
fn of_part(part: &Reservation, rejection: Rejection) -> Rejection {
    Rejection::OfPart {
        reservation_id: part.id.to_string(),
        rejection: Box::new(rejection),
    }
}

/// The parts of an order once `from` has moved to `to`.
pub(super) fn moved(from: &Reservation, to: ReservationId) -> Option<Arc<[ReservationId]>> {
    let parts = from.parts.as_deref().filter(|_| from.is_part())?;
    let now = |id: &ReservationId| if *id == from.id { to } else { *id };
    Some(parts.iter().map(now).collect())
}

/// Tells the other parts of an order of which `new` is one now.
pub(super) fn tell_the_others(state: &State, new: &Reservation, ctx: &Ctx) -> Vec<Event> {
    let Some(parts) = &new.parts else {
        return Vec::new();
    };
    let others = parts.iter().filter(|id| **id != new.id);
    let told = |id: &ReservationId| {
        let other = state.reservation(*id)?;
        let reservation = Arc::new(Reservation {
            parts: Some(Arc::clone(parts)),
            version: ctx.seq,
            ..Reservation::clone(&other)
        });
        Some(Event::ReservationPut { reservation })
    };
    others.filter_map(told).collect()
}
