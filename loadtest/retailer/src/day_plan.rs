//! A day's plan: who shops where and when, and which till numbers the receipt. Plans do not depend on each other, except that
//! a return names a receipt of an earlier day's sales.

use crate::{
    World,
    draw::{Draw, Part},
    stores::Shop,
};

/// Tills of a store where goods are sold.
const TILLS: u32 = 4;

/// The service desk, where goods are taken back; it numbers its receipts on its own.
pub(crate) const DESK: u8 = 9;

/// Goods come back this many days later at the latest.
const RETURN_DAYS: usize = 7;

/// One receipt to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit {
    /// Position in the day, before ordering by time; names the stream of its lines.
    pub(crate) index: u32,
    pub(crate) second_of_day: u32,
    pub(crate) store: u16,
    pub(crate) till: u8,
    /// The till's number that day, from 1.
    pub(crate) sequence: u32,
    pub(crate) customer: Option<u32>,
    /// The day and the sale this is a return of.
    pub(crate) returns: Option<(u32, Original)>,
}

/// What a return needs to know of the sale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Original {
    pub(crate) index: u32,
    pub(crate) store: u16,
    pub(crate) till: u8,
    pub(crate) sequence: u32,
    pub(crate) customer: Option<u32>,
}

/// All receipts of a day in the order of their time.
pub(crate) fn plan(world: &World, day: usize) -> Vec<Visit> {
    let (mut visits, desk) = sales(world, day);
    let sold = visits.len();
    visits.extend(desk);
    let mut draw = Draw::new(world.seed, Part::Returns, day as u64);
    // Each day looks back by its own distance at its own class of receipts, so no sale is returned on two days.
    let class = day % RETURN_DAYS;
    if let Some(earlier) = day.checked_sub(2 + class).filter(|_| visits.len() > sold) {
        let mut originals: Vec<Visit> = sales(world, earlier).0;
        originals.retain(|visit| visit.index as usize % RETURN_DAYS == class);
        for visit in &mut visits[sold..] {
            if originals.is_empty() {
                break;
            }
            let sale = originals.swap_remove(draw.index(originals.len()));
            let original = Original {
                index: sale.index,
                store: sale.store,
                till: sale.till,
                sequence: sale.sequence,
                customer: sale.customer,
            };
            visit.store = sale.store;
            visit.customer = sale.customer;
            visit.second_of_day = opening_second(
                &mut draw,
                &world.shops[usize::from(sale.store)],
                world.days[day].weekday,
            );
            visit.returns = Some((earlier as u32, original));
        }
    }
    for (visit, sequence) in visits[sold..].iter_mut().zip(1..) {
        visit.sequence = sequence;
    }
    visits.sort_unstable_by_key(|visit| (visit.second_of_day, visit.index));
    visits
}

/// The sales of a day, numbered by till in the order of their time, and the visits of the service desk, not yet numbered.
fn sales(world: &World, day: usize) -> (Vec<Visit>, Vec<Visit>) {
    let facts = &world.days[day];
    let mut draw = Draw::new(world.seed, Part::Day, day as u64);
    let mut visits = Vec::with_capacity(facts.receipts as usize);
    let mut desk = Vec::new();
    for index in 0..facts.receipts as u32 {
        let customer = match draw.chance(world.size.identified_share) {
            true => world.habits.visitor(&mut draw, day, facts.weekday),
            false => None,
        };
        let store = open_store(world, &mut draw, customer, facts.weekday);
        let second_of_day = opening_second(&mut draw, &world.shops[store], facts.weekday);
        let till = 1 + draw.below(TILLS) as u8;
        let visit = Visit {
            index,
            second_of_day,
            store: store as u16,
            till,
            sequence: 0,
            customer,
            returns: None,
        };
        match draw.chance(world.size.return_share) {
            true => desk.push(Visit {
                till: DESK,
                ..visit
            }),
            false => visits.push(visit),
        }
    }
    visits.sort_unstable_by_key(|visit| (visit.second_of_day, visit.index));
    let mut numbers = vec![0_u32; world.shops.len() * TILLS as usize];
    for visit in &mut visits {
        let number =
            &mut numbers[usize::from(visit.store) * TILLS as usize + usize::from(visit.till) - 1];
        *number += 1;
        visit.sequence = *number;
    }
    (visits, desk)
}

fn open_store(world: &World, draw: &mut Draw, customer: Option<u32>, weekday: u8) -> usize {
    for _ in 0..6 {
        let store = match customer {
            Some(customer) => world.habits.store(draw, customer, &world.shop_weights),
            None => draw.weighted(&world.shop_weights),
        };
        if world.shops[store].opens_on(weekday) {
            return store;
        }
    }
    // Open every day.
    0
}

/// A time at which the store is open that day, by the hours people like; the middle of the day where it never opens.
fn opening_second(draw: &mut Draw, shop: &Shop, weekday: u8) -> u32 {
    // Share of each hour from 8 to 21, in percent; rising sums.
    const HOURS: [u64; 14] = [5, 13, 23, 33, 40, 44, 48, 54, 63, 75, 87, 95, 98, 100];
    for _ in 0..16 {
        let minute = (8 + draw.weighted(&HOURS) as u32) * 60 + draw.below(60);
        if shop.is_open(weekday, minute as u16) {
            return minute * 60 + draw.below(60);
        }
    }
    11 * 3600 + draw.below(3600)
}
