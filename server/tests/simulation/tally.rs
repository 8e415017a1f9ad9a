//! What a run met: every kind of command, refusal, fault and situation, counted, so that a run that meets too little fails.

use std::collections::BTreeMap;

use tillside_engine::command::{Command, IngestPayload};
use tillside_engine::order_command::OrderStep;
use tillside_store::faulty::FaultKind;

use crate::model::Told;

/// Kinds of commands that a run has to meet.
pub(crate) const COMMANDS: [&str; 42] = [
    "put stores",
    "put products",
    "create customer",
    "update customer",
    "put offer",
    "archive offer",
    "report outcomes",
    "adjust stock",
    "count stock",
    "reserve",
    "reserve for a checkout",
    "reserve in parts",
    "confirm",
    "release",
    "close checkout",
    "ingest a sale",
    "ingest a count",
    "ingest an adjustment",
    "ingest a profile",
    "expire a hold",
    "forget a checkout",
    "forget a reservation",
    "confirm an order",
    "extend",
    "acknowledge",
    "start picking",
    "make ready",
    "hand over",
    "ship",
    "put back",
    "report a pick exception",
    "cancel an order",
    "give up on a store that does not answer",
    "give up on a customer who does not come",
    "schedule a delivery",
    "receive a delivery",
    "cancel a delivery",
    "put facts",
    "ingest a delivery",
    "ingest a receipt of goods",
    "ingest a price",
    "forget a delivery",
];

/// Situations that a run has to meet.
pub(crate) const SITUATIONS: [&str; 34] = [
    "a request repeated after its answer",
    "a request repeated within its batch",
    "a request repeated after a crash, answered before",
    "a request repeated after a crash, unanswered and kept",
    "a request repeated after a crash, unanswered and lost",
    "a request id with another payload",
    "a first answer that could not be read",
    "a fact told twice",
    "a deadline passed",
    "the clock went back",
    "the clock stood still",
    "the clock leapt",
    "a bulk message in several batches",
    "power lost between two batches",
    "power lost within a batch",
    "a failed write whose batch survived",
    "a failed write whose batch is gone",
    "writing went on with room on the disk",
    "a lost tail refused",
    "a lost tail accepted",
    "damage refused at the start",
    "damage found by replaying",
    "a start killed half way",
    "a batch decided while one is written",
    "a request repeated while a batch is written",
    "power lost beside a write that was done",
    "power lost beside a write that was not",
    "a failed write beside which the next batch was decided",
    "an order held in several parts",
    "all parts of an order confirmed",
    "all parts of an order extended",
    "all parts of an order released",
    "all parts of an order cancelled",
    "a part of an order moved",
];

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) submitted: u64,
    pub(crate) batches: u64,
    pub(crate) starts: u64,
    commands: BTreeMap<&'static str, u64>,
    refusals: BTreeMap<&'static str, u64>,
    situations: BTreeMap<&'static str, u64>,
    faults: BTreeMap<FaultKind, u64>,
}

impl Tally {
    pub(crate) fn command(&mut self, name: &'static str) {
        *self.commands.entry(name).or_default() += 1;
    }

    pub(crate) fn refusal(&mut self, name: &'static str) {
        *self.refusals.entry(name).or_default() += 1;
    }

    pub(crate) fn met(&mut self, situation: &'static str) {
        debug_assert!(SITUATIONS.contains(&situation), "{situation}");
        *self.situations.entry(situation).or_default() += 1;
    }

    pub(crate) fn faults(&mut self, met: BTreeMap<FaultKind, u64>) {
        for (kind, count) in met {
            *self.faults.entry(kind).or_default() += count;
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.seeds += other.seeds;
        self.submitted += other.submitted;
        self.batches += other.batches;
        self.starts += other.starts;
        self.faults(other.faults);
        for (to, from) in [
            (&mut self.commands, other.commands),
            (&mut self.refusals, other.refusals),
            (&mut self.situations, other.situations),
        ] {
            for (name, count) in from {
                *to.entry(name).or_default() += count;
            }
        }
    }

    /// What was never met.
    pub(crate) fn missing(&self) -> Vec<String> {
        let absent = |names: &[&'static str], met: &BTreeMap<&'static str, u64>| -> Vec<String> {
            names
                .iter()
                .filter(|name| !met.contains_key(*name))
                .map(|name| (*name).to_owned())
                .collect()
        };
        let mut missing = absent(&COMMANDS, &self.commands);
        missing.extend(absent(&SITUATIONS, &self.situations));
        let faults = FaultKind::ALL
            .iter()
            .filter(|kind| !self.faults.contains_key(kind));
        missing.extend(faults.map(|kind| format!("{kind:?}")));
        missing
    }

    pub(crate) fn print(&self) {
        println!(
            "{} seeds: {} commands in {} batches, {} starts",
            self.seeds, self.submitted, self.batches, self.starts
        );
        for (title, counts) in [
            ("commands", &self.commands),
            ("refusals", &self.refusals),
            ("situations", &self.situations),
        ] {
            println!("{title}:");
            counts
                .iter()
                .for_each(|(name, count)| println!("  {count:>9} {name}"));
        }
        println!("faults:");
        self.faults
            .iter()
            .for_each(|(kind, count)| println!("  {count:>9} {kind:?}"));
    }
}

/// What a change means for an order in several parts, as in [`SITUATIONS`].
pub(crate) fn of_parts(command: &Command, told: &Told) -> Option<&'static str> {
    match (command, told) {
        (Command::Reserve(_), Told::Parts(..)) => Some("an order held in several parts"),
        (Command::ConfirmReservation(_), Told::Parts(..)) => {
            Some("all parts of an order confirmed")
        }
        (Command::ReleaseReservation(_), Told::Parts(..)) => Some("all parts of an order released"),
        (Command::CancelOrder { .. }, Told::Parts(..)) => Some("all parts of an order cancelled"),
        (Command::Order(order), Told::Parts(..)) => match order.step {
            OrderStep::Confirm(_) => Some("all parts of an order confirmed"),
            OrderStep::Extend { .. } => Some("all parts of an order extended"),
            _ => None,
        },
        (_, Told::Short { moved_to, .. }) => {
            let parts = moved_to.as_ref()?.parts.as_ref();
            parts.map(|_| "a part of an order moved")
        }
        _ => None,
    }
}

/// The kind of a command, as in [`COMMANDS`].
pub(crate) fn name(command: &Command) -> &'static str {
    match command {
        Command::PutStores(_) => "put stores",
        Command::PutProducts(_) => "put products",
        Command::CreateCustomer(_) => "create customer",
        Command::UpdateCustomer(_) => "update customer",
        Command::PutOffer(_) => "put offer",
        Command::ArchiveOffer { .. } => "archive offer",
        Command::ReportOutcomes(_) => "report outcomes",
        Command::AdjustStock(_) => "adjust stock",
        Command::SetStockCount(_) => "count stock",
        Command::Reserve(reserve) if reserve.checkout_revision.is_some() => {
            "reserve for a checkout"
        }
        Command::Reserve(reserve) if !reserve.parts.is_empty() => "reserve in parts",
        Command::Reserve(_) => "reserve",
        Command::ConfirmReservation(_) => "confirm",
        Command::ReleaseReservation(_) => "release",
        Command::CloseCheckout { .. } => "close checkout",
        Command::Ingest(ingest) => match ingest.payload {
            IngestPayload::Sale(_) => "ingest a sale",
            IngestPayload::Count(_) => "ingest a count",
            IngestPayload::Adjustment(_) => "ingest an adjustment",
            IngestPayload::Profile(_) => "ingest a profile",
            IngestPayload::Inbound(_) => "ingest a delivery",
            IngestPayload::Received(_) => "ingest a receipt of goods",
            IngestPayload::Facts(_) => "ingest a price",
        },
        Command::SetRoutingPolicy(_) => "set routing policy",
        Command::Timer(_) => "a timer",
        Command::Order(order) => match order.step {
            OrderStep::Confirm(_) => "confirm an order",
            OrderStep::Extend { .. } => "extend",
            OrderStep::Acknowledge => "acknowledge",
            OrderStep::StartPicking => "start picking",
            OrderStep::MarkReady => "make ready",
            OrderStep::HandOver(_) => "hand over",
            OrderStep::MarkShipped(_) => "ship",
            OrderStep::PutBack => "put back",
            OrderStep::PickException(_) => "report a pick exception",
        },
        Command::CancelOrder { .. } => "cancel an order",
        Command::ScheduleInbound(_) => "schedule a delivery",
        Command::ReceiveInbound(_) => "receive a delivery",
        Command::CancelInbound { .. } => "cancel a delivery",
        Command::PutFacts(_) => "put facts",
    }
}
