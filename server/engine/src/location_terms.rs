//! What a store, a warehouse or a supplier does for orders: by which methods, with which hours of its own kind, how fast, and
//! how many at a time. Facts about one place; what the retailer makes of them is the routing policy's business.

use std::sync::Arc;

use jiff::civil::Date;

/// How goods reach the customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Picked up in a store.
    #[default]
    Pickup,
    /// Sent by a store.
    ShipFromStore,
    /// Sent by a warehouse.
    ShipToHome,
    /// Sent by a supplier.
    DropShip,
}

impl Method {
    /// All, in the order of the fallback ladder.
    pub const ALL: [Method; 4] = [
        Method::Pickup,
        Method::ShipFromStore,
        Method::ShipToHome,
        Method::DropShip,
    ];

    /// Whether a parcel is sent.
    pub fn ships(self) -> bool {
        self != Method::Pickup
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods(pub u8);

impl Methods {
    /// Every one of them.
    pub const ANY: Methods = Methods(0b1111);
    /// Pickup alone, as it was before there was anything else.
    pub const PICKUP: Methods = Methods(1);

    /// These.
    pub fn of(methods: impl IntoIterator<Item = Method>) -> Self {
        Methods(methods.into_iter().fold(0, |bits, m| bits | 1 << m as u8))
    }

    /// Whether one is among them.
    pub fn has(self, method: Method) -> bool {
        self.0 >> method as u8 & 1 == 1
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Methods) -> Self {
        Methods(self.0 & other.0)
    }

    /// Whether none is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// They, in the order of the ladder.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |m| self.has(*m))
    }
}

/// What kind of place it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocationKind {
    /// People shop there.
    #[default]
    Store,
    /// Nobody does; it sends.
    Warehouse,
    /// Somebody else's; it sends in our name, and its stock is what it last told.
    Supplier,
}

impl LocationKind {
    /// What such a place does where nothing else is said.
    pub fn usual_methods(self) -> Methods {
        Methods::of([match self {
            LocationKind::Store => Method::Pickup,
            LocationKind::Warehouse => Method::ShipToHome,
            LocationKind::Supplier => Method::DropShip,
        }])
    }

    /// What such a place can do at all.
    pub fn possible_methods(self) -> Methods {
        match self {
            LocationKind::Store => Methods::of([Method::Pickup, Method::ShipFromStore]),
            // Lockers and counters at a warehouse are usual.
            LocationKind::Warehouse => Methods::of([Method::Pickup, Method::ShipToHome]),
            LocationKind::Supplier => Methods::of([Method::DropShip]),
        }
    }
}

/// A day that is unlike its weekday: a holiday, a Sunday before Christmas, stocktaking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialDay {
    /// The day, in the store's zone.
    pub date: Date,
    /// (open, close) in minutes after its midnight, as in the weekly hours. Empty: closed.
    pub opening: Vec<(u16, u16)>,
}

/// How many pickups at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRules {
    /// Length of a slot, minutes.
    pub length_minutes: u16,
    /// Orders that may be picked up in one. Zero: none for now.
    pub capacity: u32,
}

/// All a place does for orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationTerms {
    /// What it is.
    pub kind: LocationKind,
    /// How it serves.
    pub methods: Methods,
    /// Its stock is not for online orders (a franchise's, for example): the till sells it, nothing else is promised of it.
    pub withholds_online: bool,
    /// Days unlike their weekday, by date, each once.
    pub special_days: Vec<SpecialDay>,
    /// Work until an order is ready, in minutes of opening hours.
    pub preparation_minutes: u32,
    /// The last pickup begins so many minutes before closing at the latest.
    pub last_pickup_minutes: u16,
    /// Orders from this minute after local midnight on are taken up on a later day's opening. `None`: any time of day.
    pub order_cutoff_minute: Option<u16>,
    /// Slots; `None`: as many pickups as come.
    pub slots: Option<SlotRules>,
    /// What it can do besides, in the retailer's words, for example "cold".
    pub capabilities: Vec<Arc<str>>,
    /// Who carries its parcels, in the retailer's words.
    pub carriers: Vec<Arc<str>>,
}

impl Default for LocationTerms {
    fn default() -> Self {
        LocationTerms {
            kind: LocationKind::Store,
            methods: Methods::PICKUP,
            withholds_online: false,
            special_days: Vec::new(),
            preparation_minutes: 0,
            last_pickup_minutes: 0,
            order_cutoff_minute: None,
            slots: None,
            capabilities: Vec::new(),
            carriers: Vec::new(),
        }
    }
}

impl LocationTerms {
    /// Whether online orders may be served so from here.
    pub fn serves(&self, method: Method) -> bool {
        !self.withholds_online && self.methods.has(method)
    }

    /// The day's own hours, where it is special.
    pub fn special_day(&self, date: Date) -> Option<&SpecialDay> {
        let at = self
            .special_days
            .binary_search_by(|day| day.date.cmp(&date))
            .ok()?;
        self.special_days.get(at)
    }
}
