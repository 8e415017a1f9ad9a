//! Numbers of enumerations on disk. A number once given keeps its meaning; an unknown one is a named error, because a
//! later version may have written it and guessing would change what it meant.

use tillside_engine::catalog::StoreState;
use tillside_engine::customer::Purpose;
use tillside_engine::identity::IdentifierKind;
use tillside_engine::inbound::DeliveryState;
use tillside_engine::location_terms::{LocationKind, Method};
use tillside_engine::offer::{Channel, ComputedBy, OutcomeType};
use tillside_engine::order::{HandoverKind, PaymentState, PickProblem};
use tillside_engine::reservation::{CheckoutResult, ReservationState};
use tillside_engine::routing_policy::RankBy;
use tillside_engine::sale::SaleKind;
use tillside_engine::stock::MoveReason;
use tillside_engine::units::Unit;

use crate::error::RecordProblem;

/// An enumeration with numbers.
pub(super) trait Coded: Sized {
    fn code(&self) -> u32;
    fn decoded(code: u32) -> Result<Self, RecordProblem>;

    fn decoded_list(codes: Vec<u32>) -> Result<Vec<Self>, RecordProblem> {
        codes.into_iter().map(Self::decoded).collect()
    }
}

macro_rules! codes {
    ($name:ident, $field:literal { $($variant:ident = $code:literal),* $(,)? }) => {
        impl Coded for $name {
            fn code(&self) -> u32 {
                match self {
                    $($name::$variant => $code),*
                }
            }

            fn decoded(code: u32) -> Result<Self, RecordProblem> {
                match code {
                    $($code => Ok($name::$variant),)*
                    other => Err(RecordProblem::field($field, other)),
                }
            }
        }
    };
}

codes!(StoreState, "store state" { Open = 0, Paused = 1, Closed = 2 });
codes!(Unit, "unit" { Each = 0, Kilogram = 1, Litre = 2, Metre = 3 });
codes!(Purpose, "purpose of a consent" { Profiling = 0, Marketing = 1, Analytics = 2, ThirdParties = 3 });
codes!(IdentifierKind, "kind of identifier" {
    CustomerId = 0,
    LoyaltyCard = 1,
    TaxCode = 2,
    AppToken = 3,
    QrToken = 4,
    Email = 5,
    PaymentToken = 6,
    Phone = 7,
    DeviceId = 8,
});
codes!(Channel, "channel" { Store = 0, Ecommerce = 1, App = 2, Kiosk = 3, CallCenter = 4 });
codes!(ComputedBy, "computing side" { Till = 0, Server = 1 });
codes!(OutcomeType, "type of outcome" { Impression = 0, Click = 1, Accept = 2, Decline = 3, Redeem = 4 });
codes!(ReservationState, "reservation state" {
    Held = 0,
    Confirmed = 1,
    Fulfilled = 2,
    Released = 3,
    Expired = 4,
    Picking = 5,
    Ready = 6,
    PartiallyPickedUp = 7,
    Shipped = 8,
    NeedsPutBack = 9,
    PutBack = 10,
});
codes!(PaymentState, "payment state" { Unpaid = 0, Authorised = 1, Paid = 2 });
codes!(HandoverKind, "kind of handover" { Counter = 0, Curbside = 1, Locker = 2 });
codes!(PickProblem, "problem of a pick" { NotFound = 1, Damaged = 2, Declined = 3 });
codes!(CheckoutResult, "checkout result" { Completed = 0, Cancelled = 1 });
codes!(SaleKind, "kind of sale" { Sale = 0, Return = 1, PostVoid = 2, Neutral = 3 });
codes!(DeliveryState, "delivery state" { Expected = 0, Received = 1, Cancelled = 2 });
codes!(MoveReason, "reason of a movement" {
    Correction = 0,
    Receipt = 1,
    Shrinkage = 2,
    Damage = 3,
    Transfer = 4,
    Disposal = 5,
});
codes!(Method, "method" { Pickup = 0, ShipFromStore = 1, ShipToHome = 2, DropShip = 3 });
codes!(LocationKind, "kind of place" { Store = 0, Warehouse = 1, Supplier = 2 });
codes!(RankBy, "order of options" { Distance = 0, Cost = 1, Readiness = 2 });
