//! Kill -9 at random instants under concurrent load, also while the server starts, while it loads, and while it makes a
//! backup: whatever was acknowledged is there, once, and whatever was not is found out by sending it again; and the latest
//! complete backup restores, adds up, and holds what was acknowledged before it was begun.
//!
//! `TILLSIDE_CRASH_CYCLES` runs more cycles, `TILLSIDE_CRASH_SEED` another course of events.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tillside_proto::v1;
use tillside_proto::v1::catalog_service_client::CatalogServiceClient;
use tillside_proto::v1::customer_service_client::CustomerServiceClient;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::ingest_service_client::IngestServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_proto::v1::operations_service_client::OperationsServiceClient;
use tillside_proto::v1::simulation_service_client::SimulationServiceClient;
use tillside_tests::books::{Books, Cell, Change, Held, changes, millis, purchases};
use tillside_tests::calls::{Answer, Call};
use tillside_tests::clerk::{
    BUSY, CARDS, CYCLE_MS, Clerk, Desk, SCARCE, STORES, card, pieces, timestamp,
};

use tillside_tests::{Server, tillside_server};
use tokio::sync::Notify;
use tonic::transport::Channel;

const START: &str = "2026-11-02T09:00:00Z";
const CLERKS: u64 = 8;
const CYCLES: u64 = 25;

fn setting(name: &str, default: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().context(name.to_owned()))
}

fn start_ms() -> i64 {
    millis(START.parse().ok().as_ref())
}

/// What the whole run did.
#[derive(Debug, Default)]
struct Tally {
    kills_under_load: u64,
    kills_while_starting: u64,
    kills_while_loading: u64,
    kills_during_backups: u64,
    backups: u64,
    restores: u64,
    resolved: u64,
    sent_again: u64,
}

struct World<'a> {
    data: &'a Path,
    port_file: &'a Path,
    backups: &'a Path,
    rng: StdRng,
    clerks: Vec<Clerk>,
    books: Books,
    tally: Tally,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_at_random_instants() -> Result<()> {
    let seed = setting("TILLSIDE_CRASH_SEED", 20_261_102)?;
    let cycles = setting("TILLSIDE_CRASH_CYCLES", CYCLES)?;
    println!("seed {seed}, {cycles} cycles");
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let mut world = World {
        data: &folder.path().join("data"),
        port_file: &folder.path().join("ports"),
        backups: &folder.path().join("backups"),
        rng: StdRng::seed_from_u64(seed),
        clerks: (0..CLERKS).map(|n| Clerk::new(seed, n)).collect(),
        books: Books::default(),
        tally: Tally::default(),
    };
    let mut server = world.start()?;
    world.open_shops(&server).await?;
    for cycle in 1..=cycles {
        server = world
            .cycle(server, cycle)
            .await
            .with_context(|| format!("seed {seed}, cycle {cycle}"))?;
        if cycle % CYCLES == 0 {
            let seconds = began.elapsed().as_secs();
            println!("{cycle} of {cycles} cycles after {seconds} s");
        }
    }
    let channel = server.channel().await?;
    let all: Vec<String> = world.books.reservations.keys().cloned().collect();
    world
        .reservations(&channel, all, &HashMap::new())
        .await
        .context("the reservations of the whole run")?;
    back_up(&channel, "at the end").await?.context("a backup")?;
    world.tally.backups += 1;
    let last = digest(&channel).await?;
    ensure!(server.stop().await?.success(), "a clean stop at the end");
    let restored = world.check_backup().context("at the end")?;
    ensure!(restored == last, "the backup is another state");
    println!(
        "seed {seed}: {cycles} cycles, {} kills under load ({} during a backup), {} while starting and {} while loading, {} \
         backups, {} restored and verified, {} acknowledged changes checked ({} reservations, {} receipts), {} unknown \
         outcomes resolved, {} calls repeated after a crash, 0 lost, 0 doubled, 0 oversold, {:.1} s",
        world.tally.kills_under_load,
        world.tally.kills_during_backups,
        world.tally.kills_while_starting,
        world.tally.kills_while_loading,
        world.tally.backups,
        world.tally.restores,
        world.books.acknowledged,
        world.books.reservations.len(),
        world.books.receipts,
        world.tally.resolved,
        world.tally.sent_again,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn flags(backups: &str) -> Vec<&str> {
    let clock = ["--simulated-clock", START, "--log-level", "warn"];
    [
        &clock[..],
        &["--backup-dir", backups, "--backups-kept", "3"],
    ]
    .concat()
}

impl World<'_> {
    fn start(&self) -> Result<Server> {
        let backups = self.backups.display().to_string();
        Server::start(self.data, &flags(&backups))
    }

    async fn open_shops(&mut self, server: &Server) -> Result<()> {
        let channel = server.channel().await?;
        let mut catalog = CatalogServiceClient::new(channel.clone());
        let store = |(i, id): (usize, &&str)| v1::Store {
            store_id: (*id).into(),
            location: Some(v1::LatLng {
                latitude: 43.70 + i as f64 * 0.06,
                longitude: 11.25,
            }),
            ..Default::default()
        };
        let product = |sku: &&str| v1::Product {
            sku: (*sku).into(),
            display_name: (*sku).into(),
            ..Default::default()
        };
        catalog
            .put_stores(v1::PutStoresRequest {
                request_id: "stores".into(),
                stores: STORES.iter().enumerate().map(store).collect(),
            })
            .await?;
        catalog
            .put_products(v1::PutProductsRequest {
                request_id: "products".into(),
                products: SCARCE.iter().chain(&BUSY).map(product).collect(),
            })
            .await?;
        self.books.tick(start_ms());
        for (sku, store) in cells() {
            let n = if sku.starts_with("busy") { 40 } else { 6 };
            let call = Call::Count(v1::SetStockCountRequest {
                request_id: format!("count {sku} {store}"),
                on_hand: pieces(n),
                sku,
                store_id: store,
                as_of_time: Some(timestamp(start_ms())),
                ..Default::default()
            });
            let answer = call.send(&channel).await?.context("an answer")?;
            self.books.enter(&call, &answer, true)?;
        }
        Ok(())
    }

    /// Load, kill, perhaps a start cut short, start, check, find out, check again.
    async fn cycle(&mut self, server: Server, cycle: u64) -> Result<Server> {
        let now_ms = start_ms() + cycle as i64 * CYCLE_MS;
        self.load_and_kill(server, now_ms).await?;
        // How each reservation may stand if what nobody answered was done, while the clock still stood.
        let mut may_be: HashMap<String, Vec<Held>> = HashMap::new();
        for call in self.clerks.iter().filter_map(|c| c.unknown.as_ref()) {
            for (id, held) in self.books.if_done(call) {
                may_be.entry(id).or_default().push(held);
            }
        }
        self.cut_starts_short()?;
        let mut server = self.start()?;
        let mut channel = server.channel().await?;
        // The clock moves on while the server is down: what has run out by now must be free.
        let next_ms = now_ms + CYCLE_MS - 1_000;
        self.advance(&channel, next_ms).await?;
        self.check(&channel, &may_be)
            .await
            .context("before anything was sent again")?;

        self.resolve(&channel).await?;
        self.check(&channel, &HashMap::new())
            .await
            .context("once everything is known")?;
        self.nothing_doubled(&channel).await?;
        self.repeat_all(&channel).await?;
        self.nothing_doubled(&channel)
            .await
            .context("after the repeats")?;
        // What a backup that was cut short left must not be in the way of the next; and the latest complete one is
        // sound, whether or not a later one was cut short.
        if self.rng.random_range(0..4) == 0 {
            let name = format!("cycle {cycle}");
            let whole = back_up(&channel, &name).await?;
            ensure!(whole.is_some(), "nobody has killed the server");
            self.tally.backups += 1;
        }
        if self.tally.backups > 0 && self.rng.random_range(0..6) == 0 {
            self.check_backup()?;
        }
        if self.rng.random_range(0..3) == 0 {
            let before = digest(&channel).await?;
            server.kill()?;
            self.cut_starts_short()?;
            server = self.start()?;
            channel = server.channel().await?;
            ensure!(digest(&channel).await? == before, "the digest changed");
        }
        Ok(server)
    }

    async fn advance(&mut self, channel: &Channel, now_ms: i64) -> Result<()> {
        let request = v1::AdvanceClockRequest {
            now: Some(timestamp(now_ms)),
        };
        SimulationServiceClient::new(channel.clone())
            .advance_clock(request)
            .await?;
        self.books.tick(now_ms);
        Ok(())
    }

    async fn load_and_kill(&mut self, server: Server, now_ms: i64) -> Result<()> {
        let channel = server.channel().await?;
        self.advance(&channel, now_ms).await?;
        let desk = Arc::new(Desk {
            books: Mutex::new(std::mem::take(&mut self.books)),
            latest_ms: AtomicI64::new(now_ms - CYCLE_MS + 500),
            answers: AtomicU64::new(0),
            enough: self.rng.random_range(20..320),
            reached: Notify::new(),
        });
        let mut working = tokio::task::JoinSet::new();
        for mut clerk in self.clerks.drain(..) {
            let (channel, desk) = (channel.clone(), Arc::clone(&desk));
            clerk.answered.clear();
            working.spawn(async move {
                clerk.work(&channel, &desk).await?;
                anyhow::Ok(clerk)
            });
        }
        let name: u64 = self.rng.random();
        let backing_up = (self.rng.random_range(0..3) > 0)
            .then(|| tokio::spawn(back_up_until_killed(channel.clone(), name)));
        tokio::select! {
            () = desk.reached.notified() => {}
            Some(ended) = working.join_next() => {
                ended??;
                bail!("the server went away by itself");
            }
        }
        server.kill()?;
        self.tally.kills_under_load += 1;
        if let Some(backing_up) = backing_up {
            self.tally.backups += backing_up.await??;
            self.tally.kills_during_backups += u64::from(self.has_cut_backup()?);
        }
        while let Some(ended) = working.join_next().await {
            self.clerks.push(ended??);
        }
        self.books = std::mem::take(&mut *desk.books());
        Ok(())
    }

    /// Starts the server and kills it, none, one or two times: at once, after so many changes in its folder, or as soon as
    /// its log is open and the loading of the tables begins.
    fn cut_starts_short(&mut self) -> Result<()> {
        for _ in 0..self.rng.random_range(0..=2) {
            let changes: Option<usize> =
                (self.rng.random_range(0..3) > 0).then(|| self.rng.random_range(0..24));
            if self.port_file.exists() {
                std::fs::remove_file(self.port_file)?;
            }
            let port_file = self.port_file.display().to_string();
            let backups = self.backups.display().to_string();
            let mut flags = flags(&backups);
            flags.extend(["--port-file", &port_file]);
            // Opening the log ends with writing the mark; then the tables are loaded.
            let mark = || std::fs::read(self.data.join("acknowledged")).ok();
            let before = mark();
            let mut starting = Server::launch(self.data, &flags)?;
            let (mut seen, mut last) = (0, listing(self.data));
            while !self.port_file.exists() {
                ensure!(!starting.has_ended()?, "the server could not start");
                let enough = match changes {
                    Some(changes) => seen >= changes,
                    None => mark() != before,
                };
                if enough {
                    break;
                }
                let now = listing(self.data);
                if now != last {
                    (seen, last) = (seen + 1, now);
                }
            }
            drop(starting);
            let loading = mark() != before && !self.port_file.exists();
            self.tally.kills_while_loading += u64::from(loading);
            self.tally.kills_while_starting += u64::from(!loading);
        }
        Ok(())
    }

    /// Whether the engine has begun a backup that has no manifest.
    fn has_cut_backup(&self) -> Result<bool> {
        let begun = self.backups.join("rocksdb/private");
        for entry in std::fs::read_dir(begun).into_iter().flatten() {
            let name = entry?.file_name().into_string().unwrap_or_default();
            let manifest = format!("manifests/{name:0>10}.json");
            if !self.backups.join(manifest).exists() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The latest complete backup is restored elsewhere, and everything in it adds up.
    fn check_backup(&mut self) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let (into, target) = (
            self.backups.display().to_string(),
            folder.path().join("data").display().to_string(),
        );
        let restore = [
            "restore",
            "--backup-dir",
            &into,
            "--data-dir",
            &target,
            "--json",
        ];
        let (code, out, err) = tillside_server(&restore)?;
        ensure!(code == 0, "restore: {out}{err}");
        let restored: serde_json::Value = serde_json::from_str(&out)?;
        let (code, out, err) = tillside_server(&["verify", "--data-dir", &target, "--json"])?;
        ensure!(code == 0, "verify: {out}{err}");
        let verified: serde_json::Value = serde_json::from_str(&out)?;
        ensure!(
            verified["report"]["replayed"] == true
                && verified["report"]["log_last"] == restored["sequence"]
                && restored["sequence"].as_u64() >= restored["backup"]["sequence"].as_u64(),
            "{restored} became {verified}"
        );
        self.tally.restores += 1;
        let digest = verified["report"]["state_digest"].as_str();
        Ok(digest.context("a digest")?.to_owned())
    }

    /// The clerks in turn send again what stayed without an answer.
    async fn resolve(&mut self, channel: &Channel) -> Result<()> {
        let desk = Desk {
            books: Mutex::new(std::mem::take(&mut self.books)),
            latest_ms: AtomicI64::new(0),
            answers: AtomicU64::new(0),
            enough: u64::MAX,
            reached: Notify::new(),
        };
        for clerk in &mut self.clerks {
            self.tally.resolved += u64::from(clerk.resolve(channel, &desk).await?);
        }
        self.books = std::mem::take(&mut *desk.books());
        Ok(())
    }

    /// Every call of the cycle that was done gets its first answer again.
    async fn repeat_all(&mut self, channel: &Channel) -> Result<()> {
        for (call, first) in self.clerks.iter().flat_map(|c| &c.answered) {
            let again = call.send(channel).await?.context("an answer")?;
            let expired = matches!(first, Answer::Reservation(r)
                if millis(r.expire_time.as_ref()) <= self.books.now_ms);
            ensure!(
                call.same(first, &again, expired),
                "after the crash a repeat of {call:?}\nwas first answered {first:?}\nand now {again:?}"
            );
            self.tally.sent_again += 1;
        }
        Ok(())
    }

    /// Reservations, levels and customers against the books. Where calls are still without an answer, within what they
    /// allow; else exactly.
    async fn check(&self, channel: &Channel, may_be: &HashMap<String, Vec<Held>>) -> Result<()> {
        let books = &self.books;
        let unknown: Vec<&Call> = self
            .clerks
            .iter()
            .filter_map(|c| c.unknown.as_ref())
            .collect();
        let answered = self.clerks.iter().flat_map(|c| &c.answered);
        let of_cycle = answered.filter_map(|(_, answer)| match answer {
            Answer::Reservation(r) => Some(r.reservation_id.clone()),
            _ => None,
        });
        let live = books.reservations.iter().filter(|(_, r)| r.is_live());
        let ids: HashSet<String> = live
            .map(|(id, _)| id.clone())
            .chain(of_cycle)
            .chain(may_be.keys().cloned())
            .collect();
        let held = self.reservations(channel, ids, may_be).await?;
        self.levels(channel, &held, &unknown).await?;
        self.customers(channel, &unknown).await
    }

    /// What live reservations hold of each cell.
    async fn reservations(
        &self,
        channel: &Channel,
        ids: impl IntoIterator<Item = String>,
        may_be: &HashMap<String, Vec<Held>>,
    ) -> Result<BTreeMap<Cell, i64>> {
        let mut fulfillment = FulfillmentServiceClient::new(channel.clone());
        let mut sums: BTreeMap<Cell, i64> = BTreeMap::new();
        for reservation_id in ids {
            let known = &self.books.reservations[&reservation_id];
            let request = v1::GetReservationRequest {
                reservation_id: reservation_id.clone(),
            };
            let got = fulfillment
                .get_reservation(request)
                .await
                .with_context(|| format!("{reservation_id}: {known:?}"))?
                .into_inner();
            let leg = got.legs.first().context("a leg")?;
            let amount = |l: &v1::ReservationLine| {
                let held = l.quantity_reserved.as_ref().map_or(0, |q| q.thousandths);
                (l.sku.clone(), held)
            };
            let found = Held {
                order: got.order_id.clone(),
                store: leg.store_id.clone(),
                state: leg.state(),
                lines: leg.lines.iter().map(amount).collect(),
                expire_ms: millis(got.expire_time.as_ref()),
            };
            let others = may_be.get(&reservation_id);
            ensure!(
                found == *known || others.is_some_and(|o| o.contains(&found)),
                "{reservation_id} is {found:?}, and by the answers {known:?} or {others:?}"
            );
            if found.is_live() {
                for (sku, held) in found.lines {
                    *sums.entry((sku, found.store.clone())).or_default() += held;
                }
            }
        }
        Ok(sums)
    }

    async fn levels(
        &self,
        channel: &Channel,
        held: &BTreeMap<Cell, i64>,
        unknown: &[&Call],
    ) -> Result<()> {
        let mut open: BTreeMap<Cell, Vec<(i64, Change)>> = BTreeMap::new();
        for (cell, at, change) in unknown.iter().flat_map(|call| changes(call)) {
            open.entry(cell).or_default().push((at, change));
        }
        let request = v1::BatchGetAvailabilityRequest {
            requests: cells()
                .map(|(sku, store_id)| v1::GetAvailabilityRequest { sku, store_id })
                .collect(),
        };
        let levels = InventoryServiceClient::new(channel.clone())
            .batch_get_availability(request)
            .await?
            .into_inner()
            .levels;
        ensure!(levels.len() == cells().count(), "a level for each");
        for level in levels {
            let cell = (level.sku.clone(), level.store_id.clone());
            let possible = self
                .books
                .on_hand(&cell, open.get(&cell).map_or(&[], Vec::as_slice));
            ensure!(
                possible.contains(&level.on_hand_thousandths),
                "on_hand of {level:?} is none of {possible:?}"
            );
            // A hold that nobody answered is in the level and in no reservation we know the number of.
            let unseen: i64 = unknown.iter().map(|call| wanted(call, &cell.0)).sum();
            let promised = level.reserved_thousandths + level.committed_thousandths;
            let known = held.get(&cell).copied().unwrap_or(0);
            ensure!(
                (known..=known + unseen).contains(&promised),
                "{level:?} holds {promised}, its reservations {known} (unseen: at most {unseen})"
            );
            let oversold =
                SCARCE.contains(&cell.0.as_str()) && level.available_online_thousandths < 0;
            ensure!(!oversold, "oversold: {level:?}");
        }
        Ok(())
    }

    async fn customers(&self, channel: &Channel, unknown: &[&Call]) -> Result<()> {
        let provisional = provisional(channel).await?;
        let mut service = CustomerServiceClient::new(channel.clone());
        for number in 0..CARDS {
            let identifier = card(number);
            let open = unknown.iter().flat_map(|call| purchases(call));
            let open = open.filter(|(card, _)| *card == identifier.value).count() as i64;
            let known = self.books.customers.get(&identifier.value);
            let request = v1::RecognizeCustomerRequest {
                identifiers: vec![identifier.clone()],
                view: v1::ProfileView::Full.into(),
                ..Default::default()
            };
            let answer = service.recognize_customer(request).await?.into_inner();
            let Some(profile) = answer.customer else {
                ensure!(known.is_none(), "{known:?} of {} is gone", identifier.value);
                continue;
            };
            let known = known.cloned().unwrap_or_default();
            let enrolled = known.customer_id.as_ref();
            ensure!(
                enrolled.is_none_or(|id| *id == profile.customer_id && !profile.provisional),
                "{known:?} became {profile:?}"
            );
            let last_four = &identifier.value[identifier.value.len() - 4..];
            let bought = match profile.provisional {
                true => *provisional
                    .get(last_four)
                    .context("listed as provisional")?,
                false => profile.purchase_count,
            };
            ensure!(
                (known.purchases..=known.purchases + open).contains(&bought),
                "{bought} purchases, {known:?}, {open} open: {profile:?}"
            );
            if unknown.is_empty() {
                let spent = profile.spend.first().and_then(|s| s.net_amount.as_ref());
                let cents = spent.map_or(0, |m| m.minor_units);
                ensure!(
                    profile.points_available == known.points
                        && (profile.provisional || cents == known.cents)
                        && profile.provisional == enrolled.is_none(),
                    "{known:?} is {profile:?}"
                );
            }
        }
        Ok(())
    }

    /// The server holds exactly what was entered: nothing twice under another number, nothing that nobody asked for.
    async fn nothing_doubled(&self, channel: &Channel) -> Result<()> {
        let counts = info(channel, false).await?.counts.context("counts")?;
        let books = &self.books;
        let provisional = books.customers.values().filter(|c| c.customer_id.is_none());
        let got = [
            counts.reservations,
            counts.transactions,
            counts.customers,
            counts.provisional_customers,
            counts.quarantined_lines,
        ];
        let due = [
            books.reservations.len() as u64,
            books.receipts,
            books.customers.len() as u64,
            provisional.count() as u64,
            0,
        ];
        ensure!(got == due, "{counts:?}, and {due:?} were acknowledged");
        Ok(())
    }
}

/// One backup after the other until the server is gone; answers how many were complete.
async fn back_up_until_killed(channel: Channel, name: u64) -> Result<u64> {
    let mut complete = 0;
    while let Some(operation) = back_up(&channel, &format!("{name} {complete}")).await? {
        ensure!(operation.backup.is_some(), "{operation:?}");
        complete += 1;
    }
    Ok(complete)
}

/// A whole backup, which holds what was durable before it was begun; `None` where the server went away meanwhile.
async fn back_up(channel: &Channel, request_id: &str) -> Result<Option<v1::Operation>> {
    let mut operations = OperationsServiceClient::new(channel.clone());
    let Ok(before) = info(channel, false).await else {
        return Ok(None);
    };
    let request = v1::CreateBackupRequest {
        request_id: request_id.to_owned(),
    };
    let Ok(begun) = operations.create_backup(request).await else {
        return Ok(None);
    };
    let mut operation = begun.into_inner();
    while operation.state() == v1::OperationState::Running {
        let request = v1::GetOperationRequest {
            operation_id: operation.operation_id,
        };
        let Ok(now) = operations.get_operation(request).await else {
            return Ok(None);
        };
        operation = now.into_inner();
    }
    let sequence = operation.backup.as_ref().map(|b| b.sequence);
    ensure!(
        sequence >= Some(before.durable_sequence),
        "{operation:?}, and {} was durable before",
        before.durable_sequence
    );
    Ok(Some(operation))
}

/// Purchases of provisional customers by the last four characters of their card.
async fn provisional(channel: &Channel) -> Result<HashMap<String, i64>> {
    let request = v1::ListProvisionalCustomersRequest {
        page_size: 1000,
        ..Default::default()
    };
    let list = IngestServiceClient::new(channel.clone())
        .list_provisional_customers(request)
        .await?
        .into_inner();
    let by_card = list.customers.into_iter().map(|c| {
        let shown = c.masked_identifier.trim_start_matches('*').to_owned();
        (shown, c.purchase_count)
    });
    Ok(by_card.collect())
}

/// How much of a product a reserve call asks for.
fn wanted(call: &Call, sku: &str) -> i64 {
    let Call::Reserve(request) = call else {
        return 0;
    };
    let lines = request.lines.iter().filter(|l| l.sku == sku);
    lines
        .map(|l| l.quantity.as_ref().map_or(0, |q| q.thousandths))
        .sum()
}

fn cells() -> impl Iterator<Item = Cell> {
    let skus = SCARCE.iter().chain(&BUSY);
    skus.flat_map(|sku| STORES.iter().map(|s| ((*sku).to_owned(), (*s).to_owned())))
}

async fn info(channel: &Channel, include_state_digest: bool) -> Result<v1::ServerInfo> {
    let request = v1::GetServerInfoRequest {
        include_state_digest,
    };
    Ok(OperationsServiceClient::new(channel.clone())
        .get_server_info(request)
        .await?
        .into_inner())
}

async fn digest(channel: &Channel) -> Result<String> {
    Ok(info(channel, true).await?.state_digest)
}

/// Names and sizes of all files below a folder; files may come and go meanwhile.
fn listing(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => found.push((entry.path(), meta.len())),
                Err(_) => {}
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_books_tell_a_lost_change_a_doubled_one_and_one_that_may_be_either() {
    let cell: Cell = ("busy-1".into(), "S1".into());
    let mut books = Books::default();
    let entries = vec![
        (10, Change::Count(40_000)),
        (11, Change::Move(-3_000)),
        (9, Change::Move(-1_000)),
    ];
    books.levels.insert(cell.clone(), entries);
    let on_hand = |unknown: &[(i64, Change)]| {
        books
            .on_hand(&cell, unknown)
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(on_hand(&[]), [37_000]);
    assert_eq!(on_hand(&[(12, Change::Move(-2_000))]), [35_000, 37_000]);
    assert_eq!(on_hand(&[(12, Change::Count(5_000))]), [5_000, 37_000]);
    assert_eq!(on_hand(&[(8, Change::Count(5_000))]), [37_000]);
}
