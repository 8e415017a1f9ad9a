//! Backups of a real server through the API and the command lines: made while it is written to, restored elsewhere with
//! the same answers, and every wrong use refused with what to do.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use anyhow::{Context, Result, ensure};
use tillside_proto::v1;
use tillside_proto::v1::catalog_service_client::CatalogServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_proto::v1::operations_service_client::OperationsServiceClient;
use tillside_tests::{LOOPBACK, Server, tillside, tillside_server};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

struct Places {
    folder: tempfile::TempDir,
}

impl Places {
    fn new() -> Result<Self> {
        Ok(Places {
            folder: tempfile::tempdir()?,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn start(&self, data: &str) -> Result<Server> {
        self.start_with(data, &[])
    }

    fn start_with(&self, data: &str, options: &[&str]) -> Result<Server> {
        let (backups, keys) = (self.text("backups"), self.text("keys"));
        let places = ["--backup-dir", &backups, "--keys-dir", &keys];
        Server::start(&self.at(data), &[&places, options].concat())
    }
}

async fn open_shop(channel: &Channel) -> Result<()> {
    let mut catalog = CatalogServiceClient::new(channel.clone());
    catalog
        .put_stores(v1::PutStoresRequest {
            request_id: "stores".into(),
            stores: vec![v1::Store {
                store_id: "S1".into(),
                location: Some(v1::LatLng {
                    latitude: 43.7765,
                    longitude: 11.2480,
                }),
                ..Default::default()
            }],
        })
        .await?;
    catalog
        .put_products(v1::PutProductsRequest {
            request_id: "products".into(),
            products: vec![v1::Product {
                sku: "0042".into(),
                display_name: "Caffe".into(),
                ..Default::default()
            }],
        })
        .await?;
    Ok(())
}

/// One piece more: with the n-th call there are n.
async fn deliver(channel: &Channel, n: i64) -> Result<()> {
    let request = v1::AdjustStockRequest {
        request_id: format!("delivery {n}"),
        sku: "0042".into(),
        store_id: "S1".into(),
        delta: Some(v1::Quantity {
            thousandths: 1000,
            unit: v1::Unit::Ea.into(),
        }),
        ..Default::default()
    };
    InventoryServiceClient::new(channel.clone())
        .adjust_stock(request)
        .await?;
    Ok(())
}

async fn on_hand(channel: &Channel) -> Result<i64> {
    let request = v1::GetAvailabilityRequest {
        sku: "0042".into(),
        store_id: "S1".into(),
    };
    let level = InventoryServiceClient::new(channel.clone())
        .get_availability(request)
        .await?
        .into_inner();
    Ok(level.on_hand_thousandths / 1000)
}

async fn info(channel: &Channel) -> Result<v1::ServerInfo> {
    let request = v1::GetServerInfoRequest {
        include_state_digest: true,
    };
    let info = OperationsServiceClient::new(channel.clone())
        .get_server_info(request)
        .await?;
    Ok(info.into_inner())
}

async fn create(channel: &Channel, request_id: &str) -> Result<v1::Operation, Status> {
    let request = v1::CreateBackupRequest {
        request_id: request_id.into(),
    };
    let begun = OperationsServiceClient::new(channel.clone())
        .create_backup(request)
        .await?;
    Ok(begun.into_inner())
}

async fn wait(channel: &Channel, mut operation: v1::Operation) -> Result<v1::Operation> {
    while operation.state() == v1::OperationState::Running {
        let request = v1::GetOperationRequest {
            operation_id: operation.operation_id,
        };
        operation = OperationsServiceClient::new(channel.clone())
            .get_operation(request)
            .await?
            .into_inner();
    }
    Ok(operation)
}

fn metrics(server: &Server) -> Result<String> {
    let mut stream = std::net::TcpStream::connect(&server.http)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn refused(status: &Status, code: Code, reason: &str) -> Result<()> {
    let info = status.get_details_error_info().context("an ErrorInfo")?;
    ensure!(status.code() == code && info.reason == reason, "{status:?}");
    Ok(())
}

fn restore(places: &Places, id: u64, to: &str) -> Result<serde_json::Value> {
    let (code, out, err) = tillside_server(&[
        "restore",
        "--backup-dir",
        &places.text("backups"),
        "--backup-id",
        &id.to_string(),
        "--data-dir",
        &places.text(to),
        "--keys-dir",
        &places.text("keys"),
        "--json",
    ])?;
    ensure!(code == 0, "restore: {out}{err}");
    Ok(serde_json::from_str(&out)?)
}

fn verify(flag: &str, place: &Path) -> Result<serde_json::Value> {
    let (code, out, err) =
        tillside_server(&["verify", flag, &place.display().to_string(), "--json"])?;
    ensure!(code == 0, "verify: {out}{err}");
    Ok(serde_json::from_str(&out)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_under_load_is_restored_elsewhere_with_the_same_answers() -> Result<()> {
    let places = Places::new()?;
    let server = places.start("data")?;
    let channel = server.channel().await?;
    open_shop(&channel).await?;
    deliver(&channel, 1).await?;
    let (stop, counted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicI64::new(1)),
    );
    let writing = tokio::spawn({
        let (channel, stop, counted) = (channel.clone(), Arc::clone(&stop), Arc::clone(&counted));
        async move {
            while !stop.load(Ordering::Acquire) {
                let n = counted.load(Ordering::Acquire) + 1;
                deliver(&channel, n).await?;
                counted.store(n, Ordering::Release);
            }
            anyhow::Ok(())
        }
    });
    let before = counted.load(Ordering::Acquire);
    let (code, printed) = tokio::task::block_in_place(|| tillside(&server, &["backup"]))?;
    let after = counted.load(Ordering::Acquire);
    ensure!(
        code == 0 && printed["state"] == "OPERATION_STATE_SUCCEEDED",
        "{printed}"
    );
    ensure!(after > before, "the writer went on meanwhile");
    stop.store(true, Ordering::Release);
    writing.await??;

    // And one of a quiesced server: it must be that server.
    let quiet = wait(&channel, create(&channel, "quiet").await?).await?;
    let backup = quiet.backup.context("a backup")?;
    let (digest, last) = (info(&channel).await?, counted.load(Ordering::Acquire));
    ensure!(backup.sequence == digest.durable_sequence, "{backup:?}");
    let (_, list) = tokio::task::block_in_place(|| tillside(&server, &["backups"]))?;
    ensure!(
        list["backups"].as_array().map(Vec::len) == Some(2),
        "{list}"
    );
    let metrics = metrics(&server)?;
    for metric in [
        "tillside_backup_last_success_seconds ",
        "tillside_backups_total{outcome=\"succeeded\"} 2",
    ] {
        ensure!(metrics.contains(metric), "{metric}: {metrics}");
    }
    drop(channel);
    ensure!(server.stop().await?.success(), "a clean stop");

    let under_load = restore(&places, 1, "under load")?;
    let verified = verify("--data-dir", &places.at("under load"))?;
    ensure!(verified["report"]["replayed"] == true, "{verified}");
    ensure!(under_load["sequence"].as_u64() >= printed["backup"]["sequence"].as_u64());
    let copy = places.start("under load")?;
    let found = on_hand(&copy.channel().await?).await?;
    // A change was durable a moment before it was counted, and one more may have been on its way.
    ensure!(
        (before..=after + 1).contains(&found),
        "{before} {found} {after}"
    );
    ensure!(copy.stop().await?.success(), "a clean stop");

    restore(&places, 2, "quiet")?;
    verify("--backup-dir", &places.at("backups"))?;
    let copy = places.start("quiet")?;
    let channel = copy.channel().await?;
    let restored = info(&channel).await?;
    ensure!(
        restored.state_digest == digest.state_digest,
        "another state"
    );
    ensure!(restored.durable_sequence == digest.durable_sequence);
    ensure!(on_hand(&channel).await? == last);
    // It is a server like any other: it takes changes and makes backups.
    deliver(&channel, last + 1).await?;
    let next = wait(&channel, create(&channel, "next").await?).await?;
    ensure!(next.backup.is_some_and(|b| b.backup_id == 3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backup_runs_at_a_time_and_a_stop_waits_for_it() -> Result<()> {
    let places = Places::new()?;
    let server = places.start("data")?;
    let channel = server.channel().await?;
    open_shop(&channel).await?;
    let first = create(&channel, "first").await?;
    let again = create(&channel, "first").await?;
    ensure!(again.operation_id == first.operation_id, "{again:?}");
    wait(&channel, first).await?;
    let mut met = false;
    for attempt in 0..50 {
        let name = format!("attempt {attempt}");
        let running = create(&channel, &name).await;
        let other = create(&channel, &format!("other {attempt}")).await;
        if let (Ok(running), Err(status)) = (&running, &other) {
            refused(status, Code::FailedPrecondition, "BACKUP_RUNNING")?;
            let info = status.get_details_error_info().context("an ErrorInfo")?;
            ensure!(info.metadata.get("operation_id") == Some(&running.operation_id));
            met = true;
            wait(&channel, running.clone()).await?;
            break;
        }
        for operation in [running, other].into_iter().flatten() {
            wait(&channel, operation).await?;
        }
    }
    ensure!(met, "two backups were never asked for at a time");
    let listed = OperationsServiceClient::new(channel.clone())
        .list_backups(v1::ListBackupsRequest {})
        .await?
        .into_inner();
    let before = listed.backups.last().map_or(0, |b| b.backup_id);
    create(&channel, "at the end").await?;
    ensure!(server.stop().await?.success(), "a clean stop");
    let verified = verify("--backup-dir", &places.at("backups"))?;
    let latest = verified["report"]["backup"]["backup_id"].as_u64();
    ensure!(latest == Some(u64::from(before) + 1), "{verified}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_gives_a_backup_up_is_a_clean_stop() -> Result<()> {
    let places = Places::new()?;
    for attempt in 0..10 {
        let server = places.start_with("data", &["--drain-deadline-ms", "0"])?;
        let channel = server.channel().await?;
        if attempt == 0 {
            open_shop(&channel).await?;
        }
        create(&channel, &format!("given up {attempt}")).await?;
        ensure!(server.stop().await?.success(), "a clean stop");
        verify("--data-dir", &places.at("data"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_use_is_refused_with_what_to_do() -> Result<()> {
    let places = Places::new()?;
    let (data, backups) = (places.text("data"), places.text("backups"));
    let keys = places.text("keys");
    let server = Server::start(&places.at("data"), &["--keys-dir", &keys])?;
    let channel = server.channel().await?;
    open_shop(&channel).await?;
    let status = create(&channel, "x").await.expect_err("no directory");
    refused(&status, Code::FailedPrecondition, "BACKUP_NOT_CONFIGURED")?;
    ensure!(status.message().contains("backup_dir"), "{status:?}");
    let status = create(&channel, "").await.expect_err("no id");
    refused(&status, Code::InvalidArgument, "INVALID_FIELD")?;
    let status = OperationsServiceClient::new(channel.clone())
        .get_operation(v1::GetOperationRequest {
            operation_id: "backup-1".into(),
        })
        .await
        .expect_err("nothing by that name");
    refused(&status, Code::NotFound, "UNKNOWN_OPERATION")?;

    let says = |args: &[&str], code: i32, words: &[&str]| -> Result<()> {
        let (found, out, err) = tillside_server(args)?;
        ensure!(found == code, "{args:?} ended with {found}: {out}{err}");
        for word in words {
            ensure!(
                err.contains(word) || out.contains(word),
                "{args:?}: {out}{err}"
            );
        }
        Ok(())
    };
    // The server has it open.
    let backup = [
        "backup",
        "--data-dir",
        &data,
        "--keys-dir",
        &keys,
        "--backup-dir",
        &backups,
    ];
    says(&backup, 2, &["in use", "tillside backup", "CreateBackup"])?;
    says(&["verify", "--data-dir", &data], 2, &["in use"])?;
    ensure!(server.stop().await?.success(), "a clean stop");
    says(&["verify", "--data-dir", &data], 0, &["is sound"])?;
    says(
        &backup,
        0,
        &["backup 1 is complete", "The keys are not in it"],
    )?;
    says(
        &["verify", "--data-dir", &backups],
        2,
        &["no Tillside data directory"],
    )?;
    says(
        &["verify", "--backup-dir", &data],
        2,
        &["not a backup directory"],
    )?;
    says(&["verify", "--data-dir", &places.text("none")], 2, &[])?;
    ensure!(!places.at("none").exists(), "nothing is made");
    let restore = |to: &str, keys: &str, id: &str| {
        [
            "restore",
            "--backup-dir",
            &backups,
            "--data-dir",
            to,
            "--keys-dir",
            keys,
            "--backup-id",
            id,
        ]
        .map(str::to_owned)
    };
    let run = |args: [String; 9], code: i32, words: &[&str]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        says(&args, code, words)
    };
    run(restore(&data, &keys, "1"), 2, &["is not empty"])?;
    run(
        restore(&places.text("new"), &keys, "9"),
        2,
        &["no complete backup 9; it has 1"],
    )?;
    // Another server's keys.
    let other = Server::start(
        &places.at("other"),
        &["--keys-dir", &places.text("other-keys")],
    )?;
    ensure!(other.stop().await?.success(), "a clean stop");
    let new = places.text("new");
    run(
        restore(&new, &places.text("other-keys"), "1"),
        2,
        &["is not the key of backup 1", "--keys-dir"],
    )?;
    ensure!(!places.at("new").exists(), "nothing was restored");
    run(
        restore(&new, &places.text("lost-keys"), "1"),
        0,
        &["put identifier-index.key"],
    )?;
    says(&["verify", "--data-dir", &new], 0, &["is sound"])?;
    // Half a restore is no data directory, for the server either.
    std::fs::rename(
        places.at("new").join("FORMAT"),
        places.at("new").join("FORMAT.restoring"),
    )?;
    std::fs::create_dir(places.at("new-keys"))?;
    std::fs::copy(
        places.at("keys").join("identifier-index.key"),
        places.at("new-keys").join("identifier-index.key"),
    )?;
    let (status, printed) = Server::run_to_end(&places.at("new"), LOOPBACK)?;
    ensure!(
        !status.success() && printed.contains("has not ended"),
        "{printed}"
    );
    run(restore(&new, &keys, "1"), 0, &["unfinished restore"])?;
    says(&["verify", "--data-dir", &new], 0, &["is sound"])?;
    Ok(())
}
