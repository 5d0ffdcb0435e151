"""TLS to broker and store with a private CA, and the rights that docs/security.md says suffice.

Neither server speaks TLS itself: a proxy in front of each does, with certificates that trustme
makes. To the clients that is the real thing.
"""

from __future__ import annotations

import json
import re
import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
from botocore.config import Config

from common.broker import Broker
from common.dispatch import celery_app
from common.errors import BrokerRefused, BrokerUnreachable, StoreRefused
from common.store import open_store, s3
from producer.cli.main import run
from tests.support.pool import Pool
from tests.support.proxy import Proxy
from tests.support.servers import Ministack, Valkey
from worker.supervisor.exit_codes import UNREACHABLE

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
SECRET = "not/in?the#log"
ESCAPED = "not%2Fin%3Fthe%23log"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def context(ca: trustme.CA, host: str = "127.0.0.1") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(made)
    return made


@pytest.fixture
def user(broker: str) -> Iterator[str]:
    """A user of the broker with the rights that the page gives."""
    line = re.search(r"^ACL SETUSER .*", PAGE, re.MULTILINE)
    assert line
    with redis.Redis.from_url(broker) as admin:
        admin.execute_command(*line[0].replace("SECRET", SECRET).split())
        yield f"gridfarm:{ESCAPED}"
        admin.acl_deluser("gridfarm")


@pytest.fixture
def tls_broker(valkey_server: Valkey, user: str, ca: trustme.CA, broker: str) -> Iterator[str]:
    assert broker == valkey_server.url
    with Proxy(valkey_server.port, tls=context(ca)) as proxy:
        yield f"rediss://{user}@127.0.0.1:{proxy.port}/0"


@pytest.fixture
def tls_store(
    s3_server: Ministack, s3_store_url: str, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    with Proxy(s3_server.port, tls=context(ca)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://127.0.0.1:{proxy.port}")
        yield s3_store_url


def test_a_farm_over_tls(
    tls_broker: str, tls_store: str, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The producer names the CA in the URL, the worker process has it among the system's. Both
    have no other rights on the broker than the page's. No secret is in the worker's log."""
    monkeypatch.setenv("AWS_CA_BUNDLE", ca_file)
    pool = Pool(
        f"{tls_broker}?ssl_ca_certs={ca_file}", tmp_path, tls_store, {"SSL_CERT_FILE": ca_file}
    )
    try:
        pool.start("bare", "--steps=1", "--ms-per-step=1", broker=tls_broker)
        pool.submit(3)
        pool.eventually(lambda: pool.counts == (3, 0))
        assert pool.right_pictures() == 3
        assert "Traceback" not in pool.log("bare")
        assert not any(part in pool.log("bare") for part in (SECRET, ESCAPED))
    finally:
        pool.end()
    with pytest.raises(redis.exceptions.NoPermissionError):
        pool.ledger.redis.flushall()
    for forbidden in (("GET", "other"), ("KEYS", "*"), ("CONFIG", "GET", "requirepass")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            pool.ledger.redis.execute_command(*forbidden)


@pytest.mark.parametrize("how", ["?ssl_ca_certs=", "SSL_CERT_FILE"])
def test_celery_speaks_tls_too(
    tls_broker: str, ca_file: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And knows the CA either way."""
    if how == "SSL_CERT_FILE":
        monkeypatch.setenv(how, ca_file)
        app = celery_app(tls_broker)
    else:
        app = celery_app(f"{tls_broker}{how}{ca_file}")
    with app.connection() as connection:
        assert connection.default_channel.client.ping()


def test_celery_checks_certificates_too(tls_broker: str) -> None:
    """Of itself it would believe any where the URL has no options."""
    with (
        celery_app(tls_broker).connection() as connection,
        pytest.raises(redis.exceptions.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        connection.ensure_connection(
            max_retries=1, interval_start=0, interval_step=0, reraise_as_library_errors=False
        )


def test_a_broker_of_an_unknown_ca_is_refused(
    tls_broker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the producer and by a worker process, each in a clear line and with exit code 3."""
    pool = Pool(tls_broker, tmp_path)
    worker = pool.start("stranger")
    assert run(["doctor", f"--broker={tls_broker}", "--json"]) != 0
    said = json.loads(capsys.readouterr().out)
    (check,) = (check for check in said["checks"] if check["name"] == "broker")
    assert "CERTIFICATE_VERIFY_FAILED" in check["message"]
    assert "ssl_ca_certs=/path/ca.pem" in check["message"]
    assert SECRET not in str(said) and ESCAPED not in str(said)
    assert worker.wait(30) == UNREACHABLE
    assert "CERTIFICATE_VERIFY_FAILED" in pool.log("stranger")
    assert "ssl_ca_certs=/path/ca.pem" in pool.log("stranger")


def test_a_store_of_an_unknown_ca_is_refused(
    tls_store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    once = s3.CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    monkeypatch.setattr(s3, "CONFIG", once)
    assert run(["list", f"--store={tls_store}", "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["error"] == "StoreUnreachable"
    assert "CERTIFICATE_VERIFY_FAILED" in said["message"]
    assert "AWS_CA_BUNDLE" in said["hint"]


def test_the_host_must_be_the_certificates(
    valkey_server: Valkey, ca: trustme.CA, ca_file: str
) -> None:
    with Proxy(valkey_server.port, tls=context(ca, "elsewhere.example")) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={ca_file}"
        with pytest.raises(BrokerUnreachable, match="certificate is not valid for"):
            Broker(url).ping()


def test_a_ca_that_is_not_there_is_named() -> None:
    with pytest.raises(BrokerRefused, match=r"'/no/ca\.pem', and there is no such"):
        Broker("rediss://127.0.0.1:1/0?ssl_ca_certs=/no/ca.pem").ping()


def policy() -> dict[str, Any]:
    found = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("actions", [4, 2], ids=["worker", "reader"])
def test_the_rights_of_the_page_suffice(
    s3_server: Ministack, actions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four to work, GetObject and ListBucket to look."""
    rights = policy()
    objects, bucket = rights["Statement"]
    objects["Action"] = objects["Action"][: actions - 1]
    for statement in (objects, bucket):
        statement["Resource"] = statement["Resource"].replace("BUCKET", s3_server.bucket)
    name = f"of-the-page-{actions}"
    environment = s3_server.user(name)
    s3_server.client("iam").put_user_policy(
        UserName=name, PolicyName="rights", PolicyDocument=json.dumps(rights)
    )
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    store = open_store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}")
    if actions == 4:
        store.probe()
        return
    assert not store.exists("images/x.png") and list(store.list("images/")) == []
    with pytest.raises(StoreRefused):
        store.put("images/x.png", b"")
