//! Small values, from the domain to the wire.

use tillside_engine::command::SeenIdentifier;
use tillside_engine::offer::Channel;
use tillside_engine::units::{Money, Time, Unit};
use tillside_proto::v1;

use super::checks::{Checks, Path};

/// An instant.
pub fn timestamp(time: Time) -> prost_types::Timestamp {
    let nanos = time.0.rem_euclid(1000) as i32 * 1_000_000;
    prost_types::Timestamp {
        seconds: time.0.div_euclid(1000),
        nanos,
    }
}

/// A span.
pub fn window((start, end): (Time, Time)) -> v1::TimeWindow {
    v1::TimeWindow {
        start_time: Some(timestamp(start)),
        end_time: Some(timestamp(end)),
    }
}

/// An amount.
pub fn money(money: Money) -> v1::Money {
    v1::Money {
        currency_code: money.currency.as_str().into(),
        minor_units: money.minor,
    }
}

/// A unit.
pub fn unit(unit: Unit) -> v1::Unit {
    match unit {
        Unit::Each => v1::Unit::Ea,
        Unit::Kilogram => v1::Unit::Kg,
        Unit::Litre => v1::Unit::L,
        Unit::Metre => v1::Unit::M,
    }
}

/// A quantity.
pub fn quantity(thousandths: i64, of: Unit) -> v1::Quantity {
    v1::Quantity {
        thousandths,
        unit: unit(of).into(),
    }
}

/// Millimetres as metres.
pub fn meters(millimetres: u64) -> f64 {
    millimetres as f64 / 1000.0
}

/// The channel of a call; unset it follows from whether a store is named.
pub fn channel(checks: &mut Checks, path: Path<'_>, value: i32, store_named: bool) -> Channel {
    match checks.known::<v1::Channel>(path, value) {
        Some(v1::Channel::Store) => Channel::Store,
        Some(v1::Channel::App) => Channel::App,
        Some(v1::Channel::Kiosk) => Channel::Kiosk,
        Some(v1::Channel::CallCenter) => Channel::CallCenter,
        Some(v1::Channel::Unspecified) if store_named => Channel::Store,
        Some(v1::Channel::Ecommerce | v1::Channel::Unspecified) | None => Channel::Ecommerce,
    }
}

/// An etag: the version as digits. Empty: none.
pub fn etag(checks: &mut Checks, path: Path<'_>, value: &str) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let version = value.parse().ok();
    checks.require(
        version.is_some(),
        path,
        "is not an etag of this server; leave it out or send the one that was answered",
    );
    version
}

/// Leaves only the first of equal identifiers.
pub fn without_repeats(identifiers: &mut Vec<SeenIdentifier>) {
    let mut seen = rustc_hash::FxHashSet::default();
    identifiers.retain(|i| seen.insert(i.hash));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_have_positive_nanos() {
        assert_eq!(
            timestamp(Time(-500)),
            prost_types::Timestamp {
                seconds: -1,
                nanos: 500_000_000
            }
        );
        assert_eq!(
            timestamp(Time(1999)),
            prost_types::Timestamp {
                seconds: 1,
                nanos: 999_000_000
            }
        );
    }

    #[test]
    fn an_unset_channel_follows_from_the_store() {
        let of = |value, store| channel(&mut Checks::default(), Path::ROOT, value, store);
        assert_eq!(of(0, true), Channel::Store);
        assert_eq!(of(0, false), Channel::Ecommerce);
        assert_eq!(of(v1::Channel::App as i32, true), Channel::App);
    }
}
