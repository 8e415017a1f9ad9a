//! The routing policy: replaced whole, checked against the version it was read at. Putting what is there is no event.

use std::sync::Arc;

use crate::command::PolicyChange;
use crate::ctx::Ctx;
use crate::decide::Decided;
use crate::event::Event;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::routing_policy::RoutingPolicy;
use crate::state::State;

pub(super) fn set(state: &State, change: &PolicyChange, ctx: &Ctx) -> Decided {
    let current = state.routing_policy.get();
    if change.etag.is_some_and(|etag| etag != current.version.0) {
        return Err(Rejection::EtagMismatch);
    }
    let same = RoutingPolicy {
        version: current.version,
        ..change.policy.clone()
    };
    if same == *current {
        return Ok((Reply::RoutingPolicy(current), Vec::new()));
    }
    let policy = Arc::new(RoutingPolicy {
        version: ctx.seq,
        ..change.policy.clone()
    });
    let events = if change.validate_only {
        Vec::new()
    } else {
        let policy = Arc::clone(&policy);
        vec![Event::RoutingPolicySet { policy }]
    };
    Ok((Reply::RoutingPolicy(policy), events))
}
