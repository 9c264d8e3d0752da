"""What a disk may hold: syncs cover what had finished, names are synced with directories, writes tear at sectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.power.campaign import judge
from tests.power.homes import LABEL
from tests.power.images import Disk, Plan, build, digest, plans, survivals
from tests.power.recording import ROOT, Recorder, Recording

OLD, NEW = b"o" * 1500, b"n" * 1500


@pytest.fixture
def recorder() -> Recorder:
    """`kept` is on disk, synced and named."""
    made = Recorder(Recording("test", {}, ""))
    node = made.make("kept")
    made.sync(ROOT, made.begin())
    made.write(node, 0, OLD)
    made.sync(node, made.begin())
    return made


def length(recorder: Recorder) -> int:
    return len(recorder.recording.operations)


def images(recorder: Recorder) -> dict[str, dict[str, bytes]]:
    """By policy, after everything that was recorded."""
    disk = Disk(recorder.recording)
    while disk.position < length(recorder):
        disk.advance()
    return {policy: dict(disk.image(fates)) for policy, fates in survivals(disk, 1)}


def test_what_was_synced_is_in_every_image(recorder: Recorder) -> None:
    recorder.write(node_of(recorder), 0, NEW)
    recorder.sync(node_of(recorder), recorder.begin())
    assert set(map(digest, images(recorder).values())) == {digest({"kept": NEW})}


def node_of(recorder: Recorder, path: str = "kept") -> int:
    node = recorder.find(path)
    assert node is not None
    return node


def test_what_was_not_synced_may_be_lost_kept_or_torn_at_a_sector(recorder: Recorder) -> None:
    recorder.write(node_of(recorder), 0, NEW)
    found = images(recorder)
    assert found["none"] == {"kept": OLD}
    assert found["all"] == {"kept": NEW}
    assert found["torn-head"] == {"kept": NEW[:1024] + OLD[1024:]}
    assert found["torn-tail"] == {"kept": OLD[:1024] + NEW[1024:]}
    assert found["hollow"] == {"kept": NEW}  # nothing of it lies beyond what was durable


def test_a_write_within_a_sector_is_not_torn_and_a_cut_lies_on_a_boundary(recorder: Recorder) -> None:
    recorder.write(node_of(recorder), 512, b"n" * 512)
    assert not {"torn-head", "torn-tail"} & set(images(recorder))
    recorder.write(node_of(recorder), 500, NEW[:600])
    torn = images(recorder)["torn-head"]["kept"]
    assert torn[:500] + torn[500:1024].replace(b"n", b"") == OLD[:500]
    assert torn[1024:] == OLD[1024:]


def test_a_later_write_may_survive_without_an_earlier_one(recorder: Recorder) -> None:
    recorder.write(node_of(recorder), 0, b"1" * 512)
    recorder.write(node_of(recorder), 512, b"2" * 512)
    recorder.write(node_of(recorder), 1024, b"3" * 476)
    found = images(recorder)
    assert found["later"]["kept"] == OLD[:1024] + b"3" * 476
    assert found["not-the-earliest"]["kept"] == OLD[:512] + b"2" * 512 + b"3" * 476


def test_a_file_may_have_grown_without_its_bytes(recorder: Recorder) -> None:
    recorder.write(node_of(recorder), 1500, NEW)
    assert images(recorder)["hollow"] == {"kept": OLD + bytes(1500)}


def test_a_name_is_durable_with_its_directory_and_not_with_its_file(recorder: Recorder) -> None:
    node = recorder.make("new")
    recorder.write(node, 0, NEW)
    recorder.sync(node, recorder.begin())
    assert images(recorder)["none"] == {"kept": OLD}
    assert images(recorder)["all"] == {"kept": OLD, "new": NEW}
    recorder.sync(ROOT, recorder.begin())
    assert images(recorder)["none"] == {"kept": OLD, "new": NEW}


def test_an_unlink_may_be_undone_and_a_rename_too(recorder: Recorder) -> None:
    recorder.remove("kept")
    assert images(recorder)["none"] == {"kept": OLD}
    assert images(recorder)["names-undone"] == {"kept": OLD}
    assert images(recorder)["all"] == {}
    recorder.sync(ROOT, recorder.begin())
    node = recorder.make("draft")
    recorder.write(node, 0, NEW)
    recorder.sync(node, recorder.begin())
    recorder.rename("draft", "done")
    assert images(recorder)["none"] == {}
    assert images(recorder)["name-undone-0"] == {"draft": NEW}
    assert images(recorder)["name-undone-1"] == images(recorder)["all"] == {"done": NEW}


def test_a_directory_that_is_moved_takes_its_files_along(recorder: Recorder) -> None:
    recorder.make("staging", directory=True)
    node = recorder.make("staging/inner")
    recorder.write(node, 0, NEW)
    recorder.rename("staging", "home")
    assert images(recorder)["all"] == {"kept": OLD, "home/inner": NEW}
    assert images(recorder)["names-only"] == {"kept": OLD, "home/inner": b""}
    recorder.sync(node, recorder.begin())
    recorder.sync(ROOT, recorder.begin())
    assert images(recorder)["none"] == {"kept": OLD}  # the directory is durable, what lies in it has no durable name


def test_a_sync_covers_only_what_had_finished_when_it_began(recorder: Recorder) -> None:
    node = node_of(recorder)
    index = recorder.write(node, 0, NEW)
    began = recorder.begin()
    recorder.finish(index)  # only now: another thread's write, under way while the sync began
    recorder.sync(node, began)
    assert images(recorder)["none"] == {"kept": OLD}
    recorder.sync(node, recorder.begin())
    assert images(recorder)["none"] == {"kept": NEW}


def test_a_truncation_may_be_undone(recorder: Recorder) -> None:
    recorder.truncate(node_of(recorder), 100)
    assert images(recorder)["none"] == {"kept": OLD}
    assert images(recorder)["all"] == {"kept": OLD[:100]}


def test_an_image_is_judged_at_the_last_prefix_at_which_it_is_possible(recorder: Recorder) -> None:
    recorder.write(node_of(recorder), 0, NEW)
    recorder.mark("sent")
    recorder.mark("acknowledged")
    recorder.sync(node_of(recorder), recorder.begin())
    recorder.mark("later")
    planned = plans(recorder.recording, 1)
    *_, lost = [plan for plan, image in build(recorder.recording, planned, 1) if image == {"kept": OLD}]
    assert lost.prefix == length(recorder) - 2  # both marks are before it, the sync is not
    assert len(planned) == len(set(planned))


def test_a_plan_and_a_seed_make_the_same_image_again(recorder: Recorder) -> None:
    for number in range(8):
        recorder.write(node_of(recorder), 1500 + number * 1500, NEW)
    chosen = [Plan(length(recorder), f"random-{number}") for number in range(4)]
    once, again, other = (dict(made(recorder, chosen, seed)) for seed in (1, 1, 2))
    assert once == again
    assert once != other
    assert len(set(once.values())) == 4


def made(recorder: Recorder, chosen: list[Plan], seed: int) -> Iterator[tuple[Plan, bytes]]:
    for plan, image in build(recorder.recording, chosen, seed):
        yield plan, digest(image)


async def test_an_image_that_comes_again_after_more_was_promised_is_judged_again() -> None:
    recorder = Recorder(Recording(LABEL, {}, ""))
    recorder.make("draft")
    recorder.remove("draft")
    recorder.sync(ROOT, recorder.begin())
    recorder.mark("made", seal="seal")
    recording = recorder.recording
    tally = await judge(recording, plans(recording, 1), 1)
    assert tally.images == 2  # nothing, and the draft
    assert [(violation.plan.prefix, len(violation.lost)) for violation in tally.violations] == [(4, 1)]


def test_recordings_are_kept_and_found_again(recorder: Recorder, tmp_path: Path) -> None:
    recorder.recording.save(tmp_path / "kept.recording")
    loaded = Recording.load(tmp_path / "kept.recording")
    assert loaded == recorder.recording
