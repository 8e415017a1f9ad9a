//! `tillside plan`: where can they get it?

use crate::{
    global::{Exit, GlobalArgs},
    inputs::{self, LineArg, OriginArgs},
    instant, output,
};
use clap::Args;
use std::process::ExitCode;
use tillside_client::v1::{
    FulfillmentPlan, PlanFulfillmentRequest, PlanOutcome, StoreRejection, TimeWindow,
};

/// Arguments of `tillside plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    origin: OriginArgs,
    /// No farther than this, for example 25km
    #[arg(long, value_name = "DISTANCE", value_parser = inputs::distance_meters)]
    within: Option<f64>,
    /// Only stores that are open now
    #[arg(long)]
    open_now: bool,
    /// At most this many stores
    #[arg(long, default_value_t = 3, value_name = "N")]
    max: i32,
    /// What is wanted
    #[arg(required = true, value_name = "SKU[:QTY]", value_parser = inputs::line)]
    lines: Vec<LineArg>,
}

/// Exit status 3 where no store has it all.
pub(crate) async fn run(args: PlanArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let request = PlanFulfillmentRequest {
        origin: args.origin.place(),
        lines: args.lines.iter().map(LineArg::fulfillment_line).collect(),
        max_distance_meters: args.within,
        max_options: args.max,
        require_open_now: args.open_now,
        ..Default::default()
    };
    let answer = global.connect().await?.plan_fulfillment(request).await?;
    output::show(global, "FulfillmentPlan", &answer, human)?;
    let exit = match answer.value.outcome() {
        PlanOutcome::Matched => Exit::Ok,
        _ => Exit::NotFound,
    };
    Ok(exit.into())
}

/// A plan for people.
pub(crate) fn human(plan: &FulfillmentPlan) -> String {
    let mut text = match plan.outcome() {
        PlanOutcome::Matched => {
            let mut table = output::table(["#", "store", "name", "distance", "pickup"]);
            for option in &plan.options {
                for leg in &option.legs {
                    table.add_row([
                        option.rank.to_string(),
                        leg.store_id.clone(),
                        leg.store_display_name.clone(),
                        distance(leg.distance_meters),
                        window(leg.pickup_window.as_ref(), &leg.store_time_zone),
                    ]);
                }
            }
            table.to_string()
        }
        PlanOutcome::Partial => {
            let mut table = output::table(["store", "distance", "has lines"]);
            for option in &plan.partial_options {
                table.add_row([
                    option.store_id.clone(),
                    distance(option.distance_meters),
                    option.available_line_ids.join(", "),
                ]);
            }
            format!("no store in range has all of it; these have a part\n{table}")
        }
        PlanOutcome::NoStoreInRange => "no store in range takes orders".to_owned(),
        _ => "no store in range has any of it".to_owned(),
    };
    if !plan.rejected_stores.is_empty() {
        let mut table = output::table(["nearer, not taken", "distance", "because"]);
        for store in &plan.rejected_stores {
            let reason = StoreRejection::try_from(store.reason).unwrap_or_default();
            table.add_row([
                store.store_id.clone(),
                distance(store.distance_meters),
                output::word(reason.as_str_name(), "STORE_REJECTION_"),
            ]);
        }
        text = format!("{text}\n{table}");
    }
    text
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
