//! What the sales say about a customer: counts, spend, points, favourites. Everything is an integer and ages by table,
//! so that a replay on another machine gives the same bits. What only depends on the time of asking is computed at read.

use smallvec::SmallVec;

use crate::catalog::CategoryId;
use crate::ids::{SkuId, StoreId};
use crate::limits::{CURRENCIES_PER_PROFILE_MAX, FAVOURITE_CATEGORIES_MAX, FAVOURITE_PRODUCTS_MAX};
use crate::units::{Currency, Time};

/// Days after which a purchase counts half.
pub const HALF_LIFE_DAYS: usize = 90;
/// One purchase today, in the units of [`Weighted::weight`].
pub const WEIGHT_ONE: u32 = 1 << 16;

/// 2^(-1/90) as a fraction of 2^64.
const DAILY: u128 = 18_305_219_661_902_323_056;

/// 2^(-d/90) as fractions of 2^32, for d = 0..90.
const DECAY: [u64; HALF_LIFE_DAYS] = {
    let mut table = [0; HALF_LIFE_DAYS];
    let mut exact: u128 = 1 << 64;
    let mut day = 0;
    while day < HALF_LIFE_DAYS {
        table[day] = (exact >> 32) as u64;
        // `exact` fits 65 bits only at the start, where the product is DAILY << 64 shifted back.
        exact = if day == 0 {
            DAILY
        } else {
            (exact * DAILY) >> 64
        };
        day += 1;
    }
    table
};

/// A weight `days` later.
pub fn decayed(weight: u32, days: i64) -> u32 {
    if days <= 0 {
        return weight;
    }
    let halvings = days as u64 / HALF_LIFE_DAYS as u64;
    if halvings >= 32 {
        return 0;
    }
    let scaled = (u64::from(weight) * DECAY[days as usize % HALF_LIFE_DAYS] + (1 << 31)) >> 32;
    (scaled >> halvings) as u32
}

/// Something bought, with its aged number of purchases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighted<T> {
    /// What.
    pub item: T,
    /// Purchases in units of [`WEIGHT_ONE`], aged to [`History::aged_to_day`].
    pub weight: u32,
}

/// How many favourites fit without an allocation: what a till shows, and one.
const TOP_INLINE: usize = 4;

/// Favourites with their shares.
pub type Top<T> = SmallVec<[(T, f64); TOP_INLINE]>;

/// Net spend in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spend {
    /// The currency.
    pub currency: Currency,
    /// Sales less returns, in minor units.
    pub net_minor: i64,
    /// Purchases in this currency, likewise.
    pub purchases: i64,
}

/// The history of a customer, condensed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Points that can be spent; negative after returns of goods whose points were spent.
    pub points: i64,
    /// Receipts of sales, less those undone; negative while the undoing of a sale came before the sale itself.
    pub purchases: i64,
    /// Spend, sorted by currency.
    pub spend: SmallVec<[Spend; 1]>,
    /// First purchase.
    pub first_purchase: Option<Time>,
    /// Latest purchase by its own time.
    pub last_purchase: Option<Time>,
    /// Where that was.
    pub last_store: Option<StoreId>,
    /// The UTC day all weights are aged to.
    pub aged_to_day: i64,
    /// Products, sorted by id.
    pub products: Vec<Weighted<SkuId>>,
    /// Categories, sorted by id.
    pub categories: Vec<Weighted<CategoryId>>,
}

/// What one receipt does to a history.
#[derive(Clone, Debug)]
pub struct Purchase<'a> {
    /// When.
    pub time: Time,
    /// Where, if the store is known.
    pub store: Option<StoreId>,
    /// +1 a sale, 0 a return, -1 the undoing of a sale.
    pub count: i64,
    /// Net amount per currency; negative for returns.
    pub net: &'a [(Currency, i64)],
    /// Points.
    pub points: i64,
    /// Distinct products bought.
    pub products: &'a [SkuId],
    /// Distinct categories bought.
    pub categories: &'a [CategoryId],
}

impl History {
    /// Counts a receipt in. Receipts may come in any order; the result for counts and sums does not depend on it.
    pub fn record(&mut self, purchase: &Purchase<'_>) {
        self.points = self.points.saturating_add(purchase.points);
        self.purchases = self.purchases.saturating_add(purchase.count);
        for &(currency, minor) in purchase.net {
            self.add_spend(currency, minor, purchase.count);
        }
        if purchase.count <= 0 {
            return;
        }
        if self.first_purchase.is_none_or(|t| purchase.time < t) {
            self.first_purchase = Some(purchase.time);
        }
        if self.last_purchase.is_none_or(|t| purchase.time >= t) {
            self.last_purchase = Some(purchase.time);
            self.last_store = purchase.store.or(self.last_store);
        }
        let day = purchase.time.day();
        if day > self.aged_to_day {
            let days = day - self.aged_to_day;
            age(&mut self.products, days);
            age(&mut self.categories, days);
            self.aged_to_day = day;
        }
        let weight = decayed(WEIGHT_ONE, self.aged_to_day - day);
        for &product in purchase.products {
            add(&mut self.products, product, weight, FAVOURITE_PRODUCTS_MAX);
        }
        for &category in purchase.categories {
            add(
                &mut self.categories,
                category,
                weight,
                FAVOURITE_CATEGORIES_MAX,
            );
        }
    }

    fn add_spend(&mut self, currency: Currency, minor: i64, count: i64) {
        match self.spend.binary_search_by_key(&currency, |s| s.currency) {
            Ok(at) => {
                let spend = &mut self.spend[at];
                spend.net_minor = spend.net_minor.saturating_add(minor);
                spend.purchases = spend.purchases.saturating_add(count);
            }
            Err(at) if self.spend.len() < CURRENCIES_PER_PROFILE_MAX => {
                self.spend.insert(
                    at,
                    Spend {
                        currency,
                        net_minor: minor,
                        purchases: count,
                    },
                );
            }
            Err(_) => {}
        }
    }

    /// The best `k` products with their share of all weights kept, best first; ties by id.
    pub fn top_products(&self, k: usize) -> Top<SkuId> {
        top(&self.products, k)
    }

    /// The best `k` categories, likewise.
    pub fn top_categories(&self, k: usize) -> Top<CategoryId> {
        top(&self.categories, k)
    }

    /// Mean days between purchases; `None` with fewer than two.
    pub fn days_between_purchases(&self) -> Option<f64> {
        let span = self.last_purchase?.0 - self.first_purchase?.0;
        (self.purchases >= 2)
            .then(|| span as f64 / (self.purchases - 1) as f64 / crate::units::DAY_MS as f64)
    }

    /// Aged number of purchases of a product as of day `today`, in purchases.
    pub fn product_weight(&self, sku: SkuId, today: i64) -> f64 {
        weight_of(&self.products, sku, today - self.aged_to_day)
    }

    /// Aged number of purchases in a category as of day `today`, in purchases.
    pub fn category_weight(&self, category: CategoryId, today: i64) -> f64 {
        weight_of(&self.categories, category, today - self.aged_to_day)
    }
}

fn weight_of<T: Ord + Copy>(list: &[Weighted<T>], item: T, days: i64) -> f64 {
    let found = list.binary_search_by_key(&item, |w| w.item);
    found.map_or(0.0, |at| {
        f64::from(decayed(list[at].weight, days)) / f64::from(WEIGHT_ONE)
    })
}

fn age<T>(list: &mut Vec<Weighted<T>>, days: i64) {
    list.retain_mut(|entry| {
        entry.weight = decayed(entry.weight, days);
        entry.weight > 0
    });
}

fn add<T: Ord + Copy>(list: &mut Vec<Weighted<T>>, item: T, weight: u32, max: usize) {
    match list.binary_search_by_key(&item, |w| w.item) {
        Ok(at) => list[at].weight = list[at].weight.saturating_add(weight),
        Err(at) if list.len() < max => list.insert(at, Weighted { item, weight }),
        Err(_) => {
            // Full: the least bought makes room. The newcomer inherits nothing, so a weight is never more than was bought.
            let Some(least) = (0..list.len()).min_by_key(|i| (list[*i].weight, list[*i].item))
            else {
                return;
            };
            if list[least].weight <= weight {
                list.remove(least);
                let at = list.partition_point(|w| w.item < item);
                list.insert(at, Weighted { item, weight });
            }
        }
    }
}

/// Keeps the best `k` while it looks at each once: lists are long, `k` is short, and a recognition does this twice.
fn top<T: Ord + Copy>(list: &[Weighted<T>], k: usize) -> Top<T> {
    let mut best: SmallVec<[Weighted<T>; TOP_INLINE]> = SmallVec::new();
    let mut total = 0;
    for entry in list {
        total += u64::from(entry.weight);
        let before = |other: &Weighted<T>| {
            (other.weight, std::cmp::Reverse(other.item))
                > (entry.weight, std::cmp::Reverse(entry.item))
        };
        if best.len() == k {
            match best.last() {
                Some(worst) if !before(worst) => best.pop(),
                _ => continue,
            };
        }
        let at = best.iter().take_while(|other| before(other)).count();
        best.insert(at, *entry);
    }
    let total = total.max(1) as f64;
    best.iter()
        .map(|w| (w.item, f64::from(w.weight) / total))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::DAY_MS;
    use proptest::prelude::*;

    #[test]
    fn ninety_days_halve_a_weight() {
        let check = |weight, days, expect| {
            assert_eq!(decayed(weight, days), expect, "{weight} after {days} days")
        };
        check(WEIGHT_ONE, 0, WEIGHT_ONE);
        check(WEIGHT_ONE, 90, WEIGHT_ONE / 2);
        check(WEIGHT_ONE, 180, WEIGHT_ONE / 4);
        check(WEIGHT_ONE, 45, 46341);
        check(WEIGHT_ONE, 1, 65033);
        check(WEIGHT_ONE, 90 * 40, 0);
        check(u32::MAX, -5, u32::MAX);
    }

    fn purchase(
        day: i64,
        products: &[SkuId],
        net: &[(Currency, i64)],
        count: i64,
    ) -> (i64, Vec<SkuId>, Vec<(Currency, i64)>, i64) {
        (day, products.to_vec(), net.to_vec(), count)
    }

    #[test]
    fn a_sale_undone_counts_nothing_whichever_came_first() {
        let receipt = |history: &mut History, count: i64| {
            let net = [(Currency::EUR, count * 500)];
            history.record(&Purchase {
                time: Time(DAY_MS),
                store: None,
                count,
                net: &net,
                points: 5 * count,
                products: &[],
                categories: &[],
            });
        };
        for order in [[1, -1, 1], [-1, 1, 1], [1, 1, -1]] {
            let mut history = History::default();
            order.iter().for_each(|count| receipt(&mut history, *count));
            assert_eq!(
                (history.purchases, history.spend[0].purchases),
                (1, 1),
                "{order:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_top_is_the_head_of_the_sorted_list(weights in prop::collection::vec(0u32..6, 0..40), k in 0usize..12) {
            let list: Vec<_> = weights.iter().zip(0..).map(|(weight, item)| Weighted { item, weight: *weight }).collect();
            let total: u32 = weights.iter().sum();
            let mut sorted = list.clone();
            sorted.sort_by_key(|w| (std::cmp::Reverse(w.weight), w.item));
            let expect: Vec<_> = sorted.iter().take(k).map(|w| (w.item, f64::from(w.weight) / f64::from(total.max(1)))).collect();
            prop_assert_eq!(top(&list, k).to_vec(), expect);
        }

        // The naive model keeps every receipt and computes the profile from scratch in floating point.
        #[test]
        fn a_history_equals_the_naive_recount(receipts in prop::collection::vec((0i64..700, prop::collection::btree_set(0u32..40, 0..6), -5_000i64..20_000, 0i64..2), 1..60)) {
            let mut history = History::default();
            let mut all = Vec::new();
            for (day, skus, minor, count) in receipts {
                let skus: Vec<SkuId> = skus.into_iter().map(SkuId).collect();
                all.push(purchase(day, &skus, &[(Currency::EUR, minor)], count));
                history.record(&Purchase { time: Time(day * DAY_MS + 5), store: Some(StoreId(day as u32)), count, net: &[(Currency::EUR, minor)], points: minor / 100, products: &skus, categories: &[] });
            }
            let sales: Vec<_> = all.iter().filter(|r| r.3 > 0).collect();
            prop_assert_eq!(history.purchases, sales.len() as i64);
            prop_assert_eq!(history.spend[0].net_minor, all.iter().map(|r| r.2[0].1).sum::<i64>());
            prop_assert_eq!(history.points, all.iter().map(|r| r.2[0].1 / 100).sum::<i64>());
            prop_assert_eq!(history.last_purchase.map(Time::day), sales.iter().map(|r| r.0).max());
            prop_assert_eq!(history.first_purchase.map(Time::day), sales.iter().map(|r| r.0).min());
            for sku in (0..40).map(SkuId) {
                let today = 700;
                let naive: f64 = sales.iter().filter(|r| r.1.contains(&sku)).map(|r| libm::pow(0.5, (today - r.0) as f64 / 90.0)).sum();
                // Each ageing rounds to 1/65536 of a purchase; fewer than 60 of them happen.
                prop_assert!((history.product_weight(sku, today) - naive).abs() < 0.002, "{:?}: {} {}", sku, history.product_weight(sku, today), naive);
            }
        }
    }
}
