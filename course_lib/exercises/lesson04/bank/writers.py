"""Writing token after token, right and wrong, from steps of which each can be another one."""

import torch

__all__ = [
    "appended",
    "by_column",
    "by_filling",
    "by_prompt",
    "by_recursion",
    "by_stacking",
    "by_topk",
    "last",
    "likeliest",
    "new_alone",
    "writer",
]


def whole(tokens, prompt):
    return tokens


def last(logits, prompt):
    return logits[:, -1]


def likeliest(logits):
    return logits.argmax(dim=-1, keepdim=True)


def appended(tokens, token):
    return torch.cat((tokens, token), dim=1)


def new_alone(tokens, prompt):
    return tokens[:, prompt.shape[1] :]


def writer(feed=whole, place=last, choose=likeliest, extend=appended, give=new_alone, steps=lambda count: count):
    """Make a generate from its steps; as they stand they make a right one.

    feed: what the model reads, of all tokens so far. place: the logits that decide. choose: a token of them.
    extend: the tokens by the new one. give: what comes back. steps: how often, for max_new_tokens.
    """

    def generate(model, prompt, max_new_tokens):
        tokens = prompt
        for _ in range(steps(max_new_tokens)):
            token = choose(place(model(feed(tokens, prompt)), prompt))
            tokens = extend(tokens, token)
        return give(tokens, prompt)

    return generate


def by_stacking(model, prompt, max_new_tokens):
    sequence, new = prompt.clone(), []
    while len(new) < max_new_tokens:
        with torch.no_grad():
            scores = model(sequence)[:, -1, :]
        new.append(torch.max(scores, dim=-1).indices)
        sequence = torch.hstack([sequence, new[-1][:, None]])
    return torch.stack(new, dim=1)


def by_filling(model, prompt, max_new_tokens):
    batch, length = prompt.shape
    tokens = prompt.new_zeros(batch, length + max_new_tokens)
    tokens[:, :length] = prompt
    for position in range(length, length + max_new_tokens):
        tokens[:, position] = model(tokens[:, :position])[:, position - 1].argmax(1)
    return tokens[:, length:]


def by_recursion(model, prompt, max_new_tokens):
    if max_new_tokens == 0:
        return prompt[:, :0]
    token = model(prompt)[:, -1].argmax(-1)[:, None]
    return torch.cat((token, by_recursion(model, torch.cat((prompt, token), 1), max_new_tokens - 1)), 1)


def by_prompt(model, prompt, max_new_tokens):
    rows = []
    for row in prompt:
        tokens = row.tolist()
        for _ in range(max_new_tokens):
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
        rows.append(tokens[len(row) :])
    return torch.tensor(rows)


def by_topk(model, prompt, max_new_tokens):
    tokens = prompt
    for _ in range(max_new_tokens):
        shares = model(tokens).softmax(dim=-1)
        tokens = torch.cat([tokens, shares[:, -1].topk(1).indices], dim=-1)
    return tokens[:, -max_new_tokens:]


def by_column(model, prompt, max_new_tokens):
    new = torch.empty(len(prompt), 0, dtype=prompt.dtype)
    for _ in range(max_new_tokens):
        choices = model(torch.cat((prompt, new), dim=1)).argmax(dim=-1)
        new = torch.cat((new, choices[:, -1:]), dim=1)
    return new
