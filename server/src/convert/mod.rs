//! The one place that knows both the wire and the domain: requests become checked domain values, with every bad field
//! collected, and domain values become answers. Nothing here looks at a clock or changes state.

pub mod acks;
pub mod basket;
pub mod catalog;
pub mod checkout;
pub mod checks;
pub mod customer;
pub mod fulfillment;
pub mod identifiers;
pub mod inbound;
pub mod ingest;
pub mod ladder;
pub mod location_terms;
pub mod offer;
pub mod orders;
pub mod paging;
pub mod profile;
pub mod profile_bytes;
pub mod routing_policy;
pub mod stock;
pub mod stock_rules;
pub mod values;
pub mod wire;
