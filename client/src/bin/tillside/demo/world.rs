//! From the arguments to the made-up world.

use super::DemoArgs;
use anyhow::Context as _;
use tillside_retailer::{World, WorldSize};

/// The size the arguments ask for. Small worlds have small assortments, so that stores still differ.
pub(super) fn size(args: &DemoArgs) -> WorldSize {
    let demo = WorldSize::demo();
    let assortment = |share: u32| (args.products / 100 * share).max(10);
    WorldSize {
        stores: args.stores,
        products: args.products,
        customers: args.customers,
        receipts: args.receipts,
        assortment_min: demo.assortment_min.min(assortment(40)),
        assortment_max: demo.assortment_max.min(assortment(70)),
        ..demo
    }
}

/// The world, ending at `end_seconds` after 1970.
pub(super) fn make(args: &DemoArgs, end_seconds: i64) -> anyhow::Result<World> {
    World::new(args.seed, size(args), end_seconds).context("This world cannot be made")
}
