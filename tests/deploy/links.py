"""What manifests say of each other and of the code: names, edges, readers, paths.

The same form as `rules.py`; what the services are is read from their own `main.py`.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from libs.common.adapters import PREFIX
from libs.common.directory import Directory
from libs.common.service import API, PARTS
from libs.common.serving import Main, read_directory
from libs.common.settings import SAYS
from tests.deploy.cluster import COMPONENT, NAME, Cluster, name, selects
from tests.deploy.reading import ROOT
from tests.deploy.rules import Rule

DIRECTORY = ROOT / "deploy" / "k8s" / "overlays" / "pilot" / "directory.json"
LINKS: dict[str, Rule] = {}
DNS = {("egress", "kube-system", "UDP", "53"), ("egress", "kube-system", "TCP", "53")}
SPANS = {("egress", "observability", "TCP", "4318")}
TELEMETRY = {
    "OTLP_URL": ("spans", "/v1/traces"),
    "OTLP_METRICS_URL": ("figures", "/v1/metrics"),
}
ENGINES = {
    ("egress", "alliance-mongodb-svc", "TCP", "27017"),
    ("egress", "alliance-kafka", "TCP", "9093"),
}
DOOR = {
    ("ingress", "gateway", "TCP", "http"),
    ("egress", "0.0.0.0/0", "TCP", "443"),
    ("egress", "::/0", "TCP", "443"),
}
"""Requests come in, and the identity provider's keys are fetched."""

Edge = tuple[str, str, str, str]


def link(function: Rule) -> Rule:
    LINKS[function.__name__] = function
    return function


@cache
def mains() -> dict[str, Main]:
    """Every service that there is, by name."""
    found = sorted(path.parent.name for path in Path(ROOT / "services").glob("*/main.py"))
    return {each: import_module(f"services.{each}.main").main for each in found}


@cache
def directory() -> Directory:
    return read_directory(DIRECTORY)


def heard(service: str) -> set[str]:
    """The logs that a service reads from the bus."""
    rooms = mains()[service].rooms(directory())
    views = (*rooms.projections, *rooms.memories, rooms.clocks)
    reacting = {log for policy in rooms.policies for log in policy.logs}
    return {log for view in views for log in view.logs} | reacting


@link
def every_part_of_every_service_is_there(cluster: Cluster) -> Iterator[str]:
    there = {(pods.labels[NAME], pods.labels[COMPONENT]) for pods in cluster.pods()}
    if not any(pods.embedded for pods in cluster.pods()):
        for missing in sorted({(each, part) for each in mains() for part in PARTS} - there):
            yield f"nothing runs {' '.join(missing)}"
    elif there != {("alliance", API)}:
        yield f"beside the whole platform in one process there are {sorted(there)}"


@link
def each_service_has_what_it_needs(cluster: Cluster) -> Iterator[str]:
    if not cluster.named("Kafka"):
        return
    users = [u["name"] for m in cluster.kind("MongoDBCommunity") for u in m["spec"]["users"]]
    topics = {topic["spec"]["topicName"] for topic in cluster.kind("KafkaTopic")}
    for service in mains():
        if f"{PREFIX}.{service}.commits" not in topics:
            yield f"{service} has no topic"
        if users.count(service) != 1:
            yield f"{service} has {users.count(service)} users of MongoDB"


@link
def readers_may_read_what_they_hear(cluster: Cluster) -> Iterator[str]:
    for user in cluster.kind("KafkaUser"):
        service = user["metadata"]["labels"][NAME]
        acls = user["spec"]["authorization"]["acls"]
        told = {
            acl["resource"]["name"]
            for acl in acls
            if acl["resource"]["type"] == "topic" and {"Read", "Describe"} <= {*acl["operations"]}
        }
        needed = {f"{PREFIX}.{log}.commits" for log in heard(service) | {service}}
        if told != needed:
            yield f"{name(user)} may read {sorted(told)}, and hears {sorted(needed)}"
        groups = [acl["resource"] for acl in acls if acl["resource"]["type"] == "group"]
        own = {"type": "group", "name": f"{PREFIX}.{service}.", "patternType": "prefix"}
        if groups != [own]:
            yield f"{name(user)} has other groups than its own"


@link
def lag_is_measured_for_each_reader(cluster: Cluster) -> Iterator[str]:
    for scaled in cluster.kind("ScaledObject"):
        service = name(scaled).removesuffix("-project")
        said = {t["metadata"]["consumerGroup"] for t in scaled["spec"]["triggers"]}
        if said != {f"{PREFIX}.{service}.views", f"{PREFIX}.{service}.react"}:
            yield f"{name(scaled)} looks at {sorted(said)}"
        for trigger in scaled["spec"]["triggers"]:
            said = trigger["metadata"]
            if said.get("topic") not in {f"{PREFIX}.{log}.commits" for log in heard(service)}:
                yield f"{name(scaled)}: nobody reads {said.get('topic')}"
            if said.get("tls") != "enable":
                yield f"{name(scaled)} asks in plaintext"


@link
def pods_reach_what_they_need_and_nothing_else(cluster: Cluster) -> Iterator[str]:
    policies = list(cluster.kind("NetworkPolicy"))
    if not any(_denies(each) for each in policies):
        yield "nothing is refused by default"
    for pods in cluster.pods():
        wanted = DNS | SPANS
        if not pods.embedded:
            wanted |= ENGINES
        if pods.labels[COMPONENT] == API:
            wanted |= DOOR
        mine = [each for each in policies if selects(each["spec"]["podSelector"], pods.labels)]
        found = {edge for each in mine for edge in _edges(each)}
        for edge in sorted(wanted - found):
            yield f"{pods.name} lacks {' '.join(edge)}"
        for edge in sorted(found - wanted):
            yield f"{pods.name} needs no {' '.join(edge)}"
        if not any(not _denies(each) for each in mine):
            yield f"{pods.name} has no policy of its own"


@link
def engines_let_in_our_pods_alone(cluster: Cluster) -> Iterator[str]:
    for each in cluster.kind("MongoDBCommunity"):
        label = {"app": f"{name(each)}-svc"}
        allowed = {
            edge
            for policy in cluster.kind("NetworkPolicy")
            if selects(policy["spec"]["podSelector"], label)
            for edge in _edges(policy)
            if edge[0] == "ingress"
        }
        wanted = {("ingress", who, "TCP", "27017") for who in ("alliance", f"{name(each)}-svc")}
        if allowed != wanted:
            yield f"MongoDB lets in {sorted(allowed)}"
    for kafka in cluster.kind("Kafka"):
        for listener in kafka["spec"]["kafka"]["listeners"]:
            peers = listener.get("networkPolicyPeers", [])
            if {_peer(each) for each in peers} - {"alliance", "keda"} or not peers:
                yield f"Kafka's {listener['name']} lets in others"


def _denies(policy: dict[str, Any]) -> bool:
    spec = policy["spec"]
    both = set(spec["policyTypes"]) == {"Ingress", "Egress"}
    return spec["podSelector"] == {} and both and not spec.get("ingress") and not spec.get("egress")


def _edges(policy: dict[str, Any]) -> Iterator[Edge]:
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for each in policy["spec"].get(way, ()):
            for peer in each.get(peers, [{}]):
                for port in each.get("ports", [{}]):
                    yield way, _peer(peer), port.get("protocol", "any"), str(port.get("port", "*"))


def _peer(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return str(ip_network(peer["ipBlock"]["cidr"]))
    for selector in (peer.get("podSelector"), peer.get("namespaceSelector")):
        for each in (selector or {}).get("matchExpressions", ()):
            return ",".join(each["values"])
        if (selector or {}).get("matchLabels"):
            return str(selector)
    return "anybody"


@link
def names_lead_somewhere(cluster: Cluster) -> Iterator[str]:
    for pods in cluster.pods():
        for kind, named in _needs(pods.spec):
            if named not in cluster.named(kind):
                yield f"{pods.name}: there is no {kind} {named}"
    deployments = cluster.named("Deployment")
    for each in cluster.kind("HorizontalPodAutoscaler", "ScaledObject"):
        if each["spec"]["scaleTargetRef"]["name"] not in deployments:
            yield f"{each['kind']} {name(each)} scales nothing"
    for route in cluster.kind("HTTPRoute"):
        for line in route["spec"]["rules"]:
            for backend in line["backendRefs"]:
                if backend["name"] not in cluster.named("Service"):
                    yield f"{name(route)} leads to {backend['name']}, which is not there"
    spaces = cluster.named("Namespace")
    for each in cluster.manifests:
        if each["kind"] != "Namespace" and {each["metadata"].get("namespace")} != spaces:
            yield f"{each['kind']} {name(each)} is in another namespace"


def _needs(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "ServiceAccount", spec.get("serviceAccountName", "default")
    for volume in spec.get("volumes", ()):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in spec["containers"]:
        for source in container.get("envFrom", ()):
            yield "ConfigMap", source["configMapRef"]["name"]


@link
def variables_are_settings(cluster: Cluster) -> Iterator[str]:
    known = {each.upper() for each in SAYS}
    for pods in cluster.pods():
        for variable in sorted(pods.said().keys() - known - {"SERVICE", "PART"}):
            yield f"{pods.name}: no setting is called {variable}"
    for each in cluster.kind("ConfigMap"):
        files = {key for key in each["data"] if key.endswith(".json")}
        for variable in sorted(each["data"].keys() - known - files):
            yield f"{name(each)}: no setting is called {variable}"
        if each["data"].get("ALLOW_DEV_ISSUER", "no") != "no":
            yield f"{name(each)} lets anybody be anybody"
        for variable, (what, path) in TELEMETRY.items():
            if not each["data"].get(variable, path).endswith(path):
                yield f"{name(each)}: {what} go to {path}"


@link
def every_path_leads_to_its_service(cluster: Cluster) -> Iterator[str]:
    for route in cluster.kind("HTTPRoute"):
        for service, main in mains().items():
            for line in main.routes.table:
                path = re.sub(r"{\w+}", "abc", line.promise.path)
                found = {
                    backend["name"]
                    for each in route["spec"]["rules"]
                    if any(_matches(match["path"], path) for match in each["matches"])
                    for backend in each["backendRefs"]
                }
                if found != {f"{service}-api"}:
                    yield f"{path} leads to {sorted(found)}"


def _matches(rule: dict[str, str], path: str) -> bool:
    if rule["type"] == "PathPrefix":
        return path == rule["value"] or path.startswith(f"{rule['value']}/")
    return re.fullmatch(rule["value"], path) is not None
