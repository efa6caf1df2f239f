# SPDX-License-Identifier: Apache-2.0
"""Where Pods are: in lists of lists, in kinds of others, and in none that only looks like a workload."""

from __future__ import annotations

import pytest

from caplet.errors import InvalidInput
from caplet.kubernetes.document import documents, dotted
from caplet.kubernetes.pod import PodSpec, pods

SPEC = "{containers: [{name: a}]}"


def found(text: str) -> list[PodSpec]:
    return pods(documents(text, "x"))


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (f"apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nspec: {{template: {{spec: {SPEC}}}}}", ["spec.template.spec"]),
        (f"apiVersion: apps.kruise.io/v1alpha1\nkind: CloneSet\nspec: {{template: {{spec: {SPEC}}}}}", ["spec.template.spec"]),
        ("apiVersion: serving.knative.dev/v1\nkind: Service\nspec: {template: {spec: {containerConcurrency: 1, containers: [{image: a}]}}}", ["spec.template.spec"]),
        ("apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: {predictor: {minReplicas: 1, containers: [{name: a}]}, transformer: {pytorch: {}}}", ["spec.predictor"]),
        (f"apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec: {{tasks: [{{template: {{spec: {SPEC}}}}}, {{template: {{spec: {SPEC}}}}}]}}", ["spec.tasks[0].template.spec", "spec.tasks[1].template.spec"]),
        (f"apiVersion: ray.io/v1\nkind: RayCluster\nspec: {{headGroupSpec: {{template: {{spec: {SPEC}}}}}, workerGroupSpecs: [{{template: {{spec: {SPEC}}}}}]}}", ["spec.headGroupSpec.template.spec", "spec.workerGroupSpecs[0].template.spec"]),
        (f"apiVersion: extensions/v1beta1\nkind: Deployment\nspec: {{rollbackTo: {{}}, template: {{spec: {SPEC}}}}}", ["spec.template.spec"]),
        (f"apiVersion: keda.sh/v1alpha1\nkind: ScaledJob\nspec: {{jobTargetRef: {{template: {{spec: {SPEC}}}}}}}", ["spec.jobTargetRef.template.spec"]),
        ("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {versions: [{schema: {properties: {spec: {containers: {type: array}}}}}]}", []),
        ("apiVersion: v1\nkind: ConfigMap\ndata: {spec: {containers: []}}", []),
        ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]", []),
        (f"apiVersion: v1\nkind: PodList\nitems:\n- spec: {SPEC}\n- spec: {SPEC}", ["items[0].spec", "items[1].spec"]),
        (f"kind: List\nitems:\n- kind: List\n  items:\n  - {{kind: Pod, spec: {SPEC}}}\n- {{kind: Pod, spec: {SPEC}}}", ["items[0].items[0].spec", "items[1].spec"]),
        ("kind: List\nitems: []", []),
    ],
)  # fmt: skip
def test_where_pods_are(text: str, paths: list[str]) -> None:
    assert [dotted(pod.path) for pod in found(text)] == paths


def test_a_kind_of_others_is_checked_below_its_template_only() -> None:
    text = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nspec:\n  anything: 1\n  template:\n    spec:\n      hostNetwrk: 1\n      containers: [{name: a}]\n"
    with pytest.raises(InvalidInput, match=r'x:7: .*unknown field "spec\.template\.spec\.hostNetwrk"'):
        found(text)


def test_lists_of_lists_are_bounded_by_the_depth_of_the_text() -> None:
    depth = 300
    text = "{kind: List, items: [" * depth + f"{{kind: Pod, spec: {SPEC}}}" + "]}" * depth
    assert len(found(text)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: List\nitems:\n- 3\n- {kind: Pod}", "x:3: items[0]: not a Kubernetes object (and 1 more)"),
        ("kind: List\nitems:\n- {spec: {}}", "x:3: items[0]: the object has no kind"),
        ("kind: [Pod]", "x:1: the object has no kind"),
        ("kind: CronJob\nspec: {jobTemplate: {spec: {}}}", "this CronJob has no spec.jobTemplate.spec.template.spec"),
        ("kind: Pod\nspec: null", "this Pod has no spec"),
    ],
)  # fmt: skip
def test_what_is_no_object(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        found(text)
    assert message in caught.value.message
