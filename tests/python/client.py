"""A foreign client of tokmond: only the .proto files and public packages, over the local socket.

usage: client.py SOCKET STUBS probe                          health, reflection and the handshake
       client.py SOCKET STUBS record AGENT SESSION KEY ...   records 1,500 + 800 tokens per key
       client.py SOCKET STUBS stream AGENT SESSION COUNT     streams COUNT records in one call
       client.py SOCKET STUBS report                         totals by model
       client.py SOCKET STUBS session AGENT ID               one session's totals

STUBS is the directory that `python -m grpc_tools.protoc` wrote. Prints one JSON object.
"""

import json
import sys

import grpc

SOCKET, STUBS, COMMAND, *ARGUMENTS = sys.argv[1:]
sys.path.insert(0, STUBS)

from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # noqa: E402
    ProtoReflectionDescriptorDatabase,
)
from tokmon.v1 import (  # noqa: E402
    common_pb2,
    daemon_pb2,
    daemon_pb2_grpc,
    report_pb2,
    report_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    usage_pb2,
    usage_pb2_grpc,
)

PICO = 10**12


def dollars(money):
    """Exact dollars as a decimal string."""
    total = money.usd * PICO + money.pico
    return f"{total // PICO}.{total % PICO:012d}".rstrip("0").rstrip(".")


def probe(channel):
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    hello = daemon_pb2.HandshakeRequest(contract=1, client="python")
    answer = daemon_pb2_grpc.DaemonServiceStub(channel).Handshake(hello)
    try:
        wrong = session_pb2.GetSessionRequest(id="no such session")
        session_pb2_grpc.SessionServiceStub(channel).Get(wrong)
        error = None
    except grpc.RpcError as status:
        reasons = [v for k, v in status.trailing_metadata() if k == "tokmon-reason"]
        error = [status.code().name, *reasons]
    return {
        "health": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status),
        "services": sorted(services),
        "contract": answer.contract,
        "error": error,
    }


def record(channel, agent, session, *keys):
    stub = usage_pb2_grpc.UsageServiceStub(channel)
    answers = []
    for key in keys:
        usage = usage_pb2.Usage(
            agent=agent,
            session=session,
            model="claude-sonnet-4-5",
            tokens=common_pb2.Tokens(input=1500, output=800),
            idempotency_key=key,
        )
        answer = stub.Record(usage_pb2.RecordRequest(usage=usage))
        answers.append(
            {
                "outcome": usage_pb2.RecordOutcome.Name(answer.outcome),
                "cost_usd": dollars(answer.cost),
            }
        )
    return {"answers": answers}


def stream(channel, agent, session, count):
    def records():
        for _ in range(int(count)):
            usage = usage_pb2.Usage(agent=agent, session=session, model="gpt-5", tokens=common_pb2.Tokens(input=1))
            yield usage_pb2.RecordRequest(usage=usage)

    answer = usage_pb2_grpc.UsageServiceStub(channel).RecordStream(records())
    return {"added": answer.added, "refused": answer.refused}


def report(channel):
    request = report_pb2.TotalsRequest(group_by=[report_pb2.GROUPING_MODEL])
    answer = report_pb2_grpc.ReportServiceStub(channel).Totals(request)
    return {
        "requests": answer.totals.requests,
        "cost_usd": dollars(answer.totals.cost),
        "rows": {row.keys[0]: row.totals.requests for row in answer.rows},
    }


def session(channel, agent, name):
    request = session_pb2.GetSessionRequest(agent=agent, id=name)
    answer = session_pb2_grpc.SessionServiceStub(channel).Get(request)
    return {
        "requests": answer.totals.requests,
        "input_tokens": answer.totals.tokens.input,
        "cost_usd": dollars(answer.totals.cost),
    }


def main():
    # gRPC's C core sends the socket's path as the authority, which HTTP/2 servers refuse; name another one.
    options = [("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(f"unix:{SOCKET}", options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        if COMMAND == "probe":
            result = probe(channel)
        elif COMMAND == "record":
            result = record(channel, *ARGUMENTS)
        elif COMMAND == "stream":
            result = stream(channel, *ARGUMENTS)
        elif COMMAND == "report":
            result = report(channel)
        elif COMMAND == "session":
            result = session(channel, *ARGUMENTS)
        else:
            sys.exit(__doc__)
    print(json.dumps(result))


main()
