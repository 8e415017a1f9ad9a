//! Records of what places do for orders, and of the routing policy.

use std::sync::Arc;

use jiff::civil::Date;
use tillside_engine::ids::Sequence;
use tillside_engine::location_terms::{
    LocationKind, LocationTerms, Methods, SlotRules, SpecialDay,
};
use tillside_engine::pickup_slots::Slot;
use tillside_engine::routing_policy::{MethodCost, RankBy, RoutingPolicy, RoutingRule, RuleEffect};
use tillside_engine::units::Time;

use super::codes::Coded;
use super::values::{currency, currency_code, list, strings, texts};
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::{PolicyKey, Table};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LocationTermsRecord {
    #[prost(uint32, tag = "1")]
    kind: u32,
    /// A bit for each method, by its number.
    #[prost(uint32, tag = "2")]
    methods: u32,
    #[prost(bool, tag = "3")]
    withholds_online: bool,
    #[prost(message, repeated, tag = "4")]
    special_days: Vec<SpecialDayRecord>,
    #[prost(uint32, tag = "5")]
    preparation_minutes: u32,
    #[prost(uint32, tag = "6")]
    last_pickup_minutes: u32,
    #[prost(uint32, optional, tag = "7")]
    order_cutoff_minute: Option<u32>,
    #[prost(message, optional, tag = "8")]
    slots: Option<SlotRulesRecord>,
    #[prost(string, repeated, tag = "9")]
    capabilities: Vec<String>,
    #[prost(string, repeated, tag = "10")]
    carriers: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SpecialDayRecord {
    /// Year times 10000, month times 100, day.
    #[prost(sint32, tag = "1")]
    date: i32,
    /// Open and close minutes by turns.
    #[prost(uint32, repeated, tag = "2")]
    minutes: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct SlotRulesRecord {
    #[prost(uint32, tag = "1")]
    length_minutes: u32,
    #[prost(uint32, tag = "2")]
    capacity: u32,
}

/// A slot that a reservation was given.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct SlotRecord {
    #[prost(sint64, tag = "1")]
    start_ms: i64,
    #[prost(sint64, tag = "2")]
    end_ms: i64,
    #[prost(uint32, tag = "3")]
    capacity: u32,
}

fn minute(number: u32) -> Result<u16, RecordProblem> {
    u16::try_from(number).map_err(|_| RecordProblem::field("minute", number))
}

impl Stored for LocationTerms {
    type Record = LocationTermsRecord;

    fn to_record(&self) -> LocationTermsRecord {
        LocationTermsRecord {
            kind: self.kind.code(),
            methods: self.methods.0.into(),
            withholds_online: self.withholds_online,
            special_days: self.special_days.iter().map(Stored::to_record).collect(),
            preparation_minutes: self.preparation_minutes,
            last_pickup_minutes: self.last_pickup_minutes.into(),
            order_cutoff_minute: self.order_cutoff_minute.map(u32::from),
            slots: self.slots.map(|slots| SlotRulesRecord {
                length_minutes: slots.length_minutes.into(),
                capacity: slots.capacity,
            }),
            capabilities: strings(&self.capabilities),
            carriers: strings(&self.carriers),
        }
    }

    fn from_record(record: LocationTermsRecord) -> Result<Self, RecordProblem> {
        Ok(LocationTerms {
            kind: LocationKind::decoded(record.kind)?,
            methods: methods(record.methods)?,
            withholds_online: record.withholds_online,
            special_days: list(record.special_days)?,
            preparation_minutes: record.preparation_minutes,
            last_pickup_minutes: minute(record.last_pickup_minutes)?,
            order_cutoff_minute: record.order_cutoff_minute.map(minute).transpose()?,
            slots: match record.slots {
                Some(slots) => Some(SlotRules {
                    length_minutes: minute(slots.length_minutes)?,
                    capacity: slots.capacity,
                }),
                None => None,
            },
            capabilities: texts(record.capabilities),
            carriers: texts(record.carriers),
        })
    }
}

fn methods(bits: u32) -> Result<Methods, RecordProblem> {
    u8::try_from(bits)
        .ok()
        .filter(|bits| bits & !Methods::ANY.0 == 0)
        .map(Methods)
        .ok_or_else(|| RecordProblem::field("set of methods", bits))
}

impl Stored for SpecialDay {
    type Record = SpecialDayRecord;

    fn to_record(&self) -> SpecialDayRecord {
        let (year, month, day) = (self.date.year(), self.date.month(), self.date.day());
        SpecialDayRecord {
            date: i32::from(year) * 10_000 + i32::from(month) * 100 + i32::from(day),
            minutes: (self.opening.iter())
                .flat_map(|(open, close)| [u32::from(*open), u32::from(*close)])
                .collect(),
        }
    }

    fn from_record(record: SpecialDayRecord) -> Result<Self, RecordProblem> {
        let bad = || RecordProblem::field("special day", record.date);
        let year = i16::try_from(record.date.div_euclid(10_000)).map_err(|_| bad())?;
        let in_year = record.date.rem_euclid(10_000);
        // Both are below 100.
        let (month, day) = ((in_year / 100) as i8, (in_year % 100) as i8);
        let date = Date::new(year, month, day).map_err(|_| bad())?;
        let (pairs, rest) = record.minutes.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(RecordProblem::field("special day", "half an interval"));
        }
        let opening = pairs
            .iter()
            .map(|[open, close]| Ok((minute(*open)?, minute(*close)?)))
            .collect::<Result<_, RecordProblem>>()?;
        Ok(SpecialDay { date, opening })
    }
}

impl Stored for Slot {
    type Record = SlotRecord;

    fn to_record(&self) -> SlotRecord {
        SlotRecord {
            start_ms: self.start.0,
            end_ms: self.end.0,
            capacity: self.capacity,
        }
    }

    fn from_record(record: SlotRecord) -> Result<Self, RecordProblem> {
        Ok(Slot {
            start: Time(record.start_ms),
            end: Time(record.end_ms),
            capacity: record.capacity,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RoutingPolicyRecord {
    #[prost(string, tag = "1")]
    currency: String,
    #[prost(uint32, tag = "2")]
    rank_by: u32,
    /// By method, in the order of their numbers.
    #[prost(message, repeated, tag = "3")]
    costs: Vec<MethodCostRecord>,
    #[prost(sint64, tag = "4")]
    full_store_minor: i64,
    #[prost(sint64, tag = "5")]
    wait_hour_minor: i64,
    #[prost(uint32, tag = "6")]
    parcel_units_max: u32,
    #[prost(uint32, tag = "7")]
    split_parts_max: u32,
    #[prost(sint64, tag = "8")]
    split_part_value_min: i64,
    #[prost(uint32, tag = "9")]
    ask_again_minutes: u32,
    #[prost(message, repeated, tag = "10")]
    rules: Vec<RoutingRuleRecord>,
    #[prost(uint64, tag = "11")]
    version: u64,
    #[prost(sint64, tag = "12")]
    hold_first_below: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct MethodCostRecord {
    #[prost(sint64, tag = "1")]
    order_minor: i64,
    #[prost(sint64, tag = "2")]
    line_minor: i64,
    #[prost(sint64, tag = "3")]
    parcel_minor: i64,
    #[prost(sint64, tag = "4")]
    km_minor: i64,
    #[prost(uint32, tag = "5")]
    transit_minutes_min: u32,
    #[prost(uint32, tag = "6")]
    transit_minutes_max: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RoutingRuleRecord {
    #[prost(string, tag = "1")]
    rule_id: String,
    #[prost(string, tag = "2")]
    category: String,
    #[prost(string, repeated, tag = "3")]
    place_regions: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    destination_regions: Vec<String>,
    #[prost(uint32, tag = "5")]
    methods: u32,
    #[prost(oneof = "EffectRecord", tags = "6, 7, 8")]
    effect: Option<EffectRecord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum EffectRecord {
    #[prost(bool, tag = "6")]
    Forbid(bool),
    #[prost(string, tag = "7")]
    RequireCapability(String),
    #[prost(message, tag = "8")]
    RequireCarrier(CarriersRecord),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CarriersRecord {
    #[prost(string, repeated, tag = "1")]
    carriers: Vec<String>,
}

/// The one row of its table.
impl Row for RoutingPolicy {
    const TABLE: Table = Table::RoutingPolicy;
    type Key = PolicyKey;
}

impl Stored for RoutingPolicy {
    type Record = RoutingPolicyRecord;

    fn to_record(&self) -> RoutingPolicyRecord {
        RoutingPolicyRecord {
            currency: currency_code(self.currency),
            rank_by: self.rank_by.code(),
            costs: self.costs.iter().map(Stored::to_record).collect(),
            full_store_minor: self.full_store_minor,
            wait_hour_minor: self.wait_hour_minor,
            parcel_units_max: self.parcel_units_max,
            split_parts_max: self.split_parts_max,
            split_part_value_min: self.split_part_value_min,
            ask_again_minutes: self.ask_again_minutes,
            hold_first_below: self.hold_first_below,
            rules: self.rules.iter().map(Stored::to_record).collect(),
            version: self.version.0,
        }
    }

    fn from_record(record: RoutingPolicyRecord) -> Result<Self, RecordProblem> {
        let costs: Vec<MethodCost> = list(record.costs)?;
        Ok(RoutingPolicy {
            currency: currency(record.currency)?,
            rank_by: RankBy::decoded(record.rank_by)?,
            costs: costs
                .try_into()
                .map_err(|_| RecordProblem::field("costs by method", "another number of them"))?,
            full_store_minor: record.full_store_minor,
            wait_hour_minor: record.wait_hour_minor,
            parcel_units_max: record.parcel_units_max,
            split_parts_max: record.split_parts_max,
            split_part_value_min: record.split_part_value_min,
            ask_again_minutes: record.ask_again_minutes,
            // A policy from before there was a threshold means the one that is built in; a request cannot ask for zero.
            hold_first_below: match record.hold_first_below {
                0 => RoutingPolicy::default().hold_first_below,
                below => below,
            },
            rules: list(record.rules)?,
            version: Sequence(record.version),
        })
    }
}

impl Stored for MethodCost {
    type Record = MethodCostRecord;

    fn to_record(&self) -> MethodCostRecord {
        MethodCostRecord {
            order_minor: self.order_minor,
            line_minor: self.line_minor,
            parcel_minor: self.parcel_minor,
            km_minor: self.km_minor,
            transit_minutes_min: self.transit_minutes_min,
            transit_minutes_max: self.transit_minutes_max,
        }
    }

    fn from_record(record: MethodCostRecord) -> Result<Self, RecordProblem> {
        Ok(MethodCost {
            order_minor: record.order_minor,
            line_minor: record.line_minor,
            parcel_minor: record.parcel_minor,
            km_minor: record.km_minor,
            transit_minutes_min: record.transit_minutes_min,
            transit_minutes_max: record.transit_minutes_max,
        })
    }
}

impl Stored for RoutingRule {
    type Record = RoutingRuleRecord;

    fn to_record(&self) -> RoutingRuleRecord {
        RoutingRuleRecord {
            rule_id: self.rule_id.to_string(),
            category: self.category.to_string(),
            place_regions: strings(&self.place_regions),
            destination_regions: strings(&self.destination_regions),
            methods: self.methods.0.into(),
            effect: Some(match &self.effect {
                RuleEffect::Forbid => EffectRecord::Forbid(true),
                RuleEffect::RequireCapability(needed) => {
                    EffectRecord::RequireCapability(needed.to_string())
                }
                RuleEffect::RequireCarrier(any) => EffectRecord::RequireCarrier(CarriersRecord {
                    carriers: strings(any),
                }),
            }),
        }
    }

    fn from_record(record: RoutingRuleRecord) -> Result<Self, RecordProblem> {
        let unknown = || RecordProblem::field("effect of a rule", "one this version does not know");
        Ok(RoutingRule {
            rule_id: record.rule_id.into(),
            category: record.category.into(),
            place_regions: texts(record.place_regions),
            destination_regions: texts(record.destination_regions),
            methods: methods(record.methods)?,
            effect: match record.effect.ok_or_else(unknown)? {
                EffectRecord::Forbid(_) => RuleEffect::Forbid,
                EffectRecord::RequireCapability(needed) => {
                    RuleEffect::RequireCapability(Arc::from(needed))
                }
                EffectRecord::RequireCarrier(any) => {
                    RuleEffect::RequireCarrier(texts(any.carriers))
                }
            },
        })
    }
}

/// The terms of a place, where they are unlike those of a plain store: such a store is written as it was before there were
/// terms.
pub(super) fn terms_record(terms: &LocationTerms) -> Option<LocationTermsRecord> {
    (*terms != LocationTerms::default()).then(|| terms.to_record())
}
