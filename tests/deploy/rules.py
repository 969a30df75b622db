"""What must be true of the manifests, each a small function; `test_manifests.py` runs them.

A rule yields one line of complaint for each place. `test_broken_rules.py` shows each to fail.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from libs.common.adapters.kafka import REPLICAS, topic_settings
from libs.common.ports import SHARDS
from libs.common.service import API, PROJECT
from libs.common.tasks import DRAIN_SECONDS_MAX
from tests.deploy.cluster import COMPONENT, NAME, Cluster, name, selects, strings

CLOSE_SECONDS_MAX = 20
"""Loops ended, hints passed on, clients closed: each step within 5 s."""
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
PRECISE = re.compile(r"[\w./:-]*[\w-]:(?!latest)v?\d+\.\d+\.\d+[\w.-]*|.+@sha256:[0-9a-f]{64}")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|_KEY$", re.I)
WITH_PASSWORD = re.compile(r"://[^/@\s$]+:[^/@\s$]+@")
PRIVATE = "PRIVATE" + " KEY-----"
APPEND_ONLY = {"find", "insert", "createIndex"}
MAY_WRITE = {"Write", "All"}

Rule = Callable[[Cluster], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


@rule
def every_container_is_probed(cluster: Cluster) -> Iterator[str]:
    for pods in cluster.pods():
        for container in pods.spec["containers"]:
            for probe in PROBES:
                path = container.get(probe, {}).get("httpGet", {}).get("path")
                if path != ("/health/ready" if probe == "readinessProbe" else "/health/live"):
                    yield f"{pods.name}: its {probe} asks {path}"


@rule
def every_deployment_has_a_budget(cluster: Cluster) -> Iterator[str]:
    for pods in cluster.pods():
        budgets = [
            each["spec"]
            for each in cluster.kind("PodDisruptionBudget")
            if selects(each["spec"]["selector"], pods.labels)
        ]
        if len(budgets) != 1:
            yield f"{pods.name}: {len(budgets)} disruption budgets"
        elif budgets[0].get("maxUnavailable") != 1:
            yield f"{pods.name}: its budget lets other than one go at a time"


@rule
def selectors_tell_deployments_apart(cluster: Cluster) -> Iterator[str]:
    for kind in ("PodDisruptionBudget", "Service"):
        for each in cluster.kind(kind):
            found = each["spec"]["selector"]
            selector = found if kind != "Service" else {"matchLabels": found}
            hit = [pods.name for pods in cluster.pods() if selects(selector, pods.labels)]
            if len(hit) != 1:
                yield f"{kind} {name(each)} selects {hit}"
    for pods in cluster.pods():
        if not selects(pods.manifest["spec"]["selector"], pods.labels):
            yield f"{pods.name} does not select its own pods"


@rule
def no_container_can_do_harm(cluster: Cluster) -> Iterator[str]:
    """The restricted pod security standard, and a root file system that nobody writes."""
    for pods in cluster.pods():
        pod = pods.spec.get("securityContext", {})
        if pod.get("runAsNonRoot") is not True or not pod.get("runAsUser"):
            yield f"{pods.name}: may run as root"
        if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pods.name}: no seccomp profile"
        if any(pods.spec.get(word) for word in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{pods.name}: shares the host"
        if any("hostPath" in volume for volume in pods.spec.get("volumes", ())):
            yield f"{pods.name}: mounts the host"
        if pods.spec.get("automountServiceAccountToken") is not False:
            yield f"{pods.name}: carries a token of the cluster"
        for container in pods.containers:
            mine = container.get("securityContext", {})
            if mine.get("readOnlyRootFilesystem") is not True:
                yield f"{pods.name}: may write its root"
            if mine.get("allowPrivilegeEscalation") is not False or mine.get("privileged"):
                yield f"{pods.name}: may gain rights"
            if mine.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{pods.name}: keeps capabilities"
            if {"runAsUser", "runAsNonRoot", "seccompProfile"} & mine.keys():
                yield f"{pods.name}: a container has it otherwise than its pod"


@rule
def images_are_precise(cluster: Cluster) -> Iterator[str]:
    for pods in cluster.pods():
        for container in pods.containers:
            if not PRECISE.fullmatch(container["image"]):
                yield f"{pods.name}: {container['image']} is any version"


@rule
def no_secret_is_in_plain_text(cluster: Cluster) -> Iterator[str]:
    for each in cluster.manifests:
        if each["kind"] == "Secret":
            yield f"Secret {name(each)} is kept in files"
        for text in strings(each):
            if WITH_PASSWORD.search(text) or PRIVATE in text:
                yield f"{each['kind']} {name(each)} holds a secret"
        for key, value in each.get("data", {}).items() if each["kind"] == "ConfigMap" else ():
            if SECRET_NAME.search(key) and value:
                yield f"ConfigMap {name(each)} holds {key}"
    for pods in cluster.pods():
        for variable, entry in pods.said().items():
            if SECRET_NAME.search(variable) and "value" in entry:
                yield f"{pods.name} holds {variable}"
        for volume in pods.spec.get("volumes", ()):
            if volume.get("secret", {"defaultMode": 0o400}).get("defaultMode") != 0o400:
                yield f"{pods.name}: others may read the mounted {volume['name']}"


@rule
def nothing_listens_in_plaintext(cluster: Cluster) -> Iterator[str]:
    for kafka in cluster.kind("Kafka"):
        for listener in kafka["spec"]["kafka"]["listeners"]:
            if listener["tls"] is not True:
                yield f"Kafka {name(kafka)}: {listener['name']} is plaintext"
            if listener.get("authentication", {}).get("type") != "tls":
                yield f"Kafka {name(kafka)}: {listener['name']} lets anybody in"
    for mongo in cluster.kind("MongoDBCommunity"):
        tls = mongo["spec"]["security"].get("tls", {})
        if tls.get("enabled") is not True or tls.get("optional"):
            yield f"MongoDB {name(mongo)} speaks plaintext"
        for user in mongo["spec"]["users"]:
            if "tlsCAFile" not in user.get("additionalConnectionStringConfig", {}):
                yield f"MongoDB {name(mongo)}: {user['name']} does not know the members"
    for pods in cluster.pods():
        bus = pods.said().get("BUS_URL", {}).get("value", "")
        if bus.startswith("kafka:") and not {"tls=yes", "ca=", "certificate=", "key="} <= {
            part if part.startswith("tls") else part.partition("=")[0] + "="
            for part in bus.partition("?")[2].split("&")
        }:
            yield f"{pods.name} speaks plaintext to Kafka"


@rule
def everybody_is_authorized(cluster: Cluster) -> Iterator[str]:
    for kafka in cluster.kind("Kafka"):
        spec = kafka["spec"]["kafka"]
        if spec.get("authorization") != {"type": "simple"}:
            yield f"Kafka {name(kafka)}: no authorization, or somebody stands above it"
        if spec["config"].get("auto.create.topics.enable") is not False:
            yield f"Kafka {name(kafka)}: topics make themselves"
        if spec["config"].get("allow.everyone.if.no.acl.found") is not False:
            yield f"Kafka {name(kafka)}: what nobody is allowed, everybody is"


def writers(cluster: Cluster, topic: str) -> list[str]:
    found = set()
    for user in cluster.kind("KafkaUser"):
        for acl in user["spec"].get("authorization", {"acls": []})["acls"]:
            on = acl["resource"]
            if on["type"] != "topic" or acl.get("type") == "deny":
                continue
            if MAY_WRITE & set(acl["operations"]) and covers(on, topic):
                found.add(name(user))
    return sorted(found)


def covers(resource: dict[str, Any], topic: str) -> bool:
    said: str = resource["name"]
    prefix = resource.get("patternType") == "prefix"
    return said in ("*", topic) or (prefix and topic.startswith(said))


@rule
def a_topic_has_one_writer(cluster: Cluster) -> Iterator[str]:
    for topic in cluster.kind("KafkaTopic"):
        found = writers(cluster, topic["spec"]["topicName"])
        if found != [f"{topic['metadata']['labels'][NAME]}-kafka"]:
            yield f"{topic['spec']['topicName']} is written by {found}"
    for user in cluster.kind("KafkaUser"):
        if user["spec"].get("authentication", {}).get("type") != "tls":
            yield f"{name(user)} shows no certificate"
        for acl in user["spec"].get("authorization", {"acls": []})["acls"]:
            if acl["resource"]["type"] == "cluster":
                yield f"{name(user)} has rights over the whole cluster"


@rule
def topics_keep_everything(cluster: Cluster) -> Iterator[str]:
    """As the code makes a topic itself, on three brokers."""
    for topic in cluster.kind("KafkaTopic"):
        spec = topic["spec"]
        if (spec["partitions"], spec["replicas"]) != (SHARDS, REPLICAS):
            yield f"{name(topic)}: {spec['partitions']} partitions, {spec['replicas']} replicas"
        if spec["config"] != topic_settings(REPLICAS - 1):
            yield f"{name(topic)}: not the settings of the code"


@rule
def nobody_can_change_a_commit(cluster: Cluster) -> Iterator[str]:
    for mongo in cluster.kind("MongoDBCommunity"):
        own = {(role["db"], role["role"]) for role in mongo["spec"]["security"].get("roles", ())}
        for role in mongo["spec"]["security"].get("roles", ()):
            for privilege in role["privileges"]:
                where, actions = privilege["resource"], set(privilege["actions"])
                if where.get("collection") == "commits" and not actions <= APPEND_ONLY:
                    yield f"{role['role']} may change commits"
                if where.get("collection") == "tombstones" and "remove" in actions:
                    yield f"{role['role']} may take a tombstone away"
                if not where.get("collection") or not where.get("db"):
                    yield f"{role['role']} has rights on more than one collection"
            if role.get("roles"):
                yield f"{role['role']} inherits"
        for user in mongo["spec"]["users"]:
            for role in user["roles"]:
                views = role["name"] == "readWrite" and role["db"].endswith("_views")
                if not views and (role["db"], role["name"]) not in own:
                    yield f"{user['name']} is {role['name']} of {role['db']}"


@rule
def one_hand_holds_the_count(cluster: Cluster) -> Iterator[str]:
    for pods in cluster.pods():
        scalers = [
            each
            for each in cluster.kind("HorizontalPodAutoscaler", "ScaledObject")
            if each["spec"]["scaleTargetRef"]["name"] == pods.name
        ]
        if len(scalers) + ("replicas" in pods.manifest["spec"]) != 1:
            yield f"{pods.name}: {len(scalers)} scalers beside its own count"
        part = pods.labels[COMPONENT]
        if pods.embedded:
            spec = pods.manifest["spec"]
            if scalers or spec.get("replicas") != 1 or spec["strategy"]["type"] != "Recreate":
                yield f"{pods.name}: a log on SQLite has one writer"
        elif part == API and not scalers:
            yield f"{pods.name} does not scale"
        for each in scalers:
            spec = each["spec"]
            if spec.get("minReplicas", spec.get("minReplicaCount", 0)) < 2:
                yield f"{pods.name} may be alone"
            if part == PROJECT and spec["maxReplicaCount"] > SHARDS:
                yield f"{pods.name}: more members than partitions"


@rule
def pods_end_in_their_own_time(cluster: Cluster) -> Iterator[str]:
    for pods in cluster.pods():
        for container in pods.spec["containers"]:
            hook = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
            if not (pause := hook.get("seconds", 0)):
                yield f"{pods.name} stops while it is still sent requests"
            least = pause + DRAIN_SECONDS_MAX + CLOSE_SECONDS_MAX
            if pods.spec.get("terminationGracePeriodSeconds", 30) < least:
                yield f"{pods.name} is killed before {least} s"


@rule
def pods_are_spread_and_bounded(cluster: Cluster) -> Iterator[str]:
    for pods in cluster.pods():
        over = {
            each["topologyKey"]
            for each in pods.spec.get("topologySpreadConstraints", ())
            if selects(each["labelSelector"], pods.labels)
        }
        if over != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{pods.name} is spread over {sorted(over)}"
        for container in pods.containers:
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
                yield f"{pods.name} asks for nothing"
            if "memory" not in resources.get("limits", {}):
                yield f"{pods.name} may take all memory"
