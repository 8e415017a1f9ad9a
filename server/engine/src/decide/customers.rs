//! Customers: enrolment, change, and upserts from other systems. An identifier belongs to one customer; nothing here
//! merges two people.

use std::sync::Arc;

use crate::command::{CustomerChange, CustomerDraft, SeenIdentifier};
use crate::ctx::Ctx;
use crate::customer::{Contacts, Customer, Personal, Relation};
use crate::decide::{Decided, Rules, known_store};
use crate::event::Event;
use crate::identity::{Identifier, IdentifierKind};
use crate::ids::{CustomerId, IdentifierHash};
use crate::limits::{IDENTIFIERS_PER_CUSTOMER_MAX, SEGMENTS_MAX};
use crate::reject::Rejection;
use crate::reply::{Reply, Warning};
use crate::state::State;

pub(super) fn create(state: &State, rules: &Rules, draft: &CustomerDraft, ctx: &Ctx) -> Decided {
    refuse_our_ids(state, draft)?;
    let mut owner: Option<CustomerId> = None;
    for (index, seen) in decisive(&draft.identifiers) {
        let Some(id) = owner_of(state, seen) else {
            continue;
        };
        if owner.is_some_and(|o| o != id) {
            return Err(Rejection::IdentifierConflict { index });
        }
        owner = Some(id);
    }
    let existing = owner.and_then(|id| state.customer(id).map(|c| (id, c)));
    if let Some((_, customer)) = &existing
        && !customer.relation.provisional
        && !draft.customer_id.is_empty()
        && customer.personal.customer_id != draft.customer_id
    {
        let index = draft
            .identifiers
            .iter()
            .position(|s| state.identifiers.contains_key(&s.hash))
            .unwrap_or(0);
        return Err(Rejection::IdentifierConflict { index });
    }
    let enrolled_before = existing
        .as_ref()
        .is_some_and(|(_, c)| !c.relation.provisional);
    let own = without_foreign(state, draft, owner);
    let (id, event) = upsert(state, rules, &own, existing, !enrolled_before, ctx)?;
    Ok((
        Reply::Customer {
            id,
            created: !enrolled_before,
        },
        event.into_iter().collect(),
    ))
}

/// A customer of another system: found by customer_id first, then by identifiers. Identifiers of others stay theirs.
pub(super) fn import(
    state: &State,
    rules: &Rules,
    draft: &CustomerDraft,
    warnings: &mut impl Extend<Warning>,
    ctx: &Ctx,
) -> Result<Option<Event>, Rejection> {
    refuse_our_ids(state, draft)?;
    let named = draft
        .identifiers
        .iter()
        .find(|s| s.known.identifier.kind == IdentifierKind::CustomerId);
    let by_id = named.and_then(|seen| owner_of(state, seen));
    let may_be = |id: &CustomerId| {
        draft.customer_id.is_empty() || state.customer(*id).is_some_and(|c| c.relation.provisional)
    };
    let by_others = || {
        let owners = decisive(&draft.identifiers).filter_map(|(_, seen)| owner_of(state, seen));
        owners.into_iter().find(may_be)
    };
    let owner = by_id.or_else(by_others);
    let existing = owner.and_then(|id| state.customer(id).map(|c| (id, c)));
    let foreign = |seen: &SeenIdentifier| owner_of(state, seen).is_some_and(|id| Some(id) != owner);
    let left = (0..draft.identifiers.len()).filter(|i| foreign(&draft.identifiers[*i]));
    warnings.extend(left.map(|index| Warning::IdentifierConflict { index }));
    let own = without_foreign(state, draft, owner);
    Ok(upsert(state, rules, &own, existing, true, ctx)?.1)
}

fn owner_of(state: &State, seen: &SeenIdentifier) -> Option<CustomerId> {
    state.identifiers.get(&seen.hash).map(|id| *id)
}

/// Identifiers that say who a person is, with their positions: the strong ones. Phones and devices are shared and
/// recycled, so they count only where there is nothing else.
pub(crate) fn decisive(
    identifiers: &[SeenIdentifier],
) -> impl Iterator<Item = (usize, &SeenIdentifier)> {
    let strong = |seen: &SeenIdentifier| seen.known.identifier.kind.is_strong();
    let any_strong = identifiers.iter().any(strong);
    let counts = move |(_, seen): &(usize, &SeenIdentifier)| strong(seen) || !any_strong;
    identifiers.iter().enumerate().filter(counts)
}

/// The draft without identifiers that belong to somebody else than `owner`: those stay where they are.
fn without_foreign(
    state: &State,
    draft: &CustomerDraft,
    owner: Option<CustomerId>,
) -> CustomerDraft {
    let own = |seen: &&SeenIdentifier| owner_of(state, seen).is_none_or(|id| Some(id) == owner);
    CustomerDraft {
        identifiers: draft.identifiers.iter().filter(own).cloned().collect(),
        ..draft.clone()
    }
}

/// A customer for a sale with an identifier nobody knows.
pub(super) fn provisional(
    state: &State,
    rules: &Rules,
    identifiers: &[SeenIdentifier],
    ctx: &Ctx,
) -> (CustomerId, Event) {
    let id = CustomerId(state.counters().next_customer.max(1));
    let mut personal = Personal {
        customer_id: own_id(id),
        ..Personal::default()
    };
    // A shared phone stays with whoever had it first.
    let own: Vec<SeenIdentifier> = identifiers
        .iter()
        .filter(|seen| owner_of(state, seen).is_none() && !is_our_form(seen))
        .cloned()
        .collect();
    let mut identifiers = add_new(&mut personal, &own);
    identifiers.push(own_entry(rules, &personal.customer_id));
    let relation = Relation {
        provisional: true,
        version: ctx.seq,
        ..Relation::default()
    };
    let event = Event::CustomerPut {
        id,
        personal: Some(Arc::new(personal)),
        relation: Arc::new(relation),
        identifiers,
        created: true,
    };
    (id, event)
}

pub(super) fn update(state: &State, change: &CustomerChange, ctx: &Ctx) -> Decided {
    let id = state
        .identifiers
        .get(&change.customer)
        .map(|id| *id)
        .ok_or(Rejection::UnknownCustomer)?;
    let customer = state.customer(id).ok_or(Rejection::UnknownCustomer)?;
    if change
        .etag
        .is_some_and(|etag| etag != customer.relation.version.0)
    {
        return Err(Rejection::EtagMismatch);
    }
    let conflict = |s: &SeenIdentifier| {
        state
            .identifiers
            .get(&s.hash)
            .is_some_and(|owner| *owner != id)
    };
    if let Some(index) = change.identifiers.iter().position(conflict) {
        return Err(Rejection::IdentifierConflict { index });
    }
    let mut personal = Personal::clone(&customer.personal);
    let mut relation = Relation::clone(&customer.relation);
    let contacts = &mut personal.contacts;
    let new = &change.contacts;
    for (field, value) in [
        (&mut contacts.given_name, &new.given_name),
        (&mut contacts.family_name, &new.family_name),
        (&mut contacts.address, &new.address),
        (&mut contacts.postal_code, &new.postal_code),
        (&mut contacts.town, &new.town),
        (&mut contacts.birth_date, &new.birth_date),
        (&mut contacts.language, &new.language),
    ] {
        if let Some(value) = value {
            field.clone_from(value);
        }
    }
    if let Some(store) = &change.preferred_store_id {
        let resolve =
            |s: &Arc<str>| known_store(state, s, "update.preferred_store_id").map(|(id, _)| id);
        relation.preferred_store = store.as_ref().map(resolve).transpose()?;
    }
    if let Some(segments) = &change.segments {
        relation.segments.clone_from(segments);
    }
    change
        .consents
        .iter()
        .for_each(|consent| relation.decide_consent(consent));
    let event = finish(
        &customer,
        id,
        personal,
        relation,
        &change.identifiers,
        false,
        ctx,
    )?;
    Ok((
        Reply::Customer { id, created: false },
        event.into_iter().collect(),
    ))
}

/// Ids of our form are ours: a retailer's customer must not take one that we may give to another later.
fn refuse_our_ids(state: &State, draft: &CustomerDraft) -> Result<(), Rejection> {
    let taken = |seen: &&SeenIdentifier| is_our_form(seen) && owner_of(state, seen).is_none();
    match draft.identifiers.iter().find(taken) {
        None => Ok(()),
        Some(_) => Err(Rejection::Invalid {
            field: "customer_id".into(),
            problem:
                "ids of the form ts-<digits> are given by the server; leave it out or take another"
                    .into(),
        }),
    }
}

fn is_our_form(seen: &SeenIdentifier) -> bool {
    let identifier = &seen.known.identifier;
    let digits = identifier.value.strip_prefix("ts-");
    identifier.kind == IdentifierKind::CustomerId
        && digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
}

/// The index entry of an id that we gave.
fn own_entry(rules: &Rules, customer_id: &str) -> IdentifierHash {
    rules.index_key.hash(&Identifier {
        kind: IdentifierKind::CustomerId,
        value: customer_id.to_owned(),
    })
}

/// The id we give where the retailer gave none.
fn own_id(id: CustomerId) -> String {
    format!("ts-{}", id.0)
}

/// `told`: the draft's contacts, consents and so on count (they do not where an enrolment found a person enrolled before).
fn upsert(
    state: &State,
    rules: &Rules,
    draft: &CustomerDraft,
    existing: Option<(CustomerId, Arc<Customer>)>,
    told: bool,
    ctx: &Ctx,
) -> Result<(CustomerId, Option<Event>), Rejection> {
    let created = existing.is_none();
    let (id, customer) = existing.unwrap_or_else(|| {
        (
            CustomerId(state.counters().next_customer.max(1)),
            Arc::new(Customer::default()),
        )
    });
    let mut personal = Personal::clone(&customer.personal);
    let mut relation = Relation::clone(&customer.relation);
    if !draft.customer_id.is_empty() {
        personal.customer_id.clone_from(&draft.customer_id);
    }
    let ours = personal.customer_id.is_empty();
    if ours {
        personal.customer_id = own_id(id);
    }
    let entry = ours.then(|| own_entry(rules, &personal.customer_id));
    if told {
        relation.provisional = false;
        fill(&mut personal.contacts, &draft.contacts);
        if let Some(store) = &draft.preferred_store_id {
            relation.preferred_store = Some(known_store(state, store, "preferred_store_id")?.0);
        }
        if !draft.segments.is_empty() {
            relation.segments.clone_from(&draft.segments);
        }
        draft
            .consents
            .iter()
            .for_each(|consent| relation.decide_consent(consent));
    }
    let seen = &draft.identifiers;
    let mut event = finish(&customer, id, personal, relation, seen, created, ctx)?;
    if let Some(Event::CustomerPut { identifiers, .. }) = &mut event {
        identifiers.extend(entry);
    }
    Ok((id, event))
}

/// Adds new identifiers, and makes the event where anything is different.
fn finish(
    before: &Customer,
    id: CustomerId,
    mut personal: Personal,
    mut relation: Relation,
    identifiers: &[SeenIdentifier],
    created: bool,
    ctx: &Ctx,
) -> Result<Option<Event>, Rejection> {
    let added = add_new(&mut personal, identifiers);
    if personal.identifiers.len() > IDENTIFIERS_PER_CUSTOMER_MAX {
        return Err(Rejection::LimitExceeded {
            what: "identifiers of one customer",
            max: IDENTIFIERS_PER_CUSTOMER_MAX,
        });
    }
    if relation.segments.len() > SEGMENTS_MAX {
        return Err(Rejection::LimitExceeded {
            what: "segments of one customer",
            max: SEGMENTS_MAX,
        });
    }
    if !created && personal == *before.personal && relation == *before.relation {
        return Ok(None);
    }
    relation.version = ctx.seq;
    let personal = if personal == *before.personal {
        Arc::clone(&before.personal)
    } else {
        Arc::new(personal)
    };
    Ok(Some(Event::CustomerPut {
        id,
        personal: Some(personal),
        relation: Arc::new(relation),
        identifiers: added,
        created,
    }))
}

/// Adds the identifiers not on record yet, each once; answers their index entries.
fn add_new(personal: &mut Personal, identifiers: &[SeenIdentifier]) -> Vec<IdentifierHash> {
    let mut added = Vec::new();
    for seen in identifiers {
        if !personal
            .identifiers
            .iter()
            .any(|k| k.identifier == seen.known.identifier)
        {
            personal.identifiers.push(seen.known.clone());
            added.push(seen.hash);
        }
    }
    added
}

fn fill(to: &mut Contacts, from: &Contacts) {
    for (to, from) in [
        (&mut to.given_name, &from.given_name),
        (&mut to.family_name, &from.family_name),
        (&mut to.address, &from.address),
        (&mut to.postal_code, &from.postal_code),
        (&mut to.town, &from.town),
        (&mut to.birth_date, &from.birth_date),
        (&mut to.language, &from.language),
    ] {
        if !from.is_empty() {
            to.clone_from(from);
        }
    }
}
