"""Lessons 03 to 05 on the language whose entropy is known."""

import torch
from torch import Tensor

from course_lib.cheating import copy_rate, repair
from course_lib.decoder import Decoder, DecoderConfig
from course_lib.encoder import Encoder, EncoderConfig
from course_lib.filling import fill_masks
from course_lib.generation import generate
from course_lib.heads import MaskedLM
from course_lib.objectives import IGNORE, mask_tokens, masked_lm_loss, next_token_loss
from course_lib.padding import right_pad
from course_lib.suspects import suspects
from course_lib.training import History, Recipe, shuffled, train
from course_lib.worlds import english
from course_lib.worlds.special_tokens import BOS, EOS, FIRST_ORDINARY, MASK, PAD

Figures = dict[str, float]
LANGUAGE = english.default()
TRAINED_ON, TESTED_ON = 20_000, 2_000
SIZES = {
    "vocab_size": LANGUAGE.tokenizer.vocab_size, "d_model": 64, "num_layers": 2, "num_heads": 4, "d_ff": 256,
    "max_len": 32,
}  # fmt: skip


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sentences(count: int, generator: torch.Generator, bos: bool = True) -> tuple[Tensor, Tensor]:
    """Draw sentences of the language: ids (count, longest) and their padding mask."""
    encode = LANGUAGE.tokenizer.encode
    return right_pad([encode(words, bos=bos, eos=True) for words in LANGUAGE.sample(count, generator)], PAD)


def trim(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the padding off that no sentence of the batch needs."""
    longest = int(mask.sum(-1).max())
    return ids[:, :longest], mask[..., :longest]


def train_decoder(
    seed: int, steps: int = 400, weights: dict[str, Tensor] | None = None, **parts
) -> tuple[Decoder, History]:
    """Train a decoder, from these weights on if there are any."""
    generator = seeded(seed)
    data = sentences(TRAINED_ON, generator)
    model = Decoder(DecoderConfig(**SIZES, **parts), generator)
    if weights:
        model.load_state_dict(weights)

    def loss(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
        ids, mask = trim(*batch)
        return next_token_loss(model(ids, mask), ids, mask)

    recipe = Recipe(steps=steps, learning_rate=3e-3, warmup=50)
    return model, train(model, shuffled(data, 128, generator), loss, recipe, generator=generator, progress=False)


def train_encoder(seed: int, steps: int = 800, rate: float = 0.15) -> tuple[MaskedLM, History]:
    generator = seeded(seed)
    data = sentences(TRAINED_ON, generator, bos=False)
    model = MaskedLM(Encoder(EncoderConfig(**SIZES), generator), generator)

    def loss(model: MaskedLM, batch: tuple[Tensor, Tensor]) -> Tensor:
        ids, mask = trim(*batch)
        inputs, labels = hide(ids, rate, generator)
        return masked_lm_loss(model(inputs, mask), labels)

    recipe = Recipe(steps=steps, learning_rate=3e-3, warmup=50)
    return model, train(model, shuffled(data, 128, generator), loss, recipe, generator=generator, progress=False)


def hide(ids: Tensor, rate: float, generator: torch.Generator, **shares: float) -> tuple[Tensor, Tensor]:
    vocab_size = LANGUAGE.tokenizer.vocab_size
    return mask_tokens(ids, MASK, vocab_size, range(FIRST_ORDINARY), rate=rate, generator=generator, **shares)


def share_in_language(ids: Tensor) -> float:
    """How many of these id sequences are sentences of the language, from begin to end."""
    return LANGUAGE.log_probability(ids).isfinite().double().mean().item()


def write(model: Decoder, count: int, generator: torch.Generator, **how) -> Tensor:
    """Let a decoder write sentences; what is not ended by then is no sentence."""
    start = torch.full((count, 1), BOS)
    return generate(model, start, 24, generator=generator, stop_ids=EOS, pad_id=PAD, **how)


def decoder_and_entropy(seed: int) -> Figures:
    """Lesson 04: loss on new sentences over what their own probabilities make possible; target: at most 1.03."""
    model, history = train_decoder(seed)
    ids, mask = sentences(TESTED_ON, seeded(10_000 + seed))
    with torch.no_grad():
        loss = next_token_loss(model(ids, mask), ids, mask).item()
    floor = -LANGUAGE.log_probability(ids[:, 1:]).sum().item() / (mask.sum().item() - len(ids))
    written = write(model, 1000, seeded(seed))
    return {
        "seconds": history.seconds, "loss": loss, "floor of these": floor, "entropy": LANGUAGE.entropy_per_token,
        "loss / floor": loss / floor, "written in language": share_in_language(written),
    }  # fmt: skip


def ways_to_draw(seed: int) -> Figures:
    """Lesson 04: of 500 sentences drawn in each way, how many are in the language, how many are different.

    And how surprising those in the language are to the language itself, in nats a token.
    """
    model, _ = train_decoder(seed)
    ways = [{"temperature": heat} for heat in (0.0, 0.5, 1.0, 1.5, 2.0)]
    ways += [{"temperature": heat} | cut for heat in (1.0, 1.5) for cut in ({"top_k": 5}, {"top_p": 0.9})]
    figures = {}
    for way in ways:
        written, name = write(model, 500, seeded(seed), **way), ", ".join(f"{k} {v}" for k, v in way.items())
        chances = LANGUAGE.log_probability(written)
        correct = chances.isfinite()
        figures[f"{name}: in language"] = correct.double().mean().item()
        figures[f"{name}: different"] = len(written.unique(dim=0)) / len(written)
        figures[f"{name}: surprise"] = (-chances[correct].sum() / (written[correct] != PAD).sum()).item()
    return figures


def three_suspects(seed: int) -> Figures:
    """Lesson 05: same sizes, same budget, two with a leak; target: losses far below the entropy, samples useless."""
    ids, mask = sentences(TESTED_ON, seeded(10_000 + seed))
    of_one_length = ids[mask[:, 0, 0].sum(-1) == 9][:100, :9]
    configs = suspects(**SIZES)
    models = {name: train_decoder(seed, mask=config.mask)[0] for name, config in configs.items()}
    models["right mask, Cedar's weights"] = Decoder(repair(configs["Cedar"]))
    models["right mask, Cedar's weights"].load_state_dict(models["Cedar"].state_dict())
    models["Cedar, untrained"] = Decoder(configs["Cedar"], seeded(seed))
    weights = models["Cedar"].state_dict()
    for steps in (50, 400):
        models[f"Cedar, trained on for {steps}"] = train_decoder(seed, steps, weights)[0]
    models["begun anew for 50"] = train_decoder(seed, 50)[0]
    figures = {"entropy": LANGUAGE.entropy_per_token}
    for name, model in models.items():
        with torch.no_grad():
            figures[f"{name}: loss"] = next_token_loss(model(ids, mask), ids, mask).item()
            figures[f"{name}: copies"] = copy_rate(model, of_one_length, SIZES["vocab_size"], seeded(seed))
        figures[f"{name}: in language"] = share_in_language(write(model, 500, seeded(seed), use_cache=False))
    return figures


def fill(model: MaskedLM, seed: int) -> Figures:
    """Fill masks in new sentences; beside it, what the language's own posteriors reach on the very same masks."""
    generator = seeded(10_000 + seed)
    ids, mask = sentences(TESTED_ON, generator, bos=False)
    inputs, labels = hide(ids, 0.15, generator, mask_share=1.0, random_share=0.0)
    asked = labels != IGNORE
    right = ids[asked]
    with torch.no_grad():
        logits = model(inputs, mask)[asked]
    best = LANGUAGE.masked_probabilities(inputs)[asked]
    return {
        "accuracy": (logits.argmax(-1) == right).double().mean().item(),
        "best accuracy": (best.argmax(-1) == right).double().mean().item(),
        "loss": torch.nn.functional.cross_entropy(logits, right).item(),
        "best loss": -best.gather(-1, right[:, None]).log().mean().item(),
    }


def encoder_fills_masks(seed: int) -> Figures:
    """Lesson 03: masks filled as well as the language allows."""
    model, history = train_encoder(seed)
    return {"seconds": history.seconds} | fill(model, seed)


def fifteen_or_forty_percent(seed: int) -> Figures:
    """Lesson 03: how many masks to learn from; both are tested on 15 %."""
    return {
        f"{name} at {rate:.0%}": value
        for rate in (0.15, 0.4)
        for name, value in fill(train_encoder(seed, steps=400, rate=rate)[0], seed).items()
    }


def bank_in_two_contexts(seed: int) -> Figures:
    """Lesson 03: is the sense of "bank" in its vector? Distances, and neighbours that share no telling word."""
    untrained = Encoder(EncoderConfig(**SIZES), seeded(seed))
    models = {"encoder": train_encoder(seed)[0].encoder, "decoder": train_decoder(seed)[0], "untrained": untrained}
    drawn = [one for one in english.bank_sentences(1500, seeded(seed)) if one.clue == "right"]
    in_sense = [{word for one in drawn if one.sense == sense for word in one.sentence} for sense in ("river", "money")]
    telling = torch.tensor(LANGUAGE.tokenizer.encode(sorted(in_sense[0] ^ in_sense[1])))
    river = torch.tensor([one.sense == "river" for one in drawn])
    figures = {}
    for name, model in models.items():
        bos = name == "decoder"
        ids, mask = right_pad([LANGUAGE.tokenizer.encode(one.sentence, bos=bos, eos=True) for one in drawn], PAD)
        places = torch.tensor([one.position + bos for one in drawn])
        has = (ids[:, :, None] == telling).any(1).double()
        with torch.no_grad():
            x = torch.nn.functional.normalize(model.hidden(ids, mask)[torch.arange(len(ids)), places], dim=-1)
        cosine, same, itself = x @ x.T, river[:, None] == river, torch.eye(len(x), dtype=torch.bool)
        within, between = 1 - cosine[same & ~itself].mean(), 1 - cosine[~same].mean()
        figures[f"{name}, between senses / within"] = (between / within).item()
        for which, excluded in (("any neighbour", itself), ("no telling word shared", has @ has.T > 0)):
            nearest = cosine.masked_fill(excluded, -2).argmax(-1)
            figures[f"{name}, sense of {which}"] = (river[nearest] == river).double().mean().item()
    return figures


def masks_filled_step_by_step(seed: int) -> Figures:
    """Lesson 05: an encoder writes by filling masks, surest first (Mask-Predict, Ghazvininejad et al. 2019)."""
    model, history = train_encoder(seed, rate=0.4)
    generator = seeded(seed)
    lengths = sentences(1000, seeded(20_000 + seed), bos=False)[1]
    figures = {"seconds": history.seconds}
    hidden = torch.where(lengths[:, 0, 0], MASK, PAD)
    hidden[torch.arange(len(hidden)), lengths[:, 0, 0].sum(-1) - 1] = EOS
    for steps in (1, 2, 4, 8, hidden.shape[1]):
        written = fill_masks(model, hidden, lengths, steps, generator)
        figures[f"in language, {steps} steps"] = share_in_language(written)
    return figures


EXPERIMENTS = (
    decoder_and_entropy,
    ways_to_draw,
    three_suspects,
    encoder_fills_masks,
    fifteen_or_forty_percent,
    bank_in_two_contexts,
    masks_filled_step_by_step,
)
