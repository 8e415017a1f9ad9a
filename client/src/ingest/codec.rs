//! Messages of the stream as bytes: protobuf messages concatenate, so the events are encoded where they are made and the
//! two small fields that only the sender knows are put in front.

use crate::v1::{Event, IngestEventsRequest, IngestEventsResponse};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder};

/// Field number and wire type (length-delimited) of `IngestEventsRequest.events`.
const EVENTS_TAG: u8 = (2 << 3) | 2;
/// Room for `position` (1 + 10 bytes) and `omit_accepted` (2 bytes) in front of the events.
const HEAD_BYTES: usize = 16;
/// Messages are about this long; tonic's default of 8 KiB would make it copy each several times while it grows.
const BUFFER_BYTES: usize = 128 << 10;

/// Events in their wire form, ready to be sent.
#[derive(Debug, Default)]
pub struct EncodedEvents {
    bytes: BytesMut,
    count: usize,
}

impl EncodedEvents {
    /// No events, with room for `bytes` of them.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut this = Self {
            bytes: BytesMut::with_capacity(HEAD_BYTES + bytes),
            count: 0,
        };
        this.bytes.put_bytes(0, HEAD_BYTES);
        this
    }

    /// Encodes all of `events`.
    #[must_use]
    pub fn encode(events: &[Event]) -> Self {
        let mut this = Self::with_capacity(0);
        for event in events {
            this.push(event);
        }
        this
    }

    /// Adds an event.
    pub fn push(&mut self, event: &Event) {
        if self.bytes.is_empty() {
            self.bytes.put_bytes(0, HEAD_BYTES);
        }
        let length = event.encoded_len();
        self.bytes.reserve(1 + 10 + length);
        self.bytes.put_u8(EVENTS_TAG);
        prost::encoding::encode_varint(length as u64, &mut self.bytes);
        event.encode_raw(&mut self.bytes);
        self.count += 1;
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How long the message is so far, in bytes.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The whole message. The head is written backwards against the events, so nothing is copied.
    pub(super) fn into_message(mut self, position: u64, omit_accepted: bool) -> Bytes {
        let head = IngestEventsRequest {
            position,
            events: Vec::new(),
            omit_accepted,
        }
        .encode_to_vec();
        if self.bytes.is_empty() {
            return head.into();
        }
        let start = HEAD_BYTES - head.len();
        self.bytes[start..HEAD_BYTES].copy_from_slice(&head);
        self.bytes.freeze().slice(start..)
    }
}

/// The gRPC codec of the stream: requests are bytes already, answers are decoded as usual.
#[derive(Debug, Clone, Copy)]
pub(super) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = IngestEventsResponse;
    type Encoder = BytesEncoder;
    type Decoder = ProstDecoder<IngestEventsResponse>;

    fn encoder(&mut self) -> BytesEncoder {
        BytesEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<IngestEventsRequest, IngestEventsResponse>::raw_decoder(
            BufferSettings::default(),
        )
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct BytesEncoder;

impl Encoder for BytesEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, BUFFER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{StockCounted, event::Payload};

    #[test]
    fn what_is_encoded_by_hand_is_what_prost_decodes() {
        for (count, position, omit_accepted) in [
            (0, 1, false),
            (1, 1, true),
            (3, u64::MAX, true),
            (130, 300, false),
        ] {
            let events: Vec<Event> = (0..count)
                .map(|i| Event {
                    event_id: format!("e{i}"),
                    source: "test".to_owned(),
                    payload: Some(Payload::StockCount(StockCounted {
                        sku: "a".repeat(i),
                        ..StockCounted::default()
                    })),
                    ..Event::default()
                })
                .collect();
            let bytes = EncodedEvents::encode(&events).into_message(position, omit_accepted);
            let expect = IngestEventsRequest {
                position,
                events,
                omit_accepted,
            };
            assert_eq!(
                IngestEventsRequest::decode(bytes),
                Ok(expect),
                "{count} events"
            );
        }
    }
}
