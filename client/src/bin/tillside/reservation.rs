//! `tillside reserve`, `confirm` and `release`: the life of a hold.

use crate::{
    decimal,
    global::GlobalArgs,
    inputs::{self, LineArg},
    instant, output,
    plan::{self, MethodArg},
};
use clap::Args;
use std::{process::ExitCode, time::Duration};
use tillside_client::v1::{
    ConfirmReservationRequest, LatLng, Place, ReleaseReservationRequest, Reservation,
    ReservationState, ReserveFulfillmentRequest, place,
};

/// Arguments of `tillside reserve`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true)))]
pub(crate) struct ReserveArgs {
    /// The order the hold belongs to; a repeat replaces the order's hold
    #[arg(long, value_name = "ID")]
    order: String,
    /// How long to hold, for example 15m
    #[arg(long, default_value = "15m", value_parser = inputs::duration, value_name = "DURATION")]
    hold: Duration,
    /// Where the shopper is, for example 43.77,11.25
    #[arg(long, value_name = "LAT,LON", value_parser = inputs::coordinates, allow_hyphen_values = true, group = "where", conflicts_with = "near_store")]
    at: Option<LatLng>,
    /// The shopper is at this store
    #[arg(long, value_name = "ID", group = "where")]
    near_store: Option<String>,
    /// Only at this store
    #[arg(long, value_name = "ID", group = "where")]
    store: Option<String>,
    /// No farther than this, for example 25km
    #[arg(long, value_name = "DISTANCE", value_parser = inputs::distance_meters)]
    within: Option<f64>,
    /// Only stores that are open now
    #[arg(long)]
    open_now: bool,
    /// How it may reach the shopper, several times or `any`; pickup where none is given
    #[arg(long = "by", value_name = "METHOD")]
    methods: Vec<MethodArg>,
    /// Also in parts from several places, where no one place has everything
    #[arg(long)]
    allow_split: bool,
    /// Repeat of an earlier call: the same id and basket answer the same reservation
    #[arg(long, value_name = "UUID")]
    request_id: Option<String>,
    /// What to hold
    #[arg(required = true, value_name = "SKU[:QTY]", value_parser = inputs::line)]
    lines: Vec<LineArg>,
}

/// Arguments of `tillside confirm` and `tillside release`.
#[derive(Debug, Args)]
pub(crate) struct ReservationArgs {
    /// The reservation, as answered by reserve
    #[arg(value_name = "RESERVATION_ID")]
    reservation: String,
}

pub(crate) async fn reserve(args: ReserveArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let origin = match (args.at, args.near_store) {
        (Some(location), _) => Some(place::Place::Location(location)),
        (None, Some(store_id)) => Some(place::Place::StoreId(store_id)),
        (None, None) => None,
    };
    let request = ReserveFulfillmentRequest {
        request_id: args.request_id.unwrap_or_default(),
        order_id: args.order,
        origin: origin.map(|place| Place {
            place: Some(place),
            ..Default::default()
        }),
        lines: args.lines.iter().map(LineArg::fulfillment_line).collect(),
        max_distance_meters: args.within,
        hold_duration: Some(prost_types::Duration::try_from(args.hold)?),
        store_id: args.store.unwrap_or_default(),
        require_open_now: args.open_now,
        methods: MethodArg::wire(&args.methods),
        allow_split: args.allow_split,
        ..Default::default()
    };
    let answer = global.connect().await?.reserve_fulfillment(request).await?;
    output::show(global, "Reservation", &answer, human)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn confirm(
    args: ReservationArgs,
    global: &GlobalArgs,
) -> anyhow::Result<ExitCode> {
    let request = ConfirmReservationRequest {
        reservation_id: args.reservation,
        ..Default::default()
    };
    let answer = global.connect().await?.confirm_reservation(request).await?;
    output::show(global, "Reservation", &answer, human)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn release(
    args: ReservationArgs,
    global: &GlobalArgs,
) -> anyhow::Result<ExitCode> {
    let request = ReleaseReservationRequest {
        request_id: String::new(),
        reservation_id: args.reservation,
    };
    let answer = global.connect().await?.release_reservation(request).await?;
    output::show(global, "Reservation", &answer, human)?;
    Ok(ExitCode::SUCCESS)
}

/// A reservation for people, with all parts of its order where there are several.
pub(crate) fn human(reservation: &Reservation) -> String {
    let several = !reservation.parts.is_empty();
    let parts = if several {
        &reservation.parts[..]
    } else {
        std::slice::from_ref(reservation)
    };
    let legs = parts
        .iter()
        .flat_map(|part| part.legs.iter().map(move |leg| (part, leg)));
    let held = legs
        .clone()
        .any(|(_, leg)| leg.state() == ReservationState::Held);
    let expires = if held {
        instant::format_optional(reservation.expire_time.as_ref())
    } else {
        String::new()
    };
    let mut text = output::facts([
        ("reservation", reservation.reservation_id.clone()),
        ("order", reservation.order_id.clone()),
        ("parts", reservation.part_reservation_ids.join(", ")),
        ("held until", expires),
        ("pickup code", reservation.pickup_code.clone()),
    ])
    .to_string();
    let mut table = output::table([
        "part", "store", "state", "how", "distance", "when", "sku", "asked", "held",
    ]);
    for (part, leg) in legs {
        for line in &leg.lines {
            let quantity = |quantity: Option<&tillside_client::v1::Quantity>| {
                quantity
                    .map(|quantity| decimal::format_quantity(quantity.thousandths))
                    .unwrap_or_default()
            };
            table.add_row([
                part.reservation_id.clone(),
                leg.store_id.clone(),
                output::word(leg.state().as_str_name(), "RESERVATION_STATE_"),
                output::word(leg.method().as_str_name(), "FULFILLMENT_METHOD_"),
                plan::distance(leg.distance_meters),
                plan::window(
                    leg.pickup_window.as_ref().or(leg.delivery_window.as_ref()),
                    &leg.store_time_zone,
                ),
                line.sku.clone(),
                quantity(line.quantity_requested.as_ref()),
                quantity(line.quantity_reserved.as_ref()),
            ]);
        }
    }
    text.push('\n');
    text.push_str(&table.to_string());
    text
}
