//! What is sent: a request of each kind, the calls that take it, and what its answer says.

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use tonic::Status;
use tonic::transport::Channel;

use super::{LONGEST_ANSWER, Verdict};

/// A kind of request.
pub(in crate::runtime) trait Signal: Message + Clone {
    /// Its path over HTTP.
    const PATH: &'static str;
    /// What a receiver answers.
    type Answer: Message + Default;

    /// What the answer says.
    fn verdict(answer: Self::Answer) -> Verdict;

    /// Sends it over gRPC.
    fn call(channel: Channel, request: Self) -> impl Future<Output = Result<Verdict, Status>> + Send;
}

impl Signal for ExportLogsServiceRequest {
    const PATH: &'static str = "/v1/logs";
    type Answer = ExportLogsServiceResponse;

    fn verdict(answer: Self::Answer) -> Verdict {
        let part = answer.partial_success.unwrap_or_default();
        verdict(part.rejected_log_records, part.error_message)
    }

    async fn call(channel: Channel, request: Self) -> Result<Verdict, Status> {
        let mut client = LogsServiceClient::new(channel).max_decoding_message_size(LONGEST_ANSWER);
        Ok(Self::verdict(client.export(request).await?.into_inner()))
    }
}

impl Signal for ExportMetricsServiceRequest {
    const PATH: &'static str = "/v1/metrics";
    type Answer = ExportMetricsServiceResponse;

    fn verdict(answer: Self::Answer) -> Verdict {
        let part = answer.partial_success.unwrap_or_default();
        verdict(part.rejected_data_points, part.error_message)
    }

    async fn call(channel: Channel, request: Self) -> Result<Verdict, Status> {
        let mut client = MetricsServiceClient::new(channel).max_decoding_message_size(LONGEST_ANSWER);
        Ok(Self::verdict(client.export(request).await?.into_inner()))
    }
}

fn verdict(refused: i64, message: String) -> Verdict {
    Verdict { refused: u64::try_from(refused).unwrap_or(0), message }
}
