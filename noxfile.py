"""The project's tasks: `nox -l` lists them, plain `nox` runs the tests."""

from __future__ import annotations

import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
# The tests in a browser have a session and requirements of their own.
WITHOUT_BROWSER = ["--ignore=tests/browser", "-n", "auto"]
THIS_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def group(name: str) -> list[str]:
    """The requirements of a dependency group."""
    return nox.project.dependency_groups(PYPROJECT, name)  # type: ignore[no-any-return]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests, on every supported Python that is found."""
    session.install(".[emulator,speedups]", *group("tests"))
    session.run("pytest", *WITHOUT_BROWSER, *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that pyproject.toml allows."""
    project = PYPROJECT["project"]
    allowed = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    exact = [requirement.replace(">=", "==") for requirement in allowed]
    session.install(".", *exact, *group("tests"))
    session.run("pytest", *WITHOUT_BROWSER, *session.posargs)


@nox.session(python=THIS_PYTHON)
def style(session: nox.Session) -> None:
    """Check what takes seconds: style, spelling, phrases and the direction of imports."""
    session.install(*group("style"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")
    session.run("python", "tools/prose.py")
    session.run("lint-imports")


@nox.session(python=THIS_PYTHON)
def types(session: nox.Session) -> None:
    """Check the types, and that all public names have types."""
    session.install("-e", ".[emulator,speedups]", *group("types"))
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "peaka_async", "--ignoreexternal")


@nox.session(python=THIS_PYTHON)
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches the tests reach; less than 97 % is an error."""
    session.install("-e", ".[emulator,speedups]", *group("coverage"))
    session.run("coverage", "erase")
    # Under `pytest --cov` the package's own plugin would be imported before the measurement begins.
    session.run("coverage", "run", "-m", "pytest", *WITHOUT_BROWSER, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=THIS_PYTHON)
def mutation(session: nox.Session) -> None:
    """Change the code in small ways, and list the changes that no test notices: nox -s mutation -- [MODULE …]."""
    session.install("-e", ".[emulator,speedups]", *group("coverage"))
    session.run("python", "tools/mutation.py", *session.posargs)


@nox.session(python=THIS_PYTHON)
def simulation(session: nox.Session) -> None:
    """Run three replicas of the connect flow under many schedules: nox -s simulation -- [SCHEDULES] [SEED]."""
    session.install(".[emulator]", *group("tests"))
    schedules, seed = (*session.posargs, *("100000", "1")[len(session.posargs) :])
    session.run(
        *("pytest", "-q", "-n", "0", "tests/oauth2/test_simulation.py"),
        env={"PEAKA_SCHEDULES": schedules, "PEAKA_SEED": seed},
    )


@nox.session(python=THIS_PYTHON)
def fuzz(session: nox.Session) -> None:
    """Fuzz everything that reads bytes of strangers: nox -s fuzz -- [EXECUTIONS] [CORPUS]."""
    session.install("-e", ".[emulator,speedups]", *group("tests"), *group("fuzz"))
    session.run("python", "tools/fuzz.py", *session.posargs)


@nox.session(python=THIS_PYTHON)
def conformance(session: nox.Session) -> None:
    """Compare the code with the published document, or with its digest: nox -s conformance -- [DOCUMENT]."""
    session.install(".", *group("tests"))
    given = {"PEAKA_OPENAPI": str(Path(session.posargs[0]).resolve())} if session.posargs else {}
    session.run("pytest", "-q", "tests/conformance", env=given)


@nox.session(python=THIS_PYTHON)
def scaffold(session: nox.Session) -> None:
    """Print the method, the models and the test of an operation: nox -s scaffold -- OPERATION_ID."""
    session.install(".", *group("style"))
    session.run("python", "tools/scaffold.py", *session.posargs)


@nox.session(python=THIS_PYTHON)
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install(".[emulator]", *group("docs"))
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session(python=THIS_PYTHON)
def demo(session: nox.Session) -> None:
    """Complete an OAuth2 connection against a local Peaka."""
    session.install(".[emulator]", "opentelemetry-sdk>=1.30.0")
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session(python=THIS_PYTHON)
def example_aiohttp(session: nox.Session) -> None:
    """Serve a web service on aiohttp whose customers connect their data: nox -s example_aiohttp -- [--port N]."""
    _serve_example(session, "connect_aiohttp")


@nox.session(python=THIS_PYTHON)
def example_fastapi(session: nox.Session) -> None:
    """Serve a web service on FastAPI whose customers connect their data: nox -s example_fastapi -- [--port N]."""
    _serve_example(session, "connect_fastapi")


@nox.session(python=THIS_PYTHON)
def example_celery(session: nox.Session) -> None:
    """Serve a web service that accepts returns, and run a Celery worker that settles them."""
    _run_worker_example(session, "worker_celery")


@nox.session(python=THIS_PYTHON)
def example_taskiq(session: nox.Session) -> None:
    """Do the same with taskiq."""
    _run_worker_example(session, "worker_taskiq")


def _run_worker_example(session: nox.Session, name: str) -> None:
    session.install(".[emulator,redis,web]", *group("workers"))
    session.run("python", f"examples/{name}.py", *session.posargs)


def _serve_example(session: nox.Session, name: str) -> None:
    session.install(".[emulator,redis,web]", *group("examples"))
    session.run("python", f"examples/{name}.py", *session.posargs)


@nox.session(python=THIS_PYTHON)
def browser(session: nox.Session) -> None:
    """Click through the examples in a real Chromium, if it is installed."""
    session.install(".[emulator]", *group("browser"))
    session.run("pytest", *(session.posargs or ["-q"]), "tests/browser")


@nox.session(python=THIS_PYTHON)
def workers(session: nox.Session) -> None:
    """Run the tests of the task queues with real brokers."""
    session.install(".[emulator,redis,speedups,web]", *group("workers"))
    session.run("pytest", *(session.posargs or ["-q"]), "tests/integrations", "tests/test_errors.py")


@nox.session(python=THIS_PYTHON)
def bench(session: nox.Session) -> None:
    """Measure calls against other clients, imports, and the memory of files: nox -s bench -- [--quick]."""
    session.install(".[speedups]", *group("bench"))
    session.run("python", "benchmarks/imports.py")
    session.run("python", "benchmarks/memory.py")
    session.run("python", "benchmarks/layers.py")
    session.run("python", "benchmarks/suite.py", *session.posargs)
    session.run("python", "benchmarks/report.py")


@nox.session(python=THIS_PYTHON)
def package(session: nox.Session) -> None:
    """Build the distributions, check their contents, and import the wheel from an empty folder."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder, silent=True)
        (wheel,) = Path(folder).glob("*.whl")
        (sdist,) = Path(folder).glob("*.tar.gz")
        _check_wheel(session, wheel)
        _check_sdist(session, sdist)
        session.install(str(wheel))
        session.chdir(folder)
        session.run("python", "-c", "import peaka_async; print(peaka_async.__version__, peaka_async.__file__)")


def _check_wheel(session: nox.Session, wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith(".dist-info")}
    tracked = session.run("git", "ls-files", "peaka_async", external=True, silent=True) or ""
    wanted = set(str(tracked).split())
    if packed != wanted:
        session.error(f"the wheel differs from peaka_async/: {sorted(packed ^ wanted)}")


def _check_sdist(session: nox.Session, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "noxfile.py"}
    missing = (wanted | {"tests/conftest.py", "tests/fixtures/openapi-digest.json", "docs/conf.py"}) - packed
    if missing:
        session.error(f"the sdist lacks {sorted(missing)}")
