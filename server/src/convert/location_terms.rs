//! What a place does for orders.

use jiff::civil::Date;
use tillside_engine::limits::{
    CAPABILITIES_MAX, OPENING_INTERVALS_MAX, PREPARATION_MINUTES_MAX, SLOT_CAPACITY_MAX,
    SLOT_MINUTES_MAX, SLOT_MINUTES_MIN, SPECIAL_DAYS_MAX,
};
use tillside_engine::location_terms::{
    LocationKind, LocationTerms, Method, Methods, SlotRules, SpecialDay,
};
use tillside_proto::v1;

use super::checks::{Checks, Path};

/// Minutes of a duration; whole ones, at most `max`.
pub fn minutes(
    checks: &mut Checks,
    path: Path<'_>,
    duration: Option<&prost_types::Duration>,
    max: u32,
) -> u32 {
    let Some(duration) = duration else {
        return 0;
    };
    let whole = duration.nanos == 0 && duration.seconds % 60 == 0;
    match u32::try_from(duration.seconds / 60) {
        Ok(minutes) if whole && minutes <= max => minutes,
        _ => {
            checks.refuse(
                path,
                format_args!("is not a whole number of minutes between 0 and {max}"),
            );
            0
        }
    }
}

/// Minutes as a duration; none where there are none.
pub fn wire_minutes(minutes: u32) -> Option<prost_types::Duration> {
    (minutes > 0).then(|| prost_types::Duration {
        seconds: i64::from(minutes) * 60,
        nanos: 0,
    })
}

/// Methods; `None` where none is named.
pub fn methods(
    checks: &mut Checks,
    path: Path<'_>,
    name: &'static str,
    values: &[i32],
) -> Option<Methods> {
    checks.count(path.field(name), values.len(), 0, 4 * Method::ALL.len());
    let mut found = Vec::with_capacity(Method::ALL.len());
    for (i, value) in values.iter().take(4 * Method::ALL.len()).enumerate() {
        match method_of(*value) {
            Some(method) => found.push(method),
            None => checks.refuse(path.item(name, i), "is not a method this server knows"),
        }
    }
    (!values.is_empty()).then(|| Methods::of(found))
}

/// A method.
pub fn method_of(value: i32) -> Option<Method> {
    match v1::FulfillmentMethod::try_from(value).ok()? {
        v1::FulfillmentMethod::Unspecified => None,
        v1::FulfillmentMethod::Pickup => Some(Method::Pickup),
        v1::FulfillmentMethod::ShipFromStore => Some(Method::ShipFromStore),
        v1::FulfillmentMethod::ShipToHome => Some(Method::ShipToHome),
        v1::FulfillmentMethod::DropShip => Some(Method::DropShip),
    }
}

/// A method on the wire.
pub fn wire_method(method: Method) -> v1::FulfillmentMethod {
    match method {
        Method::Pickup => v1::FulfillmentMethod::Pickup,
        Method::ShipFromStore => v1::FulfillmentMethod::ShipFromStore,
        Method::ShipToHome => v1::FulfillmentMethod::ShipToHome,
        Method::DropShip => v1::FulfillmentMethod::DropShip,
    }
}

/// Methods on the wire.
pub fn wire_methods(methods: Methods) -> Vec<i32> {
    methods.iter().map(|m| wire_method(m).into()).collect()
}

/// The terms of a store.
pub fn location_terms(
    checks: &mut Checks,
    path: Path<'_>,
    terms: Option<&v1::LocationTerms>,
) -> LocationTerms {
    let Some(terms) = terms else {
        return LocationTerms::default();
    };
    let kind = match checks.known::<v1::LocationKind>(path.field("kind"), terms.kind) {
        Some(v1::LocationKind::Warehouse) => LocationKind::Warehouse,
        Some(v1::LocationKind::Supplier) => LocationKind::Supplier,
        Some(v1::LocationKind::Store | v1::LocationKind::Unspecified) | None => LocationKind::Store,
    };
    let methods =
        methods(checks, path, "methods", &terms.methods).unwrap_or_else(|| kind.usual_methods());
    checks.require(
        methods.and(kind.possible_methods()) == methods,
        path.field("methods"),
        "has a method that such a place cannot serve",
    );
    let minutes_max = u32::from(SLOT_MINUTES_MAX) - 1;
    LocationTerms {
        kind,
        methods,
        withholds_online: terms.withholds_online,
        special_days: special_days(checks, path, &terms.special_days),
        preparation_minutes: minutes(
            checks,
            path.field("preparation_duration"),
            terms.preparation_duration.as_ref(),
            PREPARATION_MINUTES_MAX,
        ),
        last_pickup_minutes: u16::try_from(minutes(
            checks,
            path.field("last_pickup_before_closing"),
            terms.last_pickup_before_closing.as_ref(),
            minutes_max,
        ))
        .unwrap_or(0),
        order_cutoff_minute: terms.order_cutoff_minute.map(|minute| {
            let good = (0..1440).contains(&minute);
            checks.require(
                good,
                path.field("order_cutoff_minute"),
                "is not between 0 and 1439",
            );
            u16::try_from(minute).unwrap_or(0)
        }),
        slots: terms
            .pickup_slots
            .as_ref()
            .map(|slots| self::slots(checks, path.field("pickup_slots"), slots)),
        capabilities: words(checks, path, "capabilities", &terms.capabilities),
        carriers: words(checks, path, "carriers", &terms.carriers),
    }
}

fn slots(checks: &mut Checks, path: Path<'_>, slots: &v1::PickupSlotRules) -> SlotRules {
    let at = path.field("length");
    checks.require(slots.length.is_some(), at, "is required");
    let length = minutes(checks, at, slots.length.as_ref(), SLOT_MINUTES_MAX.into());
    let length_minutes = u16::try_from(length).unwrap_or(0);
    checks.require(
        slots.length.is_none() || (SLOT_MINUTES_MIN..=SLOT_MINUTES_MAX).contains(&length_minutes),
        at,
        "is not between 5 minutes and 24 hours",
    );
    let capacity = u32::try_from(slots.capacity)
        .ok()
        .filter(|c| *c <= SLOT_CAPACITY_MAX);
    checks.require(
        capacity.is_some(),
        path.field("capacity"),
        "is not between 0 and 100000",
    );
    SlotRules {
        length_minutes,
        capacity: capacity.unwrap_or(0),
    }
}

fn special_days(checks: &mut Checks, path: Path<'_>, days: &[v1::SpecialDay]) -> Vec<SpecialDay> {
    checks.count(path.field("special_days"), days.len(), 0, SPECIAL_DAYS_MAX);
    let mut special: Vec<SpecialDay> = Vec::with_capacity(days.len().min(SPECIAL_DAYS_MAX));
    for (i, day) in days.iter().take(SPECIAL_DAYS_MAX).enumerate() {
        let at = path.item("special_days", i);
        let part = |n: i32| i8::try_from(n).unwrap_or(0);
        let date = i16::try_from(day.year)
            .ok()
            .filter(|year| *year >= 1)
            .and_then(|year| Date::new(year, part(day.month), part(day.day)).ok());
        let Some(date) = date else {
            checks.refuse(at, "is not a day of the calendar");
            continue;
        };
        checks.require(
            special.iter().all(|other| other.date != date),
            at,
            "is in the list twice",
        );
        let opening = hours(checks, at, &day.opening_hours);
        special.push(SpecialDay { date, opening });
    }
    special.sort_by_key(|day| day.date);
    special
}

fn hours(checks: &mut Checks, path: Path<'_>, hours: &[v1::OpeningHours]) -> Vec<(u16, u16)> {
    checks.count(
        path.field("opening_hours"),
        hours.len(),
        0,
        OPENING_INTERVALS_MAX,
    );
    let mut opening = Vec::with_capacity(hours.len().min(OPENING_INTERVALS_MAX));
    for (i, interval) in hours.iter().take(OPENING_INTERVALS_MAX).enumerate() {
        let at = path.item("opening_hours", i);
        checks.require(interval.day == 0, at.field("day"), "is left unset here");
        checks.require(
            (0..=1439).contains(&interval.open_minute),
            at.field("open_minute"),
            "is not between 0 and 1439",
        );
        let after = interval.close_minute > interval.open_minute && interval.close_minute <= 2880;
        checks.require(
            after,
            at.field("close_minute"),
            "is not after open_minute and at most 2880",
        );
        let minute = |m: i32| u16::try_from(m).unwrap_or(0);
        opening.push((minute(interval.open_minute), minute(interval.close_minute)));
    }
    opening
}

/// Words of the retailer's own.
pub fn words(
    checks: &mut Checks,
    path: Path<'_>,
    name: &'static str,
    words: &[String],
) -> Vec<std::sync::Arc<str>> {
    checks.count(path.field(name), words.len(), 0, CAPABILITIES_MAX);
    words
        .iter()
        .take(CAPABILITIES_MAX)
        .enumerate()
        .map(|(i, word)| checks.id(path.item(name, i), word))
        .collect()
}

/// The terms on the wire; unset for those of a plain store.
pub fn wire_terms(terms: &LocationTerms) -> Option<v1::LocationTerms> {
    if *terms == LocationTerms::default() {
        return None;
    }
    let kind = match terms.kind {
        LocationKind::Store => v1::LocationKind::Store,
        LocationKind::Warehouse => v1::LocationKind::Warehouse,
        LocationKind::Supplier => v1::LocationKind::Supplier,
    };
    let texts = |words: &[std::sync::Arc<str>]| words.iter().map(|w| w.to_string()).collect();
    let hours = |&(open, close): &(u16, u16)| v1::OpeningHours {
        day: 0,
        open_minute: i32::from(open),
        close_minute: i32::from(close),
    };
    Some(v1::LocationTerms {
        kind: kind.into(),
        methods: wire_methods(terms.methods),
        withholds_online: terms.withholds_online,
        special_days: (terms.special_days.iter())
            .map(|day| v1::SpecialDay {
                year: day.date.year().into(),
                month: day.date.month().into(),
                day: day.date.day().into(),
                opening_hours: day.opening.iter().map(hours).collect(),
            })
            .collect(),
        preparation_duration: wire_minutes(terms.preparation_minutes),
        last_pickup_before_closing: wire_minutes(terms.last_pickup_minutes.into()),
        order_cutoff_minute: terms.order_cutoff_minute.map(i32::from),
        pickup_slots: terms.slots.map(|slots| v1::PickupSlotRules {
            length: wire_minutes(slots.length_minutes.into()),
            capacity: i32::try_from(slots.capacity).unwrap_or(i32::MAX),
        }),
        capabilities: texts(&terms.capabilities),
        carriers: texts(&terms.carriers),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> v1::LocationTerms {
        let hours = |open_minute, close_minute| v1::OpeningHours {
            day: 0,
            open_minute,
            close_minute,
        };
        v1::LocationTerms {
            kind: v1::LocationKind::Store.into(),
            methods: vec![
                v1::FulfillmentMethod::Pickup.into(),
                v1::FulfillmentMethod::ShipFromStore.into(),
            ],
            withholds_online: true,
            special_days: vec![
                v1::SpecialDay {
                    year: 2026,
                    month: 12,
                    day: 24,
                    opening_hours: vec![hours(540, 840)],
                },
                v1::SpecialDay {
                    year: 2026,
                    month: 12,
                    day: 25,
                    opening_hours: vec![],
                },
            ],
            preparation_duration: wire_minutes(90),
            last_pickup_before_closing: wire_minutes(30),
            order_cutoff_minute: Some(0),
            pickup_slots: Some(v1::PickupSlotRules {
                length: wire_minutes(60),
                capacity: 4,
            }),
            capabilities: vec!["cold".into()],
            carriers: vec!["poste".into()],
        }
    }

    #[test]
    fn terms_survive_the_way_in_and_out() {
        let mut checks = Checks::default();
        let terms = location_terms(&mut checks, Path::ROOT, Some(&full()));
        assert!(checks.finish().is_ok());
        assert_eq!(wire_terms(&terms), Some(full()));
        assert_eq!(wire_terms(&LocationTerms::default()), None);
    }

    #[test]
    fn every_bad_field_is_named() {
        let bad = v1::LocationTerms {
            kind: 9,
            methods: vec![4, 9],
            special_days: vec![v1::SpecialDay {
                year: 2026,
                month: 2,
                day: 29,
                opening_hours: vec![],
            }],
            preparation_duration: Some(prost_types::Duration {
                seconds: 61,
                nanos: 0,
            }),
            last_pickup_before_closing: wire_minutes(1440),
            order_cutoff_minute: Some(1440),
            pickup_slots: Some(v1::PickupSlotRules {
                length: wire_minutes(4),
                capacity: -1,
            }),
            capabilities: vec!["".into()],
            ..full()
        };
        let mut checks = Checks::default();
        location_terms(&mut checks, Path::ROOT, Some(&bad));
        let fields: Vec<_> = checks.finish().expect_err("violations").0;
        let fields: Vec<_> = fields.into_iter().map(|v| v.field).collect();
        let expect = [
            "kind",
            "methods[1]",
            "methods",
            "special_days[0]",
            "preparation_duration",
            "last_pickup_before_closing",
            "order_cutoff_minute",
            "pickup_slots.length",
            "pickup_slots.capacity",
            "capabilities[0]",
        ];
        assert_eq!(fields, expect);
    }
}
