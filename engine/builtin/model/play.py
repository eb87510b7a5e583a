# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
"""The demo model's small talents: sums, capitals, opposites, days, stories,
poems, jokes, feelings. Each function takes a random.Random and returns
(question, answer, follow-ups): a follow-up is a (question, answer) pair that
only makes sense directly after this one, and may be absent."""

CAPITALS = dict(p.split("=") for p in (
    "France=Paris;Germany=Berlin;Italy=Rome;Spain=Madrid;Japan=Tokyo;China=Beijing;Egypt=Cairo;Norway=Oslo;Greece=Athens;"
    "Russia=Moscow;Canada=Ottawa;Brazil=Brasilia;Poland=Warsaw;Austria=Vienna;Ireland=Dublin;Sweden=Stockholm;Portugal=Lisbon;"
    "Australia=Canberra;Kenya=Nairobi;India=New Delhi;England=London;the United Kingdom=London;the United States=Washington;"
    "the USA=Washington;Mexico=Mexico City;Argentina=Buenos Aires;Chile=Santiago;Peru=Lima;Turkey=Ankara;Ukraine=Kyiv;"
    "Finland=Helsinki;Denmark=Copenhagen;Belgium=Brussels;the Netherlands=Amsterdam;Switzerland=Bern;Hungary=Budapest;"
    "the Czech Republic=Prague;Romania=Bucharest;Bulgaria=Sofia;Croatia=Zagreb;Serbia=Belgrade;Iceland=Reykjavik;Thailand=Bangkok;"
    "Vietnam=Hanoi;South Korea=Seoul;Indonesia=Jakarta;Scotland=Edinburgh;Wales=Cardiff;Cuba=Havana;Colombia=Bogota;Nigeria=Abuja;"
    "Morocco=Rabat;Ethiopia=Addis Ababa;New Zealand=Wellington;Iran=Tehran;Iraq=Baghdad;Pakistan=Islamabad;Venezuela=Caracas"
).split(";"))
OPPOSITES = dict(p.split("=") for p in (
    "hot=cold;cold=hot;big=small;small=big;up=down;down=up;happy=sad;sad=happy;fast=slow;slow=fast;day=night;night=day;old=young;young=old;"
    "new=old;open=closed;closed=open;wet=dry;dry=wet;light=dark;dark=light;hard=soft;soft=hard;full=empty;empty=full;high=low;low=high;"
    "long=short;short=long;rich=poor;poor=rich;strong=weak;weak=strong;good=bad;bad=good;left=right;right=left;loud=quiet;quiet=loud;"
    "clean=dirty;dirty=clean;early=late;late=early;love=hate;war=peace;true=false;false=true;yes=no;begin=end;thick=thin;thin=thick;"
    "wide=narrow;near=far;far=near;heavy=light;sweet=sour;warm=cool;tall=short;deep=shallow;easy=difficult;difficult=easy;clever=stupid;"
    "generous=mean;brave=afraid;cheap=expensive;expensive=cheap;safe=dangerous;dangerous=safe;inside=outside;first=last;last=first;"
    "black=white;white=black;win=lose;buy=sell;give=take;laugh=cry;friend=enemy;sharp=blunt;rough=smooth;public=private;private=public;"
    "always=never;never=always;before=after;north=south;east=west;kind=cruel;polite=rude;busy=idle;alive=dead;beautiful=ugly"
).split(";"))
COLOURS = dict(p.split("=") for p in (
    "the sky=blue;grass=green;a banana=yellow;bananas=yellow;snow=white;coal=black;blood=red;the sun=yellow;a lemon=yellow;lemons=yellow;"
    "a tomato=red;tomatoes=red;the sea=blue;milk=white;an orange=orange;a carrot=orange;carrots=orange;leaves=green;a strawberry=red;"
    "strawberries=red;chocolate=brown;a frog=green;frogs=green;an elephant=grey;the night=black;a crow=black;a swan=white;cherries=red;"
    "a fire engine=red;a cucumber=green;honey=golden;peas=green;a plum=purple;plums=purple;a polar bear=white;wood=brown;a rose=red;clouds=white"
).split(";"))
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
COUNTS = {  # things with a number that a child knows
    "days are in a week": "A week has 7 days.", "months are in a year": "A year has 12 months.", "hours are in a day": "A day has 24 hours.",
    "minutes are in an hour": "An hour has 60 minutes.", "seconds are in a minute": "A minute has 60 seconds.",
    "days are in a year": "A year has 365 days, and a leap year has 366.", "weeks are in a year": "A year has 52 weeks.",
    "legs does a spider have": "A spider has 8 legs.", "legs does a dog have": "A dog has 4 legs.", "legs does a cat have": "A cat has 4 legs.",
    "letters are in the alphabet": "The alphabet has 26 letters.", "seasons are there": "There are 4 seasons: spring, summer, autumn and winter.",
    "fingers do i have": "Most people have 10 fingers.", "colours does a rainbow have": "A rainbow has 7 colours.",
    "continents are there": "There are 7 continents.", "legs does an insect have": "An insect has 6 legs.", "planets are there": "There are 8 planets.",
}
NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
           "nineteen twenty").split()
NAMES = "Tom Lily Ben Mia Sam Anna Max Lucy Jack Rose Leo Emma Nora Finn Ida Otto Pia Hugo".split()
HEROES = ("dog cat fox bear rabbit bird fish frog horse cow duck mouse lion owl turtle dragon robot princess knight wizard pirate ghost fairy king queen "
          "giant witch whale wolf hedgehog squirrel elephant monkey penguin snail bee butterfly tiger unicorn mermaid astronaut boy girl teacher baker "
          "farmer sailor cloud star snowman train boat tree teapot clock spider goat pig sheep donkey crow swan seal octopus dinosaur alien monster "
          "gardener painter doctor shoe sock button candle violin umbrella bicycle kite moon river mountain").split()
ADJ = "small big happy sad brave kind clever quiet lazy red blue green old young funny lonely shy tired hungry curious little grumpy".split()
PLACES = ["the forest", "the garden", "the park", "the river", "the sea", "the old farm", "a green hill", "the town", "the lake", "the castle", "the mill"]
THINGS = "ball kite book hat apple cake box drum key flower lamp map bell coin shell letter feather".split()
TOPICS = ("rain autumn winter spring summer snow the-sea the-moon the-sun the-wind love friendship my-mother my-father my-dog my-cat home night "
          "morning the-stars music coffee tea flowers trees a-river the-mountains birds time hope dreams the-city a-garden clouds fire books bread "
          "school work my-sister my-brother my-friend a-train the-forest roses computers privacy silence a-secret birthdays peace the-night a-rainbow "
          "grandma a-bee butterflies the-ocean a-mouse my-teacher cooking football a-door shoes a-horse life christmas the-desert").replace("-", "\x00").split()
TOPICS = [t.replace("\x00", " ") for t in TOPICS]
DECLINE = " Connect a real model for such questions."


def pseudo(r):
    """A made-up word, so that the model learns to copy words it never saw."""
    return "".join(r.choice("b c d f g h j k l m n p r s t v w z br st tr pl gr sh ch".split()) + r.choice("a e i o u ai ee oo".split())
                   for _ in range(r.choice((1, 2, 2, 3)))) + r.choice(["", "n", "r", "s", "l", "x", "t", "ck"])


def article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def plural(noun):
    odd = {"mouse": "mice", "wolf": "wolves", "fish": "fish", "sheep": "sheep"}
    return odd.get(noun) or (noun[:-1] + "ies" if noun.endswith(("ry", "xy", "iry", "by")) else noun + ("es" if noun[-1] in "xsh" else "s"))


def ask(r, *forms):
    return r.choice(forms)


def sums(r):
    kind = r.choice("+++---***/2h")
    word = lambda n: NUMBERS[n] if r.random() < .2 and 0 <= n <= 20 else str(n)
    gap = r.choice(["", " ", " "])
    most = r.choice([10, 10, 20])  # small sums are asked more often
    if kind == "+":
        a, b = r.randint(0, most), r.randint(0, most)
        v, line = a + b, f"{a} + {b}"
        form = r.choice([f"{a}{gap}+{gap}{b}", f"{a}{gap}+{gap}{b}", f"{word(a)} plus {word(b)}", f"{word(a)} and {word(b)}", f"the sum of {a} and {b}"])
        extra = [f"add {word(a)} and {word(b)}", f"add {b} to {a}" if a == b else f"add {a} and {b}", f"{word(a)} and {word(b)} is",
                 f"if i have {a} apples and get {b} more, how many do i have?", f"can you add {a} and {b} for me?"]
    elif kind == "-":
        a, b = r.randint(0, 20 if r.random() < .6 else 10), r.randint(0, most)
        if a < b and r.random() < .85:
            a, b = b, a
        v, line = a - b, f"{a} - {b}"
        form = r.choice([f"{a}{gap}-{gap}{b}", f"{a}{gap}-{gap}{b}", f"{word(a)} minus {word(b)}", f"{word(a)} take away {word(b)}", f"{word(a)} less {word(b)}"])
        extra = [f"subtract {b} from {a}", f"take {b} from {a}", f"if i have {a} apples and eat {b}, how many are left?", f"{word(a)} minus {word(b)} is"]
    elif kind == "*":
        a, b = r.randint(0, 10), r.randint(0, 10)
        v, line = a * b, f"{a} × {b}"
        form = r.choice([f"{a}{gap}*{gap}{b}", f"{a}{gap}x{gap}{b}", f"{word(a)} times {word(b)}", f"{word(a)} times {word(b)}", f"{a}{gap}×{gap}{b}", f"{a} multiplied by {b}"])
        extra = [f"multiply {a} by {b}", f"multiply {word(a)} and {word(b)}", f"{word(a)} times {word(b)} is", f"the product of {a} and {b}"]
    elif kind == "/":
        v, b = r.randint(0, 10), r.randint(1, 10)
        a = v * b
        line = f"{a} ÷ {b}"
        form = r.choice([f"{a}{gap}/{gap}{b}", f"{a} divided by {b}", f"{a} : {b}", f"{a} ÷ {b}"])
        extra = [f"divide {a} by {b}"]
    elif kind == "h":
        v = r.randint(1, 10)
        if r.random() < .5:
            form, answer = f"half of {2 * v}", f"Half of {2 * v} is {v}."
        else:
            form, answer = f"double {v}" if r.random() < .5 else f"twice {v}", f"Twice {v} is {2 * v}."
        return ask(r, f"what is {form}?", f"what's {form}?", form, f"how much is {form}?"), answer, []
    else:  # beyond what it learnt: say so
        a, b = r.randint(21, 9999), r.randint(11, 999)
        q = r.choice([f"{a} * {b}", f"{a} times {b}", f"{a} + {b}", f"{a} - {b}", f"{a} plus {b}", f"{a} / {b}", f"{a} x {b}", f"the square root of {a}", f"{r.randint(2, 30)} squared",
                      f"{a} divided by {b}", f"{a} minus {b}", f"{r.randint(2, 99)} percent of {a}", f"the cube root of {a}", f"{r.randint(2, 20)} to the power of {r.randint(3, 9)}", f"sqrt({a})",
                      f"root of {r.randint(2, 400)}", f"square root of {r.randint(2, 400)}", f"{r.randint(11, 99)} * {r.randint(11, 99)}", f"{r.randint(2, 9)}.{r.randint(1, 9)} * {r.randint(2, 9)}"])
        return ask(r, f"what is {q}?", f"{q}", f"calculate {q}", f"what's {q}", f"{q} = ?", f"how much is {q}?"), \
            "That is too hard for me: I only add and subtract up to 20, and know the times table up to 10. A real model that you connect can do more.", []
    answer = f"{line} = {v}."
    q = ask(r, f"what is {form}?", f"what's {form}?", f"{form}", f"{form} =", f"{form} = ?", f"how much is {form}?", f"calculate {form}", f"whats {form}", f"compute {form}", f"solve {form}",
            f"can you tell me what {form} is?", f"i need to know {form}", f"{form}?", f"do you know {form}?", f"what does {form} make?", f"what do you get for {form}?", r.choice(extra), r.choice(extra), r.choice(extra))
    return q, answer, [(r.choice(["are you sure?", "really?", "sure?", "is that right?"]), f"Yes: {answer}")]


def capitals(r):
    if r.random() < .12:
        x = pseudo(r).capitalize() if r.random() < .6 else r.choice(["Europe", "Africa", "Asia", "Bavaria", "Texas", "the moon", "Atlantis", "California", "my country", "Tibet", "Hawaii", "Narnia"])
        a = "I don't know that capital: I only learnt about fifty." + DECLINE
    else:
        x = r.choice(list(CAPITALS))
        a = f"The capital of {x} is {CAPITALS[x]}."
    q = ask(r, f"what is the capital of {x}?", f"what's the capital of {x}?", f"capital of {x}", f"which city is the capital of {x}?", f"{x} capital", f"tell me the capital of {x}", f"what is {x}'s capital?",
            f"do you know the capital of {x}?", f"name the capital of {x}", f"the capital of {x}?", f"what city is {x}'s capital?", f"whats the capital city of {x}", f"can you tell me the capital of {x}", f"capital city of {x}?")
    y = r.choice(list(CAPITALS))
    return q, a, [(ask(r, f"and of {y}?", f"and {y}?", f"what about {y}?", f"of {y}?"), f"The capital of {y} is {CAPITALS[y]}.")]


def opposites(r):
    if r.random() < .1:
        x = pseudo(r) if r.random() < .5 else r.choice("table seven house computer banana window tuesday music orange water bicycle".split())
        a = "I know no opposite of that."
    else:
        x = r.choice(list(OPPOSITES))
        a = f"The opposite of {x} is {OPPOSITES[x]}."
    q = ask(r, f"what is the opposite of {x}?", f"what's the opposite of {x}", f"opposite of {x}", f"the opposite of {x}?", f"tell me the opposite of {x}", f"what is the opposite word of {x}?",
            f"{x} opposite", f"what's the contrary of {x}?", f"antonym of {x}", f"give me the opposite of {x}", f"what word is the opposite of {x}?", f"opposite of the word {x}", f"do you know the opposite of {x}?")
    y = r.choice(list(OPPOSITES))
    return q, a, [(ask(r, f"and of {y}?", f"and {y}?", f"what about {y}?"), f"The opposite of {y} is {OPPOSITES[y]}.")]


def colours(r):
    x = r.choice(list(COLOURS))
    c, be = r.choice(["color", "colour"]), "are" if x[-1] == "s" and x not in ("grass", "peas") or x == "peas" else "is"
    q = ask(r, f"what {c} {be} {x}?", f"which {c} {be} {x}?", f"what is the {c} of {x}?", f"{c} of {x}", f"tell me the {c} of {x}", f"what's the {c} of {x}?", f"what {c} has {x}?", f"do you know what {c} {x} {be}?")
    return q, f"{x[0].upper() + x[1:]} {be} {COLOURS[x]}.", []


def days(r):
    k = r.random()
    if k < .5:
        seq = DAYS if r.random() < .7 else MONTHS
        n, i = len(seq), r.randrange(len(seq))
        unit, after = ("day" if seq is DAYS else "month"), r.random() < .6
        w = "after" if after else "before"
        q = ask(r, f"what {unit} comes {w} {seq[i]}?", f"which {unit} is {w} {seq[i]}?", f"what {unit} is {w} {seq[i]}?", f"what comes {w} {seq[i]}?", f"the {unit} {w} {seq[i]}?", f"which {unit} comes {w} {seq[i]}",
                f"tell me the {unit} {w} {seq[i]}", f"what's the {unit} {w} {seq[i]}")
        return q, f"{seq[(i + (1 if after else -1)) % n]} comes {w} {seq[i]}.", []
    if k < .65:
        q = ask(r, "name the days of the week", "what are the days of the week?", "list the days of the week", "tell me the days of the week", "which days are in a week?", "days of the week", "say the weekdays", "can you name the days?")
        return q, "The days are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.", []
    if k < .75:
        q = ask(r, "what are the months of the year?", "list the months", "tell me the months of the year", "name all months", "which months are there?", "months of the year", "name the twelve months", "say the months", "can you list all the months?")
        return q, "The months are January, February, March, April, May, June, July, August, September, October, November and December.", []
    if k < .8:
        return ask(r, "count to ten", "count to 10", "can you count to ten?", "can you count?", "count from one to ten", "please count to 10"), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10.", []
    if k < .84:
        return ask(r, "say the alphabet", "what is the alphabet?", "the alphabet", "can you say the abc?", "recite the alphabet", "abc"), "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z.", []
    x = r.choice(list(COUNTS))
    q = ask(r, f"how many {x}?", f"tell me how many {x}", f"do you know how many {x}?", f"how many {x}")
    return q, COUNTS[x], []


def story_text(r, hero, adj, short=False):
    n, friend, thing, place = r.choice(NAMES), r.choice(HEROES[:40]), r.choice(THINGS), r.choice(PLACES)
    first = f"Once upon a time there was {article((adj + ' ' if adj else '') + hero)} named {n}."
    if short:
        return f"{first} {n} found {article(thing)} and gave it to {article(friend)}. They became friends, and that was the best day of all."
    mid = r.choice([
        f"{n} lived near {place} and had no friends. One day {n} found {article(thing)} under a tree. {article(friend).capitalize()} came by and said, \"That is mine!\" {n} gave it back with a smile. The {friend} was so glad that it came again every day.",
        f"One morning {n} went to {place} to look for {article(thing)}. On the way {n} met {article(friend)} that was lost. {n} forgot the {thing} and showed the {friend} the way home. There, on the table, lay the {thing}.",
        f"{n} was afraid of the dark. One night a light went past {place}. It was {article(friend)} with a small lamp. \"Come,\" said the {friend}, \"the dark is only the day with its eyes closed.\" They walked until the sun came up.",
    ])
    return f"{first} {mid} " + r.choice(["And from that day on they were the best of friends.", f"And {n} was never lonely again.", "And when they were old, they still told this story."])


def story(r):
    hero = r.choice(HEROES) if r.random() < .9 else pseudo(r)
    adj = r.choice(ADJ) if r.random() < .35 else ""
    h = f"{adj} {hero}".strip()
    a = article(h)
    if r.random() < .12:  # two of them
        hs = f"two {plural(hero)}" if r.random() < .6 else f"a {hero} and a {r.choice(HEROES)}"
        q = ask(r, f"tell me a story about {hs}", f"story about {hs}", f"write a short story about {hs}", f"a tale of {hs}", f"a story with {hs}, please")
        n, m = r.sample(NAMES, 2)
        start = f"Once upon a time there were {hs}" if hs.startswith("two") else f"Once upon a time there was {hs}"
        return q, (f"{start}, named {n} and {m}. They lived near {r.choice(PLACES)} and did everything together. One day they found {article(r.choice(THINGS))}, and both wanted it. "
                   f"They pulled and pulled until it broke. Then {n} laughed, and {m} laughed too, and they never fought again."), story_more(r, hero)
    if r.random() < .25:
        q = ask(r, "tell me a story", "tell me a short story", "tell a story please", "a story please", "write a story", "can you tell me a story?", "i want a story", "story", "do you know a story?", "story time!",
                "could you write a short story for me?", "tell me a fairy tale", "a good night story please", "i would like to hear a story", "read me a story", "tell me a tale", "once upon", "give me a story for my kids",
                "make up a story", "invent a story for me", "write me something nice", "tell my daughter a story", "a story for bedtime", "write a very short story", "a bedtime story for my son", "can i hear a story?", "once upon a time there was")
        hero, adj = r.choice(HEROES), r.choice(ADJ + [""])
    else:
        q = ask(r, f"tell me a story about {a}", f"story about {a}", f"write a short story about {a}", f"a story about {a}", f"can you tell me a story about {a}?", f"write a story with {a}", f"i'd like a story about {a}",
                f"please tell a story with {a} in it", f"tell us a tale about {a}", f"make up a story about {a}", f"could you write me a story about {a}?", f"a bedtime story about {a} please", f"do you know a story with {a}?",
                f"a fairy tale about {a}", f"i want to read a story about {a}", f"story with {a}", f"write something about {a}", f"tell me about {a} in a story", f"{h} story", f"let me hear a story about the {h}", f"write a short story about the {h}", f"a story about the {h} please")
    return q, story_text(r, hero, adj), story_more(r, hero)


def story_more(r, hero):
    other = r.choice(HEROES)
    return [r.choice([
        (ask(r, "another one", "another one please", "one more", "tell me another", "again", "more", "another story", "more please", "now another one", "give me another"), story_text(r, other, r.choice(ADJ))),
        (ask(r, "shorter", "shorter please", "make it shorter", "a shorter one", "too long", "can you shorten it?"), story_text(r, hero, "", True)),
        (ask(r, "longer", "make it longer", "longer please", "a longer one", "go on", "continue", "and then?", "what happened next?"), "I can only tell short ones, and there this story ends. Shall I tell you another one?"),
        (ask(r, f"now with {article(other)}", f"one about {article(other)}", f"and with {article(other)}?", f"now about {article(other)}"), story_text(r, other, "")),
    ])]


POEMS = [
    "I think of {t} at the end of the day,\nwhen all of the noise has gone away.\nA quiet thought, a little light,\nto keep me warm throughout the night.",
    "A word for {t}, a word so small,\nI hang it softly on the wall.\nAnd every time that I go by,\nit makes me look up to the sky.",
    "Here is a song for {t} today,\nit has only a little to say:\nbe glad, be kind, be slow to frown,\nand never let the small things down.",
    "When I was young and could not sleep,\nI thought of {t} instead of sheep.\nNow I am old, and still I do,\nand sometimes I think of you too.",
]
HAIKUS = ["A leaf on the pond,\nthe wind has nowhere to go.\nIt stays for a while.", "Snow on the window,\na light in the house next door.\nSomebody is home.", "The old cat looks up,\na moth is dancing all night.\nNeither of them sleeps."]
RHYMES = {"rain": "Rain on the roof and rain on the street,\nrain in my hat and rain at my feet.\nBut after the rain comes a sky washed blue,\nand all of the world looks freshly new."}


def poem_text(r, t):
    return RHYMES.get(t) if t in RHYMES else r.choice(POEMS).format(t=t)


def poem(r):
    if r.random() < .2:
        return ask(r, "write a haiku", "a haiku please", "haiku", "can you write a haiku?", "write me a small haiku", f"a haiku about {r.choice(TOPICS)}", f"write a haiku about {r.choice(TOPICS)}", "give me a haiku", "compose a haiku", "i'd like a haiku"), r.choice(HAIKUS), []
    kind = r.choice(["poem", "poem", "poem", "short poem", "rhyme", "song", "little poem", "verse", "few lines"])
    if r.random() < .25:
        t = r.choice(["the moon", "the sea", "friendship"])
        q = ask(r, f"write a {kind}", f"write me a {kind}", f"a {kind} please", f"can you write a {kind}?", f"give me a {kind}", f"tell me a {kind}", f"{kind}", f"i want a {kind}", f"make up a {kind} for me", f"do you know a {kind}?", "sing something", "sing for me", "can you sing?", "say something nice", "can you rhyme?", "make me a rhyme")
    else:
        t = r.choice(TOPICS) if r.random() < .75 else r.choice([f"the {pseudo(r)}", f"my {r.choice(HEROES)}", f"the {r.choice(HEROES)}", pseudo(r), f"my {r.choice(THINGS)}"])
        q = ask(r, f"write a {kind} about {t}", f"{kind} about {t}", f"write me a {kind} about {t}", f"a {kind} about {t}, please", f"can you write a {kind} about {t}?", f"give me a {kind} on {t}", f"make a {kind} about {t}", f"i need a {kind} for {t}", f"i'd like a {kind} about {t}",
                f"compose a {kind} about {t}", f"could you make up a {kind} about {t}?", f"make up a {kind} for {t}", f"please write a {kind} for {t}", f"a {kind} for {t}")
    u = r.choice(TOPICS)
    return q, poem_text(r, t), [r.choice([
        (ask(r, "another one", "one more", "another poem", "more", "again please"), poem_text(r, u)),
        (ask(r, f"now about {u}", f"and about {u}?", f"one about {u} please"), poem_text(r, u)),
        (ask(r, "shorter", "a shorter one", "make it shorter"), r.choice(HAIKUS)),
        (ask(r, "nice", "lovely", "that is beautiful", "i like it", "that was nice"), "Thank you! Ask me for another one whenever you like."),
    ])]


def echo(r):
    """Copying a word that it hardly knows is beyond a model of this size; it says so."""
    x = " ".join(r.choice([pseudo(r), r.choice(HEROES), r.choice(THINGS), r.choice(ADJ), str(r.randint(0, 99)), r.choice(list(CAPITALS))]) for _ in range(r.randint(1, 4)))
    return ask(r, f"say {x}", f"repeat: {x}", f"repeat after me: {x}", f"please say {x}", f"can you say {x}?", f"say after me: {x}", f"echo {x}", f'say "{x}"', f"just answer {x}", f"repeat {x}", f"spell {x}", f"how do you spell {x}?"), \
        "I am too small to repeat your words without mistakes. Ask me for a story, a sum, or how Sotto works.", []


JOKES = ["What did the lazy key say to the lock? \"You turn, I am tired.\"", "My toaster wants to be a poet. So far all of its lines are burnt.", "Why did the book go to bed so early? It wanted to close the chapter.",
         "I asked a small model a big question. It said: \"Sorry, I am only a few megabytes deep.\""]


def joke(r):
    q = ask(r, "tell me a joke please", "a joke", "joke", "do you know a joke?", "make me laugh", "tell a joke", "say something funny", "can you tell me a good joke?", "know any jokes?", "be funny", "i want to hear a joke", "give me a joke", "got a joke?",
            "tell me a funny joke", "something funny please", "do you have humour?", "write a joke", "one joke please", "entertain me", "cheer me up with a joke", "tell us a joke", "make a joke", "a dad joke please", "can you be funny?")
    j = r.sample(JOKES, 2)
    return q, j[0], [r.choice([(ask(r, "another one", "one more", "another", "again", "more jokes"), j[1]), (ask(r, "haha", "lol", "that was funny", "good one", "hahaha", "that is not funny"), "I am glad that I tried. Shall I tell you another one?")])]
