"""Sends one call with the official exporters: as a span, as a log record, and a metric.

Arguments: grpc or http, none or gzip, the endpoint, the token.
"""

import sys
import uuid

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

protocol, packing, endpoint, token = sys.argv[1:]
headers = {"x-tokmon-token": token}
if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if packing == "gzip" else Compression.NoCompression

    def make(kind, _signal):
        return kind(endpoint=endpoint, headers=headers, compression=compression, insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if packing == "gzip" else Compression.NoCompression

    def make(kind, signal):
        return kind(endpoint=f"{endpoint}/v1/{signal}", headers=headers, compression=compression)


resource = Resource.create({"service.name": "my-bot"})
call = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5",
    "gen_ai.response.id": str(uuid.uuid4()),
    "gen_ai.usage.input_tokens": 2000,
    "gen_ai.usage.cache_read.input_tokens": 1500,
    "gen_ai.usage.output_tokens": 80,
    "gen_ai.input.messages": "words that nobody keeps",
}

traces = TracerProvider(resource=resource)
traces.add_span_processor(SimpleSpanProcessor(make(OTLPSpanExporter, "traces")))
with traces.get_tracer("bot").start_as_current_span("chat gpt-5", attributes=call):
    pass

logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(SimpleLogRecordProcessor(make(OTLPLogExporter, "logs")))
logs.get_logger("bot").emit(body="said", attributes=call, event_name="gen_ai.client.inference.operation.details")

reader = PeriodicExportingMetricReader(make(OTLPMetricExporter, "metrics"), export_interval_millis=3_600_000)
metrics = MeterProvider(resource=resource, metric_readers=[reader])
metrics.get_meter("bot").create_counter("tokens").add(2000)

for provider in (traces, logs, metrics):
    provider.shutdown()
