"""Lint and render the Helm chart in every shape that it is used in, and hold what comes out against Kubernetes' own
schemas. Runs in the environment of requirements/deploy.txt, which holds Helm's engine; no cluster is needed.

    .venv-deploy/bin/python tests/deploy/chart.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "antiphon"
KUBERNETES = ("1.27", "1.31")
"""The oldest that Chart.yaml allows, and a recent one."""
RELEASES = ("talk", "antiphon")
"""The second is also the Service's name, which is the beginning of our settings' names."""

STORE = "valkey://valkey:6379/0"
KEYS = {"values": {"OPENAI_API_KEY": "not-a-key", "ANTIPHON_PASSWORD": "something long"}}
WATCHED = {"values": {**KEYS["values"], "ANTIPHON_OPERATOR_TOKEN": "long enough for a token"}}
LIMIT = "nginx.ingress.kubernetes.io/limit-connections"
VERSION = "app.kubernetes.io/version"
SHAPES: dict[str, dict[str, Any]] = {
    "as it comes": {"secrets": KEYS},
    "replicas": {"replicas": 3, "store": STORE, "secrets": KEYS},
    "autoscaled": {
        "store": STORE,
        "secrets": WATCHED,
        "autoscaling": {"enabled": True},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    },
    "in place of ours": {
        "secrets": KEYS,
        "settings": {
            "ANTIPHON_LOG_FORMAT": "text",
            "ANTIPHON_BYTES_PER_S": 1_000_000.0,
            "ANTIPHON_BANTER": 0.5,
        },
        "ingress": {"annotations": {LIMIT: 200}},
        "podLabels": {VERSION: "mine"},
        "podAnnotations": {"checksum/settings": "mine"},
    },
    "a store elsewhere": {
        "secrets": KEYS,
        "store": "rediss://:secret@store.example.org:6380/0",
        "networkPolicy": {"egressPorts": []},
    },
    "a ledger on disk": {"secrets": KEYS, "persistence": {"enabled": True, "storageClass": "fast"}},
    "embedded models": {"secrets": KEYS, "models": {"claim": "models"}, "image": {"tag": "0.1.0-local"}},
    "bare": {
        "ingress": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False},
        "secrets": {"existing": "keys"},
    },
}
HOLDS: dict[str, dict[str, Callable[[dict[str, Any]], bool]]] = {
    "autoscaled": {
        "Prometheus finds its label": lambda of: (
            of["ServiceMonitor"]["metadata"]["labels"]["release"] == "prometheus"
        ),
    },
    "in place of ours": {
        "a setting": lambda of: of["ConfigMap"]["data"]["ANTIPHON_LOG_FORMAT"] == "text",
        "a million, written out": lambda of: of["ConfigMap"]["data"]["ANTIPHON_BYTES_PER_S"] == "1000000",
        "a half": lambda of: of["ConfigMap"]["data"]["ANTIPHON_BANTER"] == "0.5",
        "the ingress' annotation": lambda of: of["Ingress"]["metadata"]["annotations"][LIMIT] == "200",
        "the pods' label": lambda of: pods(of)["labels"][VERSION] == "mine",
        "the pods' annotation": lambda of: pods(of)["annotations"]["checksum/settings"] == "mine",
    },
    "a store elsewhere": {"DNS and its port, no other": lambda of: ports_outside(of) == [53, 53, 6380]},
    "replicas": {"the store's usual port": lambda of: ports_outside(of) == [53, 53, 443, 6379]},
}
"""What comes of a shape's own values, by the objects' kinds."""
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nobody could get in": ({}, "callers get in by a password, and there is none"),
    "an empty password": (
        {"secrets": {"values": {"ANTIPHON_PASSWORD": ""}}},
        "callers get in by a password, and there is none",
    ),
    "autoscaling without metrics": (
        {"store": STORE, "secrets": KEYS, "autoscaling": {"enabled": True}},
        "metrics are for those who have the operator token, and there is none",
    ),
    "a monitor that is let in nowhere": (
        {"secrets": KEYS, "serviceMonitor": {"enabled": True}},
        "metrics are for those who have the operator token, and there is none",
    ),
    "more at least than at most": (
        {
            "store": STORE,
            "secrets": WATCHED,
            "autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2},
        },
        "autoscaling.minReplicas is more than autoscaling.maxReplicas",
    ),
    "a store among the settings": (
        {"secrets": KEYS, "settings": {"ANTIPHON_STORE": STORE}},
        "give it as `store`",
    ),
    "a list for a setting": (
        {"secrets": KEYS, "settings": {"ANTIPHON_LLM": ["openai", "local"]}},
        "ANTIPHON_LLM",
    ),
    "a number for a secret": ({"secrets": {"values": {"ANTIPHON_PASSWORD": 12345678}}}, "ANTIPHON_PASSWORD"),
    "a misspelt value": ({"replcas": 2, "secrets": KEYS}, "replcas"),
    "a misspelt value inside": ({"autoscaling": {"enabld": True}, "secrets": KEYS}, "enabld"),
    "replicas without a store": ({"replicas": 2, "secrets": KEYS}, "several replicas need `store`"),
    "a store that is none": ({"store": "localhost"}, "store"),
    "a disk for several": (
        {"replicas": 2, "store": STORE, "secrets": KEYS, "persistence": {"enabled": True}},
        "persistence is for one replica",
    ),
}
UNKNOWN_KINDS = {"ServiceMonitor"}
"""Not Kubernetes' own: no schema here."""


class EachNameOnce(yaml.SafeLoader):
    """Of two values with the same name PyYAML takes the last, other readers the first or neither."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(name, deep=deep) for name, _ in node.value]
        if twice := {name for name in names if names.count(name) > 1}:
            raise yaml.constructor.ConstructorError(problem=f"twice: {twice}", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def main() -> int:
    """The number of faults found, each told on a line."""
    faults = lint()
    chart = helm_python.Chart.load(CHART)
    for shape, values in SHAPES.items():
        for release in RELEASES:
            documents = rendered(chart, values, release)
            faults += [f"{shape} ({release}): {fault}" for fault in schema_faults(documents)]
            faults += [f"{shape} ({release}): {fault}" for fault in promises_broken(documents)]
            of = {document["kind"]: document for document in documents}
            faults += [
                f"{shape} ({release}): not so: {what}"
                for what, holds in HOLDS.get(shape, {}).items()
                if not holds(of)
            ]
        kinds = ", ".join(sorted(document["kind"] for document in documents))
        print(f"{shape}: {kinds}")
    for shape, (values, words) in REFUSED.items():
        try:
            chart.validate_schema(chart.merge_values(values))
            rendered(chart, values, RELEASES[0])
        except helm_python.HelmError as error:
            if words not in str(error):
                faults.append(f"{shape}: refused, but not for its reason: {error}")
        else:
            faults.append(f"{shape}: should have been refused")
    for fault in faults:
        print(f"FAULT {fault}")
    return len(faults)


def lint() -> list[str]:
    """What ``helm lint --strict`` says, notes aside."""
    report = helm_python.lint(CHART, strict=True)
    return [str(message["error"]) for message in report["messages"] if message["severity"] > 1]


def rendered(chart: helm_python.Chart, values: dict[str, Any], release: str) -> list[dict[str, Any]]:
    """The chart's objects with these values."""
    texts = chart.render(values, name=release, namespace="voice")
    documents = []
    for path, text in sorted(texts.items()):
        if path.endswith((".yaml", ".yml")):
            documents += [document for document in yaml.load_all(text, EachNameOnce) if document]
    return documents


def pods(of: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a deployment's pods."""
    return of["Deployment"]["spec"]["template"]["metadata"]


def ports_outside(of: dict[str, Any]) -> list[int]:
    """Those that the pods may reach."""
    return [port["port"] for rule in of["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]]


def schema_faults(documents: list[dict[str, Any]]) -> list[str]:
    """Where an object is not what Kubernetes takes."""
    faults = []
    for document in documents:
        if document["kind"] in UNKNOWN_KINDS:
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                faults.append(f"{document['kind']} (Kubernetes {version}): {error.message}")
    return faults


def promises_broken(documents: list[dict[str, Any]]) -> list[str]:
    """What the documents promise of every shape: confined pods, time to drain, selectors that meet their pods."""
    [deployment] = [document for document in documents if document["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    security = container["securityContext"]
    drain = next(
        float(each["value"]) for each in container["env"] if each["name"] == "ANTIPHON_DRAIN_GRACE_S"
    )
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        document["spec"].get("selector") for document in documents if document["kind"] == "Service"
    ] + [deployment["spec"]["selector"]["matchLabels"]]
    promises = {
        "the root is read-only": security["readOnlyRootFilesystem"],
        "no capabilities": security["capabilities"] == {"drop": ["ALL"]},
        "no way to more rights": security["allowPrivilegeEscalation"] is False,
        "not root": pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001,
        "time to drain": pod["terminationGracePeriodSeconds"] > drain + 5,
        "selectors meet their pods": all(selector.items() <= labels.items() for selector in selectors),
        "no Service's address among the settings": pod.get("enableServiceLinks") is False,
        "no token of the cluster": pod["automountServiceAccountToken"] is False,
        "a disk is one pod's": deployment["spec"]["strategy"]["type"] == "Recreate"
        or not any("persistentVolumeClaim" in each and each["name"] == "data" for each in pod["volumes"]),
    }
    return [f"not so: {promise}" for promise, kept in promises.items() if not kept]


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
