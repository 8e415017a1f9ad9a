//! Every bound of the domain in one place, each with its reason.

/// Bytes of an id or identifier: longer ones are not ids, and each is kept in memory.
pub const ID_BYTES_MAX: usize = 128;
/// Bytes of a free text (name, address, text to say).
pub const TEXT_BYTES_MAX: usize = 1024;
/// Identifiers in one recognition: what one touchpoint can see.
pub const IDENTIFIERS_PER_REQUEST_MAX: usize = 16;
/// Identifiers a customer may have: beyond it lies a shared card, not a person.
pub const IDENTIFIERS_PER_CUSTOMER_MAX: usize = 32;
/// Lines of a basket at the till.
pub const BASKET_LINES_MAX: usize = 500;
/// Lines of a receipt: the longest real ones have some hundreds.
pub const RECEIPT_LINES_MAX: usize = 2000;
/// Lines of a fulfilment request: all are checked in one step of the sequencer.
pub const FULFILLMENT_LINES_MAX: usize = 200;
/// Stores of one plan, and candidates a reservation walks.
pub const CANDIDATES_MAX: usize = 32;
/// Nearer stores named as rejected.
pub const REJECTED_STORES_MAX: usize = 10;
/// Magnitude of a quantity in thousandths: a thousand million pieces; sums of such stay far inside 64 bits.
pub const QUANTITY_THOUSANDTHS_MAX: i64 = 1_000_000_000_000;
/// Magnitude beyond which sales move a level no further: a sale is never refused, but no store holds a million million
/// pieces, and a receipt of the longest still cannot bring the sum near the end of 64 bits.
pub const LEVEL_THOUSANDTHS_MAX: i64 = 1_000 * QUANTITY_THOUSANDTHS_MAX;
/// Magnitude of an amount in minor units.
pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;
/// Things put in one catalog call.
pub const PUTS_PER_CALL_MAX: usize = 1000;
/// Events in one ingest message, outcomes in one report, pairs in one availability call.
pub const ITEMS_PER_CALL_MAX: usize = 1000;
/// Levels of a category path.
pub const CATEGORY_LEVELS_MAX: usize = 8;
/// Barcodes of one product.
pub const GTINS_PER_PRODUCT_MAX: usize = 32;
/// Intervals of weekly opening hours: three a day.
pub const OPENING_INTERVALS_MAX: usize = 21;
/// Segments of a customer, or of an offer.
pub const SEGMENTS_MAX: usize = 64;
/// Products an offer is about, and stores it is limited to.
pub const OFFER_TARGETS_MAX: usize = 1000;
/// Offers that are not archived: ranking looks at each of them.
pub const ACTIVE_OFFERS_MAX: usize = 2000;
/// Products a profile remembers: with 12 bytes each, half of the 2 kB a profile may take.
pub const FAVOURITE_PRODUCTS_MAX: usize = 64;
/// Categories a profile remembers.
pub const FAVOURITE_CATEGORIES_MAX: usize = 32;
/// Currencies a profile sums: a person shops in one, travellers in a few; more are counted as purchases only.
pub const CURRENCIES_PER_PROFILE_MAX: usize = 8;
/// Stock movements kept at hand per (product, store), for counts that arrive late.
pub const RECENT_MOVEMENTS_MAX: usize = 16;
/// How long they are kept.
pub const RECENT_MOVEMENTS_MS: i64 = 48 * 3_600_000;
/// Hold durations.
pub const HOLD_MS_MIN: i64 = 1_000;
/// Thirty days.
pub const HOLD_MS_MAX: i64 = 30 * 86_400_000;
/// Hold duration where none is given.
pub const HOLD_MS_DEFAULT: i64 = 15 * 60_000;
/// How long a closed checkout is remembered against late revisions.
pub const CLOSED_CHECKOUT_MS: i64 = 24 * 3_600_000;
/// How long an ended reservation is remembered after the time its hold would have run out, or after its own end where that
/// came later and is noted: late pickups, complaints and repeats come within weeks.
pub const ENDED_RESERVATION_MS: i64 = 30 * 86_400_000;
/// Stores that may fail an order one after the other before it is left to people: each time the shopper waits longer.
pub const REROUTES_MAX: usize = 8;
/// How long a store may be given to acknowledge an order, and how long ready goods may wait for the customer.
pub const STORE_PATIENCE_MS_MAX: i64 = 90 * 86_400_000;
/// A clock this far ahead of the server's is tolerated as it is; beyond, the time is set to now and flagged.
pub const CLOCK_SKEW_MS_MAX: i64 = 60_000;
/// Timers fired before one batch of commands: bounds the wait of the commands behind them.
pub const TIMERS_PER_BATCH_MAX: usize = 1024;
/// How long an answered request is remembered at least: a till retries within minutes, a web shop's queue within hours.
pub const REQUEST_WINDOW_MS: i64 = 24 * 3_600_000;
/// How much longer it may be: the window's start moves in steps, so that few commands carry the moving of it.
pub const REQUEST_WINDOW_STEP_MS: i64 = 60_000;
/// Requests remembered at most, 46 bytes each: 0.9 GB. Beyond it the window is shorter.
pub const REQUESTS_MAX: usize = 20_000_000;
/// Requests forgotten at once where there are too many.
pub const REQUESTS_STEP: usize = 10_000;
/// Lines of one delivery: a full truck of a supermarket has some hundreds of products.
pub const DELIVERY_LINES_MAX: usize = 1000;
/// How long a delivery that came or was cancelled is remembered: messages about it repeat within days.
pub const ENDED_DELIVERY_MS: i64 = 30 * 86_400_000;
/// What is on its way is offered anew this often: a promise must not change with every second.
pub const NEAR_TIME_STEP_MS: i64 = 15 * 60_000;
/// How far ahead it is offered where no rule says otherwise: two days.
pub const NEAR_TIME_HORIZON_MS_DEFAULT: i64 = 48 * 3_600_000;
/// How far ahead a rule may offer it: a month.
pub const NEAR_TIME_HORIZON_MS_MAX: i64 = 31 * 86_400_000;
/// Safety buffers in all: a rule for each of many products and for many stores, some 10 MB. Buffers of single levels come
/// with counts and are not among them.
pub const STOCK_RULES_MAX: usize = 100_000;
/// Sources that number their messages: every till of a chain, and all connectors.
pub const SOURCES_MAX: usize = 100_000;
/// Levels fitted to changed buffers in one step, about a millisecond of the sequencer.
pub const SWEEP_LEVELS_MAX: usize = 50_000;
/// Products looked at in one such step.
pub const SWEEP_PRODUCTS_MAX: usize = 20_000;
/// Days that pickup windows are looked for: longer than any closure a shopper waits for, and stocktaking ends.
pub const PICKUP_HORIZON_DAYS: i64 = 60;
/// Slots looked at for one with room: two weeks of the shortest ones.
pub const SLOTS_LOOKED_AT_MAX: usize = 4096;
/// Slots of one answer.
pub const SLOTS_PER_PAGE_MAX: usize = 500;
/// Days of a store that are unlike their weekday: some years of holidays.
pub const SPECIAL_DAYS_MAX: usize = 128;
/// Capabilities of a place, and its carriers.
pub const CAPABILITIES_MAX: usize = 32;
/// Minutes to prepare an order: a month of opening hours.
pub const PREPARATION_MINUTES_MAX: u32 = 30 * 1440;
/// Length of a pickup slot, minutes.
pub const SLOT_MINUTES_MIN: u16 = 5;
/// A day.
pub const SLOT_MINUTES_MAX: u16 = 1440;
/// Pickups of one slot.
pub const SLOT_CAPACITY_MAX: u32 = 100_000;
/// Rules of a routing policy: each is asked of every basket.
pub const ROUTING_RULES_MAX: usize = 200;
/// Regions or carriers of a rule.
pub const RULE_VALUES_MAX: usize = 200;
/// Parts of a split order.
pub const SPLIT_PARTS_MAX: u32 = 8;
/// Minutes from ready to delivered, and until asking again: sixty days.
pub const ROUTING_MINUTES_MAX: u32 = 60 * 1440;
