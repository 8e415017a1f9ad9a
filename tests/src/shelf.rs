//! The smallest world in which something can be counted: one store, a few products, and calls that move their stock.

use anyhow::Result;
use tillside_proto::v1;
use tillside_proto::v1::catalog_service_client::CatalogServiceClient;
use tillside_proto::v1::inventory_service_client::InventoryServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The store.
pub const STORE: &str = "1";

/// Whole pieces.
pub fn pieces(n: i64) -> Option<v1::Quantity> {
    Some(v1::Quantity {
        thousandths: n * 1000,
        unit: v1::Unit::Ea.into(),
    })
}

/// The SKU of a product.
pub fn sku(n: usize) -> String {
    format!("P{n}")
}

/// Puts the store and `products` products with `on_hand` pieces each.
///
/// # Errors
/// Whatever the server refuses.
pub async fn stock(channel: &Channel, products: usize, on_hand: i64) -> Result<()> {
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let store = v1::Store {
        store_id: STORE.into(),
        location: Some(v1::LatLng {
            latitude: 43.7765,
            longitude: 11.2480,
        }),
        ..Default::default()
    };
    catalog
        .put_stores(v1::PutStoresRequest {
            request_id: "stores".into(),
            stores: vec![store],
        })
        .await?;
    let product = |n| v1::Product {
        sku: sku(n),
        ..Default::default()
    };
    catalog
        .put_products(v1::PutProductsRequest {
            request_id: "products".into(),
            products: (0..products).map(product).collect(),
        })
        .await?;
    for n in 0..products {
        let count = v1::SetStockCountRequest {
            request_id: format!("count {n}"),
            sku: sku(n),
            store_id: STORE.into(),
            on_hand: pieces(on_hand),
            ..Default::default()
        };
        InventoryServiceClient::new(channel.clone())
            .set_stock_count(count)
            .await?;
    }
    Ok(())
}

/// One piece more of a product.
pub fn one_more(request_id: impl Into<String>, product: usize) -> v1::AdjustStockRequest {
    v1::AdjustStockRequest {
        request_id: request_id.into(),
        sku: sku(product),
        store_id: STORE.into(),
        delta: pieces(1),
        ..Default::default()
    }
}

/// A piece of each of two products for an order that comes for it.
pub fn order(id: &str, products: [usize; 2], hold_seconds: i64) -> v1::ReserveFulfillmentRequest {
    let line = |(n, product): (usize, &usize)| v1::FulfillmentLine {
        line_id: n.to_string(),
        sku: sku(*product),
        quantity: pieces(1),
        methods: Default::default(),
    };
    v1::ReserveFulfillmentRequest {
        request_id: format!("reserve {id}"),
        order_id: id.into(),
        origin: Some(v1::Place {
            place: Some(v1::place::Place::Location(v1::LatLng {
                latitude: 43.7760,
                longitude: 11.2478,
            })),
            ..Default::default()
        }),
        lines: products.iter().enumerate().map(line).collect(),
        hold_duration: Some(prost_types::Duration {
            seconds: hold_seconds,
            nanos: 0,
        }),
        ..Default::default()
    }
}

/// An event that makes a piece more of a product.
pub fn one_more_event(event_id: impl Into<String>, product: usize) -> v1::Event {
    let moved = v1::StockAdjusted {
        sku: sku(product),
        store_id: STORE.into(),
        delta: pieces(1),
        damage: false,
        ..Default::default()
    };
    v1::Event {
        event_id: event_id.into(),
        source: "test".into(),
        payload: Some(v1::event::Payload::StockAdjustment(moved)),
        ..Default::default()
    }
}

/// The level of a product.
///
/// # Errors
/// Whatever the server refuses.
pub async fn level(channel: &Channel, product: usize) -> Result<v1::StockLevel> {
    let request = v1::GetAvailabilityRequest {
        sku: sku(product),
        store_id: STORE.into(),
    };
    Ok(InventoryServiceClient::new(channel.clone())
        .get_availability(request)
        .await?
        .into_inner())
}

/// Code and reason of a refusal.
pub fn refusal(status: &Status) -> (Code, String) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    (status.code(), reason.unwrap_or_default())
}
