//! What can be asked of the engine. Commands are checked for form by the edge; what only the state can tell is
//! `decide`'s business. Retailer ids arrive as strings and are resolved inside, in the one order of all changes.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::barcode::Embedded;
use crate::catalog::{Product, Store};
use crate::customer::{Consent, Contacts, KnownIdentifier};
use crate::ids::{BusinessKey, IdentifierHash, ReservationId, SkuId, StoreId};
use crate::location_terms::Method;
use crate::offer::{OfferTerms, OutcomeType};
use crate::order::Sought;
use crate::order_command::OrderCommand;
use crate::reservation::CheckoutResult;
use crate::routing_policy::RoutingPolicy;
use crate::sale::SaleKind;
use crate::state::State;
use crate::stock::MoveReason;
use crate::units::{Money, Time, Unit};

/// A command.
#[derive(Clone, Debug)]
pub enum Command {
    /// Upsert stores, all or none. Versions are ignored.
    PutStores(Vec<Store>),
    /// Upsert products, all or none.
    PutProducts(Vec<ProductDraft>),
    /// Enrol a person.
    CreateCustomer(CustomerDraft),
    /// Change a customer.
    UpdateCustomer(CustomerChange),
    /// Upsert an offer.
    PutOffer(OfferDraft),
    /// End an offer.
    ArchiveOffer {
        /// Which.
        offer_id: Arc<str>,
    },
    /// What became of offers.
    ReportOutcomes(Vec<OutcomeReport>),
    /// Move stock.
    AdjustStock(Adjustment),
    /// Count stock.
    SetStockCount(Count),
    /// Hold stock.
    Reserve(Reserve),
    /// Commit a hold.
    ConfirmReservation(ReservationId),
    /// Give stock back.
    ReleaseReservation(ReservationId),
    /// End a checkout.
    CloseCheckout {
        /// Which.
        checkout_id: Arc<str>,
        /// How.
        result: CheckoutResult,
    },
    /// Take an event of another system.
    Ingest(Box<Ingest>),
    /// Replace the routing policy.
    SetRoutingPolicy(Box<PolicyChange>),
    /// A timer is due (made by the sequencer only).
    Timer(Timer),
    /// A step of an order after its hold.
    Order(Box<OrderCommand>),
    /// End an order, however far it is.
    CancelOrder {
        /// Which.
        order_id: Arc<str>,
    },
    /// Announce a delivery or a transfer, or change what was announced.
    ScheduleInbound(InboundDraft),
    /// A delivery came, or a part of it.
    ReceiveInbound(ReceiptDraft),
    /// A delivery will not come.
    CancelInbound {
        /// Which.
        delivery_id: Arc<str>,
    },
    /// Set or remove buffers, near-time rules or prices of stores, all or none.
    PutFacts(Vec<FactDraft>),
}

/// A product as it was put: the category still a path.
#[derive(Clone, Debug)]
pub struct ProductDraft {
    /// All but `category` and `version`, which are ignored.
    pub product: Product,
    /// The joined path; empty: none.
    pub category_path: Arc<str>,
}

/// An identifier with its index entry.
#[derive(Clone, Debug)]
pub struct SeenIdentifier {
    /// The entry.
    pub hash: IdentifierHash,
    /// What goes to the personal record.
    pub known: KnownIdentifier,
}

/// A person to enrol.
#[derive(Clone, Debug, Default)]
pub struct CustomerDraft {
    /// The retailer's id, also among `identifiers`; empty: ours.
    pub customer_id: String,
    /// Everything the person is known by.
    pub identifiers: Vec<SeenIdentifier>,
    /// Names and addresses.
    pub contacts: Contacts,
    /// Consents.
    pub consents: Vec<Consent>,
    /// Preferred store.
    pub preferred_store_id: Option<Arc<str>>,
    /// Segments.
    pub segments: Vec<Arc<str>>,
}

/// A change of a customer. `None`: stays.
#[derive(Clone, Debug)]
pub struct CustomerChange {
    /// Index entry of the customer_id.
    pub customer: IdentifierHash,
    /// New contacts: each field that is `Some`.
    pub contacts: ContactsChange,
    /// Consents to record.
    pub consents: Vec<Consent>,
    /// Preferred store; `Some(None)`: none any more.
    pub preferred_store_id: Option<Option<Arc<str>>>,
    /// Segments.
    pub segments: Option<Vec<Arc<str>>>,
    /// Identifiers to add.
    pub identifiers: Vec<SeenIdentifier>,
    /// The version the change is based on.
    pub etag: Option<u64>,
}

/// New contact fields.
#[derive(Clone, Debug, Default)]
pub struct ContactsChange {
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// Street and number.
    pub address: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// Town.
    pub town: Option<String>,
    /// Date of birth.
    pub birth_date: Option<String>,
    /// Language.
    pub language: Option<String>,
}

/// An offer as it was put: ids still strings.
#[derive(Clone, Debug)]
pub struct OfferDraft {
    /// All but `stores` and `target_skus`, which are ignored.
    pub terms: OfferTerms,
    /// Stores.
    pub store_ids: Vec<Arc<str>>,
    /// Target products.
    pub target_skus: Vec<Arc<str>>,
    /// The version the change is based on.
    pub etag: Option<u64>,
    /// Check only.
    pub validate_only: bool,
}

/// An outcome.
#[derive(Clone, Debug)]
pub struct OutcomeReport {
    /// (decision, offer, type).
    pub key: BusinessKey,
    /// The offer.
    pub offer_id: Arc<str>,
    /// What happened.
    pub outcome: OutcomeType,
}

/// A movement of stock.
#[derive(Clone, Debug)]
pub struct Adjustment {
    /// The product.
    pub sku: Arc<str>,
    /// The store.
    pub store_id: Arc<str>,
    /// Thousandths, not zero.
    pub delta: i64,
    /// The unit, where given: must be the product's.
    pub unit: Option<Unit>,
    /// Why; it also says whether on_hand moves, damaged, or both.
    pub reason: MoveReason,
    /// When; `None`: now.
    pub occurred: Option<Time>,
}

/// A count of stock.
#[derive(Clone, Debug)]
pub struct Count {
    /// The product.
    pub sku: Arc<str>,
    /// The store.
    pub store_id: Arc<str>,
    /// Thousandths, not negative.
    pub on_hand: i64,
    /// The unit, where given: must be the product's.
    pub unit: Option<Unit>,
    /// New safety stock.
    pub safety: Option<i64>,
    /// When; `None`: now.
    pub as_of: Option<Time>,
}

/// A delivery or a transfer as it was announced.
#[derive(Clone, Debug)]
pub struct InboundDraft {
    /// The key: told again, it is the same delivery.
    pub delivery_id: Arc<str>,
    /// Where it goes.
    pub store_id: Arc<str>,
    /// The store it leaves; `None`: from outside.
    pub from_store_id: Option<Arc<str>>,
    /// When it is expected.
    pub expected: Time,
    /// What is in it.
    pub lines: Vec<InboundLineDraft>,
    /// When it was announced, and what is transferred left; `None`: now.
    pub occurred: Option<Time>,
}

/// A line of a delivery as it was sent.
#[derive(Clone, Debug)]
pub struct InboundLineDraft {
    /// The product.
    pub sku: Arc<str>,
    /// Thousandths, more than 0.
    pub quantity: i64,
    /// The unit, where given: must be the product's.
    pub unit: Option<Unit>,
}

/// What came of a delivery.
#[derive(Clone, Debug)]
pub struct ReceiptDraft {
    /// Which.
    pub delivery_id: Arc<str>,
    /// What came. Empty: everything that was still expected.
    pub lines: Vec<InboundLineDraft>,
    /// What has not come by now will not.
    pub complete: bool,
    /// When; `None`: now.
    pub occurred: Option<Time>,
}

/// A fact about stock to set; without a value: to remove.
#[derive(Clone, Debug)]
pub enum FactDraft {
    /// A safety buffer.
    Buffer {
        /// One store; `None`: all.
        store_id: Option<Arc<str>>,
        /// Which products.
        scope: ScopeDraft,
        /// Thousandths, not negative.
        quantity: Option<i64>,
        /// The unit, where given: must be the product's where the rule is about one.
        unit: Option<Unit>,
    },
    /// How far ahead what is on its way may be offered.
    NearTime {
        /// One store; `None`: all without a rule of their own.
        store_id: Option<Arc<str>>,
        /// Milliseconds.
        horizon_ms: Option<i64>,
    },
    /// The price of a product in a store.
    Price {
        /// The product.
        sku: Arc<str>,
        /// The store.
        store_id: Arc<str>,
        /// Of one whole unit.
        price: Option<Money>,
    },
}

/// Which products a buffer is about.
#[derive(Clone, Debug)]
pub enum ScopeDraft {
    /// All.
    Everything,
    /// A category, by its joined path.
    Category(Arc<str>),
    /// One.
    Sku(Arc<str>),
}

/// A line to fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLine {
    /// The caller's id.
    pub line_id: Arc<str>,
    /// The product; resolved by the ranking that found the candidates.
    pub sku: crate::ids::SkuId,
    /// Thousandths.
    pub quantity: i64,
}

/// A store to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The store.
    pub store: StoreId,
    /// Its distance in millimetres.
    pub distance_mm: u64,
    /// How it reaches the shopper from there.
    pub method: Method,
    /// What is on its way to it may be promised, too.
    pub near_time: bool,
}

/// A hold to make.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// The order; its earlier hold is replaced.
    pub order_id: Arc<str>,
    /// What.
    pub lines: Vec<WantedLine>,
    /// Stores to try in this order. Empty: only an earlier hold of the checkout is given back.
    pub candidates: SmallVec<[Candidate; 8]>,
    /// How long, milliseconds.
    pub hold_ms: i64,
    /// Where the hold belongs to a checkout: its revision (and `order_id` is the checkout_id).
    pub checkout_revision: Option<i64>,
    /// Where the candidates were looked for; `None`: not known, and no other store can be found later.
    pub sought: Option<Sought>,
    /// The pickup slot that begins then, and no other. `None`: the first one with room.
    pub slot_start: Option<Time>,
    /// What to say where there is no candidate.
    pub otherwise: Otherwise,
    /// Places that do it together where there is no candidate; they have each line once. Empty: it is not split. A checkout is
    /// never split.
    pub parts: Vec<PartCandidate>,
}

/// What one place does of an order in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartCandidate {
    /// The place.
    pub candidate: Candidate,
    /// Positions of its lines.
    pub lines: Vec<usize>,
}

/// Why there is no candidate for a hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// Nobody has everything.
    #[default]
    NoStock,
    /// Somebody has, and no room in any slot.
    SlotsFull,
    /// Only several places together have everything.
    SplitOnly,
}

/// A new routing policy.
#[derive(Clone, Debug)]
pub struct PolicyChange {
    /// All of it; the version is ignored.
    pub policy: RoutingPolicy,
    /// The version the change is based on.
    pub etag: Option<u64>,
    /// Check only.
    pub validate_only: bool,
}

/// A timer of the engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A hold may have run out, a store may not have acknowledged an order, or a customer may not have come.
    Reservation(ReservationId),
    /// A closed checkout may be forgotten.
    Checkout(Arc<str>),
    /// An ended reservation may be forgotten.
    EndedReservation(ReservationId),
    /// A delivery that ended may be forgotten.
    EndedDelivery(Arc<str>),
    /// Levels have to be fitted to changed buffers.
    BufferSweep,
}

/// An event of another system.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// (source, event id), and for receipts with a till the receipt's key. Any of them known: a duplicate.
    pub keys: SmallVec<[BusinessKey; 2]>,
    /// When it happened; `None`: now.
    pub occurred: Option<Time>,
    /// What happened.
    pub payload: IngestPayload,
    /// The source and its own number of the message, where it gives one.
    pub position: Option<(Arc<str>, u64)>,
}

impl Ingest {
    /// Finds products by SKU before the event is queued, on the caller's thread instead of the sequencer's. The number of an
    /// SKU never changes once it is given, so what is found now is what would be found then; what is not found is left to
    /// the sequencer, before whom it may have been put. (Barcodes may move to another product and are always left.)
    pub fn find_known(&mut self, state: &State) {
        let IngestPayload::Sale(draft) = &mut self.payload else {
            return;
        };
        for line in &mut draft.lines {
            if let ItemDraft::Sku(sku) = &line.item
                && let Some(known) = state.products.number(sku)
            {
                line.item = ItemDraft::Known(known);
            }
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum IngestPayload {
    /// A receipt.
    Sale(SaleDraft),
    /// Stock was counted. `as_of` is ignored: `occurred` counts.
    Count(Count),
    /// Stock moved. `occurred` is ignored likewise.
    Adjustment(Adjustment),
    /// A customer of another system.
    Profile(CustomerDraft),
    /// A delivery was announced. `occurred` is ignored: the event's counts.
    Inbound(InboundDraft),
    /// A delivery came. `occurred` is ignored likewise.
    Received(ReceiptDraft),
    /// A price changed.
    Facts(Vec<FactDraft>),
}

/// A receipt as sent.
#[derive(Clone, Debug)]
pub struct SaleDraft {
    /// Kind.
    pub kind: SaleKind,
    /// Store.
    pub store_id: Arc<str>,
    /// Till.
    pub workstation: Arc<str>,
    /// Business day.
    pub business_day: Arc<str>,
    /// Running number.
    pub number: i64,
    /// When paid; `None`: the event's time.
    pub paid: Option<Time>,
    /// Lines.
    pub lines: Vec<SaleLineDraft>,
    /// Identifiers of the customer that could be read.
    pub identifiers: Vec<SeenIdentifier>,
    /// Tenders.
    pub tenders: Vec<(Arc<str>, Money)>,
    /// Fiscal document.
    pub fiscal_document: Arc<str>,
    /// Fiscal printer.
    pub fiscal_device: Arc<str>,
    /// Who served.
    pub operator: Arc<str>,
    /// Sent while offline.
    pub offline: bool,
    /// Training mode.
    pub training: bool,
}

/// What a line names.
#[derive(Clone, Debug)]
pub enum ItemDraft {
    /// An SKU.
    Sku(Arc<str>),
    /// An SKU that was found before the command was queued: see [`Ingest::find_known`].
    Known(SkuId),
    /// A scanned code, with all it can mean: a GTIN, or item codes with what is embedded, in the order of the masks.
    Scanned {
        /// As read.
        code: Arc<str>,
        /// As a GTIN.
        gtin: Option<u64>,
        /// As an in-store code.
        embedded: SmallVec<[(Arc<str>, Embedded); 1]>,
    },
}

/// A line as sent.
#[derive(Clone, Debug)]
pub struct SaleLineDraft {
    /// What.
    pub item: ItemDraft,
    /// Thousandths; `None`: one, or what the code says.
    pub quantity: Option<i64>,
    /// Net amount; `None`: from the list price.
    pub net: Option<Money>,
    /// Offers.
    pub offer_ids: SmallVec<[Arc<str>; 0]>,
    /// The reservation it hands over.
    pub reservation: Option<ReservationId>,
}
