"""What must not run does not: a clear message, exit code 2, nothing sent, and no report that could be mistaken."""

from __future__ import annotations

from pathlib import Path

import pytest

GOOD = """\
sandbox = true
label = "canary-label"
writes = 400
observer = "adapters.sandbox.testing:observer"
exhaustive = true
[connection]
base_url = "http://127.0.0.1:PORT/"
[pool]
subjects = ["canary-subject-1", "canary-subject-2"]
practitioner = "p"
location = "l"
service = "s"
first = 2031-05-05T08:00:00Z
slots = 200
"""


@pytest.fixture
def target(tmp_path, listening):
    def target(old: str = "", new: str = "") -> Path:
        assert old in GOOD
        path = tmp_path / "conformance.toml"
        path.write_text((GOOD.replace(old, new) if old else GOOD).replace("PORT", str(listening.getsockname()[1])))
        return path

    return target


@pytest.fixture
def refused(conformance, tmp_path):
    """Runs the sandbox's adapter on a target file that must be refused; the message."""

    def refused(target: Path, *more: object, adapter: str = "sandbox", report: Path | None = None) -> str:
        directory = tmp_path / "report" if report is None else report
        ended = conformance("run", adapter, "--target", target, "--report", directory, "--json", *more)
        assert (ended.exit_code, ended.document["ok"]) == (2, False)
        assert "canary" not in ended.out + ended.err
        assert not (directory / "results.json").exists() and not (directory / "report.html").exists()
        return ended.message

    return refused


def test_an_empty_target_file(refused, tmp_path):
    (tmp_path / "empty.toml").write_text("")
    assert "the target file is empty" in refused(tmp_path / "empty.toml")


def test_no_target_file(refused, tmp_path):
    assert "the target file is not there" in refused(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("writes = 400", 'writes = "many"', "writes: must be a whole number"),
        ("writes = 400", "writes = 400\nbudgt = 5", "unknown member"),
        ("sandbox = true", "sandbox = false", "sandbox is false"),
        ("sandbox = true\n", "", "sandbox: missing"),
        ("writes = 400", 'deny = ["127.0.0.1"]\nwrites = 400', "deny list"),
        ("writes = 400", "writes = 10", "writes = 10 is too small a budget"),
        ("slots = 200", "slots = 2", "pool.slots = 2 is too few"),
        ('"canary-subject-1", "canary-subject-2"', '"canary-subject", "canary-subject"', "pool.subjects"),
        ("adapters.sandbox.testing:observer", "no_such_module:observer", "there is no module no_such_module"),
        (
            "[pool]",
            'credential = { scheme = "bearer", name = "vendor" }\n[secrets]\nvendor = { file = "gone" }\n[pool]',
            "secrets.vendor: there is no such file",
        ),
    ],
)
def test_a_target_that_does_not_admit_a_run(refused, target, old, new, message):
    assert message in refused(target(old, new))


def test_an_adapter_that_is_not_installed(refused, target):
    assert "no adapter of that name" in refused(target(), adapter="nobodys")


@pytest.mark.parametrize(
    ("adapter", "message"),
    [("no_such:Adapter", "there is no module"), ("pathlib:Path", "does not describe itself"), ("io:open", "TypeError")],
)
def test_an_adapter_that_cannot_be_made(refused, target, adapter, message):
    assert message in refused(target(), adapter=adapter)


def test_a_requirement_that_does_not_exist(refused, target):
    assert "--only: no such requirement" in refused(target(), "--only", "book.canary")


def test_a_report_directory_that_cannot_be_written(refused, target, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(target(), report=tmp_path / "file")


def test_a_report_directory_that_is_used(refused, target, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "results.txt").write_text("")
    assert "is not empty" in refused(target())


def test_nothing_to_resume(refused, target):
    assert "no run to resume" in refused(target(), "--resume")


def test_an_unwritable_directory_is_noticed_before_the_target_file_is_read(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "report directory" in refused(tmp_path / "gone.toml", report=tmp_path / "file")


def test_a_system_that_is_down(conformance, target, tmp_path, listening):
    path = target()
    ended = conformance("run", "sandbox", "--target", _elsewhere(path), "--report", tmp_path / "report", "--json")
    assert ended.exit_code == 2 and "at its first look; is the system up" in ended.message
    assert not (tmp_path / "report" / "results.json").exists()


def _elsewhere(path: Path) -> Path:
    """The same target on a port where nobody listens."""
    text = path.read_text()
    start = text.index("127.0.0.1:")
    path.write_text(f"{text[:start]}127.0.0.1:9/{text[text.index('/', start) + 1 :]}")
    return path


def test_a_plan_sends_nothing_and_is_never_taken_for_a_run(conformance, target):
    ended = conformance("run", "sandbox", "--target", target(), "--plan", "--json")
    assert ended.exit_code == 2
    (share,) = ended.document["plan"]["peers"]
    assert share["peer"] == "target" and share["writes"] <= 400 and share["slots"] <= 200
    page = conformance("run", "sandbox", "--target", target(), "--plan")
    assert page.exit_code == 2 and "nothing was started or sent" in page.out and str(share["writes"]) in page.out


def test_a_plan_is_shown_although_the_budget_does_not_admit_it(conformance, target):
    ended = conformance("run", "sandbox", "--target", target("writes = 400", "writes = 0"), "--plan")
    assert ended.exit_code == 2 and "settling" in ended.out
    assert "too small a budget" in ended.err


def test_a_run_needs_a_report_directory(conformance, target):
    ended = conformance("run", "sandbox", "--target", target(), "--json")
    assert ended.exit_code == 2 and "--report" in ended.message
