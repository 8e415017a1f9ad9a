//! Routing as an independent program answered it, over gRPC: every question of the reference to the millimetre, a day of
//! holds under a clock that the test moves, and flash sales in which exactly the stock is sold.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use prost_types::{Duration, Timestamp};
use serde_json::Value;
use tillside_proto::v1;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_proto::v1::simulation_service_client::SimulationServiceClient;
use tillside_tests::calls::{Answer as Told, Call};
use tillside_tests::reference::{
    Around, Query, folder, in_reference_words, lines, location, number, queries,
    refused_in_reference_words,
};
use tillside_tests::{Server, read_csv, shared_data, tillside, tillside_server};
use tokio::task::JoinSet;
use tonic::transport::Channel;

const START: &str = "2026-11-02T09:00:00Z";
/// The same moment.
const START_SECONDS: i64 = 1_793_610_000;

/// Sales of the last units in a row, and those who want them.
const RUNS: usize = 20;
const CLIENTS: usize = 64;

/// A server with the outlets of a set and the stock that is asked for.
async fn serve(data: &Path, state: &Path, set: &str, asked: &[Around]) -> Result<Server> {
    let import = tempfile::tempdir()?;
    let rows = folder(data, import.path(), set, asked)?;
    let flags = ["--simulated-clock", START, "--log-level", "warn"];
    let server = Server::start(state, &flags)?;
    let path = import.path().to_string_lossy().into_owned();
    let rejects = import.path().join("rejects.csv");
    let rejects = rejects.to_string_lossy().into_owned();
    let import = ["import", &path, "--rejects", &rejects];
    let (code, summary) = tillside(&server, &import)?;
    ensure!(code == 0, "import: exit code {code}: {summary}");
    println!("{set}: {rows} stock rows");
    Ok(server)
}

/// Ends a server and has its directory checked: every level is the sum of its movements, every hold is in the levels.
async fn stop_and_verify(server: Server, state: &Path) -> Result<()> {
    ensure!(server.stop().await?.success(), "a clean stop ends with 0");
    let (code, out, err) = tillside_server(&["verify", "--data-dir", &state.to_string_lossy()])?;
    ensure!(code == 0, "verify: {out}{err}");
    Ok(())
}

async fn plan(channel: &Channel, query: &Query) -> Result<v1::FulfillmentPlan, tonic::Status> {
    let request = v1::PlanFulfillmentRequest {
        origin: place(query.location),
        lines: query.lines.clone(),
        max_distance_meters: Some(query.max_distance_meters),
        max_options: 1,
        ..Default::default()
    };
    let answer = FulfillmentServiceClient::new(channel.clone())
        .plan_fulfillment(request)
        .await?;
    Ok(answer.into_inner())
}

fn place(location: v1::LatLng) -> Option<v1::Place> {
    Some(v1::Place {
        place: Some(v1::place::Place::Location(location)),
        ..Default::default()
    })
}

async fn answers_equal_the_reference(set: &str) -> Result<()> {
    let Some(data) = shared_data() else {
        return Ok(());
    };
    let mut queries = queries(&data)?;
    queries.retain(|(query, _)| query.set == set);
    let state = tempfile::tempdir()?;
    let asked: Vec<Around> = queries.iter().map(|(query, _)| query.around()).collect();
    let server = serve(&data, &state.path().join("data"), set, &asked).await?;
    let channel = server.channel().await?;
    let mut wrong = Vec::new();
    for (query, expect) in &queries {
        let got = match plan(&channel, query).await {
            Ok(plan) => in_reference_words(query, &plan),
            Err(status) => refused_in_reference_words(&status),
        };
        if got != *expect {
            let (id, category) = (&query.id, &query.category);
            wrong.push(format!("{id} ({category}): {got:?}, expected {expect:?}"));
        }
    }
    let (bad, all) = (wrong.len(), queries.len());
    ensure!(
        wrong.is_empty(),
        "{bad} of {all} answers differ: {wrong:#?}"
    );
    println!("{set}: {all} answers equal the reference's");
    Ok(())
}

#[tokio::test]
async fn every_answer_in_italy_equals_the_reference() -> Result<()> {
    answers_equal_the_reference("it").await
}

#[tokio::test]
async fn every_answer_around_the_world_equals_the_reference() -> Result<()> {
    answers_equal_the_reference("ww").await
}

/// The reference's day: what is held, by its own names.
struct Day {
    channel: Channel,
    ids: BTreeMap<String, String>,
}

impl Day {
    /// Sets the clock to `seconds` after the start.
    async fn at(&self, seconds: i64) -> Result<()> {
        let now = Timestamp {
            seconds: START_SECONDS + seconds,
            nanos: 0,
        };
        SimulationServiceClient::new(self.channel.clone())
            .advance_clock(v1::AdvanceClockRequest { now: Some(now) })
            .await?;
        Ok(())
    }

    /// Carries out an operation; (status, store) in the reference's words.
    async fn carry_out(&mut self, op: &Value, name: &str) -> Result<(String, Option<String>)> {
        let request_id = format!("{} {name}", op["op"]);
        let id = || self.ids.get(name).cloned().unwrap_or_default();
        let call = match op["op"].as_str().context("op")? {
            "RESERVE" => return self.reserve(op, name, request_id).await,
            "COMMIT" => Call::Confirm(v1::ConfirmReservationRequest {
                request_id,
                reservation_id: id(),
                ..Default::default()
            }),
            "RELEASE" => Call::Release(v1::ReleaseReservationRequest {
                request_id,
                reservation_id: id(),
            }),
            other => bail!("no such operation: {other}"),
        };
        match call.send(&self.channel).await?.context("an answer")? {
            Told::Refused(reason) => Ok((reason, None)),
            _ => Ok(("OK".into(), None)),
        }
    }

    async fn reserve(
        &mut self,
        op: &Value,
        name: &str,
        request_id: String,
    ) -> Result<(String, Option<String>)> {
        let meters = number(op, "max_km")? * 1000.0;
        let call = Call::Reserve(v1::ReserveFulfillmentRequest {
            request_id,
            order_id: name.to_owned(),
            origin: place(location(op)?),
            lines: lines(op)?,
            max_distance_meters: Some(meters),
            hold_duration: Some(Duration {
                seconds: op["ttl_s"].as_i64().context("ttl_s")?,
                nanos: 0,
            }),
            ..Default::default()
        });
        match call.send(&self.channel).await?.context("an answer")? {
            Told::Reservation(reservation) => {
                let store = reservation.legs[0].store_id.clone();
                self.ids.insert(name.to_owned(), reservation.reservation_id);
                Ok(("OK".into(), Some(store)))
            }
            // Why nobody has it is the plan's to say.
            Told::Refused(reason) if reason == "INSUFFICIENT_STOCK" => {
                let query = Query {
                    id: name.to_owned(),
                    set: "it".into(),
                    category: String::new(),
                    location: location(op)?,
                    lines: lines(op)?,
                    max_distance_meters: meters,
                };
                let plan = plan(&self.channel, &query).await?;
                Ok((in_reference_words(&query, &plan).status, None))
            }
            told => bail!("{op} was answered {told:?}"),
        }
    }

    async fn states(&self) -> Result<BTreeMap<&str, v1::ReservationState>> {
        let mut states = BTreeMap::new();
        for (name, id) in &self.ids {
            let request = v1::GetReservationRequest {
                reservation_id: id.clone(),
            };
            let answer = FulfillmentServiceClient::new(self.channel.clone())
                .get_reservation(request)
                .await?;
            states.insert(name.as_str(), answer.into_inner().legs[0].state());
        }
        Ok(states)
    }
}

#[tokio::test]
async fn a_day_of_holds_goes_as_the_reference_says() -> Result<()> {
    let Some(data) = shared_data() else {
        return Ok(());
    };
    let path = data.join("../reference/bopis_scenario_dev.json");
    let scenario: Value = serde_json::from_reader(File::open(path)?)?;
    let ops = scenario["ops"].as_array().context("ops")?;
    let asked: Result<Vec<Around>> = ops
        .iter()
        .filter(|op| op["op"] == "RESERVE")
        .map(|op| {
            let numbers = lines(op)?.into_iter().map(|l| Ok(l.sku.parse()?));
            Ok(Around {
                location: location(op)?,
                kilometres: number(op, "max_km")?,
                skus: numbers.collect::<Result<_>>()?,
            })
        })
        .collect();
    let state = tempfile::tempdir()?;
    let server = serve(&data, &state.path().join("data"), "it", &asked?).await?;
    let mut day = Day {
        channel: server.channel().await?,
        ids: BTreeMap::new(),
    };
    for op in ops {
        day.at(op["t"].as_i64().context("t")?).await?;
        let name = op["reservation"].as_str().context("reservation")?;
        let store = op.get("expect_store").filter(|store| !store.is_null());
        let status = op["expect_status"].as_str().context("expect_status")?;
        let expect = (status.to_owned(), store.map(Value::to_string));
        let got = day.carry_out(op, name).await?;
        ensure!(got == expect, "{op}: {got:?}");
    }
    day.at(scenario["final_time"].as_i64().context("final_time")?)
        .await?;

    let states = day.states().await?;
    let held = states
        .iter()
        .filter(|(_, state)| **state == v1::ReservationState::Held);
    let held: Vec<&str> = held.map(|(name, _)| *name).collect();
    let expect = scenario["final_active"]
        .as_array()
        .context("final_active")?;
    let mut expect: Vec<&str> = expect.iter().filter_map(Value::as_str).collect();
    expect.sort_unstable();
    assert_eq!(held, expect, "what is still held");

    let cells = scenario["final_on_hand_of_touched"]
        .as_array()
        .context("cells")?;
    for cell in cells {
        let request = v1::GetAvailabilityRequest {
            store_id: cell[0].to_string(),
            sku: cell[1].to_string(),
        };
        let level = InventoryServiceClient::new(day.channel.clone())
            .get_availability(request)
            .await?
            .into_inner();
        // The reference takes from the shelf what is committed; here it leaves with the receipt.
        let left = level.on_hand_thousandths - level.committed_thousandths;
        assert_eq!(
            Some(left),
            cell[2].as_i64().map(|n| n * 1000),
            "{cell}: {level:?}"
        );
    }
    println!(
        "{} operations and {} levels equal the reference's",
        ops.len(),
        cells.len()
    );
    drop(day);
    stop_and_verify(server, &state.path().join("data")).await
}

/// A place of the reference with what is sold around it.
#[derive(Clone, Debug)]
struct Sale {
    around: Around,
    units: usize,
    open_stores: usize,
}

fn sales(data: &Path) -> Result<Vec<Sale>> {
    let mut sales = Vec::new();
    for row in read_csv(&data.join("../reference/bopis_flash_dev.csv"))?.records() {
        let row = row?;
        sales.push(Sale {
            around: Around {
                location: v1::LatLng {
                    latitude: row[1].parse()?,
                    longitude: row[2].parse()?,
                },
                kilometres: row[3].parse()?,
                skus: vec![row[4].parse()?],
            },
            open_stores: row[5].parse()?,
            units: row[6].parse()?,
        });
    }
    Ok(sales)
}

impl Sale {
    /// One unit for an order, at the nearest store that has one.
    fn one(&self, order: &str, request_id: String) -> Call {
        Call::Reserve(v1::ReserveFulfillmentRequest {
            request_id,
            order_id: order.to_owned(),
            origin: place(self.around.location),
            lines: vec![v1::FulfillmentLine {
                sku: self.around.skus[0].to_string(),
                ..Default::default()
            }],
            max_distance_meters: Some(self.around.kilometres * 1000.0),
            ..Default::default()
        })
    }

    /// Buys until nothing is left; the reservations that were got.
    async fn buy(&self, channel: Channel, client: String) -> Result<Vec<v1::Reservation>> {
        let mut got = Vec::new();
        for attempt in 0.. {
            // An order that was told to try again is the same order.
            let call = self.one(
                &format!("{client} {}", got.len()),
                format!("{client} {attempt}"),
            );
            match call.send(&channel).await?.context("an answer")? {
                Told::Reservation(reservation) => got.push(reservation),
                Told::Refused(reason) if reason == "CONTENDED" => {}
                Told::Refused(reason) if reason == "INSUFFICIENT_STOCK" => break,
                told => bail!("{call:?} was answered {told:?}"),
            }
        }
        Ok(got)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flash_sale_sells_exactly_the_stock_every_time() -> Result<()> {
    let Some(data) = shared_data() else {
        return Ok(());
    };
    let sales = sales(&data)?;
    let asked: Vec<Around> = sales.iter().map(|sale| sale.around.clone()).collect();
    let state = tempfile::tempdir()?;
    let server = serve(&data, &state.path().join("data"), "it", &asked).await?;
    let mut channels = Vec::new();
    for _ in 0..CLIENTS {
        channels.push(server.channel().await?);
    }
    for run in 0..RUNS {
        for sale in &sales {
            let mut buyers = JoinSet::new();
            for (client, channel) in channels.iter().enumerate() {
                let (sale, channel) = (sale.clone(), channel.clone());
                let sku = sale.around.skus[0];
                let name = format!("run {run} product {sku} client {client}");
                buyers.spawn(async move { sale.buy(channel, name).await });
            }
            let got: Result<Vec<_>> = buyers.join_all().await.into_iter().collect();
            let got: Vec<v1::Reservation> = got?.into_iter().flatten().collect();
            assert_eq!(got.len(), sale.units, "run {run}: {sale:?}");
            sold_out(&channels[0], sale, &got).await?;
            give_back(&channels, got).await?;
        }
    }
    let units: usize = sales.iter().map(|sale| sale.units).sum();
    println!("{RUNS} runs sold exactly {units} units each to {CLIENTS} clients at once");
    drop(channels);
    stop_and_verify(server, &state.path().join("data")).await
}

/// Every store that sold has sold all that it had, and no more.
async fn sold_out(channel: &Channel, sale: &Sale, got: &[v1::Reservation]) -> Result<()> {
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    for leg in got.iter().flat_map(|reservation| &reservation.legs) {
        *sold.entry(&leg.store_id).or_default() += 1000;
    }
    ensure!(sold.len() <= sale.open_stores, "{} stores sold", sold.len());
    for (store_id, sold) in sold {
        let request = v1::GetAvailabilityRequest {
            sku: sale.around.skus[0].to_string(),
            store_id: store_id.to_owned(),
        };
        let level = InventoryServiceClient::new(channel.clone())
            .get_availability(request)
            .await?
            .into_inner();
        let seen = (level.on_hand_thousandths, level.reserved_thousandths);
        assert_eq!(seen, (sold, sold), "{store_id}: {level:?}");
    }
    Ok(())
}

async fn give_back(channels: &[Channel], got: Vec<v1::Reservation>) -> Result<()> {
    let mut givers = JoinSet::new();
    let share = got.len().div_ceil(channels.len()).max(1);
    for (channel, share) in channels.iter().zip(got.chunks(share)) {
        let (channel, share) = (channel.clone(), share.to_vec());
        givers.spawn(async move {
            for reservation in share {
                let call = Call::Release(v1::ReleaseReservationRequest {
                    request_id: format!("back {}", reservation.reservation_id),
                    reservation_id: reservation.reservation_id,
                });
                match call.send(&channel).await?.context("an answer")? {
                    Told::Reservation(_) => {}
                    told => bail!("{call:?} was answered {told:?}"),
                }
            }
            Ok(())
        });
    }
    givers.join_all().await.into_iter().collect()
}
