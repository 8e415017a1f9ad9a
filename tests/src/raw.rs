//! Calls as bytes, by the name of the method: what a recording of another version's answers needs. Knows no message but by
//! name, and compares nothing.

use anyhow::{Context as _, Result, bail};
use prost::Message;
use tillside_proto::v1;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A message that stays bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use prost::bytes::BufMut as _;
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use prost::bytes::Buf as _;
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// Calls `Service/Method` with an encoded request.
///
/// # Errors
/// The status of the answer.
pub async fn call(channel: &Channel, method: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut client = Grpc::new(channel.clone());
    client
        .ready()
        .await
        .map_err(|e| Status::unavailable(e.to_string()))?;
    let path = format!("/tillside.v1.{method}")
        .parse()
        .map_err(|_| Status::internal("no path"))?;
    Ok(client
        .unary(Request::new(request), path, Bytes)
        .await?
        .into_inner())
}

/// A recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// `Service/Method`.
    pub method: String,
    /// The encoded request.
    pub request: Vec<u8>,
    /// The encoded answer.
    pub answer: Vec<u8>,
}

impl Recorded {
    /// As a line of text: method, request and answer, the bytes in hexadecimal digits.
    pub fn line(&self) -> String {
        let (request, answer) = (hex(&self.request), hex(&self.answer));
        format!("{} {request} {answer}", self.method)
    }

    /// Reads such a line.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(line: &str) -> Result<Self> {
        let parts: Vec<&str> = line.split(' ').collect();
        let [method, request, answer] = parts[..] else {
            bail!("three words expected in {line:?}");
        };
        Ok(Recorded {
            method: method.to_owned(),
            request: bytes(request)?,
            answer: bytes(answer)?,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let digits = |i| {
        hex.get(i..i + 2)
            .and_then(|two| u8::from_str_radix(two, 16).ok())
    };
    (0..hex.len())
        .step_by(2)
        .map(|i| digits(i).with_context(|| format!("hexadecimal digits expected in {hex:?}")))
        .collect()
}

/// An answer of a method as people read it.
///
/// # Errors
/// For a method that was never recorded, or bytes that are not its answer.
pub fn answer_text(method: &str, answer: &[u8]) -> Result<String> {
    fn text<M: Message + Default + std::fmt::Debug>(bytes: &[u8]) -> Result<String> {
        Ok(format!("{:#?}", M::decode(bytes)?))
    }
    match method {
        "CatalogService/PutStores" => text::<v1::PutStoresResponse>(answer),
        "CatalogService/ListStores" => text::<v1::ListStoresResponse>(answer),
        "CatalogService/PutProducts" => text::<v1::PutProductsResponse>(answer),
        "CatalogService/ListProducts" => text::<v1::ListProductsResponse>(answer),
        "CatalogService/GetProduct" => text::<v1::GetProductResponse>(answer),
        "CustomerService/RecognizeCustomer" => text::<v1::RecognizeCustomerResponse>(answer),
        "CustomerService/CreateCustomer" => text::<v1::CreateCustomerResponse>(answer),
        "CustomerService/GetCustomer" | "CustomerService/UpdateCustomer" => {
            text::<v1::CustomerProfile>(answer)
        }
        "OfferService/PutOffer" | "OfferService/ArchiveOffer" => text::<v1::Offer>(answer),
        "OfferService/ListOffers" => text::<v1::ListOffersResponse>(answer),
        "OfferService/ReportOutcomes" => text::<v1::ReportOutcomesResponse>(answer),
        "OfferService/NextBestOffer" => text::<v1::Decision>(answer),
        "InventoryService/SetStockCount" | "InventoryService/AdjustStock" => {
            text::<v1::StockLevel>(answer)
        }
        "InventoryService/BatchGetAvailability" => text::<v1::BatchGetAvailabilityResponse>(answer),
        "FulfillmentService/PlanFulfillment" => text::<v1::FulfillmentPlan>(answer),
        "FulfillmentService/ReserveFulfillment"
        | "FulfillmentService/GetReservation"
        | "FulfillmentService/ConfirmReservation"
        | "FulfillmentService/ReleaseReservation" => text::<v1::Reservation>(answer),
        "CheckoutService/EvaluateCheckout" => text::<v1::EvaluateCheckoutResponse>(answer),
        "CheckoutService/CloseCheckout" => text::<v1::CloseCheckoutResponse>(answer),
        "IngestService/IngestBatch" => text::<v1::IngestBatchResponse>(answer),
        "IngestService/ListQuarantinedLines" => text::<v1::ListQuarantinedLinesResponse>(answer),
        "IngestService/ListProvisionalCustomers" => {
            text::<v1::ListProvisionalCustomersResponse>(answer)
        }
        "SimulationService/AdvanceClock" => text::<v1::AdvanceClockResponse>(answer),
        "OperationsService/GetServerInfo" => text::<v1::ServerInfo>(answer),
        other => bail!("{other} was never recorded"),
    }
}
