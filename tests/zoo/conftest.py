"""What the tests of the zoo share: good checkpoints to copy and spoil, and no way to the network."""

import shutil
from pathlib import Path

import pytest

from tests.zoo.published import MODELS, saved


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("a test reached for the network")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # where it was read at the import
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """A good checkpoint of each kind, made once."""
    return {kind: saved(make(), tmp_path_factory.mktemp("original")) for kind, make in MODELS.items()}


@pytest.fixture
def copy(originals, tmp_path):
    """Copies of good checkpoints, to be spoilt."""
    return lambda kind: Path(shutil.copytree(originals[kind], tmp_path / kind))
