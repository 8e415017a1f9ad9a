//! What can go wrong, in a form programs can branch on: the gRPC code, the stable reason, every bad field, and whether
//! and when a retry helps.

use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A call that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used, for example an address that is no URI.
    #[error("{0}")]
    Config(String),
    /// No connection could be made.
    #[error("no connection to {server}: {message}")]
    Connect {
        /// The address that was tried.
        server: String,
        /// What the network said.
        message: String,
    },
    /// The deadline passed before an answer came. The change may have happened: repeat with the same `request_id`.
    #[error("no answer within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The server answered with an error.
    #[error("{}", .0.message)]
    Rejected(Box<Rejection>),
}

/// What the server said.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The gRPC code.
    pub code: Code,
    /// A sentence for people that says what to do.
    pub message: String,
    /// The stable reason in UPPER_SNAKE_CASE from `google.rpc.ErrorInfo`; empty where the server gave none.
    pub reason: String,
    /// Every bad field of the request.
    pub field_violations: Vec<FieldViolation>,
    /// When the server wants to be asked again.
    pub retry_delay: Option<Duration>,
}

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field, for example `stores[3].location.latitude`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Error {
    /// The gRPC code that describes the error best.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Config(_) => Code::InvalidArgument,
            Self::Connect { .. } => Code::Unavailable,
            Self::Deadline(_) => Code::DeadlineExceeded,
            Self::Rejected(rejection) => rejection.code,
        }
    }

    /// The stable reason, for example `INSUFFICIENT_STOCK`; empty where there is none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Rejected(rejection) => &rejection.reason,
            _ => "",
        }
    }

    /// Every bad field of the request.
    #[must_use]
    pub fn field_violations(&self) -> &[FieldViolation] {
        match self {
            Self::Rejected(rejection) => &rejection.field_violations,
            _ => &[],
        }
    }

    /// When the server wants to be asked again, where it said so.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Rejected(rejection) => rejection.retry_delay,
            _ => None,
        }
    }

    /// Whether the reason passes by itself, so that sending the same request again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Config(_) | Self::Deadline(_) => false,
            Self::Rejected(rejection) => match rejection.code {
                Code::Unavailable => true,
                Code::ResourceExhausted => rejection.retry_delay.is_some(),
                Code::Aborted => rejection.reason == "CONTENDED",
                _ => false,
            },
        }
    }

    /// Whether the connection died under the call: the transport has no code of its own for it. What the server did is
    /// unknown, but every change is keyed, so sending it again does it once.
    pub(crate) fn is_broken_connection(&self) -> bool {
        match self {
            Self::Rejected(rejection) => {
                rejection.reason.is_empty()
                    && matches!(
                        rejection.code,
                        Code::Unknown | Code::Internal | Code::Cancelled
                    )
            }
            _ => false,
        }
    }

    pub(crate) fn from_status(status: &Status, deadline: Duration) -> Self {
        // The transport reports its own timer as CANCELLED; for the caller it is the deadline all the same.
        let timer = status.code() == Code::Cancelled && status.message() == "Timeout expired";
        if timer || status.code() == Code::DeadlineExceeded {
            return Self::Deadline(deadline);
        }
        let details = status.get_error_details();
        Self::Rejected(Box::new(Rejection {
            code: status.code(),
            message: if status.message().is_empty() {
                status.code().description().to_owned()
            } else {
                status.message().to_owned()
            },
            reason: details
                .error_info()
                .map(|info| info.reason.clone())
                .unwrap_or_default(),
            field_violations: details
                .bad_request()
                .map(|bad| {
                    bad.field_violations
                        .iter()
                        .map(|violation| FieldViolation {
                            field: violation.field.clone(),
                            description: violation.description.clone(),
                        })
                        .collect()
                })
                .unwrap_or_default(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_status_keeps_reason_fields_and_retry_delay() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info(
                "OVERLOADED",
                "tillside",
                std::collections::HashMap::<String, String>::new(),
            )
            .set_retry_info(Some(Duration::from_millis(50)))
            .add_bad_request_violation("lines[0].sku", "is empty");
        let status = Status::with_error_details(Code::ResourceExhausted, "Too busy.", details);
        let error = Error::from_status(&status, Duration::from_secs(2));
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert_eq!(error.reason(), "OVERLOADED");
        assert_eq!(error.retry_delay(), Some(Duration::from_millis(50)));
        assert_eq!(error.field_violations()[0].field, "lines[0].sku");
        assert_eq!(error.to_string(), "Too busy.");
        assert!(error.is_retryable());
    }

    #[test]
    fn only_passing_reasons_are_retryable() {
        fn check(code: Code, reason: &str, retry_ms: Option<u64>, expect: bool) {
            let mut details = ErrorDetails::new();
            details.set_error_info(
                reason,
                "tillside",
                std::collections::HashMap::<String, String>::new(),
            );
            if let Some(ms) = retry_ms {
                details.set_retry_info(Some(Duration::from_millis(ms)));
            }
            let status = Status::with_error_details(code, "x", details);
            let error = Error::from_status(&status, Duration::from_secs(1));
            assert_eq!(
                error.is_retryable(),
                expect,
                "{code:?} {reason} {retry_ms:?}"
            );
        }
        check(Code::Unavailable, "STORAGE_FAILED", None, true);
        check(Code::ResourceExhausted, "OVERLOADED", Some(5), true);
        check(Code::ResourceExhausted, "TOO_LARGE", None, false);
        check(Code::Aborted, "CONTENDED", None, true);
        check(Code::Aborted, "ETAG_MISMATCH", None, false);
        check(Code::DeadlineExceeded, "", None, false);
        check(Code::FailedPrecondition, "INSUFFICIENT_STOCK", None, false);
    }
}
