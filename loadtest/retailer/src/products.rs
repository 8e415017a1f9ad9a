//! The products: a name from the category's items, a brand and a size; a SKU, barcodes, a price and a VAT rate.

use crate::{
    World,
    barcodes::with_check_digit,
    departments::{BRANDS, LEAVES, Sold},
    draw::{Draw, Part},
    euro,
};
use tillside_proto::v1;

/// What receipts and stock need to know of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Article {
    /// Index into the categories of the lowest level.
    pub(crate) leaf: u16,
    /// Price of a whole unit.
    pub(crate) price_cents: u32,
    /// In kilograms, else by the piece.
    pub(crate) by_weight: bool,
}

/// The first `count` products.
pub(crate) fn articles(seed: u64, count: u32) -> Vec<Article> {
    (0..count)
        .map(|index| {
            let mut draw = Draw::new(seed, Part::Products, u64::from(index));
            let leaf = leaf_of(index);
            let (low, high) = LEAVES[leaf].price_cents;
            let skew = draw.unit();
            let raw = low + (f64::from(high - low) * skew * skew) as u32;
            // Shelf prices end in 9.
            let price_cents = raw / 10 * 10 + 9;
            Article {
                leaf: leaf as u16,
                price_cents,
                by_weight: LEAVES[leaf].sold == Sold::Weight,
            }
        })
        .collect()
}

fn leaf_of(index: u32) -> usize {
    index as usize % LEAVES.len()
}

impl Article {
    pub(crate) fn unit(self) -> v1::Unit {
        if self.by_weight {
            v1::Unit::Kg
        } else {
            v1::Unit::Ea
        }
    }

    /// Cents of this many thousandths, half a cent up.
    pub(crate) fn amount_cents(self, thousandths: i64) -> i64 {
        (i64::from(self.price_cents) * thousandths + 500).div_euclid(1000)
    }

    pub(crate) fn message(self, seed: u64, index: u32) -> v1::Product {
        let leaf = &LEAVES[usize::from(self.leaf)];
        let (display_name, brand) = name_and_brand(index);
        // A third has a second barcode: the one of the multipack's single piece or of an earlier packaging.
        let mut draw = Draw::new(seed, Part::Products, (1 << 40) | u64::from(index));
        let mut gtins = Vec::new();
        if !self.by_weight {
            gtins.push(gtin(index));
            if draw.chance(0.33) {
                gtins.push(second_gtin(index));
            }
        }
        v1::Product {
            sku: sku(index),
            display_name,
            category_path: leaf.path.iter().map(|level| (*level).to_owned()).collect(),
            brand: brand.to_owned(),
            unit: self.unit() as i32,
            gtins,
            plu: if self.by_weight {
                plu(index)
            } else {
                String::new()
            },
            list_price: Some(euro(i64::from(self.price_cents))),
            vat_rate_basis_points: leaf.vat_basis_points,
            promotion_restricted: leaf.sold == Sold::Restricted,
            etag: String::new(),
        }
    }
}

/// Names differ within a category: items run fastest, then sizes, then brands, then a running number.
fn name_and_brand(index: u32) -> (String, &'static str) {
    let leaf = &LEAVES[leaf_of(index)];
    let brands = BRANDS[leaf.brands];
    let mut rest = index as usize / LEAVES.len();
    let mut digit = |base: usize| {
        let digit = rest % base;
        rest /= base;
        digit
    };
    let nth = |list: &'static str, n: usize| list.split('|').nth(n).unwrap_or_default();
    let item = nth(leaf.items, digit(leaf.items.split('|').count()));
    let size = nth(leaf.sizes, digit(leaf.sizes.split('|').count()));
    let brand = brands[(digit(brands.len()) + leaf_of(index)) % brands.len()];
    let name = match rest {
        0 => format!("{item} {brand} {size}"),
        run => format!("{item} {brand} {size} ({})", run + 1),
    };
    (name, brand)
}

/// SKUs are six digits or more, from 100001.
pub(crate) fn sku(index: u32) -> String {
    (100_001 + u64::from(index)).to_string()
}

/// GS1 prefixes 800 to 839 are Italy's; the company part is invented.
pub(crate) fn gtin(index: u32) -> String {
    with_check_digit(&format!("80{:010}", 1_234_500_000_u64 + u64::from(index)))
}

fn second_gtin(index: u32) -> String {
    with_check_digit(&format!("83{:010}", 7_654_300_000_u64 + u64::from(index)))
}

/// Item code in price-embedded barcodes: six digits, so that a code is 2, six digits of item, five of price, a check digit.
fn plu(index: u32) -> String {
    format!("{index:06}")
}

impl World {
    /// SKU of a product by position (from 0).
    #[must_use]
    pub fn sku(&self, product: u32) -> String {
        sku(product)
    }

    /// First barcode of a product by position; none where it is sold by weight.
    #[must_use]
    pub fn gtin(&self, product: u32) -> Option<String> {
        (!self.articles[product as usize].by_weight).then(|| gtin(product))
    }

    /// What the scale prints for some of a product that is sold by weight: 2, the item, the price to pay in cents (at most
    /// 99,999) and the check digit. None where it is sold by the piece.
    #[must_use]
    pub fn price_embedded_code(&self, product: u32, cents: u32) -> Option<String> {
        let by_weight = self.articles[product as usize].by_weight;
        by_weight.then(|| with_check_digit(&format!("2{}{:05}", plu(product), cents.min(99_999))))
    }

    /// Name of a product by position.
    #[must_use]
    pub fn product_name(&self, product: u32) -> String {
        name_and_brand(product).0
    }

    /// Category of a product by position, three levels, top first.
    #[must_use]
    pub fn category(&self, product: u32) -> [&'static str; 3] {
        LEAVES[usize::from(self.articles[product as usize].leaf)].path
    }

    /// Price of a whole unit of a product by position, in cents.
    #[must_use]
    pub fn price_cents(&self, product: u32) -> u32 {
        self.articles[product as usize].price_cents
    }
}
