"""Mutation testing: which changes of a module does no test notice?

    python tools/mutation.py endpoints/_waiting _codec --tests tests/endpoints tests/_codec
    python tools/mutation.py                       all deciding modules, all tests
    python tools/mutation.py _request --list       only show the mutants
    python tools/mutation.py _request --only 'target'   those whose key holds a text

mutmut leaves module constants and class attributes alone, and cosmic-ray runs one fixed command for each mutant; here
each mutant is written into a scratch copy and meets the tests that cover its line, those that mirror its module first.
A test that fails, or that does not end, kills it. Those that change nothing are in `mutation_equivalents.toml`, each
with its reason. The exit code is 1 if a module has less than `--at-least` percent killed.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import importlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import attrs

if TYPE_CHECKING:
    import pytest

from mutants import Mutant, code_of, mutants_of, names_read_at, sampled

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "peaka_async"
EQUIVALENTS: Final = ROOT / "tools" / "mutation_equivalents.toml"
COPIED: Final = ("peaka_async", "tests", "pyproject.toml", "examples", "docs", "tools", "noxfile.py", "README.md")
PYTEST: Final = (
    *("-x", "-q", "-n0", "-p", "no:cacheprovider", "--hypothesis-seed=1", "--no-header", "--tb=line"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
MIN_TIMEOUT: Final = 15.0
NOTHING_RAN: Final = 5

# The modules that decide something; the others describe, or hand on.
DECIDING: Final = (
    "_request",
    *(f"_codec/{name}" for name in ("converter", "hooks", "json", "mismatch", "objects")),
    *(f"_transport/{name}" for name in ("answer", "deadline", "retry", "wire")),
    *(f"endpoints/{name}" for name in ("_csv_body", "_download", "_event_stream", "_paging", "_waiting")),
    *(f"endpoints/{name}" for name in ("cache", "exports", "materialized_queries", "metadata")),
    "models/_cell_values",
    *(f"oauth2/{name}" for name in ("_cookies", "_flow", "_pending", "_return")),
)


@attrs.frozen
class Covered:
    """What one run of the tests saw.

    Attributes:
        by_line: the tests that cover a line, by file and line.
        seconds: how long each test takes.
        libraries: the modules of other projects that the tests load.
    """

    by_line: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]
    libraries: list[str]

    def tests_of(self, module: str, mutant: Mutant, source: str, at_most: int) -> list[str]:
        """The tests that a mutant meets: those that mirror its module first, the fast ones before the slow ones."""
        lines = self.by_line.get(module, {})
        found = set(lines.get(mutant.line, ()))
        if not found:
            found = {test for line in names_read_at(source, mutant.line) for test in lines.get(line, ())}
        if not found:
            found = set().union(*lines.values()) if lines else set()
        mirror = module.removeprefix(f"{PACKAGE}/").removesuffix(".py").replace("/_", "/").lstrip("_")
        place = f"tests/{Path(mirror).parent}/test_{Path(mirror).name}.py".replace("/./", "/")
        # A line whose result is cached is covered by the first test alone, so the mirror's tests are all of them asked.
        found |= {test for test in self.seconds if test.startswith(place)}
        order = sorted(found, key=lambda test: (not test.startswith(place), self.seconds.get(test, 0.0), test))
        return order[:at_most]


@attrs.frozen
class Verdict:
    """What became of a mutant."""

    module: str
    mutant: Mutant
    outcome: str
    tests: int
    reason: str = ""


# ── What the tests cover ─────────────────────────────────────────────────────────────────────────────────────────────


class Contexts:
    """Tells coverage which test runs."""

    def __init__(self, measured: Any) -> None:  # noqa: ANN401 - coverage.Coverage, which only this run needs
        self._measured = measured
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._measured.switch_context(nodeid)
        self.seconds[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] = time.monotonic() - self.seconds[nodeid]
        self._measured.switch_context("")


def measure(report: Path, tests: list[str]) -> int:
    """Run the tests in this process and write what they cover. Coverage begins before the package is imported."""
    import coverage  # noqa: PLC0415 - for this run only
    import pytest  # noqa: PLC0415

    measured = coverage.Coverage(data_file=None, source_pkgs=[PACKAGE], config_file=False)
    measured.start()
    contexts = Contexts(measured)
    code = pytest.main([*PYTEST[1:], *tests], plugins=[contexts])
    measured.stop()
    data = measured.get_data()
    lines = {
        str(Path(file).relative_to(Path.cwd())): {
            line: sorted(filter(None, names)) for line, names in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    libraries = [
        name for name, module in sys.modules.items() if "site-packages" in str(getattr(module, "__file__", ""))
    ]
    report.write_text(json.dumps({"lines": lines, "seconds": contexts.seconds, "libraries": libraries}))
    return int(code)


def covered_by(tests: list[str], scratch: Path, report: Path) -> Covered:
    """What these tests cover; they must pass."""
    command = [sys.executable, str(scratch / "tools" / "mutation.py"), "--measure", str(report), "--tests", *tests]
    done = subprocess.run(command, cwd=scratch, env=_environment(scratch), check=False)  # noqa: S603
    if done.returncode:
        sys.exit("The tests fail without any mutant.")
    found = json.loads(report.read_text())
    lines = {
        file: {int(line): set(names) for line, names in of_file.items()} for file, of_file in found["lines"].items()
    }
    return Covered(lines, found["seconds"], found["libraries"])


def _environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(scratch), "PYTHONHASHSEED": "1", "PYTHONDONTWRITEBYTECODE": ""}


# ── One worker: a process that forks for each mutant ─────────────────────────────────────────────────────────────────


class Selection:
    """Leaves only the tests that a mutant meets, in their order."""

    def __init__(self, wanted: list[str]) -> None:
        self._order = {test: at for at, test in enumerate(wanted)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order), key=lambda item: self._order[item.nodeid]
        )


def work(scratch: Path) -> None:
    """Read the libraries to load, once for all mutants, and then mutants; write what became of each."""
    os.chdir(scratch)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in json.loads(sys.stdin.readline()):
            importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(_outcome(job)), flush=True)


def _outcome(job: dict[str, Any]) -> str:
    """How the tests end with a module's text replaced."""
    path = Path(job["module"])
    good = path.read_bytes()
    for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        stale.unlink()
    path.write_text(job["text"], encoding="utf-8")
    try:
        child = os.fork()
        if not child:
            _run_in_child(job["tests"])
        return _end_of(child, job["timeout"])
    finally:
        path.write_bytes(good)


def _run_in_child(tests: list[str]) -> None:
    os.setsid()
    sink = os.open(os.environ.get("MUTATION_LOG", os.devnull), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (0, 1, 2):
        os.dup2(sink, stream)
    import pytest  # noqa: PLC0415 - each child has one of its own

    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    code = 3
    try:
        code = int(pytest.main([*PYTEST, *files], plugins=[Selection(tests)]))
    except BaseException:  # noqa: BLE001 - a mutant may end pytest itself
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_of(child: int, timeout: float) -> str:
    limit = time.monotonic() + timeout
    while time.monotonic() < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            _kill_group(child)
            code = os.waitstatus_to_exitcode(status)
            if code == NOTHING_RAN:
                return "no tests"
            return "killed" if code else "survived"
        time.sleep(0.01)
    _kill_group(child)
    os.waitpid(child, 0)
    return "timeout"


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


# ── All of it ────────────────────────────────────────────────────────────────────────────────────────────────────────


def run(modules: list[str], options: argparse.Namespace) -> list[Verdict]:
    """The verdicts on the sampled mutants of these modules."""
    known = equivalents()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        first, *others = places = [Path(folder, str(number)) for number in range(options.workers)]
        _copy(first)
        covered = covered_by(options.tests, first, Path(folder, "covered.json"))
        for place in others:
            # With what was compiled so far: each mutant then compiles one module.
            shutil.copytree(first, place)
        verdicts: list[Verdict] = []
        jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        for module in modules:
            planned = list(_plan(module, covered, known, options, verdicts))
            for job in [_unchanged(module, planned), *planned] if planned else ():
                jobs.put(job)
        threads = [threading.Thread(target=_serve, args=(place, covered.libraries, jobs, verdicts)) for place in places]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sorted(verdicts, key=lambda each: (modules.index(each.module), each.mutant.start, each.mutant.after))


def _copy(place: Path) -> None:
    place.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, place / name)


def _plan(
    module: str,
    covered: Covered,
    known: dict[tuple[str, str], str],
    options: argparse.Namespace,
    verdicts: list[Verdict],
) -> Iterator[dict[str, Any]]:
    """The jobs of a module; where there is nothing to run the verdict is there at once."""
    source = code_of(ROOT / module)
    for mutant in selected(module, options):
        reason = known.get((module, mutant.key))
        tests = covered.tests_of(module, mutant, source, options.max_tests)
        if reason is not None:
            verdicts.append(Verdict(module, mutant, "equivalent", 0, reason))
        elif not tests:
            verdicts.append(Verdict(module, mutant, "survived", 0))
        else:
            seconds = sum(covered.seconds.get(test, 0.0) for test in tests)
            timeout = max(MIN_TIMEOUT, 6 * seconds)
            text = mutant.text(source)
            yield {"module": module, "text": text, "tests": tests, "timeout": timeout, "mutant": mutant}


def _unchanged(module: str, planned: list[dict[str, Any]]) -> dict[str, Any]:
    """The tests of all of a module's mutants with the module as it is: they must pass, or no verdict counts."""
    tests = sorted({test for job in planned for test in job["tests"]})
    timeout = sum(job["timeout"] for job in planned)
    return {"module": module, "text": code_of(ROOT / module), "tests": tests, "timeout": timeout, "mutant": None}


def _serve(place: Path, libraries: list[str], jobs: queue.SimpleQueue[dict[str, Any]], verdicts: list[Verdict]) -> None:
    command = [sys.executable, str(ROOT / "tools" / "mutation.py"), "--work", str(place)]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(place)
    ) as worker:
        _tell(worker, libraries)
        while True:
            try:
                job = jobs.get_nowait()
            except queue.Empty:
                break
            mutant = job.pop("mutant")
            _tell(worker, job)
            outcome = json.loads(cast("IO[str]", worker.stdout).readline())
            if mutant is None:
                _must_pass(job, outcome)
                continue
            verdicts.append(Verdict(job["module"], mutant, outcome, len(job["tests"])))
            print("." if outcome in {"killed", "timeout"} else "S", end="", file=sys.stderr, flush=True)
        cast("IO[str]", worker.stdin).close()


def _tell(worker: subprocess.Popen[str], message: object) -> None:
    pipe = cast("IO[str]", worker.stdin)
    pipe.write(json.dumps(message) + "\n")
    pipe.flush()


def _must_pass(job: dict[str, Any], outcome: str) -> None:
    if outcome != "survived":
        print(
            f"{job['module']}: its tests do not pass without a mutant ({outcome}). No verdict counts.", file=sys.stderr
        )
        os._exit(3)


def selected(module: str, options: argparse.Namespace) -> list[Mutant]:
    """The mutants of a module that this run is about."""
    mutants = mutants_of(code_of(ROOT / module))
    if options.only:
        return [mutant for mutant in mutants if options.only in mutant.key]
    return sampled(mutants, at_most=options.sample, seed=options.seed, name=module)


def equivalents() -> dict[tuple[str, str], str]:
    """Module and key of each mutant that changes nothing, with the reason."""
    if not EQUIVALENTS.exists():
        return {}
    found = tomllib.loads(EQUIVALENTS.read_text())
    return {
        (f"{PACKAGE}/{module}.py", key): reason
        for module, reasons in found.items()
        for reason, keys in reasons.items()
        for key in keys
    }


def diff_of(verdict: Verdict) -> str:
    """The change as a patch."""
    source = code_of(ROOT / verdict.module)
    lines = difflib.unified_diff(
        source.splitlines(),
        verdict.mutant.text(source).splitlines(),
        verdict.module,
        verdict.module,
        n=1,
        lineterm="",
    )
    return "\n".join(lines)


def table_of(verdicts: list[Verdict]) -> str:
    """What was killed, module by module, and in all."""
    lines = ["| module | mutants | equivalent | killed | survived | score |", "|---|---:|---:|---:|---:|---:|"]
    for module in [*dict.fromkeys(each.module for each in verdicts), ""]:
        of_module = [each for each in verdicts if module in {"", each.module}]
        counts = {name: sum(each.outcome == name for each in of_module) for name in ("equivalent", "survived")}
        name = module.removeprefix(f"{PACKAGE}/").removesuffix(".py") or "all"
        killed = len(of_module) - sum(counts.values())
        lines.append(
            f"| {name} | {len(of_module)} | {counts['equivalent']} | {killed} | {counts['survived']} "
            f"| {score_of(of_module):.0f} % |"
        )
    return "\n".join(lines)


def score_of(verdicts: list[Verdict]) -> float:
    """The percentage killed of the mutants that change something."""
    counted = [each for each in verdicts if each.outcome != "equivalent"]
    killed = sum(each.outcome in {"killed", "timeout"} for each in counted)
    return 100.0 * killed / len(counted) if counted else 100.0


def module_named(name: str) -> str:
    """The path of a module from any of the ways to name it."""
    plain = name.removeprefix(f"{PACKAGE}/").removeprefix(f"{PACKAGE}.").removesuffix(".py").replace(".", "/")
    path = f"{PACKAGE}/{plain}.py"
    if not (ROOT / path).is_file():
        sys.exit(f"There is no module {path}.")
    return path


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="such as endpoints/_waiting; all deciding modules without one")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="where to look for tests")
    parser.add_argument("--sample", type=int, default=60, help="mutants of a module at most")
    parser.add_argument("--seed", type=int, default=1, help="which sample")
    parser.add_argument("--only", default="", help="instead of a sample, all mutants whose key holds this text")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--max-tests", type=int, default=150, help="tests that a mutant meets at most")
    parser.add_argument("--at-least", type=float, default=0.0, help="fail if a module's score is lower")
    parser.add_argument("--list", action="store_true", help="show the mutants' keys and run nothing")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure, options.tests)
    if options.work:
        work(options.work)
        return 0
    modules = [module_named(name) for name in options.modules or DECIDING]
    if options.list:
        for module in modules:
            print(*(f"{module}:{each.line}: {each.key}" for each in selected(module, options)), sep="\n")
        return 0
    return report(run(modules, options), options.at_least)


def report(verdicts: list[Verdict], at_least: float) -> int:
    """Print the survivors and the table."""
    for verdict in verdicts:
        if verdict.outcome in {"survived", "no tests"}:
            print(f"\n{verdict.mutant.key}   [{verdict.tests} tests]\n{diff_of(verdict)}")
    print(f"\n{table_of(verdicts)}")
    modules = dict.fromkeys(each.module for each in verdicts)
    return int(any(score_of([each for each in verdicts if each.module == name]) < at_least for name in modules))


if __name__ == "__main__":
    sys.exit(main())
