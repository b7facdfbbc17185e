"""The published configurations by name, and how many parameters they have."""

from difflib import get_close_matches

import torch
from torch import nn

from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from course_lib.zoo import bart, bert, deberta, distilbert, gpt1, gpt2, llama, modernbert, roberta, t5

__all__ = ["CLOSED", "CONFIGS", "Config", "build", "config", "count_parameters", "like", "names"]

Config = EncoderConfig | DecoderConfig | EncoderDecoderConfig
_ENCODERS = bert.CONFIGS | roberta.CONFIGS | distilbert.CONFIGS | modernbert.CONFIGS | deberta.CONFIGS
_DECODERS = gpt1.CONFIGS | gpt2.CONFIGS | llama.CONFIGS
CONFIGS: dict[str, Config] = _ENCODERS | _DECODERS | t5.CONFIGS | bart.CONFIGS
CLOSED = {
    "gpt-4": "its report (OpenAI 2023) gives neither its size nor its architecture; a mixture of experts is what the "
    "press reports, not its maker",
    "claude": "Anthropic has published neither its size nor its architecture",
    "gemini": "its report (Google 2023) says that it is built on transformer decoders, and of 1.5 (2024) that it is a "
    "sparse mixture of experts; sizes are given for the two smallest, Nano, alone: 1.8 and 3.25 billion",
}  # what is known of models whose weights nobody can load, and by whom
MODELS: list[tuple[type, type[nn.Module]]] = [  # the first that fits
    (bert.BertConfig, bert.Bert),
    (modernbert.ModernBertConfig, modernbert.ModernBert),
    (deberta.DebertaConfig, deberta.Deberta),
    (gpt1.Gpt1Config, gpt1.Gpt1),
    (EncoderConfig, Encoder),
    (DecoderConfig, Decoder),
    (EncoderDecoderConfig, EncoderDecoder),
]


def names() -> list[str]:
    """Give the names of the published configurations, family by family.

    >>> names()[:2]
    ['bert-base-uncased', 'bert-large-uncased']
    """
    return list(CONFIGS)


def config(name: str) -> Config:
    """Give a published configuration by its name: lower case, without the organisation.

    Raises ValueError if there is none of that name, with those that look like it, or what is known of a closed model.

    >>> config("gpt2").num_layers
    12
    """
    if name in CLOSED:
        raise ValueError(f"{name} is closed: {CLOSED[name]}")
    if name not in CONFIGS:
        raise ValueError(f"no configuration is called {name!r}; there are {', '.join(like(name) or CONFIGS)}")
    return CONFIGS[name]


def like(name: str) -> list[str]:
    """Give up to three published names that look like another: those that begin with it, or are spelt alike.

    >>> like("bert-base"), like("llama2")
    (['bert-base-uncased'], ['llama-2-7b', 'llama-2-70b', 'llama-2-13b'])
    """
    return [known for known in CONFIGS if name and known.startswith(name)][:3] or get_close_matches(name, CONFIGS, n=3)


def build(config: Config, generator: torch.Generator | None = None) -> nn.Module:
    """Make the model of a configuration, with fresh weights.

    Raises TypeError if it is no configuration of a model.

    >>> type(build(EncoderConfig(vocab_size=9, d_model=6, num_layers=1, num_heads=2, d_ff=24))).__name__
    'Encoder'
    """
    for kind, model in MODELS:
        if isinstance(config, kind):
            return model(config, generator)
    raise TypeError(f"config must be an encoder's, a decoder's or an encoder-decoder's, got {type(config).__name__}")


def count_parameters(name_or_config: str | Config | nn.Module, pretraining: bool = False) -> int:
    """Count the parameters of a model exactly, each once, without making room for any.

    name_or_config: a published name, a configuration, or a model that is there already.

    pretraining: BERT with the two heads it was pretrained with; the others bring their head anyway.
    Raises ValueError for an unknown name, or if there are no such heads; TypeError if it is no configuration.

    >>> count_parameters("gpt2")
    124439808
    """
    if isinstance(name_or_config, nn.Module):
        return sum(parameter.numel() for parameter in name_or_config.parameters())
    chosen = config(name_or_config) if isinstance(name_or_config, str) else name_or_config
    with torch.device("meta"):
        model = build(chosen)
        if pretraining:
            if not isinstance(model, bert.Bert):
                raise ValueError(f"only BERT's heads can be added, got a {type(model).__name__}")
            model = bert.BertForPreTraining(model)
    return sum(parameter.numel() for parameter in model.parameters())
