//! An offer as the retailer defines it, with ids resolved. Whether it fits is `eligibility`'s question, how well is
//! `ranking`'s.

use std::sync::Arc;

use crate::customer::Purpose;
use crate::ids::{Sequence, SkuId, StoreId};
use crate::units::{Money, Time};

/// Where a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A till.
    Store,
    /// A web shop.
    Ecommerce,
    /// The app.
    App,
    /// A kiosk.
    Kiosk,
    /// A call centre.
    CallCenter,
}

/// What the customer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reward {
    /// Hundredths of a percent off the targets, 1 to 10000.
    PercentOff(u32),
    /// An amount off the targets together.
    AmountOff(Money),
    /// Extra points.
    ExtraPoints(i64),
}

/// Who computes the discount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComputedBy {
    /// The till.
    Till,
    /// The server.
    Server,
}

/// What the retailer says about an offer.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferTerms {
    /// The retailer's id.
    pub offer_id: Arc<str>,
    /// Name for people.
    pub display_name: Arc<str>,
    /// Text to say.
    pub text: Arc<str>,
    /// The till's code.
    pub promotion_code: Arc<str>,
    /// Who computes.
    pub computed_by: ComputedBy,
    /// From when.
    pub start: Option<Time>,
    /// Until when, excluded.
    pub end: Option<Time>,
    /// Only here; empty: everywhere. Sorted.
    pub stores: Vec<StoreId>,
    /// Only so; empty: any.
    pub channels: Vec<Channel>,
    /// Only to these; empty: everybody.
    pub segments: Vec<Arc<str>>,
    /// Least basket.
    pub minimum_basket: Option<Money>,
    /// Consents needed.
    pub required_consents: Vec<Purpose>,
    /// Target products; sorted.
    pub target_skus: Vec<SkuId>,
    /// Target categories as joined paths, sub-categories included.
    pub target_categories: Vec<Arc<str>>,
    /// Needs a target in the basket.
    pub target_in_basket: bool,
    /// What the customer gets.
    pub reward: Reward,
    /// What it is worth to the retailer.
    pub value: Money,
    /// Millionths: probability that an average customer takes it.
    pub base_propensity_ppm: u32,
    /// Thousandths: the retailer's lever.
    pub lever_thousandths: u32,
}

/// What became of an offer so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// Shown.
    pub impressions: u64,
    /// Clicked.
    pub clicks: u64,
    /// Accepted.
    pub accepts: u64,
    /// Declined.
    pub declines: u64,
    /// Redeemed.
    pub redeems: u64,
}

/// Kinds of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeType {
    /// Shown.
    Impression,
    /// Clicked.
    Click,
    /// Accepted.
    Accept,
    /// Declined.
    Decline,
    /// Redeemed.
    Redeem,
}

impl OutcomeCounts {
    /// Counts one outcome.
    pub fn count(&mut self, outcome: OutcomeType) {
        let counter = match outcome {
            OutcomeType::Impression => &mut self.impressions,
            OutcomeType::Click => &mut self.clicks,
            OutcomeType::Accept => &mut self.accepts,
            OutcomeType::Decline => &mut self.declines,
            OutcomeType::Redeem => &mut self.redeems,
        };
        *counter += 1;
    }
}

/// An offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// What the retailer says.
    pub terms: Arc<OfferTerms>,
    /// Ended for good.
    pub archived: bool,
    /// Sequence of the last change of its terms.
    pub version: Sequence,
}
