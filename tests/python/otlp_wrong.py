"""Calls the receiver over gRPC in wrong ways and prints the code of each answer, one a line.

Arguments: the endpoint without its scheme, the token.
"""

import sys

import grpc

address, token = sys.argv[1:]
service = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
known = [("x-tokmon-token", token)]
calls = [
    (service, b"", []),
    (service, b"", [("authorization", "Bearer wrong")]),
    (service, b"", [("authorization", f"Bearer {token}")]),
    (service, b"\x0a\xff", known),
    (service, b" " * (5 << 20), known),
    ("/opentelemetry.proto.collector.logs.v1.LogsService/Import", b"", known),
    ("/tokmon.v1.DaemonService/Stop", b"", known),
]
with grpc.insecure_channel(address) as channel:
    for method, message, metadata in calls:
        call = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
        try:
            call(message, metadata=metadata, timeout=30)
            print("OK")
        except grpc.RpcError as error:
            print(error.code().name, error.details())
