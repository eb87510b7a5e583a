# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the demo model's tokenizer and weights on the CPU.

    python3 train.py OUT [STEPS] [PART]     writes OUT/tokens.model and OUT/net.pt

PART is whole (the default), first (the rates stay up at the end) or last (goes
on from OUT with the rates going down), so that the tables can be mended midway.

Debian: apt-get install python3-torch python3-sentencepiece libopenblas0-pthread.
Seeds are fixed and the number of steps, not the clock, ends it: the same
versions on the same kind of processor give the same weights. The steps of the
embedded file and how long they took are in docs/demo-model.md.
"""

import os
import pathlib
import random
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before torch; a second thread only waits on a busy machine

import sentencepiece
import torch
import torch.nn.functional as F

import dialogues
import net as shape

SEED, BATCH = 20, 1536
BLOCK = 20000  # dialogues of one corpus seed
MUON, ADAM = 0.02, 4e-3  # peak learning rates


def train_tokens(out):
    """Byte-pair pieces; no normalizing at all, because a GGUF runner does none."""
    text = out / "text.txt"
    with text.open("w") as f:
        for n, d in enumerate(dialogues.corpus(SEED, 12000)):
            for q, a in d:
                f.write(f" {q}\n" * 2)
                if n % 4 == 0:
                    f.write(f"{a}\n")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(out / "tokens"), vocab_size=shape.VOCAB, model_type="bpe", byte_fallback=True, split_digits=True,
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, allow_whitespace_only_pieces=False,
        control_symbols=[shape.USER, shape.ASSISTANT], character_coverage=0.9995, num_threads=1, max_sentencepiece_length=16, minloglevel=2)
    text.unlink()


def examples(tokens, seed):
    """Token ids and their loss weights, for ever. The last answer is often cut short:
    what it will be is decided in its first words, and the time saved buys more questions."""
    r = random.Random(seed)
    while True:
        seed += 1
        for d in dialogues.corpus(seed, BLOCK):
            ids, weights = [tokens.bos], [0.0]
            if r.random() < .5:
                d = d[:1]
            cut = r.random() < .7
            for i, (q, a) in enumerate(d):
                x = tokens.question(q)
                y = tokens.answer(a) + [tokens.eos]
                if cut and i == len(d) - 1 and len(y) > 24:
                    y = y[:12]
                ids += x + y
                weights += [0.0] + [0.05] * (len(x) - 2) + [0.0] + [2.0] * (len(y) if len(y) < 24 else 4) + [1.0] * (len(y) - 4 if len(y) >= 24 else 0)
            yield ids[:shape.CONTEXT], weights[:shape.CONTEXT]


def batches(tokens, seed):
    """Batches of about BATCH tokens, of dialogues of nearly one length."""
    r, source = random.Random(seed), examples(tokens, seed)
    while True:
        pool = sorted((next(source) for _ in range(1500)), key=lambda e: len(e[0]))
        made, batch = [], []
        for e in pool:
            if batch and len(e[0]) * (len(batch) + 1) > BATCH:
                made.append(batch)
                batch = []
            batch.append(e)
        made.append(batch)
        r.shuffle(made)
        for batch in made:
            width = max(len(ids) for ids, _ in batch)
            yield (torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in batch]),
                   torch.tensor([w + [0.0] * (width - len(w)) for _, w in batch]))


class Muon:
    """Momentum whose step is made orthogonal (Keller Jordan's Muon, five Newton-Schulz
    rounds): on matrices this small it needs about half the steps of Adam."""

    def __init__(self, params, momentum=.95):
        self.params, self.momentum = list(params), momentum
        self.moved = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()
    def step(self, rate):
        for p, m in zip(self.params, self.moved):
            m.lerp_(p.grad, 1 - self.momentum)
            x = p.grad.lerp(m, self.momentum)
            tall = x.shape[0] > x.shape[1]
            x = x.t() if tall else x
            x = x / (x.norm() + 1e-7)
            for _ in range(5):
                a = x @ x.t()
                x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
            x = x.t() if tall else x
            p.mul_(1 - rate * .02).add_(x, alpha=-rate * max(1, p.shape[0] / p.shape[1]) ** .5)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    out, steps, part = pathlib.Path(sys.argv[1]), *(int(x) for x in sys.argv[2:3] or ["4000"]), *(sys.argv[3:4] or ["whole"])
    assert part in ("whole", "first", "last"), part
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    if part != "last":
        train_tokens(out)
    tokens = shape.Tokens(out / "tokens.model")
    net = shape.Net()
    if part == "last":
        net.load_state_dict(torch.load(out / "net.pt"))
    seed = SEED + 1000 * (part == "last")  # other dialogues than the first part's
    print("parameters", sum(p.numel() for p in net.parameters()), flush=True)
    muon = Muon(p for p in net.b.parameters() if p.dim() > 1)
    adam = torch.optim.Adam([net.e.weight] + [p for p in net.parameters() if p.dim() < 2], betas=(.9, .97))
    start, seen, mean = time.time(), 0, 4.0
    for step, (ids, weights) in zip(range(steps), batches(tokens, seed)):
        # Up for fifty steps, flat, and down in a straight line over the last half; the last part goes down all the way.
        down = 1 if part == "first" else max(.01, (steps - step) / steps) * (2 if part == "whole" else .75)
        rate = min(1, (step + 1) / 50, down)
        adam.param_groups[0]["lr"] = ADAM * rate
        w = weights[:, 1:].flatten()
        target = ids[:, 1:].flatten()
        at = w.nonzero().squeeze(1)
        loss = (F.cross_entropy(net(ids[:, :-1], at), target[at], reduction="none") * w[at]).sum() / w.sum()
        net.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        muon.step(MUON * rate)
        seen += ids.numel()
        mean += (loss.item() - mean) * .02
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} loss {mean:.3f} {time.time() - start:.0f} s {time.process_time():.0f} s of processor, {seen} tokens", flush=True)
            torch.save(net.state_dict(), out / "net.pt")
    torch.save(net.state_dict(), out / "net.pt")


if __name__ == "__main__":
    main()
