# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
"""The demo model's shape, tokens and greedy decoding: a small Llama.

RMS norm, rotary positions (neighbouring pairs), SwiGLU, no biases, input and
output embeddings tied. export.py writes it as GGUF under Llama's names.
"""

import math

import sentencepiece
import torch
import torch.nn as nn
import torch.nn.functional as F

DIM, LAYERS, HEADS, HIDDEN, VOCAB, CONTEXT = 128, 5, 4, 384, 1536, 1024
HEAD = DIM // HEADS
EPS, THETA = 1e-5, 10000.0
USER, ASSISTANT = "<|user|>", "<|assistant|>"


class Tokens:
    """SentencePiece, and how a dialogue is laid out:
    <s> <|user|> " question" <|assistant|> "answer" </s> <|user|> ...
    The space before a question lets its first word be the same token as within a sentence."""

    def __init__(self, path):
        self.sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.bos, self.eos = self.sp.bos_id(), self.sp.eos_id()
        self.user, self.assistant = self.sp.piece_to_id(USER), self.sp.piece_to_id(ASSISTANT)

    def question(self, q):
        return [self.user] + self.sp.encode(" " + q) + [self.assistant]

    def answer(self, a):
        return self.sp.encode(a)

    def prompt(self, turns, question):
        ids = [self.bos]
        for q, a in turns:
            ids += self.question(q) + self.answer(a) + [self.eos]
        return ids + self.question(question)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.w


FREQ = THETA ** -(torch.arange(0, HEAD, 2).float() / HEAD)
ANGLE = torch.outer(torch.arange(CONTEXT).float(), FREQ)
COS, SIN = ANGLE.cos()[:, None], ANGLE.sin()[:, None]  # [position, 1, HEAD/2]


def rotate(x):
    """x: [batch, time, heads, HEAD]"""
    t, a, b = x.shape[1], x[..., 0::2], x[..., 1::2]
    return torch.stack((a * COS[:t] - b * SIN[:t], a * SIN[:t] + b * COS[:t]), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = Norm(), Norm()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)
        self.o = nn.Linear(DIM, DIM, bias=False)
        self.gu = nn.Linear(DIM, 2 * HIDDEN, bias=False)
        self.d = nn.Linear(HIDDEN, DIM, bias=False)

    def forward(self, x, mask):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.n1(x)).view(b, t, 3, HEADS, HEAD).unbind(2)
        q, k, v = rotate(q).transpose(1, 2), rotate(k).transpose(1, 2), v.transpose(1, 2)
        w = (q @ k.transpose(-1, -2) / math.sqrt(HEAD) + mask[:t, :t]).softmax(-1)
        x = x + self.o((w @ v).transpose(1, 2).reshape(b, t, DIM))
        g, u = self.gu(self.n2(x)).chunk(2, -1)
        return x + self.d(F.silu(g) * u)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(VOCAB, DIM)
        self.b = nn.ModuleList(Block() for _ in range(LAYERS))
        self.n = Norm()
        for name, p in self.named_parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.02 if "e." in name else 0.6 / math.sqrt(p.shape[1]))
                if name.endswith(("o.weight", "d.weight")):
                    p.data /= math.sqrt(2 * LAYERS)
        self.register_buffer("mask", torch.triu(torch.full((CONTEXT, CONTEXT), -1e9), 1), persistent=False)

    def forward(self, ids, at=None):
        """Logits [n, VOCAB] of the positions `at` (flat indices) of ids [batch, time]; of all when None."""
        x = self.e(ids)
        for block in self.b:
            x = block(x, self.mask)
        x = self.n(x).flatten(0, 1)
        return (x if at is None else x[at]) @ self.e.weight.t()


@torch.no_grad()
def generate(net, tokens, turns, question, limit=200):
    """The greedy answer."""
    ids = tokens.prompt(turns, question)
    start = len(ids)
    while len(ids) - start < limit and len(ids) < CONTEXT:
        nxt = int(net(torch.tensor([ids]), torch.tensor([len(ids) - 1])).argmax())
        if nxt == tokens.eos:
            break
        ids.append(nxt)
    return tokens.sp.decode(ids[start:])
