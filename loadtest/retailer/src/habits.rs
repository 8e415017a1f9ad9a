//! How customers shop: how often (gamma-distributed rates, so that few come daily and many hardly ever), from when until
//! when, on which weekdays, where, and what they buy again and again.

use crate::{
    World, WorldSize,
    assortment::Assortment,
    departments::LEAVES,
    draw::{Draw, Part},
};

const FAVOURITES: usize = 10;
const FAVOURITE_LEAVES: usize = 3;

/// Shape of the visit rates; the smaller, the more unequal.
const RATE_SHAPE: f64 = 1.3;

#[derive(Debug, Clone)]
struct Habit {
    /// Visits against the mean customer's.
    rate: f32,
    /// Lines of a receipt against the mean.
    basket: f32,
    home: u16,
    other: u16,
    /// First day as a customer.
    from_day: u16,
    /// First day as a customer no longer.
    to_day: u16,
    /// Bit 0 is Monday.
    weekdays: u8,
    leaves: [u8; FAVOURITE_LEAVES],
    favourites: [u32; FAVOURITES],
}

/// The habits of all customers.
#[derive(Debug)]
pub(crate) struct Habits {
    customers: Vec<Habit>,
    /// Rising sums of the rates, in thousandths.
    rates: Vec<u64>,
}

impl Habits {
    pub(crate) fn new(
        seed: u64,
        size: &WorldSize,
        shop_weights: &[u64],
        assortments: &[Assortment],
        by_leaf: &[Vec<u32>],
    ) -> Self {
        let customers: Vec<Habit> = (0..size.customers)
            .map(|index| habit(seed, index, size.days, shop_weights, assortments, by_leaf))
            .collect();
        let rates = crate::rising(
            customers
                .iter()
                .map(|habit| 1 + (f64::from(habit.rate) * 1000.0) as u64),
        );
        Self { customers, rates }
    }

    /// Somebody who shops on this day; none where a few tries find nobody.
    pub(crate) fn visitor(&self, draw: &mut Draw, day: usize, weekday: u8) -> Option<u32> {
        for _ in 0..12 {
            let index = draw.weighted(&self.rates);
            let habit = &self.customers[index];
            let member = usize::from(habit.from_day) <= day && day < usize::from(habit.to_day);
            if member && (habit.weekdays >> weekday & 1 == 1 || draw.chance(0.35)) {
                return Some(index as u32);
            }
        }
        None
    }

    /// Where this customer shops this time: mostly at home, sometimes at one other store, rarely anywhere.
    pub(crate) fn store(&self, draw: &mut Draw, customer: u32, shop_weights: &[u64]) -> usize {
        let habit = &self.customers[customer as usize];
        match draw.below(100) {
            0..82 => usize::from(habit.home),
            82..96 => usize::from(habit.other),
            _ => draw.weighted(shop_weights),
        }
    }

    pub(crate) fn basket_factor(&self, customer: u32) -> f64 {
        f64::from(self.customers[customer as usize].basket)
    }

    /// Something this customer likes, whether or not the store carries it.
    pub(crate) fn liked(&self, draw: &mut Draw, customer: u32, by_leaf: &[Vec<u32>]) -> u32 {
        let habit = &self.customers[customer as usize];
        if draw.chance(0.68) {
            // The first favourite is bought about five times as often as the last.
            let u = draw.unit();
            return habit.favourites[(u * libm::sqrt(u) * FAVOURITES as f64) as usize % FAVOURITES];
        }
        let leaf = usize::from(*draw.pick(&habit.leaves));
        match by_leaf[leaf].as_slice() {
            [] => habit.favourites[0],
            articles => *draw.pick(articles),
        }
    }

    /// In relation to the mean customer, over the days of the world.
    pub(crate) fn expected_visits(&self, customer: u32, days: u32) -> f64 {
        let habit = &self.customers[customer as usize];
        let last_day = u32::from(habit.to_day).min(days);
        let member_days = f64::from(last_day.saturating_sub(u32::from(habit.from_day)));
        let still_here = if u32::from(habit.to_day) >= days {
            1.0
        } else {
            0.2
        };
        f64::from(habit.rate) * member_days * still_here
    }

    pub(crate) fn segments(&self, customer: u32) -> Vec<&'static str> {
        let habit = &self.customers[customer as usize];
        let tier = match habit.rate {
            rate if rate > 2.2 => "gold",
            rate if rate > 1.2 => "silver",
            _ => "base",
        };
        let mut segments = vec![tier];
        if habit.basket > 1.35 {
            segments.push("family");
        }
        if habit.from_day > 0 {
            segments.push("new");
        }
        segments
    }
}

fn habit(
    seed: u64,
    index: u32,
    days: u32,
    shop_weights: &[u64],
    assortments: &[Assortment],
    by_leaf: &[Vec<u32>],
) -> Habit {
    let mut draw = Draw::new(seed, Part::Habits, u64::from(index));
    let rate = draw.gamma(RATE_SHAPE);
    let basket = 0.55 + draw.unit() * 1.2;
    let home = draw.weighted(shop_weights);
    // Neighbours in the table of places are mostly districts of the same city.
    let other = (home + 1 + draw.index(3)) % shop_weights.len();
    let from_day = if draw.chance(0.65) {
        0
    } else {
        draw.below(days * 9 / 10)
    };
    let stays = draw.exponential() * 1_400.0;
    let to_day = f64::from(from_day) + 1.0 + stays;
    let mut weekdays = 0;
    for _ in 0..3 {
        weekdays |= 1 << draw.below(7);
    }
    let mut favourites = [0; FAVOURITES];
    for favourite in &mut favourites {
        *favourite = assortments[home].popular(&mut draw);
    }
    let mut leaves = [0; FAVOURITE_LEAVES];
    for leaf in &mut leaves {
        // In a tiny world some categories are empty; the next one that is not is taken.
        let start = draw.index(LEAVES.len());
        let filled = (0..LEAVES.len())
            .map(|step| (start + step) % LEAVES.len())
            .find(|&at| !by_leaf[at].is_empty());
        *leaf = filled.unwrap_or(0) as u8;
    }
    Habit {
        rate: rate as f32,
        basket: basket as f32,
        home: home as u16,
        other: other as u16,
        from_day: from_day as u16,
        to_day: to_day.min(f64::from(u16::MAX)) as u16,
        weekdays,
        leaves,
        favourites,
    }
}

impl World {
    /// Position of the store a customer calls home.
    #[must_use]
    pub fn home_store(&self, customer: u32) -> usize {
        usize::from(self.habits.customers[customer as usize].home)
    }
}
