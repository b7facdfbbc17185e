"""Spoilt checkpoints: whatever stands in one, loading says so in a sentence, soon, and reads no file elsewhere."""

import json
import shutil
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from course_lib import zoo
from course_lib.zoo import checkpoint
from tests.zoo.published import (
    bart,
    bert,
    change_settings,
    change_tensors,
    deberta,
    deberta_v2,
    distilbert,
    gpt2,
    llama,
    mistral,
    modernbert,
    openai_gpt,
    refusal,
    roberta,
    saved,
    t5,
)

pytestmark = pytest.mark.timeout(20)

ONE_LAYER = {
    "bert": partial(bert, "BertForPreTraining", num_hidden_layers=1),
    "gpt2": partial(gpt2, n_layer=1, tie_word_embeddings=False),
    "t5": partial(t5, untied=True, scaled=False, feed_forward_proj="gated-gelu", num_layers=1, num_decoder_layers=1),
    "roberta": partial(roberta, "RobertaForMaskedLM", num_hidden_layers=1),
    "distilbert": partial(distilbert, "DistilBertForMaskedLM", n_layers=1),
    "modernbert": partial(modernbert, "ModernBertForMaskedLM", num_hidden_layers=2),
    "deberta": partial(deberta, "DebertaForMaskedLM", num_hidden_layers=1),
    "deberta-v2": partial(deberta_v2, "DebertaV2ForMaskedLM", num_hidden_layers=1),
    "openai-gpt": partial(openai_gpt, n_layer=1),
    "llama": partial(llama, num_hidden_layers=1),
    "mistral": partial(mistral, num_hidden_layers=1),
    "bart": partial(bart, untied=True, encoder_layers=1, decoder_layers=1),
}
PLAIN = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
LLAMA = (*PLAIN, "num_key_value_heads", "head_dim")
SIZES = {
    "bert": (*PLAIN, "type_vocab_size"),
    "gpt2": ("vocab_size", "n_embd", "n_layer", "n_head", "n_inner", "n_positions"),
    "t5": (
        "vocab_size",
        "d_model",
        "d_kv",
        "d_ff",
        "num_layers",
        "num_decoder_layers",
        "num_heads",
        "relative_attention_num_buckets",
        "relative_attention_max_distance",
    ),
    "roberta": ("vocab_size", "hidden_size", "max_position_embeddings", "pad_token_id"),
    "distilbert": ("vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "max_position_embeddings"),
    "modernbert": (*PLAIN, "local_attention"),
    "deberta": PLAIN,
    "deberta-v2": (*PLAIN, "position_buckets"),
    "openai-gpt": ("vocab_size", "n_embd", "n_layer", "n_head", "n_positions"),
    "llama": LLAMA,
    "mistral": (*LLAMA, "sliding_window"),
    "bart": (
        "vocab_size",
        "d_model",
        "encoder_layers",
        "decoder_layers",
        "encoder_attention_heads",
        "encoder_ffn_dim",
        "max_position_embeddings",
    ),
}
MAY_BE_NULL = (
    "n_inner", "num_decoder_layers", "relative_attention_max_distance", "num_key_value_heads", "head_dim",
    "sliding_window",
)  # fmt: skip
EPSILON = {
    "bert": "layer_norm_eps",
    "gpt2": "layer_norm_epsilon",
    "t5": "layer_norm_epsilon",
    "roberta": "layer_norm_eps",
    "modernbert": "norm_eps",
    "deberta": "layer_norm_eps",
    "deberta-v2": "layer_norm_eps",
    "openai-gpt": "layer_norm_epsilon",
    "llama": "rms_norm_eps",
    "mistral": "rms_norm_eps",
}  # DistilBERT and BART have one that no file says
WORDS = {
    "bert": ("model_type", "hidden_act"),
    "gpt2": ("model_type", "activation_function"),
    "t5": ("model_type", "feed_forward_proj"),
    "roberta": ("model_type", "hidden_act"),
    "distilbert": ("model_type", "activation"),
    "modernbert": ("model_type", "hidden_activation"),
    "deberta": ("model_type", "hidden_act"),
    "deberta-v2": ("model_type", "hidden_act"),
    "openai-gpt": ("model_type", "afn"),
    "llama": ("model_type", "hidden_act"),
    "mistral": ("model_type", "hidden_act"),
    "bart": ("model_type", "activation_function"),
}
FLAGS = {
    "gpt2": ("tie_word_embeddings",),
    "t5": ("tie_word_embeddings", "scale_decoder_outputs"),
    "llama": ("tie_word_embeddings",),
    "mistral": ("tie_word_embeddings",),
    "bart": ("tie_word_embeddings",),
}
NO_NUMBERS = ["12", "", [12], {"a": 12}, True, False, float("nan"), float("inf"), 10**30]
every_family = pytest.mark.parametrize("family", SIZES)


def assert_refused(folder, setting, values) -> None:
    kept = (folder / "config.json").read_text()
    for value in values:
        change_settings(folder, **{setting: value})
        assert refusal(folder).startswith(f"{setting} in {folder / 'config.json'} should be ")
        (folder / "config.json").write_text(kept)


# Settings


@every_family
def test_sizes(tmp_path, family):
    folder = saved(ONE_LAYER[family](), tmp_path)
    for setting in SIZES[family]:
        null = [] if setting in MAY_BE_NULL else [None]
        assert_refused(folder, setting, [*NO_NUMBERS, *null, 0, -1, 12.0, 2**31, 10**400])


@pytest.mark.parametrize("family", EPSILON)
def test_epsilon(copy, family):
    assert_refused(copy(family), EPSILON[family], [*NO_NUMBERS, None, -1e-12, 1.01])


@every_family
def test_words(copy, family):
    folder = copy(family)
    for setting in WORDS[family]:
        assert_refused(folder, setting, [None, 12, True, [], ["gelu"], {"gelu": 1}])


@pytest.mark.parametrize("family", FLAGS)
def test_flags(copy, family):
    folder = copy(family)
    for setting in FLAGS[family]:
        assert_refused(folder, setting, ["", "false", 0, 1, 0.5, [], {}])


@every_family
def test_a_setting_that_is_not_there(copy, family):
    folder = copy(family)
    kept = (folder / "config.json").read_text()
    for setting in (*SIZES[family], *filter(None, [EPSILON.get(family)]), *WORDS[family]):
        if setting not in MAY_BE_NULL:
            change_settings(folder, drop=setting)
            said = f"config.json does not say {setting!r}, which this family of models needs; download it again."
            assert refusal(folder) == said
            (folder / "config.json").write_text(kept)


@pytest.mark.parametrize("depth", [100, 900, 100_000])
def test_a_setting_nested_in_itself(copy, depth):
    folder = copy("bert")
    settings = json.loads((folder / "config.json").read_text()) | {"vocab_size": "HERE", "is_decoder": False}
    text = json.dumps(settings).replace('"HERE"', "[" * depth + "]" * depth)
    (folder / "config.json").write_text(text)
    refusal(folder)
    text = json.dumps(settings | {"is_decoder": "HERE"}).replace('"HERE"', "[" * depth + "]" * depth)
    (folder / "config.json").write_text(text)
    refusal(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe{}", "cannot be read"),
        (b'{"vocab_size": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b"[1, 2]", "is not what it should be"),
        (b'"bert"', "is not what it should be"),
        (b"null", "is not what it should be"),
        (b"{}", "does not say 'model_type'"),
    ],
    ids=["empty", "open", "no utf-8", "a huge number", "list", "string", "null", "nothing in it"],
)
@pytest.mark.parametrize("file", ["config.json", "model.safetensors.index.json"])
def test_a_json_file_that_is_none(tmp_path, file, content, said):
    folder = saved(bert(), tmp_path, max_shard_size="20KB")
    (folder / file).write_bytes(content)
    sentence = refusal(folder)
    if file != "config.json" and content == b"{}":
        said = "is not what it should be"
    assert said in sentence
    assert sentence.endswith("; download it again.")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "model.safetensors.index.json"])
def test_a_folder_in_the_place_of_a_file(copy, file):
    folder = copy("bert")
    (folder / "model.safetensors").unlink()
    (folder / file).unlink(missing_ok=True)
    (folder / file).mkdir()
    assert f"{file} in {folder} cannot be read (" in refusal(folder)


# Where files are


@pytest.fixture
def read(monkeypatch):
    """The folders that tensors were read from."""
    folders = set()

    def load(file):
        folders.add(file.resolve().parent)
        return load_file(file)

    monkeypatch.setattr(checkpoint, "load_file", load)
    return folders


@pytest.mark.parametrize(
    "place",
    [
        "../{part}",
        "{outside}/{part}",
        "./{part}",
        "parts/{part}",
        "parts/../{part}",
        "..",
        ".",
        "",
        "/",
        "pytorch_model.bin",
        "config.json",
        "nul\0.safetensors",
        "x" * 300 + ".safetensors",
        "..\\{part}",
        None,
        12,
        True,
        ["{part}"],
        {"{part}": 1},
    ],
    ids=repr,
)
def test_an_index_that_leads_elsewhere(tmp_path, read, place):
    """One part lies beside the folder, where only a wrong way would find it."""
    folder = saved(bert(), tmp_path / "folder", max_shard_size="20KB")
    part = sorted(folder.glob("model-*.safetensors"))[0].name
    (folder / "parts").mkdir()
    shutil.copy(folder / part, folder / "parts" / part)
    shutil.move(folder / part, tmp_path / part)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    if isinstance(place, str):
        place = place.replace("{part}", part).replace("{outside}", str(tmp_path))
    moved = {name: place if file == part else file for name, file in content["weight_map"].items()}
    index.write_text(json.dumps(content | {"weight_map": moved}))
    refusal(folder)
    assert read <= {folder.resolve()}


@pytest.mark.parametrize("places", [None, [], ["model.safetensors"], "model.safetensors", 12, {}], ids=repr)
def test_an_index_that_is_none(tmp_path, places):
    folder = saved(bert(), tmp_path, max_shard_size="20KB")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    refusal(folder)


# Tensors

# Without these it is a whole model all the same, whose head is the embedding.
HEADS = ("lm_head.weight",)
ZEROS = ("final_logits_bias",)  # nothing is added, in whatever form
CHANGES = {
    "missing": lambda tensor: None,
    "one row more": lambda tensor: F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, 1)),
    "no row": lambda tensor: tensor[:0],
    "one side more": lambda tensor: tensor[None],
    "one number": lambda tensor: tensor.flatten()[0],
    "whole numbers": lambda tensor: tensor.long(),
    "eight bits": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "truth values": lambda tensor: tensor > 0,
}


@pytest.mark.parametrize("change", CHANGES)
@every_family
def test_every_tensor_in_turn(tmp_path, family, change):
    folder = saved(ONE_LAYER[family](), tmp_path)
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    for name in tensors:
        changed = CHANGES[change](tensors[name])
        spoilt = tensors | {name: changed}
        if changed is None:
            del spoilt[name]
        save_file(spoilt, file)
        if name in HEADS and changed is None:
            assert zoo.load(folder).config.tied
        elif name in ZEROS:
            zoo.load(folder)
        else:
            refusal(folder)


@every_family
def test_every_tensor_in_turn_under_another_name(tmp_path, family):
    folder = saved(ONE_LAYER[family](), tmp_path)
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    for name in tensors:
        for other in (name.rpartition(".")[0], f"{name}.weight", f"module.{name}", name.upper()):
            spoilt = dict(tensors)
            spoilt[other] = spoilt.pop(name)
            save_file(spoilt, file)
            refusal(folder)


@every_family
def test_no_tensors(copy, family):
    folder = copy(family)
    change_tensors(folder, lambda tensors: {})
    refusal(folder)


def test_a_tensor_of_no_numbers_makes_no_model_large(copy):
    """An empty tensor may have sides of any length, and costs nothing in a file."""
    for family, layers in (("bert", "num_hidden_layers"), ("gpt2", "n_layer"), ("t5", "num_layers")):
        folder = copy(family)
        change_tensors(folder, lambda tensors: tensors | {"empty": torch.empty(0, 2**50)})
        assert_refused(folder, layers, [2**40])
        assert_refused(folder, "vocab_size", [2**40])
