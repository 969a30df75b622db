"""A Kafka cluster that speaks TLS: who gets in, and that each topic has one writer.

On a real broker with its authorizer on, under the very rights that the Kubernetes manifests give.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from deploy.engines import engines
from libs.common.adapters import PREFIX
from libs.common.adapters.kafka import KafkaBus
from libs.common.adapters.kafka_reach import Reach
from libs.common.commit import shard_of
from libs.common.errors import StoreAway
from tests.common.test_kafka import STREAM, commits, drained
from tests.deploy.cluster import name
from tests.deploy.reading import manifests

TYPES = {"topic": 2, "group": 3}
PATTERNS = {"literal": 3, "prefix": 4}
OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8}
ALLOW = 3
"""Kafka's own numbers, as its protocol has them."""
SECURE = """
listeners=PLAINTEXT://127.0.0.1:{port},SSL://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SSL://127.0.0.1:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
"""
SHARD = shard_of(STREAM)
WAIT_SECONDS = 60.0


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("tls=yes&cafile=secret", "no option cafile"),
        ("tls=on", "tls must be yes or no"),
        ("ca=secret", "certificates need tls=yes"),
        ("tls=yes&certificate=secret", "go together"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_and_not_shown(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        Reach.of(f"kafka://one:9093?{query}")
    assert "secret" not in str(refused.value)


def test_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="carries no user") as refused:
        Reach.of("kafka://me:secret@one:9093?tls=yes")
    assert "secret" not in str(refused.value)


def test_without_options_it_is_plaintext() -> None:
    assert Reach.of("kafka://one:9092,two:9092").options() == {
        "bootstrap_servers": "one:9092,two:9092"
    }


class Authority:
    """Signs certificates into a folder: `<name>.crt`, `<name>.key`, and both in `<name>.pem`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.ca = self._signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=0))
        (folder / "ca.pem").write_bytes(self.ca)

    def gives(self, common_name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        signed = self._signed(subject, key, here)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / f"{common_name}.crt").write_bytes(signed)
        (self.folder / f"{common_name}.key").write_bytes(secret)
        (self.folder / f"{common_name}.pem").write_bytes(secret + signed + self.ca)

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=False)
        )
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def secure(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Iterator["Secure"]:
    """A broker of its own (`kafka` says that there can be one), with a door for TLS."""
    if not engines.kafka_found():
        pytest.skip("this broker is set up here; a given one cannot be")
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder)
    for each in ("broker", "consent-kafka", "referrals-kafka"):
        authority.gives(each)
    engines.start_kafka(folder).stop()  # formats its storage
    settings = folder / "server.properties"
    text = settings.read_text()
    port = int(text.partition("\nlisteners=PLAINTEXT://127.0.0.1:")[2].partition(",")[0])
    controller = int(text.partition("voters=1@127.0.0.1:")[2].partition("\n")[0])
    tls = engines.free_port()
    more = SECURE.format(port=port, tls=tls, controller=controller, folder=folder)
    settings.write_text(text + more)  # of a setting that stands twice the last counts
    running = engines.start_kafka(folder)
    yield Secure(running.url, tls, folder)
    running.stop()


class Secure:
    """The broker's two doors: `open` is the administrator's, on this machine only."""

    def __init__(self, url: str, tls: int, folder: Path) -> None:
        self.open, self.tls, self.folder = url, tls, folder

    def url(self, who: str) -> str:
        return (
            f"kafka://127.0.0.1:{self.tls}?tls=yes&ca={self.folder}/ca.pem"
            f"&certificate={self.folder}/{who}.crt&key={self.folder}/{who}.key"
        )

    @asynccontextmanager
    async def bus(self, who: str) -> AsyncIterator[KafkaBus]:
        async with KafkaBus(self.url(who), PREFIX) as bus:
            yield bus


def creations(user: dict[str, Any]) -> Iterator[CreateAclsRequest]:
    """What Strimzi's user operator asks of Kafka for a KafkaUser."""
    for acl in user["spec"]["authorization"]["acls"]:
        on = acl["resource"]
        for operation in acl["operations"]:
            yield CreateAclsRequest(
                TYPES[on["type"]], on["name"], PATTERNS[on["patternType"]],
                f"User:CN={name(user)}", "*", OPERATIONS[operation], ALLOW,
            )  # fmt: skip


async def allowed(secure: Secure) -> None:
    """Topics and rights, as the operators make them of the manifests."""
    async with KafkaBus(secure.open, PREFIX) as bus:
        for log in ("consent", "referrals"):
            await bus.tail(log, 0)
    admin = AIOKafkaAdminClient(**Reach.of(secure.open).options())
    await admin.start()
    for user in (each for each in manifests("district") if each["kind"] == "KafkaUser"):
        for request in creations(user):
            answer = await admin._send_request(request)
            assert {code for code, _ in answer.creation_responses} == {0}, answer
    await admin.close()


@pytest.mark.engines
async def test_each_topic_has_one_writer_and_its_readers_over_tls(secure: Secure) -> None:
    made = commits(3)
    await allowed(secure)
    async with secure.bus("referrals-kafka") as ours, secure.bus("consent-kafka") as theirs:
        assert await ours.publish("referrals", SHARD, made) == 0
        assert await ours.tail("referrals", SHARD) == (made[-1], 3)
        for bus, group in ((ours, "referrals.views"), (theirs, "consent.react")):
            async with bus.subscribe(["referrals"], group) as feed:
                assert [each.commit for each in await drained(feed)] == made
        await refused(theirs)
        with pytest.raises(StoreAway, match="GroupAuthorizationFailed"):
            async with theirs.subscribe(["referrals"], "referrals.views") as feed:
                await drained(feed)
        assert await theirs.tail("referrals", SHARD) == (made[-1], 3)


async def refused(bus: KafkaBus) -> None:
    """Whoever does not own the log cannot write to its topic."""
    with pytest.raises(StoreAway, match="TopicAuthorizationFailed"):
        await bus.publish("referrals", SHARD, commits(3))


@pytest.mark.engines
async def test_a_right_for_everybody_to_write_would_be_found(secure: Secure) -> None:
    """The last word of the test above: on a broker that lets others write it fails."""
    async with KafkaBus(secure.open, PREFIX) as bus:
        await bus.tail("referrals", 0)
    admin = AIOKafkaAdminClient(**Reach.of(secure.open).options())
    await admin.start()
    topic = f"{PREFIX}.referrals.commits"
    for operation in ("Write", "Describe"):
        right = CreateAclsRequest(
            TYPES["topic"], topic, PATTERNS["literal"], "User:*", "*", OPERATIONS[operation], ALLOW
        )
        await admin._send_request(right)
    await admin.close()
    async with secure.bus("consent-kafka") as theirs:
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            async with asyncio.timeout(WAIT_SECONDS):
                await _until_written(theirs)


async def _until_written(bus: KafkaBus) -> None:
    """`refused`, until it no longer is: a right takes a moment to reach the broker."""
    while True:
        await refused(bus)


@pytest.mark.engines
async def test_nobody_gets_in_without_a_certificate(secure: Secure) -> None:
    url = f"kafka://127.0.0.1:{secure.tls}?tls=yes&ca={secure.folder}/ca.pem"
    async with KafkaBus(url, PREFIX) as bus:
        with pytest.raises(StoreAway):
            await bus.tail("referrals", SHARD)


@pytest.mark.engines
async def test_a_broker_of_another_authority_is_not_spoken_to(secure: Secure) -> None:
    other = secure.folder / "other"
    other.mkdir()
    await asyncio.to_thread(Authority, other)
    url = secure.url("consent-kafka").replace(f"{secure.folder}/ca.pem", f"{other}/ca.pem")
    async with KafkaBus(url, PREFIX) as bus:
        with pytest.raises(StoreAway):
            await bus.tail("referrals", SHARD)
