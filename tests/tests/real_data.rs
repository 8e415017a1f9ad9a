//! The main job on real input: Complete Journey and the Italian outlets through import and gRPC. Every asserted fact is
//! recomputed from the files; then the server is killed and must come back the same.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tillside_proto::v1;
use tillside_proto::v1::customer_service_client::CustomerServiceClient;
use tillside_proto::v1::fulfillment_service_client::FulfillmentServiceClient;
use tillside_proto::v1::operations_service_client::OperationsServiceClient;
use tillside_tests::reference::{Answer, Query, in_reference_words, queries};
use tillside_tests::worlds::{complete_journey, italian_outlets, reference_hash};
use tillside_tests::{Server, shared_data, tillside};
use tonic::transport::Channel;

/// A moment after everything in the files, so that two runs answer the same.
const NOW: &str = "2018-01-01T12:00:00Z";

/// The reference's Italian queries on few products, with what it answers.
fn reference_queries(data: &Path) -> Result<Vec<(Query, Answer)>> {
    let mut chosen = Vec::new();
    let mut skus = BTreeSet::new();
    for (query, answer) in queries(data)? {
        if query.set != "it" || query.category == "invalid_or_edge" {
            continue;
        }
        let own: BTreeSet<u64> = query.around().skus.into_iter().collect();
        // Each product costs 15,000 stock rows: a dozen queries of every kind are enough here.
        if skus.union(&own).count() > 40 {
            continue;
        }
        skus.extend(own);
        chosen.push((query, answer));
    }
    Ok(chosen)
}

async fn recognise(channel: &Channel, household: &str) -> Result<v1::CustomerProfile> {
    let identifier = v1::Identifier {
        r#type: v1::IdentifierType::LoyaltyCard.into(),
        value: household.into(),
        ..Default::default()
    };
    let request = v1::RecognizeCustomerRequest {
        identifiers: vec![identifier],
        view: v1::ProfileView::Full.into(),
        ..Default::default()
    };
    let answer = CustomerServiceClient::new(channel.clone())
        .recognize_customer(request)
        .await?
        .into_inner();
    ensure!(
        answer.outcome() == v1::RecognitionOutcome::Matched,
        "household {household}: {answer:?}"
    );
    answer.customer.context("a matched answer has a customer")
}

async fn plan(channel: &Channel, query: &Query) -> Result<v1::FulfillmentPlan> {
    let origin = v1::Place {
        place: Some(v1::place::Place::Location(query.location)),
        ..Default::default()
    };
    let request = v1::PlanFulfillmentRequest {
        origin: Some(origin),
        lines: query.lines.clone(),
        max_distance_meters: Some(query.max_distance_meters),
        max_options: 1,
        require_open_now: false,
        ..Default::default()
    };
    Ok(FulfillmentServiceClient::new(channel.clone())
        .plan_fulfillment(request)
        .await?
        .into_inner())
}

async fn info(channel: &Channel) -> Result<v1::ServerInfo> {
    let request = v1::GetServerInfoRequest {
        include_state_digest: true,
    };
    Ok(OperationsServiceClient::new(channel.clone())
        .get_server_info(request)
        .await?
        .into_inner())
}

#[tokio::test]
async fn complete_journey_and_the_italian_outlets_come_in_whole_and_survive_a_kill() -> Result<()> {
    let Some(data) = shared_data() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let households = complete_journey(&data, folder.path())?;
    let queries = reference_queries(&data)?;
    let skus: BTreeSet<u64> = queries
        .iter()
        .flat_map(|(q, _)| &q.lines)
        .filter_map(|l| l.sku.parse().ok())
        .collect();
    let stock_rows = italian_outlets(&data, folder.path(), &skus)?;
    // A bad row in the middle must not stop anything.
    writeln!(
        fs::File::options()
            .append(true)
            .open(folder.path().join("stores.csv"))?,
        "broken,Nowhere,not-a-number,9,open,Europe/Rome"
    )?;

    let state = tempfile::tempdir()?;
    let server = Server::start(&state.path().join("data"), &["--simulated-clock", NOW])?;
    let import = folder.path().to_string_lossy().into_owned();
    let rejects = state.path().join("rejects.csv");
    let rejects = rejects.to_string_lossy().into_owned();
    let import = ["import", &import, "--rejects", &rejects];
    let (code, first) = tillside(&server, &import)?;
    println!("first import: {first}");
    ensure!(code == 6, "one rejected row: exit code {code}");
    let channel = server.channel().await?;

    let facts = info(&channel).await?;
    let counts = facts.counts.context("counts")?;
    let baskets: usize = households.values().map(|h| h.baskets.len()).sum();
    assert_eq!(counts.transactions, baskets as u64);
    assert_eq!(counts.customers, households.len() as u64);
    assert_eq!(counts.provisional_customers, 0);
    assert!(counts.stock_levels >= stock_rows as u64);

    for (household, known) in households.iter().step_by(7) {
        let profile = recognise(&channel, household).await?;
        assert_eq!(profile.customer_id, format!("household-{household}"));
        assert_eq!(
            profile.purchase_count,
            known.baskets.len() as i64,
            "baskets of household {household}"
        );
        let spend = profile
            .spend
            .first()
            .and_then(|s| s.net_amount.clone())
            .map_or(0, |m| m.minor_units);
        assert_eq!(spend, known.cents, "spend of household {household}");
        let last = profile.last_purchase_time.context("a last purchase")?;
        assert_eq!(
            last.to_string(),
            format!("{}Z", known.last),
            "last purchase of household {household}"
        );
        // A product named as favourite was really bought.
        for favourite in &profile.favourite_products {
            assert!(
                known.products.contains_key(&favourite.id.parse()?),
                "{favourite:?} of household {household}"
            );
        }
    }

    let mut wrong = Vec::new();
    for (query, expect) in &queries {
        let got = in_reference_words(query, &plan(&channel, query).await?);
        if got != *expect {
            wrong.push(format!("{}: {got:?}, expected {expect:?}", query.id));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} queries differ: {wrong:#?}",
        wrong.len(),
        queries.len()
    );
    println!(
        "{} routing queries equal the reference; {} stock rows",
        queries.len(),
        stock_rows
    );

    // Once more: nothing may change but what the catalog calls unchanged.
    let (code, again) = tillside(&server, &import)?;
    println!("second import: {again}");
    ensure!(code == 6, "the same rejected row: exit code {code}");
    let after = info(&channel).await?;
    assert_eq!(
        after.counts,
        Some(counts),
        "the second import changed the counts"
    );

    let some_household = households.keys().next().context("households")?;
    let before = (
        after.state_digest,
        recognise(&channel, some_household).await?,
        plan(&channel, &queries[0].0).await?,
    );
    drop(channel);
    server.kill()?;
    let server = Server::start(&state.path().join("data"), &["--simulated-clock", NOW])?;
    let channel = server.channel().await?;
    let restarted = info(&channel).await?;
    println!(
        "recovered in {:?}: {:?}",
        restarted.recovery_duration, restarted.counts
    );
    let now = (
        restarted.state_digest,
        recognise(&channel, some_household).await?,
        plan(&channel, &queries[0].0).await?,
    );
    assert_eq!(now, before, "the restarted server is another one");
    assert!(server.stop().await?.success(), "a clean stop ends with 0");
    Ok(())
}

#[test]
fn the_stock_rule_is_the_references() {
    assert_eq!(reference_hash(""), 14_087_677_454_934_409_008);
    assert_eq!(
        reference_hash("stock|it|59183|1082185"),
        126_364_535_546_469_969
    );
    assert_eq!(
        reference_hash("stock|ww|1|1082185"),
        10_699_338_530_283_883_412
    );
}
