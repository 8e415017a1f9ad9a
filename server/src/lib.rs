//! The Tillside server: the edge between the wire and the engine.
//!
//! Requests come in over gRPC ([`edge`]), are checked and turned into domain types in one place ([`convert`]), answered by
//! reading the state on the caller's own task or by one command through the [`sequencer`], and turned back. Nothing here
//! decides anything about customers, offers or stock: that is the engine's.

pub mod allocator;
pub mod app;
pub mod availability;
pub mod background;
pub mod backups;
pub mod cli;
pub mod clock;
pub mod config;
pub mod convert;
pub mod disk;
pub mod edge;
pub mod errors;
pub mod gate;
pub mod grpc;
pub mod health;
pub mod http;
pub mod keys;
pub mod logging;
pub mod profile_cache;
pub mod profile_reads;
pub mod promise;
pub mod requests;
pub mod reservation_feed;
pub mod retention;
pub mod routing_log;
pub mod sequencer;
pub mod server;
pub mod telemetry;
