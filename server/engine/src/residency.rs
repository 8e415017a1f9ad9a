//! Which customers are in memory, where not all of them have to be. Everything else of the state always is; a customer
//! who is not resident is in the tables on disk, current, because only the one writer puts customers in or takes them
//! out, takes out only what is durable, and changes only who is in.
//!
//! Residency is not state: it changes no answer and no digest. This module says whom a command reads or changes, and
//! keeps one hint for each customer: whether anybody looked lately. Loading, evicting and counting are the server's.

use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::command::{Command, CustomerDraft, Ingest, IngestPayload, SeenIdentifier};
use crate::decide::{buyer, decisive};
use crate::ids::{CustomerId, IdentifierHash};
use crate::sale::SaleKind;
use crate::state::State;

/// Customers of one command: one, or where an import names several people, each of them.
pub type Needed = SmallVec<[CustomerId; 2]>;

/// Bytes of budget for one mark: far less than a customer takes, so that few share a mark.
const BUDGET_BYTES_PER_MARK: u64 = 128;
/// Marks at least (2 KiB) and at most (16 MiB).
const MARKS: (u64, u64) = (1 << 14, 1 << 27);

/// How much of the customers may be in memory, and who was looked at. The default is no limit: all are resident.
#[derive(Debug, Default)]
pub struct Residency {
    budget_bytes: Option<u64>,
    /// One bit a customer, by its number; customers whose numbers are far apart may share one. Empty without a limit.
    marks: Box<[AtomicU64]>,
}

impl Residency {
    /// At most about `budget_bytes` of customers.
    pub fn limited(budget_bytes: u64) -> Self {
        let marks = (budget_bytes / BUDGET_BYTES_PER_MARK)
            .clamp(MARKS.0, MARKS.1)
            .next_power_of_two();
        Residency {
            budget_bytes: Some(budget_bytes),
            marks: (0..marks / 64).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Whether a customer who exists may be away.
    pub fn is_limited(&self) -> bool {
        self.budget_bytes.is_some()
    }

    /// The limit.
    pub fn budget_bytes(&self) -> Option<u64> {
        self.budget_bytes
    }

    fn mark_of(&self, id: CustomerId) -> Option<(&AtomicU64, u64)> {
        // The number of words is a power of two, so the remainder is a mask; without marks there is no word.
        let words = self.marks.len() as u64;
        let word = (id.0 / 64) & words.checked_sub(1)?;
        Some((&self.marks[word as usize], 1 << (id.0 % 64)))
    }

    /// Notes that somebody looked at a customer. Writes only where nobody had: a reader of somebody popular writes nothing.
    pub fn touch(&self, id: CustomerId) {
        if let Some((word, bit)) = self.mark_of(id)
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Takes the note away; true where there was one.
    pub fn take_mark(&self, id: CustomerId) -> bool {
        self.mark_of(id).is_some_and(|(word, bit)| {
            word.load(Ordering::Relaxed) & bit != 0
                && word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
        })
    }
}

/// The customers that deciding and applying `command` may read or change; never less, now and then one more.
pub fn needed(state: &State, command: &Command) -> Needed {
    match command {
        // Different owners are a conflict before any of them is read.
        Command::CreateCustomer(draft) => owners(state, draft).take(1).collect(),
        Command::UpdateCustomer(change) => owner(state, change.customer).into_iter().collect(),
        Command::Ingest(ingest) => needed_by_event(state, ingest),
        Command::PutStores(_)
        | Command::PutProducts(_)
        | Command::PutOffer(_)
        | Command::ArchiveOffer { .. }
        | Command::ReportOutcomes(_)
        | Command::AdjustStock(_)
        | Command::SetStockCount(_)
        | Command::Reserve(_)
        | Command::ConfirmReservation(_)
        | Command::ReleaseReservation(_)
        | Command::CloseCheckout { .. }
        | Command::Order(_)
        | Command::CancelOrder { .. }
        | Command::Timer(_)
        | Command::ScheduleInbound(_)
        | Command::ReceiveInbound(_)
        | Command::CancelInbound { .. }
        | Command::PutFacts(_)
        | Command::SetRoutingPolicy(_) => Needed::new(),
    }
}

/// As [`needed`], for an event of another system.
pub fn needed_by_event(state: &State, ingest: &Ingest) -> Needed {
    match &ingest.payload {
        IngestPayload::Sale(draft) if draft.kind != SaleKind::Neutral => {
            buyer(state, &draft.identifiers).into_iter().collect()
        }
        IngestPayload::Profile(draft) => {
            let named = draft.identifiers.iter().find(|seen| is_customer_id(seen));
            match named.and_then(|seen| owner(state, seen.hash)) {
                Some(id) => [id].into_iter().collect(),
                None => {
                    let mut all: Needed = owners(state, draft).collect();
                    all.sort_unstable();
                    all.dedup();
                    all
                }
            }
        }
        IngestPayload::Sale(_)
        | IngestPayload::Count(_)
        | IngestPayload::Adjustment(_)
        | IngestPayload::Inbound(_)
        | IngestPayload::Received(_)
        | IngestPayload::Facts(_) => Needed::new(),
    }
}

/// Those of [`needed`] who are not in memory; nobody where there is no limit.
pub fn missing(state: &State, command: &Command) -> Needed {
    if !state.residency.is_limited() {
        return Needed::new();
    }
    let away = away(state, needed(state, command));
    match command {
        Command::Ingest(ingest) if !away.is_empty() && is_known(state, ingest) => Needed::new(),
        _ => away,
    }
}

/// As [`missing`], for an event of another system.
pub fn missing_for_event(state: &State, ingest: &Ingest) -> Needed {
    if !state.residency.is_limited() {
        return Needed::new();
    }
    let away = away(state, needed_by_event(state, ingest));
    if !away.is_empty() && is_known(state, ingest) {
        return Needed::new();
    }
    away
}

/// A duplicate is answered without looking at its customer.
fn is_known(state: &State, ingest: &Ingest) -> bool {
    let keys = &ingest.keys;
    keys.iter().any(|key| state.business_keys.contains_key(key))
}

fn away(state: &State, mut needed: Needed) -> Needed {
    needed.retain(|id| !state.customers.contains_key(id));
    needed
}

fn owner(state: &State, hash: IdentifierHash) -> Option<CustomerId> {
    state.identifiers.get(&hash).map(|id| *id)
}

fn owners(state: &State, draft: &CustomerDraft) -> impl Iterator<Item = CustomerId> {
    decisive(&draft.identifiers).filter_map(|(_, seen)| owner(state, seen.hash))
}

fn is_customer_id(seen: &SeenIdentifier) -> bool {
    seen.known.identifier.kind == crate::identity::IdentifierKind::CustomerId
}

impl State {
    /// Whether a customer exists, in memory or on disk. Customers are numbered from 1 without a gap and never removed.
    pub fn has_customer(&self, id: CustomerId) -> bool {
        self.customers.contains_key(&id)
            || (self.residency.is_limited() && id.0 > 0 && id.0 <= self.customers_numbered())
    }

    /// How many customers there are, in memory and on disk.
    pub fn customer_count(&self) -> u64 {
        if self.residency.is_limited() {
            self.customers_numbered()
        } else {
            self.customers.len() as u64
        }
    }

    fn customers_numbered(&self) -> u64 {
        self.next_customer.load(Ordering::Acquire).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customer::KnownIdentifier;
    use crate::identity::{Identifier, IdentifierKind, IndexKey};

    #[test]
    fn a_mark_is_taken_once() {
        let check = |residency: &Residency, limited: bool| {
            for id in [0, 1, 63, 64, 1 << 40, u64::MAX].map(CustomerId) {
                assert!(!residency.take_mark(id), "{id:?}");
                residency.touch(id);
                residency.touch(id);
                assert_eq!(residency.take_mark(id), limited, "{id:?}");
                assert!(!residency.take_mark(id), "{id:?}");
            }
        };
        check(&Residency::default(), false);
        for bytes in [0, 1, 1 << 20, 1 << 40] {
            check(&Residency::limited(bytes), true);
        }
    }

    const KEY: IndexKey = IndexKey([3; 32]);

    fn seen(kind: IdentifierKind, value: &str) -> SeenIdentifier {
        let identifier = Identifier {
            kind,
            value: value.into(),
        };
        SeenIdentifier {
            hash: KEY.hash(&identifier),
            known: KnownIdentifier {
                identifier,
                verified: None,
                source: String::new(),
            },
        }
    }

    /// Card A, phone P and id "1" are customer 1's, card B and mail M customer 2's.
    fn state() -> State {
        let state = State {
            residency: Residency::limited(1),
            ..State::default()
        };
        for (kind, value, id) in OWNED {
            let hash = seen(kind, value).hash;
            state.identifiers.insert(hash, CustomerId(id));
        }
        state.next_customer.store(3, Ordering::Release);
        state
    }

    const OWNED: [(IdentifierKind, &str, u64); 5] = [
        (IdentifierKind::LoyaltyCard, "A", 1),
        (IdentifierKind::Phone, "P", 1),
        (IdentifierKind::CustomerId, "1", 1),
        (IdentifierKind::LoyaltyCard, "B", 2),
        (IdentifierKind::Email, "M", 2),
    ];

    fn named(values: &[&str]) -> Vec<SeenIdentifier> {
        let kind = |value: &str| {
            let known = OWNED.iter().find(|(_, v, _)| *v == value);
            known.map_or(IdentifierKind::LoyaltyCard, |(kind, _, _)| *kind)
        };
        values.iter().map(|v| seen(kind(v), v)).collect()
    }

    fn sale(kind: SaleKind, values: &[&str]) -> Command {
        let draft = crate::command::SaleDraft {
            kind,
            store_id: "".into(),
            workstation: "".into(),
            business_day: "".into(),
            number: 0,
            paid: None,
            lines: Vec::new(),
            identifiers: named(values),
            tenders: Vec::new(),
            fiscal_document: "".into(),
            fiscal_device: "".into(),
            operator: "".into(),
            offline: false,
            training: false,
        };
        event(IngestPayload::Sale(draft))
    }

    fn event(payload: IngestPayload) -> Command {
        Command::Ingest(Box::new(Ingest {
            keys: SmallVec::from_slice(&[crate::ids::BusinessKey(7)]),
            occurred: None,
            position: None,
            payload,
        }))
    }

    fn draft(values: &[&str]) -> CustomerDraft {
        CustomerDraft {
            identifiers: named(values),
            ..CustomerDraft::default()
        }
    }

    #[test]
    fn a_command_needs_whom_it_reads_or_changes() {
        let state = state();
        let check = |command: Command, expect: &[u64]| {
            let expect: Vec<CustomerId> = expect.iter().map(|id| CustomerId(*id)).collect();
            assert_eq!(needed(&state, &command).to_vec(), expect, "{command:?}");
            assert_eq!(missing(&state, &command).to_vec(), expect, "{command:?}");
        };
        let enrol = |values: &[&str]| Command::CreateCustomer(draft(values));
        check(enrol(&["new"]), &[]);
        check(enrol(&["new", "B"]), &[2]);
        // The card decides, so the phone's owner is not looked at.
        check(enrol(&["P", "B"]), &[2]);
        check(enrol(&["P"]), &[1]);
        check(sale(SaleKind::Sale, &["A"]), &[1]);
        check(sale(SaleKind::Return, &["M", "A"]), &[1]);
        check(sale(SaleKind::PostVoid, &["P"]), &[1]);
        check(sale(SaleKind::Neutral, &["A"]), &[]);
        check(sale(SaleKind::Sale, &["new"]), &[]);
        check(sale(SaleKind::Sale, &[]), &[]);
        let import = |values: &[&str]| event(IngestPayload::Profile(draft(values)));
        check(import(&["B", "1"]), &[1]);
        check(import(&["B", "M", "A"]), &[1, 2]);
        check(import(&["new"]), &[]);
        let change = |value: &str| {
            Command::UpdateCustomer(crate::command::CustomerChange {
                customer: named(&[value])[0].hash,
                contacts: Default::default(),
                consents: Vec::new(),
                preferred_store_id: None,
                segments: None,
                identifiers: named(&["B"]),
                etag: None,
            })
        };
        check(change("1"), &[1]);
        check(change("2"), &[]);
        check(
            Command::ReleaseReservation(crate::ids::ReservationId(1)),
            &[],
        );
    }

    #[test]
    fn who_is_in_memory_or_not_read_after_all_is_not_missing() {
        let state = state();
        let bought = sale(SaleKind::Sale, &["A"]);
        assert_eq!(missing(&state, &bought).to_vec(), [CustomerId(1)]);
        state
            .business_keys
            .insert(crate::ids::BusinessKey(7), crate::ids::Sequence(1));
        assert!(missing(&state, &bought).is_empty(), "a duplicate");
        state.business_keys.clear();
        state.customers.insert(CustomerId(1), Default::default());
        assert!(missing(&state, &bought).is_empty(), "resident");
        assert!(state.has_customer(CustomerId(2)) && !state.has_customer(CustomerId(3)));
        assert_eq!(state.customer_count(), 2);
    }
}
