//! What was noted is read again: after a restart, after a crash in the middle of a record, and only as much as is kept.

use std::fs;

use tillside_engine::fulfillment_ladder::Step;
use tillside_engine::ids::{SkuId, StoreId};
use tillside_engine::location_terms::Method;
use tillside_engine::routing_policy::{Destination, Features};
use tillside_engine::routing_replay::{PastLeg, PastRouting, PastWay};
use tillside_engine::units::Time;

use super::record;
use super::segments::{Segments, read};

const HOUR: i64 = 3_600_000;

fn routing(time: i64) -> PastRouting {
    let leg = |place, method| PastLeg {
        place: StoreId(place),
        method,
        features: Features {
            distance_mm: u64::MAX,
            lines: 2,
            thousandths: -1,
            load: (3, u32::MAX),
            wait_ms: i64::MAX,
            value_minor: -5,
        },
        forced: place == 9,
    };
    PastRouting {
        time: Time(time),
        skus: [SkuId(0), SkuId(u32::MAX)].into_iter().collect(),
        destination: Some(Destination {
            country: "IT".into(),
            postal_code: "".into(),
        }),
        ways: vec![
            PastWay {
                step: Step::Split,
                legs: [leg(0, Method::Pickup), leg(9, Method::DropShip)]
                    .into_iter()
                    .collect(),
                parts_forced: 1,
            },
            PastWay {
                step: Step::PickupNow,
                legs: [leg(1, Method::ShipToHome)].into_iter().collect(),
                parts_forced: 0,
            },
        ],
        complete: true,
        ruled: false,
        exhausted: true,
    }
}

fn times(directory: &std::path::Path, since: i64) -> Vec<i64> {
    let mut times = Vec::new();
    read(directory, Time(since), |routing| times.push(routing.time.0)).expect("files of the test");
    times
}

#[test]
fn a_routing_reads_back() {
    let routing = routing(-1);
    assert_eq!(record::decode(&record::encode(&routing)), Some(routing));
    assert_eq!(record::decode(&[0xff]), None);
}

#[test]
fn routings_outlive_a_restart_and_are_read_since_a_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("routings");
    assert!(times(&path, 0).is_empty(), "nothing was written yet");
    for start in [1_000, 2 * HOUR, 2 * HOUR] {
        let mut segments = Segments::new(path.clone());
        for n in 0..3 {
            assert!(segments.write(&routing(start + n)));
        }
        segments.flush();
    }
    assert_eq!(times(&path, 0).len(), 9);
    assert_eq!(times(&path, 2 * HOUR + 1).len(), 4);
}

#[test]
fn a_record_that_was_cut_or_damaged_ends_its_file_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    // Both records of a file are of the same length.
    for start in [10, 2 * HOUR] {
        let mut segments = Segments::new(directory.path().to_owned());
        segments.write(&routing(start));
        segments.write(&routing(start + 1));
        segments.flush();
    }
    let mut files: Vec<_> = (fs::read_dir(directory.path()).expect("the directory"))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let whole = fs::read(&files[0]).expect("a file");
    for length in 0..whole.len() {
        fs::write(&files[0], &whole[..length]).expect("a file");
        let left = times(directory.path(), 0);
        assert!(left.ends_with(&[2 * HOUR, 2 * HOUR + 1]), "{left:?}");
        assert_eq!(left.len(), 2 + usize::from(length >= whole.len() / 2));
    }
    let mut damaged = whole.clone();
    damaged[12] ^= 1;
    fs::write(&files[0], &damaged).expect("a file");
    assert_eq!(times(directory.path(), 0).len(), 2);
}

#[test]
fn old_routings_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut segments = Segments::new(directory.path().to_owned());
    for hour in 0..200 {
        assert!(segments.write(&routing(hour * HOUR)));
    }
    segments.flush();
    let kept = times(directory.path(), 0);
    assert_eq!(kept.last(), Some(&(199 * HOUR)));
    assert!((48..=51).contains(&kept.len()), "{} are kept", kept.len());
}
