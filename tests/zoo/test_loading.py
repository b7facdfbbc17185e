"""Loading: what it gives, and the sentence that says what to do for each way in which it can fail."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from course_lib import zoo
from course_lib.zoo.loading import FAMILIES
from tests.zoo.published import MODELS, bert, change_settings, change_tensors, gpt2, ids, outputs, refusal, saved

every_kind = pytest.mark.parametrize("kind", MODELS)


# What comes back


@every_kind
def test_the_model_is_ready_for_use_and_for_training(originals, kind):
    model = zoo.load(originals[kind])
    assert not any(module.training for module in model.modules())
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    for parameter in model.parameters():
        assert parameter.requires_grad
        assert parameter.is_leaf
        assert parameter.is_contiguous()
        assert parameter.dtype == torch.float32
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    logits = model.train()(*[ids()] * (2 if hasattr(model, "encode") else 1))
    F.cross_entropy(logits.flatten(0, 1), ids(vocab=logits.shape[-1], seed=1).flatten()).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    for name, parameter in model.named_parameters():
        if name.endswith("cross_attention.layer.W_k.bias"):
            continue  # it moves all scores of a query alike, which changes no weight
        unused = "pooler" in name or "next_sentence" in name  # by this loss
        assert torch.equal(parameter, before[name]) == unused


@every_kind
def test_no_two_tensors_share_memory_but_the_tied_ones(originals, kind):
    model = zoo.load(originals[kind])
    if hasattr(model, "head"):
        untied = kind in ("gpt2 untied", "t5 v1.1", "mt5", "llama", "mistral", "bart untied")
        assert (model.head.weight is model.embedding.weight) != untied
    parameters = list(model.parameters())  # each once
    assert len({parameter.untyped_storage().data_ptr() for parameter in parameters}) == len(parameters)
    for parameter in parameters:
        assert parameter.untyped_storage().nbytes() == 4 * parameter.numel()


@every_kind
def test_the_model_can_be_saved_again(originals, kind, tmp_path):
    model = zoo.load(originals[kind])
    tensors = dict(model.named_parameters())  # what is tied once, as safetensors wants it
    save_file(tensors, tmp_path / "again.safetensors")
    again = load_file(tmp_path / "again.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


@every_kind
def test_a_file_that_changes_later_changes_no_model(copy, originals, kind):
    """Weights that were a view of the file changed with it, or ended the process if it became shorter."""
    folder = copy(kind)
    model = zoo.load(folder)
    file = folder / "model.safetensors"
    size = file.stat().st_size
    with file.open("r+b") as weights:  # in place
        weights.write(b"\x01" * size)
    assert torch.equal(outputs(model), outputs(zoo.load(originals[kind])))


def test_a_path_may_be_a_string_and_a_folder_goes_before_a_name(copy, tmp_path, monkeypatch):
    expected = outputs(zoo.load(str(copy("gpt2"))))
    monkeypatch.chdir(tmp_path)
    assert torch.equal(outputs(zoo.load("gpt2")), expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_a_dtype_that_is_none_of_weights_is_refused(originals, dtype):
    with pytest.raises(ValueError, match=f"^dtype must be of floating-point numbers, got {dtype}$"):
        zoo.load(originals["bert"], dtype)


# Files that are not there, or not whole


def test_no_config(copy):
    folder = copy("bert")
    (folder / "config.json").unlink()
    assert refusal(folder) == f"there is no config.json in {folder}; give the folder of a whole checkpoint."


def test_pickled_weights_are_not_read(copy):
    folder = copy("bert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    said = f"there is no model.safetensors in {folder}; the course reads safetensors only, never pickled weights."
    assert refusal(folder) == said


@pytest.mark.parametrize("left", [0, 7, 100, 0.5, 0.999])
def test_a_file_that_was_cut_off(copy, left):
    folder = copy("gpt2")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: left if left > 1 else int(left * len(whole))])
    sentence = refusal(folder)
    assert sentence.startswith(f"model.safetensors in {folder} cannot be read (")
    assert sentence.endswith("; download it again.")


def test_a_part_is_missing(tmp_path):
    folder = saved(bert(), tmp_path, max_shard_size="20KB")
    part = sorted(folder.glob("model-*.safetensors"))[1]
    part.unlink()
    assert refusal(folder) == f"{part.name} is missing in {folder}; download it again."


# Models that are none of ours


@pytest.mark.parametrize("family", ["qwen2", "mamba", "BERT", ""])
def test_another_family(copy, family):
    folder = copy("bert")
    change_settings(folder, model_type=family)
    known = ", ".join(FAMILIES)
    assert refusal(folder) == f"{folder} holds a model of the family {family!r}; the course can load {known}."


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        (lambda: bert("BertForSequenceClassification"), "classifier.bias"),
        (lambda: bert("BertForNextSentencePrediction"), "cls.seq_relationship.bias"),
        (lambda: gpt2("GPT2ForSequenceClassification"), "score.weight"),
        (lambda: gpt2("GPT2ForTokenClassification"), "classifier.bias"),
    ],
)
def test_a_head_there_is_no_place_for(tmp_path, model, extra):
    said = f"holds tensors the course has no place for, such as {extra!r}; load the model without the head they"
    assert said in refusal(saved(model(), tmp_path))


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        ("bert", "hidden_act", "gelo"),
        ("gpt2", "activation_function", "tanh"),
        ("t5", "feed_forward_proj", "gated-gelo"),
        ("t5", "feed_forward_proj", "open-relu"),
        ("t5", "feed_forward_proj", "gated-"),
    ],
)
def test_an_unknown_activation(copy, kind, setting, value):
    folder = copy(kind)
    change_settings(folder, **{setting: value})
    name = value.removeprefix("gated-")
    known = "gelu, gelu_new, gelu_pytorch_tanh, relu, silu"
    assert refusal(folder) == f"the activation {name!r} is unknown; known are {known}."


@pytest.mark.parametrize(
    ("kind", "setting", "value", "only"),
    [
        ("bert", "position_embedding_type", "relative_key", "absolute"),
        ("bert", "is_decoder", True, False),
        ("bert with a masked-LM head", "hidden_act", "relu", "gelu"),  # which our head has
        ("gpt2", "scale_attn_by_inverse_layer_idx", True, False),
        ("gpt2", "scale_attn_weights", False, True),
        ("gpt2", "add_cross_attention", True, False),
        ("roberta", "is_decoder", True, False),
        ("roberta with a masked-LM head", "hidden_act", "relu", "gelu"),
        ("distilbert with a masked-LM head", "activation", "relu", "gelu"),
        ("modernbert", "attention_bias", True, False),
        ("modernbert", "norm_bias", True, False),
        ("modernbert with a masked-LM head", "classifier_activation", "relu", "gelu"),
        ("modernbert with a masked-LM head", "decoder_bias", False, True),
        ("llama", "attention_bias", True, False),
        ("llama", "mlp_bias", True, False),
        ("llama", "rope_scaling", {"factor": 8.0}, None),
        ("bart", "scale_embedding", True, False),
        ("bart", "decoder_attention_heads", 13, 2),
        ("bart", "decoder_ffn_dim", 29, 31),
    ],
)
def test_a_setting_we_cannot_honour(copy, kind, setting, value, only):
    folder = copy(kind)
    change_settings(folder, **{setting: value})
    assert refusal(folder) == f"{setting} of this checkpoint is {value!r}; the course can load {only!r} only."


@pytest.mark.parametrize(
    ("kind", "changed", "said"),
    [
        ("bert", {"num_attention_heads": 3}, "d_model must be divisible by num_heads, got 26 and 3"),
        ("gpt2", {"n_head": 5}, "d_model must be divisible by num_heads, got 26 and 5"),
        ("t5", {"relative_attention_num_buckets": 3}, "num_buckets must be at least 2 for each direction, got 3"),
        ("t5", {"relative_attention_max_distance": 4}, "max_distance must be more than 4, which have a bucket each"),
    ],
)
def test_sizes_that_cannot_go_together(copy, kind, changed, said):
    folder = copy(kind)
    change_settings(folder, **changed)
    sentence = refusal(folder)
    assert sentence.startswith(f"the checkpoint in {folder} describes no model that can be: ")
    assert said in sentence


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("bert", {"intermediate_size": 29}),
        ("bert", {"type_vocab_size": 2}),
        ("gpt2", {"n_positions": 36}),
        ("t5", {"d_kv": 5}),
        ("t5", {"num_heads": 7}),
        ("t5", {"relative_attention_num_buckets": 16}),
        ("roberta", {"intermediate_size": 29}),
        ("distilbert", {"hidden_dim": 29}),
        ("modernbert", {"intermediate_size": 29}),
        ("openai-gpt", {"n_positions": 36}),
        ("llama", {"intermediate_size": 29}),
        ("bart", {"max_position_embeddings": 36}),
    ],
)
def test_settings_that_are_not_of_these_tensors(copy, kind, changed):
    folder = copy(kind)
    change_settings(folder, **changed)
    sentence = refusal(folder)
    assert " should have shape (" in sentence
    assert sentence.endswith(f"; config.json and the tensors in {folder} do not belong together.")


@pytest.mark.parametrize(
    ("kind", "setting", "layers"),
    [
        ("bert", "num_hidden_layers", 3),
        ("gpt2", "n_layer", 3),
        ("t5", "num_layers", 2),
        ("t5", "num_decoder_layers", 3),
        ("roberta", "num_hidden_layers", 3),
        ("distilbert", "n_layers", 3),
        ("openai-gpt", "n_layer", 3),
        ("llama", "num_hidden_layers", 3),
        ("bart", "encoder_layers", 2),
        ("bart", "decoder_layers", 3),
    ],
)
def test_another_number_of_layers(copy, kind, setting, layers):
    folder = copy(kind)
    change_settings(folder, **{setting: layers - 1})
    assert "holds tensors the course has no place for" in refusal(folder)
    change_settings(folder, **{setting: layers + 1})
    assert "lacks the tensor" in refusal(folder)


def test_a_copy_that_is_none(copy):
    """Where a tensor should be a copy of the embedding and is not, the model would be another."""
    for kind, name in (
        ("bert with a masked-LM head", "cls.predictions.decoder.weight"),
        ("t5", "encoder.embed_tokens.weight"),
        ("t5 v1.1", "decoder.embed_tokens.weight"),
    ):
        folder = copy(kind)
        change_tensors(folder, lambda tensors, name=name: tensors | {name: torch.ones(101, 7)})
        assert f"holds tensors the course has no place for, such as {name!r}" in refusal(folder)


def test_biases_in_a_model_that_has_none(copy):
    for name in ("encoder.block.0.layer.0.SelfAttention.o.bias", "decoder.final_layer_norm.bias"):
        folder = copy("t5")
        change_tensors(folder, lambda tensors, name=name: tensors | {name: torch.ones(23)})
        assert "holds tensors the course has no place for" in refusal(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("kind", "longer", "shorter"),
    [
        (
            "t5 v1.1",
            "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
            "encoder.block.0.layer.1.DenseReluDense.wi_1.weight",
        ),
        ("t5", "decoder.block.2.layer.0.SelfAttention.q.weight", "decoder.block.2.layer.0.SelfAttention.v.weight"),
        ("bert", "encoder.layer.1.attention.self.key.bias", "encoder.layer.1.attention.self.query.bias"),
        ("llama", "model.layers.1.self_attn.q_proj.weight", "model.layers.1.self_attn.k_proj.weight"),
        ("llama", "model.layers.1.mlp.gate_proj.weight", "model.layers.1.mlp.up_proj.weight"),
        ("bart", "model.decoder.layers.0.self_attn.k_proj.weight", "model.decoder.layers.0.self_attn.v_proj.weight"),
    ],
)
def test_parts_that_fit_together_only_as_a_whole(copy, kind, longer, shorter):
    """One of two matrices that become one has a row more, the other a row less."""
    folder = copy(kind)
    change_tensors(
        folder,
        lambda tensors: (
            tensors | {longer: torch.cat((tensors[longer], tensors[longer][:1])), shorter: tensors[shorter][1:]}
        ),
    )
    assert "do not fit together in their shapes" in refusal(folder)


def test_logits_that_are_moved_in_bart(copy):
    folder = copy("bart")
    change_tensors(folder, lambda tensors: tensors | {"final_logits_bias": torch.ones(1, 101)})
    assert refusal(folder) == "'final_logits_bias' of this checkpoint is not 0, and the course has no place for it."


def test_layers_that_do_not_alternate_in_modernbert(copy):
    folder = copy("modernbert")
    change_settings(folder, layer_types=["sliding_attention"] * 5)
    assert refusal(folder).startswith("layer_types of this checkpoint are not one layer that reads all")


def test_settings_of_old_for_rotary_positions(copy, tmp_path):
    """Files of old gave the base, and how many layers apart those are that read all, each under a name of its own."""
    for kind, old in (
        ("llama", {"rope_theta": 50.0}),
        ("modernbert", {
            "global_rope_theta": 160_000.0, "local_rope_theta": 10_000.0, "global_attn_every_n_layers": 3,
        }),
    ):  # fmt: skip
        folder = copy(kind)
        expected = outputs(zoo.load(folder))
        change_settings(folder, drop="rope_parameters", **old)
        change_settings(folder, drop="layer_types")
        assert torch.equal(outputs(zoo.load(folder)), expected)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rope_type": "llama3", "rope_theta": 50.0}, "rope_type in "),
        ({"rope_type": "default", "rope_theta": "50"}, "rope_theta in "),
        ({"rope_type": "default", "rope_theta": 1}, "rope_theta in "),
        ({"rope_type": "default", "rope_theta": float("inf")}, "rope_theta in "),
        ([50.0], "rope_theta in "),
    ],
)
def test_rotary_positions_that_are_none_of_ours(copy, given, said):
    folder = copy("llama")
    change_settings(folder, rope_parameters=given)
    assert refusal(folder).startswith(said)
