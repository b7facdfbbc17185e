"""How fast the reference library is, beside transformers and torch.nn.Transformer, with the same sizes.

Everything is compared in one run: both sides take turns, each turn gives one ratio, and the table shows their median
and their spread (the middle half). Above 1.00 our side is the faster one. Times themselves depend on the machine. What
is written goes on from 16 tokens.
`--quick` takes fewer turns.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.blocks import FeedForward, initialise
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.generation import generate
from course_lib.objectives import next_token_loss

TANH_GELU = partial(FeedForward, activation=partial(F.gelu, approximate="tanh"))  # GPT-2's
TOY = DecoderConfig(
    vocab_size=1000, d_model=128, num_layers=4, num_heads=4, d_ff=512, max_len=512, feed_forward=TANH_GELU
)
GPT2 = DecoderConfig(
    vocab_size=50257, d_model=768, num_layers=12, num_heads=12, d_ff=3072, max_len=1024, feed_forward=TANH_GELU
)


def published(config: DecoderConfig) -> nn.Module:
    """Make transformers' GPT-2 of the same sizes, without dropout, as ours is."""
    theirs = transformers.GPT2Config(
        vocab_size=config.vocab_size, n_embd=config.d_model, n_layer=config.num_layers, n_head=config.num_heads,
        n_inner=config.d_ff, n_positions=config.max_len, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(theirs)


class OfTorch(nn.Module):
    """The same decoder of torch's own layers, with its causal mask."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            config.d_model, config.num_heads, config.d_ff, 0.0, partial(F.gelu, approximate="tanh"), batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.tokens, self.positions = (nn.Embedding(n, config.d_model) for n in (config.vocab_size, config.max_len))
        norm = nn.LayerNorm(config.d_model)
        self.stack = nn.TransformerEncoder(layer, config.num_layers, norm, enable_nested_tensor=False)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        initialise(self)  # as torch leaves them, the logits are so large that the loss is computed on denormal numbers

    def forward(self, ids: Tensor) -> Tensor:
        n = ids.shape[1]
        x = self.tokens(ids) + self.positions(torch.arange(n))
        return self.head(self.stack(x, nn.Transformer.generate_square_subsequent_mask(n), is_causal=True))


def training_step(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """One step of AdamW; the optimiser is the same on all sides."""
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def training_steps(config: DecoderConfig, batch: int, length: int) -> dict[str, Callable[[], None]]:
    ids = torch.randint(config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(0))
    ours, theirs, of_torch = Decoder(config), published(config), OfTorch(config)
    return {
        "ours": training_step(ours, lambda: next_token_loss(ours(ids), ids)),
        "transformers": training_step(theirs, lambda: theirs(ids, labels=ids, use_cache=False).loss),
        "torch.nn.Transformer": training_step(of_torch, lambda: next_token_loss(of_torch(ids), ids)),
    }


def writing(config: DecoderConfig, new: int) -> dict[str, Callable[[], None]]:
    prompt = torch.randint(config.vocab_size, (1, 16), generator=torch.Generator().manual_seed(0))
    ours, theirs = Decoder(config).eval(), published(config).eval()
    options = {"max_new_tokens": new, "do_sample": False, "attention_mask": torch.ones_like(prompt)}
    return {
        "ours": lambda: generate(ours, prompt, new),
        "transformers": lambda: theirs.generate(prompt, **options),
        "ours, nothing cached": lambda: generate(ours, prompt, new, use_cache=False),
    }


def take_turns(sides: dict[str, Callable[[], None]], turns: int) -> Iterator[dict[str, float]]:
    """Time each side once a turn, each turn another one first, after one turn to warm up."""
    names = list(sides)
    for turn in range(turns + 1):
        seconds = {}
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            sides[name]()
            seconds[name] = time.perf_counter() - start
        if turn:
            yield seconds


def compare(
    table: Table, what: str, sides: dict[str, Callable[[], None]], turns: int, targets: dict[str, float]
) -> None:
    """Add a row for each other side: how many times as long it took as ours, turn by turn."""
    seconds = list(take_turns({name: side for name, side in sides.items() if name == "ours" or name in targets}, turns))
    for other, target in targets.items():
        ratios = sorted(turn[other] / turn["ours"] for turn in seconds)
        low, middle, high = statistics.quantiles(ratios, n=4)
        ours = statistics.median(turn["ours"] for turn in seconds)
        reached = "reached" if middle >= target else "missed"
        table.add_row(
            what, other, f"{1000 * ours:.1f} ms", f"{middle:.2f}", f"{low:.2f}-{high:.2f}", f"{target:.1f}", reached
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    quick = parser.parse_args().quick
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(2)
    table = Table(title=f"speed on {torch.get_num_threads()} threads; ratio: their time / our time")
    for column in ("what", "beside", "ours"):
        table.add_column(column)
    for column in ("ratio", "middle half", "target", ""):
        table.add_column(column, justify="right")
    training = {"transformers": 1.0, "torch.nn.Transformer": 1.0}
    short, long = (10, 4) if quick else (60, 12)
    compare(table, "training step, toy", training_steps(TOY, 16, 64), short, training)
    compare(table, "training step, GPT-2 small", training_steps(GPT2, 2, 128), long, training)
    for new, gain in ((64, 2.5), (200, 5.0)):
        targets = {"transformers": 3.0, "ours, nothing cached": gain}
        compare(table, f"{new} tokens, toy", writing(TOY, new), short // 2, targets)
        targets = {"transformers": 1.1, "ours, nothing cached": gain}
        compare(table, f"{new} tokens, GPT-2 small", writing(GPT2, new), long // 3 + 1, targets)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
