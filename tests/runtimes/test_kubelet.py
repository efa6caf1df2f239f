# SPDX-License-Identifier: Apache-2.0
"""The kubelet's request and its refusals, in its own words."""

from __future__ import annotations

import pytest

from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import PodSpec, the_pod
from caplet.runtimes import kubelet
from caplet.runtimes.model import Refused, SecurityContext, Version

WHERE = '(pod: "web_default()", container: http)'


def pod(own: str = "{}", whole: str = "{}", more: str = "") -> PodSpec:
    text = (
        f"kind: Pod\nmetadata: {{name: web}}\nspec:\n  {more}\n  securityContext: {whole}\n"
        f"  containers:\n  - name: http\n    securityContext: {own}\n"
    )
    return the_pod(documents(text, "x"), "x")


def request(
    own: str = "{}", whole: str = "{}", image_user: str = "", more: str = ""
) -> SecurityContext | Refused:
    found = pod(own, whole, more)
    return kubelet.security_context(found, found.containers[0], image_user)


def granted(own: str = "{}", whole: str = "{}", image_user: str = "") -> SecurityContext:
    found = request(own, whole, image_user)
    assert isinstance(found, SecurityContext)
    return found


@pytest.mark.parametrize(
    ("own", "whole", "image_user", "message"),
    [
        ("{runAsNonRoot: true, runAsUser: 0}", "{}", "", f"container's runAsUser breaks non-root policy {WHERE}"),
        ("{runAsNonRoot: true}", "{runAsUser: 0}", "7", f"container's runAsUser breaks non-root policy {WHERE}"),
        ("{}", "{runAsNonRoot: true}", "", f"container has runAsNonRoot and image will run as root {WHERE}"),
        ("{runAsNonRoot: true}", "{}", "0:0", f"container has runAsNonRoot and image will run as root {WHERE}"),
        ("{runAsNonRoot: true}", "{}", "root", f"container has runAsNonRoot and image has non-numeric user (root), cannot verify user is non-root {WHERE}"),
        ("{runAsNonRoot: true}", "{}", "nonroot:5", f"container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root {WHERE}"),
    ],
)  # fmt: skip
def test_run_as_non_root_refuses(own: str, whole: str, image_user: str, message: str) -> None:
    assert request(own, whole, image_user) == Refused("kubelet", message)


@pytest.mark.parametrize(
    ("own", "whole", "image_user"),
    [
        ("{runAsNonRoot: false}", "{runAsNonRoot: true}", ""),
        ("{runAsNonRoot: true, runAsUser: 7}", "{runAsUser: 0}", "root"),
        ("{runAsNonRoot: true}", "{}", "1000:staff"),
    ],
)
def test_run_as_non_root_lets_pass(own: str, whole: str, image_user: str) -> None:
    assert isinstance(request(own, whole, image_user), SecurityContext)


@pytest.mark.parametrize(
    ("own", "whole", "image_user", "uid", "username"),
    [
        ("{runAsUser: 1}", "{runAsUser: 2}", "3", 1, ""),
        ("{}", "{runAsUser: 2}", "3", 2, ""),
        ("{}", "{}", "3:4", 3, ""),
        ("{}", "{}", "app:4", None, "app"),
        ("{}", "{}", "", 0, ""),
    ],
)
def test_who_it_is(own: str, whole: str, image_user: str, uid: int | None, username: str) -> None:
    found = granted(own, whole, image_user)
    assert (found.run_as_user, found.run_as_username) == (uid, username)


@pytest.mark.parametrize(("value", "no_new_privs"), [("{}", False), ("{allowPrivilegeEscalation: true}", False), ("{allowPrivilegeEscalation: false}", True)])  # fmt: skip
def test_no_new_privs_only_where_escalation_is_forbidden(value: str, no_new_privs: bool) -> None:
    assert granted(value).no_new_privs is no_new_privs


def test_groups_and_capabilities_go_on_as_they_are() -> None:
    found = granted(
        "{capabilities: {add: [cap_net_raw, Chown], drop: [all]}}", "{fsGroup: 9, supplementalGroups: [3, 2]}"
    )
    assert found.supplemental_groups == (9, 3, 2)
    assert (found.add_capabilities, found.drop_capabilities) == (("cap_net_raw", "Chown"), ("all",))


@pytest.mark.parametrize(
    ("sysctl", "more", "message"),
    [
        ("kernel.sem", "", 'SysctlForbidden: forbidden sysctl: "kernel.sem" not allowlisted'),
        ("net.ipv4.ip_unprivileged_port_start", "hostNetwork: true", 'SysctlForbidden: forbidden sysctl: "net.ipv4.ip_unprivileged_port_start" not allowed with host net enabled'),
    ],
)  # fmt: skip
def test_sysctls_that_are_not_safe_are_forbidden(sysctl: str, more: str, message: str) -> None:
    found = request(whole=f"{{sysctls: [{{name: {sysctl}, value: '1'}}]}}", more=more)
    assert found == Refused("kubelet", message)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $(A", "$A ${A} $(A"),
        ("$", "$"),
        ("$()", "$()"),
        ("a$$", "a$"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    """The cases are those of third_party/forked/golang/expansion/expand_test.go."""
    assert kubelet.expand(text, {"A": "1"}) == expanded


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("kernel.shm_rmid_forced", "1.19"),
        ("net.ipv4.ip_unprivileged_port_start", "1.22"),
        ("net.ipv4.ip_local_reserved_ports", "1.27"),
        ("net.ipv4.tcp_keepalive_time", "1.29"),
        ("net.ipv4.tcp_rmem", "1.32"),
    ],
)
def test_sysctls_became_safe_one_after_the_other(name: str, since: str) -> None:
    asked = pod(whole=f"{{sysctls: [{{name: {name}, value: '1'}}]}}")
    first = Version.parse(since)
    for version in kubelet.RELEASES:
        found = kubelet.security_context(asked, asked.containers[0], "", version)
        assert isinstance(found, SecurityContext) is (version >= first)


def test_a_pod_for_windows_does_not_run_here() -> None:
    message = "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS"
    assert request(more="os: {name: windows}") == Refused("kubelet", message)


@pytest.mark.parametrize(
    ("own", "whole", "seccomp"),
    [
        ("{}", "{}", "Unconfined"),
        ("{}", "{seccompProfile: {type: RuntimeDefault}}", "RuntimeDefault"),
        ("{seccompProfile: {type: Unconfined}}", "{seccompProfile: {type: RuntimeDefault}}", "Unconfined"),
        ("{seccompProfile: {type: Localhost, localhostProfile: a.json}}", "{}", "Localhost"),
    ],
)
def test_the_containers_seccomp_profile_wins(own: str, whole: str, seccomp: str) -> None:
    assert granted(own, whole).seccomp == seccomp


@pytest.mark.parametrize(("version", "unmasked"), [("1.32", False), ("1.33", True)])
def test_proc_mount_by_release(version: str, unmasked: bool) -> None:
    asked = pod("{procMount: Unmasked}", more="hostUsers: false")
    found = kubelet.security_context(asked, asked.containers[0], "", Version.parse(version))
    assert isinstance(found, SecurityContext)
    assert (found.masked_paths == ()) is unmasked
    assert found.user_ns is unmasked
