//! Who and what the tour is about, and the same questions as commands to try.

use super::paint::Paint;
use crate::decimal;
use tillside_client::v1;
use tillside_retailer::{BasketItem, World};

/// Baskets, or products, looked at for one that shows the point.
const TRIED: u64 = 200;
/// How many nearer stores should lack something of the web shop's cart.
const NEARER_STORES: usize = 3;
/// A till basket over which some offers with a minimum are open, in cents.
const TILL_BASKET_CENTS: u64 = 2_000;

/// Who and what the tour is about.
pub(super) struct Cast {
    /// Position of the customer.
    pub(super) customer: u32,
    /// Position of their usual store.
    pub(super) store: usize,
    /// On the belt there.
    pub(super) till_basket: Vec<BasketItem>,
    /// In the cart of the web shop.
    pub(super) web_basket: Vec<BasketItem>,
}

impl Cast {
    /// The cast of this world; the same every time.
    pub(super) fn of(world: &World) -> Self {
        let customer = world.showcase_customer();
        let store = world.home_store(customer);
        Self {
            customer,
            store,
            till_basket: till_basket(world, store, customer),
            web_basket: web_basket(world, store, customer),
        }
    }

    /// Some hundred metres from the customer's usual store.
    pub(super) fn home(&self, world: &World) -> v1::LatLng {
        let place = world.store_place(self.store);
        v1::LatLng {
            latitude: round3(place.latitude + 0.004),
            longitude: round3(place.longitude + 0.003),
        }
    }
}

fn round3(degrees: f64) -> f64 {
    (degrees * 1000.0).round() / 1000.0
}

/// Five things, fruit or vegetables off the scale among them.
fn till_basket(world: &World, store: usize, customer: u32) -> Vec<BasketItem> {
    let basket = |number| world.basket(number, store, Some(customer), 5);
    let shows = |basket: &Vec<BasketItem>| {
        let cents = |item: &BasketItem| {
            u64::from(world.price_cents(item.product)) * item.thousandths.unsigned_abs() / 1000
        };
        let off_the_scale = |item: &BasketItem| {
            world.gtin(item.product).is_none() && world.category(item.product)[1] == "Ortofrutta"
        };
        basket.iter().any(off_the_scale)
            && basket.iter().map(cents).sum::<u64>() >= TILL_BASKET_CENTS
    };
    (0..TRIED)
        .map(basket)
        .find(shows)
        .unwrap_or_else(|| basket(0))
}

/// Two usual things and one that the nearest stores do not carry, one piece or kilogram of each.
fn web_basket(world: &World, store: usize, customer: u32) -> Vec<BasketItem> {
    let mut basket = world.basket(0, store, Some(customer), 2);
    let stores = nearest_first(world, store);
    let nearer = |product: u32| {
        let has_all = |at: &usize| {
            world.carries(*at, product)
                && basket.iter().all(|item| world.carries(*at, item.product))
        };
        stores.iter().position(has_all).unwrap_or(stores.len())
    };
    let product = (0..TRIED)
        .filter_map(|number| world.product_elsewhere(number, store))
        .min_by_key(|&product| nearer(product).abs_diff(NEARER_STORES));
    basket.extend(product.map(|product| BasketItem {
        product,
        thousandths: 1000,
    }));
    for item in &mut basket {
        item.thousandths = 1000;
    }
    basket
}

/// All stores by distance, near enough for choosing what to show; the server measures exactly.
fn nearest_first(world: &World, store: usize) -> Vec<usize> {
    let here = world.store_place(store);
    let narrowing = here.latitude.to_radians().cos();
    let distance = |at: usize| {
        let place = world.store_place(at);
        (place.latitude - here.latitude).hypot((place.longitude - here.longitude) * narrowing)
    };
    let mut stores: Vec<usize> = (0..world.size().stores as usize).collect();
    stores.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
    stores
}

/// The same questions as commands, with this server's address where it is not the default.
pub(super) fn commands_to_try(world: &World, address: &str, paint: &Paint) -> anyhow::Result<()> {
    let cast = Cast::of(world);
    let program = std::env::args().next().unwrap_or_default();
    let server = match address {
        "http://127.0.0.1:50051" => String::new(),
        other => format!(" --server {other}"),
    };
    let args = |items: &[BasketItem]| {
        let lines: Vec<String> = items
            .iter()
            .map(|item| match item.thousandths {
                1000 => world.sku(item.product),
                other => format!(
                    "{}:{}",
                    world.sku(item.product),
                    decimal::format_quantity(other)
                ),
            })
            .collect();
        lines.join(" ")
    };
    let home = cast.home(world);
    let card = world.card(cast.customer);
    say!("\n{}", paint.strong("Try"));
    say!(
        "  {}",
        paint.name(&format!("alias tillside='{program}{server}'"))
    );
    let commands = [
        format!("recognize --card {card}"),
        format!("profile --card {card}"),
        format!(
            "offers --card {card} --store {} --exclusions {}",
            world.store_id(cast.store),
            args(&cast.till_basket)
        ),
        format!(
            "plan --at {},{} --within 300km {}",
            home.latitude,
            home.longitude,
            args(&cast.web_basket)
        ),
        format!(
            "reserve --order my-order --at {},{} --within 300km {}",
            home.latitude,
            home.longitude,
            args(&cast.web_basket)
        ),
        "info".to_owned(),
    ];
    for command in commands {
        say!("  {}", paint.name(&format!("tillside {command}")));
    }
    Ok(())
}
