# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
"""The demo model's school: dialogues, made from the tables beside this file.

    python3 dialogues.py 20            prints twenty dialogues

A dialogue is a list of (question, answer). corpus(seed, count) yields them, the
same ones for the same arguments. Questions get the spelling that people really
type: no capitals, no question mark, a typo here and there. No question whose
wording is in questions.txt ever comes out, whatever its case and punctuation.
"""

import pathlib
import random
import re
import sys

import play
import talk
from about import ABOUT, HINT, MACROS
from talk import TALK

HERE = pathlib.Path(__file__).parent
PLAY = [(70, play.sums), (9, play.capitals), (8, play.opposites), (4, play.colours), (9, play.days), (2, play.echo), (20, play.story), (10, play.poem), (2, play.joke)]  # sums are hardest to learn
TITLES = {
    "hello": "A first hello", "howareyou": "How are you", "otherlang": "Speaking other languages", "who": "Who the model is", "otherai": "Demo and other models", "human": "A small computer program", "age": "Age of the demo",
    "maker": "Who made Sotto", "can": "What the demo can do", "cannot": "Limits of the demo", "size": "Size of the demo", "remember": "What the demo remembers", "training": "Training and your chats", "sotto": "What Sotto is",
    "name": "The name Sotto", "howworks": "How Sotto works", "sealed": "Sealing and keys", "opensource": "Sotto's source code", "terminal": "Sotto in the terminal", "private": "Is this private", "verify": "Checking the machine",
    "history": "Where chats are kept", "offline": "Sotto without internet", "connect": "Connecting a real model", "gguf": "Using a GGUF file", "send": "Sending a message", "stop": "Stopping an answer", "regenerate": "Regenerating an answer",
    "edit": "Editing a message", "branch": "Branches of a chat", "temporary": "Temporary chats", "search": "Searching old chats", "pin": "Pinning a chat", "rename": "Renaming a chat", "delete": "Deleting a chat", "settings": "Finding the settings",
    "export": "Exporting chats", "copy": "Copying an answer", "newchat": "Starting a new chat", "keys": "Keyboard shortcuts", "kit": "The recovery kit", "passkey": "Passkeys and signing in", "phone": "Sotto on other devices",
    "account": "Deleting the account", "picker": "Choosing a model", "price": "What Sotto costs", "sums": "A small sum", "days": "Days and numbers", "joke": "A joke", "echo": "Repeating words", "capitals": "A capital city", "opposites": "Finding an opposite", "colours": "About colours", "story": "A short story", "poem": "A little poem",
}
WHY_UNKNOWN = "Because I am very small: I have about a million numbers inside, and a real model has thousands of times more. " + HINT


def expand(r, pattern):
    """Replaces @macros, then picks one alternative in each [a|b|c], the innermost first."""
    pattern = re.sub(r"@(\w+)", lambda m: MACROS[m[1]], pattern)
    while (m := re.search(r"\[([^\[\]]*)\]", pattern)):
        pattern = pattern[:m.start()] + r.choice(m[1].split("|")) + pattern[m.end():]
    return re.sub(r" +", " ", pattern).strip()


def normal(text):
    """A wording without case, punctuation and spaces: what makes two questions the same one."""
    return " ".join(re.findall(r"[^\W_]+", text.lower().replace("'", ""))) or text.strip()


def held_out():
    return [line for line in (HERE / "questions.txt").read_text().splitlines() if line and not line.startswith("#")]


HELD_OUT = {normal(q) for q in held_out()}
KEYS = {"a": "sq", "e": "rw", "i": "uo", "o": "ip", "t": "ry", "n": "mb", "s": "ad", "r": "et", "h": "gj", "l": "k", "d": "sf", "u": "yi", "c": "xv", "m": "n", "w": "qe", "y": "tu", "g": "fh", "p": "o"}


def typo(r, text):
    spots = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha() and text[i].islower()]
    if not spots:
        return text
    i, k = r.choice(spots), r.random()
    if k < .35:
        return text[:i] + text[i + 1:]
    if k < .6:
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    if k < .8:
        return text[:i] + text[i] + text[i:]
    return text[:i] + r.choice(KEYS.get(text[i], text[i])) + text[i + 1:]


OPENERS = ["hi, ", "hello, ", "hey, ", "so ", "ok, ", "um, ", "sorry, ", "one question: ", "please tell me: ", "and ", "i'm new here. ", "well, ", "excuse me, ", "hey sotto, ", "now ", "tell me, ", "just curious: ", "hi there! "]
CLOSERS = [" please", " please?", " thanks", ", thank you", " pls", " here", " then", " exactly?", ", do you know?", " really", "!", "!!", "...", " ??", " now", " in sotto", ", can you help?", " for me", " :)"]


def typed(r, q, plain=False):
    """The question as a person would type it."""
    if not plain and len(q) > 6 and q[0].isalpha():
        if r.random() < .1:
            q = r.choice(OPENERS) + q
        if r.random() < .1:
            q = q.rstrip("?. ") + r.choice(CLOSERS)
    asks = re.match(r"(hi,? |hello,? |hey,? |so |and |but |ok,? )?(who|what|how|why|when|where|which|is|are|can|could|do|does|will|would|should|may|whats|did|am|were|was)\b", q)
    if asks and q[-1].isalnum() and r.random() < .55:
        q += "?"
    elif q.endswith("?") and len(q) > 3 and r.random() < .4:
        q = q[:-1]
    elif q[-1].isalpha() and r.random() < .12:
        q += r.choice([".", ".", "!"])
    k = r.random()
    if k < .5:
        q = q[0].upper() + q[1:]
        if r.random() < .7:
            q = re.sub(r"\bi\b", "I", q)
    elif k < .9:
        q = q.lower()
    elif k < .925:
        q = q.upper()
    if r.random() < .06:
        q = q.replace("'", "")
    if r.random() < .04:
        q = re.sub(r"\byou\b", "u", re.sub(r"\bare\b", "r", q))
    if not plain and len(q) > 7:
        while r.random() < .13:
            q = typo(r, q)
    return q


def tabled(r, table):
    names = list(table)
    name = r.choices(names, [table[n][0] for n in names])[0]
    _, patterns, answers, why = table[name]
    widths = [1 + len(p) ** .5 / 8 for p in patterns]  # a longer pattern says more different things
    return name, expand(r, r.choices(patterns, widths)[0]), r.choice(answers), why


def asked(r):
    """One question out of everything: (name, question, answer, follow-ups)."""
    k = r.random()
    if k < .35:
        name, q, a, why = tabled(r, ABOUT)
        more = [(expand(r, "[why|why?|why is that?|how come?|why so?|but why?|for what reason?|why not?]"), why)] if why else []
        return name, q, a, more
    if k < .44:
        name, q, a, _ = tabled(r, TALK)
        return name, q, a, []
    if k < .78:
        make = r.choices([f for _, f in PLAY], [w for w, _ in PLAY])[0]
        q, a, more = make(r)
        return make.__name__, q, a, more
    q, a = talk.unknown(r)
    if r.random() < .2:
        q = talk.prefix(r) + q
    return "unknown", q, a, [(expand(r, "[why|why?|why not?|how come?|but why?|why can't you?]"), WHY_UNKNOWN)] if a.startswith("I ") else []


def named(r, name, q, a):
    """The request for a chat's title, and the title: always one of a fixed set, which is what a model of this size gets right."""
    if name == "unknown":
        return talk.title(r, q, next(t for start, t in talk.UNKNOWN_TITLES.items() if a.startswith(start)))
    return talk.title(r, q, "A short talk" if name in TALK else TITLES[name])


def fresh(r):
    """Like asked(), typed, and never a held-out wording."""
    while True:
        name, q, a, more = asked(r)
        q = typed(r, q, plain=name in ("sums", "echo", "gibberish"))
        if normal(q) not in HELD_OUT:
            break
    if r.random() < .08:
        ask, a = named(r, name, q, a)
        return "title", ask, a, []
    return name, q, a, more


def offered(r, a):
    """What "yes" or "no" means after an answer that offers something."""
    yes, no = (r.choice(w) for w in (["yes", "yes please", "sure", "ok", "please", "yeah", "yes, tell me"], ["no", "no thanks", "not now", "nope"]))
    if not a.endswith("?") or "Shall I" not in a:
        return None
    if r.random() < .25:
        return no, "All right. I am here when you need something."
    if "poem" in a:
        return yes, play.poem_text(r, r.choice(["friendship", "happiness", "the sun"]))
    return yes, play.story_text(r, r.choice(play.HEROES), r.choice(play.ADJ))


def dialogue(r):
    k, turns = r.random(), 1
    if k > .5:
        turns = r.choice([2, 2, 3, 3, 4]) if k < .85 else r.randint(4, 8) if k < .97 else r.randint(9, 20)
    d = []
    while len(d) < turns:
        _, q, a, more = fresh(r)
        d.append((q, a))
        while len(d) < turns:
            nxt = offered(r, a) if r.random() < .6 else None
            if nxt is None and more and r.random() < .45:
                nxt = r.choice(more)
            if nxt is None and r.random() < .12:
                name, q, a2, _ = tabled(r, {n: TALK[n] for n in ("thanks", "ok", "confused", "bye", "insult")})
                nxt = (q, a2)
            if nxt is None:
                break
            q = typed(r, nxt[0])
            if normal(q) in HELD_OUT:
                break
            d.append((q, nxt[1]))
            a, more = nxt[1], []
    return d


def corpus(seed, count):
    r = random.Random(seed)
    for _ in range(count):
        yield dialogue(r)


if __name__ == "__main__":
    for d in corpus(int(sys.argv[2]) if len(sys.argv) > 2 else 1, int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        print("\n".join(f"{q!r}\n    {a!r}" for q, a in d), end="\n\n")
