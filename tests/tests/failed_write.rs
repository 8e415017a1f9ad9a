//! A disk that fails under the real server: after the first write that fails nothing more is written or acknowledged, reads
//! go on, the process ends with a failure, and a restart has everything acknowledged, once, and nothing in parts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tillside_proto::v1;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::ingest_service_client::IngestServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_tests::Server;
use tillside_tests::shelf::{level, one_more, one_more_event, order, refusal, stock};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const WRITERS: usize = 8;
const ON_HAND: i64 = 100_000;
/// A file may grow to this: the write-ahead log soon wants more.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// A write past the limit is to fail (EFBIG) instead of ending the process: the signal that comes with it is ignored.
const LIMITED: [&str; 3] = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];

#[derive(Clone, Debug)]
enum Change {
    Adjust(v1::AdjustStockRequest),
    Reserve(v1::ReserveFulfillmentRequest),
}

impl Change {
    /// The `n`-th of a writer: moves of its own product, and now and then an order of two.
    fn of(writer: usize, n: usize) -> Change {
        if n % 4 == 3 {
            Change::Reserve(order(
                &format!("{writer}-{n}"),
                [writer, (writer + 1) % WRITERS],
                3600,
            ))
        } else {
            Change::Adjust(one_more(format!("{writer}-{n}"), writer))
        }
    }

    /// What the server answers, as far as a repeat must get the same.
    async fn send(&self, channel: &Channel) -> Result<String, Status> {
        let channel = channel.clone();
        match self.clone() {
            Change::Adjust(request) => InventoryServiceClient::new(channel)
                .adjust_stock(request)
                .await
                .map(|a| a.get_ref().on_hand_thousandths.to_string()),
            Change::Reserve(request) => FulfillmentServiceClient::new(channel)
                .reserve_fulfillment(request)
                .await
                .map(|a| a.get_ref().reservation_id.clone()),
        }
    }
}

/// Changes until one is refused: what was answered, and the one that nobody answered.
async fn write(writer: usize, channel: Channel) -> (Vec<(Change, String)>, Change, Status) {
    let mut answered = Vec::new();
    for n in 0.. {
        let change = Change::of(writer, n);
        match change.send(&channel).await {
            Ok(answer) => answered.push((change, answer)),
            Err(status) => return (answered, change, status),
        }
    }
    unreachable!("numbers do not end")
}

/// Name, length and time of every file but the database's own notes.
fn files(data_dir: &Path) -> Result<BTreeMap<String, (u64, SystemTime)>> {
    let mut found = BTreeMap::new();
    for folder in [data_dir.to_owned(), data_dir.join("rocksdb")] {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let (name, file) = (entry.path().display().to_string(), entry.metadata()?);
            if file.is_file() && !entry.file_name().to_string_lossy().starts_with("LOG") {
                found.insert(name, (file.len(), file.modified()?));
            }
        }
    }
    Ok(found)
}

const FAILED: (Code, &str) = (Code::Unavailable, "STORAGE_FAILED");

fn failed(status: &Status) {
    let (code, reason) = refusal(status);
    assert_eq!((code, reason.as_str()), FAILED, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_write_nothing_more_is_written_and_a_restart_has_what_was_acknowledged()
-> Result<()> {
    let directory = tempfile::tempdir()?;
    let data_dir = directory.path().join("data");
    let server =
        Server::launch_under(&LIMITED, &data_dir, &["--drain-deadline-ms", "5000"])?.serve()?;
    let channel = server.channel().await?;
    stock(&channel, WRITERS, ON_HAND).await?;
    let mut health = HealthClient::new(channel.clone());
    let whole = HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = health.watch(whole.clone()).await?.into_inner();
    assert_eq!(watch.message().await?.context("a status")?.status, 1);

    let pid = Pid::from_raw(i32::try_from(server.pid())?).context("a process")?;
    let limit = Rlimit {
        current: Some(FILE_BYTES_MAX),
        maximum: None,
    };
    prlimit(Some(pid), Resource::Fsize, limit)?;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(writer, channel.clone())))
        .collect();
    let (mut answered, mut open) = (Vec::new(), Vec::new());
    for writer in writers {
        let (some, last, status) = writer.await?;
        failed(&status);
        answered.extend(some);
        open.push(last);
    }
    println!(
        "{} changes were answered before the disk failed",
        answered.len()
    );
    assert!(!answered.is_empty());

    assert_eq!(watch.message().await?.context("a status")?.status, 2);
    for service in ["", "tillside.v1.InventoryService", "tillside.v1.Writes"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        assert_eq!(
            health.check(request).await?.get_ref().status,
            2,
            "{service}"
        );
    }
    let ready = server.page("/readyz").await?;
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.ends_with("storage failed\n"),
        "{ready}"
    );
    let before = files(&data_dir)?;
    // A new connection too: whoever looks for a server still gets its reads answered.
    let fresh = server.channel().await?;
    for n in 0..20 {
        let refused = InventoryServiceClient::new(fresh.clone())
            .adjust_stock(one_more(format!("late {n}"), 0))
            .await;
        failed(&refused.expect_err("nothing is taken"));
        let events = vec![one_more_event(format!("late {n}"), 0)];
        let refused = IngestServiceClient::new(channel.clone())
            .ingest_batch(v1::IngestBatchRequest { events })
            .await;
        failed(&refused.expect_err("nothing is taken"));
        level(&fresh, n % WRITERS).await.context("reads go on")?;
    }
    assert_eq!(files(&data_dir)?, before, "nothing was written");
    assert!(
        server
            .page("/metrics")
            .await?
            .contains("tillside_log_last_sequence")
    );

    let status = server.wait().await?;
    assert_eq!(status.code(), Some(1), "it ends by itself, as a failure");
    assert_eq!(files(&data_dir)?, before, "nothing was written at the end");

    let server = Server::start(&data_dir, &[])?;
    let channel = server.channel().await?;
    for (change, answer) in &answered {
        let again = change.send(&channel).await?;
        assert_eq!(again, *answer, "the first answer to {change:?}");
    }
    // Nobody was told what became of these; they are done now, once.
    for change in &open {
        change.send(&channel).await?;
    }
    let all: Vec<&Change> = answered.iter().map(|(c, _)| c).chain(&open).collect();
    for product in 0..WRITERS {
        let count = |f: &dyn Fn(&Change) -> bool| all.iter().filter(|c| f(c)).count() as i64;
        let sku = tillside_tests::shelf::sku(product);
        let moved = count(&|c| matches!(c, Change::Adjust(a) if a.sku == sku));
        let held = count(
            &|c| matches!(c, Change::Reserve(r) if r.lines.iter().any(|line| line.sku == sku)),
        );
        let level = level(&channel, product).await?;
        assert_eq!(level.on_hand_thousandths, 1000 * (ON_HAND + moved), "{sku}");
        assert_eq!(level.reserved_thousandths, 1000 * held, "{sku}");
    }
    assert!(server.stop().await?.success());
    Ok(())
}
