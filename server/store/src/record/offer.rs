//! Records of offers and of what became of them.

use std::sync::Arc;

use tillside_engine::customer::Purpose;
use tillside_engine::ids::Sequence;
use tillside_engine::offer::{Channel, ComputedBy, Offer, OfferTerms, OutcomeCounts, Reward};

use super::codes::Coded;
use super::values::{MoneyRecord, ids, millis, numbers, optional, required, strings, texts, time};
use super::{Row, Stored};
use crate::error::RecordProblem;
use crate::table::Table;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OfferRecord {
    #[prost(message, optional, tag = "1")]
    terms: Option<TermsRecord>,
    #[prost(bool, tag = "2")]
    archived: bool,
    #[prost(uint64, tag = "3")]
    version: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TermsRecord {
    #[prost(string, tag = "1")]
    offer_id: String,
    #[prost(string, tag = "2")]
    display_name: String,
    #[prost(string, tag = "3")]
    text: String,
    #[prost(string, tag = "4")]
    promotion_code: String,
    #[prost(uint32, tag = "5")]
    computed_by: u32,
    #[prost(sint64, optional, tag = "6")]
    start_ms: Option<i64>,
    #[prost(sint64, optional, tag = "7")]
    end_ms: Option<i64>,
    #[prost(uint32, repeated, tag = "8")]
    stores: Vec<u32>,
    #[prost(uint32, repeated, tag = "9")]
    channels: Vec<u32>,
    #[prost(string, repeated, tag = "10")]
    segments: Vec<String>,
    #[prost(message, optional, tag = "11")]
    minimum_basket: Option<MoneyRecord>,
    #[prost(uint32, repeated, tag = "12")]
    required_consents: Vec<u32>,
    #[prost(uint32, repeated, tag = "13")]
    target_skus: Vec<u32>,
    #[prost(string, repeated, tag = "14")]
    target_categories: Vec<String>,
    #[prost(bool, tag = "15")]
    target_in_basket: bool,
    #[prost(oneof = "RewardRecord", tags = "16, 17, 18")]
    reward: Option<RewardRecord>,
    #[prost(message, optional, tag = "19")]
    value: Option<MoneyRecord>,
    #[prost(uint32, tag = "20")]
    base_propensity_ppm: u32,
    #[prost(uint32, tag = "21")]
    lever_thousandths: u32,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum RewardRecord {
    #[prost(uint32, tag = "16")]
    PercentOffBasisPoints(u32),
    #[prost(message, tag = "17")]
    AmountOff(MoneyRecord),
    #[prost(sint64, tag = "18")]
    ExtraPoints(i64),
}

impl Row for Offer {
    const TABLE: Table = Table::Offers;
    type Key = Arc<str>;
}

impl Stored for Offer {
    type Record = OfferRecord;

    fn to_record(&self) -> OfferRecord {
        OfferRecord {
            terms: Some(self.terms.to_record()),
            archived: self.archived,
            version: self.version.0,
        }
    }

    fn from_record(record: OfferRecord) -> Result<Self, RecordProblem> {
        Ok(Offer {
            terms: Arc::new(required(record.terms, "set of terms")?),
            archived: record.archived,
            version: Sequence(record.version),
        })
    }
}

impl Stored for OfferTerms {
    type Record = TermsRecord;

    fn to_record(&self) -> TermsRecord {
        TermsRecord {
            offer_id: self.offer_id.to_string(),
            display_name: self.display_name.to_string(),
            text: self.text.to_string(),
            promotion_code: self.promotion_code.to_string(),
            computed_by: self.computed_by.code(),
            start_ms: millis(self.start),
            end_ms: millis(self.end),
            stores: numbers(&self.stores),
            channels: self.channels.iter().map(Coded::code).collect(),
            segments: strings(&self.segments),
            minimum_basket: self.minimum_basket.as_ref().map(Stored::to_record),
            required_consents: self.required_consents.iter().map(Coded::code).collect(),
            target_skus: numbers(&self.target_skus),
            target_categories: strings(&self.target_categories),
            target_in_basket: self.target_in_basket,
            reward: Some(match self.reward {
                Reward::PercentOff(basis_points) => {
                    RewardRecord::PercentOffBasisPoints(basis_points)
                }
                Reward::AmountOff(money) => RewardRecord::AmountOff(money.to_record()),
                Reward::ExtraPoints(points) => RewardRecord::ExtraPoints(points),
            }),
            value: Some(self.value.to_record()),
            base_propensity_ppm: self.base_propensity_ppm,
            lever_thousandths: self.lever_thousandths,
        }
    }

    fn from_record(record: TermsRecord) -> Result<Self, RecordProblem> {
        Ok(OfferTerms {
            offer_id: record.offer_id.into(),
            display_name: record.display_name.into(),
            text: record.text.into(),
            promotion_code: record.promotion_code.into(),
            computed_by: ComputedBy::decoded(record.computed_by)?,
            start: time(record.start_ms),
            end: time(record.end_ms),
            stores: ids(record.stores),
            channels: Channel::decoded_list(record.channels)?,
            segments: texts(record.segments),
            minimum_basket: optional(record.minimum_basket)?,
            required_consents: Purpose::decoded_list(record.required_consents)?,
            target_skus: ids(record.target_skus),
            target_categories: texts(record.target_categories),
            target_in_basket: record.target_in_basket,
            reward: match record
                .reward
                .ok_or_else(|| RecordProblem::field("reward", "nothing"))?
            {
                RewardRecord::PercentOffBasisPoints(basis_points) => {
                    Reward::PercentOff(basis_points)
                }
                RewardRecord::AmountOff(money) => Reward::AmountOff(Stored::from_record(money)?),
                RewardRecord::ExtraPoints(points) => Reward::ExtraPoints(points),
            },
            value: required(record.value, "value")?,
            base_propensity_ppm: record.base_propensity_ppm,
            lever_thousandths: record.lever_thousandths,
        })
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct OutcomesRecord {
    #[prost(uint64, tag = "1")]
    impressions: u64,
    #[prost(uint64, tag = "2")]
    clicks: u64,
    #[prost(uint64, tag = "3")]
    accepts: u64,
    #[prost(uint64, tag = "4")]
    declines: u64,
    #[prost(uint64, tag = "5")]
    redeems: u64,
}

impl Row for OutcomeCounts {
    const TABLE: Table = Table::Outcomes;
    type Key = Arc<str>;
}

impl Stored for OutcomeCounts {
    type Record = OutcomesRecord;

    fn to_record(&self) -> OutcomesRecord {
        OutcomesRecord {
            impressions: self.impressions,
            clicks: self.clicks,
            accepts: self.accepts,
            declines: self.declines,
            redeems: self.redeems,
        }
    }

    fn from_record(record: OutcomesRecord) -> Result<Self, RecordProblem> {
        Ok(OutcomeCounts {
            impressions: record.impressions,
            clicks: record.clicks,
            accepts: record.accepts,
            declines: record.declines,
            redeems: record.redeems,
        })
    }
}
