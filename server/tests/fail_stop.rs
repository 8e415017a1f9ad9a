//! The sequencer's thread over a log whose append or sync fails: nobody is told that anything was done, and nothing is
//! tried again.

use std::sync::Arc;

use tillside_engine::command::{Command, Ingest, IngestPayload};
use tillside_engine::ids::BusinessKey;
use tillside_engine::units::Time;
use tillside_server::clock::Clock;
use tillside_server::sequencer::{self, SequencerOptions, Submission, SubmitError};
use tillside_store::faulty::{Fault, FaultyDisk, FaultyLog};
use tillside_store::load;

fn profile(n: u128) -> Ingest {
    Ingest {
        keys: [BusinessKey(n)].into_iter().collect(),
        occurred: None,
        position: None,
        payload: IngestPayload::Profile(Default::default()),
    }
}

fn one(n: u128) -> Submission {
    Submission::plain(Command::Ingest(Box::new(profile(n))))
}

async fn check(fault: Fault) {
    let disk = FaultyDisk::default();
    let log = FaultyLog::open(&disk, None).expect("an empty disk");
    let state = Arc::new(load(&log).expect("nothing to load").state);
    let clock = Clock::simulated(Time(1_000));
    let options = SequencerOptions::default();
    let (handle, thread) =
        sequencer::start(state, Box::new(log), clock, options).expect("a thread");
    handle.interactive(one(1)).await.expect("a healthy disk");
    disk.inject_after(0, fault);
    let refused = handle.interactive(one(2)).await;
    assert_eq!(refused, Err(SubmitError::Unavailable), "{fault:?}");
    let mut failed = thread.failed.clone();
    let reason = failed
        .wait_for(Option::is_some)
        .await
        .expect("it is told")
        .clone();
    assert!(reason.is_some_and(|r| r.contains("restart the server")));
    // The disk would work again; nobody tries.
    for n in 3..20 {
        let refused = handle.interactive(one(n)).await;
        assert_eq!(refused, Err(SubmitError::Unavailable), "{fault:?}");
        let refused = handle.bulk(vec![profile(n)]).await;
        assert_eq!(refused, Err(SubmitError::Unavailable), "{fault:?}");
    }
    assert_eq!(handle.durable_sequence().0, 1, "{fault:?}");
    thread.stop();
    disk.crash(0, true);
    let log = FaultyLog::open(&disk, None).expect("what was acknowledged is there");
    let kept = load(&log)
        .expect("whole batches")
        .state
        .counters()
        .sequence
        .0;
    let expected = if fault == (Fault::FailSync { kept: true }) {
        2
    } else {
        1
    };
    assert_eq!(kept, expected, "{fault:?}");
}

#[tokio::test]
async fn after_a_failed_append_or_sync_nothing_more_is_answered_or_written() {
    check(Fault::FailAppend).await;
    check(Fault::FailSync { kept: false }).await;
    check(Fault::FailSync { kept: true }).await;
}

/// What waits in the lanes when the thread ends is told, not left waiting.
#[tokio::test]
async fn nobody_is_left_waiting_in_a_lane() {
    let disk = FaultyDisk::default();
    let log = FaultyLog::open(&disk, None).expect("an empty disk");
    let state = Arc::new(load(&log).expect("nothing to load").state);
    disk.inject_after(0, Fault::FailAppend);
    let options = SequencerOptions {
        batch_commands: 1,
        bulk_rows_min: 1,
        bulk_rows_max: 1,
        ..SequencerOptions::default()
    };
    let clock = Clock::simulated(Time(1_000));
    let (handle, thread) =
        sequencer::start(state, Box::new(log), clock, options).expect("a thread");
    // All are in the lanes before any answer is looked at: one is taken, the others are there when the disk fails.
    let tills = futures_util::future::join_all((0..500).map(|n| handle.interactive(one(n))));
    let bulk =
        futures_util::future::join_all((0..20).map(|n| handle.bulk(vec![profile(1_000 + n)])));
    let told = async { tokio::join!(tills, bulk) };
    let (tills, bulk) = tokio::time::timeout(std::time::Duration::from_secs(60), told)
        .await
        .expect("everybody is told");
    assert!(tills.iter().all(|t| *t == Err(SubmitError::Unavailable)));
    assert!(bulk.iter().all(|b| *b == Err(SubmitError::Unavailable)));
    thread.stop();
}
