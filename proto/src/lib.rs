//! The Tillside gRPC surface, generated from `tillside/v1/*.proto`. Nothing but generated code and the descriptor set
//! lives here; conversions belong to whoever owns the domain types.
#![allow(missing_docs, clippy::doc_markdown, clippy::large_enum_variant)]

/// Package `tillside.v1`.
pub mod v1 {
    tonic::include_proto!("tillside.v1");
}

/// The encoded `FileDescriptorSet` of all services, for server reflection and for the compatibility test.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tillside.v1.bin"));
