//! Offers, decisions and outcomes.

use std::sync::Arc;

use tillside_engine::command::{OfferDraft, OutcomeReport};
use tillside_engine::eligibility::ExclusionReason;
use tillside_engine::identity::first_128_bits;
use tillside_engine::ids::{BusinessKey, Sequence};
use tillside_engine::limits::{ITEMS_PER_CALL_MAX, OFFER_TARGETS_MAX, SEGMENTS_MAX};
use tillside_engine::offer::{Channel, ComputedBy, Offer, OfferTerms, OutcomeType, Reward};
use tillside_engine::ranking::{OfferDecision, RankedOffer};
use tillside_engine::state::State;
use tillside_engine::units::{Currency, Money};
use tillside_proto::v1;

use super::checks::{Checks, Path};
use super::customer::purpose;
use super::profile::wire_purpose;
use super::values::{etag, money, timestamp};

/// Offers of a decision at most.
pub const OFFERS_MAX: usize = 50;
/// Offers of a decision where the caller does not say.
pub const OFFERS_DEFAULT: usize = 3;
/// Extra points of one offer: more is a typing error.
const EXTRA_POINTS_MAX: i64 = 1_000_000;
/// Channels there are.
const CHANNELS_MAX: usize = 5;

/// An offer to put.
pub fn draft(checks: &mut Checks, request: &v1::PutOfferRequest) -> OfferDraft {
    let root = Path::ROOT;
    let path = root.field("offer");
    checks.require(request.offer.is_some(), path, "is required");
    let empty = v1::Offer::default();
    let offer = request.offer.as_ref().unwrap_or(&empty);
    let list = |checks: &mut Checks, name, values: &[String], max: usize| -> Vec<Arc<str>> {
        checks.count(path.field(name), values.len(), 0, max);
        values
            .iter()
            .take(max)
            .enumerate()
            .map(|(i, value)| checks.id(path.item(name, i), value))
            .collect()
    };
    let start = checks.optional_time(path.field("start_time"), offer.start_time.as_ref());
    let end = checks.optional_time(path.field("end_time"), offer.end_time.as_ref());
    checks.require(
        start.zip(end).is_none_or(|(s, e)| s < e),
        path.field("end_time"),
        "is not after start_time",
    );
    let minimum_basket =
        checks.optional_money(path.field("minimum_basket"), offer.minimum_basket.as_ref());
    checks.require(
        minimum_basket.is_none_or(|m| m.minor >= 0),
        path.field("minimum_basket"),
        "is negative",
    );
    let terms = OfferTerms {
        offer_id: checks.id(path.field("offer_id"), &offer.offer_id),
        display_name: checks.text(path.field("display_name"), &offer.display_name),
        text: checks.text(path.field("text"), &offer.text),
        promotion_code: checks.optional_id(path.field("promotion_code"), &offer.promotion_code),
        computed_by: computed_by(checks, path.field("computed_by"), offer.computed_by),
        start,
        end,
        stores: Vec::new(),
        channels: channels(checks, path, &offer.channels),
        segments: list(checks, "segments", &offer.segments, SEGMENTS_MAX),
        minimum_basket,
        required_consents: consents(checks, path, &offer.required_consents),
        target_skus: Vec::new(),
        target_categories: list(
            checks,
            "target_categories",
            &offer.target_categories,
            OFFER_TARGETS_MAX,
        ),
        target_in_basket: offer.target_in_basket,
        reward: reward(checks, path.field("reward"), offer.reward.as_ref()),
        value: value(checks, path.field("value"), offer.value.as_ref()),
        base_propensity_ppm: fraction(
            checks,
            path.field("base_propensity"),
            offer.base_propensity.unwrap_or(0.1),
            0.0,
            1.0,
            1e6,
        ),
        lever_thousandths: fraction(
            checks,
            path.field("lever"),
            offer.lever.unwrap_or(1.0),
            0.01,
            100.0,
            1e3,
        ),
    };
    OfferDraft {
        terms,
        store_ids: list(checks, "store_ids", &offer.store_ids, OFFER_TARGETS_MAX),
        target_skus: list(checks, "target_skus", &offer.target_skus, OFFER_TARGETS_MAX),
        etag: etag(checks, path.field("etag"), &offer.etag),
        validate_only: request.validate_only,
    }
}

fn computed_by(checks: &mut Checks, path: Path<'_>, value: i32) -> ComputedBy {
    match checks.known::<v1::RewardComputedBy>(path, value) {
        Some(v1::RewardComputedBy::Server) => ComputedBy::Server,
        Some(v1::RewardComputedBy::Till | v1::RewardComputedBy::Unspecified) | None => {
            ComputedBy::Till
        }
    }
}

fn channels(checks: &mut Checks, path: Path<'_>, values: &[i32]) -> Vec<Channel> {
    checks.count(path.field("channels"), values.len(), 0, CHANNELS_MAX);
    let mut channels = Vec::with_capacity(values.len().min(CHANNELS_MAX));
    for (i, value) in values.iter().take(CHANNELS_MAX).enumerate() {
        let at = path.item("channels", i);
        checks.require(
            *value != v1::Channel::Unspecified as i32,
            at,
            "is not a channel",
        );
        channels.push(super::values::channel(checks, at, *value, false));
    }
    channels
}

fn consents(
    checks: &mut Checks,
    path: Path<'_>,
    values: &[i32],
) -> Vec<tillside_engine::customer::Purpose> {
    checks.count(path.field("required_consents"), values.len(), 0, 4);
    values
        .iter()
        .take(4)
        .enumerate()
        .filter_map(|(i, value)| purpose(checks, path.item("required_consents", i), *value))
        .collect()
}

fn reward(checks: &mut Checks, path: Path<'_>, reward: Option<&v1::Reward>) -> Reward {
    use v1::reward::Reward as Wire;
    match reward.and_then(|r| r.reward.as_ref()) {
        Some(Wire::PercentOffBasisPoints(points)) => {
            checks.require(
                (1..=10_000).contains(points),
                path.field("percent_off_basis_points"),
                "is not between 1 and 10000",
            );
            Reward::PercentOff(u32::try_from(*points).unwrap_or(1))
        }
        Some(Wire::AmountOff(amount)) => {
            let amount = checks.money(path.field("amount_off"), amount);
            checks.require(
                amount.minor > 0,
                path.field("amount_off"),
                "must be positive",
            );
            Reward::AmountOff(amount)
        }
        Some(Wire::ExtraPoints(points)) => {
            checks.require(
                (1..=EXTRA_POINTS_MAX).contains(points),
                path.field("extra_points"),
                "is not between 1 and 1000000",
            );
            Reward::ExtraPoints(*points)
        }
        None => {
            checks.refuse(
                path,
                "is required: percent_off_basis_points, amount_off or extra_points",
            );
            Reward::PercentOff(1)
        }
    }
}

fn value(checks: &mut Checks, path: Path<'_>, value: Option<&v1::Money>) -> Money {
    let money = checks.optional_money(path, value);
    checks.require(money.is_some(), path, "is required");
    checks.require(money.is_none_or(|m| m.minor >= 0), path, "is negative");
    money.unwrap_or(Money {
        currency: Currency::EUR,
        minor: 0,
    })
}

/// A fraction as a whole number of `1/scale`.
fn fraction(
    checks: &mut Checks,
    path: Path<'_>,
    value: f64,
    min: f64,
    max: f64,
    scale: f64,
) -> u32 {
    let good = (min..=max).contains(&value);
    checks.require(good, path, format_args!("is not between {min} and {max}"));
    if good {
        (value * scale).round() as u32
    } else {
        0
    }
}

/// An offer on the wire.
pub fn wire_offer(state: &State, offer: &Offer) -> v1::Offer {
    let terms = &offer.terms;
    let strings = |list: &[Arc<str>]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let reward = match terms.reward {
        Reward::PercentOff(points) => {
            v1::reward::Reward::PercentOffBasisPoints(i32::try_from(points).unwrap_or(i32::MAX))
        }
        Reward::AmountOff(amount) => v1::reward::Reward::AmountOff(money(amount)),
        Reward::ExtraPoints(points) => v1::reward::Reward::ExtraPoints(points),
    };
    v1::Offer {
        offer_id: terms.offer_id.to_string(),
        display_name: terms.display_name.to_string(),
        text: terms.text.to_string(),
        promotion_code: terms.promotion_code.to_string(),
        computed_by: wire_computed_by(terms.computed_by).into(),
        start_time: terms.start.map(timestamp),
        end_time: terms.end.map(timestamp),
        store_ids: terms
            .stores
            .iter()
            .filter_map(|id| state.stores.get(*id))
            .map(|s| s.store_id.to_string())
            .collect(),
        channels: terms
            .channels
            .iter()
            .map(|c| wire_channel(*c).into())
            .collect(),
        segments: strings(&terms.segments),
        minimum_basket: terms.minimum_basket.map(money),
        required_consents: terms
            .required_consents
            .iter()
            .map(|p| wire_purpose(*p).into())
            .collect(),
        target_skus: terms
            .target_skus
            .iter()
            .filter_map(|id| state.products.get(*id))
            .map(|p| p.sku.to_string())
            .collect(),
        target_categories: strings(&terms.target_categories),
        target_in_basket: terms.target_in_basket,
        reward: Some(v1::Reward {
            reward: Some(reward),
        }),
        value: Some(money(terms.value)),
        base_propensity: Some(f64::from(terms.base_propensity_ppm) / 1e6),
        lever: Some(f64::from(terms.lever_thousandths) / 1e3),
        archived: offer.archived,
        etag: offer.version.0.to_string(),
    }
}

fn wire_computed_by(by: ComputedBy) -> v1::RewardComputedBy {
    match by {
        ComputedBy::Till => v1::RewardComputedBy::Till,
        ComputedBy::Server => v1::RewardComputedBy::Server,
    }
}

fn wire_channel(channel: Channel) -> v1::Channel {
    match channel {
        Channel::Store => v1::Channel::Store,
        Channel::Ecommerce => v1::Channel::Ecommerce,
        Channel::App => v1::Channel::App,
        Channel::Kiosk => v1::Channel::Kiosk,
        Channel::CallCenter => v1::Channel::CallCenter,
    }
}

/// A decision on the wire. Its id is a hash of the question, the state it was asked of and the answer.
pub fn wire_decision(
    decision: &OfferDecision,
    line_ids: &[Arc<str>],
    question: &impl prost::Message,
    sequence: Sequence,
) -> v1::Decision {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&sequence.0.to_le_bytes())
        .update(&question.encode_to_vec());
    for ranked in &decision.ranked {
        hasher
            .update(ranked.offer.terms.offer_id.as_bytes())
            .update(&[0]);
    }
    v1::Decision {
        decision_id: format!("d-{:032x}", first_128_bits(&hasher.finalize())),
        ranked_offers: decision
            .ranked
            .iter()
            .zip(1..)
            .map(|(ranked, rank)| wire_ranked(ranked, rank, line_ids))
            .collect(),
        exclusions: decision
            .exclusions
            .iter()
            .map(|(offer_id, reason)| v1::Exclusion {
                offer_id: offer_id.to_string(),
                reason: wire_exclusion(*reason).into(),
            })
            .collect(),
        personalised: decision.personalised,
        degraded: false,
        snapshot_sequence: sequence.0,
    }
}

fn wire_ranked(ranked: &RankedOffer, rank: i32, line_ids: &[Arc<str>]) -> v1::RankedOffer {
    let terms = &ranked.offer.terms;
    let rewards = ranked.line_rewards.iter().map(|reward| v1::LineReward {
        line_id: line_ids
            .get(reward.line)
            .map_or_else(String::new, |id| id.to_string()),
        amount: Some(money(reward.amount)),
        vat_amount: Some(money(reward.vat)),
    });
    v1::RankedOffer {
        offer_id: terms.offer_id.to_string(),
        rank,
        propensity: ranked.propensity,
        context_weight: ranked.context_weight,
        value: Some(money(terms.value)),
        lever: ranked.lever,
        score: ranked.score,
        reasons: ranked.reasons.clone(),
        text: terms.text.to_string(),
        promotion_code: terms.promotion_code.to_string(),
        computed_by: wire_computed_by(terms.computed_by).into(),
        line_rewards: rewards.collect(),
        display_name: terms.display_name.to_string(),
    }
}

fn wire_exclusion(reason: ExclusionReason) -> v1::ExclusionReason {
    match reason {
        ExclusionReason::NotStarted => v1::ExclusionReason::NotStarted,
        ExclusionReason::Ended => v1::ExclusionReason::Ended,
        ExclusionReason::Store => v1::ExclusionReason::Store,
        ExclusionReason::Channel => v1::ExclusionReason::Channel,
        ExclusionReason::Segment => v1::ExclusionReason::Segment,
        ExclusionReason::MinimumBasket => v1::ExclusionReason::MinimumBasket,
        ExclusionReason::ConsentMissing => v1::ExclusionReason::ConsentMissing,
        ExclusionReason::NoTargetInBasket => v1::ExclusionReason::NoTargetInBasket,
        ExclusionReason::PromotionRestricted => v1::ExclusionReason::PromotionRestricted,
        ExclusionReason::RankedLower => v1::ExclusionReason::RankedLower,
    }
}

/// Outcomes, each with the key under which it counts once.
pub fn outcomes(checks: &mut Checks, outcomes: &[v1::Outcome]) -> Vec<OutcomeReport> {
    let root = Path::ROOT;
    checks.count(
        root.field("outcomes"),
        outcomes.len(),
        1,
        ITEMS_PER_CALL_MAX,
    );
    let mut reports = Vec::with_capacity(outcomes.len().min(ITEMS_PER_CALL_MAX));
    for (i, outcome) in outcomes.iter().take(ITEMS_PER_CALL_MAX).enumerate() {
        let path = root.item("outcomes", i);
        let decision_id = checks.id(path.field("decision_id"), &outcome.decision_id);
        let offer_id = checks.id(path.field("offer_id"), &outcome.offer_id);
        checks.optional_time(path.field("occurred_time"), outcome.occurred_time.as_ref());
        let Some(kind) = outcome_type(checks, path.field("type"), outcome.r#type) else {
            continue;
        };
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(b"outcome\0")
            .update(decision_id.as_bytes())
            .update(&[0])
            .update(offer_id.as_bytes())
            .update(&[0, kind as u8]);
        reports.push(OutcomeReport {
            key: BusinessKey(first_128_bits(&hasher.finalize())),
            offer_id,
            outcome: kind,
        });
    }
    reports
}

fn outcome_type(checks: &mut Checks, path: Path<'_>, value: i32) -> Option<OutcomeType> {
    Some(match checks.known::<v1::OutcomeType>(path, value)? {
        v1::OutcomeType::Unspecified => {
            checks.refuse(path, "is required");
            return None;
        }
        v1::OutcomeType::Impression => OutcomeType::Impression,
        v1::OutcomeType::Click => OutcomeType::Click,
        v1::OutcomeType::Accept => OutcomeType::Accept,
        v1::OutcomeType::Decline => OutcomeType::Decline,
        v1::OutcomeType::Redeem => OutcomeType::Redeem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> v1::Offer {
        v1::Offer {
            offer_id: "o-1".into(),
            reward: Some(v1::Reward {
                reward: Some(v1::reward::Reward::PercentOffBasisPoints(1000)),
            }),
            value: Some(v1::Money {
                currency_code: "EUR".into(),
                minor_units: 50,
            }),
            channels: vec![v1::Channel::App.into()],
            ..Default::default()
        }
    }

    fn check(change: impl FnOnce(&mut v1::Offer), expect: &[&str]) -> OfferDraft {
        let mut offer = offer();
        change(&mut offer);
        let mut checks = Checks::default();
        let draft = draft(
            &mut checks,
            &v1::PutOfferRequest {
                offer: Some(offer),
                ..Default::default()
            },
        );
        let got = checks
            .finish()
            .err()
            .map_or_else(Vec::new, |invalid| invalid.0);
        assert_eq!(
            got.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(),
            expect
        );
        draft
    }

    #[test]
    fn defaults_and_limits_of_an_offer() {
        let draft = check(|_| {}, &[]);
        assert_eq!(
            (
                draft.terms.base_propensity_ppm,
                draft.terms.lever_thousandths
            ),
            (100_000, 1000)
        );
        check(|o| o.reward = None, &["offer.reward"]);
        check(|o| o.value = None, &["offer.value"]);
        check(|o| o.lever = Some(f64::NAN), &["offer.lever"]);
        check(
            |o| o.base_propensity = Some(1.5),
            &["offer.base_propensity"],
        );
        check(|o| o.channels = vec![0], &["offer.channels[0]"]);
        check(|o| o.etag = "x".into(), &["offer.etag"]);
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        check(
            |o| (o.start_time, o.end_time) = (at(5), at(5)),
            &["offer.end_time"],
        );
    }

    #[test]
    fn an_outcome_counts_once_per_decision_offer_and_type() {
        let of = |decision: &str, offer: &str, kind: v1::OutcomeType| {
            let outcome = v1::Outcome {
                decision_id: decision.into(),
                offer_id: offer.into(),
                r#type: kind.into(),
                occurred_time: None,
            };
            outcomes(&mut Checks::default(), &[outcome])[0].key
        };
        let first = of("d", "o", v1::OutcomeType::Click);
        assert_eq!(of("d", "o", v1::OutcomeType::Click), first);
        assert_ne!(of("d", "o", v1::OutcomeType::Accept), first);
        assert_ne!(of("d", "o2", v1::OutcomeType::Click), first);
    }
}
