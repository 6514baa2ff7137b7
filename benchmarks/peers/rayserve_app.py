"""The Ray Serve deployment; runs in the peer's environment and imports nothing of ours."""

import argparse
import signal
from typing import Any

SERVICE, METHOD = "benchmarks.Predictor", "Predict"


def register(servicer: Any, server: Any) -> None:
    """Add the one method to a gRPC server, as generated code would."""
    import grpc
    from google.protobuf.wrappers_pb2 import BytesValue

    handler = grpc.unary_unary_rpc_method_handler(
        getattr(servicer, METHOD),
        request_deserializer=BytesValue.FromString,
        response_serializer=BytesValue.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))


def start(port: int, http_port: int, model: str) -> None:
    """Start a local Ray and the deployment; return when it predicts."""
    import numpy as np
    import ray
    import xgboost
    from google.protobuf.wrappers_pb2 import BytesValue
    from ray import serve
    from ray.serve.config import HTTPOptions, gRPCOptions

    @serve.deployment(max_ongoing_requests=1_000)  # type: ignore[untyped-decorator,unused-ignore]
    class Predictor:
        def __init__(self, path: str) -> None:
            self.booster = xgboost.Booster({"nthread": 1}, model_file=path)

        async def Predict(self, request: Any) -> Any:  # noqa: N802 — the name of the gRPC method
            row = np.frombuffer(request.value, "<f4")[None, :]
            return BytesValue(value=self.booster.inplace_predict(row).tobytes())

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(
        http_options=HTTPOptions(host="127.0.0.1", port=http_port),
        grpc_options=gRPCOptions(port=port, grpc_servicer_functions=["rayserve_app.register"]),
    )
    serve.run(Predictor.bind(model), name="default", route_prefix="/")  # type: ignore[attr-defined]


def main() -> None:
    """Serve until SIGTERM."""
    arguments = argparse.ArgumentParser(description="Ray Serve peer; started by benchmarks.peers.rayserve.")
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--http-port", type=int, required=True)
    arguments.add_argument("--model", required=True)
    given = arguments.parse_args()
    start(given.port, given.http_port, given.model)
    print("ready to predict", flush=True)
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main()
