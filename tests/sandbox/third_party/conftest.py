"""The source distribution of pymarc, fetched once."""

import subprocess
import tarfile
import venv
from pathlib import Path

import pytest

SOURCE = "pymarc==5.4.0"


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("pymarc")
    venv.create(folder / "environment", with_pip=True)
    pip = [str(folder / "environment/bin/python"), "-m", "pip"]
    download = [
        *pip,
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        "pymarc",
        "--dest",
        str(folder),
        SOURCE,
    ]
    subprocess.run(download, check=True, timeout=600, cwd=folder)
    (archive,) = folder.glob("pymarc-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    archive.unlink()
    return next(path for path in folder.glob("pymarc-*") if path.is_dir())
