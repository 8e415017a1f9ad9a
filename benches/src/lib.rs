//! A retailer to measure in: seeded, deterministic, of any size, built through the engine's own `apply`. It models no
//! demand; only the shapes matter that decide the cost of an answer (how many stores have a product, how long a
//! basket is, how many customers the index holds).

pub mod disk;
pub mod process;
pub mod receipts;
pub mod shopping;
pub mod world;
pub mod zipf;
