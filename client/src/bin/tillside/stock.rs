//! `tillside stock`: show, count or move stock.

use crate::{decimal, global::GlobalArgs, inputs, instant, output};
use clap::{Args, Subcommand, ValueEnum};
use std::process::ExitCode;
use tillside_client::v1::{
    AdjustStockRequest, AdjustmentReason, BatchGetAvailabilityRequest, GetAvailabilityRequest,
    Quantity, SetStockCountRequest, StockLevel, Unit,
};

/// Arguments of `tillside stock`.
#[derive(Debug, Args)]
pub(crate) struct StockArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the levels of products in a store
    Get {
        /// The store
        #[arg(long, value_name = "ID")]
        store: String,
        /// The products
        #[arg(required = true, value_name = "SKU")]
        skus: Vec<String>,
    },
    /// Set a level to what was counted; sales after the count still count
    Set {
        /// The store
        #[arg(long, value_name = "ID")]
        store: String,
        /// When it was counted, RFC 3339 (default: now)
        #[arg(long, value_name = "TIME", value_parser = time)]
        as_of: Option<prost_types::Timestamp>,
        /// New safety stock, kept back from online promises
        #[arg(long, value_name = "QTY", value_parser = inputs::quantity)]
        safety_stock: Option<i64>,
        /// The product
        #[arg(value_name = "SKU")]
        sku: String,
        /// What was counted, for example 12 or 1.5
        #[arg(value_name = "QTY", value_parser = inputs::quantity, allow_hyphen_values = true)]
        on_hand: i64,
    },
    /// Move a level by a difference, for example 24 or -1
    Adjust {
        /// The store
        #[arg(long, value_name = "ID")]
        store: String,
        /// Why
        #[arg(long, value_enum, default_value_t = Reason::Correction)]
        reason: Reason,
        /// When it happened, RFC 3339 (default: now)
        #[arg(long, value_name = "TIME", value_parser = time)]
        at_time: Option<prost_types::Timestamp>,
        /// The product
        #[arg(value_name = "SKU")]
        sku: String,
        /// The difference
        #[arg(value_name = "DELTA", value_parser = inputs::quantity, allow_hyphen_values = true)]
        delta: i64,
    },
}

/// Why stock moved.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reason {
    /// The books were wrong
    Correction,
    /// Goods came in
    Receipt,
    /// Goods were lost or stolen
    Shrinkage,
    /// Goods were found damaged
    Damage,
    /// Goods moved between stores
    Transfer,
    /// Damaged goods left the store for good (a negative difference)
    Disposal,
}

impl From<Reason> for AdjustmentReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Correction => Self::Correction,
            Reason::Receipt => Self::Receipt,
            Reason::Shrinkage => Self::Shrinkage,
            Reason::Damage => Self::Damage,
            Reason::Transfer => Self::Transfer,
            Reason::Disposal => Self::Disposal,
        }
    }
}

pub(crate) async fn run(args: StockArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = global.connect().await?;
    let level = match args.action {
        Action::Get { store, skus } => {
            let mut requests = skus.into_iter().map(|sku| GetAvailabilityRequest {
                sku,
                store_id: store.clone(),
            });
            if requests.len() > 1 {
                let requests = requests.collect();
                let answer = client
                    .batch_get_availability(BatchGetAvailabilityRequest { requests })
                    .await?;
                output::show(
                    global,
                    "BatchGetAvailabilityResponse",
                    &answer,
                    |response| human(&response.levels),
                )?;
                return Ok(ExitCode::SUCCESS);
            }
            client
                .get_availability(requests.next().unwrap_or_default())
                .await?
        }
        Action::Set {
            store,
            as_of,
            safety_stock,
            sku,
            on_hand,
        } => {
            let request = SetStockCountRequest {
                request_id: String::new(),
                sku,
                store_id: store,
                on_hand: Some(quantity(on_hand)),
                as_of_time: as_of,
                safety_stock: safety_stock.map(quantity),
            };
            client.set_stock_count(request).await?
        }
        Action::Adjust {
            store,
            reason,
            at_time,
            sku,
            delta,
        } => {
            let request = AdjustStockRequest {
                request_id: String::new(),
                sku,
                store_id: store,
                delta: Some(quantity(delta)),
                reason: AdjustmentReason::from(reason).into(),
                occurred_time: at_time,
            };
            client.adjust_stock(request).await?
        }
    };
    output::show(global, "StockLevel", &level, |level| {
        human(std::slice::from_ref(level))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn human(levels: &[StockLevel]) -> String {
    let mut table = output::table([
        "sku",
        "store",
        "on hand",
        "reserved",
        "committed",
        "safety",
        "damaged",
        "incoming",
        "online",
        "in store",
        "unit",
        "counted",
    ]);
    for level in levels {
        let quantities = [
            level.on_hand_thousandths,
            level.reserved_thousandths,
            level.committed_thousandths,
            level.safety_stock_thousandths,
            level.damaged_thousandths,
            level.incoming_thousandths,
            level.available_online_thousandths,
            level.available_in_store_thousandths,
        ];
        let mut row = vec![level.sku.clone(), level.store_id.clone()];
        row.extend(quantities.map(decimal::format_quantity));
        row.push(output::word(
            Unit::try_from(level.unit).unwrap_or_default().as_str_name(),
            "UNIT_",
        ));
        row.push(instant::format_optional(level.as_of_time.as_ref()));
        table.add_row(row);
    }
    table.to_string()
}

fn quantity(thousandths: i64) -> Quantity {
    Quantity {
        thousandths,
        ..Quantity::default()
    }
}

fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    instant::parse(text.as_bytes())
        .ok_or_else(|| "write a time like 2026-03-01T09:30:00Z".to_owned())
}
