# SPDX-License-Identifier: Apache-2.0
"""What people ran into: the cause of each, a remedy that explain itself calls effective, and never one that gives more than was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.causes.containers import image, the_container
from tests.causes.more import assert_no_more
from tests.stories import STORIES, Story, World

from caplet.causes.catalogue import CAUSES, causes_of
from caplet.explain.container import explain
from caplet.remedies.remedies import WORKS, remedies_of
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from caplet.explain.explanation import Explanation

BY_ROW = pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.row} {story.source}")


def explained(world: World) -> Explanation:
    facts = image(
        world.files,
        {"Entrypoint": list(world.argv), "User": world.user, "Env": list(world.env)},
        world.history,
    )
    pod, container = the_container(world.pod)
    (node,) = nodes(world.on)
    return explain(pod, container, facts, node, world.then)


def codes(explanation: Explanation, weight: str) -> set[str]:
    return {found.cause.code for found in causes_of(explanation) if found.weight == weight}


@BY_ROW
def test_the_cause_is_named_and_no_other(story: Story) -> None:
    explanation = explained(story.world)
    assert codes(explanation, "breaks") == story.codes, explanation.verdict
    assert codes(explanation, "hint") == story.hints


@BY_ROW
def test_what_was_seen_leads_to_the_cause(story: Story) -> None:
    """The line names it as a candidate, the rest chooses it."""
    if not story.saw:
        return
    candidates = {cause.code for cause in CAUSES if any(log.match(story.saw) for log in cause.logs)}
    assert candidates
    assert story.codes <= candidates


def test_a_lost_attribute_of_a_node_is_a_candidate() -> None:
    """Number 13: manifest and image are right, so the line's candidates include what only the node shows."""
    (story,) = (one for one in STORIES if one.row == "13")
    assert explained(story.world).verdict in WORKS
    assert "CAP106" in {cause.code for cause in CAUSES if any(log.match(story.saw) for log in cause.logs)}


@BY_ROW
def test_a_remedy_is_effective(story: Story) -> None:
    remedies = remedies_of(explained(story.world))
    assert all(remedy.explanation.verdict in WORKS for remedy in remedies)
    if story.remedy:
        assert any(story.remedy in remedy.title for remedy in remedies), [remedy.title for remedy in remedies]
    else:
        assert story.outside or story.fixed


@BY_ROW
def test_a_remedied_container_has_no_cause(story: Story) -> None:
    for remedy in remedies_of(explained(story.world)):
        assert codes(remedy.explanation, "breaks") == set(), remedy.title


@BY_ROW
def test_no_remedy_gives_more_than_was_asked(story: Story) -> None:
    before = explained(story.world)
    for remedy in remedies_of(before):
        assert_no_more(before, remedy.explanation)


@BY_ROW
def test_what_ended_it_ends_it_here(story: Story) -> None:
    if story.fixed is None:
        return
    after = explained(story.fixed)
    assert after.verdict in WORKS
    assert codes(after, "breaks") == set()


def test_no_story_is_lost() -> None:
    numbers = {story.row.split()[0] for story in STORIES}
    rows = "1 2 3 4 5 7 8 10 11 12 13 14 16 17 18 20 22 23 26 28 29 30 32 34"
    assert numbers == set(rows.split())
    assert len({story.row for story in STORIES}) == len(STORIES)
