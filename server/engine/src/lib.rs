//! The Tillside domain: who is this customer, what should we offer, which store near them really has the basket.
//!
//! **Architecture invariant:** this crate does no IO and knows no clock and no chance; its `Cargo.toml` has no runtime,
//! no transport and no database. Time and order come in through [`ctx::Ctx`]. [`decide::decide`] answers and says what
//! happens; [`apply::apply`] is the only way state changes. The same commands give the same state, bit for bit.

pub mod accuracy;
pub mod active_offers;
pub mod answered_requests;
pub mod apply;
pub mod barcode;
mod basket_stock;
pub mod buffers;
pub mod catalog;
pub mod changed_cells;
pub mod claims;
pub mod command;
pub mod ctx;
pub mod customer;
pub mod decide;
pub mod eligibility;
pub mod event;
pub mod facts;
pub mod footprint;
pub mod fulfillment_ladder;
pub mod geo_index;
pub mod identity;
pub mod ids;
pub mod inbound;
pub mod invariants;
pub mod ledger;
pub mod limits;
pub mod location_terms;
pub mod near_time;
pub mod nearest;
pub mod offer;
pub mod order;
pub mod order_command;
pub mod order_index;
pub mod order_parts;
pub mod own_holds;
pub mod packed;
pub mod pickup_code;
pub mod pickup_hours;
pub mod pickup_slots;
pub mod prefetch;
pub mod product_stock;
pub mod profile;
pub mod ranking;
pub mod recent_movements;
pub mod recognition;
pub mod reject;
pub mod reply;
pub mod reservation;
pub mod residency;
pub mod routing;
pub mod routing_policy;
pub mod routing_replay;
pub mod sale;
pub mod settlement;
pub mod shortage;
pub mod state;
pub mod stock;
pub mod stock_table;
pub mod units;
