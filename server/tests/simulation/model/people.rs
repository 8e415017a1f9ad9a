//! People by what they are known by. An identifier belongs to one person for good; a phone or device says who somebody is
//! only where nothing stronger is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tillside_engine::command::{CustomerChange, CustomerDraft, SeenIdentifier};
use tillside_engine::customer::{Consent, Contacts, Personal, Relation};
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::{CustomerId, StoreId};
use tillside_engine::reply::Warning;
use tillside_engine::units::Time;

use super::{At, Entity, Model, Outcome, Refusal, Told, refused};

/// A customer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Person {
    pub(crate) personal: Personal,
    pub(crate) relation: Relation,
    /// Sum over the receipts.
    pub(crate) points: i64,
    /// Sales less sales undone, whichever came first.
    pub(crate) purchases: i64,
    /// By currency: (net, purchases).
    pub(crate) spend: BTreeMap<String, (i64, i64)>,
    pub(crate) first: Option<Time>,
    pub(crate) last: Option<Time>,
    pub(crate) last_store: Option<StoreId>,
    pub(crate) bought: BTreeSet<u32>,
}

fn is_strong(seen: &SeenIdentifier) -> bool {
    !matches!(
        seen.known.identifier.kind,
        IdentifierKind::Phone | IdentifierKind::DeviceId
    )
}

/// Whether it has the form of the ids the server gives.
fn is_ours(seen: &SeenIdentifier) -> bool {
    let identifier = &seen.known.identifier;
    identifier.kind == IdentifierKind::CustomerId
        && identifier
            .value
            .strip_prefix("ts-")
            .is_some_and(|rest| rest.parse::<u64>().is_ok())
}

impl Model {
    pub(super) fn owner(&self, seen: &SeenIdentifier) -> Option<u64> {
        self.identifiers.get(&seen.hash).copied()
    }

    pub(super) fn person(&self, id: u64) -> &Arc<Person> {
        &self.people[id as usize - 1]
    }

    /// Those that decide, with their places.
    pub(super) fn deciding(identifiers: &[SeenIdentifier]) -> Vec<(usize, &SeenIdentifier)> {
        let strong = identifiers.iter().any(is_strong);
        identifiers
            .iter()
            .enumerate()
            .filter(|(_, seen)| !strong || is_strong(seen))
            .collect()
    }

    fn set_person(&mut self, id: u64, person: Person) {
        self.touch(Entity::Person(id));
        let at = id as usize - 1;
        if at == self.people.len() {
            self.people.push(Arc::new(person));
        } else {
            self.people[at] = Arc::new(person);
        }
    }

    /// Enters what the person is known by and not yet on record.
    fn learn(&mut self, id: u64, person: &mut Person, identifiers: &[SeenIdentifier]) {
        for seen in identifiers {
            let known = &mut person.personal.identifiers;
            if known.iter().all(|k| k.identifier != seen.known.identifier) {
                known.push(seen.known.clone());
                self.identifiers.insert(seen.hash, id);
            }
        }
    }

    /// Gives the server's own id.
    fn name(&mut self, id: u64, person: &mut Person) {
        let value = format!("ts-{id}");
        let entry = self.index_key.hash(&Identifier {
            kind: IdentifierKind::CustomerId,
            value: value.clone(),
        });
        person.personal.customer_id = value;
        self.identifiers.insert(entry, id);
    }

    /// Somebody nobody knows bought something.
    pub(super) fn stranger(&mut self, identifiers: &[SeenIdentifier], at: At) -> u64 {
        let id = self.people.len() as u64 + 1;
        let mut person = Person::default();
        person.relation.provisional = true;
        person.relation.version = at.sequence;
        let own: Vec<_> = identifiers
            .iter()
            .filter(|s| self.owner(s).is_none() && !is_ours(s))
            .cloned()
            .collect();
        self.learn(id, &mut person, &own);
        self.name(id, &mut person);
        self.set_person(id, person);
        id
    }

    pub(super) fn enrol(&mut self, draft: &CustomerDraft, at: At) -> Outcome {
        self.refuse_ids_of_our_form(draft)?;
        let mut owner = None;
        for (index, seen) in Self::deciding(&draft.identifiers) {
            match (owner, self.owner(seen)) {
                (Some(one), Some(other)) if one != other => {
                    return refused("IdentifierConflict", index.to_string());
                }
                (_, Some(found)) => owner = Some(found),
                (_, None) => {}
            }
        }
        let enrolled = owner.is_some_and(|id| !self.person(id).relation.provisional);
        if let Some(id) = owner.filter(|_| enrolled) {
            let theirs = &self.person(id).personal.customer_id;
            if !draft.customer_id.is_empty() && *theirs != draft.customer_id {
                let known = draft
                    .identifiers
                    .iter()
                    .position(|seen| self.owner(seen).is_some());
                return refused("IdentifierConflict", known.unwrap_or(0).to_string());
            }
        }
        // Enrolling somebody again only adds what they are known by.
        let (id, changed) = self.record(draft, owner, !enrolled, at)?;
        Ok((
            Told::Customer {
                id: CustomerId(id),
                created: !enrolled,
            },
            changed,
        ))
    }

    pub(super) fn import(
        &mut self,
        draft: &CustomerDraft,
        warnings: &mut Vec<Warning>,
        at: At,
    ) -> Result<(), Refusal> {
        self.refuse_ids_of_our_form(draft)?;
        let is_id =
            |seen: &&SeenIdentifier| seen.known.identifier.kind == IdentifierKind::CustomerId;
        let mut owner = draft
            .identifiers
            .iter()
            .find(is_id)
            .and_then(|seen| self.owner(seen));
        if owner.is_none() {
            let owners = Self::deciding(&draft.identifiers)
                .into_iter()
                .filter_map(|(_, seen)| self.owner(seen));
            let mut owners = owners
                .filter(|id| draft.customer_id.is_empty() || self.person(*id).relation.provisional);
            owner = owners.next();
        }
        for (index, seen) in draft.identifiers.iter().enumerate() {
            if self.owner(seen).is_some_and(|id| Some(id) != owner) {
                warnings.push(Warning::IdentifierConflict { index });
            }
        }
        self.record(draft, owner, true, at)?;
        Ok(())
    }

    fn refuse_ids_of_our_form(&self, draft: &CustomerDraft) -> Result<(), Refusal> {
        if draft
            .identifiers
            .iter()
            .any(|seen| is_ours(seen) && self.owner(seen).is_none())
        {
            return refused("Invalid", "customer_id");
        }
        Ok(())
    }

    fn record(
        &mut self,
        draft: &CustomerDraft,
        owner: Option<u64>,
        told: bool,
        at: At,
    ) -> Result<(u64, bool), Refusal> {
        let before = owner.map(|id| Arc::clone(self.person(id)));
        let id = owner.unwrap_or(self.people.len() as u64 + 1);
        let mut person = before.as_deref().cloned().unwrap_or_default();
        let store = match &draft.preferred_store_id {
            Some(store) if told => match self.store_number(store) {
                Some(number) => Some(StoreId(number)),
                None => return refused("UnknownStore", "preferred_store_id"),
            },
            _ => None,
        };
        if !draft.customer_id.is_empty() {
            person.personal.customer_id.clone_from(&draft.customer_id);
        }
        if person.personal.customer_id.is_empty() {
            self.name(id, &mut person);
        }
        if told {
            person.relation.provisional = false;
            fill(&mut person.personal.contacts, &draft.contacts);
            person.relation.preferred_store = store.or(person.relation.preferred_store);
            if !draft.segments.is_empty() {
                person.relation.segments.clone_from(&draft.segments);
            }
            draft
                .consents
                .iter()
                .for_each(|consent| decide(&mut person.relation, consent));
        }
        let free = |seen: &&SeenIdentifier| self.owner(seen).is_none_or(|o| Some(o) == owner);
        let own: Vec<_> = draft.identifiers.iter().filter(free).cloned().collect();
        self.learn(id, &mut person, &own);
        Ok((id, self.save(id, before, person, at)))
    }

    fn save(&mut self, id: u64, before: Option<Arc<Person>>, mut person: Person, at: At) -> bool {
        if before.is_some_and(|before| *before == person) {
            return false;
        }
        person.relation.version = at.sequence;
        self.set_person(id, person);
        true
    }

    pub(super) fn change_customer(&mut self, change: &CustomerChange, at: At) -> Outcome {
        let Some(id) = self.identifiers.get(&change.customer).copied() else {
            return refused("UnknownCustomer", "");
        };
        let before = Arc::clone(self.person(id));
        if change
            .etag
            .is_some_and(|etag| etag != before.relation.version.0)
        {
            return refused("EtagMismatch", "");
        }
        let foreign = |seen: &SeenIdentifier| self.owner(seen).is_some_and(|owner| owner != id);
        if let Some(index) = change.identifiers.iter().position(foreign) {
            return refused("IdentifierConflict", index.to_string());
        }
        let mut person = Person::clone(&before);
        let (to, from) = (&mut person.personal.contacts, &change.contacts);
        let change_to = |to: &mut String, from: &Option<String>| {
            if let Some(value) = from {
                to.clone_from(value);
            }
        };
        change_to(&mut to.given_name, &from.given_name);
        change_to(&mut to.family_name, &from.family_name);
        change_to(&mut to.address, &from.address);
        change_to(&mut to.postal_code, &from.postal_code);
        change_to(&mut to.town, &from.town);
        change_to(&mut to.birth_date, &from.birth_date);
        change_to(&mut to.language, &from.language);
        match &change.preferred_store_id {
            None => {}
            Some(None) => person.relation.preferred_store = None,
            Some(Some(store)) => match self.store_number(store) {
                Some(number) => person.relation.preferred_store = Some(StoreId(number)),
                None => return refused("UnknownStore", "update.preferred_store_id"),
            },
        }
        if let Some(segments) = &change.segments {
            person.relation.segments.clone_from(segments);
        }
        change
            .consents
            .iter()
            .for_each(|consent| decide(&mut person.relation, consent));
        self.learn(id, &mut person, &change.identifiers);
        let changed = self.save(id, Some(before), person, at);
        Ok((
            Told::Customer {
                id: CustomerId(id),
                created: false,
            },
            changed,
        ))
    }
}

/// The later decision counts; of two at one time the one that came last.
fn decide(relation: &mut Relation, consent: &Consent) {
    let consents = &mut relation.consents;
    match consents.iter_mut().find(|c| c.purpose == consent.purpose) {
        Some(current) if consent.decided >= current.decided => *current = consent.clone(),
        Some(_) => {}
        None => {
            consents.push(consent.clone());
            consents.sort_by_key(|c| c.purpose);
        }
    }
}

/// What is given replaces what is there.
fn fill(to: &mut Contacts, from: &Contacts) {
    let set = |to: &mut String, from: &String| {
        if !from.is_empty() {
            to.clone_from(from);
        }
    };
    set(&mut to.given_name, &from.given_name);
    set(&mut to.family_name, &from.family_name);
    set(&mut to.address, &from.address);
    set(&mut to.postal_code, &from.postal_code);
    set(&mut to.town, &from.town);
    set(&mut to.birth_date, &from.birth_date);
    set(&mut to.language, &from.language);
}
