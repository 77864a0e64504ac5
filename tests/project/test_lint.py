"""make lint and the commit hooks are one list of checks, which need no network and find what they are for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parent.parent.parent
CONFIG = CHECKOUT / ".pre-commit-config.yaml"
SCRIPTS = Path(sys.executable).parent
# A file that each check refuses.
FAULTS = {
    "ruff-check": ("fault.py", "import os\n"),
    "ruff-format": ("fault.py", "a = {1:2}\n"),
    "shellcheck": ("fault.sh", "#!/bin/sh\nrm $1\n"),
    "codespell": ("fault.md", "they are reci" + "eved\n"),
    "end-of-file-fixer": ("fault.md", "no newline"),
    "trailing-whitespace": ("fault.md", "a space \n"),
    "check-yaml": ("fault.yml", "a: [\n"),
    "check-toml": ("fault.toml", "a =\n"),
    "executables-have-shebangs": ("fault.sh", "echo\n"),
    "check-merge-conflict": ("fault.md", "=======\n"),
    "mypy": ("fault.py", "a: int = ''\n"),
}


def hooks() -> list[dict[str, str]]:
    """All checks of the configuration."""
    return [hook for repo in yaml.safe_load(CONFIG.read_text())["repos"] for hook in repo["hooks"]]


def test_no_check_is_fetched_from_the_network() -> None:
    """Each check is a command of .venv, which constraints.txt pins."""
    assert {repo["repo"] for repo in yaml.safe_load(CONFIG.read_text())["repos"]} == {"local"}
    for hook in hooks():
        assert hook["language"] == "system"
        program = hook["entry"].split()[0]
        assert program.startswith(".venv/bin/")
        assert (SCRIPTS / Path(program).name).exists(), program


@pytest.mark.needs("git")
@pytest.mark.parametrize("hook", FAULTS)
def test_each_check_finds_its_fault(hook: str, tmp_path: Path) -> None:
    """In a checkout that was copied without .git, tools/lint still looks at every file."""
    (tmp_path / "tools").mkdir()
    shutil.copy(CHECKOUT / "tools/lint", tmp_path / "tools")
    shutil.copy(CONFIG, tmp_path)
    (tmp_path / ".gitignore").write_text("/.venv\n")
    (tmp_path / "pyproject.toml").write_text('[tool.mypy]\nfiles = ["fault.py"]\n')
    (tmp_path / ".venv").symlink_to(SCRIPTS.parent)
    command = ["tools/lint", hook]
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / ".venv-cache")}
    name, text = FAULTS[hook]
    (tmp_path / name).write_text("#!/bin/sh\n" if name.endswith(".sh") else "")
    (tmp_path / name).chmod(0o755 if name.endswith(".sh") else 0o644)
    clean = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    (tmp_path / name).write_text(text)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert name in done.stdout


def test_every_check_is_tried() -> None:
    """No check is without a fault above."""
    assert {hook["id"] for hook in hooks()} == set(FAULTS)
