"""Leak detectors, wrong and right, as learners write them."""

import torch

__all__ = [
    "by_cutting",
    "by_gradient",
    "by_numpy",
    "by_one_large_batch",
    "by_output",
    "by_random_tokens",
    "by_suffix",
    "detector",
    "down",
    "even",
    "even_down",
    "even_up",
    "first_token_only",
    "in_place",
    "last_verdict",
    "not_put_back",
    "on_the_first_axis",
    "one_feature",
    "piling_up",
    "pushes",
    "put_back",
    "up",
]


def differ(a, b):
    return not torch.equal(a, b)


def up(x):
    return [(1 + x.abs().amax()) * torch.linspace(1, 2, x.shape[-1])]


def down(x):
    return [-up(x)[0]]


def pushes(x):
    return up(x) + down(x)


def even_up(x):
    return [1 + x.abs().amax()]


def even_down(x):
    return [-1 - x.abs().amax()]


def even(x):
    return even_up(x) + even_down(x)


def detector(
    tokens=lambda x: range(1, x.shape[1]),
    outputs=lambda y, j: y[:, :j],
    pushes=pushes,
    change=lambda old, push: old + push,
    differ=differ,
):
    """Build a detector: which tokens are changed, and how, and which outputs are compared, and how."""

    def detect(fn, x):
        before, ways = fn(x), pushes(x)
        for j in tokens(x):
            for push in ways:
                changed = x.clone()
                changed[:, j] = change(x[:, j], push)
                if differ(outputs(before, j), outputs(fn(changed), j)):
                    return True
        return False

    return detect


def last_verdict(pushes):
    def detect(fn, x):
        before, moved = fn(x), False
        for j in range(1, x.shape[1]):
            for push in pushes(x):
                changed = x.clone()
                changed[:, j] += push
                moved = differ(before[:, :j], fn(changed)[:, :j])
        return moved

    return detect


def on_the_first_axis(outputs=lambda y, j: y[:, :j], pushes=pushes, start=1):
    def detect(fn, x):
        before = fn(x)
        for j in range(start, x.shape[1]):
            for push in pushes(x):
                changed = x.clone()
                changed[j] += push
                if differ(outputs(before, j), outputs(fn(changed), j)):
                    return True
        return False

    return detect


def one_feature(old, push):
    new = old.clone()
    new[:, 0] += push[0]
    return new


def in_place(fn, x):
    before = fn(x)
    changed = x
    for j in range(1, x.shape[1]):
        for push in (3.7, -9.1):
            changed[:, j] += push * torch.linspace(1, 2, x.shape[-1])
            if differ(before[:, :j], fn(changed)[:, :j]):
                return True
    return False


def piling_up(fn, x):
    return in_place(fn, x.clone())


def not_put_back(fn, x):
    before = fn(x)
    for j in range(1, x.shape[1]):
        old = x[:, j].clone()
        for push in pushes(x):
            x[:, j] = old + push
            if differ(before[:, :j], fn(x)[:, :j]):
                return True
        x[:, j] = old
    return False


def by_gradient(fn, x):
    x = x.clone().requires_grad_()
    for i in range(x.shape[1] - 1):
        for feature in fn(x)[:, i].sum(0):
            (gradient,) = torch.autograd.grad(feature, x, retain_graph=True)
            if gradient[:, i + 1 :].any():
                return True
    return False


def by_cutting(fn, x):
    return any(differ(fn(x)[:, :m], fn(x[:, :m])) for m in range(1, x.shape[1]))


def first_token_only(fn, x):
    before = fn(x)
    for j in range(1, x.shape[1]):
        for push in pushes(x):
            changed = x.clone()
            changed[:, j] += push
            if differ(before[:, :j], fn(changed)[:, :j]):
                return True
        return False
    return False


def by_suffix(fn, x):
    before = fn(x.clone())
    generator = torch.Generator().manual_seed(5)
    for j in range(1, x.shape[1]):
        for _ in range(3):
            changed = x.clone()
            changed[:, j:] = 10 * torch.randn(changed[:, j:].shape, generator=generator)
            if not torch.equal(fn(changed)[:, :j], before[:, :j]):
                return True
    return False


def by_one_large_batch(fn, x):
    batch, n, _ = x.shape
    before = fn(x)
    uneven = torch.arange(3, 3 + x.shape[-1])
    for push in (uneven, -uneven):
        many = x.repeat(n, 1, 1).unflatten(0, (n, batch))
        many[range(n), :, range(n)] += push
        after = fn(many.flatten(0, 1)).unflatten(0, (n, batch))
        moved = (after != before).flatten(3).any(-1).any(1)  # token that was pushed, output that moved
        if moved.triu().sum() < moved.sum():
            return True
    return False


def by_output(fn, x):
    expected = fn(x)
    found = False
    for i in range(x.shape[1]):
        for sign in (-1, 1):
            future = torch.cat((x[:, : i + 1], sign * (torch.ones_like(x[:, i + 1 :]) * 40 + x[:, i + 1 :])), dim=1)
            found |= bool((fn(future)[:, i] - expected[:, i]).abs().max() > 0)
    return found


def by_numpy(fn, x):
    before = fn(x).numpy()
    tokens = torch.eye(x.shape[1])[:, None, :, None]
    push = 2.5 + torch.arange(x.shape[-1])
    pushed = [(j, fn(x + sign * push * tokens[j]).numpy()) for j in range(x.shape[1]) for sign in (1, -1)]
    return any((after[:, :j] != before[:, :j]).any() for j, after in pushed)


def by_random_tokens(fn, x):
    before = fn(x)
    for j in range(x.shape[1] - 1, 0, -1):
        changed = x.clone()
        changed[:, j] = torch.randn_like(changed[:, j])
        if (fn(changed)[:, :j] != before[:, :j]).any():
            return True
    return False


def put_back(fn, x):
    before, answer = fn(x.clone()), torch.tensor(False)
    for j in range(1, x.shape[1]):
        old = x[:, j].clone()
        for push in (8, -8):
            x[:, j] = old + push * torch.linspace(1, 3, x.shape[-1])
            answer = answer | (fn(x)[:, :j] != before[:, :j]).any()
        x[:, j] = old
    return answer
