//! Goods of a reservation leave a store once, though two things tell of it: the handover and the receipt, in either
//! order, the receipt by product and the handover by line. Whichever comes first moves the stock; the other finds what
//! it names settled already. So the stock that has fallen for a product is the larger of the two sums.

use crate::ids::SkuId;
use crate::reservation::ReservationLine;

/// What a settlement took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Thousandths whose stock has fallen before.
    pub before: i64,
    /// Thousandths that were held until now: their stock falls with this.
    pub now: i64,
}

/// A receipt names `quantity` of a product. More than the lines can take is left to the caller.
pub fn receipt(lines: &mut [ReservationLine], sku: SkuId, quantity: i64) -> Settled {
    let mut settled = Settled::default();
    let mut left = quantity.max(0);
    // First what was handed over without one, whatever its line.
    for line in lines.iter_mut().filter(|l| l.sku == sku) {
        let taken = left.min((line.handed_over - line.receipted).max(0));
        line.receipted += taken;
        settled.before += taken;
        left -= taken;
    }
    for line in lines.iter_mut().filter(|l| l.sku == sku) {
        let taken = left.min(line.held);
        line.receipted += taken;
        line.held -= taken;
        settled.now += taken;
        left -= taken;
    }
    settled
}

/// `quantity`, at most what is outstanding of it, of the line at `at` is handed over.
pub fn handover(lines: &mut [ReservationLine], at: usize, quantity: i64) -> Settled {
    claim(lines, at, quantity);
    let line = &mut lines[at];
    let before = quantity.min((line.receipted - line.handed_over).max(0));
    let now = (quantity - before).min(line.held);
    line.handed_over += before + now;
    line.held -= now;
    Settled { before, now }
}

/// A receipt names products, so what it named may have been noted at another line than the one that is handed over now.
fn claim(lines: &mut [ReservationLine], at: usize, quantity: i64) {
    let sku = lines[at].sku;
    for other in 0..lines.len() {
        let own = &lines[at];
        let wanted = (quantity - (own.receipted - own.handed_over).max(0)).min(own.held);
        let spare = lines[other].receipted - lines[other].handed_over;
        if other == at || lines[other].sku != sku || wanted <= 0 || spare <= 0 {
            continue;
        }
        let moved = wanted.min(spare);
        lines[other].receipted -= moved;
        lines[other].held += moved;
        lines[at].receipted += moved;
        lines[at].held -= moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(held: &[i64]) -> Vec<ReservationLine> {
        let line = |(i, q): (usize, &i64)| {
            ReservationLine::holding(i.to_string().into(), SkuId(i as u32 % 2), *q)
        };
        held.iter().enumerate().map(line).collect()
    }

    #[test]
    fn whichever_comes_first_moves_the_stock() {
        let mut one = lines(&[3]);
        assert_eq!(handover(&mut one, 0, 2), Settled { before: 0, now: 2 });
        assert_eq!(
            receipt(&mut one, SkuId(0), 3),
            Settled { before: 2, now: 1 }
        );
        assert_eq!(handover(&mut one, 0, 1), Settled { before: 1, now: 0 });
        assert_eq!((one[0].held, one[0].outstanding()), (0, 0));
        assert_eq!(receipt(&mut one, SkuId(0), 1), Settled::default());
    }

    #[test]
    fn a_receipt_of_a_product_settles_the_line_that_was_handed_over() {
        let mut two = lines(&[2, 5, 2]);
        assert_eq!(
            receipt(&mut two, SkuId(0), 2),
            Settled { before: 0, now: 2 }
        );
        assert_eq!(handover(&mut two, 2, 2), Settled { before: 2, now: 0 });
        assert_eq!((two[0].held, two[0].receipted), (2, 0));
        assert_eq!((two[2].held, two[2].receipted), (0, 2));
        assert_eq!(handover(&mut two, 0, 2), Settled { before: 0, now: 2 });
    }

    proptest! {
        #[test]
        fn stock_falls_by_the_larger_of_both_sums(steps in prop::collection::vec((any::<bool>(), 0usize..4, 0i64..6), 1..30)) {
            let mut all = lines(&[5, 7, 3, 2]);
            let (mut fell, mut handed, mut receipted) = ([0; 2], [0; 2], [0; 2]);
            for (by_receipt, at, quantity) in steps {
                let sku = all[at].sku;
                let n = sku.0 as usize;
                if by_receipt {
                    let settled = receipt(&mut all, sku, quantity);
                    receipted[n] += settled.before + settled.now;
                    fell[n] += settled.now;
                } else {
                    let wanted = quantity.min(all[at].outstanding());
                    let settled = handover(&mut all, at, wanted);
                    prop_assert_eq!(settled.before + settled.now, wanted);
                    handed[n] += wanted;
                    fell[n] += settled.now;
                }
                for n in 0..2 {
                    let mine = || all.iter().filter(|l| l.sku.0 as usize == n);
                    let asked: i64 = mine().map(|l| l.requested).sum();
                    prop_assert_eq!(fell[n], handed[n].max(receipted[n]));
                    prop_assert_eq!(mine().map(|l| l.held).sum::<i64>(), asked - fell[n]);
                    prop_assert_eq!(mine().map(|l| l.receipted).sum::<i64>(), receipted[n]);
                    prop_assert_eq!(mine().map(|l| l.handed_over).sum::<i64>(), handed[n]);
                }
                prop_assert!(all.iter().all(|l| l.held >= 0 && l.receipted >= 0 && l.handed_over <= l.requested && l.receipted <= l.requested));
            }
        }
    }
}
