//! Which products each store carries. Popular ones are everywhere, rare ones here and there: that is what makes the nearest
//! store with a whole basket worth asking for.

use crate::{
    WorldSize,
    draw::{Draw, Part},
};

/// The products of one store, most popular first.
#[derive(Debug, Clone)]
pub(crate) struct Assortment {
    articles: Vec<u32>,
    /// One bit a product.
    carried: Vec<u64>,
}

impl Assortment {
    pub(crate) fn articles(&self) -> &[u32] {
        &self.articles
    }

    pub(crate) fn carries(&self, article: u32) -> bool {
        self.carried[article as usize / 64] >> (article % 64) & 1 == 1
    }

    /// A product by popularity: the top tenth is sold about 40 % of the time. The store carries at least one.
    pub(crate) fn popular(&self, draw: &mut Draw) -> u32 {
        let u = draw.unit();
        let rank = (u * u * libm::sqrt(u) * self.articles.len() as f64) as usize;
        self.articles[rank.min(self.articles.len() - 1)]
    }
}

/// The assortments of all stores.
pub(crate) fn assortments(seed: u64, size: &WorldSize) -> Vec<Assortment> {
    let ranking = ranking(seed, size.products);
    // Carried everywhere; never all, so that stores differ.
    let common = (size.assortment_min / 3).min(size.products / 2).max(1) as usize;
    (0..size.stores)
        .map(|store| {
            let mut draw = Draw::new(seed, Part::Assortment, u64::from(store));
            let wanted = draw
                .between(size.assortment_min, size.assortment_max)
                .min(size.products) as usize;
            let probability =
                wanted.saturating_sub(common) as f64 / (ranking.len() - common).max(1) as f64;
            let mut carried = vec![0_u64; ranking.len().div_ceil(64)];
            let mut articles = Vec::with_capacity(wanted + wanted / 8);
            for (rank, &article) in ranking.iter().enumerate() {
                if rank < common || draw.chance(probability) {
                    articles.push(article);
                    carried[article as usize / 64] |= 1 << (article % 64);
                }
            }
            Assortment { articles, carried }
        })
        .collect()
}

/// All products, most popular first.
fn ranking(seed: u64, products: u32) -> Vec<u32> {
    let mut draw = Draw::new(seed, Part::Popularity, 0);
    let mut ranking: Vec<u32> = (0..products).collect();
    for last in (1..ranking.len()).rev() {
        ranking.swap(last, draw.index(last + 1));
    }
    ranking
}
