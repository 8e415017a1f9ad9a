//! The stores: a place each, a name and opening hours. Beyond the places there are, further stores stand near the first ones.

use crate::{
    World,
    draw::{Draw, Part},
    places::{PLACES, Place},
};
use tillside_proto::v1;

/// Opening intervals of one weekday in minutes after midnight; an empty interval is (0, 0).
type Intervals = [(u16, u16); 2];

/// A store.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) place: Place,
    /// Monday first.
    pub(crate) hours: [Intervals; 7],
}

const CLOSED: Intervals = [(0, 0), (0, 0)];

const fn all_day(open: u16, close: u16) -> Intervals {
    [(open, close), (0, 0)]
}

/// The first `count` stores.
pub(crate) fn shops(seed: u64, count: u32) -> Vec<Shop> {
    (0..count)
        .map(|index| {
            let mut draw = Draw::new(seed, Part::Stores, u64::from(index));
            let round = index as usize / PLACES.len();
            let mut place = PLACES[index as usize % PLACES.len()];
            let mut name = match place.district {
                "" => format!("Tillside {}", place.town),
                district => format!("Tillside {} {district}", place.town),
            };
            if round > 0 {
                // Up to three kilometres away, rounded to the table's three decimals.
                let offset = |draw: &mut Draw| (f64::from(draw.below(55)) - 27.0) / 1000.0;
                place.latitude += offset(&mut draw);
                place.longitude += offset(&mut draw);
                name.push_str(&format!(" {}", round + 1));
            }
            Shop {
                id: store_id(index),
                name,
                place,
                hours: hours(index, place, &mut draw),
            }
        })
        .collect()
}

/// Large stores open all day and on Sundays, small ones close over noon, on a weekday afternoon or on Sundays. The first
/// store is always a large one, so that some store is open every day.
fn hours(index: u32, place: Place, draw: &mut Draw) -> [Intervals; 7] {
    if index == 0 || place.weight >= 6 {
        let day = *draw.pick(&[all_day(450, 1290), all_day(480, 1320), all_day(480, 1260)]);
        let mut week = [day; 7];
        week[6] = all_day(540, 1200);
        return week;
    }
    if place.weight >= 4 || draw.chance(0.3) {
        let mut week = [*draw.pick(&[all_day(480, 1230), all_day(510, 1200)]); 7];
        week[6] = if draw.chance(0.6) {
            all_day(540, 780)
        } else {
            CLOSED
        };
        return week;
    }
    let mut week = [*draw.pick(&[[(480, 780), (930, 1185)], [(510, 795), (960, 1200)]]); 7];
    if draw.chance(0.5) {
        // The weekly closing afternoon.
        week[2] = all_day(480, 780);
    }
    week[6] = if draw.chance(0.25) {
        all_day(540, 765)
    } else {
        CLOSED
    };
    week
}

impl Shop {
    pub(crate) fn message(&self) -> v1::Store {
        let opening_hours =
            self.hours
                .iter()
                .zip(1..)
                .flat_map(|(intervals, day)| {
                    intervals.iter().filter(|(open, close)| open < close).map(
                        move |&(open, close)| v1::OpeningHours {
                            day,
                            open_minute: i32::from(open),
                            close_minute: i32::from(close),
                        },
                    )
                })
                .collect();
        v1::Store {
            store_id: self.id.clone(),
            display_name: self.name.clone(),
            location: Some(v1::LatLng {
                latitude: self.place.latitude,
                longitude: self.place.longitude,
            }),
            time_zone: "Europe/Rome".to_owned(),
            opening_hours,
            state: v1::StoreState::Open as i32,
            town: self.place.town.to_owned(),
            province: self.place.province.to_owned(),
            country_code: "IT".to_owned(),
            ..Default::default()
        }
    }

    /// Whether the store is open at this minute of this weekday (0 is Monday).
    pub(crate) fn is_open(&self, weekday: u8, minute: u16) -> bool {
        self.hours[usize::from(weekday) % 7]
            .iter()
            .any(|&(open, close)| open <= minute && minute < close)
    }

    /// Whether the store opens at all on this weekday.
    pub(crate) fn opens_on(&self, weekday: u8) -> bool {
        self.hours[usize::from(weekday) % 7]
            .iter()
            .any(|(open, close)| open < close)
    }
}

fn store_id(index: u32) -> String {
    format!("S{:03}", index + 1)
}

impl World {
    /// Id of a store by position (from 0).
    #[must_use]
    pub fn store_id(&self, index: usize) -> &str {
        &self.shops[index].id
    }

    /// Name of a store by position.
    #[must_use]
    pub fn store_name(&self, index: usize) -> &str {
        &self.shops[index].name
    }

    /// Where a store is, by position.
    #[must_use]
    pub fn store_place(&self, index: usize) -> Place {
        self.shops[index].place
    }
}
