"""Names of published models, and the way to the hub: where each is fetched, and what is said where it cannot be."""

import sys

import pytest
import torch

from course_lib import zoo
from course_lib.zoo.catalogue import CLOSED
from tests.zoo.published import outputs, refusal


def test_no_such_folder_or_name():
    known = "bart-base, roberta-base, deberta-base"
    said = f"'bert-basic' is neither a folder nor one of the published models, such as {known}; "
    assert refusal("bert-basic") == said + "`course zoo` lists all of them."


@pytest.mark.parametrize("name", ["", "x" * 300, "nul\0", "no/../such", "google-t5/t5-small"])
def test_names_that_are_none(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusal(name)


def test_a_file_is_no_folder(originals):
    assert "is neither a folder" in refusal(originals["bert"] / "model.safetensors")


def test_without_the_package_that_fetches(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    install = "pip install huggingface_hub, or give a folder."
    assert refusal("gpt2") == f"published weights are fetched with a missing package: {install}"


@pytest.mark.parametrize("offline", [True, False], ids=["told to be offline", "no way out"])
def test_without_a_network(monkeypatch, tmp_path, offline):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))  # where nothing was fetched before
    assert refusal("t5-small").startswith("t5-small could not be fetched from the Hugging Face hub (")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("no route\nTraceback"), "no route"),
        (RuntimeError(""), "RuntimeError"),
        (ValueError(" \n "), "ValueError"),
    ],
)
def test_whatever_goes_wrong_on_the_way(monkeypatch, error, reason):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    assert refusal("gpt2") == f"gpt2 could not be fetched from the Hugging Face hub ({reason})."


REPOSITORIES = {
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "roberta-large": "FacebookAI/roberta-large",
    "distilbert-base-uncased": "distilbert/distilbert-base-uncased",
    "modernbert-base": "answerdotai/ModernBERT-base",
    "openai-gpt": "openai-community/openai-gpt",
    "gpt2-xl": "openai-community/gpt2-xl",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf",
    "llama-3-8b": "meta-llama/Meta-Llama-3-8B",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "t5-3b": "google-t5/t5-3b",
    "flan-t5-xl": "google/flan-t5-xl",
    "mt5-small": "google/mt5-small",
    "bart-large": "facebook/bart-large",
}


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_name_is_fetched_from_where_it_is_published_and_no_pickle_with_it(monkeypatch, originals, name):
    def fetch(repository, allow_patterns):
        fetched.append(repository)
        assert all(pattern.endswith((".safetensors", ".json")) for pattern in allow_patterns)
        return str(originals["bert"])

    fetched = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert torch.equal(outputs(zoo.load(name)), outputs(zoo.load(originals["bert"])))
    assert fetched == [REPOSITORIES[name]]


def test_every_name_has_a_place_where_it_is_fetched_but_the_one_that_was_never_published(monkeypatch, originals):
    fetched = set()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda place, **_: fetched.add(place) or originals["bert"])
    for name in zoo.names():
        if name == "gpt3-175b":
            assert refusal(name) == "the weights of gpt3-175b have never been published; only its sizes are known."
        else:
            zoo.load(name)
    assert len(fetched) == len(zoo.names()) - 1


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_model_is_said_to_be_one(name):
    assert refusal(name) == f"{name} cannot be loaded, its weights are closed: {CLOSED[name]}."
    with pytest.raises(ValueError, match=f"^{name} is closed: "):
        zoo.count_parameters(name)
