//! The one place that turns refusals into gRPC statuses (AIP-193): a code, a sentence that says what to do, one ErrorInfo
//! with a stable reason, BadRequest with every bad field, RetryInfo where a retry helps. Ingest uses the same words in its
//! acknowledgements.

use std::collections::HashMap;
use std::time::Duration;

use tillside_engine::reject::Rejection;
use tillside_engine::units::Time;
use tillside_proto::v1;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::convert::checks::{Invalid, Violation};
use crate::profile_reads::ReadError;
use crate::sequencer::SubmitError;

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "tillside";

/// A refusal, ready to be said in any form.
#[derive(Debug)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// UPPER_SNAKE_CASE, stable.
    pub reason: &'static str,
    /// What to do.
    pub message: String,
    /// The offending field; empty where no single one is at fault.
    pub field: String,
    /// For programs.
    pub metadata: Vec<(&'static str, String)>,
    /// When a retry may help.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Refusal {
            code,
            reason,
            message: message.into(),
            field: String::new(),
            metadata: Vec::new(),
            retry_after: None,
        }
    }

    fn at(mut self, field: &str) -> Self {
        field.clone_into(&mut self.field);
        self
    }

    fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after = Some(Duration::from_millis(ms));
        self
    }

    /// As a status.
    pub fn into_status(mut self) -> Status {
        let mut details = ErrorDetails::new();
        if !self.field.is_empty() {
            self.metadata.push(("field", self.field.clone()));
        }
        if self.code == Code::InvalidArgument && !self.field.is_empty() {
            details.add_bad_request_violation(self.field, self.message.clone());
        }
        details.set_error_info(
            self.reason,
            DOMAIN,
            self.metadata
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<HashMap<_, _>>(),
        );
        if self.retry_after.is_some() {
            details.set_retry_info(self.retry_after);
        }
        Status::with_error_details(self.code, self.message, details)
    }

    /// As part of an answer.
    pub fn into_problem(self) -> v1::Problem {
        v1::Problem {
            reason: self.reason.into(),
            field: self.field,
            message: self.message,
        }
    }
}

/// What a rejection of the engine is called outside.
pub fn refusal(rejection: &Rejection) -> Refusal {
    let message = rejection.to_string();
    let of = |code, reason| Refusal::new(code, reason, message.clone());
    match rejection {
        Rejection::Invalid { field, problem } => Refusal::new(
            Code::InvalidArgument,
            "INVALID_FIELD",
            format!("{field} {problem}"),
        )
        .at(field),
        Rejection::UnknownSku { field, sku } => {
            of(Code::NotFound, "UNKNOWN_SKU").at(field).with("sku", sku)
        }
        Rejection::UnknownStore { field, store_id } => of(Code::NotFound, "UNKNOWN_STORE")
            .at(field)
            .with("store_id", store_id),
        Rejection::UnknownCustomer => of(Code::NotFound, "UNKNOWN_CUSTOMER"),
        Rejection::UnknownOffer { offer_id } => {
            of(Code::NotFound, "UNKNOWN_OFFER").with("offer_id", offer_id)
        }
        Rejection::UnknownReservation { reservation_id } => {
            of(Code::NotFound, "UNKNOWN_RESERVATION").with("reservation_id", reservation_id)
        }
        Rejection::IdentifierConflict { index } => {
            of(Code::AlreadyExists, "IDENTIFIER_CONFLICT").at(&format!("identifiers[{index}]"))
        }
        Rejection::BarcodeTaken { field, owner, .. } => of(Code::AlreadyExists, "BARCODE_TAKEN")
            .at(field)
            .with("owner_sku", owner),
        Rejection::EtagMismatch => of(Code::Aborted, "ETAG_MISMATCH"),
        Rejection::InsufficientStock => of(Code::FailedPrecondition, "INSUFFICIENT_STOCK"),
        Rejection::Contended => of(Code::Aborted, "CONTENDED").retry_after_ms(10),
        Rejection::OrderConfirmed { reservation_id, .. } => {
            of(Code::FailedPrecondition, "ORDER_CONFIRMED").with("reservation_id", reservation_id)
        }
        Rejection::ReservationExpired => of(Code::FailedPrecondition, "RESERVATION_EXPIRED"),
        Rejection::ReservationEnded(state) => {
            of(Code::FailedPrecondition, "RESERVATION_ENDED").with("state", state)
        }
        Rejection::UnknownOrder { order_id } => of(Code::NotFound, "UNKNOWN_ORDER")
            .at("order_id")
            .with("order_id", order_id),
        Rejection::WrongState { state, .. } => {
            of(Code::FailedPrecondition, "RESERVATION_WRONG_STATE").with("state", state)
        }
        Rejection::PickupCodeWrong => {
            of(Code::FailedPrecondition, "PICKUP_CODE_MISMATCH").at("pickup_code")
        }
        Rejection::CountTooOld(_) => of(Code::FailedPrecondition, "COUNT_TOO_OLD").at("as_of_time"),
        Rejection::UnknownDelivery { delivery_id } => of(Code::NotFound, "UNKNOWN_DELIVERY")
            .at("delivery_id")
            .with("delivery_id", delivery_id),
        Rejection::DeliveryEnded { state, .. } => {
            of(Code::FailedPrecondition, "DELIVERY_ENDED").with("state", state)
        }
        Rejection::CountInFuture => of(Code::InvalidArgument, "INVALID_FIELD").at("as_of_time"),
        Rejection::RequestIdReused => {
            of(Code::InvalidArgument, "REQUEST_ID_REUSED").at("request_id")
        }
        Rejection::AnswerUnreadable => of(Code::Aborted, "ANSWER_UNREADABLE"),
        Rejection::ProfileUnreadable => {
            of(Code::Unavailable, "STORAGE_READ_FAILED").retry_after_ms(1000)
        }
        Rejection::LimitExceeded { max, .. } => {
            of(Code::ResourceExhausted, "LIMIT_EXCEEDED").with("max", max)
        }
        Rejection::DeadlineExceeded => of(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        // No RetryInfo: room is made by people, not within the patience of a call.
        Rejection::DiskFull {
            available_bytes,
            reserve_bytes,
        } => of(Code::ResourceExhausted, "DISK_FULL")
            .with("available_bytes", available_bytes)
            .with("reserve_bytes", reserve_bytes),
        Rejection::SlotFull { next } => {
            let full = of(Code::FailedPrecondition, "SLOT_FULL");
            match next {
                Some((start, end)) => full
                    .with("next_slot_start_time", wire_time(*start))
                    .with("next_slot_end_time", wire_time(*end)),
                None => full,
            }
        }
        Rejection::SplitNotReserved => of(Code::FailedPrecondition, "SPLIT_NOT_RESERVED"),
        Rejection::OfPart {
            reservation_id,
            rejection,
        } => Refusal {
            message,
            ..refusal(rejection).with("part_reservation_id", reservation_id)
        },
        Rejection::ClockBackwards => of(Code::InvalidArgument, "INVALID_FIELD").at("now"),
    }
}

/// A time as programs read it in metadata: RFC 3339, UTC.
fn wire_time(time: Time) -> String {
    jiff::Timestamp::from_millisecond(time.0).map_or_else(|_| time.0.to_string(), |t| t.to_string())
}

/// A rejection of the engine as a status.
pub fn rejected(rejection: &Rejection) -> Status {
    refusal(rejection).into_status()
}

impl From<SubmitError> for Status {
    fn from(error: SubmitError) -> Status {
        match error {
            SubmitError::Rejected(rejection) => rejected(&rejection),
            SubmitError::Overloaded => overloaded(),
            SubmitError::Unavailable => storage_failed(),
        }
    }
}

impl From<ReadError> for Status {
    fn from(error: ReadError) -> Status {
        match error {
            ReadError::Busy => overloaded(),
            ReadError::Unreadable => rejected(&Rejection::ProfileUnreadable),
        }
    }
}

impl From<Invalid> for Status {
    fn from(Invalid(violations): Invalid) -> Status {
        let sentence = |v: &Violation| {
            if v.field.is_empty() {
                v.problem.clone()
            } else {
                format!("{} {}", v.field, v.problem)
            }
        };
        let first = violations
            .first()
            .map_or_else(|| "the request cannot be used".to_owned(), sentence);
        let message = match violations.len() {
            0 | 1 => first,
            n => format!("{first} (and {} more, see the field violations)", n - 1),
        };
        let mut details = ErrorDetails::new();
        details.set_error_info("INVALID_FIELD", DOMAIN, HashMap::new());
        details.set_bad_request(
            violations
                .into_iter()
                .map(|v| FieldViolation::new(v.field, v.problem))
                .collect::<Vec<_>>(),
        );
        Status::with_error_details(Code::InvalidArgument, message, details)
    }
}

/// A bad event as part of an answer: its first violation, and how many more there are.
pub fn invalid_problem(Invalid(violations): &Invalid) -> v1::Problem {
    let more = violations.len().saturating_sub(1);
    let first = violations.first();
    let mut message = first.map_or_else(String::new, |v| format!("{} {}", v.field, v.problem));
    if more > 0 {
        message.push_str(&format!(" (and {more} more bad fields)"));
    }
    v1::Problem {
        reason: "INVALID_FIELD".into(),
        field: first.map_or_else(String::new, |v| v.field.clone()),
        message,
    }
}

/// The queue of waiting commands, or the number of calls, is full.
pub fn overloaded() -> Status {
    let message =
        "the server is busy; call again after the delay in RetryInfo with the same request_id";
    Refusal::new(Code::ResourceExhausted, "OVERLOADED", message)
        .retry_after_ms(50)
        .into_status()
}

/// What changed since a token can no longer be told.
pub fn resume_token_too_old() -> Status {
    let message = "what changed since this resume_token can no longer be told (it is too old, or of another server's data); start anew without a token";
    Refusal::new(Code::FailedPrecondition, "RESUME_TOKEN_TOO_OLD", message)
        .at("resume_token")
        .into_status()
}

/// The log, or a table beside it, cannot be read.
pub fn ledger_unreadable(error: &tillside_store::StoreError) -> Status {
    Refusal::new(Code::DataLoss, "LEDGER_UNREADABLE", error.to_string()).into_status()
}

/// Nothing can be written any more.
pub fn storage_failed() -> Status {
    let message = "the server cannot store changes and is stopping; call another server, or again once it is back, with the same request_id";
    Refusal::new(Code::Unavailable, "STORAGE_FAILED", message)
        .retry_after_ms(1000)
        .into_status()
}

/// No place for backups is configured.
pub fn backup_not_configured() -> Status {
    let message = "the server has no backup_dir; set it (flag --backup-dir, TILLSIDE_BACKUP_DIR, or in the file) and start the server again";
    Refusal::new(Code::FailedPrecondition, "BACKUP_NOT_CONFIGURED", message).into_status()
}

/// Another backup is under way.
pub fn backup_running(operation_id: &str) -> Status {
    let message = format!(
        "another backup is running; wait until GetOperation says that {operation_id} has ended, then call again"
    );
    Refusal::new(Code::FailedPrecondition, "BACKUP_RUNNING", message)
        .with("operation_id", operation_id)
        .into_status()
}

/// The backup directory cannot be read.
pub fn backups_unreadable(error: &tillside_store::BackupError) -> Status {
    Refusal::new(Code::FailedPrecondition, "BACKUP_FAILED", error.to_string()).into_status()
}

/// The routings of the past cannot be read.
pub fn routings_unreadable(error: &std::io::Error) -> Status {
    let message = format!(
        "the policy is good, but the routings it was to be tried on cannot be read ({error}); look at the directory routings in the data directory"
    );
    Refusal::new(Code::Unavailable, "STORAGE_READ_FAILED", message).into_status()
}

/// No such operation.
pub fn unknown_operation(operation_id: &str) -> Status {
    let message = format!(
        "there is no operation {operation_id:?}; operations are forgotten when the server is started again"
    );
    Refusal::new(Code::NotFound, "UNKNOWN_OPERATION", message).into_status()
}

/// The state is not loaded yet, or the server is stopping.
pub fn not_ready(why: &'static str) -> Status {
    Refusal::new(Code::Unavailable, "NOT_READY", why)
        .retry_after_ms(500)
        .into_status()
}

/// The deadline of the call has passed.
pub fn deadline_exceeded() -> Status {
    rejected(&Rejection::DeadlineExceeded)
}

/// Something that cannot happen unless the server has a defect; the log says more than the client is told.
pub fn defect(what: &str) -> Status {
    tracing::error!(
        what,
        "an answer did not fit its request: this is a defect of the server"
    );
    Refusal::new(
        Code::Internal,
        "INTERNAL",
        "the server has a defect; its log says more",
    )
    .into_status()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: &Status, code: Code, reason: &str, fields: &[&str], retries: bool) {
        let details = status.get_error_details();
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!(
            (status.code(), info.reason.as_str(), info.domain.as_str()),
            (code, reason, DOMAIN),
            "{status:?}"
        );
        let violations = details
            .bad_request()
            .map_or(&[][..], |b| &b.field_violations);
        assert_eq!(
            violations
                .iter()
                .map(|v| v.field.as_str())
                .collect::<Vec<_>>(),
            fields
        );
        assert_eq!(details.retry_info().is_some(), retries, "{reason}");
        assert!(
            status.message().len() > 20,
            "a sentence that says what to do: {}",
            status.message()
        );
    }

    #[test]
    fn every_rejection_has_its_code_and_reason() {
        let of = |r: Rejection| rejected(&r);
        let field = "lines[0].sku".to_owned();
        check(
            &of(Rejection::UnknownSku {
                field: field.clone(),
                sku: "A".into(),
            }),
            Code::NotFound,
            "UNKNOWN_SKU",
            &[],
            false,
        );
        check(
            &of(Rejection::Invalid {
                field,
                problem: "must be of the product's unit".into(),
            }),
            Code::InvalidArgument,
            "INVALID_FIELD",
            &["lines[0].sku"],
            false,
        );
        check(
            &of(Rejection::InsufficientStock),
            Code::FailedPrecondition,
            "INSUFFICIENT_STOCK",
            &[],
            false,
        );
        check(
            &of(Rejection::Contended),
            Code::Aborted,
            "CONTENDED",
            &[],
            true,
        );
        check(
            &of(Rejection::EtagMismatch),
            Code::Aborted,
            "ETAG_MISMATCH",
            &[],
            false,
        );
        check(
            &of(Rejection::RequestIdReused),
            Code::InvalidArgument,
            "REQUEST_ID_REUSED",
            &["request_id"],
            false,
        );
        check(
            &of(Rejection::IdentifierConflict { index: 2 }),
            Code::AlreadyExists,
            "IDENTIFIER_CONFLICT",
            &[],
            false,
        );
        check(
            &of(Rejection::CountInFuture),
            Code::InvalidArgument,
            "INVALID_FIELD",
            &["as_of_time"],
            false,
        );
        check(
            &of(Rejection::DeadlineExceeded),
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            &[],
            false,
        );
        check(
            &of(Rejection::DiskFull {
                available_bytes: 5,
                reserve_bytes: 7,
            }),
            Code::ResourceExhausted,
            "DISK_FULL",
            &[],
            false,
        );
        check(
            &SubmitError::Overloaded.into(),
            Code::ResourceExhausted,
            "OVERLOADED",
            &[],
            true,
        );
        check(
            &SubmitError::Unavailable.into(),
            Code::Unavailable,
            "STORAGE_FAILED",
            &[],
            true,
        );
        check(
            &not_ready("the server is still loading its data"),
            Code::Unavailable,
            "NOT_READY",
            &[],
            true,
        );
    }

    #[test]
    fn all_bad_fields_travel_at_once() {
        let violation = |field: &str| Violation {
            field: field.into(),
            problem: "is required".into(),
        };
        let status = Status::from(Invalid(vec![violation("sku"), violation("store_id")]));
        check(
            &status,
            Code::InvalidArgument,
            "INVALID_FIELD",
            &["sku", "store_id"],
            false,
        );
    }
}
