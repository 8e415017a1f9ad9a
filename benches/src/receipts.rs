//! Receipts as the edge hands them to the sequencer, made fast: their texts are shared, so that the maker costs little of
//! the processors it shares with what is measured.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};
use tillside_engine::command::{
    Ingest, IngestPayload, ItemDraft, SaleDraft, SaleLineDraft, SeenIdentifier,
};
use tillside_engine::customer::KnownIdentifier;
use tillside_engine::identity::{Identifier, IdentifierKind};
use tillside_engine::ids::{BusinessKey, IdentifierHash};
use tillside_engine::sale::SaleKind;
use tillside_engine::state::State;
use tillside_engine::units::{Currency, Money, Time};

use crate::shopping::card;
use crate::world::{Numbers, Size, card_number, sku_name};
use crate::zipf::Zipf;

/// Lines of a receipt.
const LINES: usize = 10;
/// Of ten receipts, those of a known customer.
const KNOWN_OF_TEN: u64 = 7;
/// Of ten receipts, those with a redeemed offer.
const REDEEMING_OF_TEN: u64 = 2;
/// How unevenly customers come.
const EXPONENT: f64 = 0.99;

/// What all makers share.
#[derive(Debug)]
pub struct Texts {
    skus: Vec<Arc<str>>,
    stores: Vec<Arc<str>>,
    offers: Vec<Arc<str>>,
    cards: Vec<IdentifierHash>,
    /// The products that each store sells; empty: any store sells any product.
    assortments: Vec<Vec<u32>>,
    zipf: Zipf,
    till: Arc<str>,
    day: Arc<str>,
    tender: Arc<str>,
    document: Arc<str>,
    device: Arc<str>,
    operator: Arc<str>,
}

impl Texts {
    /// Of a world of this size.
    pub fn new(size: Size) -> Self {
        Texts {
            skus: (0..size.products).map(|i| sku_name(i).into()).collect(),
            stores: (0..size.stores).map(|i| i.to_string().into()).collect(),
            offers: (0..size.offers)
                .map(|i| format!("offer-{i:04}").into())
                .collect(),
            cards: (0..size.customers).map(|i| card(i).1).collect(),
            assortments: Vec::new(),
            zipf: Zipf::new(size.customers, EXPONENT),
            till: "3".into(),
            day: "2026-11-23".into(),
            tender: "card".into(),
            document: "0123-0045".into(),
            device: "99MEX012345".into(),
            operator: "17".into(),
        }
    }

    /// The same, of stores that sell what they have stock of.
    pub fn of_what_is_stocked(mut self, state: &State) -> Self {
        self.assortments = vec![Vec::new(); self.stores.len()];
        state.stock.for_each(|cell, _| {
            if let Some(assortment) = self.assortments.get_mut(cell.store().0 as usize) {
                assortment.push(cell.sku().0);
            }
        });
        self
    }

    /// The card of somebody who comes as often as they do.
    pub fn some_card(&self, numbers: &mut Numbers) -> (IdentifierKind, IdentifierHash) {
        let customer = self.zipf.member(numbers);
        (IdentifierKind::LoyaltyCard, self.cards[customer as usize])
    }

    /// A receipt of any store over any products it sells, paid at `paid`.
    pub fn receipt(&self, numbers: &mut Numbers, paid: Time) -> Ingest {
        let store = numbers.below(self.stores.len() as u64) as usize;
        let mut lines: Vec<SaleLineDraft> = (0..LINES).map(|_| self.line(numbers, store)).collect();
        if numbers.below(10) < REDEEMING_OF_TEN && !self.offers.is_empty() {
            let offer = numbers.below(self.offers.len() as u64) as usize;
            lines[0].offer_ids.push(Arc::clone(&self.offers[offer]));
        }
        let identifiers = if numbers.below(10) < KNOWN_OF_TEN {
            vec![self.seen(self.zipf.member(numbers))]
        } else {
            Vec::new()
        };
        let total = lines
            .iter()
            .filter_map(|line| line.net)
            .map(|net| net.minor)
            .sum();
        let draft = SaleDraft {
            kind: SaleKind::Sale,
            store_id: Arc::clone(&self.stores[store]),
            workstation: Arc::clone(&self.till),
            business_day: Arc::clone(&self.day),
            number: numbers.below(10_000) as i64,
            paid: Some(paid),
            lines,
            identifiers,
            tenders: vec![(Arc::clone(&self.tender), euro(total))],
            fiscal_document: Arc::clone(&self.document),
            fiscal_device: Arc::clone(&self.device),
            operator: Arc::clone(&self.operator),
            offline: false,
            training: false,
        };
        let mut key = || BusinessKey(u128::from(numbers.draw()) << 64 | u128::from(numbers.draw()));
        Ingest {
            keys: smallvec![key(), key()],
            occurred: Some(paid),
            position: None,
            payload: IngestPayload::Sale(draft),
        }
    }

    fn line(&self, numbers: &mut Numbers, store: usize) -> SaleLineDraft {
        let some = |numbers: &mut Numbers, of: usize| numbers.below(of as u64) as usize;
        let sku = match self.assortments.get(store) {
            Some(sold) if !sold.is_empty() => sold[some(numbers, sold.len())] as usize,
            _ => some(numbers, self.skus.len()),
        };
        SaleLineDraft {
            item: ItemDraft::Sku(Arc::clone(&self.skus[sku])),
            quantity: Some(1_000),
            net: Some(euro(100 + numbers.below(2_000) as i64)),
            offer_ids: SmallVec::new(),
            reservation: None,
        }
    }

    fn seen(&self, customer: u64) -> SeenIdentifier {
        SeenIdentifier {
            hash: self.cards[customer as usize],
            known: KnownIdentifier {
                identifier: Identifier {
                    kind: IdentifierKind::LoyaltyCard,
                    value: card_number(customer),
                },
                verified: None,
                source: String::new(),
            },
        }
    }
}

fn euro(minor: i64) -> Money {
    Money {
        currency: Currency::EUR,
        minor,
    }
}
