"""Known mistakes and right answers for `CrossAttention`."""

import torch

from course_lib import attention
from course_lib.exercises.exercise import Exercise
from course_lib.exercises.judging import Equality, Misconception
from course_lib.exercises.lesson06 import run
from course_lib.exercises.lesson06.bank.cross_rules import FORBIDDEN, HINTS
from course_lib.exercises.lesson06.bank.cross_variants import VARIANTS
from course_lib.exercises.lesson06.bank.crossing import (
    ByAddedMask,
    ByEinsum,
    ByExponentials,
    ByHeads,
    ByMaskedValues,
    ByMending,
    BySequences,
    crossing,
    filled,
)
from course_lib.exercises.lesson06.bank.slips import (
    CutsTheSource,
    KeepsTheFirst,
    NotAModule,
    NotInitialised,
    WithoutHeads,
    WritesIntoItsInputs,
    added,
    asserted,
    biased,
    called,
    causal_as_well,
    clamped,
    cut_by_the_target,
    lowered,
    made_of,
    masked_after,
    needs_a_mask,
    of_one_head,
    powers,
    repaired,
    shared_anew,
    softmax_over,
    turned,
    uniform,
    unmasked,
    without_default,
)

__all__ = ["CROSS"]

CROSS = Exercise(
    side=run.CROSS,
    reference=attention.CrossAttention,
    groups={
        run.PLAIN: 3,
        run.PADDED: 1,
        run.READS: 1,
        run.LARGE: 1,
        run.EMPTY: 1,
        run.REFUSES: 1,
        run.FORM: 1,
    },
    core=(run.PLAIN, run.PADDED),
    apart=(run.READS,),
    form=(run.FORM,),
    judge=Equality(atol=1e-5, atols={run.EMPTY: 0.0}, untouched=run.FORM, dtype=run.FORM),
    difficulty=4,
    minutes=20,
    misconceptions={
        "the decoder reads itself": Misconception(
            crossing(**made_of("d", "d", "d")),
            "Your layer never looks at encoder_output: keys and values come from the decoder, which makes it "
            "self-attention. What is read is the source: both come from the encoder.",
        ),
        "keys from the decoder": Misconception(
            crossing(**made_of("d", "d", "e")),
            "The scores compare the decoder with itself, so there is a weight for each target token and a value for "
            "each source token, and the two do not fit. Keys and values describe the same tokens: those of the source.",
        ),
        "values from the decoder": Misconception(
            crossing(**made_of("d", "e", "d")),
            "The weights are over the source and the values over the target, and the two do not fit. What is brought "
            "back is what was looked at: keys and values both come from the encoder.",
        ),
        "queries from the encoder": Misconception(
            crossing(**made_of("e", "e", "e")),
            "There is a row for each source token, and to reshape them does not help. It is the decoder that asks: "
            "queries come from decoder_hidden, and so does the length of the output.",
        ),
        "decoder and encoder have changed places": Misconception(
            crossing(**made_of("e", "d", "d")),
            "The source asks and the target answers, which is the wrong way round. The decoder asks: W_q reads "
            "decoder_hidden, W_k and W_v read encoder_output.",
        ),
        "the product is turned": Misconception(
            crossing(compare=turned),
            "Your scores have a row for each source token and a column for each target token. The rows are those who "
            "ask, so the queries come first in the product, and it is k whose last two axes are swapped.",
        ),
        "the source is cut to the target's length": Misconception(
            CutsTheSource,
            "Only as many source tokens are read as the target has. The two lengths have nothing to do with each "
            "other: keys, values and the mask keep the whole length of the source.",
        ),
        "heads cut with the decoder's length": Misconception(
            crossing(**cut_by_the_target("keys", "values")),
            "Keys and values have as many rows as the source has tokens, and you cut them with the length of the "
            "target. Ask each tensor for its own length, or write a helper that does.",
        ),
        "heads cut out of the tokens": Misconception(
            crossing(split=lambda self, x: x.reshape(x.shape[0], self.num_heads, x.shape[1], -1)),
            "Your heads hold pieces of several tokens. A reshape reads on in memory: cut the features first, (batch, "
            "seq, heads, head_dim), then swap the axes of seq and heads.",
        ),
        "features dealt out like cards": Misconception(
            crossing(
                split=lambda self, x: x.reshape(*x.shape[:2], -1, self.num_heads).permute(0, 3, 1, 2),
                merge=lambda self, x: x.permute(0, 2, 3, 1).flatten(2),
            ),
            "Your heads take the features in turn, when they are cut or when they are joined. Head h has a run of "
            "head_dim features in a row: (heads, head_dim), the heads first.",
        ),
        "the heads stay beside the tokens": Misconception(
            crossing(
                split=lambda self, x: x.reshape(*x.shape[:2], self.num_heads, -1),
                merge=lambda self, x: x.flatten(2),
            ),
            "The last two axes are heads and head_dim, so that the product compares heads instead of tokens. Swap the "
            "axes of seq and heads after cutting: (batch, heads, seq, head_dim).",
        ),
        "all heads as one": Misconception(
            WithoutHeads,
            "Your scores are made of all d_model features at once: num_heads has no effect. Cut the features into "
            "heads, and give each its own weights and the scale √head_dim.",
        ),
        "heads merged by a reshape alone": Misconception(
            crossing(merge=lambda self, x: x.reshape(x.shape[0], x.shape[2], -1)),
            "The shape is right and the numbers are in wrong places: the heads are put together without bringing "
            "those of one token side by side first. Swap heads and seq back, then reshape.",
        ),
        "a view of what is not in a row": Misconception(
            crossing(merge=lambda self, x: x.transpose(1, 2).view(x.shape[0], x.shape[2], -1)),
            "You swapped the right axes, and then view fails: after transpose the numbers no longer lie in a row in "
            "memory. reshape copies where it must; so does .contiguous() before view.",
        ),
        "heads are not merged": Misconception(
            crossing(merge=lambda self, x: x.transpose(1, 2)),
            "W_o wants d_model features, and your tensor still has an axis for the heads. Join heads and head_dim "
            "before it: flatten(2) or reshape.",
        ),
        "W_o is forgotten": Misconception(
            crossing(project=lambda self, x, decoder: x),
            "The heads stand side by side, and nothing mixes them: W_o is missing. It comes last, after the merge.",
        ),
        "one weight used twice": Misconception(
            crossing(values=lambda self, decoder, encoder: self.split(self.W_k(encoder))),
            "Two of queries, keys and values are made by the same layer, or keys and values have changed places. "
            "W_q makes the queries, W_k the keys, W_v the values.",
        ),
        "a projection is missing": Misconception(
            crossing(values=lambda self, decoder, encoder: self.split(encoder)),
            "The states are used as they come, without their layer: q = W_q(decoder_hidden), k = W_k(encoder_output), "
            "v = W_v(encoder_output), and only then the heads.",
        ),
        "the decoder's states are added": Misconception(
            crossing(project=lambda self, x, decoder: decoder + self.W_o(x)),
            "Your output is too much by decoder_hidden. Adding it is the block's work, which holds the residual "
            "connection; the layer gives what was read, and nothing else.",
        ),
        "the wrong axes of k are swapped": Misconception(
            crossing(turn=lambda self, k: k),
            "The product wants (…, target, head_dim) @ (…, head_dim, source). Swap the last two axes of k, and no "
            "others.",
        ),
        "no scale": Misconception(
            crossing(scale=lambda self, q, k: 1),
            "The weights are more extreme than they should be: the scores were not divided by √head_dim.",
        ),
        "scaled by the root of d_model": Misconception(
            crossing(scale=lambda self, q, k: (q.shape[1] * q.shape[-1]) ** 0.5),
            "You divide by √d_model. A score is a sum over the features of one head, so it is √head_dim, with "
            "head_dim = d_model / num_heads.",
        ),
        "scaled by another number": Misconception(
            crossing(scale=lambda self, q, k: q.shape[-1]),
            "The scores were divided by another number than √head_dim, the root of the last axis of q once the heads "
            "are cut. In Python d ** 1/2 is (d ** 1) / 2.",
        ),
        "softmax over the queries": Misconception(
            crossing(weigh=softmax_over(-2)),
            "The softmax runs over the target tokens, so that they compete for a source token. Each target token "
            "shares out its own attention among the source: the last axis of the scores.",
        ),
        "softmax over the heads": Misconception(
            crossing(weigh=softmax_over(1)),
            "The softmax runs over the heads. Each head shares out its own attention among the source: the last axis "
            "of the scores, dim=-1.",
        ),
        "no softmax": Misconception(
            crossing(weigh=lambda self, scores, mask: scores if mask is None else scores * mask),
            "The values are summed with the scores themselves, negative ones among them. A softmax over the source "
            "makes shares of them.",
        ),
        "a causal mask over the source": Misconception(
            crossing(weigh=causal_as_well),
            "Target token t reads the source only up to place t. The source is there in full before the first target "
            "token is written, and word order differs: there is nothing causal about reading it.",
        ),
        "the mask is ignored": Misconception(
            crossing(weigh=unmasked),
            "The padding of the source gets weight: encoder_mask has no effect. masked_fill without an underscore "
            "gives a new tensor, which must be kept.",
        ),
        "the mask is inverted": Misconception(
            crossing(hide=lambda self, mask: ~mask),
            "The weight went to the padding. In this course True means may attend, and masked_fill fills where it "
            "reads True: give it ~encoder_mask.",
        ),
        "the mask lies on the axis of the target": Misconception(
            crossing(hide=lambda self, mask: mask.transpose(-1, -2)),
            "The mask was turned, so that it says which target tokens may ask. It is the source that has the padding: "
            "its tokens are the last axis of the scores and of encoder_mask, which fits as it comes.",
        ),
        "the mask has lost axes": Misconception(
            crossing(hide=lambda self, mask: mask.squeeze(1).squeeze(1)),
            "Without its axes of size 1 the mask is lined up with the wrong axes of the scores. It comes as (batch, 1, "
            "1, source) and fits (batch, heads, target, source) as it is.",
        ),
        "the mask gets more axes": Misconception(
            crossing(hide=lambda self, mask: mask[:, None, None, :]),
            "encoder_mask comes with its axes for heads and target, (batch, 1, 1, source). You add further ones, and "
            "it no longer fits: use it as it comes.",
        ),
        "the mask is cut to another length": Misconception(
            crossing(
                weigh=lambda self, scores, mask: filled(-1e9)(
                    self, scores, None if mask is None else mask[..., : scores.shape[-2]]
                )
            ),
            "You cut the mask to the length of the target. Its last axis is the source, all of it.",
        ),
        "forbidden scores are set to 0": Misconception(
            crossing(weigh=filled(0.0, zeros=False)),
            "Padding still takes its share, since a score of 0 is an ordinary score: exp(0) is 1. Forbidden scores "
            "become very low, or minus infinity, before the softmax.",
        ),
        "the mask is added to the scores": Misconception(
            crossing(weigh=added(1)),
            "Adding a boolean mask adds 1 to the allowed scores and 0 to the others, so that padding still gets "
            "weight. Forbidden scores must become very low, and the others stay.",
        ),
        "forbidden scores are not low enough": Misconception(
            crossing(weigh=filled(-100.0)),
            "Scores may be far below your number, and then padding gets all the weight. Fill with minus infinity, or "
            "with torch.finfo(scores.dtype).min.",
        ),
        "masked after the softmax": Misconception(
            crossing(weigh=masked_after),
            "Padding gets nothing, and what remains does not add up to 1: it had taken its share in the softmax "
            "before. Apply the mask to the scores.",
        ),
        "what is left is shared out anew": Misconception(
            crossing(weigh=shared_anew()),
            "You mask after the softmax and divide by the sum that is left. Where the padding has much higher scores "
            "nothing is left, and an empty source gives 0 / 0. Apply the mask to the scores, before the softmax.",
        ),
        "the sum has lost its axis": Misconception(
            crossing(weigh=shared_anew(lambda weights: weights / weights.sum(-1))),
            "sum(-1) takes the last axis away, and the rows no longer meet their own sums: keepdim=True keeps it. If "
            "the scores are masked before the softmax, no further division is needed.",
        ),
        "encoder_mask may be None": Misconception(
            crossing(weigh=needs_a_mask),
            "Without a mask there is nothing to fill, and ~None is an error. Apply the mask where there is one: "
            "if encoder_mask is not None.",
        ),
        "encoder_mask has no default": Misconception(
            crossing(forward=without_default),
            "The layer is also called without a mask. Leave the signature as it was: encoder_mask=None.",
        ),
        "exponentials that overflow": Misconception(
            crossing(weigh=powers),
            "A score of 100 is nothing unusual, and its exponential is more than float32 holds: inf / inf is nan. "
            "Subtract each row's largest score first, or use torch.softmax.",
        ),
        "scores are clamped": Misconception(
            crossing(weigh=clamped(-50, 50)),
            "You keep the scores below a limit, so that two large ones become equal. A softmax takes scores of any "
            "size as they are; minus infinity or a very low number is for padding alone.",
        ),
        "nan for an empty source": Misconception(
            crossing(weigh=filled(-torch.inf, zeros=False)),
            "Where all scores are minus infinity the softmax is 0 / 0, which is nan. Fill with a very low finite "
            "number, and multiply the weights by the mask afterwards: an empty source then gives zeros.",
        ),
        "an empty source is read evenly": Misconception(
            crossing(weigh=uniform),
            "Where all scores are equally low, the softmax gives every source token the same, and padding is read. Set "
            "the weights of padding to 0 after the softmax too; elsewhere they are 0 already.",
        ),
        "nan is repaired too late": Misconception(
            crossing(weigh=repaired),
            "The outputs are right and the gradients are nan: backwards, a nan that was replaced is multiplied by 0, "
            "and that is nan again. Let none come up: a finite fill, then zeros for padding.",
        ),
        "cut off from the gradients": Misconception(
            crossing(
                keys=lambda self, decoder, encoder: self.split(self.W_k(encoder.detach())),
                values=lambda self, decoder, encoder: self.split(self.W_v(encoder.detach())),
            ),
            "The outputs are right, and no gradient goes back, so part of the model learns nothing. Leave out detach, "
            ".data and no_grad.",
        ),
        "num_heads is not checked": Misconception(
            crossing(check=lambda self, d_model, num_heads: None),
            "d_model features can be cut into equal heads only if num_heads divides d_model. Ask for it in __init__, "
            "and raise ValueError with both numbers.",
        ),
        "an assert instead of a ValueError": Misconception(
            crossing(check=asserted),
            "You stop a wrong num_heads with assert, which raises AssertionError and is left out when Python runs "
            "with -O. Whoever calls is told by a ValueError: if …: raise ValueError(…).",
        ),
        "there is a bias": Misconception(
            crossing(make=biased("W_q", "W_k", "W_v", "W_o")),
            "Your layers have a bias, which nn.Linear makes unless told not to. The four of this exercise have none: "
            "nn.Linear(d_model, d_model, bias=False).",
        ),
        "the weights have other names": Misconception(
            called("q_proj", "k_proj", "v_proj", "out_proj"),
            "The check puts weights of its own into your layer, by name, and one name is missing. Make four layers in "
            "__init__, each an nn.Linear of its own, and call them self.W_q, self.W_k, self.W_v and self.W_o.",
        ),
        "layers of one head alone": Misconception(
            crossing(make=of_one_head),
            "Your layers make head_dim features, enough for one head. All heads are made at once: "
            "nn.Linear(d_model, d_model, bias=False), and then they are cut.",
        ),
        "super().__init__() is missing": Misconception(
            NotInitialised,
            "An nn.Module must be set up before layers are put into it: call super().__init__() in the first line of "
            "__init__.",
        ),
        "it is no nn.Module": Misconception(
            NotAModule,
            "The layer has weights that are trained and loaded, so it is an nn.Module: "
            "class CrossAttention(nn.Module), with __init__ and forward.",
        ),
        "the weights come back too": Misconception(
            crossing(give=lambda self, output, weights: (output, weights)),
            "You give back a pair, such as the output and the weights. forward gives the output alone, "
            "(batch, target, d_model).",
        ),
        "the first source is kept": Misconception(
            KeepsTheFirst,
            "Called a second time, with another source, your layer still reads the first one: something is kept on "
            "self. Let forward make its keys and values anew at each call.",
        ),
        "the inputs are written into": Misconception(
            WritesIntoItsInputs,
            "Your layer changes a tensor that it is given, as *= and += do, and methods that end in _. Whoever calls "
            "goes on using it, and so does the way back of the gradients. Make a new tensor instead.",
        ),
        "a float32 mask meets bfloat16": Misconception(
            crossing(weigh=lowered(-1e9)),
            "Made into numbers, the mask is float32, and bfloat16 scores plus float32 are float32: the weights no "
            "longer fit the values. Give it the dtype of the scores, .to(scores.dtype), or use masked_fill.",
        ),
        "a number too low for bfloat16": Misconception(
            crossing(weigh=filled(torch.finfo(torch.float32).min)),
            "The lowest number of float32 does not fit into bfloat16. Ask the scores for theirs: "
            "torch.finfo(scores.dtype).min.",
        ),
        "another dtype comes back": Misconception(
            crossing(give=lambda self, output, weights: output.float()),
            "The output is right and its dtype is not, or does not fit the next step. Give back the dtype of "
            "decoder_hidden: .to(decoder_hidden.dtype) where you went to another.",
        ),
    },
    variants=VARIANTS,
    alternatives=[ByEinsum, ByHeads, BySequences, ByAddedMask, ByExponentials, ByMaskedValues, ByMending],
    forbidden=FORBIDDEN,
    hints=HINTS,
)
