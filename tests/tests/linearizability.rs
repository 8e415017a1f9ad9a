//! Small worlds of two stores and three products, each worked on by concurrent clients: for every history of what they were
//! answered there is an order of the calls, true to time, that explains all of it. Some calls are given up by their caller,
//! and in some histories the server is killed in the middle. That the checker can find something is shown on shops with
//! planted bugs.
//!
//! `TILLSIDE_HISTORIES` checks more histories, `TILLSIDE_HISTORIES_SEED` begins at another seed. A failure prints its history
//! whole and the command that sends the same calls again; how they interleave is the machine's.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, anyhow, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tillside_proto::v1;
use tillside_proto::v1::catalog_service_client::CatalogServiceClient;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tillside_tests::Server;
use tillside_tests::clerk::pieces;
use tillside_tests::histories::{Recorder, check, told};
use tillside_tests::small_world::{Level, Op, Reply, SKUS, STORES, World};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const CLIENTS: usize = 4;
const CALLS_PER_CLIENT: usize = 13;
const HISTORIES: u64 = 200;
const HISTORIES_WITH_A_KILL: u64 = 20;
const SEED: u64 = 20_261_102;

fn setting(name: &str, default: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().context(name.to_owned()))
}

/// Something that answers the calls. `Ok(None)`: the answer stayed out.
trait Shop: Clone + Send + Sync + 'static {
    fn call(
        &self,
        call: Sent,
    ) -> impl Future<Output = Result<Option<(Reply, Option<String>)>>> + Send;
}

/// A call as it is sent, and sent again.
#[derive(Clone, Debug)]
struct Sent {
    number: usize,
    op: Op,
    /// The reservation that a confirm or release is about.
    reservation: String,
    /// Milliseconds after which the server need not answer.
    deadline_ms: Option<u64>,
}

/// The server, in the stores and products of one history.
#[derive(Clone)]
struct Remote {
    channel: Channel,
    history: String,
}

impl Remote {
    fn store(&self, store: usize) -> String {
        format!("{}-S{store}", self.history)
    }

    fn sku(&self, sku: usize) -> String {
        format!("{}-P{sku}", self.history)
    }

    async fn open(&self, number: u64) -> Result<()> {
        let mut catalog = CatalogServiceClient::new(self.channel.clone());
        let stores = (0..STORES).map(|store| v1::Store {
            store_id: self.store(store),
            location: Some(v1::LatLng {
                latitude: 45.0 + (number % 100) as f64 / 1000.0,
                longitude: 9.0 + store as f64 / 1000.0,
            }),
            ..Default::default()
        });
        let put = v1::PutStoresRequest {
            request_id: format!("{}-stores", self.history),
            stores: stores.collect(),
        };
        catalog.put_stores(put).await?;
        let products = (0..SKUS).map(|sku| v1::Product {
            sku: self.sku(sku),
            ..Default::default()
        });
        let put = v1::PutProductsRequest {
            request_id: format!("{}-products", self.history),
            products: products.collect(),
        };
        catalog.put_products(put).await?;
        Ok(())
    }

    async fn ask(&self, sent: &Sent) -> Result<(Reply, Option<String>), Status> {
        let request_id = format!("{}-{}", self.history, sent.number);
        let mut fulfillment = FulfillmentServiceClient::new(self.channel.clone());
        let mut inventory = InventoryServiceClient::new(self.channel.clone());
        let reservation_id = sent.reservation.clone();
        let level = |level: v1::StockLevel| {
            let level = Level {
                on_hand: level.on_hand_thousandths / 1000,
                reserved: level.reserved_thousandths / 1000,
                committed: level.committed_thousandths / 1000,
            };
            (Reply::Level(level), None)
        };
        let done = |_: tonic::Response<v1::Reservation>| (Reply::Done, None);
        match &sent.op {
            Op::Reserve { store, lines, .. } => {
                let line = |(sku, n): &(usize, i64)| v1::FulfillmentLine {
                    line_id: sku.to_string(),
                    sku: self.sku(*sku),
                    quantity: pieces(*n),
                    methods: Default::default(),
                };
                let near = v1::Place {
                    place: Some(v1::place::Place::StoreId(self.store(0))),
                    ..Default::default()
                };
                let request = v1::ReserveFulfillmentRequest {
                    order_id: request_id.clone(),
                    request_id,
                    store_id: store.map_or(String::new(), |store| self.store(store)),
                    origin: store.is_none().then_some(near),
                    lines: lines.iter().map(line).collect(),
                    ..Default::default()
                };
                let held = fulfillment.reserve_fulfillment(sent.request(request));
                let held = held.await?.into_inner();
                let at = (0..STORES).find(|store| self.store(*store) == held.legs[0].store_id);
                let at = at.ok_or_else(|| Status::data_loss("held in a store of nobody"))?;
                Ok((Reply::Held(at), Some(held.reservation_id)))
            }
            Op::Confirm { .. } => {
                let request = v1::ConfirmReservationRequest {
                    request_id,
                    reservation_id,
                    ..Default::default()
                };
                let confirmed = fulfillment.confirm_reservation(sent.request(request));
                confirmed.await.map(done)
            }
            Op::Release { .. } => {
                let request = v1::ReleaseReservationRequest {
                    request_id,
                    reservation_id,
                };
                let released = fulfillment.release_reservation(sent.request(request));
                released.await.map(done)
            }
            Op::Adjust { cell, delta } => {
                let request = v1::AdjustStockRequest {
                    request_id,
                    sku: self.sku(cell.1),
                    store_id: self.store(cell.0),
                    delta: pieces(*delta),
                    ..Default::default()
                };
                let moved = inventory.adjust_stock(sent.request(request)).await?;
                Ok(level(moved.into_inner()))
            }
            Op::Count { cell, on_hand } => {
                let request = v1::SetStockCountRequest {
                    request_id,
                    sku: self.sku(cell.1),
                    store_id: self.store(cell.0),
                    on_hand: pieces(*on_hand),
                    ..Default::default()
                };
                let counted = inventory.set_stock_count(sent.request(request)).await?;
                Ok(level(counted.into_inner()))
            }
            Op::Read { cell } => {
                let request = v1::GetAvailabilityRequest {
                    sku: self.sku(cell.1),
                    store_id: self.store(cell.0),
                };
                let read = inventory.get_availability(sent.request(request)).await?;
                Ok(level(read.into_inner()))
            }
        }
    }
}

impl Sent {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(ms) = self.deadline_ms {
            request.set_timeout(std::time::Duration::from_millis(ms));
        }
        request
    }
}

impl Shop for Remote {
    async fn call(&self, sent: Sent) -> Result<Option<(Reply, Option<String>)>> {
        let status = match self.ask(&sent).await {
            Ok(answer) => return Ok(Some(answer)),
            Err(status) => status,
        };
        let reason = status.get_details_error_info().map(|info| info.reason);
        let reply = match (status.code(), reason.as_deref()) {
            (Code::DeadlineExceeded | Code::Cancelled, _) => return Ok(None),
            (_, Some("INSUFFICIENT_STOCK" | "CONTENDED")) => Reply::NotHeld,
            (_, Some("RESERVATION_ENDED")) => Reply::Ended,
            (_, Some("COUNT_TOO_OLD")) => Reply::CountTooOld,
            (Code::Unavailable | Code::Unknown | Code::Internal, None) => return Ok(None),
            _ => bail!("{sent:?} was answered {status:?}"),
        };
        Ok(Some((reply, None)))
    }
}

/// What the clients of one history share.
struct Course {
    recorder: Recorder,
    /// Holds that anybody may confirm or release: number and reservation.
    holds: Mutex<Vec<(usize, String)>>,
    /// Callers give some calls up before the answer.
    impatient: bool,
    /// Answers at which `reached` is told.
    enough: usize,
    reached: Notify,
}

impl Course {
    fn new(impatient: bool, enough: usize) -> Arc<Self> {
        Arc::new(Course {
            recorder: Recorder::default(),
            holds: Mutex::default(),
            impatient,
            enough,
            reached: Notify::new(),
        })
    }

    fn holds(&self) -> MutexGuard<'_, Vec<(usize, String)>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, number: usize, reply: Reply, reservation: Option<String>) {
        self.recorder.answer(number, reply);
        if let Some(reservation) = reservation {
            self.holds().push((number, reservation));
        }
        if self.recorder.answers() >= self.enough {
            self.reached.notify_one();
        }
    }

    /// Some stock to begin with.
    async fn stock<S: Shop>(&self, shop: &S, rng: &mut StdRng) -> Result<()> {
        for cell in (0..STORES).flat_map(|store| (0..SKUS).map(move |sku| (store, sku))) {
            let delta = rng.random_range(1..4);
            let Some((number, op)) = self.recorder.invoke(|_| Op::Adjust { cell, delta }) else {
                bail!("no room for the first stock");
            };
            let sent = Sent {
                number,
                op,
                reservation: String::new(),
                deadline_ms: None,
            };
            let (reply, _) = shop.call(sent).await?.context("the first stock")?;
            self.recorder.answer(number, reply);
        }
        Ok(())
    }

    fn next(&self, rng: &mut StdRng) -> Option<Sent> {
        let cell = (rng.random_range(0..STORES), rng.random_range(0..SKUS));
        let known = {
            let holds = self.holds();
            let at = rng.random_range(0..holds.len().max(1));
            holds.get(at).cloned()
        };
        let kind = rng.random_range(0..100);
        let lines = {
            let first = rng.random_range(0..SKUS);
            let mut lines = vec![(first, rng.random_range(1..3))];
            if rng.random_bool(0.6) {
                lines.push(((first + 1) % SKUS, rng.random_range(1..3)));
            }
            lines
        };
        let store = (kind < 22).then_some(cell.0);
        let delta = [-1, 1, 2][rng.random_range(0..3)];
        let on_hand = rng.random_range(1..5);
        let mut reservation = String::new();
        let (number, op) = self.recorder.invoke(|number| match (kind, known) {
            (0..34, _) | (34..60, None) => Op::Reserve {
                hold: number,
                store,
                lines,
            },
            (34..47, Some((hold, id))) => {
                reservation = id;
                Op::Confirm { hold }
            }
            (47..60, Some((hold, id))) => {
                reservation = id;
                Op::Release { hold }
            }
            (60..72, _) => Op::Adjust { cell, delta },
            (72..76, _) => Op::Count { cell, on_hand },
            _ => Op::Read { cell },
        })?;
        Some(Sent {
            number,
            op,
            reservation,
            deadline_ms: None,
        })
    }

    /// One client's calls. Answers the call whose answer stayed out, where the client cannot go on.
    async fn work<S: Shop>(
        self: Arc<Self>,
        shop: S,
        mut rng: StdRng,
        calls: usize,
    ) -> Result<Option<Sent>> {
        for _ in 0..calls {
            let Some(mut sent) = self.next(&mut rng) else {
                return Ok(None);
            };
            // Where a hold went that no store was named for would be open in too many ways: it is waited for.
            let anywhere = matches!(sent.op, Op::Reserve { store: None, .. });
            let patience = (self.impatient && !anywhere && rng.random_bool(0.12))
                .then(|| rng.random_range(0..60));
            if self.impatient && !anywhere && rng.random_bool(0.06) {
                sent.deadline_ms = Some(1);
            }
            let answer = match patience {
                None => shop.call(sent.clone()).await?,
                Some(polls) => given_up_after(polls, shop.call(sent.clone())).await?,
            };
            match answer {
                Some((reply, reservation)) => self.answered(sent.number, reply, reservation),
                None if self.impatient => {}
                None => return Ok(Some(sent)),
            }
        }
        Ok(None)
    }
}

/// Waits for the answer while others are given their turn so many times, then drops the call.
async fn given_up_after<T>(
    turns: usize,
    call: impl Future<Output = Result<Option<T>>>,
) -> Result<Option<T>> {
    let mut call = pin!(call);
    for _ in 0..turns {
        let answer = std::future::poll_fn(|context| {
            std::task::Poll::Ready(match call.as_mut().poll(context) {
                std::task::Poll::Ready(answer) => Some(answer),
                std::task::Poll::Pending => None,
            })
        });
        if let Some(answer) = answer.await {
            return answer;
        }
        tokio::task::yield_now().await;
    }
    Ok(None)
}

fn client_rng(seed: u64, client: usize) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(client as u64))
}

fn judged(course: &Course, seed: u64, test: &str) -> Result<usize> {
    let history = course.recorder.history();
    let open = history
        .iter()
        .filter(|call| call.returned.is_none())
        .count();
    check(&history).map_err(|violation| {
        anyhow!(
            "seed {seed}: no order explains {}\n{}\nThe whole history:\n{}\nThe same calls again: \
             TILLSIDE_HISTORIES_SEED={seed} TILLSIDE_HISTORIES=1 cargo test --release --package tillside-tests \
             --test linearizability {test} -- --nocapture",
            violation.of,
            violation.calls,
            told(&history)
        )
    })?;
    Ok(open)
}

fn start(data: &Path) -> Result<Server> {
    // The clock stands still: nothing expires, and what is counted is counted once.
    let flags = [
        "--simulated-clock",
        "2026-11-02T09:00:00Z",
        "--log-level",
        "warn",
    ];
    Server::start(data, &flags)
}

async fn channels(server: &Server) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..CLIENTS {
        channels.push(server.channel().await?);
    }
    Ok(channels)
}

fn remotes(channels: &[Channel], history: &str) -> Vec<Remote> {
    let remote = |channel: &Channel| Remote {
        channel: channel.clone(),
        history: history.to_owned(),
    };
    channels.iter().map(remote).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_of_concurrent_clients_are_linearizable() -> Result<()> {
    let first = setting("TILLSIDE_HISTORIES_SEED", SEED)?;
    let histories = setting("TILLSIDE_HISTORIES", HISTORIES)?;
    let folder = tempfile::tempdir()?;
    let server = start(&folder.path().join("data"))?;
    let channels = channels(&server).await?;
    let (mut calls, mut open) = (0, 0);
    for seed in first..first + histories {
        let shops = remotes(&channels, &format!("h{seed}"));
        shops[0].open(seed).await?;
        let course = Course::new(seed % 2 == 1, usize::MAX);
        course
            .stock(&shops[0], &mut client_rng(seed, CLIENTS))
            .await?;
        let mut clients = JoinSet::new();
        for (client, shop) in shops.into_iter().enumerate() {
            let rng = client_rng(seed, client);
            clients.spawn(Arc::clone(&course).work(shop, rng, CALLS_PER_CLIENT));
        }
        for ended in clients.join_all().await {
            assert!(ended?.is_none(), "seed {seed}: the server is there");
        }
        calls += course.recorder.answers();
        open += judged(&course, seed, "histories_of_concurrent")?;
    }
    println!("{histories} histories from seed {first}: {calls} answers, {open} calls left open");
    assert!(open > 0 || histories < HISTORIES, "some are given up");
    assert!(server.stop().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_with_a_kill_in_the_middle_are_linearizable() -> Result<()> {
    let first = setting("TILLSIDE_HISTORIES_SEED", SEED)?;
    let histories = setting("TILLSIDE_HISTORIES", HISTORIES_WITH_A_KILL)?;
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut server = start(&data)?;
    let (mut cut_off, mut open) = (0, 0);
    for seed in first..first + histories {
        let channels = channels(&server).await?;
        let name = format!("k{seed}");
        let shops = remotes(&channels, &name);
        shops[0].open(seed).await?;
        let mut rng = client_rng(seed, CLIENTS);
        let first_stock = STORES * SKUS;
        let enough = first_stock + rng.random_range(4..CLIENTS * CALLS_PER_CLIENT / 2);
        let course = Course::new(false, enough);
        course.stock(&shops[0], &mut rng).await?;
        let mut clients = JoinSet::new();
        for (client, shop) in shops.into_iter().enumerate() {
            let course = Arc::clone(&course);
            clients.spawn(async move {
                let work = course.work(shop, client_rng(seed, client), CALLS_PER_CLIENT);
                (client, work.await)
            });
        }
        course.reached.notified().await;
        server.kill()?;
        let ended = clients.join_all().await;
        course.recorder.killed();
        server = start(&data)?;
        let channels = self::channels(&server).await?;
        let mut clients = JoinSet::new();
        for (client, last) in ended {
            let (shop, course) = (
                remotes(&channels, &name)[client].clone(),
                Arc::clone(&course),
            );
            let mut rng = client_rng(seed + 1_000_000, client);
            let last = last?;
            cut_off += usize::from(last.is_some());
            clients.spawn(async move {
                if let Some(sent) = last {
                    let anywhere = matches!(sent.op, Op::Reserve { store: None, .. });
                    // The same call, still the one that was sent before the kill; or it stays open.
                    if anywhere || rng.random_bool(0.5) {
                        let answer = shop.call(sent.clone()).await?;
                        let (reply, reservation) = answer.context("the server is there")?;
                        course.answered(sent.number, reply, reservation);
                    }
                }
                course.work(shop, rng, CALLS_PER_CLIENT / 2).await
            });
        }
        for ended in clients.join_all().await {
            assert!(ended?.is_none(), "seed {seed}: the server is there");
        }
        open += judged(&course, seed, "histories_with_a_kill")?;
    }
    println!(
        "{histories} histories from seed {first}: {cut_off} calls cut off, {open} of them left open"
    );
    assert!(
        open > 0 || histories < HISTORIES_WITH_A_KILL,
        "some stay open"
    );
    assert!(server.stop().await?.success());
    Ok(())
}

/// What is wrong with a shop in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Looks, lets others go first, and holds without looking again.
    HoldsWithoutLookingAgain,
    /// Answers some reads from a copy that is not replaced at every change.
    ReadsACopy,
    /// Holds line by line and leaves the first held where the second is missing.
    LeavesHalfAHold,
    /// Gives a confirmed hold's stock back without remembering it, so that it is given back again.
    ReleasesTwice,
}

#[derive(Clone)]
struct InMemory {
    bug: Bug,
    world: Arc<Mutex<(World, World, usize)>>,
}

impl InMemory {
    fn new(bug: Bug) -> Self {
        InMemory {
            bug,
            world: Arc::default(),
        }
    }

    fn world<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut world.0);
        world.2 += 1;
        if world.2.is_multiple_of(5) {
            world.1 = world.0.clone();
        }
        answer
    }

    fn copy(&self) -> World {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.1.clone()
    }

    async fn reserve(&self, number: usize, store: usize, lines: &[(usize, i64)]) -> bool {
        match self.bug {
            Bug::HoldsWithoutLookingAgain => {
                let seen = self.world(|world| world.clone().reserve(number, store, lines));
                tokio::task::yield_now().await;
                if seen && !self.world(|world| world.reserve(number, store, lines)) {
                    // Promised all the same.
                    for (sku, pieces) in lines {
                        self.world(|world| world.adjust((store, *sku), *pieces));
                    }
                    self.world(|world| world.reserve(number, store, lines));
                    for (sku, pieces) in lines {
                        self.world(|world| world.adjust((store, *sku), -*pieces));
                    }
                }
                seen
            }
            Bug::LeavesHalfAHold => {
                let held = self.world(|world| world.reserve(number, store, lines));
                if !held && lines.len() > 1 {
                    self.world(|world| world.reserve(1_000 + number, store, &lines[..1]));
                }
                held
            }
            _ => self.world(|world| world.reserve(number, store, lines)),
        }
    }
}

impl Shop for InMemory {
    async fn call(&self, sent: Sent) -> Result<Option<(Reply, Option<String>)>> {
        // The way there and back, on which others overtake.
        let way = sent.number % 3;
        for _ in 0..way {
            tokio::task::yield_now().await;
        }
        let mut reservation = None;
        let reply = match &sent.op {
            Op::Reserve { hold, store, lines } => {
                let stores = store.map_or(0..STORES, |store| store..store + 1);
                let mut reply = Reply::NotHeld;
                for store in stores {
                    if self.reserve(*hold, store, lines).await {
                        (reply, reservation) = (Reply::Held(store), Some(hold.to_string()));
                        break;
                    }
                }
                reply
            }
            Op::Confirm { hold } => self.world(|world| world.confirm(*hold)).context("a hold")?,
            Op::Release { hold } => {
                let before = self.world(|world| world.clone());
                let reply = self.world(|world| world.release(*hold)).context("a hold")?;
                let again = self.world(|world| *world == before);
                if self.bug == Bug::ReleasesTwice && again {
                    self.world(|world| world.adjust((0, 0), 1));
                }
                reply
            }
            Op::Adjust { cell, delta } => self.world(|world| world.adjust(*cell, *delta)),
            Op::Count { cell, on_hand } => self.world(|world| world.count(*cell, *on_hand)),
            Op::Read { cell } if self.bug == Bug::ReadsACopy => {
                Reply::Level(self.copy().level(*cell))
            }
            Op::Read { cell } => Reply::Level(self.world(|world| world.level(*cell))),
        };
        for _ in 0..way {
            tokio::task::yield_now().await;
        }
        Ok(Some((reply, reservation)))
    }
}

/// The first seed whose history no order explains.
async fn first_violation(bug: Bug, histories: u64) -> Result<Option<u64>> {
    for seed in SEED..SEED + histories {
        let shop = InMemory::new(bug);
        let course = Course::new(seed % 2 == 1, usize::MAX);
        course.stock(&shop, &mut client_rng(seed, CLIENTS)).await?;
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let rng = client_rng(seed, client);
            clients.spawn(Arc::clone(&course).work(shop.clone(), rng, CALLS_PER_CLIENT));
        }
        for ended in clients.join_all().await {
            ended?;
        }
        if check(&course.recorder.history()).is_err() {
            return Ok(Some(seed));
        }
    }
    Ok(None)
}

// One thread takes turns in one order, so these are the same histories every time.
#[tokio::test(flavor = "current_thread")]
async fn a_planted_bug_is_found_and_none_where_there_is_none() -> Result<()> {
    assert_eq!(first_violation(Bug::None, 100).await?, None);
    for bug in [
        Bug::HoldsWithoutLookingAgain,
        Bug::ReadsACopy,
        Bug::LeavesHalfAHold,
        Bug::ReleasesTwice,
    ] {
        let found = first_violation(bug, 100).await?;
        println!("{bug:?}: seed {found:?}");
        assert!(found.is_some(), "{bug:?} was not found in 100 histories");
    }
    Ok(())
}
