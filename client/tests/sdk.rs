//! The SDK against a server that fails on purpose: what is retried, with which id, and what comes back.

#![allow(missing_docs)]

mod mock;

use mock::Mock;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tillside_client::{
    ClientConfig, Error, IngestOptions, RetryPolicy, Tillside,
    v1::{AdjustStockRequest, Event, StockCounted, event::Payload},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

async fn connect(mock: &Mock, timeout: Duration) -> Tillside {
    let config = ClientConfig {
        timeout,
        retry: RetryPolicy {
            backoff_first: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..ClientConfig::new(mock.url())
    };
    Tillside::connect(config)
        .await
        .expect("the server is there")
}

fn status(code: Code, reason: &str, retry: Option<Duration>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "tillside", HashMap::<String, String>::new());
    if let Some(retry) = retry {
        details.set_retry_info(Some(retry));
    }
    Status::with_error_details(code, "Not now.", details)
}

#[tokio::test]
async fn a_retry_carries_the_same_request_id_and_a_deadline() {
    let mock = Mock::start().await;
    mock.memory().adjust_failures = vec![
        status(Code::Unavailable, "STORAGE_FAILED", None),
        status(
            Code::ResourceExhausted,
            "OVERLOADED",
            Some(Duration::from_millis(5)),
        ),
        status(Code::Aborted, "CONTENDED", None),
    ];
    let client = connect(&mock, Duration::from_secs(10)).await;
    let answer = client
        .adjust_stock(AdjustStockRequest::default())
        .await
        .expect("the fourth attempt succeeds");
    assert_eq!((answer.attempts, answer.server_time_us), (4, Some(17)));
    let memory = mock.memory();
    assert_eq!(memory.adjust_request_ids.len(), 4);
    assert_eq!(memory.adjust_request_ids[0].len(), 36, "a UUID was made");
    assert!(
        memory
            .adjust_request_ids
            .iter()
            .all(|id| *id == memory.adjust_request_ids[0])
    );
    assert!(
        memory
            .adjust_timeouts
            .iter()
            .all(|timeout| !timeout.is_empty())
    );
}

#[tokio::test]
async fn a_rule_that_says_no_is_not_asked_twice() {
    async fn check(failure: Status, expect: &str) {
        let mock = Mock::start().await;
        mock.memory().adjust_failures = vec![failure];
        let client = connect(&mock, Duration::from_secs(10)).await;
        let error = client
            .adjust_stock(AdjustStockRequest::default())
            .await
            .expect_err("the first answer counts");
        assert_eq!(format!("{:?} {}", error.code(), error.reason()), expect);
        assert_eq!(mock.memory().adjust_request_ids.len(), 1);
    }
    check(
        status(Code::FailedPrecondition, "INSUFFICIENT_STOCK", None),
        "FailedPrecondition INSUFFICIENT_STOCK",
    )
    .await;
    check(
        status(Code::Aborted, "ETAG_MISMATCH", None),
        "Aborted ETAG_MISMATCH",
    )
    .await;
    check(
        status(Code::ResourceExhausted, "TOO_LARGE", None),
        "ResourceExhausted TOO_LARGE",
    )
    .await;
}

#[tokio::test]
async fn attempts_are_bounded() {
    let mock = Mock::start().await;
    mock.memory().adjust_failures = vec![status(Code::Unavailable, "STORAGE_FAILED", None); 9];
    let client = connect(&mock, Duration::from_secs(10)).await;
    let error = client
        .adjust_stock(AdjustStockRequest::default())
        .await
        .expect_err("it never succeeds");
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(mock.memory().adjust_request_ids.len(), 4);
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let mock = Mock::start().await;
    mock.memory().adjust_hangs = true;
    let client = connect(&mock, Duration::from_millis(50)).await;
    let error = client
        .adjust_stock(AdjustStockRequest::default())
        .await
        .expect_err("no answer comes");
    assert!(matches!(error, Error::Deadline(_)), "{error:?}");
    assert_eq!(mock.memory().adjust_request_ids.len(), 1);
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = Tillside::connect(ClientConfig::new(format!("http://{address}")))
        .await
        .expect_err("nobody listens");
    assert_eq!(error.code(), Code::Unavailable);
    let error = Tillside::connect(ClientConfig::new("nowhere"))
        .await
        .expect_err("no address");
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_broken_stream_goes_on_and_nothing_is_taken_twice() {
    const MESSAGES: u32 = 50;
    let mock = Mock::start().await;
    {
        let mut memory = mock.memory();
        memory.break_after_messages = Some(10);
        memory.breaks_left = 3;
    }
    let client = connect(&mock, Duration::from_secs(10)).await;
    let acked = Arc::new(Mutex::new(Vec::new()));
    let tags = acked.clone();
    let mut stream = client.ingest(&IngestOptions::default(), move |tag: u32, answer| {
        tags.lock()
            .expect("one thread")
            .push((tag, answer.accepted + answer.duplicates));
    });
    for tag in 0..MESSAGES {
        let events: Vec<Event> = (0..3)
            .map(|index| Event {
                event_id: format!("{tag}-{index}"),
                source: "test".to_owned(),
                payload: Some(Payload::StockCount(StockCounted::default())),
                ..Event::default()
            })
            .collect();
        stream
            .send(&events, tag)
            .await
            .expect("the stream is taken up anew");
    }
    stream.finish().await.expect("all is acknowledged");
    let memory = mock.memory();
    assert_eq!(
        memory.events.len(),
        3 * MESSAGES as usize,
        "every event once"
    );
    assert_eq!(memory.streams, 4, "three breaks");
    let expect: Vec<_> = (0..MESSAGES).map(|tag| (tag, 3)).collect();
    assert_eq!(
        *acked.lock().expect("one thread"),
        expect,
        "every ack once, in order"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_without_progress_is_given_up() {
    let mock = Mock::start().await;
    {
        let mut memory = mock.memory();
        memory.break_after_messages = Some(1);
        memory.breaks_left = usize::MAX;
    }
    let client = connect(&mock, Duration::from_secs(10)).await;
    let mut stream = client.ingest(&IngestOptions::default(), |(), _| {});
    let event = Event::default();
    let sent = stream.send(std::slice::from_ref(&event), ()).await;
    let error = match sent {
        Ok(_) => stream.finish().await.expect_err("it never succeeds"),
        Err(error) => error,
    };
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(mock.memory().streams, 4, "as many streams as attempts");
}
