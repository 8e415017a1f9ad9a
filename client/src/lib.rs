//! The Tillside SDK for Rust: one cheap handle, [`Tillside`], with a method for every call of the server.
//!
//! It exists so that a connector gets the four things right that are easy to get wrong: one connection that is reused, a
//! deadline on every call, retries that carry the *same* `request_id`, and errors a program can branch on. It refuses to
//! interpret answers: messages are those of [`tillside_proto`], unchanged.
//!
//! ```no_run
//! use tillside_client::{ClientConfig, Tillside, v1};
//!
//! # async fn example() -> Result<(), tillside_client::Error> {
//! let tillside = Tillside::connect(ClientConfig::new("http://127.0.0.1:50051")).await?;
//! let answer = tillside
//!     .recognize_customer(v1::RecognizeCustomerRequest {
//!         identifiers: vec![v1::Identifier {
//!             r#type: v1::IdentifierType::LoyaltyCard.into(),
//!             value: "2990000000017".to_owned(),
//!             ..Default::default()
//!         }],
//!         ..Default::default()
//!     })
//!     .await?;
//! println!("{:?} in {:?} µs of server time", answer.value.outcome(), answer.server_time_us);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod call;
mod config;
mod connection;
mod error;
mod ingest;
mod methods;

pub use call::Answer;
pub use config::{ClientConfig, RetryPolicy};
pub use connection::Tillside;
pub use error::{Error, FieldViolation, Rejection};
pub use ingest::{EncodedEvents, Ingest, IngestOptions};
/// The messages of the API, package `tillside.v1`.
pub use tillside_proto::v1;
