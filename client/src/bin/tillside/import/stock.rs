//! `stock`: a row is a count of one product in one store.

use super::{
    cells::{Cells, Column, Columns, optional, required},
    events::{self, Outbox},
    rejects::Fault,
    source::Rows,
};
use prost::Message as _;
use tillside_client::v1::{Event, StockCounted, event::Payload};

pub(super) const COLUMNS: &[Column] = &[
    required("sku"),
    required("store_id"),
    required("on_hand"),
    optional("safety_stock"),
    optional("as_of_time"),
];
const SKU: usize = 0;
const STORE_ID: usize = 1;
const ON_HAND: usize = 2;
const SAFETY_STOCK: usize = 3;
const AS_OF_TIME: usize = 4;

/// Reads the file.
pub(super) fn read(columns: &Columns, mut rows: Rows, outbox: &mut Outbox) -> anyhow::Result<()> {
    let desk = outbox.desk.clone();
    desk.each_row(columns, &mut rows, |record, cells| {
        let event = match event(&cells, &outbox.source) {
            Ok(event) => event,
            Err(fault) => return Ok(Err(fault)),
        };
        outbox.add_row(record);
        outbox.push(&event)?;
        Ok(Ok(()))
    })
}

fn event(cells: &Cells<'_>, source: &str) -> Result<Event, Fault> {
    let (sku, store_id) = (cells.id(SKU)?, cells.id(STORE_ID)?);
    let on_hand = cells
        .quantity(ON_HAND)?
        .ok_or_else(|| cells.fault(ON_HAND, "REQUIRED", "is empty"))?;
    let as_of_time = cells.time(AS_OF_TIME)?;
    let count = StockCounted {
        sku: sku.to_owned(),
        store_id: store_id.to_owned(),
        on_hand: Some(on_hand),
        safety_stock: cells.quantity(SAFETY_STOCK)?,
    };
    let mut content = count.encode_to_vec();
    if let Some(time) = &as_of_time {
        content.extend(time.encode_to_vec());
    }
    Ok(Event {
        event_id: events::event_id("stock", &[sku, store_id, &events::digest(&content)]),
        source: source.to_owned(),
        occurred_time: as_of_time,
        payload: Some(Payload::StockCount(count)),
        ..Event::default()
    })
}
