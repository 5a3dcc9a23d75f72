import os
from pathlib import Path

import pytest

from tests.containers.image import ROOT, Image, built_image


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image-folder", type=Path, default=ROOT / ".tools" / "image", help="where the image is built")
    parser.addoption("--same-image", action="store_true", help="use the image that was built there before")


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config) -> Image:
    return built_image(Path(str(pytestconfig.getoption("image_folder"))), anew=not pytestconfig.getoption("same_image"))


@pytest.fixture
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every user can enter, for volumes."""
    folder = tmp_path_factory.mktemp("volumes")
    for part in (folder, *folder.parents):
        if part.stat().st_uid == os.geteuid() and not part.stat().st_mode & 0o001:
            part.chmod(part.stat().st_mode | 0o111)
    return folder
