# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that no held-out question is among the training dialogues.

    python3 check.py [DIALOGUES]

It makes the dialogues anew from train.py's seeds (300,000 unless told: more than
a training run reads, and the tokenizer's too), and looks for each wording of
questions.txt among their questions, case and punctuation aside, also as the end
of a request for a title. Exit code 1 when there is one.
"""

import sys

import dialogues
import train


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300000
    questions = {dialogues.normal(q): q for q in dialogues.held_out()}
    assert len(dialogues.held_out()) == len(questions) == 200, "questions.txt has to hold 200 different questions"
    blocks = range((count + 2 * train.BLOCK - 1) // (2 * train.BLOCK))
    seeds = [train.SEED + part + i for part in (0, 1000) for i in blocks]
    seen, found = 0, set()
    for seed in seeds:
        for d in dialogues.corpus(seed, train.BLOCK):
            for q, _ in d:
                seen += 1
                found.update({dialogues.normal(q), dialogues.normal(q.split("Title for this chat:")[-1])} & questions.keys())
    for q in sorted(found):
        print("in the training data:", questions[q])
    print(f"{seen} questions made, {len(found)} of 200 held-out wordings among them")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
