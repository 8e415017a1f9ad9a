//! `tillside import` as it is run, against a server that remembers what it was sent.

#![allow(missing_docs)]

mod mock;

use flate2::{Compression, write::GzEncoder};
use mock::Mock;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Output,
};
use tempfile::TempDir;
use tillside_client::v1::{self, event::Payload};

const STORES: &str = "\
store_id,lat,lon,name,opening_hours,manager
1,43.77,11.25,Firenze Centro,mon-sat 08:30-20:00; sun 09:00-13:00 15:30-20:00,Rossi
2,145.46,9.19,Milano,,
3,45.46,9.19,Milano,daily,
4,45.46,9.19,\"Milano, Duomo\",,
";

const PRODUCTS: &str = "\
sku,name,category,unit,gtins,price,vat_percent
0042,Yoghurt,Food > Dairy > Yoghurt,EA,8001234567890 80012345,1.29,10
ham,Ham,Food > Deli,kg,,24.90,10
dear,Dear,Food,EA,,\"1,50\",10
odd,Odd,Food,EA,,1.50,10.5
mute,Mute,Food,EA,,1,4
";

const TRANSACTIONS: &str = "\
transaction_id,store_id,time,workstation_id,sequence_number,card,sku,quantity,net_amount
t1,1,2026-03-01T09:30:00,7,11,2990000000017,0042,2,2.58
t1,1,2026-03-01T09:30:00,7,11,2990000000017,ham,zero point two,4.98
t1,1,2026-03-01T09:30:00,7,11,2990000000017,ham,0.200,4.98
t2,1,yesterday,7,12,,0042,1,1.29
t2,1,yesterday,7,12,,ham,1,1.29
t3,1,2026-03-01T10:00:00Z,,,,0042,-1,-1.29
,1,2026-03-01T10:00:00Z,,,,0042,1,1.29
t4,1,2026-03-01T11:00:00+01:00,,,,,0,0
t5,1,2026-03-01T11:00:00+01:00,,,,0042,0,0
t3,1,2026-03-01T10:00:00Z,,,,0042,-1,-1.29
t1,1,2026-03-01T09:30:00,7,11,2990000000017,0042,1,1.29
t6,1,2026-03-01T12:00:00,,,,0042,1
";

struct Run {
    mock: Mock,
    directory: TempDir,
}

impl Run {
    async fn new(files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).expect("a file");
        }
        Self {
            mock: Mock::start().await,
            directory,
        }
    }

    fn rejects_path(&self) -> PathBuf {
        self.directory.path().join("rejects.out")
    }

    /// Runs the import; answers its exit status, its JSON, and file:line:column:reason of every reject.
    async fn import(&self, options: &[&str]) -> (Option<i32>, serde_json::Value, Vec<String>) {
        let output = self.output(options).await;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let summary = serde_json::from_str(&stdout).unwrap_or_else(|_| {
            panic!(
                "stdout {stdout:?}, stderr {:?}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        (output.status.code(), summary, rejects(&self.rejects_path()))
    }

    async fn output(&self, options: &[&str]) -> Output {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_tillside"))
            .args(["--server", &self.mock.url(), "--json", "import"])
            .arg(self.directory.path())
            .arg("--rejects")
            .arg(self.rejects_path())
            .args(options)
            .output()
            .await
            .expect("the command runs")
    }
}

fn rejects(path: &Path) -> Vec<String> {
    let Ok(mut reader) = csv::Reader::from_path(path) else {
        return Vec::new();
    };
    reader
        .records()
        .map(|record| {
            let record = record.expect("a good row");
            record.iter().take(4).collect::<Vec<_>>().join(":")
        })
        .collect()
}

fn counts(summary: &serde_json::Value, file: &str) -> [u64; 4] {
    let files = summary["files"].as_array().expect("a list");
    let file = files
        .iter()
        .find(|entry| entry["file"] == file)
        .expect("the file is in the summary");
    ["rows", "accepted", "unchanged", "rejected"].map(|name| file[name].as_u64().expect("a number"))
}

fn transaction(event: &v1::Event) -> &v1::RetailTransaction {
    match &event.payload {
        Some(Payload::Transaction(transaction)) => transaction,
        other => panic!("not a transaction: {other:?}"),
    }
}

#[tokio::test]
async fn a_bad_row_is_rejected_with_its_place_and_the_rest_is_taken() {
    let run = Run::new(&[
        ("stores.csv", STORES.as_bytes()),
        ("products.csv", PRODUCTS.as_bytes()),
        ("transactions.csv", TRANSACTIONS.as_bytes()),
    ])
    .await;
    let (exit, summary, rejects) = run.import(&[]).await;
    assert_eq!(exit, Some(6));
    assert_eq!(counts(&summary, "stores.csv"), [4, 2, 0, 2]);
    assert_eq!(counts(&summary, "products.csv"), [5, 4, 0, 1]);
    assert_eq!(counts(&summary, "transactions.csv"), [12, 4, 1, 7]);
    assert_eq!(
        rejects,
        [
            "stores.csv:3:lat:OUT_OF_RANGE",
            "stores.csv:4:opening_hours:BAD_OPENING_HOURS",
            "products.csv:4:price:BAD_DECIMAL",
            "transactions.csv:3:quantity:BAD_DECIMAL",
            "transactions.csv:5:time:BAD_TIME",
            "transactions.csv:6:time:BAD_TIME",
            "transactions.csv:8:transaction_id:REQUIRED",
            "transactions.csv:9:sku:REQUIRED",
            "transactions.csv:13::FIELD_COUNT",
            // Found only when the receipt is complete, hence after the row below it.
            "transactions.csv:12:transaction_id:NOT_CONTIGUOUS",
        ]
    );
    let memory = run.mock.memory();
    assert_eq!(memory.stores["1"].opening_hours.len(), 8);
    assert_eq!(memory.stores["4"].display_name, "Milano, Duomo");
    assert_eq!(
        memory.products["0042"].category_path,
        ["Food", "Dairy", "Yoghurt"]
    );
    assert_eq!(memory.products["0042"].gtins, ["8001234567890", "80012345"]);
    assert_eq!(memory.products["odd"].vat_rate_basis_points, 1050);
    let ids: Vec<_> = memory
        .events
        .iter()
        .map(|event| event.event_id.as_str())
        .collect();
    assert_eq!(ids, ["tx:t1", "tx:t3", "tx:t5"]);
    let first = transaction(&memory.events[0]);
    assert_eq!(
        memory.events[0].occurred_time.map(|time| time.seconds),
        Some(1_772_357_400)
    );
    let key = first.key.clone().expect("a key");
    assert_eq!(
        (key.business_day_date.as_str(), key.sequence_number),
        ("2026-03-01", 11)
    );
    assert_eq!(first.customer_identifiers[0].value, "2990000000017");
    let lines: Vec<_> = first
        .lines
        .iter()
        .map(|line| {
            let quantity = line.quantity.map_or(0, |quantity| quantity.thousandths);
            let amount = line.net_amount.clone().unwrap_or_default();
            (quantity, amount.minor_units, amount.currency_code)
        })
        .collect();
    assert_eq!(
        lines,
        [(2000, 258, "EUR".to_owned()), (200, 498, "EUR".to_owned())]
    );
    assert_eq!(
        transaction(&memory.events[1]).lines[0]
            .quantity
            .map(|q| q.thousandths),
        Some(-1000)
    );
}

#[tokio::test]
async fn the_same_import_twice_changes_nothing_and_compressed_files_are_the_same_files() {
    let customers = "card,email,given_name,segments,consent_profiling,consent_marketing\n\
        2990000000017,maria@example.it,Maria,gold;family,true,\n\
        2990000000024,,Luca,,false,true\n";
    let stock = "sku,store_id,on_hand,safety_stock\n0042,1,12,2\nham,1,1.5,\n";
    let offers = "[[offers]]\noffer_id = \"YOG10\"\nreward = { percent_off = \"10\" }\nvalue = { amount = \"1.50\" }\n";
    let transactions: String = {
        let mut text = String::from("transaction_id,store_id,time,sku,net_amount\n");
        for receipt in 0..2000 {
            for line in 0..3 {
                text.push_str(&format!(
                    "r{receipt},1,2026-03-01T09:30:00,0042,{line}.50\n"
                ));
            }
        }
        text
    };
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(transactions.as_bytes())
        .expect("memory does not fail");
    let compressed = gz.finish().expect("memory does not fail");
    let run = Run::new(&[
        ("products.csv", b"sku\n0042\nham\n"),
        ("customers.csv", customers.as_bytes()),
        ("stock.csv", stock.as_bytes()),
        ("offers.toml", offers.as_bytes()),
        ("transactions.csv.gz", &compressed),
    ])
    .await;

    let (exit, summary, _) = run.import(&[]).await;
    assert_eq!(exit, Some(0), "{summary}");
    assert_eq!(counts(&summary, "customers.csv"), [2, 2, 0, 0]);
    assert_eq!(counts(&summary, "stock.csv"), [2, 2, 0, 0]);
    assert_eq!(counts(&summary, "offers.toml"), [1, 1, 0, 0]);
    assert_eq!(counts(&summary, "transactions.csv.gz"), [6000, 6000, 0, 0]);
    let before = {
        let memory = run.mock.memory();
        let Some(Payload::ProfileUpserted(maria)) = &memory.events[0].payload else {
            panic!("customers come first");
        };
        assert_eq!(maria.segments, ["gold", "family"]);
        assert_eq!(maria.consents.len(), 1, "an empty cell was never asked");
        assert!(maria.consents[0].granted);
        memory.events.len()
    };
    assert_eq!(before, 2 + 2 + 2000);

    let (exit, summary, _) = run.import(&[]).await;
    assert_eq!(exit, Some(0));
    assert_eq!(counts(&summary, "products.csv"), [2, 0, 2, 0]);
    assert_eq!(counts(&summary, "customers.csv"), [2, 0, 2, 0]);
    assert_eq!(counts(&summary, "stock.csv"), [2, 0, 2, 0]);
    assert_eq!(counts(&summary, "offers.toml"), [1, 0, 1, 0]);
    assert_eq!(counts(&summary, "transactions.csv.gz"), [6000, 0, 6000, 0]);
    assert_eq!(run.mock.memory().events.len(), before);
}

#[tokio::test]
async fn what_the_server_refuses_costs_its_own_rows_alone() {
    let run = Run::new(&[
        ("products.csv", PRODUCTS.as_bytes()),
        (
            "stock.csv",
            b"sku,store_id,on_hand\nham,1,1\nodd,1,2\n0042,1,3\n",
        ),
        (
            "transactions.csv",
            b"transaction_id,store_id,time,sku\n\
              t1,1,2026-03-01T09:30:00,0042\n\
              t2,1,2026-03-01T09:30:00,ham\n\
              t2,1,2026-03-01T09:30:00,odd\n\
              t3,1,2026-03-01T09:30:00,ham\n",
        ),
    ])
    .await;
    {
        let mut memory = run.mock.memory();
        memory.bad_sku = "odd".to_owned();
        memory.mute_sku = "mute".to_owned();
    }
    let (exit, summary, rejects) = run.import(&[]).await;
    assert_eq!(exit, Some(6));
    assert_eq!(counts(&summary, "products.csv"), [5, 2, 0, 3]);
    assert_eq!(counts(&summary, "stock.csv"), [3, 2, 0, 1]);
    assert_eq!(counts(&summary, "transactions.csv"), [4, 2, 0, 2]);
    assert_eq!(
        rejects,
        [
            "products.csv:4:price:BAD_DECIMAL",
            "products.csv:5:gtins:INVALID_GTIN",
            "products.csv:6::GTIN_TAKEN",
            "stock.csv:3:sku:UNKNOWN_SKU",
            "transactions.csv:3:sku:UNKNOWN_SKU",
            "transactions.csv:4:sku:UNKNOWN_SKU",
        ]
    );
    let text = std::fs::read_to_string(run.rejects_path()).expect("the rejects file");
    assert!(text.contains("\"t2,1,2026-03-01T09:30:00,odd\""), "{text}");
}

#[tokio::test]
async fn a_dry_run_reads_everything_and_sends_nothing() {
    let run = Run::new(&[
        ("stores.csv", STORES.as_bytes()),
        ("transactions.csv", TRANSACTIONS.as_bytes()),
    ])
    .await;
    let (exit, summary, rejects) = run.import(&["--dry-run"]).await;
    assert_eq!(exit, Some(6));
    assert_eq!(rejects.len(), 9);
    assert_eq!(counts(&summary, "transactions.csv"), [12, 5, 0, 7]);
    let memory = run.mock.memory();
    assert!(memory.stores.is_empty() && memory.events.is_empty());
}

#[tokio::test]
async fn a_row_that_changes_is_a_new_event() {
    let run = Run::new(&[("customers.csv", b"customer_id,town\nc1,Firenze\nc2,Roma\n")]).await;
    run.import(&[]).await;
    std::fs::write(
        run.directory.path().join("customers.csv"),
        "town,customer_id\nPrato,c1\nRoma,c2\n",
    )
    .expect("a file");
    let (_, summary, _) = run.import(&[]).await;
    assert_eq!(
        counts(&summary, "customers.csv"),
        [2, 1, 1, 0],
        "the order of columns does not matter"
    );
}

#[tokio::test]
async fn a_file_without_a_column_it_needs_is_refused_before_anything_is_sent() {
    let run = Run::new(&[
        ("stores.csv", STORES.as_bytes()),
        ("transactions.csv", b"transaction_id,time,sku\n"),
    ])
    .await;
    let output = run.output(&[]).await;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("transactions.csv has no column store_id"),
        "{stderr}"
    );
    assert!(run.mock.memory().stores.is_empty());
}

#[tokio::test]
async fn a_stream_that_breaks_in_mid_import_loses_nothing() {
    let mut text = String::from("transaction_id,store_id,time,sku\n");
    for receipt in 0..20_000 {
        text.push_str(&format!("r{receipt},1,2026-03-01T09:30:00,0042\n"));
    }
    let run = Run::new(&[("transactions.csv", text.as_bytes())]).await;
    {
        let mut memory = run.mock.memory();
        memory.break_after_messages = Some(5);
        memory.breaks_left = 2;
    }
    let (exit, summary, _) = run.import(&[]).await;
    assert_eq!(exit, Some(0), "{summary}");
    let [rows, accepted, unchanged, rejected] = counts(&summary, "transactions.csv");
    assert_eq!((rows, accepted + unchanged, rejected), (20_000, 20_000, 0));
    let memory = run.mock.memory();
    assert_eq!((memory.events.len(), memory.streams), (20_000, 3));
}

#[tokio::test]
async fn without_a_server_the_exit_status_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("stores.csv"), STORES).expect("a file");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tillside"))
        .args(["--server", &server, "import"])
        .arg(directory.path())
        .output()
        .await
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(5));
}
