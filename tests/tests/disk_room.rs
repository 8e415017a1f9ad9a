//! A disk that fills up: changes are refused in time, reads go on, nothing is lost, and with room it goes on.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tillside_proto::v1;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::ingest_service_client::IngestServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_proto::v1::operations_service_client::OperationsServiceClient;
use tillside_proto::v1::simulation_service_client::SimulationServiceClient;
use tillside_tests::shelf::{level, one_more, one_more_event, order, refusal, stock};
use tillside_tests::{Server, tillside};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const START: &str = "2026-11-02T09:00:00Z";
const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

fn full(status: &Status) {
    let expected = (Code::ResourceExhausted, "DISK_FULL".to_owned());
    assert_eq!(refusal(status), expected, "{status:?}");
}

async fn health(channel: &Channel, service: &str) -> Result<i32> {
    let request = HealthCheckRequest {
        service: service.into(),
    };
    Ok(HealthClient::new(channel.clone())
        .check(request)
        .await?
        .get_ref()
        .status)
}

async fn adjust(
    channel: &Channel,
    request: v1::AdjustStockRequest,
) -> Result<v1::StockLevel, Status> {
    InventoryServiceClient::new(channel.clone())
        .adjust_stock(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn ingest(channel: &Channel, events: Vec<v1::Event>) -> Result<Vec<v1::EventAck>, Status> {
    IngestServiceClient::new(channel.clone())
        .ingest_batch(v1::IngestBatchRequest { events })
        .await
        .map(|answer| answer.into_inner().acks)
}

async fn advance(channel: &Channel, seconds_after_start: i64) -> Result<()> {
    let mut now: prost_types::Timestamp = START.parse()?;
    now.seconds += seconds_after_start;
    SimulationServiceClient::new(channel.clone())
        .advance_clock(v1::AdvanceClockRequest { now: Some(now) })
        .await?;
    Ok(())
}

async fn info(channel: &Channel, digest: bool) -> Result<v1::ServerInfo> {
    let request = v1::GetServerInfoRequest {
        include_state_digest: digest,
    };
    Ok(OperationsServiceClient::new(channel.clone())
        .get_server_info(request)
        .await?
        .into_inner())
}

/// A stream that is kept open, a message at a time.
struct Stream {
    messages: mpsc::Sender<v1::IngestEventsRequest>,
    answers: Streaming<v1::IngestEventsResponse>,
}

impl Stream {
    async fn open(channel: &Channel) -> Result<Stream> {
        let (messages, receiver) = mpsc::channel(1);
        let answers = IngestServiceClient::new(channel.clone())
            .ingest_events(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        Ok(Stream { messages, answers })
    }

    /// Sends one event; answers its acknowledgement.
    async fn send(&mut self, position: u64, event: v1::Event) -> Result<v1::EventAck> {
        let message = v1::IngestEventsRequest {
            position,
            events: vec![event],
            omit_accepted: false,
        };
        self.messages.send(message).await?;
        let answer = self
            .answers
            .message()
            .await?
            .context("the stream is open")?;
        assert_eq!(answer.durable_position, position);
        answer.acks.into_iter().next().context("an ack")
    }
}

#[tokio::test]
async fn below_the_reserve_changes_are_refused_and_with_room_they_are_taken() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data_dir = directory.path().join("data");
    let clock = ["--simulated-clock", START];
    let server = Server::start(&data_dir, &clock)?;
    let channel = server.channel().await?;
    stock(&channel, 2, 10).await?;
    let first = adjust(&channel, one_more("a", 0)).await?;
    ingest(&channel, vec![one_more_event("e", 0)]).await?;
    let held = FulfillmentServiceClient::new(channel.clone())
        .reserve_fulfillment(order("o", [0, 1], 60))
        .await?
        .into_inner();
    assert!(server.stop().await?.success());

    // More than any disk has.
    let reserve = (1u64 << 60).to_string();
    let server = Server::start(
        &data_dir,
        &[&clock[..], &["--disk-reserve-bytes", &reserve]].concat(),
    )?;
    let channel = server.channel().await?;
    assert_eq!(health(&channel, "").await?, SERVING);
    assert_eq!(
        health(&channel, "tillside.v1.InventoryService").await?,
        SERVING
    );
    assert_eq!(health(&channel, "tillside.v1.Writes").await?, NOT_SERVING);
    assert!(server.page("/readyz").await?.ends_with("ready\n"));

    full(&adjust(&channel, one_more("b", 0)).await.expect_err("full"));
    let again = adjust(&channel, one_more("a", 0)).await?;
    assert_eq!(
        again.on_hand_thousandths, first.on_hand_thousandths,
        "a retry is no change"
    );
    full(
        &ingest(&channel, vec![one_more_event("f", 0)])
            .await
            .expect_err("full"),
    );
    let known = ingest(&channel, vec![one_more_event("e", 0)]).await?;
    assert_eq!(
        known[0].status(),
        v1::AckStatus::Duplicate,
        "nor is a duplicate"
    );
    let mut stream = Stream::open(&channel).await?;
    for position in 1..=3 {
        let ack = stream.send(position, one_more_event("g", 0)).await?;
        assert_eq!(ack.status(), v1::AckStatus::Rejected);
        assert_eq!(ack.problem.context("why")?.reason, "DISK_FULL");
    }
    let ack = stream.send(4, one_more_event("e", 0)).await?;
    assert_eq!(ack.status(), v1::AckStatus::Duplicate, "the stream stays");

    // A hold runs out: every reader sees it, its stock is free once that can be written.
    advance(&channel, 120).await?;
    let read = v1::GetReservationRequest {
        reservation_id: held.reservation_id.clone(),
    };
    let seen = FulfillmentServiceClient::new(channel.clone())
        .get_reservation(read)
        .await?
        .into_inner();
    assert_eq!(seen.legs[0].state(), v1::ReservationState::Expired);
    assert_eq!(level(&channel, 0).await?.reserved_thousandths, 1000);

    assert_eq!(server.metric("tillside_disk_full").await?, 1.0);
    assert_eq!(
        server.metric("tillside_disk_reserve_bytes").await?,
        (1u64 << 60) as f64
    );
    let storage = info(&channel, false).await?.storage.context("it is told")?;
    assert!(storage.disk_full && storage.disk_available_bytes < storage.disk_total_bytes);
    assert!(storage.database_bytes > 0 && storage.tables.iter().any(|t| t.table == "log"));
    let (code, told) = tillside(&server, &["info"])?;
    assert_eq!(
        (code, &told["storage"]["disk_full"]),
        (0, &true.into()),
        "{told}"
    );
    assert!(server.stop().await?.success());

    let server = Server::start(
        &data_dir,
        &[&clock[..], &["--disk-reserve-bytes", "1000000"]].concat(),
    )?;
    let channel = server.channel().await?;
    assert_eq!(health(&channel, "tillside.v1.Writes").await?, SERVING);
    assert_eq!(server.metric("tillside_disk_full").await?, 0.0);
    advance(&channel, 120).await?;
    assert_eq!(level(&channel, 0).await?.reserved_thousandths, 0);
    adjust(&channel, one_more("b", 0)).await?;
    ingest(
        &channel,
        vec![one_more_event("f", 0), one_more_event("g", 0)],
    )
    .await?;
    assert_eq!(
        level(&channel, 0).await?.on_hand_thousandths,
        15_000,
        "each once"
    );
    assert!(server.stop().await?.success());
    Ok(())
}

/// A small file system in a mount namespace of its own, which lives as long as this.
struct SmallDisk {
    holder: Child,
    mounted_at: String,
}

impl SmallDisk {
    /// `None`, said aloud, where this user may not mount anything.
    fn mount(at: &Path, size: &str) -> Result<Option<SmallDisk>> {
        let mounted_at = at.display().to_string();
        let script = "mount -t tmpfs -o size=$1 tmpfs \"$0\" && echo mounted && exec cat";
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount"])
            .args(["sh", "-c", script, &mounted_at, size])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut holder = match holder {
            Ok(holder) => holder,
            Err(error) => {
                eprintln!("SKIPPED: a small file system cannot be mounted here: unshare: {error}");
                return Ok(None);
            }
        };
        let mut line = String::new();
        let said = holder.stdout.as_mut().context("it is piped")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut line)?;
        if line != "mounted\n" {
            holder.wait()?;
            eprintln!("SKIPPED: a small file system cannot be mounted here; see above");
            return Ok(None);
        }
        Ok(Some(SmallDisk { holder, mounted_at }))
    }

    /// What runs a program where the file system is.
    fn inside(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        [
            "nsenter",
            "--target",
            &target,
            "--user",
            "--mount",
            "--preserve-credentials",
        ]
        .map(str::to_owned)
        .into()
    }

    fn run(&self, script: &str) -> Result<()> {
        let inside = self.inside();
        let status = Command::new(&inside[0])
            .args(&inside[1..])
            .args(["sh", "-c", script, &self.mounted_at])
            .status()?;
        ensure!(status.success(), "{script}");
        Ok(())
    }

    /// Fills it up to the last byte but `left` mebibytes.
    fn fill(&self, left: u64) -> Result<()> {
        let script = format!(
            "free=$(df --output=avail -k \"$0\" | tail -1); \
             fallocate -l $(( (free - {left} * 1024) * 1024 )) \"$0\"/other"
        );
        self.run(&script)
    }

    fn start(&self, extra: &[&str]) -> Result<Server> {
        let inside = self.inside();
        let under: Vec<&str> = inside.iter().map(String::as_str).collect();
        let data_dir = Path::new(&self.mounted_at).join("data");
        Server::launch_under(&under, &data_dir, extra)?.serve()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The file system goes with its last process.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[tokio::test]
async fn on_a_small_disk_the_reserve_holds_and_a_really_full_one_loses_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let Some(disk) = SmallDisk::mount(directory.path(), "192m")? else {
        return Ok(());
    };
    let server = disk.start(&["--disk-reserve-bytes", &(32u64 << 20).to_string()])?;
    let channel = server.channel().await?;
    stock(&channel, 1, 0).await?;
    let watched = HealthCheckRequest {
        service: "tillside.v1.Writes".into(),
    };
    let mut watch = HealthClient::new(channel.clone())
        .watch(watched)
        .await?
        .into_inner();
    assert_eq!(watch.message().await?.context("a status")?.status, SERVING);
    let mut stream = Stream::open(&channel).await?;
    let ack = stream.send(1, one_more_event("1", 0)).await?;
    assert_eq!(ack.status(), v1::AckStatus::Accepted);

    // Somebody else fills the disk.
    disk.fill(16)?;
    assert_eq!(
        watch.message().await?.context("a status")?.status,
        NOT_SERVING
    );
    full(&adjust(&channel, one_more("2", 0)).await.expect_err("full"));
    let ack = stream.send(2, one_more_event("3", 0)).await?;
    assert_eq!(ack.problem.context("why")?.reason, "DISK_FULL");
    assert_eq!(
        level(&channel, 0).await?.on_hand_thousandths,
        1000,
        "reads go on"
    );

    disk.run("rm \"$0\"/other")?;
    assert_eq!(watch.message().await?.context("a status")?.status, SERVING);
    adjust(&channel, one_more("2", 0)).await?;
    let ack = stream.send(3, one_more_event("3", 0)).await?;
    assert_eq!(ack.status(), v1::AckStatus::Accepted, "the same stream");
    drop((stream, watch));
    assert!(server.stop().await?.success());

    // Without a reserve the disk is met for real: the server stops writing, and nothing it answered is lost.
    let server = disk.start(&["--disk-reserve-bytes", "0", "--drain-deadline-ms", "500"])?;
    let channel = server.channel().await?;
    disk.fill(0)?;
    let mut answered = 3;
    let refused = loop {
        // A thousand at a time: what the logs have allocated already is soon used up.
        let events = (0..1000).map(|n| one_more_event(format!("{answered}.{n}"), 0));
        match ingest(&channel, events.collect()).await {
            Ok(acks) => answered += acks.len() as i64,
            Err(status) => break status,
        }
    };
    println!("{answered} events were answered before the disk was full");
    assert_eq!(
        refusal(&refused),
        (Code::Unavailable, "STORAGE_FAILED".to_owned())
    );
    assert_eq!(server.wait().await?.code(), Some(1));

    disk.run("rm \"$0\"/other")?;
    let server = disk.start(&["--disk-reserve-bytes", "1000000"])?;
    let channel = server.channel().await?;
    // The last thousand may be there in part, in their order; sent again, each of them counts once.
    let events = (0..1000).map(|n| one_more_event(format!("{answered}.{n}"), 0));
    ingest(&channel, events.collect()).await?;
    let on_hand = level(&channel, 0).await?.on_hand_thousandths;
    assert_eq!(on_hand, 1000 * (answered + 1000));
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn old_records_are_folded_while_serving_and_a_restart_goes_on() -> Result<()> {
    const DAY: i64 = 86_400;
    let directory = tempfile::tempdir()?;
    let data_dir = directory.path().join("data");
    let options = ["--simulated-clock", START, "--log-retention", "48h"];
    let server = Server::start(&data_dir, &options)?;
    let channel = server.channel().await?;
    stock(&channel, 3, 10).await?;
    for message in 0..6 {
        let events = (0..1000).map(|n| one_more_event(format!("{message}.{n}"), (n % 3) as usize));
        ingest(&channel, events.collect()).await?;
    }
    let whole = info(&channel, false).await?.storage.context("it is told")?;
    assert_eq!(whole.log_first_sequence, 1);
    advance(&channel, 9 * DAY).await?;
    adjust(&channel, one_more("later", 0)).await?;
    let digest = info(&channel, true).await?.state_digest;
    // Another thread folds, within a second or two.
    let mut first = 1.0;
    for _ in 0..600 {
        first = server.metric("tillside_log_first_sequence").await?;
        if first > 1.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(first > 1000.0, "the log begins at {first}");
    assert!(server.metric("tillside_folded_records_total").await? > 1000.0);
    assert_eq!(info(&channel, true).await?.state_digest, digest);
    let expected = level(&channel, 0).await?.on_hand_thousandths;
    server.kill()?;

    let server = Server::start(&data_dir, &options)?;
    let channel = server.channel().await?;
    let folded = info(&channel, true).await?;
    assert_eq!(folded.state_digest, digest);
    assert_eq!(
        folded.storage.context("it is told")?.log_first_sequence as f64,
        first
    );
    assert_eq!(level(&channel, 0).await?.on_hand_thousandths, expected);
    let again = adjust(&channel, one_more("later", 0)).await?;
    assert_eq!(again.on_hand_thousandths, expected, "the first answer");
    let known = ingest(&channel, vec![one_more_event("0.0", 0)]).await?;
    assert_eq!(
        known[0].status(),
        v1::AckStatus::Duplicate,
        "a fact is kept for good"
    );
    assert!(server.stop().await?.success());
    Ok(())
}
