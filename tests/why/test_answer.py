# SPDX-License-Identifier: Apache-2.0
"""answer(): the text names candidates, Pod and image choose among them, and what would decide is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.causes.containers import image, the_container
from tests.explain.memory import image as memory_image
from tests.explain.memory import web
from tests.stories import STORIES, Story, World
from tests.why.containers import Explained, codes, containers

from caplet.causes.catalogue import CAUSES
from caplet.causes.cause import only_the_node_tells
from caplet.runtimes.node import nodes
from caplet.why.answer import answer
from caplet.why.candidate import Candidate, candidates_of
from caplet.why.clue import Clue, clues_of
from caplet.why.imagealone import said_by
from caplet.why.wording import DECIDING, SHARED, WHERE, Worth

if TYPE_CHECKING:
    from collections.abc import Iterable


CADDY = "exec /usr/bin/caddy: operation not permitted"
BIND = "listen tcp :80: bind: permission denied"
NBS = "elf cap_net_bind_service=ep"
DROPPED = "runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}"
ADDED = (
    "runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
)


def likely(line: str) -> list[str]:
    found = answer(clues_of(line)).open
    return [one.cause.code for one in found if one.worth is not Worth.POSSIBLE]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (CADDY, ["CAP102", "CAP110"]),
        ('exec user process caused "operation not permitted"', ["CAP102", "CAP110"]),
        ("exec container process `/usr/bin/caddy`: Operation not permitted", ["CAP102", "CAP110"]),
        ("/entrypoint.sh: line 12: /usr/bin/caddy: Operation not permitted", ["CAP102", "CAP110"]),
        ("[dumb-init] /nginx-ingress-controller: Operation not permitted", ["CAP102", "CAP110"]),
        ("[FATAL tini (7)] exec /app failed: Operation not permitted", ["CAP102", "CAP110"]),
        (BIND, ["CAP101", "CAP134", "CAP103", "CAP106", "CAP104"]),
        (
            "bind() to 0.0.0.0:80 failed (13: Permission denied)",
            ["CAP101", "CAP134", "CAP103", "CAP106", "CAP104"],
        ),
        ("java: error while loading shared libraries: libjli.so: cannot open", ["CAP108"]),
        ("Error loading shared library libjli.so: No such file or directory", ["CAP108"]),
        ("Failed to set capabilities on file `/bin/app' (Operation not supported)", ["CAP135"]),
        ("Failed to set capabilities on file `/bin/app' (Not supported)", ["CAP135"]),
        ("Failed to set capabilities on file `/bin/app' (Invalid argument)", ["CAP135"]),
        ("sudo: effective uid is not 0, is sudo installed setuid root?", ["CAP121"]),
        ("unable to gain root privileges", ["CAP121"]),
        ("ibv_reg_mr failed: Cannot allocate memory", ["CAP101"]),
        ("mlockall: Cannot allocate memory", ["CAP101"]),
        ("io_uring_queue_init: Cannot allocate memory", ["CAP101"]),
        ("Port 80 is already in use", ["CAP101"]),
    ],
)
def test_a_line_alone_names_what_is_likely_in_that_order(line: str, expected: list[str]) -> None:
    """CAP110 is CAP102 on an engine whose default set is smaller; CAP134 is CAP101 without the `add`."""
    assert likely(line) == expected


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("unable to set CAP_SETFCAP effective capability: Operation not permitted", "CAP105"),
        ('unknown capability "CAP_CAP_NET_RAW"', "CAP112"),
        (
            'Error response from daemon: invalid CapAdd: unknown capability: "CAP_NET_BIND_SERVICES"',
            "CAP112",
        ),
        ("ignoring unknown or unavailable capabilities: [CAP_CAP_NET_RAW]", "CAP112"),
        ('invalid CapAdd: unknown capability: "CAP_BPF"', "CAP132"),
        (
            "container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root",
            "CAP120",
        ),
        (
            'Error: container has runAsNonRoot and image will run as root (pod: "web(1)", container: web)',
            "CAP120",
        ),
        ('sudo: The "no new privileges" flag is set, which prevents sudo from running as root.', "CAP121"),
        ("[denied by autogke-default-linux-capabilities]", "CAP122"),
        ('violates PodSecurity "restricted:latest": unrestricted capabilities', "CAP122"),
        ('error: failed switching to "redis": operation not permitted', "CAP127"),
        ("unable to find user app: no matching entries in passwd file", "CAP125"),
        ("can't set `spec.hostUsers: false`, runtime does not support user namespaces", "CAP138"),
        ("adding all caps and removing all caps not allowed", "CAP119"),
    ],
)
def test_some_texts_decide_alone(line: str, code: str) -> None:
    found = answer(clues_of(line))
    assert codes(found) == [code]
    assert (found.needs, found.open) == ((), ())
    assert found.answered[0].explanation is None


@pytest.mark.parametrize(
    "line",
    [
        "ignoring unknown or unavailable capabilities: [CAP_NET_ADMIN]",
        CADDY,
        BIND,
        "exec user process caused: invalid argument",
    ],
)
def test_others_do_not_decide_alone(line: str) -> None:
    found = answer(clues_of(line))
    assert codes(found) == []
    assert found.needs == (
        "the Pod: -f pod.yaml, or live: caplet why pod/NAME",
        "its image: --image oci:DIR",
    )


def test_hints_are_no_candidates() -> None:
    found = answer(clues_of(CADDY))
    assert "CAP150" not in [one.cause.code for one in found.open]
    assert [one.code for one in found.hints] == ["CAP150"]


@pytest.mark.parametrize("port", [1024, 8080, 65535])
def test_a_port_that_is_free_to_all_is_no_matter_of_capabilities(port: int) -> None:
    assert candidates_of([Clue(f"listen tcp :{port}: bind: permission denied")]) == ()


def world(story: World) -> Explained:
    config = {"Entrypoint": list(story.argv), "User": story.user, "Env": list(story.env)}
    spec, container = the_container(story.pod)
    return Explained(
        spec, container, image(story.files, config, story.history), nodes(story.on)[0], story.then
    )


TOLD = [one for one in STORIES if one.saw and one.codes]


@pytest.mark.parametrize("story", TOLD, ids=lambda story: f"{story.row} {story.source}")
def test_pod_and_image_choose_the_cause_of_a_story(story: Story) -> None:
    """What its author saw is answered by its cause and nothing else; other candidates are ruled out."""
    found = answer(clues_of(story.saw), [world(story.world)])
    answered = {one.cause.code for one in found.answered if one.cause.weight == "breaks"}
    assert answered == story.codes
    assert found.needs == ()
    assert {cause.code for cause in found.refuted}.isdisjoint(story.codes)


@pytest.mark.parametrize("story", TOLD, ids=lambda story: f"{story.row} {story.source}")
def test_the_other_causes_of_a_story_are_ruled_out(story: Story) -> None:
    found = answer(clues_of(story.saw), [world(story.world)])
    if any(one.open_questions for one in found.explanations):
        return
    left = {one.cause for one in found.candidates} - set(found.refuted)
    assert {one.code for one in left if one.find is not only_the_node_tells} <= story.codes | story.hints


def test_where_pod_and_image_are_right_the_node_is_left() -> None:
    """Number 13: attributes lost on the node."""
    (story,) = (one for one in STORIES if one.row == "13")
    found = answer(clues_of(story.saw), [world(story.world)])
    assert codes(found) == []
    assert "CAP106" in [one.cause.code for one in found.open]
    assert {"CAP101", "CAP103", "CAP134"} <= {one.code for one in found.refuted}
    assert any(need.startswith("the node:") for need in found.needs)


def test_the_pod_without_its_image_asks_for_the_image() -> None:
    found = answer(clues_of(CADDY), containers(web(DROPPED), None))
    assert codes(found) == []
    assert found.needs == ("the image of container http: --image http=oci:DIR",)


def test_a_text_that_decides_needs_no_image() -> None:
    line = "unable to set CAP_SETFCAP effective capability: Operation not permitted"
    found = answer(clues_of(line), containers(web(DROPPED), None))
    assert codes(found) == ["CAP105"]
    assert "differs from them" not in found.answered[0].message


def test_a_text_that_decides_wins_over_a_manifest_that_differs() -> None:
    line = "container has runAsNonRoot and image will run as root"
    facts = memory_image({"/app": "elf"}, Entrypoint=["/app"])
    found = answer(clues_of(line), containers(web("runAsUser: 1000"), facts))
    assert codes(found) == ["CAP120"]
    assert "differs from them" in found.answered[0].message


def test_a_program_that_the_entrypoint_does_not_show_is_followed() -> None:
    """The clue names it; the script does not say what it executes."""
    facts = memory_image(
        {"/entry.sh": '#!/bin/sh\nexec "$@"\n', "/usr/bin/caddy": NBS}, Entrypoint=["/entry.sh"]
    )
    found = answer(
        clues_of("/entry.sh: line 2: /usr/bin/caddy: Operation not permitted"),
        containers(web(DROPPED), facts),
    )
    assert codes(found) == ["CAP102"]


def test_a_port_that_the_manifest_does_not_name_is_the_clues() -> None:
    facts = memory_image({"/app": "elf"}, Entrypoint=["/app"])
    found = answer(clues_of(BIND), containers(web(DROPPED, ports="[]"), facts))
    assert codes(found) == ["CAP134"]


def test_a_cause_about_another_capability_does_not_answer() -> None:
    """NET_ADMIN is inert here, and has nothing to do with the port."""
    facts = memory_image({"/app": "elf"}, Entrypoint=["/app"])
    security = "runAsUser: 1000, capabilities: {drop: [ALL], add: [NET_ADMIN]}"
    found = answer(clues_of(BIND), containers(web(security), facts))
    assert codes(found) == ["CAP134"]
    assert "CAP101" in [one.cause.code for one in found.decided]


TWO = """\
apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  containers:
  - {name: good, image: x, securityContext: {runAsUser: 0}}
  - {name: bad, image: x, securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}}
"""


@pytest.mark.parametrize(("whose", "expected"), [("", ["bad"]), ("bad", ["bad"]), ("good", [])])
def test_of_several_containers_the_clues_own(whose: str, expected: list[str]) -> None:
    facts = memory_image({"/usr/bin/caddy": NBS}, Entrypoint=["/usr/bin/caddy"])
    found = answer([Clue(CADDY, "", whose)], containers(TWO, facts))
    assert [one.container for one in found.answered] == expected


def names(causes: Iterable[object]) -> set[str]:
    return {cause.code for cause in causes}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("said", "fact", "out"),
    [
        pytest.param(NBS, "carries cap_net_bind_service=ep: it fails with EPERM wherever", set(), id="ep"),
        pytest.param(
            "elf cap_net_bind_service=p", "starts under any bounding set", {"CAP102", "CAP110"}, id="p"
        ),
        pytest.param("elf", "carries no file capability", {"CAP102", "CAP110"}, id="none"),
    ],
)
def test_the_image_alone_is_half_an_answer(said: str, fact: str, out: set[str]) -> None:
    facts = memory_image({"/usr/bin/caddy": said}, Entrypoint=["/usr/bin/caddy"])
    found = answer(clues_of(CADDY), (), facts)
    assert fact in found.facts[0]
    assert found.facts[0].startswith("/usr/bin/caddy")
    assert names(found.refuted) == out
    assert found.needs == ("the Pod: -f pod.yaml, or live: caplet why pod/NAME",)


@pytest.mark.parametrize(
    "line",
    [
        "exec /usr/bin/ping: operation not permitted",
        'exec: "/usr/bin/ping": operation not permitted',
        "sh: 1: ping: Operation not permitted",
    ],
)
def test_a_program_called_ping_that_does_not_start_says_nothing_itself(line: str) -> None:
    assert likely(line) == ["CAP102", "CAP110"]


@pytest.mark.parametrize(
    "line", ["ping: socket: Operation not permitted", "ping: permission denied (are you root?)"]
)
def test_what_ping_itself_says(line: str) -> None:
    assert likely(line)[:2] == ["CAP101", "CAP106"]


@pytest.mark.parametrize(
    ("said", "out"),
    [
        ("elf cap_net_raw=ep", {"CAP101", "CAP107", "CAP109", "CAP129"}),
        ("elf cap_net_raw=i", {"CAP109"}),
        ("elf", {"CAP103", "CAP109", "CAP129"}),
    ],
)
def test_the_file_rules_out_what_it_contradicts(said: str, out: set[str]) -> None:
    facts = memory_image({"/usr/bin/ping": said})
    candidates = [
        Candidate(KNOWN[code], Clue("x"), Worth.LIKELY, program="/usr/bin/ping")
        for code in ("CAP101", "CAP103", "CAP107", "CAP109", "CAP129")
    ]
    assert names(said_by(facts, ["/usr/bin/ping"], candidates)[1]) == out


def test_the_image_alone_finds_a_name_on_its_path() -> None:
    facts = memory_image({"/usr/bin/caddy": NBS}, Env=["PATH=/usr/bin"])
    found = answer(clues_of("[Errno 1] Operation not permitted: 'caddy'"), (), facts)
    assert found.facts[0].startswith("caddy (/usr/bin/caddy) carries cap_net_bind_service=ep")


def test_an_image_without_the_program_rules_nothing_out() -> None:
    found = answer(clues_of(CADDY), (), memory_image({"/app": "elf"}))
    assert found.facts == ("/usr/bin/caddy: the image has no such program",)
    assert found.refuted == ()


def test_where_no_program_is_named_the_images_own_is_looked_at() -> None:
    facts = memory_image({"/app": NBS}, Entrypoint=["/app"])
    found = answer(clues_of("exec user process caused: operation not permitted"), (), facts)
    assert found.facts[0].startswith("/app carries cap_net_bind_service=ep")


def test_a_line_that_nobody_knows() -> None:
    found = answer(clues_of("hello"))
    assert (found.candidates, found.decided) == ((), ())
    assert found.needs == ("a line of the log or of `kubectl describe pod` that says what failed",)


def test_without_a_clue_the_pods_causes_are_told() -> None:
    facts = memory_image({"/usr/bin/caddy": NBS}, Entrypoint=["/usr/bin/caddy"])
    found = answer((), containers(web(DROPPED), facts))
    assert [one.cause.code for one in found.decided] == ["CAP102"]


KNOWN = {cause.code: cause for cause in CAUSES}


def test_tables_name_causes_that_there_are() -> None:
    assert set(WHERE) | set(DECIDING) | {code for one in SHARED for code in one.likely} <= set(KNOWN)


def test_every_likely_cause_of_a_shared_line_has_that_line() -> None:
    for wording in SHARED:
        for code in wording.likely:
            assert set(KNOWN[code].logs) & set(wording.logs), code


def test_every_cause_with_a_shared_line_says_where_it_is_meant() -> None:
    shared = {log for wording in SHARED for log in wording.logs}
    for cause in CAUSES:
        if set(cause.logs) & shared and cause.weight == "breaks":
            assert cause.code in WHERE, cause.code


def test_every_deciding_text_is_an_example_of_its_cause() -> None:
    for code in DECIDING:
        examples = [log.example for log in KNOWN[code].logs]
        assert any(
            one.worth is Worth.DECIDES and one.cause.code == code
            for example in examples
            for one in candidates_of([Clue(example)])
        ), code
