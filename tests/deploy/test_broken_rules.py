"""The rules about pods, secrets, topics and counts, each broken once and told of."""

import pytest

from tests.deploy.breaking import Break, add, leave_out, put, take
from tests.deploy.cluster import Cluster
from tests.deploy.reading import manifests
from tests.deploy.rules import RULES

API = ("Deployment", "consent-api")
SPEC = "spec/template/spec"
ONE = f"{SPEC}/containers/0"
KAFKA = ("Kafka", "alliance")
MONGO = ("MongoDBCommunity", "alliance-mongodb")
USER = ("KafkaUser", "referrals-kafka")
WRITES = {"type": "topic", "name": "alliance.consent.commits"}
EVERYWHERE = {"type": "topic", "name": "alliance.", "patternType": "prefix"}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kek"}, "data": {}}
PLAIN = {"name": "plain", "port": 9092, "type": "internal", "tls": False}
URL = "mongodb://alliance:hunter2@one/"

BROKEN: list[tuple[str, Break, str]] = [
    ("every_container_is_probed", take(*API, f"{ONE}/readinessProbe"), "readinessProbe asks None"),
    ("every_container_is_probed", take(*API, f"{ONE}/livenessProbe"), "livenessProbe"),
    ("every_container_is_probed", take(*API, f"{ONE}/startupProbe"), "startupProbe"),
    (
        "every_container_is_probed",
        put(*API, f"{ONE}/livenessProbe/httpGet/path", "/health/ready"),
        "livenessProbe asks /health/ready",
    ),
    (
        "every_deployment_has_a_budget",
        leave_out("PodDisruptionBudget", "consent-relay"),
        "consent-relay: 0 disruption budgets",
    ),
    (
        "every_deployment_has_a_budget",
        put("PodDisruptionBudget", "consent-api", "spec/maxUnavailable", "100%"),
        "consent-api: its budget",
    ),
    (
        "selectors_tell_deployments_apart",
        put("Service", "consent-api", "spec/selector", {"app.kubernetes.io/name": "consent"}),
        "Service consent-api selects",
    ),
    (
        "selectors_tell_deployments_apart",
        put(*API, "spec/selector/matchLabels", {"app.kubernetes.io/name": "referrals"}),
        "consent-api does not select its own pods",
    ),
    (
        "no_container_can_do_harm",
        put(*API, f"{ONE}/securityContext/readOnlyRootFilesystem", False),
        "may write its root",
    ),
    ("no_container_can_do_harm", take(*API, f"{SPEC}/securityContext/runAsNonRoot"), "as root"),
    ("no_container_can_do_harm", take(*API, f"{SPEC}/securityContext/seccompProfile"), "seccomp"),
    ("no_container_can_do_harm", put(*API, f"{SPEC}/hostNetwork", True), "shares the host"),
    (
        "no_container_can_do_harm",
        put(*API, f"{SPEC}/volumes/+", {"name": "host", "hostPath": {"path": "/"}}),
        "mounts the host",
    ),
    ("no_container_can_do_harm", take(*API, f"{SPEC}/automountServiceAccountToken"), "a token"),
    (
        "no_container_can_do_harm",
        take(*API, f"{ONE}/securityContext/allowPrivilegeEscalation"),
        "may gain rights",
    ),
    ("no_container_can_do_harm", take(*API, f"{ONE}/securityContext/capabilities"), "keeps"),
    (
        "no_container_can_do_harm",
        put(*API, f"{ONE}/securityContext/runAsUser", 0),
        "otherwise than its pod",
    ),
    (
        "no_container_can_do_harm",
        put(*API, f"{SPEC}/initContainers", [{"name": "first", "image": "busybox:1.37.0"}]),
        "consent-api: may write its root",
    ),
    ("images_are_precise", put(*API, f"{ONE}/image", "alliance:latest"), "any version"),
    ("images_are_precise", put(*API, f"{ONE}/image", "alliance"), "any version"),
    ("images_are_precise", put(*API, f"{ONE}/image", "alliance:1"), "any version"),
    ("no_secret_is_in_plain_text", add(SECRET), "Secret kek is kept in files"),
    (
        "no_secret_is_in_plain_text",
        put(*API, f"{ONE}/env/+", {"name": "KEYS_URL", "value": URL}),
        "Deployment consent-api holds a secret",
    ),
    (
        "no_secret_is_in_plain_text",
        put(*API, f"{ONE}/env/+", {"name": "MONGODB_PASSWORD", "value": "hunter2"}),
        "consent-api holds MONGODB_PASSWORD",
    ),
    (
        "no_secret_is_in_plain_text",
        put("ConfigMap", "settings", "data/API_TOKEN", "hunter2"),
        "holds API_TOKEN",
    ),
    (
        "no_secret_is_in_plain_text",
        take(*API, f"{SPEC}/volumes/0/secret/defaultMode"),
        "others may read",
    ),
    (
        "nothing_listens_in_plaintext",
        put(*KAFKA, "spec/kafka/listeners/+", PLAIN),
        "plain is plaintext",
    ),
    (
        "nothing_listens_in_plaintext",
        take(*KAFKA, "spec/kafka/listeners/0/authentication"),
        "lets anybody in",
    ),
    ("nothing_listens_in_plaintext", put(*MONGO, "spec/security/tls/enabled", False), "MongoDB"),
    ("nothing_listens_in_plaintext", put(*MONGO, "spec/security/tls/optional", True), "MongoDB"),
    (
        "nothing_listens_in_plaintext",
        take(*MONGO, "spec/users/0/additionalConnectionStringConfig/tlsCAFile"),
        "does not know the members",
    ),
    (
        "nothing_listens_in_plaintext",
        put(*API, f"{ONE}/env/+", {"name": "BUS_URL", "value": "kafka://one:9092"}),
        "consent-api speaks plaintext to Kafka",
    ),
    ("everybody_is_authorized", take(*KAFKA, "spec/kafka/authorization"), "no authorization"),
    (
        "everybody_is_authorized",
        put(*KAFKA, "spec/kafka/authorization/superUsers", ["CN=consent-kafka"]),
        "stands above it",
    ),
    (
        "everybody_is_authorized",
        take(*KAFKA, "spec/kafka/config/auto.create.topics.enable"),
        "topics make themselves",
    ),
    (
        "everybody_is_authorized",
        put(*KAFKA, "spec/kafka/config/allow.everyone.if.no.acl.found", True),
        "everybody is",
    ),
    (
        "a_topic_has_one_writer",
        put(*USER, "spec/authorization/acls/+", {"resource": WRITES, "operations": ["Write"]}),
        "alliance.consent.commits is written by ['consent-kafka', 'referrals-kafka']",
    ),
    (
        "a_topic_has_one_writer",
        put(*USER, "spec/authorization/acls/+", {"resource": EVERYWHERE, "operations": ["All"]}),
        "alliance.consent.commits is written by ['consent-kafka', 'referrals-kafka']",
    ),
    (
        "a_topic_has_one_writer",
        put(*USER, "spec/authorization/acls/0/operations", ["Read", "Describe"]),
        "alliance.referrals.commits is written by []",
    ),
    (
        "a_topic_has_one_writer",
        put(
            *USER,
            "spec/authorization/acls/+",
            {"resource": {"type": "cluster"}, "operations": ["Alter"]},
        ),
        "rights over the whole cluster",
    ),
    ("a_topic_has_one_writer", take(*USER, "spec/authentication"), "shows no certificate"),
    (
        "topics_keep_everything",
        put("KafkaTopic", "consent-commits", "spec/config/retention.ms", "604800000"),
        "not the settings of the code",
    ),
    (
        "topics_keep_everything",
        put("KafkaTopic", "consent-commits", "spec/partitions", 12),
        "12 partitions",
    ),
    (
        "nobody_can_change_a_commit",
        put(*MONGO, "spec/security/roles/1/privileges/0/actions/+", "update"),
        "consent-log may change commits",
    ),
    (
        "nobody_can_change_a_commit",
        put(*MONGO, "spec/users/0/roles/+", {"name": "readWrite", "db": "alliance_consent"}),
        "consent is readWrite of alliance_consent",
    ),
    (
        "nobody_can_change_a_commit",
        put(*MONGO, "spec/security/roles/0/privileges/1/actions/+", "remove"),
        "take a tombstone away",
    ),
    (
        "nobody_can_change_a_commit",
        put(*MONGO, "spec/security/roles/1/privileges/0/resource/collection", ""),
        "more than one collection",
    ),
    (
        "nobody_can_change_a_commit",
        put(*MONGO, "spec/security/roles/1/roles", [{"role": "root", "db": "admin"}]),
        "inherits",
    ),
    ("one_hand_holds_the_count", put(*API, "spec/replicas", 3), "1 scalers beside its own count"),
    (
        "one_hand_holds_the_count",
        leave_out("HorizontalPodAutoscaler", "consent-api"),
        "consent-api does not scale",
    ),
    (
        "one_hand_holds_the_count",
        put("ScaledObject", "consent-project", "spec/maxReplicaCount", 32),
        "more members than partitions",
    ),
    (
        "one_hand_holds_the_count",
        put("HorizontalPodAutoscaler", "consent-api", "spec/minReplicas", 1),
        "may be alone",
    ),
    (
        "one_hand_holds_the_count",
        put(*API, f"{SPEC}/volumes/+", {"name": "d", "persistentVolumeClaim": {"claimName": "d"}}),
        "a log on SQLite has one writer",
    ),
    ("pods_end_in_their_own_time", take(*API, f"{ONE}/lifecycle"), "still sent requests"),
    (
        "pods_end_in_their_own_time",
        put(*API, f"{SPEC}/terminationGracePeriodSeconds", 30),
        "consent-api is killed before 45 s",
    ),
    ("pods_are_spread_and_bounded", take(*API, f"{SPEC}/topologySpreadConstraints"), "spread"),
    ("pods_are_spread_and_bounded", take(*API, f"{ONE}/resources/limits"), "all memory"),
    ("pods_are_spread_and_bounded", take(*API, f"{ONE}/resources/requests/cpu"), "asks for"),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_rule_that_is_broken_is_told(number: int) -> None:
    rule, broken, said = BROKEN[number]
    complaints = list(RULES[rule](Cluster(broken(manifests("district")))))
    assert any(said in complaint for complaint in complaints), complaints


def test_every_rule_is_broken_once() -> None:
    assert {rule for rule, _, _ in BROKEN} == RULES.keys()


def test_a_pilot_with_a_second_writer_is_told() -> None:
    pilot = put("Deployment", "alliance-api", "spec/replicas", 2)(manifests("pilot"))
    assert list(RULES["one_hand_holds_the_count"](Cluster(pilot))) == [
        "alliance-api: a log on SQLite has one writer"
    ]
