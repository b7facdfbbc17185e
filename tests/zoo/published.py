"""Tiny models of the published implementation, every parameter drawn at random, and the files they save."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_lib import zoo
from course_lib.errors import CourseError
from tests.models import drawn

BATCH, SEQ, VOCAB = 3, 11, 101
# Sizes are different primes wherever they may be, and epsilon is so large that a wrong one shows.
BERT = {
    "vocab_size": VOCAB,
    "hidden_size": 2 * 13,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 31,
    "max_position_embeddings": 37,
    "type_vocab_size": 5,
    "layer_norm_eps": 0.01,
}
GPT2 = {
    "vocab_size": VOCAB,
    "n_embd": 2 * 13,
    "n_layer": 3,
    "n_head": 2,
    "n_inner": 31,
    "n_positions": 37,
    "layer_norm_epsilon": 0.01,
    "bos_token_id": None,
    "eos_token_id": None,
}
T5 = {
    "vocab_size": VOCAB,
    "d_model": 23,
    "d_kv": 7,
    "d_ff": 31,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 5,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "layer_norm_epsilon": 0.01,
    "decoder_start_token_id": 0,
    "eos_token_id": None,
}
DISTILBERT = {
    "vocab_size": VOCAB, "dim": 2 * 13, "n_layers": 3, "n_heads": 2, "hidden_dim": 31, "max_position_embeddings": 37,
}  # fmt: skip
MODERNBERT = {
    "vocab_size": VOCAB, "hidden_size": 2 * 14, "num_hidden_layers": 5, "num_attention_heads": 2,
    "intermediate_size": 31, "max_position_embeddings": 37, "norm_eps": 0.01, "local_attention": 6,
    "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None, "cls_token_id": None, "sep_token_id": None,
}  # fmt: skip
OPENAI_GPT = {
    "vocab_size": VOCAB, "n_embd": 2 * 13, "n_layer": 3, "n_head": 2, "n_positions": 37, "layer_norm_epsilon": 0.01,
}  # fmt: skip
LLAMA = {
    "vocab_size": VOCAB, "hidden_size": 6 * 8, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "intermediate_size": 31, "max_position_embeddings": 37, "rms_norm_eps": 0.01,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}, "pad_token_id": None, "bos_token_id": None,
    "eos_token_id": None,
}  # fmt: skip
BART = {
    "vocab_size": VOCAB, "d_model": 2 * 13, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 31, "decoder_ffn_dim": 31, "max_position_embeddings": 37,
    "decoder_start_token_id": 2, "eos_token_id": None, "bos_token_id": None, "forced_eos_token_id": None,
}  # fmt: skip
DEBERTA = {
    "vocab_size": VOCAB,
    "hidden_size": 2 * 13,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 31,
    "max_position_embeddings": 37,
    "max_relative_positions": 7,
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "position_biased_input": False,
    "layer_norm_eps": 0.01,
}
DEBERTA_V2 = DEBERTA | {
    "max_relative_positions": 17,
    "position_buckets": 8,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}


def bert(kind: str = "BertModel", seed: int = 0, **more) -> nn.Module:
    return drawn(getattr(transformers, kind)(transformers.BertConfig(**BERT | more)), seed)


def gpt2(kind: str = "GPT2LMHeadModel", seed: int = 0, **more) -> nn.Module:
    return drawn(getattr(transformers, kind)(transformers.GPT2Config(**GPT2 | more)), seed)


def roberta(kind: str = "RobertaModel", seed: int = 0, **more) -> nn.Module:
    config = transformers.RobertaConfig(**BERT | {"max_position_embeddings": 39, "type_vocab_size": 1} | more)
    return drawn(getattr(transformers, kind)(config), seed)


def distilbert(kind: str = "DistilBertModel", seed: int = 0, **more) -> nn.Module:
    return drawn(getattr(transformers, kind)(transformers.DistilBertConfig(**DISTILBERT | more)), seed)


def modernbert(kind: str = "ModernBertModel", seed: int = 0, **more) -> nn.Module:
    return drawn(getattr(transformers, kind)(transformers.ModernBertConfig(**MODERNBERT | more)), seed)


def openai_gpt(seed: int = 0, **more) -> nn.Module:
    return drawn(transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig(**OPENAI_GPT | more)), seed)


def llama(seed: int = 0, **more) -> nn.Module:
    return drawn(transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA | more)), seed)


def mistral(seed: int = 0, **more) -> nn.Module:
    config = transformers.MistralConfig(**LLAMA | {"sliding_window": 5} | more)
    return drawn(transformers.MistralForCausalLM(config), seed)


def bart(seed: int = 0, untied: bool = False, **more) -> nn.Module:
    """Its norms come last: with large biases in them all tokens would look alike, and no source would matter."""
    model = transformers.BartForConditionalGeneration(transformers.BartConfig(**BART | more))
    if untied:  # by hand: the configuration would give each side an embedding of its own too
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.model.shared.weight))
    drawn(model, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("layer_norm.bias", "layernorm_embedding.bias")):
                parameter /= 10
    return model


def t5(seed: int = 0, untied: bool = False, scaled: bool = True, kind: str = "T5", **more) -> nn.Module:
    tie = {} if scaled else {"tie_word_embeddings": False}
    config = getattr(transformers, f"{kind}Config")(**T5 | more, **tie)
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config)
    if untied:  # by hand: the configuration does not do it in every version
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.shared.weight))
    return drawn(model, seed)


def deberta(kind: str = "DebertaModel", seed: int = 0, **more) -> nn.Module:
    model = drawn(getattr(transformers, kind)(transformers.DebertaConfig(**DEBERTA | more)), seed)
    with torch.no_grad():  # distances as loud as content, which goes through a norm first; later they do too
        model.base_model.encoder.rel_embeddings.weight.mul_(model.config.hidden_size**0.5)
    return model


def deberta_v2(kind: str = "DebertaV2Model", seed: int = 0, **more) -> nn.Module:
    return drawn(getattr(transformers, kind)(transformers.DebertaV2Config(**DEBERTA_V2 | more)), seed)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "bert": bert,
    "bert with a masked-LM head": partial(bert, "BertForMaskedLM"),
    "bert with both heads": partial(bert, "BertForPreTraining"),
    "gpt2": gpt2,
    "gpt2 without a head": partial(gpt2, "GPT2Model"),
    "gpt2 untied": partial(gpt2, tie_word_embeddings=False),
    "t5": t5,
    "t5 v1.1": partial(t5, untied=True, scaled=False, feed_forward_proj="gated-gelu"),
    "mt5": partial(t5, kind="MT5", untied=True, scaled=False, feed_forward_proj="gated-gelu"),
    "roberta": roberta,
    "roberta with a masked-LM head": partial(roberta, "RobertaForMaskedLM"),
    "distilbert": distilbert,
    "distilbert with a masked-LM head": partial(distilbert, "DistilBertForMaskedLM"),
    "modernbert": modernbert,
    "modernbert with a masked-LM head": partial(modernbert, "ModernBertForMaskedLM"),
    "openai-gpt": openai_gpt,
    "llama": llama,
    "mistral": mistral,
    "bart": bart,
    "bart untied": partial(bart, untied=True),
    "deberta": deberta,
    "deberta with a masked-LM head": partial(deberta, "DebertaForMaskedLM"),
    "deberta-v2": deberta_v2,
    "deberta-v2 with a masked-LM head": partial(deberta_v2, "DebertaV2ForMaskedLM"),
}


def saved(model: nn.Module, folder: Path, **options) -> Path:
    model.save_pretrained(folder, **options)
    return folder


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Save what `change` makes of the tensors of a saved model."""
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    save_file({name: tensor.contiguous() for name, tensor in change(tensors).items()}, file)


def change_settings(folder: Path, drop: str = "", **new) -> None:
    """Put these into config.json, and take one out."""
    file = folder / "config.json"
    settings = json.loads(file.read_text()) | new
    settings.pop(drop, None)
    file.write_text(json.dumps(settings))


def refusal(name_or_folder: str | Path) -> str:
    """Fail to load, and give the one sentence that says why."""
    with pytest.raises(CourseError) as error:
        zoo.load(name_or_folder)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert not sentence.endswith("..")
    assert len(sentence.replace(str(name_or_folder), "")) < 400
    return sentence


def ids(batch: int = BATCH, seq: int = SEQ, vocab: int = VOCAB, seed: int = 0) -> Tensor:
    return torch.randint(0, vocab, (batch, seq), generator=torch.Generator().manual_seed(seed))


def outputs(model: nn.Module) -> Tensor:
    """What a loaded model gives for ids, without gradients."""
    with torch.no_grad():
        return model(*[ids()] * (2 if hasattr(model, "encode") else 1))
