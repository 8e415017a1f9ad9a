//! `tillside offers`: what should we offer?

use crate::{
    global::GlobalArgs,
    inputs::{self, IdentifierArgs, LineArg},
    money, output,
};
use clap::{Args, ValueEnum};
use std::process::ExitCode;
use tillside_client::v1::{self, Decision, ExclusionReason, NextBestOfferRequest};

/// Arguments of `tillside offers`.
#[derive(Debug, Args)]
pub(crate) struct OffersArgs {
    #[command(flatten)]
    identifiers: IdentifierArgs,
    /// The store
    #[arg(long, value_name = "ID")]
    store: Option<String>,
    /// The channel
    #[arg(long, value_enum)]
    channel: Option<Channel>,
    /// At most this many offers
    #[arg(long, default_value_t = 3, value_name = "N")]
    max: i32,
    /// Also list the offers that were left out, with the reason
    #[arg(long)]
    exclusions: bool,
    /// The basket so far
    #[arg(value_name = "SKU[:QTY]", value_parser = inputs::line)]
    lines: Vec<LineArg>,
}

/// Where the shopper is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Channel {
    /// A till in a store
    Store,
    /// A web shop
    Ecommerce,
    /// The retailer's app
    App,
    /// A kiosk in a store
    Kiosk,
    /// A call centre
    CallCenter,
}

impl From<Channel> for v1::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Store => Self::Store,
            Channel::Ecommerce => Self::Ecommerce,
            Channel::App => Self::App,
            Channel::Kiosk => Self::Kiosk,
            Channel::CallCenter => Self::CallCenter,
        }
    }
}

pub(crate) async fn run(args: OffersArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let channel = args.channel.map(v1::Channel::from).unwrap_or_default();
    let request = NextBestOfferRequest {
        identifiers: args.identifiers.identifiers(),
        store_id: args.store.unwrap_or_default(),
        channel: channel.into(),
        lines: args.lines.iter().map(LineArg::basket_line).collect(),
        max_offers: args.max,
    };
    let answer = global.connect().await?.next_best_offer(request).await?;
    output::show(global, "Decision", &answer, |decision| {
        let offers = human(decision);
        if args.exclusions {
            format!("{offers}\n{}", exclusions(decision))
        } else {
            offers
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A decision for people.
pub(crate) fn human(decision: &Decision) -> String {
    let personal = if decision.personalised {
        "personal"
    } else {
        "from context alone"
    };
    if decision.ranked_offers.is_empty() {
        return format!(
            "decision {} ({personal}): no offer fits",
            decision.decision_id
        );
    }
    let mut table = output::table([
        "#",
        "offer",
        "what to say",
        "off today",
        "value",
        "score",
        "because",
    ]);
    for offer in &decision.ranked_offers {
        let amounts: Vec<String> = offer
            .line_rewards
            .iter()
            .map(|reward| {
                format!(
                    "line {}: {}",
                    reward.line_id,
                    money::format_optional(reward.amount.as_ref())
                )
            })
            .collect();
        table.add_row([
            offer.rank.to_string(),
            format!("{}\n{}", offer.offer_id, offer.display_name),
            offer.text.clone(),
            amounts.join("\n"),
            money::format_optional(offer.value.as_ref()),
            format!("{:.1}", offer.score),
            offer.reasons.join("\n"),
        ]);
    }
    format!("decision {} ({personal})\n{table}", decision.decision_id)
}

fn exclusions(decision: &Decision) -> String {
    if decision.exclusions.is_empty() {
        return "no offer was left out".to_owned();
    }
    let mut table = output::table(["left out", "because"]);
    for exclusion in &decision.exclusions {
        let reason = ExclusionReason::try_from(exclusion.reason).unwrap_or_default();
        table.add_row([
            exclusion.offer_id.clone(),
            output::word(reason.as_str_name(), "EXCLUSION_REASON_"),
        ]);
    }
    table.to_string()
}
