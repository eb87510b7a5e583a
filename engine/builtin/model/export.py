# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the trained demo model as one GGUF file.

    python3 export.py OUT FILE.gguf [f16|q8_0|f32]

OUT is the folder that train.py wrote. The format is GGUF version 3: a header,
typed key-value pairs, tensor descriptions, then the tensors at multiples of 32
bytes. The architecture is "llama", so every runner that reads GGUF takes it.
"""

import pathlib
import struct
import sys

import numpy as np
import torch

import net as shape

ALIGN = 32
TEMPLATE = ("{% for m in messages %}{% if m['role']=='user' %}{{ '<|user|> ' + m['content'] }}{% elif m['role']=='assistant' %}"
            "{{ '<|assistant|>' + m['content'] + '</s>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # token types
TYPES = {"f32": (0, 0), "f16": (1, 1), "q8_0": (8, 7)}  # name -> tensor type, file type


def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(v):
    """A typed value: int -> uint32, float -> float32, bool, str, list of one of them; int lists are int32."""
    if isinstance(v, list):
        kind = {str: 8, float: 6, int: 5}[type(v[0])]
        body = b"".join(string(x) for x in v) if kind == 8 else struct.pack(f"<{len(v)}{'f' if kind == 6 else 'i'}", *v)
        return struct.pack("<IIQ", 9, kind, len(v)) + body
    if isinstance(v, bool):
        return struct.pack("<I?", 7, v)
    if isinstance(v, int):
        return struct.pack("<II", 4, v)
    if isinstance(v, float):
        return struct.pack("<If", 6, v)
    return struct.pack("<I", 8) + string(v)


def q8_0(a):
    """Rows in blocks of 32: a float16 scale, then 32 signed bytes."""
    blocks = a.astype(np.float32).reshape(-1, 32)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    q = np.round(np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale > 0)).astype(np.int8)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), q.view(np.uint8)], 1).tobytes()


def tensors(state):
    """Name and array in GGUF's names and order; our joined projections are taken apart."""
    yield "token_embd.weight", state["e.weight"]
    for i in range(shape.LAYERS):
        of = lambda k: state[f"b.{i}.{k}"]
        q, k, v = of("qkv.weight").chunk(3)
        gate, up = of("gu.weight").chunk(2)
        for name, t in (("attn_norm", of("n1.w")), ("attn_q", q), ("attn_k", k), ("attn_v", v), ("attn_output", of("o.weight")),
                        ("ffn_norm", of("n2.w")), ("ffn_gate", gate), ("ffn_up", up), ("ffn_down", of("d.weight"))):
            yield f"blk.{i}.{name}.weight", t
    yield "output_norm.weight", state["n.w"]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out, path, kind = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "f16"
    tensor_type, file_type = TYPES[kind]
    sp = shape.Tokens(out / "tokens.model").sp
    ids = range(sp.vocab_size())
    types = [UNKNOWN if sp.is_unknown(i) else CONTROL if sp.is_control(i) else BYTE if sp.is_byte(i) else NORMAL for i in ids]
    meta = {
        "general.architecture": "llama", "general.type": "model", "general.name": "Sotto demo", "general.author": "Sotto authors", "general.license": "apache-2.0",
        "general.description": "A demonstration only: a few million parameters trained on dialogues written for Sotto.",
        "general.file_type": file_type, "general.alignment": ALIGN, "general.sampling.temp": 0.3, "general.sampling.top_p": 0.9,
        "llama.context_length": shape.CONTEXT, "llama.embedding_length": shape.DIM, "llama.block_count": shape.LAYERS, "llama.feed_forward_length": shape.HIDDEN,
        "llama.attention.head_count": shape.HEADS, "llama.attention.head_count_kv": shape.HEADS, "llama.attention.layer_norm_rms_epsilon": shape.EPS,
        "llama.rope.dimension_count": shape.HEAD, "llama.rope.freq_base": shape.THETA, "llama.vocab_size": sp.vocab_size(),
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.tokens": [sp.id_to_piece(i) for i in ids],
        "tokenizer.ggml.scores": [float(sp.get_score(i)) for i in ids], "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": sp.bos_id(), "tokenizer.ggml.eos_token_id": sp.eos_id(), "tokenizer.ggml.unknown_token_id": sp.unk_id(),
        "tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": False, "tokenizer.ggml.add_space_prefix": False, "tokenizer.chat_template": TEMPLATE,
    }
    described, data, count = b"", b"", 0
    for name, t in tensors(torch.load(out / "net.pt")):
        a, plain = t.numpy(), t.dim() < 2  # norms stay float32
        described += string(name) + struct.pack(f"<I{a.ndim}QIQ", a.ndim, *reversed(a.shape), 0 if plain else tensor_type, len(data))
        body = a.astype(np.float32).tobytes() if plain or kind == "f32" else q8_0(a) if kind == "q8_0" else a.astype(np.float16).tobytes()
        data += body + b"\0" * (-len(body) % ALIGN)
        count += 1
    head = b"GGUF" + struct.pack("<IQQ", 3, count, len(meta)) + b"".join(string(k) + value(v) for k, v in meta.items()) + described
    path.write_bytes(head + b"\0" * (-len(head) % ALIGN) + data)
    print(f"{path}: {path.stat().st_size} bytes, {count} tensors, {kind}")


if __name__ == "__main__":
    main()
