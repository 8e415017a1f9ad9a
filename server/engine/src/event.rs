//! What happened, decided once and for good. `apply` is the only way state changes, and it needs nothing but the event:
//! every choice, every id and every computed figure that a replay could not repeat is in here.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::catalog::{CategoryId, Product, Store};
use crate::customer::{Personal, Relation};
use crate::facts::{Fact, FactKey};
use crate::ids::{
    BusinessKey, CustomerId, IdentifierHash, RequestKey, ReservationId, Sequence, SkuId, StoreId,
};
use crate::inbound::Delivery;
use crate::offer::{OfferTerms, OutcomeType};
use crate::reservation::{Checkout, Reservation};
use crate::routing_policy::RoutingPolicy;
use crate::sale::Sale;
use crate::stock::MoveReason;
use crate::units::Time;

/// Something that changes state.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A store was created or replaced.
    StorePut {
        /// Its number.
        id: StoreId,
        /// All of it.
        store: Arc<Store>,
    },
    /// A category path was seen for the first time.
    CategoryAdded {
        /// Its number.
        id: CategoryId,
        /// The joined path.
        path: Arc<str>,
    },
    /// A product was created or replaced.
    ProductPut {
        /// Its number.
        id: SkuId,
        /// All of it.
        product: Arc<Product>,
    },
    /// A customer was created, enrolled or changed. The personal record goes to its own table, never into the log.
    CustomerPut {
        /// The surrogate.
        id: CustomerId,
        /// The personal record; `None` in a replay, where the personal table already has it.
        personal: Option<Arc<Personal>>,
        /// The rest.
        relation: Arc<Relation>,
        /// Index entries to add.
        identifiers: Vec<IdentifierHash>,
        /// It did not exist before.
        created: bool,
    },
    /// An offer was created or replaced; its outcome counts stay.
    OfferPut {
        /// Its terms.
        terms: Arc<OfferTerms>,
    },
    /// An offer ended for good.
    OfferArchived {
        /// Which.
        offer_id: Arc<str>,
    },
    /// Something became of an offer.
    OutcomeReported {
        /// Which offer.
        offer_id: Arc<str>,
        /// What.
        outcome: OutcomeType,
        /// (decision, offer, type), so that it counts once.
        key: BusinessKey,
    },
    /// An event of another system was taken; its keys are never taken again.
    Received {
        /// (source, event id) and, for receipts, the receipt's own key.
        keys: SmallVec<[BusinessKey; 2]>,
        /// When it happened, clamped.
        occurred: Time,
        /// Its own time was in the future.
        future: bool,
    },
    /// A receipt: moves stock, feeds the profile, settles reservations, counts redemptions.
    SaleRecorded {
        /// The receipt.
        sale: Arc<Sale>,
    },
    /// Stock moved by `delta` (already zeroed where a later count has seen it) and was found damaged by `damaged`.
    StockMoved {
        /// The product.
        sku: SkuId,
        /// The store.
        store: StoreId,
        /// Change of on_hand.
        delta: i64,
        /// Change of damaged.
        damaged: i64,
        /// When.
        occurred: Time,
        /// Why.
        reason: MoveReason,
    },
    /// Stock was counted.
    StockCounted {
        /// The product.
        sku: SkuId,
        /// The store.
        store: StoreId,
        /// What on_hand is now, later movements included.
        on_hand: i64,
        /// New safety stock.
        safety: Option<i64>,
        /// When it was counted.
        as_of: Time,
    },
    /// Stock was held.
    ReservationHeld {
        /// All of it.
        reservation: Arc<Reservation>,
    },
    /// A hold became a commitment.
    ReservationConfirmed {
        /// Which.
        id: ReservationId,
    },
    /// Stock was given back.
    ReservationReleased {
        /// Which.
        id: ReservationId,
    },
    /// A hold ran out.
    ReservationExpired {
        /// Which.
        id: ReservationId,
    },
    /// An ended reservation was forgotten.
    ReservationForgotten {
        /// Which.
        id: ReservationId,
    },
    /// A reservation was made or changed: how it is from now on. What this moves in the stock beside what is held comes in
    /// events of its own.
    ReservationPut {
        /// All of it.
        reservation: Arc<Reservation>,
    },
    /// A checkout took a new revision or was closed.
    CheckoutPut {
        /// All of it.
        checkout: Arc<Checkout>,
    },
    /// A request was answered: the same id gets the same answer while it is remembered.
    RequestAnswered {
        /// (principal, request id).
        key: RequestKey,
        /// Hash of the request without its id.
        payload_hash: u64,
    },
    /// The oldest remembered requests were forgotten. Only logs of format 1 have it.
    RequestsForgotten {
        /// How many.
        count: u32,
    },
    /// Every request answered before it was forgotten.
    RequestWindowMoved {
        /// The window's new start.
        before: Sequence,
    },
    /// A closed checkout was forgotten.
    CheckoutForgotten {
        /// Which.
        checkout_id: Arc<str>,
    },
    /// A delivery was announced, changed, received or cancelled. What moves stock in it are movements of their own.
    DeliveryPut {
        /// All of it.
        delivery: Arc<Delivery>,
    },
    /// A delivery that ended was forgotten.
    DeliveryForgotten {
        /// Which.
        delivery_id: Arc<str>,
    },
    /// Facts about stock were set or, with `None`, removed.
    FactsPut {
        /// Each with its key.
        facts: Vec<(FactKey, Option<Fact>)>,
    },
    /// Some more levels were fitted to changed buffers.
    BuffersSwept,
    /// A picker looked for goods: what was found teaches how far the store's stock can be believed.
    PickChecked {
        /// The store.
        store: StoreId,
        /// Thousandths looked for.
        expected: i64,
        /// Thousandths found.
        found: i64,
    },
    /// A source's own number of a message was taken.
    SourceAdvanced {
        /// The source.
        source: Arc<str>,
        /// Its number.
        number: u64,
    },
    /// The routing policy was replaced.
    RoutingPolicySet {
        /// All of it.
        policy: Arc<RoutingPolicy>,
    },
}
