//! Arguments that several commands take: identifiers, basket lines, places, durations. Wrong ones are usage errors.

use crate::decimal;
use clap::Args;
use std::time::Duration;
use tillside_client::v1::{
    BasketLine, FulfillmentLine, Identifier, IdentifierType, LatLng, Place, Quantity,
    basket_line::Item, place,
};

/// Identifiers of a customer.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct IdentifierArgs {
    /// Loyalty card number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) card: Vec<String>,
    /// E-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Vec<String>,
    /// Phone number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) phone: Vec<String>,
    /// The retailer's customer id
    #[arg(long, value_name = "ID")]
    pub(crate) customer_id: Vec<String>,
}

impl IdentifierArgs {
    /// All of them as the API wants them.
    pub(crate) fn identifiers(&self) -> Vec<Identifier> {
        let kinds = [
            (IdentifierType::LoyaltyCard, &self.card),
            (IdentifierType::Email, &self.email),
            (IdentifierType::Phone, &self.phone),
            (IdentifierType::CustomerId, &self.customer_id),
        ];
        kinds
            .into_iter()
            .flat_map(|(kind, values)| values.iter().map(move |value| identifier(kind, value)))
            .collect()
    }
}

/// One identifier.
pub(crate) fn identifier(kind: IdentifierType, value: &str) -> Identifier {
    Identifier {
        r#type: kind.into(),
        value: value.to_owned(),
        ..Identifier::default()
    }
}

/// Where the shopper is.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct OriginArgs {
    /// Where the shopper is, for example 43.77,11.25
    #[arg(long, value_name = "LAT,LON", value_parser = coordinates, allow_hyphen_values = true)]
    at: Option<LatLng>,
    /// The shopper is at this store
    #[arg(long, value_name = "ID")]
    near_store: Option<String>,
}

impl OriginArgs {
    /// The place as the API wants it.
    pub(crate) fn place(&self) -> Option<Place> {
        let place = match (&self.at, &self.near_store) {
            (Some(location), _) => place::Place::Location(*location),
            (None, Some(store_id)) => place::Place::StoreId(store_id.clone()),
            (None, None) => return None,
        };
        Some(Place {
            place: Some(place),
            ..Default::default()
        })
    }
}

/// A line of a basket: a SKU and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineArg {
    sku: String,
    thousandths: Option<i64>,
}

impl LineArg {
    /// As a line of a basket.
    pub(crate) fn basket_line(&self) -> BasketLine {
        BasketLine {
            item: Some(Item::Sku(self.sku.clone())),
            quantity: self.quantity(),
            ..BasketLine::default()
        }
    }

    /// As a line to fulfil.
    pub(crate) fn fulfillment_line(&self) -> FulfillmentLine {
        FulfillmentLine {
            sku: self.sku.clone(),
            quantity: self.quantity(),
            ..FulfillmentLine::default()
        }
    }

    fn quantity(&self) -> Option<Quantity> {
        self.thousandths.map(|thousandths| Quantity {
            thousandths,
            ..Quantity::default()
        })
    }
}

/// `SKU` or `SKU:QTY`. A SKU may itself have colons: only what follows the last one is tried as a quantity.
pub(crate) fn line(text: &str) -> Result<LineArg, String> {
    let (sku, thousandths) = match text.rsplit_once(':') {
        Some((sku, quantity)) => {
            match decimal::parse(quantity.as_bytes(), decimal::QUANTITY_DIGITS) {
                Ok(thousandths) => (sku, Some(thousandths)),
                Err(decimal::DecimalError::NotANumber) if !quantity.is_empty() => (text, None),
                Err(error) => return Err(format!("the quantity {quantity:?} {error}")),
            }
        }
        None => (text, None),
    };
    if sku.is_empty() {
        return Err("write SKU or SKU:QTY, for example 1024 or 1024:1.5".to_owned());
    }
    Ok(LineArg {
        sku: sku.to_owned(),
        thousandths,
    })
}

/// A quantity in whole units with at most three decimal places, answered in thousandths.
pub(crate) fn quantity(text: &str) -> Result<i64, String> {
    decimal::parse(text.as_bytes(), decimal::QUANTITY_DIGITS).map_err(|error| format!("it {error}"))
}

/// `LAT,LON` in degrees. The range is the server's to check, so that all clients hear the same.
pub(crate) fn coordinates(text: &str) -> Result<LatLng, String> {
    let parse = |degrees: &str| {
        degrees
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|degrees| degrees.is_finite())
    };
    text.split_once(',')
        .and_then(|(latitude, longitude)| {
            Some(LatLng {
                latitude: parse(latitude)?,
                longitude: parse(longitude)?,
            })
        })
        .ok_or_else(|| "write LAT,LON in degrees, for example 43.77,11.25".to_owned())
}

/// A duration with its unit: ms, s, m, h or d.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err("write a number and its unit, for example 500ms, 2s, 15m or 1h".to_owned());
        }
    };
    let thousandths =
        decimal::parse(number.as_bytes(), 3).map_err(|error| format!("it {error}"))?;
    u64::try_from(thousandths)
        .ok()
        .and_then(|thousandths| thousandths.checked_mul(unit_ms))
        .map(Duration::from_micros)
        .ok_or_else(|| "it is out of range".to_owned())
}

/// A distance with its unit, m or km, in metres.
pub(crate) fn distance_meters(text: &str) -> Result<f64, String> {
    let (number, unit_meters) = match (text.strip_suffix("km"), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1000.0),
        (None, Some(number)) => (number, 1.0),
        (None, None) => {
            return Err("write a number and its unit, for example 800m or 25km".to_owned());
        }
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number * unit_meters),
        _ => Err("write a number and its unit, for example 800m or 25km".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_sku_with_a_quantity_if_one_is_there() {
        fn check(text: &str, expect: Option<(&str, Option<i64>)>) {
            let got = line(text).ok();
            let expect = expect.map(|(sku, thousandths)| LineArg {
                sku: sku.to_owned(),
                thousandths,
            });
            assert_eq!(got, expect, "{text:?}");
        }
        check("0042", Some(("0042", None)));
        check("0042:2", Some(("0042", Some(2000))));
        check("ham:0.25", Some(("ham", Some(250))));
        check("shop:ham", Some(("shop:ham", None)));
        check("shop:ham:3", Some(("shop:ham", Some(3000))));
        check("ham:", None);
        check(":2", None);
        check("ham:1,5", None);
        check("ham:0.0001", None);
    }

    #[test]
    fn durations_and_distances_need_their_unit() {
        fn check_duration(text: &str, expect_ms: Option<u64>) {
            assert_eq!(
                duration(text).ok(),
                expect_ms.map(Duration::from_millis),
                "{text:?}"
            );
        }
        check_duration("15m", Some(900_000));
        check_duration("500ms", Some(500));
        check_duration("1.5s", Some(1500));
        check_duration("2h", Some(7_200_000));
        check_duration("15", None);
        check_duration("-1s", None);
        fn check_distance(text: &str, expect: Option<f64>) {
            assert_eq!(distance_meters(text).ok(), expect, "{text:?}");
        }
        check_distance("25km", Some(25_000.0));
        check_distance("800m", Some(800.0));
        check_distance("800", None);
        check_distance("-1km", None);
    }

    #[test]
    fn a_place_is_two_finite_numbers() {
        assert_eq!(
            coordinates("43.77,-11.25").map(|at| (at.latitude, at.longitude)),
            Ok((43.77, -11.25))
        );
        for text in ["", "43.77", "a,b", "NaN,1", "inf,0"] {
            assert!(coordinates(text).is_err(), "{text:?}");
        }
    }
}
