# SPDX-License-Identifier: Apache-2.0
"""All causes, in the order of their codes; and those of one container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes import (
    add_all_drop_all,
    added_and_dropped,
    added_cap_inert,
    attribute_clears_ambient,
    bad_cap_name,
    cap_in_userns_only,
    cap_on_script,
    cap_on_wrapper_only,
    default_set_differs,
    engine_lacks_cap,
    escalation_contradiction,
    exec_eperm_bounding,
    fcaps_lost_in_build,
    fcaps_lost_on_node,
    foreign_rootid,
    image_cap_diff,
    inheritable_only_file,
    low_port_not_allowed,
    malformed_xattr,
    memlock_hint,
    needless_added_cap,
    needless_privilege_escalation,
    nosuid_mount,
    permitted_only_file,
    platform_forbids,
    port_of_another_network,
    privileged_nonroot,
    runtime_drops_permitted,
    seccomp_gate,
    secure_exec,
    setcap_at_runtime,
    setcap_fails_in_build,
    setuid_under_nnp,
    sysctl_not_allowed,
    user_not_in_image,
    user_not_numeric,
    user_switch_drops_caps,
    userns_chown_strips,
    userns_refused,
    wrapper_drops_caps,
    wrapper_not_permitted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.causes.cause import Cause, Found
    from caplet.explain.explanation import Explanation

CAUSES: tuple[Cause, ...] = (
    added_cap_inert.CAUSE,
    exec_eperm_bounding.CAUSE,
    wrapper_drops_caps.CAUSE,
    runtime_drops_permitted.CAUSE,
    setcap_at_runtime.CAUSE,
    fcaps_lost_on_node.CAUSE,
    fcaps_lost_in_build.CAUSE,
    secure_exec.CAUSE,
    malformed_xattr.CAUSE,
    default_set_differs.CAUSE,
    privileged_nonroot.CAUSE,
    bad_cap_name.CAUSE,
    cap_on_script.CAUSE,
    nosuid_mount.CAUSE,
    foreign_rootid.CAUSE,
    attribute_clears_ambient.CAUSE,
    permitted_only_file.CAUSE,
    added_and_dropped.CAUSE,
    add_all_drop_all.CAUSE,
    user_not_numeric.CAUSE,
    setuid_under_nnp.CAUSE,
    platform_forbids.CAUSE,
    escalation_contradiction.CAUSE,
    sysctl_not_allowed.CAUSE,
    user_not_in_image.CAUSE,
    user_switch_drops_caps.CAUSE,
    wrapper_not_permitted.CAUSE,
    userns_chown_strips.CAUSE,
    inheritable_only_file.CAUSE,
    needless_privilege_escalation.CAUSE,
    cap_on_wrapper_only.CAUSE,
    engine_lacks_cap.CAUSE,
    needless_added_cap.CAUSE,
    low_port_not_allowed.CAUSE,
    setcap_fails_in_build.CAUSE,
    port_of_another_network.CAUSE,
    cap_in_userns_only.CAUSE,
    userns_refused.CAUSE,
    memlock_hint.CAUSE,
    seccomp_gate.CAUSE,
    image_cap_diff.CAUSE,
)


def causes_of(explanation: Explanation) -> tuple[Found, ...]:
    """Every cause that the container has, those that break it first."""
    found = [one for cause in CAUSES for one in cause.find(explanation)]
    return tuple(sorted(found, key=lambda one: (one.weight != "breaks", one.cause.code)))


def named(text: str) -> Cause | None:
    """By code or name, in any case; the code's number is enough."""
    word = text.strip().lower()
    return next((cause for cause in CAUSES if word in (cause.code.lower(), cause.code[3:], cause.name)), None)


def names() -> Iterable[str]:
    """What `named` takes, for completion and for the nearest one."""
    return (word for cause in CAUSES for word in (cause.code, cause.name))
