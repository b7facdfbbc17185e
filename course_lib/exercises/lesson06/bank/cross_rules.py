"""What `CrossAttention` must not use, and the hints on the way to it."""

__all__ = ["FORBIDDEN", "HINTS"]

MADE_BY_TORCH = (
    "scaled_dot_product_attention",
    "_scaled_dot_product_attention",
    "_scaled_dot_product_attention_math",
    "MultiheadAttention",
    "multi_head_attention_forward",
    "flex_attention",
)

FORBIDDEN = {
    name: f"CrossAttention uses {name}, which is attention made by torch; make the weights from queries and keys "
    "yourself (nn.Linear and torch.softmax may be used)."
    for name in MADE_BY_TORCH
}

HINTS = (
    "Draw the table of weights for three target words and five source words. Who asks, and so has the rows? Who is "
    "asked, and has the columns? Which of the two may have padding that must not be read?",
    "It is the attention of lesson 02, with two lengths: q = W_q(decoder_hidden), k and v from encoder_output. Cut "
    "each into heads with its own length (the helpers split_heads and merge_heads you write here again), and the "
    "mask fits the scores (batch, heads, target, source) as it comes.",
    "x.view(x.shape[0], x.shape[1], num_heads, -1).transpose(1, 2) cuts any of the three. Then scores = q @ k.mT / "
    "head_dim ** 0.5; with a mask, fill scores where it is False with a very low finite number, and multiply the "
    "weights by it; last transpose(1, 2).flatten(2) and W_o.",
)
