//! A data directory that a server of format 1 left behind, in the hands of today's server: every question is answered as it
//! was then, and a retry from then gets the first answer. See `server/store/tests/format1/README.md`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use prost_reflect::Value;
use tillside_proto::v1;
use tillside_proto::v1::operations_service_client::OperationsServiceClient;
use tillside_tests::Server;
use tillside_tests::raw::{self, Recorded, says_all_of};
use tonic::Code;
use tonic::transport::Channel;

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../server/store/tests/format1")
        .join(name)
}

fn recorded(name: &str) -> Result<Vec<Recorded>> {
    let mut text = String::new();
    GzDecoder::new(File::open(kept(name))?).read_to_string(&mut text)?;
    text.lines().map(Recorded::parse).collect()
}

async fn info(channel: &Channel) -> Result<v1::ServerInfo> {
    let request = v1::GetServerInfoRequest {
        include_state_digest: true,
    };
    Ok(OperationsServiceClient::new(channel.clone())
        .get_server_info(request)
        .await?
        .into_inner())
}

/// Asks everything again: what was told then is told now, and perhaps more.
async fn check(channel: &Channel, calls: &[Recorded]) -> Result<()> {
    for call in calls {
        let answer = raw::call(channel, &call.method, call.request.clone())
            .await
            .with_context(|| call.method.clone())?;
        says_all_of(&call.method, &call.answer, &answer, begins_later)
            .with_context(|| call.method.clone())?;
    }
    Ok(())
}

/// A pickup window began when the store had opened; now it begins when the order is ready, at the time of asking at the
/// earliest.
fn begins_later(path: &str, then: &Value, now: &Value) -> bool {
    path.starts_with(".options[")
        && path.ends_with(".pickup_window.start_time.seconds")
        && then.as_i64() < now.as_i64()
}

#[tokio::test]
async fn a_directory_of_format_1_answers_as_it_did() -> Result<()> {
    let (questions, retries) = (recorded("questions.txt.gz")?, recorded("retries.txt.gz")?);
    assert!(questions.len() > 30 && retries.len() > 10);
    let expected = std::fs::read_to_string(kept("expected.txt"))?;
    for variant in ["killed.tar.gz", "stopped.tar.gz"] {
        let folder = tempfile::tempdir()?;
        tar::Archive::new(GzDecoder::new(File::open(kept(variant))?)).unpack(folder.path())?;
        let data = folder.path().join("data");
        let flags = ["--simulated-clock", "2026-11-02T09:00:00Z"];
        let mut server = Server::start(&data, &flags)?;
        let mut digest = None;
        for start in ["migrated", "started again"] {
            let channel = server.channel().await?;
            let told = info(&channel).await?;
            let counts = format!("counts = {:?}\n", told.counts.context("counts")?);
            assert!(expected.contains(&counts), "{variant}: {counts}");
            assert_eq!(told.format_version, 2);
            check(&channel, &questions)
                .await
                .with_context(|| format!("{variant}, {start}, a question"))?;
            check(&channel, &retries)
                .await
                .with_context(|| format!("{variant}, {start}, a retry"))?;
            let after = info(&channel).await?.state_digest;
            assert_eq!(
                after, told.state_digest,
                "{variant}: nothing was done again"
            );
            assert_eq!(digest.get_or_insert(after.clone()), &after, "{variant}");
            server.kill()?;
            server = Server::start(&data, &flags)?;
        }
        let channel = server.channel().await?;
        let adjust = retries
            .iter()
            .find(|call| call.method == "InventoryService/AdjustStock")
            .context("an adjustment")?;
        let mut other = adjust.request.clone();
        // Another reason: the fields of a message may come again, and the last counts.
        other.extend([0x28, v1::AdjustmentReason::Transfer as u8]);
        let reused = raw::call(&channel, &adjust.method, other).await;
        assert_eq!(
            reused.map_err(|status| status.code()),
            Err(Code::InvalidArgument)
        );
        assert!(server.stop().await?.success());
    }
    Ok(())
}
