"""A real S3 server on the loopback, in a process of its own, and folders in its bucket."""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import waiting

from cbda_jax import stores

_ACCESS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    # No attempt to find credentials elsewhere, and none to reach the server through a proxy.
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}
_SERVER = "import sys; from moto.server import main; main(sys.argv[1:])"


class Bucket:
    """Where tests put folders.

    Attributes:
        environment: what a process needs to find the server.
    """

    def __init__(self, environment: dict[str, str]):
        self.environment = environment
        self._numbers = itertools.count(1)

    def folder(self) -> Any:
        """A new folder."""
        return stores.to_path(f"s3://bucket/{os.getpid()}/{next(self._numbers)}")


@contextlib.contextmanager
def serve() -> Iterator[Bucket]:
    """A server with an empty bucket, which this process finds. Once: fsspec remembers it."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    address = waiting.free_address()
    host, _, port = address.rpartition(":")
    environment = {**_ACCESS, "AWS_ENDPOINT_URL": f"http://{address}"}
    command = [sys.executable, "-W", "ignore", "-c", _SERVER, "-H", host, "-p", port]
    with waiting.Child(command, "the S3 server") as server, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        server.says(" * Running on")
        stores.file_system(stores.to_path("s3://bucket")).mkdir("bucket")
        yield Bucket(environment)
