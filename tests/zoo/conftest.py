"""No test of this folder reaches for the network."""

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise OSError("a test reached for the network")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # where it was read at the import
    monkeypatch.setattr("socket.socket.connect", refuse)
