"""The published configurations by name, and how many parameters they have."""

from difflib import get_close_matches

import torch
from torch import nn

from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.seq2seq import EncoderDecoder, EncoderDecoderConfig
from course_lib.zoo import bert, deberta, gpt2, t5

__all__ = ["CONFIGS", "Config", "build", "config", "count_parameters", "names"]

Config = EncoderConfig | DecoderConfig | EncoderDecoderConfig
CONFIGS: dict[str, Config] = bert.CONFIGS | gpt2.CONFIGS | t5.CONFIGS | deberta.CONFIGS
MODELS: list[tuple[type, type[nn.Module]]] = [  # the first that fits
    (bert.BertConfig, bert.Bert),
    (deberta.DebertaConfig, deberta.Deberta),
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

    Raises ValueError if there is none of that name, with those that look like it.

    >>> config("gpt2").num_layers
    12
    """
    if name not in CONFIGS:
        longer = [known for known in CONFIGS if known.startswith(name)]
        alike = longer or get_close_matches(name, CONFIGS, n=3) or list(CONFIGS)
        raise ValueError(f"no configuration is called {name!r}; there are {', '.join(alike)}")
    return CONFIGS[name]


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
