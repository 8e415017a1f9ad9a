//! What is said about an event once it is durable, or refused.

use tillside_engine::reply::{Reply, Warning};
use tillside_proto::v1;

use super::ingest::Taken;
use crate::sequencer::Answer;

impl Taken {
    /// What to say about the event once it is durable.
    pub fn ack(&self, event_id: String, answer: &Answer) -> v1::EventAck {
        let mut ack = v1::EventAck {
            event_id,
            sequence: answer.sequence.0,
            ..v1::EventAck::default()
        };
        match &answer.reply {
            Reply::Duplicate { first } => {
                ack.set_status(v1::AckStatus::Duplicate);
                ack.sequence = first.0;
            }
            Reply::Ingested { warnings } => {
                ack.set_status(v1::AckStatus::Accepted);
                ack.warnings = self
                    .warnings
                    .iter()
                    .cloned()
                    .chain(warnings.iter().map(|w| self.warning(w)))
                    .collect();
            }
            _ => ack.set_status(v1::AckStatus::Accepted),
        }
        ack
    }

    fn warning(&self, warning: &Warning) -> v1::Problem {
        let of = |reason: &str, field: String, message: &str| v1::Problem {
            reason: reason.into(),
            field,
            message: message.into(),
        };
        match warning {
            Warning::UnknownStore => of(
                "UNKNOWN_STORE",
                "transaction.key.store_id".into(),
                "the store is not in the catalog; the lines wait in quarantine",
            ),
            Warning::UnknownSku { line } => of(
                "UNKNOWN_SKU",
                format!("transaction.lines[{line}]"),
                "the item is not in the catalog; the line waits in quarantine",
            ),
            Warning::FutureTime => of(
                "FUTURE_TIME",
                "occurred_time".into(),
                "the time was in the future and was set to now; check the sender's clock",
            ),
            Warning::AmbiguousCustomer => of(
                "AMBIGUOUS_CUSTOMER",
                "transaction.customer_identifiers".into(),
                "the identifiers belong to several customers; the most trusted one was taken",
            ),
            Warning::IdentifierConflict { index } => {
                let position = self
                    .positions
                    .get(*index)
                    .map_or(*index, |p| usize::from(*p));
                let list = if self.is_profile {
                    "profile_upserted.identifiers"
                } else {
                    "transaction.customer_identifiers"
                };
                of(
                    "IDENTIFIER_CONFLICT",
                    format!("{list}[{position}]"),
                    "the identifier belongs to another customer and was left there",
                )
            }
            Warning::ReservationNotSettled { line } => of(
                "RESERVATION_NOT_SETTLED",
                format!("transaction.lines[{line}].reservation_id"),
                "the reservation is not known, has ended, or is for other goods; the stock fell all the same",
            ),
            Warning::Superseded => of(
                "SUPERSEDED",
                "source_sequence".into(),
                "a later message of this source was taken before; this one changed nothing",
            ),
        }
    }
}

/// A refused event.
pub fn refused(event_id: String, problem: v1::Problem) -> v1::EventAck {
    let mut ack = v1::EventAck {
        event_id,
        problem: Some(problem),
        ..v1::EventAck::default()
    };
    ack.set_status(v1::AckStatus::Rejected);
    ack
}
