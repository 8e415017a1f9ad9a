//! A dozen offers, one of every kind the server knows: percent and amount off, points, minimum baskets, limited to stores,
//! channels, segments or consents, one that has ended and one that targets goods the law does not let anyone promote.

use crate::{World, departments::LEAVES, euro, products::sku};
use prost_types::Timestamp;
use tillside_proto::v1::{self, reward};

const DAY_SECONDS: i64 = 86_400;

fn percent(percent: i32) -> reward::Reward {
    reward::Reward::PercentOffBasisPoints(percent * 100)
}

fn off(cents: i64) -> reward::Reward {
    reward::Reward::AmountOff(euro(cents))
}

fn points(points: i64) -> reward::Reward {
    reward::Reward::ExtraPoints(points)
}

pub(crate) fn offers(world: &World) -> Vec<v1::Offer> {
    let base = |id: &str,
                name: &str,
                text: &str,
                reward: reward::Reward,
                value_cents: i64,
                propensity: f64| v1::Offer {
        offer_id: id.to_owned(),
        display_name: name.to_owned(),
        text: text.to_owned(),
        promotion_code: format!("P-{id}"),
        computed_by: v1::RewardComputedBy::Server as i32,
        start_time: Some(world.days_from_end(-14)),
        end_time: Some(world.days_from_end(180)),
        reward: Some(v1::Reward {
            reward: Some(reward),
        }),
        value: Some(euro(value_cents)),
        base_propensity: Some(propensity),
        ..Default::default()
    };
    let category = |levels: &[&str]| vec![levels.join(" > ")];
    let text = |text: &str| text.to_owned();
    vec![
        v1::Offer {
            target_categories: category(&["Freschi", "Latticini e uova", "Yogurt"]),
            ..base(
                "YOGURT20",
                "Yogurt -20 %",
                "Oggi tutti gli yogurt al 20 % in meno",
                percent(20),
                45,
                0.22,
            )
        },
        v1::Offer {
            target_categories: category(&["Freschi", "Ortofrutta"]),
            target_in_basket: true,
            ..base(
                "ORTO10",
                "Ortofrutta -10 %",
                "Frutta e verdura al 10 % in meno",
                percent(10),
                60,
                0.25,
            )
        },
        v1::Offer {
            target_categories: category(&["Dispensa", "Pasta e riso"]),
            target_in_basket: true,
            ..base(
                "PASTA1",
                "Pasta e riso -1 €",
                "1 euro in meno su pasta e riso",
                off(100),
                40,
                0.30,
            )
        },
        v1::Offer {
            target_categories: category(&["Bevande", "Caffè e tè"]),
            minimum_basket: Some(euro(2_000)),
            ..base(
                "CAFFE2",
                "Caffè e tè -2 € da 20 €",
                "Con 20 euro di spesa, 2 euro in meno sul caffè",
                off(200),
                70,
                0.18,
            )
        },
        v1::Offer {
            minimum_basket: Some(euro(4_000)),
            ..base(
                "SPESA40",
                "5 € da 40 €",
                "5 euro in meno con 40 euro di spesa",
                off(500),
                150,
                0.20,
            )
        },
        v1::Offer {
            ..base(
                "PUNTI100",
                "100 punti",
                "100 punti in più su questa spesa",
                points(100),
                35,
                0.35,
            )
        },
        v1::Offer {
            segments: vec![text("gold")],
            target_categories: category(&["Bevande", "Vino"]),
            ..base(
                "ORO-VINO",
                "Vini -25 % per soci oro",
                "Per i soci oro, tutti i vini al 25 % in meno",
                percent(25),
                190,
                0.12,
            )
        },
        v1::Offer {
            segments: vec![text("family")],
            target_categories: category(&["Infanzia", "Igiene del bimbo"]),
            ..base(
                "FAMIGLIA",
                "Pannolini, 300 punti",
                "300 punti con i pannolini",
                points(300),
                120,
                0.10,
            )
        },
        v1::Offer {
            required_consents: vec![
                v1::ConsentPurpose::Profiling as i32,
                v1::ConsentPurpose::Marketing as i32,
            ],
            ..base(
                "PERTE",
                "3 € per te",
                "3 euro in meno, solo per te",
                off(300),
                90,
                0.28,
            )
        },
        v1::Offer {
            store_ids: world
                .shops
                .iter()
                .take(4)
                .map(|shop| shop.id.clone())
                .collect(),
            target_categories: category(&["Freschi", "Panetteria"]),
            ..base(
                "MILANO-PANE",
                "Pane -30 % a Milano",
                "Nei negozi di Milano il pane al 30 % in meno",
                percent(30),
                50,
                0.26,
            )
        },
        v1::Offer {
            channels: vec![v1::Channel::Ecommerce as i32, v1::Channel::App as i32],
            ..base(
                "ONLINE",
                "200 punti online",
                "200 punti con ritiro in negozio",
                points(200),
                80,
                0.20,
            )
        },
        v1::Offer {
            target_skus: restricted_skus(world),
            ..base(
                "LATTE1",
                "Latte per lattanti",
                "Mai mostrata: la legge vieta di promuoverlo",
                percent(5),
                10,
                0.10,
            )
        },
        v1::Offer {
            start_time: Some(world.days_from_end(-60)),
            end_time: Some(world.days_from_end(-7)),
            ..base(
                "AUTUNNO",
                "Autunno -15 %",
                "Finita la settimana scorsa",
                percent(15),
                100,
                0.20,
            )
        },
    ]
}

fn restricted_skus(world: &World) -> Vec<String> {
    let leaf = LEAVES
        .iter()
        .position(|leaf| leaf.path[2] == "Latte per lattanti")
        .unwrap_or(0);
    let articles = world.by_leaf[leaf].iter().copied();
    // Where the world is too small for any, the offer names one product all the same.
    articles.chain([0]).take(5).map(sku).collect()
}

impl World {
    fn days_from_end(&self, days: i64) -> Timestamp {
        Timestamp {
            seconds: self.end_unix_seconds + days * DAY_SECONDS,
            nanos: 0,
        }
    }
}
