//! Makes the small data directories that a later version must still open: a server of the version at hand lives through a
//! story that fills every table, and everything it answered is written down beside its data.
//!
//! ```sh
//! cargo run --release --package tillside-tests --example record_format -- <tillside-server> <folder>
//! ```
//!
//! See `server/store/tests/format1/README.md`. The story is the same every time; ids and times come from it alone.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::{Compression, write::GzEncoder};
use prost::Message;
use tillside_proto::v1;
use tillside_proto::v1::event::Payload;
use tillside_tests::raw::{self, Recorded};
use tonic::transport::{Channel, Endpoint};

const START: &str = "2026-11-02T09:00:00Z";

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [server, folder] = &arguments[..] else {
        bail!("give the server's binary and the folder to write to");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(record(server, folder))
}

async fn record(server: &Path, folder: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let data = work.path().join("data");
    let mut running = Running::start(server, &data)?;
    let mut tour = Tour::new(running.channel().await?);
    tour.yesterday().await?;
    // Stopped and started in between, so that some of it is in table files and some in the write-ahead log.
    running.stop()?;
    running = Running::start(server, &data)?;
    tour.channel = running.channel().await?;
    tour.today().await?;
    let questions = tour.ask().await?;
    let info = tour.info().await?;
    running.kill()?;
    pack(work.path(), &folder.join("killed.tar"))?;
    // Opening writes what the log had into table files; then it is stopped as it should be.
    Running::start(server, &data)?.stop()?;
    pack(work.path(), &folder.join("stopped.tar"))?;
    write_lines(&folder.join("retries.txt"), &tour.remembered)?;
    write_lines(&folder.join("questions.txt"), &questions)?;
    let counts = info.counts.context("counts")?;
    let told = format!(
        "state_digest = {}\nsequence = {}\nformat = {}\ncounts = {counts:?}\n",
        info.state_digest, info.state_digest_sequence, info.format_version
    );
    fs::write(folder.join("expected.txt"), told)?;
    println!(
        "{} retries and {} questions recorded in {}",
        tour.remembered.len(),
        questions.len(),
        folder.display()
    );
    Ok(())
}

fn write_lines(path: &Path, calls: &[Recorded]) -> Result<()> {
    let name = format!("{}.gz", path.display());
    let mut file = GzEncoder::new(File::create(name)?, Compression::best());
    for call in calls {
        writeln!(file, "{}", call.line())?;
    }
    file.finish()?;
    Ok(())
}

/// Packs `data` and `data-keys`; tar keeps nothing of the machine but the bytes.
fn pack(from: &Path, to: &Path) -> Result<()> {
    let told = Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mtime=2026-11-02 09:00Z", "--sparse", "--exclude=LOG*"])
        .args(["--exclude=LOCK", "-cf"])
        .arg(to)
        .arg("-C")
        .arg(from)
        .args(["data", "data-keys"])
        .status()?;
    ensure!(told.success(), "tar");
    let told = Command::new("gzip").args(["-n9f"]).arg(to).status()?;
    ensure!(told.success(), "gzip");
    Ok(())
}

struct Running {
    child: Child,
    grpc: String,
}

impl Running {
    fn start(server: &Path, data: &Path) -> Result<Self> {
        let mut child = Command::new(server)
            .arg("--data-dir")
            .arg(data)
            .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .args(["--simulated-clock", START, "--log-level", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next().transpose()? {
            if let Some((grpc, _)) = line
                .strip_prefix("serving gRPC on ")
                .and_then(|line| line.split_once(' '))
            {
                let grpc = grpc.to_owned();
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Running { child, grpc });
            }
        }
        bail!("the server ended: {:?}", child.wait()?)
    }

    async fn channel(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(format!("http://{}", self.grpc))?
            .connect()
            .await?)
    }

    fn stop(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status()?;
        ensure!(told.success() && self.child.wait()?.success(), "a stop");
        Ok(())
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

fn time(seconds_after_start: i64) -> Option<prost_types::Timestamp> {
    let mut time: prost_types::Timestamp = START.parse().ok()?;
    time.seconds += seconds_after_start;
    Some(time)
}

fn pieces(n: i64) -> Option<v1::Quantity> {
    Some(v1::Quantity {
        thousandths: n * 1000,
        unit: v1::Unit::Ea.into(),
    })
}

fn euros(minor_units: i64) -> Option<v1::Money> {
    Some(v1::Money {
        currency_code: "EUR".into(),
        minor_units,
    })
}

fn card(value: &str) -> v1::Identifier {
    v1::Identifier {
        r#type: v1::IdentifierType::LoyaltyCard.into(),
        value: value.into(),
        ..Default::default()
    }
}

fn email(value: &str) -> v1::Identifier {
    v1::Identifier {
        r#type: v1::IdentifierType::Email.into(),
        value: value.into(),
        ..Default::default()
    }
}

fn florence() -> Option<v1::Place> {
    let location = v1::LatLng {
        latitude: 43.776,
        longitude: 11.2478,
    };
    Some(v1::Place {
        place: Some(v1::place::Place::Location(location)),
        ..Default::default()
    })
}

const STORES: [(&str, f64, f64); 3] = [
    ("0101", 43.7765, 11.2480),
    ("0102", 43.8777, 11.1023),
    ("0201", 41.9028, 12.4964),
];
const SKUS: [&str; 4] = ["000451", "000452", "000453", "000454"];

struct Tour {
    channel: Channel,
    /// Changes whose request ids are remembered, with their first answers.
    remembered: Vec<Recorded>,
    requests: u32,
    reservations: Vec<String>,
    events: u32,
}

impl Tour {
    fn new(channel: Channel) -> Self {
        Tour {
            channel,
            remembered: Vec::new(),
            requests: 0,
            reservations: Vec::new(),
            events: 0,
        }
    }

    fn request_id(&mut self) -> String {
        self.requests += 1;
        format!("request-{:04}", self.requests)
    }

    async fn call<A: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<(A, Recorded)> {
        let request = request.encode_to_vec();
        let answer = raw::call(&self.channel, method, request.clone())
            .await
            .map_err(|status| anyhow::anyhow!("{method}: {status:?}"))?;
        let recorded = Recorded {
            method: method.to_owned(),
            request,
            answer,
        };
        Ok((A::decode(&recorded.answer[..])?, recorded))
    }

    async fn change<A: Message + Default>(
        &mut self,
        method: &str,
        request: &impl Message,
    ) -> Result<A> {
        let (answer, recorded) = self.call(method, request).await?;
        self.remembered.push(recorded);
        Ok(answer)
    }

    async fn advance(&self, seconds_after_start: i64) -> Result<()> {
        let request = v1::AdvanceClockRequest {
            now: time(seconds_after_start),
        };
        let _: (v1::AdvanceClockResponse, _) = self
            .call("SimulationService/AdvanceClock", &request)
            .await?;
        Ok(())
    }

    async fn info(&self) -> Result<v1::ServerInfo> {
        let request = v1::GetServerInfoRequest {
            include_state_digest: true,
        };
        Ok(self
            .call("OperationsService/GetServerInfo", &request)
            .await?
            .0)
    }

    /// The catalog, people, stock and a day's work; more than a day passes after it.
    async fn yesterday(&mut self) -> Result<()> {
        self.catalog().await?;
        self.people().await?;
        self.offers().await?;
        for (sku, n) in SKUS.iter().zip([40, 25, 12, 6]) {
            for (store, _, _) in STORES {
                self.count(sku, store, n).await?;
            }
        }
        self.receipts("2026-11-02", 60).await?;
        self.holds("yesterday").await?;
        self.reserve_for(60, "yesterday-expired", &[("000452", 2)])
            .await?;
        self.checkout("checkout-yesterday", 1, true).await?;
        self.advance(120).await?;
        self.advance(26 * 3600).await
    }

    /// Another day: what expires has expired, request ids of yesterday are forgotten a few at a time.
    async fn today(&mut self) -> Result<()> {
        let forgotten = self.remembered.len();
        self.adjust("000451", "0101", -3, v1::AdjustmentReason::Shrinkage)
            .await?;
        self.adjust("000452", "0101", 2, v1::AdjustmentReason::Damage)
            .await?;
        self.adjust("000453", "0102", 12, v1::AdjustmentReason::Receipt)
            .await?;
        let draft = v1::CreateCustomerRequest {
            request_id: self.request_id(),
            customer_id: "customer-9".into(),
            identifiers: vec![card("CARD0009"), email("anna.verdi@example.com")],
            contacts: Some(v1::Contacts {
                given_name: "Anna".into(),
                family_name: "Verdi".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let _: v1::CreateCustomerResponse = self
            .change("CustomerService/CreateCustomer", &draft)
            .await?;
        self.receipts("2026-11-03", 26 * 3600 + 60).await?;
        self.holds("today").await?;
        self.checkout("checkout-today", 1, false).await?;
        self.checkout("checkout-today", 2, false).await?;
        self.checkout("checkout-closed", 1, true).await?;
        let kept = self.remembered.split_off(forgotten);
        self.remembered = kept;
        Ok(())
    }

    async fn catalog(&mut self) -> Result<()> {
        let hours = |day: v1::DayOfWeek| v1::OpeningHours {
            day: day.into(),
            open_minute: 8 * 60,
            close_minute: 20 * 60,
        };
        let store = |(id, latitude, longitude): (&str, f64, f64)| v1::Store {
            store_id: id.into(),
            display_name: format!("Store {id}"),
            location: Some(v1::LatLng {
                latitude,
                longitude,
            }),
            time_zone: "Europe/Rome".into(),
            opening_hours: vec![hours(v1::DayOfWeek::Monday), hours(v1::DayOfWeek::Tuesday)],
            town: "Firenze".into(),
            country_code: "IT".into(),
            ..Default::default()
        };
        let stores = v1::PutStoresRequest {
            request_id: self.request_id(),
            stores: STORES.map(store).to_vec(),
        };
        let _: v1::PutStoresResponse = self.change("CatalogService/PutStores", &stores).await?;
        let product = |(i, sku): (usize, &&str)| v1::Product {
            sku: (*sku).into(),
            display_name: format!("Product {sku}"),
            category_path: vec!["Food".into(), ["Coffee", "Pasta"][i % 2].into()],
            brand: "House".into(),
            unit: v1::Unit::Ea.into(),
            gtins: if i == 0 {
                vec!["8001234567897".into()]
            } else {
                Vec::new()
            },
            plu: if i == 3 {
                "000454".into()
            } else {
                String::new()
            },
            list_price: euros(250 + 100 * i as i64),
            vat_rate_basis_points: 2200,
            ..Default::default()
        };
        let products = v1::PutProductsRequest {
            request_id: self.request_id(),
            products: SKUS.iter().enumerate().map(product).collect(),
        };
        let _: v1::PutProductsResponse =
            self.change("CatalogService/PutProducts", &products).await?;
        Ok(())
    }

    async fn people(&mut self) -> Result<()> {
        for (n, name) in ["Maria", "Luca", "Giulia"].iter().enumerate() {
            let n = n + 1;
            let draft = v1::CreateCustomerRequest {
                request_id: self.request_id(),
                customer_id: format!("customer-{n}"),
                identifiers: vec![
                    card(&format!("CARD{n:04}")),
                    email(&format!("{}@example.com", name.to_lowercase())),
                ],
                contacts: Some(v1::Contacts {
                    given_name: (*name).into(),
                    family_name: "Bianchi".into(),
                    town: "Firenze".into(),
                    ..Default::default()
                }),
                consents: vec![v1::Consent {
                    purpose: v1::ConsentPurpose::Profiling.into(),
                    granted: n != 3,
                    decided_time: time(-86_400),
                    notice_version: "2026-01".into(),
                }],
                preferred_store_id: "0101".into(),
                segments: vec!["families".into()],
            };
            let _: v1::CreateCustomerResponse = self
                .change("CustomerService/CreateCustomer", &draft)
                .await?;
        }
        let update = v1::UpdateCustomerRequest {
            request_id: self.request_id(),
            customer_id: "customer-2".into(),
            update: Some(v1::CustomerUpdate {
                segments: vec!["families".into(), "students".into()],
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["segments".into()],
            }),
            ..Default::default()
        };
        let _: v1::CustomerProfile = self
            .change("CustomerService/UpdateCustomer", &update)
            .await?;
        Ok(())
    }

    async fn offers(&mut self) -> Result<()> {
        for n in 1..=3 {
            let offer = v1::Offer {
                offer_id: format!("offer-{n}"),
                display_name: format!("Offer {n}"),
                text: "Ten per cent".into(),
                target_skus: vec![SKUS[n - 1].into()],
                reward: Some(v1::Reward {
                    reward: Some(v1::reward::Reward::PercentOffBasisPoints(1000)),
                }),
                value: euros(100),
                base_propensity: Some(0.2),
                ..Default::default()
            };
            let put = v1::PutOfferRequest {
                request_id: self.request_id(),
                offer: Some(offer),
                validate_only: false,
            };
            let _: v1::Offer = self.change("OfferService/PutOffer", &put).await?;
        }
        let archive = v1::ArchiveOfferRequest {
            request_id: self.request_id(),
            offer_id: "offer-3".into(),
        };
        let _: v1::Offer = self.change("OfferService/ArchiveOffer", &archive).await?;
        let outcome = |offer: &str, outcome: v1::OutcomeType| v1::Outcome {
            decision_id: "decision-1".into(),
            offer_id: offer.into(),
            r#type: outcome.into(),
            occurred_time: time(0),
        };
        let report = v1::ReportOutcomesRequest {
            request_id: self.request_id(),
            outcomes: vec![
                outcome("offer-1", v1::OutcomeType::Impression),
                outcome("offer-1", v1::OutcomeType::Accept),
                outcome("offer-2", v1::OutcomeType::Impression),
            ],
        };
        let _: v1::ReportOutcomesResponse =
            self.change("OfferService/ReportOutcomes", &report).await?;
        Ok(())
    }

    async fn count(&mut self, sku: &str, store: &str, n: i64) -> Result<()> {
        let count = v1::SetStockCountRequest {
            request_id: self.request_id(),
            sku: sku.into(),
            store_id: store.into(),
            on_hand: pieces(n),
            safety_stock: pieces(1),
            ..Default::default()
        };
        let _: v1::StockLevel = self
            .change("InventoryService/SetStockCount", &count)
            .await?;
        Ok(())
    }

    async fn adjust(
        &mut self,
        sku: &str,
        store: &str,
        n: i64,
        reason: v1::AdjustmentReason,
    ) -> Result<()> {
        let adjust = v1::AdjustStockRequest {
            request_id: self.request_id(),
            sku: sku.into(),
            store_id: store.into(),
            delta: pieces(n),
            reason: reason.into(),
            ..Default::default()
        };
        let _: v1::StockLevel = self.change("InventoryService/AdjustStock", &adjust).await?;
        Ok(())
    }

    /// Receipts of known, unknown and no customers, with a product and a store nobody knows; a return; other events.
    async fn receipts(&mut self, day: &str, seconds: i64) -> Result<()> {
        let line = |sku: &str, n: i64, net: i64, reservation: &str| v1::TransactionLine {
            line_id: "1".into(),
            item: Some(v1::transaction_line::Item::Sku(sku.into())),
            quantity: pieces(n),
            net_amount: euros(net),
            offer_ids: vec!["offer-1".into()],
            reservation_id: reservation.into(),
            ..Default::default()
        };
        let receipt = |number: i64, store: &str, kind: v1::TransactionType, line, who: &[&str]| {
            v1::RetailTransaction {
                key: Some(v1::TransactionKey {
                    store_id: store.into(),
                    workstation_id: "3".into(),
                    business_day_date: day.into(),
                    sequence_number: number,
                }),
                r#type: kind.into(),
                end_time: time(seconds),
                lines: vec![line],
                tenders: vec![v1::Tender {
                    r#type: "cash".into(),
                    amount: euros(500),
                }],
                customer_identifiers: who.iter().map(|value| card(value)).collect(),
                ..Default::default()
            }
        };
        use v1::TransactionType::{Return, Sale};
        let payloads = vec![
            Payload::Transaction(receipt(
                1,
                "0101",
                Sale,
                line("000451", 2, 500, ""),
                &["CARD0001"],
            )),
            Payload::Transaction(receipt(
                2,
                "0101",
                Sale,
                line("000452", 1, 350, ""),
                &["CARD7777"],
            )),
            Payload::Transaction(receipt(3, "0102", Sale, line("unheard-of", 1, 99, ""), &[])),
            Payload::Transaction(receipt(
                4,
                "0999",
                Sale,
                line("000453", 1, 450, ""),
                &["CARD0002"],
            )),
            Payload::Transaction(receipt(
                5,
                "0101",
                Return,
                line("000451", 1, -250, ""),
                &["CARD0001"],
            )),
            Payload::StockAdjustment(v1::StockAdjusted {
                sku: "000454".into(),
                store_id: "0201".into(),
                delta: pieces(5),
                damage: false,
                ..Default::default()
            }),
            Payload::ProfileUpserted(v1::ProfileUpserted {
                customer_id: "customer-8".into(),
                identifiers: vec![card("CARD0008")],
                segments: vec!["new".into()],
                ..Default::default()
            }),
        ];
        let mut events = Vec::new();
        for payload in payloads {
            self.events += 1;
            events.push(v1::Event {
                event_id: format!("event-{:04}", self.events),
                source: "pos".into(),
                occurred_time: time(seconds),
                offline: false,
                payload: Some(payload),
                ..Default::default()
            });
        }
        let request = v1::IngestBatchRequest { events };
        let (answer, _): (v1::IngestBatchResponse, _) =
            self.call("IngestService/IngestBatch", &request).await?;
        let refused = answer
            .acks
            .iter()
            .find(|ack| ack.status() != v1::AckStatus::Accepted);
        ensure!(refused.is_none(), "{refused:?}");
        Ok(())
    }

    async fn reserve(&mut self, order: &str, lines: &[(&str, i64)]) -> Result<String> {
        // Longer than the story, so that a held one is still held when it is read again.
        self.reserve_for(7 * 86_400, order, lines).await
    }

    async fn reserve_for(
        &mut self,
        seconds: i64,
        order: &str,
        lines: &[(&str, i64)],
    ) -> Result<String> {
        let lines = lines.iter().enumerate();
        let request = v1::ReserveFulfillmentRequest {
            request_id: self.request_id(),
            order_id: order.into(),
            origin: florence(),
            lines: lines
                .map(|(i, (sku, n))| v1::FulfillmentLine {
                    line_id: i.to_string(),
                    sku: (*sku).into(),
                    quantity: pieces(*n),
                    methods: Default::default(),
                })
                .collect(),
            hold_duration: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        };
        let held: v1::Reservation = self
            .change("FulfillmentService/ReserveFulfillment", &request)
            .await?;
        self.reservations.push(held.reservation_id.clone());
        Ok(held.reservation_id)
    }

    /// Held, confirmed, released, replaced and handed over.
    async fn holds(&mut self, day: &str) -> Result<()> {
        let order = |name: &str| format!("{day}-{name}");
        self.reserve(&order("held"), &[("000451", 2), ("000453", 1)])
            .await?;
        let confirmed = self.reserve(&order("confirmed"), &[("000452", 3)]).await?;
        let released = self.reserve(&order("released"), &[("000454", 1)]).await?;
        self.reserve(&order("replaced"), &[("000451", 1)]).await?;
        self.reserve(&order("replaced"), &[("000451", 4)]).await?;
        let handed_over = self
            .reserve(&order("handed-over"), &[("000452", 1)])
            .await?;
        for id in [&confirmed, &handed_over] {
            let request = v1::ConfirmReservationRequest {
                request_id: self.request_id(),
                reservation_id: id.clone(),
                ..Default::default()
            };
            let _: v1::Reservation = self
                .change("FulfillmentService/ConfirmReservation", &request)
                .await?;
        }
        let request = v1::ReleaseReservationRequest {
            request_id: self.request_id(),
            reservation_id: released,
        };
        let _: v1::Reservation = self
            .change("FulfillmentService/ReleaseReservation", &request)
            .await?;
        self.events += 1;
        let receipt = v1::RetailTransaction {
            key: Some(v1::TransactionKey {
                store_id: "0101".into(),
                workstation_id: "4".into(),
                business_day_date: day.into(),
                sequence_number: 1,
            }),
            r#type: v1::TransactionType::Sale.into(),
            lines: vec![v1::TransactionLine {
                line_id: "1".into(),
                item: Some(v1::transaction_line::Item::Sku("000452".into())),
                quantity: pieces(1),
                net_amount: euros(350),
                reservation_id: handed_over,
                ..Default::default()
            }],
            ..Default::default()
        };
        let request = v1::IngestBatchRequest {
            events: vec![v1::Event {
                event_id: format!("event-{:04}", self.events),
                source: "pos".into(),
                payload: Some(Payload::Transaction(receipt)),
                ..Default::default()
            }],
        };
        let (answer, _): (v1::IngestBatchResponse, _) =
            self.call("IngestService/IngestBatch", &request).await?;
        ensure!(answer.acks[0].warnings.is_empty(), "{answer:?}");
        Ok(())
    }

    async fn checkout(&mut self, id: &str, revision: i64, close: bool) -> Result<()> {
        let request = v1::EvaluateCheckoutRequest {
            checkout_id: id.into(),
            revision,
            identifiers: vec![card("CARD0001")],
            channel: v1::Channel::Ecommerce.into(),
            lines: vec![v1::BasketLine {
                line_id: "1".into(),
                item: Some(v1::basket_line::Item::Sku("000453".into())),
                quantity: pieces(revision),
                ..Default::default()
            }],
            fulfillment: Some(v1::CheckoutFulfillment {
                origin: florence(),
                hold: true,
                hold_duration: Some(prost_types::Duration {
                    seconds: 7 * 86_400,
                    nanos: 0,
                }),
                ..Default::default()
            }),
            request_id: self.request_id(),
            ..Default::default()
        };
        // Its profile, offers and plan are of the moment it is asked, so its repeat is not compared.
        let (answer, _): (v1::EvaluateCheckoutResponse, _) = self
            .call("CheckoutService/EvaluateCheckout", &request)
            .await?;
        self.reservations
            .push(answer.reservation.context("held")?.reservation_id);
        if close {
            let request = v1::CloseCheckoutRequest {
                request_id: self.request_id(),
                checkout_id: id.into(),
                result: v1::CheckoutResult::Completed.into(),
            };
            let _: v1::CloseCheckoutResponse = self
                .change("CheckoutService/CloseCheckout", &request)
                .await?;
        }
        Ok(())
    }

    /// Questions about all of it; none changes anything.
    async fn ask(&self) -> Result<Vec<Recorded>> {
        let mut asked = Vec::new();
        macro_rules! ask {
            ($method:literal, $answer:ident, $request:expr) => {{
                let (_, recorded): (v1::$answer, _) = self.call($method, &$request).await?;
                asked.push(recorded);
            }};
        }
        ask!(
            "CatalogService/ListStores",
            ListStoresResponse,
            v1::ListStoresRequest::default()
        );
        ask!(
            "CatalogService/ListProducts",
            ListProductsResponse,
            v1::ListProductsRequest::default()
        );
        let scanned = v1::GetProductRequest {
            item: Some(v1::get_product_request::Item::ScannedCode(
                "8001234567897".into(),
            )),
            ..Default::default()
        };
        ask!("CatalogService/GetProduct", GetProductResponse, scanned);
        let offers = v1::ListOffersRequest {
            show_archived: true,
            ..Default::default()
        };
        ask!("OfferService/ListOffers", ListOffersResponse, offers);
        for n in [1, 2, 3, 8, 9] {
            let profile = v1::GetCustomerRequest {
                customer_id: format!("customer-{n}"),
                view: v1::ProfileView::Full.into(),
            };
            ask!("CustomerService/GetCustomer", CustomerProfile, profile);
        }
        for value in ["CARD0001", "CARD7777", "CARD4444"] {
            let recognize = v1::RecognizeCustomerRequest {
                identifiers: vec![card(value)],
                view: v1::ProfileView::Full.into(),
                ..Default::default()
            };
            ask!(
                "CustomerService/RecognizeCustomer",
                RecognizeCustomerResponse,
                recognize
            );
        }
        let cells = STORES.iter().flat_map(|(store, _, _)| {
            SKUS.map(|sku| v1::GetAvailabilityRequest {
                sku: sku.into(),
                store_id: (*store).into(),
            })
        });
        let levels = v1::BatchGetAvailabilityRequest {
            requests: cells.collect(),
        };
        ask!(
            "InventoryService/BatchGetAvailability",
            BatchGetAvailabilityResponse,
            levels
        );
        for id in &self.reservations {
            let reservation = v1::GetReservationRequest {
                reservation_id: id.clone(),
            };
            ask!(
                "FulfillmentService/GetReservation",
                Reservation,
                reservation
            );
        }
        let plan = v1::PlanFulfillmentRequest {
            origin: florence(),
            lines: vec![v1::FulfillmentLine {
                line_id: "1".into(),
                sku: "000453".into(),
                quantity: pieces(5),
                methods: Default::default(),
            }],
            max_options: 3,
            ..Default::default()
        };
        ask!("FulfillmentService/PlanFulfillment", FulfillmentPlan, plan);
        ask!(
            "IngestService/ListQuarantinedLines",
            ListQuarantinedLinesResponse,
            v1::ListQuarantinedLinesRequest::default()
        );
        ask!(
            "IngestService/ListProvisionalCustomers",
            ListProvisionalCustomersResponse,
            v1::ListProvisionalCustomersRequest::default()
        );
        Ok(asked)
    }
}
