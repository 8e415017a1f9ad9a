//! Calls as bytes, by the name of the method: what a recording of another version's answers needs. Knows no message but by
//! its description.

use anyhow::{Context as _, Result, bail, ensure};
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
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

/// Whether an answer still says all that an earlier version said in it: every field set then is set to the same now, lists
/// are as long as they were. What was unset then may be told today. `differs` is told where something is said otherwise
/// (the path of the field, then, now) and answers whether that is all right.
///
/// # Errors
/// What is said otherwise, or bytes that are no answer of the method.
pub fn says_all_of(
    method: &str,
    then: &[u8],
    now: &[u8],
    differs: impl Fn(&str, &Value, &Value) -> bool,
) -> Result<()> {
    let pool = DescriptorPool::decode(tillside_proto::FILE_DESCRIPTOR_SET)?;
    let (service, name) = method.split_once('/').context("Service/Method expected")?;
    let service = pool.get_service_by_name(&format!("tillside.v1.{service}"));
    let found = service.and_then(|service| service.methods().find(|m| m.name() == name));
    let answer = found
        .with_context(|| format!("{method} is no method"))?
        .output();
    let read = |bytes| DynamicMessage::decode(answer.clone(), bytes).map(Value::Message);
    compare(String::new(), &read(then)?, &read(now)?, &differs)
}

fn compare(
    path: String,
    then: &Value,
    now: &Value,
    differs: &impl Fn(&str, &Value, &Value) -> bool,
) -> Result<()> {
    match (then, now) {
        (Value::Message(then), Value::Message(now)) => {
            for (field, value) in then.fields() {
                let path = format!("{path}.{}", field.name());
                compare(path, value, &now.get_field(&field), differs)?;
            }
        }
        (Value::List(then), Value::List(now)) if then.len() == now.len() => {
            for (at, (then, now)) in then.iter().zip(now).enumerate() {
                compare(format!("{path}[{at}]"), then, now, differs)?;
            }
        }
        (then, now) => ensure!(
            then == now || differs(&path, then, now),
            "{path}: {then:?} then, and now {now:?}"
        ),
    }
    Ok(())
}
