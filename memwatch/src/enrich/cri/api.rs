//! The Container Runtime Interface, version 1: the client and all messages, made from `proto/cri-v1.proto`.

#![expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "made from a definition that documents itself"
)]

tonic::include_proto!("runtime.v1");
