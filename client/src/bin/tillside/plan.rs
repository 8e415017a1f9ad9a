//! `tillside plan`: where can they get it? For people a picture of the answer, for a map its GeoJSON.

use crate::{
    global::{Exit, GlobalArgs},
    inputs::{self, LineArg, OriginArgs},
    instant, output,
};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tillside_client::Tillside;
use tillside_client::v1::{
    Destination, FallbackStep, FulfillmentLeg, FulfillmentMethod, FulfillmentOption,
    FulfillmentPlan, GetStoreRequest, LatLng, Money, OptionCost, Place, PlanFulfillmentRequest,
    PlanOutcome, StepResult, StoreRejection, TimeWindow, place,
};

/// Arguments of `tillside plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    origin: OriginArgs,
    /// No farther than this for a pickup, for example 25km
    #[arg(long, value_name = "DISTANCE", value_parser = inputs::distance_meters)]
    within: Option<f64>,
    /// Only stores that are open now
    #[arg(long)]
    open_now: bool,
    /// At most this many ways
    #[arg(long, default_value_t = 3, value_name = "N")]
    max: i32,
    /// How it may reach the shopper, several times or `any`; pickup where none is given
    #[arg(long = "by", value_name = "METHOD")]
    methods: Vec<MethodArg>,
    /// Where a parcel goes, a country and a postal code if need be, for example IT-50123
    #[arg(long, value_name = "PLACE")]
    ship_to: Option<String>,
    /// Write the answer here for a map, as GeoJSON
    #[arg(long, value_name = "FILE")]
    geojson: Option<PathBuf>,
    /// What is wanted
    #[arg(required = true, value_name = "SKU[:QTY]", value_parser = inputs::line)]
    lines: Vec<LineArg>,
}

/// A way, in the words of the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum MethodArg {
    /// Picked up in a store
    Pickup,
    /// Sent by a store
    ShipFromStore,
    /// Sent by a warehouse
    ShipToHome,
    /// Sent by a supplier
    DropShip,
    /// All of them
    Any,
}

impl MethodArg {
    /// As the request has them.
    pub(crate) fn wire(methods: &[MethodArg]) -> Vec<i32> {
        let of = |arg: &MethodArg| match arg {
            MethodArg::Pickup => vec![FulfillmentMethod::Pickup],
            MethodArg::ShipFromStore => vec![FulfillmentMethod::ShipFromStore],
            MethodArg::ShipToHome => vec![FulfillmentMethod::ShipToHome],
            MethodArg::DropShip => vec![FulfillmentMethod::DropShip],
            MethodArg::Any => vec![
                FulfillmentMethod::Pickup,
                FulfillmentMethod::ShipFromStore,
                FulfillmentMethod::ShipToHome,
                FulfillmentMethod::DropShip,
            ],
        };
        methods.iter().flat_map(of).map(i32::from).collect()
    }
}

impl PlanArgs {
    fn destination(&self) -> Option<Destination> {
        let text = self.ship_to.as_deref()?;
        let (country, postal) = text.split_once('-').unwrap_or((text, ""));
        Some(Destination {
            country_code: country.to_owned(),
            postal_code: postal.to_owned(),
            location: None,
        })
    }
}

/// Exit status 3 where nothing was found.
pub(crate) async fn run(args: PlanArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let request = PlanFulfillmentRequest {
        origin: args.origin.place(),
        lines: args.lines.iter().map(LineArg::fulfillment_line).collect(),
        max_distance_meters: args.within,
        max_options: args.max,
        require_open_now: args.open_now,
        methods: MethodArg::wire(&args.methods),
        ship_to: args.destination(),
        ..Default::default()
    };
    let client = global.connect().await?;
    let answer = client.plan_fulfillment(request).await?;
    if let Some(file) = &args.geojson {
        write_map(&client, args.origin.place().as_ref(), &answer.value, file).await?;
    }
    output::show(global, "FulfillmentPlan", &answer, human)?;
    let exit = match answer.value.outcome() {
        PlanOutcome::Matched => Exit::Ok,
        _ => Exit::NotFound,
    };
    Ok(exit.into())
}

/// A plan for people.
pub(crate) fn human(plan: &FulfillmentPlan) -> String {
    let mut parts = vec![match plan.outcome() {
        PlanOutcome::Matched => ways(plan),
        PlanOutcome::Partial => {
            let mut table = output::table(["store", "distance", "has lines"]);
            for option in &plan.partial_options {
                table.add_row([
                    option.store_id.clone(),
                    distance(option.distance_meters),
                    option.available_line_ids.join(", "),
                ]);
            }
            let split = if plan.options.is_empty() {
                String::new()
            } else {
                format!("\nin parts\n{}", ways(plan))
            };
            format!("no store in range has all of it; these have a part\n{table}{split}")
        }
        PlanOutcome::NoStoreInRange => "no store in range takes orders".to_owned(),
        _ => "no store in range has any of it".to_owned(),
    }];
    if let Some(next) = &plan.next_pickup {
        let when = next.pickup_slot.as_ref().or(next.pickup_window.as_ref());
        parts.push(format!(
            "no pickup now; the next one: {} at store {}, {}",
            window(when, &next.store_time_zone),
            next.store_id,
            distance(next.distance_meters)
        ));
    }
    if !plan.rejected_stores.is_empty() {
        let mut table = output::table(["nearer, not taken", "distance", "because"]);
        for store in &plan.rejected_stores {
            table.add_row([
                store.store_id.clone(),
                distance(store.distance_meters),
                rejection(store.reason),
            ]);
        }
        parts.push(table.to_string());
    }
    // Where the first step gives it, the others are of no interest.
    let first = plan.steps.first().map(|step| step.result());
    if first.is_some_and(|result| result != StepResult::Found) {
        let mut table = output::table(["step", "came of it"]);
        for report in &plan.steps {
            let result = output::word(report.result().as_str_name(), "STEP_RESULT_");
            table.add_row([
                step(report.step()),
                if report.rule_id.is_empty() {
                    result
                } else {
                    format!("{result}: {}", report.rule_id)
                },
            ]);
        }
        parts.push(table.to_string());
    }
    if let Some(time) = &plan.retry_time {
        parts.push(format!(
            "ask again at {}",
            instant::format_in_zone(time, "UTC")
        ));
    }
    parts.join("\n")
}

fn ways(plan: &FulfillmentPlan) -> String {
    let legs = plan.options.iter().flat_map(|option| &option.legs);
    let farthest = legs.map(|leg| leg.distance_meters).fold(0.0, f64::max);
    let costs = plan.options.iter().any(|option| total(option).is_some());
    let mut table = output::table([
        "#", "how", "store", "name", "distance", "", "when", "cost", "lines",
    ]);
    for option in &plan.options {
        let split = option.legs.len() > 1;
        for leg in &option.legs {
            let how = if split {
                format!("part, {}", method(leg.method()))
            } else {
                step(option.step())
            };
            let lines = if split {
                leg.line_ids.join(", ")
            } else {
                "all".to_owned()
            };
            table.add_row([
                option.rank.to_string(),
                how,
                leg.store_id.clone(),
                leg.store_display_name.clone(),
                distance(leg.distance_meters),
                bar(leg.distance_meters, farthest),
                when(leg),
                leg.cost.as_ref().and_then(amount).unwrap_or_default(),
                lines,
            ]);
        }
    }
    if costs {
        let breakdown = plan.options.iter().filter_map(|option| {
            Some(format!(
                "{}: {}",
                option.rank,
                breakdown(option.cost.as_ref()?)
            ))
        });
        format!(
            "{table}\ncosts {}",
            breakdown.collect::<Vec<_>>().join("; ")
        )
    } else {
        table.to_string()
    }
}

/// How far, as a line: the farthest is the longest.
fn bar(meters: f64, farthest: f64) -> String {
    const LONGEST: f64 = 12.0;
    let length = if farthest > 0.0 {
        (meters / farthest * LONGEST).round() as usize
    } else {
        0
    };
    format!("{}●", "─".repeat(length))
}

fn when(leg: &FulfillmentLeg) -> String {
    let when = match &leg.delivery_window {
        Some(delivery) => format!("there {}", window(Some(delivery), &leg.store_time_zone)),
        None => pickup(leg),
    };
    match &leg.incoming_time {
        Some(comes) => format!(
            "{when}, delivery {}",
            instant::format_in_zone(comes, &leg.store_time_zone)
        ),
        None if leg.hold_first => format!("{when}, last pieces"),
        None => when,
    }
}

fn pickup(leg: &FulfillmentLeg) -> String {
    match (&leg.pickup_slot, &leg.pickup_window, leg.method()) {
        (Some(slot), _, _) => format!("slot {}", window(Some(slot), &leg.store_time_zone)),
        (None, Some(pickup), _) => window(Some(pickup), &leg.store_time_zone),
        (None, None, FulfillmentMethod::Pickup | FulfillmentMethod::Unspecified) => {
            window(None, &leg.store_time_zone)
        }
        (None, None, _) => "sent".to_owned(),
    }
}

fn total(option: &FulfillmentOption) -> Option<String> {
    amount(option.cost.as_ref()?)
}

fn amount(cost: &OptionCost) -> Option<String> {
    let total = cost.total.as_ref()?;
    (total.minor_units != 0).then(|| money(total))
}

fn money(money: &Money) -> String {
    let (sign, minor) = (
        if money.minor_units < 0 { "-" } else { "" },
        money.minor_units.unsigned_abs(),
    );
    let code = &money.currency_code;
    format!("{sign}{}.{:02} {code}", minor / 100, minor % 100)
}

fn breakdown(cost: &OptionCost) -> String {
    let parts = [
        ("distance", &cost.distance),
        ("handling", &cost.handling),
        ("parcels", &cost.parcels),
        ("busy store", &cost.store_load),
        ("waiting", &cost.waiting),
    ];
    let told = parts.into_iter().filter_map(|(name, part)| {
        let part = part.as_ref().filter(|part| part.minor_units != 0)?;
        Some(format!("{name} {}", money(part)))
    });
    let told: Vec<_> = told.collect();
    if told.is_empty() {
        "nothing".to_owned()
    } else {
        told.join(", ")
    }
}

fn step(step: FallbackStep) -> String {
    output::word(step.as_str_name(), "FALLBACK_STEP_")
}

fn method(method: FulfillmentMethod) -> String {
    output::word(method.as_str_name(), "FULFILLMENT_METHOD_")
}

fn rejection(reason: i32) -> String {
    let reason = StoreRejection::try_from(reason).unwrap_or_default();
    output::word(reason.as_str_name(), "STORE_REJECTION_")
}

/// Writes the answer for a map: the shopper, the places of each way with a line to them, and the stores that were not taken.
async fn write_map(
    client: &Tillside,
    origin: Option<&Place>,
    plan: &FulfillmentPlan,
    file: &Path,
) -> anyhow::Result<()> {
    let shopper = match origin.and_then(|place| place.place.as_ref()) {
        Some(place::Place::Location(location)) => Some(*location),
        Some(place::Place::StoreId(store_id)) => location_of(client, store_id).await?,
        None => None,
    };
    let mut features = Vec::new();
    if let Some(shopper) = &shopper {
        features.push(feature(point(shopper), json!({"kind": "shopper"})));
    }
    for option in &plan.options {
        for leg in &option.legs {
            features.extend(leg_features(option, leg, shopper.as_ref()));
        }
    }
    for store in &plan.rejected_stores {
        let about = json!({
            "kind": "not taken", "store_id": store.store_id,
            "distance_meters": store.distance_meters, "because": rejection(store.reason),
        });
        if let Some(location) = location_of(client, &store.store_id).await? {
            features.push(feature(point(&location), about));
        }
    }
    for store in &plan.partial_options {
        let about = json!({
            "kind": "has a part", "store_id": store.store_id,
            "distance_meters": store.distance_meters, "line_ids": store.available_line_ids,
        });
        if let Some(location) = location_of(client, &store.store_id).await? {
            features.push(feature(point(&location), about));
        }
    }
    let map = json!({"type": "FeatureCollection", "features": features});
    std::fs::write(file, format!("{map:#}\n"))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn leg_features(
    option: &FulfillmentOption,
    leg: &FulfillmentLeg,
    shopper: Option<&LatLng>,
) -> Vec<Value> {
    let Some(location) = &leg.location else {
        return Vec::new();
    };
    let about = json!({
        "kind": "way", "rank": option.rank, "step": step(option.step()),
        "method": method(leg.method()), "store_id": leg.store_id, "name": leg.store_display_name,
        "distance_meters": leg.distance_meters, "when": when(leg), "line_ids": leg.line_ids,
        "cost": leg.cost.as_ref().and_then(amount),
    });
    let line = shopper.map(|shopper| {
        let line =
            json!({"type": "LineString", "coordinates": [position(shopper), position(location)]});
        feature(line, about.clone())
    });
    let mut features = vec![feature(point(location), about)];
    features.extend(line);
    features
}

async fn location_of(client: &Tillside, store_id: &str) -> anyhow::Result<Option<LatLng>> {
    let request = GetStoreRequest {
        store_id: store_id.to_owned(),
    };
    Ok(client.get_store(request).await?.value.location)
}

fn feature(geometry: Value, properties: Value) -> Value {
    json!({"type": "Feature", "geometry": geometry, "properties": properties})
}

fn point(location: &LatLng) -> Value {
    json!({"type": "Point", "coordinates": position(location)})
}

/// Longitude first, as RFC 7946 has it.
fn position(location: &LatLng) -> [f64; 2] {
    [location.longitude, location.latitude]
}

/// A distance for people.
pub(crate) fn distance(meters: f64) -> String {
    if meters < 1000.0 {
        format!("{meters:.0} m")
    } else {
        format!("{:.1} km", meters / 1000.0)
    }
}

/// A pickup window for people, in the store's own time.
pub(crate) fn window(window: Option<&TimeWindow>, zone: &str) -> String {
    let Some(window) = window else {
        return "any time".to_owned();
    };
    let side = |time: Option<&prost_types::Timestamp>| {
        time.map(|time| instant::format_in_zone(time, zone))
            .unwrap_or_default()
    };
    let (start, end) = (
        side(window.start_time.as_ref()),
        side(window.end_time.as_ref()),
    );
    // "Mon 2026-03-02 08:30": a window within a day names the day once.
    match (start.rsplit_once(' '), end.rsplit_once(' ')) {
        (Some((day, _)), Some((same, time))) if day == same => format!("{start}–{time}"),
        _ => format!("{start} – {end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euros(minor_units: i64) -> Option<Money> {
        Some(Money {
            currency_code: "EUR".to_owned(),
            minor_units,
        })
    }

    #[test]
    fn a_plan_draws_stores_distances_windows_costs_and_reasons() {
        let time = |text: &str| Some(text.parse().expect("a literal"));
        let leg = |store: &str, meters: f64| FulfillmentLeg {
            store_id: store.to_owned(),
            distance_meters: meters,
            store_time_zone: "Europe/Rome".to_owned(),
            method: FulfillmentMethod::Pickup.into(),
            pickup_window: Some(TimeWindow {
                start_time: time("2026-11-23T08:00:00Z"),
                end_time: time("2026-11-23T12:00:00Z"),
            }),
            cost: Some(OptionCost {
                total: euros(150),
                distance: euros(150),
                ..OptionCost::default()
            }),
            location: Some(LatLng {
                latitude: 43.0,
                longitude: 11.0,
            }),
            ..FulfillmentLeg::default()
        };
        let option = |rank, leg: FulfillmentLeg| FulfillmentOption {
            rank,
            step: FallbackStep::PickupNearTime.into(),
            cost: leg.cost.clone(),
            legs: vec![leg],
            ..FulfillmentOption::default()
        };
        let last_pieces = FulfillmentLeg {
            hold_first: true,
            ..leg("9", 1000.0)
        };
        let plan = FulfillmentPlan {
            outcome: PlanOutcome::Matched.into(),
            options: vec![option(1, leg("7", 500.0)), option(2, last_pieces)],
            steps: vec![tillside_client::v1::StepReport {
                step: FallbackStep::PickupNow.into(),
                result: StepResult::OtherWindow.into(),
                rule_id: String::new(),
            }],
            ..FulfillmentPlan::default()
        };
        let text = human(&plan);
        for expected in [
            "500 m",
            "──────●",
            "────────────●",
            "Mon 2026-11-23 09:00–13:00",
            "13:00, last pieces",
            "1.50 EUR",
            "distance 1.50 EUR",
            "other window",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        let features = leg_features(
            &plan.options[0],
            &plan.options[0].legs[0],
            Some(&LatLng::default()),
        );
        assert_eq!(features.len(), 2);
        assert_eq!(features[0]["geometry"]["coordinates"], json!([11.0, 43.0]));
        assert_eq!(features[1]["geometry"]["type"], "LineString");
    }
}
