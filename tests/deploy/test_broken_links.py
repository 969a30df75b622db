"""Edges, names, readers, paths and forms, each broken once and told of."""

import pytest

from tests.deploy.breaking import Break, again, leave_out, put, take
from tests.deploy.cluster import Cluster
from tests.deploy.links import LINKS
from tests.deploy.reading import manifests
from tests.deploy.shapes import complaints

API = ("Deployment", "consent-api")
SPEC = "spec/template/spec"
ONE = f"{SPEC}/containers/0"
KAFKA = ("Kafka", "alliance")
MONGO = ("MongoDBCommunity", "alliance-mongodb")
USER = ("KafkaUser", "referrals-kafka")
ROUTE = "spec/rules/0/matches/0/path/value"

BROKEN: list[tuple[str, Break, str]] = [
    (
        "every_part_of_every_service_is_there",
        leave_out("Deployment", "referrals-relay"),
        "nothing runs referrals relay",
    ),
    (
        "each_service_has_what_it_needs",
        leave_out("KafkaTopic", "consent-commits"),
        "consent has no topic",
    ),
    ("each_service_has_what_it_needs", take(*MONGO, "spec/users/0"), "consent has 0 users"),
    (
        "readers_may_read_what_they_hear",
        take(*USER, "spec/authorization/acls/1"),
        "referrals-kafka may read",
    ),
    (
        "readers_may_read_what_they_hear",
        put(*USER, "spec/authorization/acls/2/resource/name", "alliance."),
        "other groups than its own",
    ),
    (
        "lag_is_measured_for_each_reader",
        take("ScaledObject", "consent-project", "spec/triggers/0"),
        "looks at ['alliance.consent.react']",
    ),
    (
        "lag_is_measured_for_each_reader",
        put("ScaledObject", "consent-project", "spec/triggers/0/metadata/topic", "commits"),
        "nobody reads commits",
    ),
    (
        "lag_is_measured_for_each_reader",
        take("ScaledObject", "consent-project", "spec/triggers/0/metadata/tls"),
        "asks in plaintext",
    ),
    (
        "pods_reach_what_they_need_and_nothing_else",
        leave_out("NetworkPolicy", "default-deny"),
        "nothing is refused by default",
    ),
    (
        "pods_reach_what_they_need_and_nothing_else",
        leave_out("NetworkPolicy", "consent-engines"),
        "consent-relay has no policy of its own",
    ),
    (
        "pods_reach_what_they_need_and_nothing_else",
        leave_out("NetworkPolicy", "consent-api"),
        "consent-api lacks ingress gateway TCP http",
    ),
    (
        "pods_reach_what_they_need_and_nothing_else",
        put("NetworkPolicy", "consent-engines", "spec/egress/+", {}),
        "consent-relay needs no egress anybody any *",
    ),
    (
        "pods_reach_what_they_need_and_nothing_else",
        put("NetworkPolicy", "consent-engines", "spec/egress/1/ports/0/port", 22),
        "consent-relay needs no egress alliance-mongodb-svc TCP 22",
    ),
    (
        "engines_let_in_our_pods_alone",
        put("NetworkPolicy", "mongodb", "spec/ingress/+", {}),
        "MongoDB lets in",
    ),
    (
        "engines_let_in_our_pods_alone",
        take(*KAFKA, "spec/kafka/listeners/0/networkPolicyPeers"),
        "Kafka's tls lets in others",
    ),
    ("names_lead_somewhere", leave_out("ServiceAccount", "consent-runs"), "no ServiceAccount"),
    ("names_lead_somewhere", put(*API, f"{SPEC}/volumes/4/configMap/name", "other"), "ConfigMap"),
    ("names_lead_somewhere", leave_out("Service", "consent-api"), "which is not there"),
    ("names_lead_somewhere", leave_out("Deployment", "consent-project"), "scales nothing"),
    ("names_lead_somewhere", put(*API, "metadata/namespace", "default"), "another namespace"),
    (
        "variables_are_settings",
        put(*API, f"{ONE}/env/+", {"name": "STORE", "value": "x"}),
        "no setting is called STORE",
    ),
    (
        "variables_are_settings",
        put("ConfigMap", "settings", "data/ISSUER", "x"),
        "no setting is called ISSUER",
    ),
    (
        "variables_are_settings",
        put("ConfigMap", "settings", "data/ALLOW_DEV_ISSUER", "yes"),
        "lets anybody be anybody",
    ),
    (
        "variables_are_settings",
        put("ConfigMap", "settings", "data/OTLP_URL", "http://collector:4318"),
        "spans go to /v1/traces",
    ),
    (
        "variables_are_settings",
        put("ConfigMap", "settings", "data/OTLP_METRICS_URL", "http://collector:4318/v1/traces"),
        "figures go to /v1/metrics",
    ),
    (
        "every_path_leads_to_its_service",
        put("HTTPRoute", "alliance", ROUTE, "/v1"),
        "/v1/referrals leads to ['consent-api', 'referrals-api']",
    ),
    (
        "every_path_leads_to_its_service",
        take("HTTPRoute", "alliance", "spec/rules/0"),
        "/v1/students leads to []",
    ),
]

MISSHAPEN: list[tuple[Break, str]] = [
    (put(*API, f"{ONE}/readynessProbe", {}), "readynessProbe"),
    (put(*API, f"{SPEC}/containers/0/ports/0/containerPort", "http"), "is not of type 'integer'"),
    (put(*KAFKA, "spec/kafka/listners", []), "listners"),
    (put(*USER, "spec/authorization/acls/0/operations", ["Scribble"]), "Scribble"),
    (put(*MONGO, "spec/security/tls/enable", True), "enable"),
    (put("ScaledObject", "consent-project", "spec/triggers/0/kind", "kafka"), "kind"),
    (put("HTTPRoute", "alliance", "spec/rules/0/matches/0/path/kind", "Exact"), "kind"),
    (put("Certificate", "mongodb-tls", "spec/issuer", {}), "issuer"),
    (put("PrometheusRule", "alliance", "spec/groups/0/rules/0/expression", "1"), "expression"),
    (put(*API, "kind", "Deploymint"), "no such kind in apps/v1"),
    (put(*KAFKA, "kind", "KafkaMirrorMaker9"), "no such kind in kafka.strimzi.io/v1"),
    (put(*KAFKA, "apiVersion", "kafka.strimzi.io/v1beta2"), "no such kind"),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_link_that_is_broken_is_told(number: int) -> None:
    link, broken, said = BROKEN[number]
    complaints = list(LINKS[link](Cluster(broken(manifests("district")))))
    assert any(said in complaint for complaint in complaints), complaints


def test_every_link_is_broken_once() -> None:
    assert {link for link, _, _ in BROKEN} == LINKS.keys()


@pytest.mark.parametrize("number", range(len(MISSHAPEN)))
def test_a_form_that_is_broken_is_told(number: int) -> None:
    broken, said = MISSHAPEN[number]
    whole = manifests("district")
    changed = [one for one in broken(manifests("district")) if one not in whole]
    assert any(said in each for one in changed for each in complaints(one))


def test_a_service_beside_the_pilot_is_told() -> None:
    pilot = again("Deployment", "alliance-api", "another")(manifests("pilot"))
    pilot[-1]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] = "consent"
    assert len(list(LINKS["every_part_of_every_service_is_there"](Cluster(pilot)))) == 1
