"""A `grpc.aio` server that does nothing: the ceiling of any Python gRPC server.

It takes the same request message on the same method path as the service, reads it,
and answers with a prepared message of the size the service answers with. Started as
`python -m benchmarks.echo --port PORT`; prints `listening` when it is.
"""

import argparse
import asyncio
import signal

import grpc
import uvloop

from fraud.v1 import scoring_pb2 as pb

SERVICE, METHOD = "fraud.v1.ScoringService", "Score"
PATH = f"/{SERVICE}/{METHOD}"

ANSWER = pb.ScoreResponse(
    decision=pb.Decision(
        transaction_id="0123456789abcdef",
        score=0.0123,
        risk_score=321,
        outcome=pb.APPROVE,
        version="card-1",
        policy_version="card-1",
        propensity=1.0,
        model="card",
        event_time_us=1_750_000_000_000_000,
        arrival_time_us=1_750_000_000_000_000,
        amount_minor=12_345,
        currency="EUR",
    )
)


async def score(_request: pb.ScoreRequest, _context: object) -> pb.ScoreResponse:
    """Answer without looking."""
    return ANSWER


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        score,
        request_deserializer=pb.ScoreRequest.FromString,
        response_serializer=pb.ScoreResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: asyncio.ensure_future(server.stop(1))
    )
    print("listening", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--port", type=int, required=True)
    uvloop.run(serve(arguments.parse_args().port))
