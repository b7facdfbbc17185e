"""Loading published weights into our classes, from a folder or from the Hugging Face hub."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.zoo import bart, bert, deberta, distilbert, gpt1, gpt2, llama, modernbert, roberta, t5
from course_lib.zoo.catalogue import CLOSED, CONFIGS, like
from course_lib.zoo.checkpoint import Checkpoint

__all__ = ["load"]

FAMILIES: dict[str, Callable[[Checkpoint], tuple[nn.Module, dict[str, Tensor]]]] = {
    "bert": bert.from_checkpoint,
    "roberta": roberta.from_checkpoint,
    "distilbert": distilbert.from_checkpoint,
    "modernbert": modernbert.from_checkpoint,
    "deberta": deberta.from_checkpoint,
    "deberta-v2": deberta.from_checkpoint,
    "openai-gpt": gpt1.from_checkpoint,
    "gpt2": gpt2.from_checkpoint,
    "llama": llama.from_checkpoint,
    "mistral": llama.from_checkpoint,
    "t5": t5.from_checkpoint,
    "mt5": t5.from_checkpoint,
    "bart": bart.from_checkpoint,
}
# Where the weights of a name lie on the hub: what a name begins with, and the repository, {} for the name itself.
HUB = {
    "bert": "google-bert/{}",
    "all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "roberta": "FacebookAI/{}",
    "distilbert": "distilbert/{}",
    "modernbert-base": "answerdotai/ModernBERT-base",
    "modernbert-large": "answerdotai/ModernBERT-large",
    "deberta": "microsoft/{}",
    "openai-gpt": "openai-community/{}",
    "gpt2": "openai-community/{}",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf",
    "llama-2-70b": "meta-llama/Llama-2-70b-hf",
    "llama-3-8b": "meta-llama/Meta-Llama-3-8B",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "t5": "google-t5/{}",
    "flan-t5": "google/{}",
    "mt5": "google/{}",
    "bart": "facebook/{}",
}


def load(name_or_folder: str | Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Read a published checkpoint into our classes, ready for use (dropout off).

    Encoders come with a `MaskedLM` around them if the checkpoint has that head. Only safetensors are read: a pickled
    file could run code.

    name_or_folder: a folder with config.json and safetensors, or the name of a published model, which is fetched with
    the package huggingface_hub (pip install huggingface_hub) and kept in its cache.
    dtype: of the weights in memory, whatever they were stored as.
    Raises CourseError, in one sentence, for each way in which it can fail; nothing is half loaded. Raises ValueError if
    dtype is none of floating-point numbers.
    """
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be of floating-point numbers, got {dtype}")
    folder = Path(name_or_folder)
    try:
        is_folder = folder.is_dir()
    except OSError:  # a name no folder can have, or one we may not look into
        is_folder = False
    if not is_folder:
        folder = _fetched(str(name_or_folder))
    checkpoint = Checkpoint(folder)
    if checkpoint.family not in FAMILIES:
        raise CourseError(
            f"{folder} holds a model of the family {checkpoint.family!r}; the course can load {', '.join(FAMILIES)}."
        )
    try:
        with torch.device("meta"):
            model, tensors = FAMILIES[checkpoint.family](checkpoint)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CourseError(f"the checkpoint in {folder} describes no model that can be: {reason}.") from None
    return checkpoint.fill(model, tensors, dtype).eval()


def _fetched(name: str) -> Path:
    """Fetch a checkpoint by its name, or say why that cannot be."""
    if name in CLOSED:
        raise CourseError(f"{name} cannot be loaded, its weights are closed: {CLOSED[name]}.")
    if name not in CONFIGS:
        known = ", ".join(like(name) or list(CONFIGS)[:3])
        raise CourseError(
            f"{name!r} is neither a folder nor one of the published models, such as {known}; "
            "`course zoo` lists all of them."
        )
    repository = next((place for begin, place in HUB.items() if name.startswith(begin)), None)
    if repository is None:
        raise CourseError(f"the weights of {name} have never been published; only its sizes are known.")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise CourseError(
            "published weights are fetched with a missing package: pip install huggingface_hub, or give a folder."
        ) from None
    wanted = ["config.json", "model*.safetensors", "model.safetensors.index.json"]
    try:
        return Path(snapshot_download(repository.format(name), allow_patterns=wanted))
    except Exception as error:  # of the network library below it, which is another from version to version
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CourseError(f"{name} could not be fetched from the Hugging Face hub ({reason}).") from None
