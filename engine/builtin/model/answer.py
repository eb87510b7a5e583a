# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
"""Asks the model the 200 held-out questions, each as the first of a new chat.

    python3 answer.py URL [--keep judged.tsv] > answers.tsv     a running OpenAI-compatible server, for example sotto proxy or llama-server
    python3 answer.py OUT [--keep judged.tsv] > answers.tsv     the folder that train.py wrote

Answers are greedy (temperature 0). Lines are: verdict, question, answer, with
tabs between and line breaks written as " / ". The verdict is "?" until somebody
reads the answer and judges it by rubric.md; with --keep, verdicts of answers
that are unchanged in an earlier judged file are carried over.

    python3 answer.py --score judged.tsv                        counts the verdicts
"""

import collections
import json
import pathlib
import sys
import urllib.request

import dialogues


def asker(where):
    if where.startswith("http"):
        def ask(question):
            body = {"model": "demo", "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 200}
            request = urllib.request.Request(where.rstrip("/") + "/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
            with urllib.request.urlopen(request) as f:
                return json.load(f)["choices"][0]["message"]["content"]
        return ask
    import torch
    import net as shape
    out = pathlib.Path(where)
    torch.set_num_threads(1)
    net = shape.Net()
    net.load_state_dict(torch.load(out / "net.pt"))
    tokens = shape.Tokens(out / "tokens.model")
    return lambda question: shape.generate(net, tokens, [], question)


def rows(path):
    return [line.split("\t") for line in pathlib.Path(path).read_text().splitlines() if line and not line.startswith("#")]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--score":
        count = collections.Counter(r[0] for r in rows(sys.argv[2]))
        print(f"{count['yes']} of {sum(count.values())} sensible:", dict(count))
        return
    kept = {(q, a): v for v, q, a in rows(sys.argv[3])} if "--keep" in sys.argv else {}
    ask = asker(sys.argv[1])
    for q in dialogues.held_out():
        a = ask(q).strip().replace("\n", " / ").replace("\t", " ")
        print(kept.get((q, a), "?"), q, a, sep="\t", flush=True)


if __name__ == "__main__":
    main()
