"""What the prose says of results, and how the shipped results of a seed bear it out; and the figures that need none."""

import math

import torch

from course_lib.worlds.numbers import number_pairs


def figures(results):
    """Each quotation: lesson/cell, words of the cell, what a seed's results give: a number, or whether it is true."""
    for lesson in (lesson02, lesson03, lesson04_language, lesson04_tasks, lesson05, lesson06):
        yield from lesson(lambda name: results[name])


def lesson02(r):
    plain, causal = r("02.order")["plain"], r("02.order")["causal mask"]
    alone, residual = r("02.alikeness_after_12_layers").values()
    yield "02/agreement-reading", "Only the last digits", max(r("02.difference_from_torch").values()) < 5e-6
    yield "02/residual-reading", "makes all tokens one vector", alone > 0.99
    yield "02/residual-reading", "after 12 layers they still differ", residual < 0.95
    growth = r("02.growth_when_length_doubles")
    memory = growth["open, memory"], growth["fused, memory"]
    yield "02/cost-reading", "four times in the open, twice when fused", memory == (4, 2)
    yield "02/order-reading", "equal to a rounding error", max(plain.values()) < 1e-5
    yield "02/order-reading", "gives some order away", max(causal.values()) > 0.01


def lesson03(r):
    best, pays, distance = r("03.best_by_side"), r("03.pretraining_pays"), r("03.bank_distance")
    senses = r("03.sense_of_the_nearest_bank")
    both, left, untrained = (row["no telling word shared"] for row in senses.values())
    yield "03/opening-reading", "Both sides help", best["both sides"] > best["left side"] + 0.05
    short = [row["best"] - row["model"] for row in r("03.gaps_filled").values()]
    yield "03/test-reading", "nearly as well as is possible", max(short) < 0.02
    few, many = r("03.gaps_filled_by_rate").values()
    yield "03/rate-reading", "Neither", abs(few - many) < 0.01
    yield "03/bank-reading", "*bank* has another vector in each sentence", distance["both sides"] > 1e-4
    yield "03/bank-reading", "equal, bit for bit", distance["left only"] == 0
    yield "03/sense-reading", "does well there", senses["untrained"]["any neighbour"] > 0.7
    yield "03/sense-reading", "Only the **trained** encoder", both > 0.2 + max(left, untrained)
    yield "03/sense-reading", "a coin toss or worse", left < 0.55
    beaten = {name: row["head"] > row["rule"] for name, row in r("03.five_heads").items()}
    yield "03/heads-reading", "All five beat their rule", beaten == dict.fromkeys(beaten, True) | {"staff": False}
    gain = {name: row["pretrained"] - row["fresh"] for name, row in pays.items()}
    yield "03/pays-reading", "For answers", gain["answer"] == max(gain.values()) > 0.05
    yield "03/pays-reading", "Names gain a little", 0 < gain["names"] < 0.1
    yield "03/pays-reading", "for the sector it does little or nothing", gain["sector"] < 0.1


def lesson04_language(r):
    loss, heat, filtered = r("04.loss"), r("04.sampling_by_temperature"), r("04.sampling_by_filter")
    entropy = loss["entropy"]
    yield "04/opening-reading", "1.5387 nats", entropy
    yield "04/opening-reading", "4.66", math.exp(entropy)
    yield "04/train-idea", "1.5387", entropy
    yield "04/test-text", "1.5387", entropy
    yield "04/test-reading", "nearly all there is to learn", loss["model"] / loss["floor"] < 1.02
    yield "04/heat-predict", "1.54", entropy
    cold, half, one = heat["0"], heat["0.5"], heat["1"]
    yield "04/heat-reading", "At 0 there is one sentence, 500 times", cold["different"] == 1 / 500
    yield "04/heat-reading", ", and it is correct. At 0.5 all are correct", cold["correct"] == half["correct"] == 1
    yield "04/heat-reading", "nearly all different", half["different"] > 0.9
    yield "04/heat-reading", "**less surprising** than the language's own", half["surprise"] < entropy - 0.02
    yield "04/heat-reading", "At 1 the surprise is about right", abs(one["surprise"] - entropy) < 0.03
    yield "04/heat-reading", "some sentences are spoilt", 0.8 < one["correct"] < 0.99
    above = [heat[t]["correct"] for t in ("1", "1.25", "1.5", "2")]
    yield "04/heat-reading", "Above 1 errors multiply", above == sorted(above, reverse=True) and above[-1] < 0.5
    top_k, top_p = filtered["1.5, top-k 5"], filtered["1.5, top-p 0.9"]
    back = min(top_k["correct"], top_p["correct"])
    yield "04/filter-reading", "Both filters bring nearly all sentences back", back > 0.9
    yield "04/filter-reading", "top-k 5 silences words", top_k["words"] < top_p["words"]
    yield "04/filter-reading", "duller than the language", top_k["surprise"] < entropy
    spoilt = [1 - filtered[f"1.0, {name}"]["correct"] for name in ("no filter", "top-p 0.9")]
    yield "04/filter-reading", "At temperature 1 it mends most errors", spoilt[1] < spoilt[0] / 2


def lesson04_tasks(r):
    speed, form, gib, moves = (
        r(f"04.{name}")
        for name in ("cached_generation", "tasks_by_form_of_the_prompt", "cache_gib", "old_vectors_move")
    )
    yield "04/cache-why-reading", "up to the rounding of a float", moves["causal"] < 1e-5
    yield "04/cache-why-reading", "everything moves", moves["both ways"] > 0.1
    yield "04/speed-reading", "The same tokens", speed["same"]
    yield "04/speed-reading", "several times sooner, and the gain grows", 1.5 < speed["64"] < speed["200"]
    yield "04/speed-reading", "far from 100 times", speed["200"] < 30
    yield "04/models-reading", "1.25 GiB", gib["LLaMA-2-70B"]
    yield "04/models-reading", "against 2", gib["LLaMA-2-7B"]
    yield "04/models-reading", "it would be 10", gib["without groups"]
    above = [row["model"] > row["rule"] for row in r("04.tasks_by_prompt").values()]
    yield "04/prompt-reading", "Above the rules in all three", all(above)
    lose = [form["task in front"][task] < share for task, share in form["as learned"].items()]
    yield "04/form-reading", "with the task in front all three lose", all(lose)
    yield "04/form-reading", "one *the* can be enough", min(form["'the' added"].values()) < 0.5


def lesson05(r):
    loss, write, rates, blind = (
        r(f"05.{name}") for name in ("loss", "sentences_correct", "copy_rate", "loss_without_the_future")
    )
    repaired, filled = r("05.repaired"), r("05.filled_in_rounds")
    yield "05/title", "a loss of 0.00", loss["Ash"]
    yield "05/title", "1.54", loss["entropy"]
    yield "05/opening-question", "1.5387 nats", loss["entropy"]
    yield "05/opening-reading", "Two of three are far below", max(loss["Ash"], loss["Cedar"]) < 0.1 < loss["Birch"]
    lesson04 = r("04.sampling_by_temperature")["1"]["correct"]
    yield "05/write-reading", "as well as your decoder of lesson 04", abs(write["Birch"] - lesson04) < 0.05
    yield "05/write-reading", "write nothing at all", write["Ash"] == write["Cedar"] == 0
    yield "05/copy-reading", "1 % is chance", abs(rates["Cedar, untrained"] - 1 / 104) < 0.01
    yield "05/copy-reading", "far more often than chance", min(rates["Ash"], rates["Cedar"]) > 0.1
    yield "05/copy-reading", "even below 1 in 104", rates["Birch"] < 1 / 104
    _, right_mask, on, anew, long = (row["loss"] for row in repaired.values())
    yield "05/repair-reading", "more than the ln 105 ≈ 4.65", right_mask > math.log(105)
    yield "05/repair-reading", "ahead of a model that begins anew", on < anew
    yield "05/repair-reading", "as good as Birch", abs(long - loss["Birch"]) < 0.01
    yield "05/why-reading", "the losses near 0 were worth", min(blind["Ash"], blind["Cedar"]) > math.log(105)
    yield "05/why-reading", "cutting changes nothing", abs(blind["Birch"] - loss["Birch"]) < 0.05
    yield "05/fill-reading", "All at once it fails", filled["1"] < 0.2
    yield "05/fill-reading", "most sentences are right", filled["4"] > 0.5
    yield "05/fill-reading", "nearly as many as the decoder writes", abs(filled["8"] - write["Birch"]) < 0.1
    yield "05/fill-reading", "More rounds than eight change little", abs(filled["8"] - filled["15"]) < 0.05


def lesson06(r):
    yield "06/test-reading", "it has learned how German builds its numbers", r("06.translation")["exact"] > 0.95
    right, cross, encoder, both = r("06.padding_not_masked").values()
    yield "06/padding-reading", "In cross-attention alone it costs many", cross < right - 0.05
    yield "06/padding-reading", "in the encoder alone next to nothing", encoder > right - 0.02
    yield "06/padding-reading", "most in both places", both < min(cross, encoder)
    layers, words = r("06.alignment_error"), r("06.wrong_looks_by_word")
    first, second, *untrained = layers.values()
    yield "06/maps-reading", "Writing *fünf* the model looks at *five*", words["layer 1"]["says a digit"] < 0.05
    yield "06/error-reading", "The untrained model is wrong about most", min(row["mean"] for row in untrained) > 0.5
    yield "06/error-reading", "the mean of a layer finds most partners", max(first["mean"], second["mean"]) < 0.5
    yield "06/error-reading", "1 to 14 %", 100 * first["mean"]
    yield "06/error-reading", "12 to 22 %", 100 * second["mean"]
    worse = [head > row["mean"] for row in (first, second) for head in row["heads"]]
    yield "06/error-reading", "mostly worse than the mean of its layer", sum(worse) > len(worse) / 2
    yield "06/error-reading", "but not always: compare the heads of the second", min(second["heads"]) < second["mean"]
    most = max(row[word] for row in words.values() for word in ("hundert", "tausend"))
    yield "06/words-reading", "*hundert* and *tausend* often look elsewhere", most > 0.2
    digits = max(row["says a digit"] for row in words.values())
    yield "06/words-reading", "look at their partner nearly always", digits < 0.05
    pairs = number_pairs(1000, torch.Generator().manual_seed(7), subset="test")
    shares = [pair.alignment[pair.alignment.any(-1)].double().mean().item() for pair in pairs]
    yield "06/error-text", "87 %", 100 - 100 * sum(shares) / len(shares)


# What no run can change: settings, mathematics, the language, publications. (lesson/cell: words of the cell)
FACTS = {
    "01/weights-reading": ["to add to 1"],
    "01/convention-reading": ["torch 2.13"],
    "01/combine-reading": ["1 + 2 + 3 + 4, then 4 + 4"],
    "01/prompt-reading": ["1e-6"],
    "01/explorer-answers": ["Window 5"],
    "01/pairs-reading": ["*n*(*n* + 1)/2", "The window of 4", "4*n* − 6"],
    "01/copy-idea": ["about 4 %"],
    "01/leak-small-reading": ["−1 and −11 both become 0"],
    "01/interview-3-rubric": ["weight 0"],
    "01/recap": ["*n*(*n* + 1)/2"],
    "02/look-reading": ["e² ≈ 7.4"],
    "02/scale-reading": ["32 at 1,024", "1/8"],
    "02/empty-reading": ["is 0"],
    "02/heads-reading": ["Head 0", "features 0 and 1", "token 0 and one of token 1"],
    "02/agreement-reading": ["of float32 differ", "float32; 1e-3", "numbers around 1", "exactly 0"],
    "02/block-reading": ["two thirds", "8 · d_model² against 4 · d_model²"],
    "02/order-reading": ["T5"],
    "02/interview-1-rubric": ["0 · nan"],
    "02/recap": ["times 0 is"],
    "03/opening-question": ["9 of 100 gaps"],
    "03/mask-idea": ["15 %", "80 %", "10 % a random", "10 % stay"],
    "03/rate-predict": ["15 % without"],
    "03/rate-reading": ["40 % better", "15 % is a habit"],
    "03/span-reading": ["10, would end", "has 9", "*Kern AG* 8"],
    "03/heads-reading": ["**30** labelled texts", "100 steps"],
    "03/pays-reading": ["30 examples", "300 words"],
    "03/explorer-answers": ["a third each"],
    "03/interview-2": ["70 %"],
    "03/recap": ["15 % selected", "80 % masked, 10 % random, 10 % kept", "Neither 15 %"],
    "04/opening-question": ["ln 74 ≈ 4.30"],
    "04/chain-reading": ["P = 1"],
    "04/history-reading": ["124M"],
    "04/loss-reading": ["15 % of the tokens", "more than six times as many"],
    "04/train-idea": ["50 %, 10 %, 1 %"],
    "04/test-text": ["ln 105 ≈ 4.65"],
    "04/test-reading": ["step 150", "128 sentences"],
    "04/sample-idea": ["top-p 0.75"],
    "04/sample-reading": ["Top-k 2 keeps tokens 1 and 3", "0.75: token 1", "0.50, and token 3", "0.75 and", "to 1"],
    "04/heat-predict": ["temperature of 0.5"],
    "04/filter-predict": ["temperature 1.5", "top-p 0.9"],
    "04/filter-reading": ["there are 21 ways"],
    "04/explorer-text": ["top-p 0.9"],
    "04/explorer-answers": ["Temperature 0, or top-k 1", "top-k 3", "top-p 0.7", "exactly 0"],
    "04/cache-mask-reading": ["5 × 5"],
    "04/speed-reading": ["200 times as cheap as one over 200"],
    "04/models-reading": ["70B", "8 heads of keys serve 64", "LLaMA-2-7B (6,738,415,616", "12.6 GiB", "the 7B"],
    "04/interview-1": ["2.1 nats"],
    "04/interview-1-rubric": ["e^2.1 ≈ 8.2"],
    "04/interview-3-rubric": ["2 · layers", "LLaMA-2-7B"],
    "04/form-reading": ["T5 and Flan-T5"],
    "04/recap": ["*t* + 1", "below 1"],
    "05/opening-reading": ["2,000 sentences"],
    "05/copy-reading": ["a third of the ids"],
    "05/repair-reading": ["all 105 tokens", "400 steps"],
    "05/fill-reading": ["40 %", "400 steps", "600"],
    "05/interview-3-rubric": ["up to 24"],
    "06/bridge-reading": ["8 × 12"],
    "06/empty-reading": ["0/0"],
    "06/test-reading": ["20,000 examples of 100,000 numbers"],
    "06/maps-reading": ["adds up to 1"],
    "06/interview-3-rubric": ["add up to 1"],
}
